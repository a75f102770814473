"""No account sees or touches what another one owns, whatever it asks for."""

from typing import Any

import pytest

from tests.web.house import Client, House, audio_form, new_did
from tests.web.recorded import recorded
from tests.web.test_calls import call
from tests.web.tones import wav
from trunx.web.application import RESOURCES
from trunx.web.operation import Operation

TREE = {"id": "menu", "nodes": {"bye": {"action": "hangup"}}}
GUARDED = [operation for group in RESOURCES.values() for operation in group if not operation.open]
# What to send where a body is needed; none of it needs a thing of the other account.
BODIES = {
    ("PATCH", "/ivr/{id}"): {"language": "es"},
    ("POST", "/ivr/{id}/assign"): {"did": "+12025550123"},
    ("POST", "/ivr/{id}/audio"): {"node": "bye", "text": "Goodbye."},
    ("PATCH", "/dids/{did}"): {"label": "mine"},
    ("PATCH", "/api/webhooks/{id}"): {"label": "mine"},
    ("POST", "/api/webhooks/{id}/redeliver"): {"from": 1, "to": 1},
    ("PATCH", "/api/voice/agents/{id}"): {"name": "mine"},
    ("POST", "/api/voice/agents/{id}/call"): {"to": "+14155552671"},
    ("PATCH", "/api/voice/tools/{id}"): {"description": "mine"},
    ("PATCH", "/api/voice/knowledge/{id}"): {"name": "mine"},
    ("POST", "/api/voice/knowledge/{id}/sources"): {"url": "https://example.com/"},
}
HOOK = {"url": "https://example.com/hook"}
AGENT = {"name": "Sarah", "prompt": "You are friendly."}
TOOL = {
    "modelToolName": "lookUp",
    "description": "Looks up.",
    "http": {"baseUrlPattern": "https://example.com/"},
}
BOOK = {"name": "Hours"}
# Everybody's; and a stream and a question, which have tests of their own.
ELSEWHERE = {"/audio/voices", "/api/events", "/dids/pick"}
ACTIONS = "/v1/voice/accounts/{auth_id}/calls/{call_uuid}"
ACTION_BODIES = {
    "/transfer": {"to": "+14155552671"},
    "/record": {},
    "/play": {"url": "https://example.com/a.wav"},
    "/speak": {"text": "Hello."},
    "/dtmf": {"digits": "1"},
}


@pytest.mark.parametrize(
    "operation",
    [one for one in GUARDED if one.path not in ELSEWHERE and not one.path.startswith(ACTIONS)],
    ids=lambda one: f"{one.method} {one.path}",
)
async def test_another_account_s_things_do_not_exist(
    house: House, ada: Client, bob: Client, operation: Operation
) -> None:
    did, number = new_did(), "+12025550111"
    one = call(bob.account, 0)
    house.recorder.call(one)
    await house.recorder.flush()
    await bob.post("/ivr", TREE)
    await bob.post("/dids", {"did": did, "ivr": "menu"})
    await bob.post("/suppression", {"number": number})
    audio = (await bob.upload(wav())).body["id"]
    hook = (await bob.post("/api/webhooks", HOOK)).body["id"]
    names = {"/ivr": "menu", "/audio": audio, "/dids": did, "/suppression": number, "/api/voice": one.id}
    names["/api/webhooks"] = hook
    names["/api/recordings"] = (await recorded(house, bob)).id
    for kind, new in (("agents", AGENT), ("tools", TOOL), ("knowledge", BOOK)):
        names[f"/api/voice/{kind}"] = (await bob.post(f"/api/voice/{kind}", new)).body["id"]
    root = max((prefix for prefix in names if operation.path.startswith(prefix)), key=len)
    path = operation.path.format(id=names[root], did=did, number=number, delivery=1)

    if operation.path != path:
        thing = path.removesuffix("/assign").removesuffix("/audio")
        if root.startswith("/api/") and root != "/api/voice" and operation.method == "POST":
            thing = f"{root}/{names[root]}"
        before = await bob.get(thing)
        assert before.status == 200
        body: Any = BODIES.get((operation.method, operation.path))
        if path.endswith("/upload"):
            body = audio_form(b"x", "x.txt")
        got = await ada.ask(operation.method, path, body)
        assert got.status == 404
        assert got.code == operation.absent.code
        after = await bob.get(thing)
        assert after.body == before.body
    elif operation.method == "GET":
        assert (await bob.get(path)).body["count"] == 1
        assert (await ada.get(path)).body["count"] == 0
    else:
        # What is created is one's own: the same name in two accounts is two things, but for DIDs.
        own = new_did()
        await ada.post("/dids", {"did": own})
        bodies = {
            "/api/voice": {"from": own, "to": "+14155552671"},
            "/api/voice/preview": {"from": own, "to": "+14155552671"},
            "/ivr": TREE,
            "/audio": {"name": "Hi", "text": "Hello."},
            "/audio/upload": audio_form(wav(), "a.wav"),
            "/dids": {"did": new_did()},
            "/suppression": {"number": number},
            "/api/webhooks": HOOK,
            "/api/voice/agents": AGENT,
            "/api/voice/tools": TOOL,
            "/api/voice/knowledge": BOOK,
        }
        assert (await ada.post(path, bodies[path])).status in (200, 201)
        assert (await bob.get(root)).body["count"] == 1


@pytest.mark.parametrize(
    "operation",
    [one for one in GUARDED if one.path.startswith(ACTIONS)],
    ids=lambda one: f"{one.method} {one.path.removeprefix(ACTIONS)}",
)
async def test_nobody_acts_on_another_account_s_calls(
    house: House, ada: Client, bob: Client, operation: Operation
) -> None:
    one = call(bob.account, 0)
    house.recorder.call(one)
    await house.recorder.flush()
    body = ACTION_BODIES.get(operation.path.removeprefix(ACTIONS)) if operation.method == "POST" else None
    for account, refused in (
        (bob.account, (403, "not-your-account")),
        (ada.account, (404, "call-not-found")),
    ):
        path = operation.path.format(auth_id=account, call_uuid=one.id)
        got = await ada.ask(operation.method, path, body)
        assert (got.status, got.code) == refused
    listed = await bob.get(ACTIONS.format(auth_id=bob.account, call_uuid=one.id) + "/actions")
    assert (listed.status, listed.body["count"]) == (200, 0)


@pytest.mark.parametrize("operation", GUARDED, ids=lambda one: f"{one.method} {one.path}")
async def test_no_operation_forgets_to_ask_for_the_key(stranger: Client, operation: Operation) -> None:
    got = await stranger.ask(
        operation.method,
        operation.path.format(
            id="menu", did="12025550111", number="1", delivery="1", auth_id="me", call_uuid="1"
        ),
    )
    assert (got.status, got.code) == (401, "invalid-key")


async def test_an_idempotency_key_belongs_to_its_account(ada: Client, bob: Client) -> None:
    for client in (ada, bob):
        got = await client.post("/ivr", TREE, Idempotency_Key="same")
        assert got.status == 201
        assert "Idempotency-Replayed" not in got.headers
