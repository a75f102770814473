"""The contract's examples of plain calls, typed as they stand and answered as they are written.

On a real Asterisk, whose trunk has the provider's name of the contract. Changed are the address, the key, and
the ids, which are ours to give. What answers hold beyond the contract's fields comes after them.
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
from tests.peers.world import pbx_and_world

CALL = """\
curl -X POST https://api.trunx.io/api/voice \\
-H "Authorization: Bearer tk_live_..." \\
-H "Content-Type: application/json" \\
-d '{
"from": "+14155559876",
"to": "+14155551234"
}'"""
PLACED = {
    "id": "a1b2c3d4-e5f6-7890-abcd-ef1234567890",
    "callId": "CAxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "status": "initiated",
}
GET = """\
curl "https://api.trunx.io/api/voice/a1b2c3d4-e5f6-7890-abcd-ef1234567890" \\
-H "Authorization: Bearer tk_live_...\""""
GOT = {
    "id": "a1b2c3d4-e5f6-7890-abcd-ef1234567890",
    "from": "+14155559876",
    "to": "+14155551234",
    "status": "completed",
    "provider": "twilio",
    "direction": "outbound",
    "duration": 45,
    "createdAt": "2026-03-09T15:30:00.000Z",
}
DELETE = """\
curl -X DELETE "https://api.trunx.io/api/voice/a1b2c3d4-e5f6-7890-abcd-ef1234567890" \\
-H "Authorization: Bearer tk_live_...\""""
DELETED = {"ended": True}

SHOWN = PLACED["id"]

# As the operator of that trunk writes it, beside the test's own.
_TRUNK = """
[twilio]
type = endpoint
context = trunx-inbound
disallow = all
allow = ulaw
aors = twilio
media_address = 127.0.0.1
bind_rtp_to_media_address = yes
[twilio]
type = aor
contact = sip:127.0.0.1:{port}
"""


@asynccontextmanager
async def on_asterisk(folder: Path) -> AsyncIterator[Serving]:
    """As `make run` starts it, with an Asterisk that dials; its callees answer, and stay."""
    async with pbx_and_world("") as (pbx, world):
        config = pbx.folder / "etc" / "pjsip.conf"
        config.write_text(config.read_text("utf-8") + _TRUNK.format(port=world.ports.sip), "utf-8")
        await pbx.ami.command("module reload res_pjsip.so")
        with make_run(folder, ami_url=pbx.ami_url, trunk=GOT["provider"]) as server:
            await pbx.dialplan(dialplan.render(f"agi://127.0.0.1:{server.agi_port}/inbound"))
            yield server


def first(answer: dict[str, Any], shown: dict[str, Any]) -> dict[str, Any]:
    """The fields that the contract shows, in the order in which the answer has them."""
    return {name: value for name, value in answer.items() if name in shown}


async def test_a_plain_call_is_placed_looked_at_and_ended_as_the_contract_shows(tmp_path: Path) -> None:
    async with on_asterisk(tmp_path) as server:

        async def typed(curl: str, call: str = SHOWN) -> tuple[int, Any]:
            return await asyncio.to_thread(answered, server, curl.replace(SHOWN, call))

        status, refused = await typed(CALL)
        assert (status, refused["code"]) == (403, "from-not-owned")
        assert ask(server, "POST", "/dids", {"did": GOT["from"]})[0] == 201

        status, placed = await typed(CALL)
        call = placed["id"]
        assert (status, list(placed)) == (201, list(PLACED))
        assert placed == PLACED | {"id": call, "callId": "CA" + call.replace("-", "")}
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", call)

        async with asyncio.timeout(10):
            while (await typed(GET, call))[1]["status"] != "answered":
                pass
        assert await typed(DELETE, call) == (200, DELETED)

        status, got = await typed(GET, call)
        known = {"id": call, "duration": got["duration"], "createdAt": got["createdAt"]}
        assert (status, first(got, GOT)) == (200, GOT | known)
        assert list(first(got, GOT)) == list(GOT), "in the contract's order"
        assert 0 <= got["duration"] < 10
        assert isinstance(got["duration"], int)
        assert re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{3}Z", got["createdAt"])
        assert "ai" not in got

        for curl in (GET, DELETE):
            status, missing = await typed(curl)
            assert (status, missing["code"]) == (404, "call-not-found")
