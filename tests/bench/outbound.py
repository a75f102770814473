"""Calls that we place, on the whole server and two real Asterisks, and the events that tell of them.

All of it shares this machine: the server, its Valkey, both Asterisks, who asks, and who receives.
"""

import asyncio
import itertools
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

import dialplan
from tests.bench import picking
from tests.cli.command import DID, Serving, run, serving
from tests.peers.asterisk import Asterisk
from tests.peers.receiver import Receiver
from tests.peers.world import World, pbx_and_world

RATE = 10
"""New calls a second, of which the way to the INVITE is timed."""
AT_ONCE = 16
"""Requests under way while it is measured how many are accepted."""

UNLIMITED = (
    "--attempts",
    "1000000",
    "--per-second",
    "1000000",
    "--at-once",
    "1000000",
    "--for-inbound",
    "0",
)
_TALKING = "+1415555{:04}"
_BUSY = "+1415556{:04}"
_CALLEES = """
exten => _+1415555XXXX,1,Answer()
 same => n,Wait(3)
 same => n,Hangup(16)
exten => _+1415556XXXX,1,Hangup(17)
"""
_PATIENCE = 60.0
"""Seconds until all that is under way must have ended."""


@dataclass(frozen=True, slots=True)
class Size:
    """For how many seconds requests are sent one after the other, and calls placed at a steady rate; how many
    events a webhook gets at most, and among 10,000 DIDs with so many calls each how often one is picked.
    """

    accepting: float
    steady: float
    events: int
    calls_each: int
    picks: int


FULL = Size(accepting=15, steady=60, events=10_000, calls_each=20, picks=1_000)
QUICK = Size(accepting=4, steady=10, events=1_000, calls_each=5, picks=200)


@dataclass(frozen=True, slots=True)
class Outbound:
    """What was measured.

    Attributes:
        accepted: requests a second that were answered with 201, each then dialled, and busy.
        cpu_ms: the server's processor time for each of these, to its last event.
        waited_ms: from the request to the INVITE at the far side's Asterisk, of calls at the steady rate.
        talking: how many of these were up when the last one was placed.
        dialled: requests that were accepted, and the INVITEs that came of them.
        delivered: events a second that a webhook took, all of which were waiting.
        events: how many these were.
        picked: what it takes to choose the DID that calls.
    """

    accepted: float
    cpu_ms: float
    waited_ms: list[float]
    talking: int
    dialled: tuple[int, int]
    delivered: float
    events: int
    picked: picking.Picked


class _Place:
    """A server, the Asterisk that dials for it, and the world that is called."""

    def __init__(self, server: Serving, world: World, client: ClientSession) -> None:
        self._server = server
        self._world = world
        self._client = client
        self.count = 0

    async def place(self, to: str) -> None:
        await self._ask("POST", "/api/voice", {"from": DID, "to": to})
        self.count += 1

    async def accepted(self, seconds: float) -> tuple[float, float]:
        """Requests a second, and milliseconds of processor time each."""
        numbers = itertools.cycle(range(10_000))
        cpu, begun = self._cpu(), time.perf_counter()

        async def ask() -> int:
            count = 0
            while time.perf_counter() - begun < seconds:
                await self.place(_BUSY.format(next(numbers)))
                count += 1
            return count

        count = sum(await asyncio.gather(*(ask() for _ in range(AT_ONCE))))
        rate = count / (time.perf_counter() - begun)
        await self.over()
        return rate, 1e3 * (self._cpu() - cpu) / count

    async def waited(self, seconds: float) -> tuple[list[float], int]:
        """Milliseconds to each INVITE, and how many calls were up in the end."""
        asked: dict[str, float] = {}

        async def one(number: str) -> None:
            asked[number] = time.time()
            await self.place(number)

        with self._world.ami.watch("Newchannel", Context="callees") as arrived:
            begun = asyncio.get_running_loop().time()
            async with asyncio.TaskGroup() as placing:
                for count in range(round(RATE * seconds)):
                    await asyncio.sleep(begun + count / RATE - asyncio.get_running_loop().time())
                    placing.create_task(one(_TALKING.format(count)))
            talking = (await self._ask("GET", "/api/voice?status=answered&limit=200"))["count"]
            await self.over()
            at = {event["Exten"]: float(event["Timestamp"]) for event in arrived.seen}
        return [1e3 * (at[number] - when) for number, when in asked.items()], talking

    async def delivered(self, most: int) -> tuple[float, int]:
        """Events a second that a webhook takes, and how many it took."""
        async with Receiver.open() as receiver:
            webhook = await self._ask("POST", "/api/webhooks", {"url": receiver.url})
            receiver.secret = webhook["secret"]
            begun = time.perf_counter()
            path = f"/api/webhooks/{webhook['id']}/redeliver"
            events = (await self._ask("POST", path, {"from": 1, "to": most}))["redelivered"]
            await receiver.until(lambda: len(receiver.got) >= events, _PATIENCE * 5)
            rate = events / (time.perf_counter() - begun)
            await self._ask("DELETE", f"/api/webhooks/{webhook['id']}")
        return rate, events

    async def over(self) -> None:
        """Waits for the end of all calls."""
        async with asyncio.timeout(_PATIENCE):
            for status in ("initiated", "ringing", "answered"):
                path = f"/api/voice?status={status}&limit=1"
                while (await self._ask("GET", path))["count"]:  # noqa: ASYNC110 - rows have no event
                    await asyncio.sleep(0.05)

    def _cpu(self) -> float:
        # The clock of another process (clock_getcpuclockid(3)).
        return time.clock_gettime((~self._server.process.pid << 3) | 2)

    async def _ask(self, method: str, path: str, body: object = None) -> Any:
        async with self._client.request(method, path, json=body) as answer:
            if answer.status >= 300:
                raise RuntimeError(f"{method} {path}: {await answer.text()}")
            return await answer.json()


async def measure(size: Size) -> Outbound:
    """Places calls, and has their events delivered.

    Raises:
        RuntimeError: there is no Asterisk here, and none can be made; or a request was refused.
    """
    async with pbx_and_world("", _CALLEES) as (pbx, world), _placing(pbx, world) as place:
        with world.ami.watch("Newchannel", Context="callees") as arrived:
            await place.accepted(0.5)  # what is done once, is done
            accepted, cpu_ms = await place.accepted(size.accepting)
            waited_ms, talking = await place.waited(size.steady)
            dialled = place.count, len(arrived.seen)
        delivered, events = await place.delivered(size.events)
    picked = await picking.measure(calls_each=size.calls_each, picks=size.picks)
    return Outbound(accepted, cpu_ms, waited_ms, talking, dialled, delivered, events, picked)


@asynccontextmanager
async def _placing(pbx: Asterisk, world: World) -> AsyncIterator[_Place]:
    settings = {
        "ami_url": pbx.ami_url,
        "trunk": "trunk",
        "trunk_calls": 1_000_000,
        "trunk_calls_per_second": 1_000_000,
        "trunk_calls_inbound": 0,
        "webhook_private": 1,
    }
    with (
        tempfile.TemporaryDirectory(prefix="trunx-bench-") as folder,
        serving(Path(folder), **settings) as server,
    ):
        run(Path(folder), "accounts", "limits", *UNLIMITED, env=server.env())
        await pbx.dialplan(dialplan.render(f"agi://127.0.0.1:{server.agi_port}/inbound"))
        url, headers = f"http://127.0.0.1:{server.http_port}", {"Authorization": f"Bearer {server.key}"}
        async with ClientSession(url, headers=headers) as client:
            yield _Place(server, world, client)
