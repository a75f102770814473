"""The contract's examples of AI calls, typed as they stand and answered as they are written.

On a real Asterisk, and with a stand-in for Ultravox that calls it. Changed are the address, the key, and the
ids, which are ours to give. What answers hold beyond the contract's fields comes after them.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import dialplan
from tests.cli.command import Serving
from tests.pages import answered, ask, make_run
from tests.peers.agent_side import AgentSide, Leg, admit, agent_side
from tests.peers.world import pbx_and_world
from tests.secrecy import SIP_PASSWORD, SIP_USER

CALL = """\
curl -X POST https://api.trunx.io/api/voice \\
-H "Authorization: Bearer tk_live_..." \\
-H "Content-Type: application/json" \\
-d '{
"from": "+14155559876",
"to": "+14155551234",
"systemPrompt": "You are calling to confirm a dental appointment for tomorrow at 2pm. \
Be friendly and professional.",
"voice": "Mark",
"firstSpeaker": "agent",
"temperature": 0.7,
"maxDuration": "300s"
}'"""
PLACED = {
    "id": "a1b2c3d4-e5f6-7890-abcd-ef1234567890",
    "callId": "CAxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "status": "initiated",
}
GET = """\
curl "https://api.trunx.io/api/voice/a1b2c3d4-e5f6-7890-abcd-ef1234567890" \\
-H "Authorization: Bearer tk_live_...\""""
GOT: dict[str, Any] = {
    "id": "a1b2c3d4-e5f6-7890-abcd-ef1234567890",
    "from": "+14155559876",
    "to": "+14155551234",
    "status": "completed",
    "provider": "ultravox",
    "direction": "outbound",
    "duration": 142,
    "createdAt": "2026-03-09T15:30:00.000Z",
    "ai": {
        "status": "ended",
        "transcript": "Agent: Hi, this is Sarah calling from Downtown Dental...\nUser: Yes, this is John...",
        "duration": 140,
        "endReason": "hangup",
    },
}
DELETE = """\
curl -X DELETE "https://api.trunx.io/api/voice/a1b2c3d4-e5f6-7890-abcd-ef1234567890" \\
-H "Authorization: Bearer tk_live_...\""""
AGENT_CALL = """\
curl -X POST https://api.trunx.io/api/voice/agents/a1b2c3d4-e5f6-7890-abcd-ef1234567890/call \\
  -H "Authorization: Bearer tk_live_..." \\
  -H "Content-Type: application/json" \\
  -d '{
    "to": "+14155551234"
  }'"""
AGENT_PLACED = PLACED | {"agentId": "a1b2c3d4-e5f6-7890-abcd-ef1234567890"}

SHOWN = PLACED["id"]


@asynccontextmanager
async def on_asterisk(folder: Path) -> AsyncIterator[tuple[Serving, AgentSide]]:
    """As `make run` starts it, with an Asterisk that dials; its callees answer, and stay."""
    async with pbx_and_world("") as (pbx, world), agent_side(world, pbx.ports.sip) as side:
        assert side.peer is not None
        await admit(pbx)
        ways = {
            "ami_url": pbx.ami_url,
            "trunk": "trunk",
            "ultravox_api_key": side.peer.key,
            "ultravox_url": side.peer.url,
            "ultravox_sip": f"sip:{SIP_USER}:{SIP_PASSWORD}@127.0.0.1:{pbx.ports.sip};transport=udp",
        }
        with make_run(folder, **ways) as server:
            await pbx.dialplan(dialplan.render(f"agi://127.0.0.1:{server.agi_port}/inbound"))
            yield server, side


async def typed(server: Serving, curl: str, name: str = SHOWN) -> tuple[int, Any]:
    """What a curl gets; it does not hold up the vendor, who lives in our event loop."""
    return await asyncio.to_thread(answered, server, curl.replace(SHOWN, name))


def first(answer: dict[str, Any], shown: dict[str, Any]) -> dict[str, Any]:
    """The fields that the contract shows, in the order in which the answer has them."""
    return {name: value for name, value in answer.items() if name in shown}


async def test_an_ai_call_is_placed_and_looked_at_as_the_contract_shows(tmp_path: Path) -> None:
    async with on_asterisk(tmp_path) as (server, side):
        assert side.peer is not None
        peer = side.peer

        async def is_so(call: str, **ai: Any) -> dict[str, Any]:
            async with asyncio.timeout(20):
                while True:
                    _, got = await typed(server, GET, call)
                    if ai.items() <= got["ai"].items():
                        return dict(got)

        async def talk(leg: Leg) -> None:
            said = [line.partition(": ") for line in str(GOT["ai"]["transcript"]).split("\n")]
            for speaker, _, words in said:
                peer.say(leg.call["callId"], speaker.upper(), words)
            await leg.listen(60)

        side.behave("dental appointment", act=talk)
        assert ask(server, "POST", "/dids", {"did": GOT["from"]})[0] == 201

        status, placed = await typed(server, CALL)
        call = placed["id"]
        assert (status, list(placed)) == (201, list(PLACED))
        assert placed == PLACED | {"id": call, "callId": "CA" + call.replace("-", "")}

        leg = await side.leg("dental appointment", 20)
        assert leg.call["voice"] == "Mark"
        assert (leg.call["temperature"], leg.call["maxDuration"]) == (0.7, "300s")
        assert leg.call["firstSpeaker"] == "FIRST_SPEAKER_AGENT"
        await is_so(call, status="joined")
        assert await typed(server, DELETE, call) == (200, {"ended": True})

        got = await is_so(call, transcript=GOT["ai"]["transcript"])
        lasted = {"duration": got["ai"]["duration"], "endReason": got["ai"]["endReason"]}
        known = {"id": call, "duration": got["duration"], "createdAt": got["createdAt"]}
        assert first(got, GOT) == GOT | known | {"ai": GOT["ai"] | lasted}
        assert [*first(got, GOT)] == [*GOT], "in the contract's order"
        assert [*got["ai"]] == [*GOT["ai"]]
        assert got["ai"]["endReason"] in ("hangup", "agent_hangup"), "who was quicker is Ultravox' to say"
        assert 0 <= got["ai"]["duration"] <= got["duration"] + 1
        assert re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{3}Z", got["createdAt"])


async def test_an_agent_calls_as_the_contract_shows(tmp_path: Path) -> None:
    """The caller's number is picked: it is not named."""
    async with on_asterisk(tmp_path) as (server, side):
        made = {"name": "Appointment Confirmer", "prompt": "You confirm appointments."}
        assert ask(server, "POST", "/dids", {"did": GOT["from"]})[0] == 201
        status, agent = await asyncio.to_thread(ask, server, "POST", "/api/voice/agents", made)
        assert (status, list(agent)) == (201, ["id", "name", "ultravoxId"])

        status, placed = await typed(server, AGENT_CALL, agent["id"])
        assert (status, list(placed)) == (201, list(AGENT_PLACED))
        call = placed["id"]
        expected = {"id": call, "callId": "CA" + call.replace("-", ""), "agentId": agent["id"]}
        assert placed == AGENT_PLACED | expected

        leg = await side.leg(call, 20)
        assert leg.call["agentId"] == agent["ultravoxId"]
        assert await typed(server, DELETE, call) == (200, {"ended": True})
        assert (await typed(server, AGENT_CALL))[0] == 404
