"""The contract's examples of actions on live calls, typed as they stand and answered as they are written.

On two real Asterisks. Changed are the address, the key, the account, and the ids, which are ours to give.
What the contract's notes say is in `test_contract_actions_notes.py`.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

from tests.journeys.acted_upon import act, acting, talking
from tests.journeys.recorded_calls import opened
from tests.journeys.scene import Scene
from tests.journeys.server import KEY
from tests.journeys.test_outbound import has

BASE = "https://api.tryvox.io/v1/voice/accounts/your_auth_id/calls/650e8400-e29b-41d4-a716-446655440000"
_HEADERS = """\
-H "Authorization: Bearer tvx_sk_live_..." \\
-H "Content-Type: application/json" \\
"""
TRANSFER = f"""\
curl -X POST {BASE}/transfer \\
{_HEADERS}-d '{{
"to": "+14155559999",
"caller_id": "+14155551234",
"answer_url": "https://example.com/transfer-answer"
}}'"""
TRANSFERRING = {
    "transfer_uuid": "850e8400-e29b-41d4-a716-446655440000",
    "status": "transferring",
    "to": "+14155559999",
}
RECORD = f"""\
curl -X POST {BASE}/record \\
{_HEADERS}-d '{{
"format": "mp3",
"max_length": 3600,
"trim_silence": true
}}'"""
RECORDING = {
    "recording_uuid": "950e8400-e29b-41d4-a716-446655440000",
    "status": "recording",
    "format": "mp3",
}
STOP = f"""\
curl -X DELETE {BASE}/record \\
-H "Authorization: Bearer tvx_sk_live_...\""""
STOPPED = {
    "recording_uuid": "950e8400-e29b-41d4-a716-446655440000",
    "status": "stopped",
    "url": "https://recordings.tryvox.io/950e8400-e29b-41d4-a716-446655440000.mp3",
    "duration": 125,
}
PLAY = f"""\
curl -X POST {BASE}/play \\
{_HEADERS}-d '{{
"url": "https://example.com/hold-music.mp3",
"loop": 0
}}'"""
PLAYING = {
    "play_uuid": "a50e8400-e29b-41d4-a716-446655440000",
    "status": "playing",
    "url": "https://example.com/hold-music.mp3",
}
SPEAK = f"""\
curl -X POST {BASE}/speak \\
{_HEADERS}-d '{{
"text": "Thank you for calling. Please hold while we connect you.",
"voice": "en-US-Neural-Jenny",
"language": "en-US",
"engine": "neural"
}}'"""
SPEAKING = {
    "speak_uuid": "b50e8400-e29b-41d4-a716-446655440000",
    "status": "speaking",
    "text": "Thank you for calling. Please hold while we connect you.",
}
DTMF = f"""\
curl -X POST {BASE}/dtmf \\
{_HEADERS}-d '{{
"digits": "1234*#"
}}'"""
SENT = {
    "dtmf_uuid": "c50e8400-e29b-41d4-a716-446655440000",
    "status": "sent",
    "digits": "1234*#",
}


async def typed(scene: Scene, curl: str, call: str) -> tuple[int, dict[str, Any]]:
    """Status and JSON of what a curl of the contract gets."""
    command = (
        curl.replace("https://api.tryvox.io", scene.trunx.url)
        .replace("your_auth_id", scene.trunx.account)
        .replace("650e8400-e29b-41d4-a716-446655440000", call)
        .replace("tvx_sk_live_...", KEY)
        .replace("curl ", "curl -s -w '\\n%{http_code}' ", 1)
    )
    shell = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", command, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await shell.communicate()
    body, _, status = printed.decode().rpartition("\n")
    return int(status), json.loads(body)


async def test_the_examples_are_answered_as_they_are_written(tmp_path: Path) -> None:
    async with acting(tmp_path) as scene, talking(scene) as (call, _):

        async def shows(curl: str, shown: dict[str, Any], status: int, *given: str) -> dict[str, Any]:
            got = await typed(scene, curl, call)
            assert (got[0], list(got[1])) == (status, list(shown)), got
            assert got[1] == shown | {name: got[1][name] for name in given}
            return got[1]

        started = await shows(RECORD, RECORDING, 201, "recording_uuid")
        await asyncio.sleep(2)
        stopped = await shows(STOP, STOPPED, 200, "recording_uuid", "url", "duration")
        assert stopped["recording_uuid"] == started["recording_uuid"]
        assert isinstance(stopped["duration"], int)
        await opened(stopped["url"])
        ids = [started["recording_uuid"]]
        for curl, shown in ((PLAY, PLAYING), (SPEAK, SPEAKING), (DTMF, SENT), (TRANSFER, TRANSFERRING)):
            name = next(iter(shown))
            ids.append((await shows(curl, shown, 201, name))[name])
        assert all(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", one) for one in ids)
        _, listed = await act(scene, call, "actions", method="GET")
        assert [one["kind"] for one in listed["actions"]] == ["record", "play", "speak", "dtmf", "transfer"]
        assert [one["action_uuid"] for one in listed["actions"]] == ids
        await has(scene.trunx, call, "completed")
        await scene.trunx.ask("DELETE", f"/api/voice/{ids[-1]}")
