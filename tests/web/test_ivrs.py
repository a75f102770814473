"""Trees over HTTP: the contract's examples as they are printed, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.web.house import Client, House, new_did, open_house
from trunx.adapters.store.account_limits import AccountLimits
from trunx.adapters.store.database import Database
from trunx.domain.gate import Limits
from trunx.domain.sound import sound_name

CREATE = """{
"id": "qualify-business",
"nodes": {
"welcome": {
"audio": "welcome.wav",
"gather": { "1": "has_business", "9": "dnc" },
"timeout_node": "welcome"
},
"has_business": {
"audio": "business_check.wav",
"gather": { "1": "transfer_ai", "2": "unqualified" }
},
"transfer_ai": { "action": "transfer" },
"unqualified": { "action": "hangup", "audio": "not_qualified.wav" },
"dnc": { "action": "suppress" }
}
}"""
NODES = json.loads(CREATE)["nodes"]
PERSON = "+14155552671"


async def test_the_contract_s_tree_is_created_as_it_is_printed(ada: Client) -> None:
    got = await ada.post("/ivr", CREATE)
    assert got.status == 201
    assert got.body["id"] == "qualify-business"
    assert got.body["nodes"] == NODES
    assert list(got.body["nodes"]) == list(NODES)
    assert (got.body["version"], got.body["dids"]) == (1, [])
    assert got.body["createdAt"] == got.body["updatedAt"]
    assert got.body["createdAt"].endswith("Z")
    assert len(got.body["createdAt"]) == len("2026-03-09T15:30:00.000Z")
    assert not {"start", "language"} & got.body.keys()
    assert (await ada.get("/ivr/qualify-business")).body == got.body


async def test_the_contract_s_assignment(tmp_path: Path) -> None:
    # In a house of its own: the number is the contract's, and other tests may have it in theirs.
    async with open_house(tmp_path) as house:
        ada = await house.client("Ada")
        await ada.post("/ivr", CREATE)
        got = await ada.post("/ivr/qualify-business/assign", '{ "did": "+19495551234" }')
        assert got.status == 200
        assert got.body == {"id": "qualify-business", "did": "+19495551234", "formerIvr": None}
        assert (await ada.get("/ivr/qualify-business")).body["dids"] == ["+19495551234"]


async def test_missing_audio_is_a_warning_until_it_exists(house: House, ada: Client) -> None:
    got = await ada.post("/ivr", CREATE)
    codes = {(warning["code"], warning["node"]) for warning in got.body["warnings"]}
    assert codes == {("audio-missing", node) for node in ("welcome", "has_business", "unqualified")}
    for audio in ("welcome.wav", "business_check.wav", "not_qualified.wav"):
        await house.sounds.stage(sound_name(ada.account, audio), ".ulaw", b"\xff" * 8000)
    assert (await ada.get("/ivr/qualify-business")).body["warnings"] == []


async def test_transfers_that_reach_nobody_are_warned_of(house: House, ada: Client) -> None:
    nodes = {
        "desk": {"action": "transfer", "to": "sip:desk@pbx.example.com", "fail_node": "agent"},
        "agent": {
            "action": "transfer",
            "agent": "a1b2c3d4-e5f6-7890-abcd-ef1234567890",
            "fail_node": "person",
        },
        "person": {"action": "transfer", "to": PERSON},
    }
    got = await ada.post("/ivr", {"id": "practice", "nodes": nodes})
    assert (got.status, got.body["nodes"]) == (201, nodes)
    assert [(warning["code"], warning["node"]) for warning in got.body["warnings"]] == [
        ("sip-uri-not-allowed", "desk"),
        ("agent-missing", "agent"),
    ]
    listed = Limits(sip_uris=frozenset({"sip:desk@pbx.example.com"}))
    async with Database.open(f"sqlite:///{house.folder}/trunx.db") as database:
        await AccountLimits(database).put(ada.account, listed)
    got = await ada.get("/ivr/practice")
    assert [warning["code"] for warning in got.body["warnings"]] == ["agent-missing"]


async def test_a_taken_id_is_refused(ada: Client) -> None:
    await ada.post("/ivr", CREATE)
    assert (await ada.post("/ivr", CREATE)).code == "ivr-exists"


async def test_the_list_has_whole_trees_without_warnings(ada: Client) -> None:
    await ada.post("/ivr", CREATE)
    await ada.post("/ivr", {"id": "short", "nodes": {"bye": {"action": "hangup"}}, "language": "en"})
    got = await ada.get("/ivr")
    assert (got.status, got.body["count"], got.body["next"]) == (200, 2, None)
    assert [ivr["id"] for ivr in got.body["ivrs"]] == ["short", "qualify-business"]
    assert got.body["ivrs"][0]["language"] == "en"
    assert got.body["ivrs"][1]["nodes"] == NODES
    assert "warnings" not in got.body["ivrs"][1]


async def test_a_change_replaces_adds_and_removes_nodes(ada: Client) -> None:
    await ada.post("/ivr", CREATE)
    change = {
        "nodes": {
            "welcome": {"audio": "hello.wav", "gather": {"1": "has_business", "2": "bye"}, "attempts": 2},
            "bye": {"action": "hangup"},
            "dnc": None,
        },
        "language": "es",
    }
    got = await ada.patch("/ivr/qualify-business", change)
    assert got.status == 200, got
    assert got.body["version"] == 2
    assert got.body["language"] == "es"
    assert list(got.body["nodes"]) == ["welcome", "has_business", "transfer_ai", "unqualified", "bye"]
    assert got.body["nodes"]["welcome"] == change["nodes"]["welcome"]  # type: ignore[index]
    assert got.body["nodes"]["has_business"] == NODES["has_business"]
    without = await ada.patch("/ivr/qualify-business", {"language": None})
    assert "language" not in without.body
    assert without.body["version"] == 3


async def test_a_change_that_makes_no_tree_changes_nothing(ada: Client) -> None:
    await ada.post("/ivr", CREATE)
    got = await ada.patch("/ivr/qualify-business", {"nodes": {"dnc": None}})
    assert (got.status, got.code) == (422, "invalid-tree")
    assert got.pointers == ["/nodes/welcome/gather/9"]
    assert (await ada.get("/ivr/qualify-business")).body["version"] == 1


async def test_the_id_may_be_repeated_in_a_change_but_not_changed(ada: Client) -> None:
    await ada.post("/ivr", CREATE)
    for same in ("qualify-business", None):
        assert (await ada.patch("/ivr/qualify-business", {"id": same})).body["id"] == "qualify-business"
    got = await ada.patch("/ivr/qualify-business", {"id": "other"})
    assert (got.code, got.pointers) == ("invalid-body", ["/id"])


async def test_a_change_serves_the_next_call(house: House, ada: Client) -> None:
    did = new_did()
    await ada.post("/ivr", CREATE)
    await ada.post("/ivr/qualify-business/assign", {"did": did})
    line = await house.lines.find(did)
    assert line is not None
    assert (line.account, line.ivr, line.version) == (ada.account, "qualify-business", 1)
    await ada.patch("/ivr/qualify-business", {"start": "has_business"})
    line = await house.lines.find(did)
    assert line is not None
    assert line.tree is not None
    assert (line.version, line.tree.start) == (2, "has_business")


async def test_an_assigned_ivr_is_not_deleted(ada: Client) -> None:
    did = new_did()
    await ada.post("/ivr", CREATE)
    await ada.post("/ivr/qualify-business/assign", {"did": did})
    got = await ada.delete("/ivr/qualify-business")
    assert (got.status, got.code, got.body["dids"]) == (409, "ivr-assigned", [did])
    await ada.delete(f"/dids/{did}")
    got = await ada.delete("/ivr/qualify-business")
    assert (got.status, got.body) == (200, {"deleted": True, "id": "qualify-business"})
    assert (await ada.get("/ivr/qualify-business")).code == "ivr-not-found"


async def test_an_assignment_names_the_former_ivr(ada: Client) -> None:
    did = new_did()
    await ada.post("/ivr", CREATE)
    await ada.post("/ivr", {"id": "other", "nodes": {"bye": {"action": "hangup"}}})
    await ada.post("/ivr/other/assign", {"did": did})
    got = await ada.post("/ivr/qualify-business/assign", {"did": did})
    assert got.body["formerIvr"] == "other"


async def test_a_did_of_another_account_is_not_assigned(ada: Client, bob: Client) -> None:
    did = new_did()
    await bob.post("/dids", {"did": did})
    await ada.post("/ivr", CREATE)
    got = await ada.post("/ivr/qualify-business/assign", {"did": did})
    assert (got.status, got.code) == (409, "did-owned-by-another")
    assert bob.account not in json.dumps(got.body)
    assert (await ada.post("/ivr/nothing/assign", {"did": did})).code == "ivr-not-found"


HANGUP: dict[str, Any] = {"action": "hangup"}


@pytest.mark.parametrize(
    ("body", "code", "pointers"),
    [
        ({"nodes": {"a": HANGUP}}, "invalid-body", ["/id"]),
        ({"id": "x"}, "invalid-body", ["/nodes"]),
        ({"id": "../x", "nodes": {"a": HANGUP}}, "invalid-body", ["/id"]),
        ({"id": "x", "nodes": {}}, "invalid-body", ["/nodes"]),
        ({"id": "x", "nodes": {"a": HANGUP}, "more": 1}, "invalid-body", ["/more"]),
        ({"id": "x", "nodes": {"a": {"action": "dance"}}}, "invalid-body", ["/nodes/a/action"]),
        ({"id": "x", "nodes": {"a": {}}}, "invalid-body", ["/nodes/a"]),
        ({"id": "x", "nodes": {"a": {"action": "hangup", "gather": {}}}}, "invalid-body", ["/nodes/a"]),
        ({"id": "x", "nodes": {"a": {"gather": {}}}}, "invalid-body", ["/nodes/a/audio"]),
        (
            {"id": "x", "nodes": {"a": {"audio": "a.wav", "gather": {"A": "a"}}}},
            "invalid-body",
            ["/nodes/a/gather/A"],
        ),
        ({"id": "x", "nodes": {"a/~": HANGUP}}, "invalid-body", ["/nodes/a~1~0"]),
        # A node may have the name that pydantic gives to one kind of node.
        ({"id": "x", "nodes": {"action-node": {"action": 1}}}, "invalid-body", ["/nodes/action-node/action"]),
        (
            {"id": "x", "nodes": {"a": {"audio": "a.wav", "gather": {"1": "b"}, "timeout_node": "c"}}},
            "invalid-tree",
            ["/nodes/a/gather/1", "/nodes/a/timeout_node"],
        ),
        ({"id": "x", "nodes": {"a": HANGUP}, "start": "b"}, "invalid-tree", ["/start"]),
        (
            {"id": "x", "nodes": {"a": {"action": "transfer", "to": "sip:a@b.example,60,g"}}},
            "invalid-body",
            ["/nodes/a/to"],
        ),
        (
            {"id": "x", "nodes": {"a": {"action": "transfer", "to": PERSON, "agent": "a1", "on_busy": "b"}}},
            "invalid-tree",
            ["/nodes/a/on_busy", "/nodes/a/agent"],
        ),
        (
            {"id": "x", "nodes": {"a": {"action": "transfer", "timeout": 20, "zero_out": {"0": "b"}}}},
            "invalid-tree",
            ["/nodes/a/zero_out/0", "/nodes/a/timeout"],
        ),
        ({"id": "x", "nodes": {f"n{n}": HANGUP for n in range(1001)}}, "invalid-body", ["/nodes"]),
        (
            {"id": "x", "nodes": {f"{n:064}": {**HANGUP, "audio": "é" * 128} for n in range(1000)}},
            "invalid-tree",
            [""],
        ),
        (
            '{"id": "x", "nodes": {"a": {"action": "hangup"}, "a": {"action": "suppress"}}}',
            "invalid-body",
            [""],
        ),
        ("[]", "invalid-body", [""]),
    ],
)
async def test_what_is_no_tree_is_refused_with_its_place(
    ada: Client, body: Any, code: str, pointers: list[str]
) -> None:
    got = await ada.post("/ivr", body)
    assert (got.status, got.code, got.pointers) == (422, code, pointers)
    assert (await ada.get("/ivr")).body["count"] == 0


async def test_an_id_that_nothing_can_have_is_not_found(ada: Client) -> None:
    for path in ("/ivr/..%2Fx", "/ivr/%00", "/ivr/%FF", "/ivr/" + "x" * 65):
        assert (await ada.get(path)).code == "ivr-not-found"
