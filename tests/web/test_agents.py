"""AI agents over HTTP, with Ultravox behind them."""

import re
import uuid
from typing import Any

import pytest

from tests.peers.ultravox_troubles import Trouble
from tests.web.house import Client, House, new_did

AGENT = {"name": "Appointment Confirmer", "prompt": "You are a friendly dental office assistant."}
TOOL = {
    "modelToolName": "lookUpOrder",
    "description": "Looks an order up.",
    "http": {"baseUrlPattern": "https://example.com/orders", "httpMethod": "POST"},
}
NOBODY = "a1b2c3d4-e5f6-7890-abcd-ef1234567890"
CREATE = "POST /api/agents$"


def template(house: House, agent: dict[str, Any]) -> dict[str, Any]:
    """What Ultravox has."""
    found: dict[str, Any] = house.ultravox.things.agents[agent["ultravoxId"]]["callTemplate"]
    return found


async def made(client: Client, **fields: Any) -> dict[str, Any]:
    got = await client.post("/api/voice/agents", AGENT | fields)
    assert got.status == 201, got
    body: dict[str, Any] = got.body
    return body


async def test_an_agent_s_life(house: House, ada: Client) -> None:
    agent = await made(ada, voice="Mark", first_message="Hi, this is Sarah.", max_duration=90)
    assert list(agent) == ["id", "name", "ultravoxId"]
    assert str(uuid.UUID(agent["id"])) == agent["id"]
    assert template(house, agent)["maxDuration"] == "90s"

    path = f"/api/voice/agents/{agent['id']}"
    got = await ada.get(path)
    assert got.status == 200
    assert got.body == {
        **agent,
        "prompt": AGENT["prompt"],
        "voice": "Mark",
        "first_message": "Hi, this is Sarah.",
        "language": "en",
        "max_duration": 90,
        "tool_ids": [],
        "knowledge_ids": [],
        "createdAt": got.body["createdAt"],
        "default": False,
        "status": "ready",
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", got.body["createdAt"])

    listed = (await ada.get("/api/voice/agents?limit=1")).body
    row = {**agent, "createdAt": got.body["createdAt"]}
    assert listed == {"agents": [row], "count": 1, "next": None}

    changed = await ada.patch(path, {"prompt": "Be brief.", "voice": None})
    assert (changed.status, changed.body) == (200, got.body | {"prompt": "Be brief.", "voice": None})
    assert template(house, agent)["firstSpeakerSettings"]["agent"]["text"] == "Hi, this is Sarah."
    assert "voice" not in template(house, agent)
    assert (await ada.patch(path, {})).body == changed.body

    gone = await ada.delete(path)
    assert (gone.status, gone.body) == (200, {"deleted": True, "id": agent["id"]})
    assert agent["ultravoxId"] not in house.ultravox.things.agents
    for method, body in (("GET", None), ("PATCH", {}), ("DELETE", None)):
        got = await ada.ask(method, path, body)
        assert (got.status, got.code) == (404, "agent-not-found")


async def test_defaults(ada: Client) -> None:
    agent = (await ada.get(f"/api/voice/agents/{(await made(ada))['id']}")).body
    assert (agent["language"], agent["max_duration"], agent["voice"]) == ("en", 300, None)
    assert (agent["first_message"], agent["tool_ids"], agent["knowledge_ids"]) == (None, [], [])


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"name": ""}, "/name"),
        ({"name": "a\nb"}, "/name"),
        ({"prompt": ""}, "/prompt"),
        ({"prompt": None}, "/prompt"),
        ({"language": "English, please"}, "/language"),
        ({"max_duration": 0}, "/max_duration"),
        ({"max_duration": "300s"}, "/max_duration"),
        ({"max_duration": 90.5}, "/max_duration"),
        ({"tool_ids": ["a"] * 21}, "/tool_ids"),
        ({"firstMessage": "Hi"}, "/firstMessage"),
        ({"voice": 3}, "/voice"),
        ({"default": 1}, "/default"),
    ],
)
async def test_what_cannot_be_an_agent(ada: Client, fields: dict[str, Any], pointer: str) -> None:
    got = await ada.post("/api/voice/agents", AGENT | fields)
    assert (got.status, got.code) == (422, "invalid-body")
    assert got.pointers[0].startswith(pointer)


async def test_a_whole_number_may_be_written_with_a_point(ada: Client) -> None:
    agent = await made(ada, max_duration=90.0)
    assert (await ada.get(f"/api/voice/agents/{agent['id']}")).body["max_duration"] == 90


async def test_no_text_breaks_an_agent(house: House, ada: Client) -> None:
    agent = await made(ada, prompt="Say {{name}}, {{{x}}}.", first_message="Hi {{name}}")
    assert template(house, agent)["systemPrompt"] == "Say { {name}}, { { {x}}}.\n\n{{call_facts}}"
    got = await ada.get(f"/api/voice/agents/{agent['id']}")
    assert got.body["prompt"] == "Say {{name}}, {{{x}}}."


async def test_an_agent_is_given_tools_and_knowledge(house: House, ada: Client, bob: Client) -> None:
    tool = (await ada.post("/api/voice/tools", TOOL)).body
    book = (await ada.post("/api/voice/knowledge", {"name": "Hours"})).body
    theirs = (await bob.post("/api/voice/tools", TOOL)).body["id"]
    agent = await made(ada, tool_ids=[tool["id"], tool["id"]], knowledge_ids=[book["id"]])
    _, given, looked_up = template(house, agent)["selectedTools"]
    assert given == {"toolId": tool["ultravoxId"]}
    assert looked_up["parameterOverrides"] == {"corpus_id": book["ultravoxId"]}
    path = f"/api/voice/agents/{agent['id']}"
    got = await ada.get(path)
    assert (got.body["tool_ids"], got.body["knowledge_ids"]) == ([tool["id"]], [book["id"]])

    for fields, pointer in (
        ({"tool_ids": [tool["id"], theirs]}, "/tool_ids/1"),
        ({"knowledge_ids": ["nothing"]}, "/knowledge_ids/0"),
    ):
        for refused in (await ada.post("/api/voice/agents", AGENT | fields), await ada.patch(path, fields)):
            assert (refused.status, refused.code, refused.pointers) == (422, "agent-unfit", [pointer])
    refused = await ada.delete(f"/api/voice/tools/{tool['id']}")
    assert (refused.status, refused.code) == (409, "tool-in-use")
    assert "Appointment Confirmer" in refused.body["detail"]
    refused = await ada.delete(f"/api/voice/knowledge/{book['id']}")
    assert (refused.status, refused.code) == (409, "knowledge-in-use")

    await ada.patch(path, {"tool_ids": [], "knowledge_ids": []})
    assert template(house, agent)["selectedTools"] == [{"toolName": "hangUp"}]
    assert (await ada.delete(f"/api/voice/tools/{tool['id']}")).status == 200
    assert (await ada.delete(f"/api/voice/knowledge/{book['id']}")).status == 200


async def test_one_agent_is_the_default(ada: Client) -> None:
    first, second = await made(ada, default=True), await made(ada)
    path = "/api/voice/agents/{}".format
    assert (await ada.get(path(first["id"]))).body["default"] is True
    assert (await ada.patch(path(second["id"]), {"default": True})).body["default"] is True
    assert (await ada.get(path(first["id"]))).body["default"] is False


async def test_what_was_done_at_ultravox_is_put_right(house: House, ada: Client) -> None:
    agent = await made(ada)
    path = f"/api/voice/agents/{agent['id']}"
    template(house, agent)["systemPrompt"] = "You sell used cars."
    assert (await ada.get(path)).body["status"] == "healed"
    assert template(house, agent)["systemPrompt"].startswith(AGENT["prompt"])
    del house.ultravox.things.agents[agent["ultravoxId"]]
    got = await ada.get(path)
    assert (got.status, got.body["status"]) == (200, "healed")
    assert got.body["ultravoxId"] != agent["ultravoxId"]
    assert template(house, got.body)["systemPrompt"].startswith(AGENT["prompt"])
    del house.ultravox.things.agents[got.body["ultravoxId"]]
    got = await ada.patch(path, {"language": "es"})
    assert (got.status, template(house, got.body)["languageHint"]) == (200, "es")


@pytest.mark.parametrize(
    ("trouble", "answer"),
    [
        (Trouble.UNAUTHORIZED_401, (502, "ai-credentials", None)),
        (Trouble.FORBIDDEN_403, (502, "ai-credentials", None)),
        (Trouble.PAYMENT_402, (502, "ai-payment", None)),
        (Trouble.TOO_MANY_429, (503, "ai-busy", "7")),
        (Trouble.TOO_MANY_429_BARE, (503, "ai-busy", "5")),
        (Trouble.INVALID_422, (422, "ai-refused", None)),
        (Trouble.ERROR_500, (503, "ai-unavailable", "5")),
        (Trouble.CUT_AFTER, (503, "ai-unavailable", "5")),
    ],
)
async def test_what_ultravox_does_not_do(
    house: House, ada: Client, trouble: Trouble, answer: tuple[int, str, str | None]
) -> None:
    house.ultravox.retry_after = 7
    house.ultravox.befall(trouble, on=CREATE)
    got = await ada.post("/api/voice/agents", AGENT)
    assert (got.status, got.code, got.headers.get("Retry-After")) == answer
    assert (await ada.get("/api/voice/agents")).body["count"] == 0


async def test_what_ultravox_says_is_passed_on(ada: Client) -> None:
    got = await ada.post("/api/voice/agents", AGENT | {"voice": "Nobody"})
    assert (got.status, got.code) == (422, "ai-refused")
    assert "Voice Nobody does not exist" in got.body["detail"]


async def test_an_agent_is_there_though_ultravox_is_away(house: House, ada: Client) -> None:
    agent = await made(ada)
    path = f"/api/voice/agents/{agent['id']}"
    house.ultravox.always(Trouble.ERROR_500)
    try:
        got = await ada.get(path)
        assert (got.status, got.body["status"]) == (200, "unavailable")
        assert got.body["prompt"] == AGENT["prompt"]
        refused = await ada.patch(path, {"name": "Ben"})
        assert (refused.status, refused.code) == (503, "ai-unavailable")
        assert (await ada.get(path)).body["name"] == AGENT["name"]
        assert (await ada.delete(path)).status == 200
        assert (await ada.get(path)).status == 404
    finally:
        house.ultravox.always(None)


async def test_a_request_that_is_sent_again_makes_one_agent(house: House, ada: Client) -> None:
    before = len(house.ultravox.things.agents)
    got = [await ada.post("/api/voice/agents", AGENT, Idempotency_Key="again") for _ in range(2)]
    assert got[0].body == got[1].body
    assert got[1].headers["Idempotency-Replayed"] == "true"
    assert len(house.ultravox.things.agents) == before + 1


@pytest.mark.parametrize("name", [NOBODY, "nobody", NOBODY.upper(), "steps"])
async def test_there_is_no_such_agent(ada: Client, name: str) -> None:
    got = await ada.get(f"/api/voice/agents/{name}")
    assert (got.status, got.code) == (404, "agent-not-found")


async def test_the_agent_of_a_did(house: House, ada: Client, bob: Client) -> None:
    agent, theirs, did = await made(ada), await made(bob), new_did()
    got = await ada.post("/dids", {"did": did, "agent": agent["id"]})
    assert (got.status, got.body["agent"]) == (201, agent["id"])
    assert (await ada.get(f"/dids/{did}")).body["agent"] == agent["id"]
    assert (await ada.patch(f"/dids/{did}", {"label": "x"})).body["agent"] == agent["id"]
    for refused in (
        await ada.patch(f"/dids/{did}", {"agent": theirs["id"]}),
        await ada.post("/dids", {"did": new_did(), "agent": theirs["id"]}),
    ):
        assert (refused.status, refused.code, refused.pointers) == (404, "agent-not-found", ["/agent"])
    assert (await ada.patch(f"/dids/{did}", {"agent": None})).body["agent"] is None
    await ada.patch(f"/dids/{did}", {"agent": agent["id"]})
    await ada.delete(f"/api/voice/agents/{agent['id']}")
    assert (await ada.get(f"/dids/{did}")).body["agent"] is None
    assert (await house.ports.dids.get(ada.account, did)).agent is None
