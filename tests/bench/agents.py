"""Many callers who go to an AI agent at the same moment: how soon the vendor calls, and whether any is lost.

The whole server with the stand-in for the vendor and the callers of `agi/caller.py`. Nothing sounds: a talk
is time that passes. From the answer to the vendor's INVITE a caller hears it ring, and the server works: a
row, a place, the vendor's agent, the order. `python -m tests.bench.agents` prints the figures.
"""

import asyncio
import sqlite3
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from agi.caller import Answered, Caller, Happening, Ring
from dialplan.names import VARIABLE_DID
from tests.journeys.server import Trunx, eventually
from tests.peers.ultravox import UltravoxPeer
from tests.secrecy import SIP_PASSWORD, SIP_USER, WEBHOOK_SECRETS

DID = "+19495550199"
_ENDED = "SELECT count(*) FROM talks WHERE settled AND state = 'ended'"


@dataclass(frozen=True, slots=True)
class Crowd:
    """`calls` at once, which came within so many seconds; seconds from answer to INVITE.

    Attributes:
        lost: callers who were not served to the end, or never got their agent.
        ended: talks whose row says so at the end.
    """

    calls: int
    within: float
    lost: int
    ended: int
    median: float
    p99: float
    longest: float


async def measure(calls: int = 100, within: float = 0.0, talk: float = 10.0) -> Crowd:
    """One crowd on a server of its own; all of them talk at the same time."""
    answered: dict[str, float] = {}
    invited: dict[str, float] = {}

    async def dial(call: dict[str, Any]) -> None:
        invited[call["requestContext"]["caller"]] = time.perf_counter()
        await peer.join(call["callId"])
        await asyncio.sleep(talk)
        await peer.end(call["callId"], "agent_hangup")

    async def place(number: int) -> bool:
        caller = f"+1415555{number:04}"

        def observe(happening: Happening) -> None:
            if isinstance(happening, Answered):
                answered[caller] = time.perf_counter()

        await asyncio.sleep(within * number / calls)
        ring = Ring(DID, caller, uniqueid=f"1.{number}", dials=("ANSWER",), talk=talk)
        ended = await Caller(ring, lambda _: 1.0, observe, {VARIABLE_DID: DID}).call(
            "127.0.0.1", trunx.agi_port
        )
        return ended == "server" and caller in invited

    with tempfile.TemporaryDirectory(prefix="trunx-bench-") as folder:
        sounds = Path(folder) / "sounds"
        sounds.mkdir()
        async with (
            UltravoxPeer.running(on_outgoing=dial) as peer,
            Trunx.serving(Path(folder) / "data", sounds, **_settings(peer)) as trunx,
        ):
            agent = {"name": "Crowded", "prompt": "You answer the telephone.", "default": True}
            await trunx.ask("POST", "/api/voice/agents", agent)
            await trunx.publish("crowd", DID, {"talk": {"action": "transfer"}})
            served = await asyncio.gather(*map(place, range(calls)))
            ended = await _ended(trunx, calls)
    waits = sorted(invited[caller] - answered[caller] for caller in invited)
    return Crowd(
        calls=calls,
        within=within,
        lost=calls - sum(served),
        ended=ended,
        median=median(waits),
        p99=quantiles(waits, n=100, method="inclusive")[98],
        longest=waits[-1],
    )


def _settings(peer: UltravoxPeer) -> dict[str, str]:
    return {
        "ultravox_api_key": peer.key,
        "ultravox_url": peer.url,
        "ultravox_sip": f"sip:{SIP_USER}:{SIP_PASSWORD}@127.0.0.1:5060",
        "ultravox_calls": "1000",
        "ultravox_webhook_secrets": WEBHOOK_SECRETS[0],
        "public_url": "http://127.0.0.1:{http_port}",
    }


async def _ended(trunx: Trunx, calls: int) -> int:
    """How many rows are right, as soon as all are, or else after a while."""
    last = 0

    async def all_of_them() -> int | None:
        nonlocal last
        with closing(sqlite3.connect(f"file:{trunx.database}?mode=ro", uri=True)) as database:
            ((last,),) = database.execute(_ENDED).fetchall()
        return last if last == calls else None

    try:
        return await eventually(all_of_them, 30.0)
    except AssertionError:
        return last


async def _main() -> None:
    for within in (0.0, 10.0):
        crowd = await measure(within=within, talk=20.0)
        print(
            f"{crowd.calls} talks at once, begun within {crowd.within:.0f} s: {crowd.lost} lost, "
            f"{crowd.ended} rows right; from answer to INVITE median {1000 * crowd.median:.0f} ms, "
            f"p99 {1000 * crowd.p99:.0f} ms, longest {1000 * crowd.longest:.0f} ms"
        )


if __name__ == "__main__":
    asyncio.run(_main())
