"""`POST /ivr/{id}/audio`: a text becomes what a node says, and the next call hears it."""

import asyncio

from tests.web.house import Client, House, new_did

WELCOME = {"audio": "welcome.wav", "gather": {"1": "bye"}, "timeout_node": "welcome"}
TREE = {"id": "qualify-business", "nodes": {"welcome": WELCOME, "bye": {"action": "hangup"}}}
WORDS = "Thank you for calling. Press 1 if you are a business owner."
PATH = "/ivr/qualify-business/audio"


async def test_a_node_speaks_a_text(house: House, ada: Client) -> None:
    did = new_did()
    await ada.post("/ivr", TREE)
    await ada.post("/ivr/qualify-business/assign", {"did": did})
    got = await ada.post(PATH, {"node": "welcome", "text": WORDS})
    assert got.status == 201, got.body
    assert (got.body["ivr"], got.body["node"], got.body["version"]) == ("qualify-business", "welcome", 2)
    assert (got.body["status"], got.body["text"]) == ("ready", WORDS)
    assert got.body["usedBy"] == [{"ivr": "qualify-business", "node": "welcome", "field": "audio"}]
    ivr = (await ada.get("/ivr/qualify-business")).body
    assert ivr["nodes"] == {
        "welcome": {**WELCOME, "audio": got.body["id"]},
        "bye": {"action": "hangup"},
    }
    assert (ivr["version"], ivr["warnings"]) == (2, [])
    line = await house.lines.find(did)
    assert line is not None
    assert line.version == 2
    sound = line.sounds[got.body["id"]]
    assert house.sounds.words(sound) == WORDS
    extra = ("ivr", "node", "version")
    plain = {name: value for name, value in got.body.items() if name not in extra}
    assert (await ada.get(f"/audio/{got.body['id']}")).body == plain


async def test_a_node_without_audio_gets_one(ada: Client) -> None:
    await ada.post("/ivr", TREE)
    got = await ada.post(PATH, {"node": "bye", "text": "Goodbye."})
    node = (await ada.get("/ivr/qualify-business")).body["nodes"]["bye"]
    assert node == {"action": "hangup", "audio": got.body["id"]}


async def test_what_is_not_there_is_named_before_anything_is_made(ada: Client, bob: Client) -> None:
    await ada.post("/ivr", TREE)
    nobody = await ada.post(PATH, {"node": "nobody", "text": WORDS})
    assert (nobody.status, nobody.pointers) == (422, ["/node"])
    assert (await ada.post("/ivr/other/audio", {"node": "welcome", "text": WORDS})).code == "ivr-not-found"
    assert (await bob.post(PATH, {"node": "welcome", "text": WORDS})).code == "ivr-not-found"
    unsaid = await ada.post(PATH, {"node": "welcome", "text": "..."})
    assert (unsaid.status, unsaid.code, unsaid.pointers) == (422, "text-empty", ["/text"])
    assert (await ada.get("/audio")).body["count"] == 0
    assert (await ada.get("/ivr/qualify-business")).body["version"] == 1


async def test_changes_made_meanwhile_are_kept(ada: Client) -> None:
    await ada.post("/ivr", TREE)
    said, *_ = await asyncio.gather(
        ada.post(PATH, {"node": "welcome", "text": "This takes a while to be made, as it is long. " * 8}),
        *(ada.patch("/ivr/qualify-business", {"nodes": {f"n{at}": {"action": "hangup"}}}) for at in range(5)),
    )
    ivr = (await ada.get("/ivr/qualify-business")).body
    assert set(ivr["nodes"]) == {"welcome", "bye", "n0", "n1", "n2", "n3", "n4"}
    assert ivr["nodes"]["welcome"]["audio"] == said.body["id"]
    assert (said.status, ivr["version"]) == (201, 7)


async def test_a_tree_that_goes_meanwhile_leaves_no_audio(ada: Client) -> None:
    await ada.post("/ivr", TREE)
    said, gone = await asyncio.gather(
        ada.post(PATH, {"node": "welcome", "text": "Nobody will ever hear this, sad as it is. " * 8}),
        ada.delete("/ivr/qualify-business"),
    )
    assert (gone.status, said.code) == (200, "ivr-not-found")
    assert (await ada.get("/audio")).body["count"] == 0


async def test_a_key_speaks_once(ada: Client) -> None:
    await ada.post("/ivr", TREE)
    body = {"node": "welcome", "text": WORDS}
    first = await ada.post(PATH, body, Idempotency_Key="k")
    again = await ada.post(PATH, body, Idempotency_Key="k")
    assert (first.status, again.body) == (201, first.body)
    assert (await ada.get("/ivr/qualify-business")).body["version"] == 2
