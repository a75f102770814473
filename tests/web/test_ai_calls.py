"""AI calls over HTTP: what is asked for and refused, what a call tells of its talk, and its end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from tests.web.house import Client, House, serving
from tests.web.test_calls import call as inbound_call
from tests.web.test_outbound import TO, owned
from trunx.adapters.store.database import Database
from trunx.adapters.store.dials import Dials
from trunx.domain.agent import AgentBrief, PromptBrief
from trunx.domain.call import Status, new_call_id
from trunx.domain.dial import Dial
from trunx.domain.talk import Talk, TalkRequest, TalkState, new_token
from trunx.engine.settling import moment
from trunx.engine.talk_truth import TalkTruth
from trunx.web.application import create_application

PROMPT = {"systemPrompt": "You are calling to confirm a dental appointment. Be friendly."}
TOOL: dict[str, object] = {
    "modelToolName": "lookUpOrder",
    "description": "Looks up an order.",
    "dynamicParameters": [
        {
            "name": "order",
            "location": "PARAMETER_LOCATION_PATH",
            "schema": {"type": "string"},
            "required": True,
        }
    ],
    "http": {"baseUrlPattern": "https://example.com/orders/{order}", "httpMethod": "GET"},
}


@pytest_asyncio.fixture(loop_scope="session")
async def bea(house: House) -> Client:
    """A user with an account of her own, so that nobody else's calls count."""
    return await house.client("Bea")


def truth(house: House) -> TalkTruth:
    """What looks after talks: here it does when it is told to."""
    assert house.ports.ai.truth is not None
    return house.ports.ai.truth


async def dial_of(house: House, client: Client, call: str) -> Dial:
    """What was asked for with a call, as it is kept."""
    async with Database.open(f"sqlite:///{house.folder}/trunx.db") as database:
        dial = (await Dials(database, server="web-tests").get(client.account, call))[1]
    assert dial is not None
    return dial


async def talk_in(house: House, client: Client, call: str) -> Talk:
    """A talk whose call Ultravox has made."""
    talk = Talk(new_call_id(), call, client.account, None, new_token(), TalkState.WANTED, moment(), 300)
    await house.ports.ai.talks.add(talk)
    made = await house.vendor.create_call(
        TalkRequest(talk.id, call, talk.token, PromptBrief("Be kind."), {}, {}, talk.max_seconds)
    )
    return await truth(house).hear(made)


async def looked_over(house: House) -> None:
    """A round of looking after talks, as it would be half a minute from now."""
    await truth(house).look_over(datetime.now(UTC) + timedelta(seconds=30))


async def test_an_ai_call_is_placed_like_any_other(house: House, bea: Client) -> None:
    did = await owned(bea)
    body = {
        "from": did,
        "to": TO,
        **PROMPT,
        "voice": "Mark",
        "model": "fixie-ai/ultravox-70B",
        "firstSpeaker": "user",
        "temperature": 0.7,
        "maxDuration": "60s",
        "tools": [TOOL],
        "metadata": {"order": "4711"},
    }
    got = await bea.post("/api/voice", body)
    call = got.body["id"]
    assert (got.status, got.body) == (
        201,
        {"id": call, "callId": "CA" + call.replace("-", ""), "status": "initiated"},
    )
    assert (await house.asterisk.order(call))["Variable"] == ["TRUNX_MAX_SECONDS=61"]
    row = (await bea.get(f"/api/voice/{call}")).body
    assert (row["provider"], row["metadata"]) == ("ultravox", {"order": "4711"})
    assert row["ai"] == {"status": "wanted", "transcript": None, "duration": 0, "endReason": None}
    assert (await dial_of(house, bea, call)).ai == PromptBrief(
        prompt=PROMPT["systemPrompt"],
        model="fixie-ai/ultravox-70B",
        voice="Mark",
        tools=(TOOL,),
        first_speaker="user",
        temperature=0.7,
    )
    orders = [one["metadata"].get("callId") for one in house.ultravox.calls.values()]
    assert call not in orders, "the agent costs nothing while it rings"
    assert (await bea.delete(f"/api/voice/{call}")).body == {"ended": True}
    row = (await bea.get(f"/api/voice/{call}")).body
    assert row["ai"] == {"status": "failed", "transcript": None, "duration": 0, "endReason": "canceled"}


async def test_how_long_an_ai_call_lasts(house: House, bea: Client) -> None:
    did = await owned(bea)
    body = {"from": did, "to": TO, **PROMPT}
    for asked, seconds in ((body, 300), (body | {"maxDuration": "14400s"}, 14_400)):
        call = (await bea.post("/api/voice", asked)).body["id"]
        assert (await dial_of(house, bea, call)).max_seconds == seconds


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"model": "m"}, "/model"),
        ({"voice": "Mark"}, "/voice"),
        ({"tools": []}, "/tools"),
        ({"firstSpeaker": "user"}, "/firstSpeaker"),
        ({"temperature": 0}, "/temperature"),
        ({**PROMPT, "ivr": "menu"}, "/ivr"),
        ({**PROMPT, "hold": "default"}, "/hold"),
        ({**PROMPT, "hold": "silence"}, "/hold"),
        ({**PROMPT, "metadata": {"requestId": "x"}}, "/metadata/requestId"),
        ({**PROMPT, "metadata": {"ultravox.x": "x"}}, "/metadata/ultravox.x"),
        ({**PROMPT, "tools": [TOOL, TOOL]}, "/tools/1/modelToolName"),
        ({"systemPrompt": ""}, "/systemPrompt"),
        ({**PROMPT, "firstSpeaker": "nobody"}, "/firstSpeaker"),
        ({**PROMPT, "temperature": 1.1}, "/temperature"),
        ({**PROMPT, "voice": "Mark\nx"}, "/voice"),
        ({**PROMPT, "model": "a b"}, "/model"),
        ({**PROMPT, "maxDuration": "5m"}, "/maxDuration"),
        ({**PROMPT, "tools": [TOOL | {"modelToolName": "look up"}]}, "/tools/0/modelToolName"),
        ({**PROMPT, "tools": [TOOL | {"http": None}]}, "/tools/0/http"),
        ({**PROMPT, "tools": [{"modelToolName": "a", "description": "b"}]}, "/tools/0/http"),
        *(
            ({**PROMPT, "tools": [TOOL | {"http": {"baseUrlPattern": url}}]}, "/tools/0/http/baseUrlPattern")
            for url in ("http://example.com", "https://", "ftp://example.com", "https://a.example/x y")
        ),
        ({**PROMPT, "tools": [TOOL | {"surprise": 1}]}, "/tools/0/surprise"),
    ],
)
async def test_what_does_not_go_together_is_refused(
    house: House, bea: Client, fields: dict[str, object], pointer: str
) -> None:
    did = await owned(bea)
    got = await bea.post("/api/voice", {"from": did, "to": TO, **fields})
    assert (got.status, got.code) == (422, "invalid-body"), got
    assert got.pointers == [pointer]
    assert not house.asterisk.dialled_by(did)


async def test_a_tool_of_ultravox_own_needs_no_address(house: House, bea: Client) -> None:
    tool = {"modelToolName": "playDtmfSounds", "description": "Presses keys."}
    got = await bea.post("/api/voice", {"from": await owned(bea), "to": TO, **PROMPT, "tools": [tool]})
    assert got.status == 201
    brief = (await dial_of(house, bea, got.body["id"])).ai
    assert isinstance(brief, PromptBrief)
    assert [*brief.tools] == [tool | {"dynamicParameters": []}]


async def test_the_gate_is_asked(bea: Client) -> None:
    did = await owned(bea)
    agent = (await bea.post("/api/voice/agents", {"name": "Ann", "prompt": "Be kind."})).body["id"]
    await bea.post("/suppression", {"number": "+14155552680"})
    for path, body in (
        ("/api/voice", {"from": did, "to": "+14155552680", **PROMPT}),
        (f"/api/voice/agents/{agent}/call", {"from": did, "to": "+14155552680"}),
    ):
        got = await bea.post(path, body)
        assert (got.status, got.code) == (403, "suppressed")


async def test_an_agent_calls(house: House, bea: Client, bob: Client) -> None:
    did = await owned(bea)
    new = {"name": "Ann", "prompt": "Be kind.", "max_duration": 120}
    agent = (await bea.post("/api/voice/agents", new)).body["id"]
    path, body = f"/api/voice/agents/{agent}/call", {"from": did, "to": TO}
    got = await bea.post(path, body, Idempotency_Key="once")
    call = got.body["id"]
    assert (got.status, got.body) == (
        201,
        {"id": call, "callId": "CA" + call.replace("-", ""), "status": "initiated", "agentId": agent},
    )
    again = await bea.post(path, body, Idempotency_Key="once")
    assert (again.body, again.headers["Idempotency-Replayed"]) == (got.body, "true")
    assert (await house.asterisk.order(call))["Variable"] == ["TRUNX_MAX_SECONDS=121"]
    dial = await dial_of(house, bea, call)
    assert (dial.ai, dial.max_seconds) == (AgentBrief(agent), 120)
    row = (await bea.get(f"/api/voice/{call}")).body
    assert (row["provider"], row["ai"]["status"]) == ("ultravox", "wanted")
    for stranger, name in ((bea, new_call_id()), (bea, "nobody"), (bob, agent)):
        refused = await stranger.post(f"/api/voice/agents/{name}/call", body)
        assert (refused.status, refused.code) == (404, "agent-not-found")
    assert (await bea.post(path, {"from": did})).pointers == ["/to"]


async def test_a_call_tells_of_its_talk(house: House, bea: Client) -> None:
    did = await owned(bea)
    call = (await bea.post("/api/voice", {"from": did, "to": TO, **PROMPT})).body["id"]
    talk = await talk_in(house, bea, call)
    assert (await bea.get(f"/api/voice/{call}")).body["ai"]["status"] == "created"
    vendor_call = str(talk.vendor_call)
    await house.ultravox.join(vendor_call)
    house.ultravox.say(vendor_call, "AGENT", "Hi, this is Sarah.")
    house.ultravox.say(vendor_call, "USER", "Yes, this is John.")
    await looked_over(house)
    ai = (await bea.get(f"/api/voice/{call}")).body["ai"]
    assert ai == {"status": "joined", "transcript": None, "duration": 0, "endReason": None}
    await house.ultravox.end(vendor_call)
    await looked_over(house)
    row = (await bea.get(f"/api/voice/{call}")).body
    assert row["ai"] == {
        "status": "ended",
        "transcript": "Agent: Hi, this is Sarah.\nUser: Yes, this is John.",
        "duration": row["ai"]["duration"],
        "endReason": "hangup",
    }
    listed = (await bea.get("/api/voice")).body["calls"]
    assert [one.get("ai") for one in listed] == [row["ai"]]
    events = (await bea.get(f"/api/voice/{call}/events")).body["events"]
    types = [event["type"] for event in events if event["type"].startswith("talk.")]
    assert types == ["talk.created", "talk.joined", "talk.ended", "talk.transcribed"]
    assert events[0]["data"]["provider"] == "ultravox"


async def test_several_talks_of_one_call_are_told_together(house: House, ada: Client) -> None:
    """An inbound caller who comes back to an agent; a call without any has no `ai`."""
    plain, one = inbound_call(ada.account, 0), inbound_call(ada.account, 1, Status.ANSWERED)
    for row in (plain, one):
        house.recorder.call(row)
    await house.recorder.flush()
    for words in ("Good morning.", "Me again."):
        talk = await talk_in(house, ada, one.id)
        await house.ultravox.join(str(talk.vendor_call))
        house.ultravox.say(str(talk.vendor_call), "AGENT", words)
        await house.ultravox.end(str(talk.vendor_call), "agent_hangup")
        await looked_over(house)
    got = (await ada.get(f"/api/voice/{one.id}")).body
    assert (got["provider"], got["ai"]["status"], got["ai"]["endReason"]) == (
        *("asterisk", "ended", "agent_hangup"),
    )
    assert got["ai"]["transcript"] == "Agent: Good morning.\nAgent: Me again."
    assert "ai" not in (await ada.get(f"/api/voice/{plain.id}")).body


async def test_the_end_of_a_call_ends_the_vendors(house: House, bea: Client) -> None:
    call = (await bea.post("/api/voice", {"from": await owned(bea), "to": TO, **PROMPT})).body["id"]
    talk = await talk_in(house, bea, call)
    await house.ultravox.join(str(talk.vendor_call))
    assert (await bea.delete(f"/api/voice/{call}")).body == {"ended": True}
    await looked_over(house)
    shown = await house.ultravox.control.over(str(talk.vendor_call))
    assert shown["endReason"] in ("hangup", "agent_hangup")
    await looked_over(house)
    assert (await bea.get(f"/api/voice/{call}")).body["ai"]["status"] == "ended"


@asynccontextmanager
async def without_agents(house: House, client: Client) -> AsyncIterator[Client]:
    """The same server where nobody can talk to an agent."""
    door = replace(house.ports.ai, off="the operator has not set ULTRAVOX_API_KEY", truth=None)
    async with serving(create_application(replace(house.ports, ai=door))) as url:
        yield Client(house.session, url, client.account, client.secret)


async def test_where_there_are_no_agents(house: House, bea: Client) -> None:
    did = await owned(bea)
    agent = (await bea.post("/api/voice/agents", {"name": "Ann", "prompt": "Be kind."})).body["id"]
    async with without_agents(house, bea) as client:
        for path, body in (
            ("/api/voice", {"from": did, "to": TO, **PROMPT}),
            (f"/api/voice/agents/{agent}/call", {"from": did, "to": TO}),
        ):
            got = await client.post(path, body)
            assert (got.status, got.code) == (503, "ai-off")
            assert "ULTRAVOX_API_KEY" in got.body["detail"]
        plain = (await client.post("/api/voice", {"from": did, "to": TO})).body["id"]
        assert (await client.delete(f"/api/voice/{plain}")).body == {"ended": True}
