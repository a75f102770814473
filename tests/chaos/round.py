"""One round: calls are placed all at once, everything dies in turn, and what is left is counted.

Whoever is refused, or has lost a server that kept nothing of the request, asks again. Whoever cannot know
does not, but for those who have an Idempotency-Key.
"""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

import dialplan
from tests.chaos.found import Found
from tests.chaos.relay import Relay
from tests.chaos.stage import Numbers, Stage
from tests.journeys.listening import Shelf
from tests.journeys.server import KEY, Trunx
from tests.peers.ami import AmiError
from tests.peers.receiver import Receiver

LEFT_AT_MOST = 30.0
"""Seconds after the last fault in which all must be over."""

_DID = "+19495550100"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.3, 3.0


@dataclass(frozen=True)
class Plan:
    """What a round is made of; all else follows from `seed`.

    Attributes:
        calls: requests at once, at the beginning.
        later: requests one by one while the faults happen.
        seconds: in which the faults begin.
        lasts: the shortest and the longest `maxDuration`.
        rings: the `timeout` of each call.
        kills: how often our process is killed (SIGKILL) and started again.
        cuts: how often the connection to the manager interface is reset, and refused for a moment.
        freezes: how often nothing passes on it for a while, and nobody is told.
        restarts: how often the pbx ends (SIGKILL or SIGTERM) and is started again.
    """

    seed: int
    calls: int = 200
    later: int = 20
    seconds: float = 20.0
    lasts: tuple[int, int] = (15, 40)
    rings: int = 6
    kills: int = 3
    cuts: int = 2
    freezes: int = 1
    restarts: int = 1
    longest_freeze: float = 14.0


class Round:
    """A round under way."""

    def __init__(self, plan: Plan, stage: Stage, numbers: Numbers, trunx: Trunx, relay: Relay) -> None:
        self._plan = plan
        self._stage = stage
        self._trunx = trunx
        self._relay = relay
        self._chance = random.Random(plan.seed)
        self._numbers = [numbers.new() for _ in range(plan.calls + plan.later)]
        self._placed: dict[str, str] = {}
        self._faults: Counter[str] = Counter()
        self._at_once = 0
        self._client = aiohttp.ClientSession(
            trunx.url,
            headers={"Authorization": f"Bearer {KEY}"},
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=30),
        )

    async def run(self, receiver: Receiver) -> Found:
        """All of it, to the end."""
        try:
            watching = asyncio.create_task(self._watch())
            asking = [asyncio.create_task(self._ask(place)) for place in range(self._plan.calls)]
            coming = asyncio.create_task(self._ask_later())
            await self._all_faults()
            healed = time.monotonic()
            await asyncio.wait([coming, *asking], timeout=LEFT_AT_MOST / 2)
            live = await self._settled(receiver, healed)
            seconds = time.monotonic() - healed
            for task in (watching, coming, *asking):
                task.cancel()
            for task in (coming, *asking):
                with suppress(asyncio.CancelledError):
                    await task
            with suppress(asyncio.CancelledError):
                await watching
            return await self._found(receiver, live, seconds)
        finally:
            await self._client.close()

    # --- requests

    async def _ask_later(self) -> None:
        pause = self._plan.seconds / max(1, self._plan.later)
        async with asyncio.TaskGroup() as group:
            for place in range(self._plan.calls, len(self._numbers)):
                await asyncio.sleep(pause)
                group.create_task(self._ask(place))

    async def _ask(self, place: int) -> None:
        number, kind = self._numbers[place]
        chance = random.Random(f"{self._plan.seed}/{place}")
        body: dict[str, Any] = {
            "from": _DID,
            "to": number,
            "timeout": self._plan.rings,
            "maxDuration": chance.randint(*self._plan.lasts),
            "metadata": {"place": str(place)},
        }
        if kind == "63" or chance.random() < 0.2:
            body["ivr"] = "chaos"
        has_key, key, died, pause = place % 2 == 1, 0, False, _FIRST_PAUSE
        while True:
            headers = {"Idempotency-Key": f"{place}-{key}"} if has_key else {}
            match await self._said(body, headers):
                case "accepted":
                    return
                case "died" if not has_key and await self._is_kept(number):
                    return
                case "died":
                    died = True
                case "busy" if died:
                    # Who held the key is dead; it comes free within a minute, for which nobody waits here.
                    if await self._is_kept(number):
                        return
                    key, died = key + 1, False
                case "unsure" if not has_key:
                    return
                case "unsure":
                    died = False  # who has it lives
            await asyncio.sleep(pause * chance.uniform(0.5, 1.0))
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _said(self, body: dict[str, Any], headers: dict[str, str]) -> str:
        """What a request was answered with; `died`: who had it is dead."""
        try:
            async with self._client.post("/api/voice", json=body, headers=headers) as answer:
                said = await answer.json()
        except aiohttp.ClientConnectorError:
            return "refused"
        except aiohttp.ClientError:
            return "died"
        except TimeoutError:
            return "unsure"
        if answer.status == 201:
            self._placed[body["to"]] = said["id"]
            return "accepted"
        if answer.status == 409:
            return "busy"
        return "refused" if answer.status == 429 or said.get("code") == "ami-unavailable" else "unsure"

    async def _is_kept(self, number: str) -> bool:
        """Whether the server that is there now knows a call to that number."""
        while True:
            with suppress(aiohttp.ClientError, TimeoutError):
                async with self._client.get("/api/voice", params={"to": number}) as answer:
                    if answer.status == 200:
                        return bool((await answer.json())["calls"])
            await asyncio.sleep(1)  # the server is being started again

    # --- faults

    async def _all_faults(self) -> None:
        plan, chance = self._plan, self._chance
        server, network, asterisk = asyncio.Lock(), asyncio.Lock(), asyncio.Lock()
        # The first kill falls into the moment in which all is asked for at once.
        moments = [chance.uniform(0.05, 1.5), *(chance.uniform(0, plan.seconds) for _ in range(plan.kills))]
        faults = [self._fault(server, at, self._kill) for at in moments[: plan.kills]]
        for count, lock, fault in (
            (plan.cuts, network, self._cut),
            (plan.freezes, network, self._freeze),
            (plan.restarts, asterisk, self._restart),
        ):
            faults += [self._fault(lock, chance.uniform(0, plan.seconds), fault) for _ in range(count)]
        await asyncio.gather(*faults)

    async def _fault(self, lock: asyncio.Lock, at: float, fault: Callable[[float], Awaitable[None]]) -> None:
        chance = self._chance.random()
        await asyncio.sleep(at)
        async with lock:
            await fault(chance)

    async def _kill(self, chance: float) -> None:
        self._faults["kills"] += 1
        await self._trunx.kill()
        await asyncio.sleep(chance)
        await self._trunx.start()

    async def _cut(self, chance: float) -> None:
        self._faults["cuts"] += 1
        self._relay.cut()
        await asyncio.sleep(3 * chance)  # the fault itself: so long it is cut
        self._relay.mend()

    async def _freeze(self, chance: float) -> None:
        self._faults["freezes"] += 1
        self._relay.freeze()
        await asyncio.sleep(max(2.0, self._plan.longest_freeze * chance))
        self._relay.thaw()

    async def _restart(self, chance: float) -> None:
        self._faults["restarts"] += 1
        await (self._stage.pbx.kill() if chance < 0.5 else self._stage.pbx.stop())
        await asyncio.sleep(chance)
        await self._stage.pbx.start()

    # --- what is left

    async def _watch(self) -> None:
        """Has the most channels noted."""
        while True:
            with suppress(AmiError, OSError, TimeoutError):  # it is being restarted
                self._at_once = max(self._at_once, await self._stage.channels())
            await asyncio.sleep(0.5)  # channels and rows tell nobody when they go

    async def _settled(self, receiver: Receiver, healed: float) -> tuple[int, int]:
        """Waits until nothing is live and all is told, no longer than may be; what is still live then.

        After half of that time everybody who is called hangs up: how long people talk is no fault of ours.
        """
        while True:
            if time.monotonic() - healed > LEFT_AT_MOST / 2:
                await self._stage.hang_up()
            log = self._sql("SELECT count(*) AS count FROM events")[0]["count"]
            live = self._sql("SELECT count(*) AS count FROM calls WHERE ended_at IS NULL")[0]["count"]
            left = live, await self._stage.channels()
            told = len({body["data"]["id"] for body in receiver.got})
            if (not any(left) and told == log) or time.monotonic() - healed > LEFT_AT_MOST:
                return left
            await asyncio.sleep(0.5)  # channels and rows tell nobody when they go

    async def _found(self, receiver: Receiver, live: tuple[int, int], seconds: float) -> Found:
        dialled = {row["call"]: row["dialled_at"] for row in self._sql("SELECT call, dialled_at FROM dials")}
        rows = [row | {"dialledAt": dialled[row["id"]]} for row in await self._rows()]
        numbers = [number for number, _ in self._numbers]
        listed = {}
        for row in rows:
            listed[row["id"]] = (await self._trunx.get(f"/api/voice/{row['id']}/events"))["events"]
        return Found(
            requests=numbers,
            placed=self._placed,
            rows=rows,
            invites={number: count for number in numbers if (count := self._stage.invites.of(number))},
            log=await self._log(),
            got=[body["data"] for body in receiver.got],
            listed=listed,
            live=live,
            seconds=seconds,
            at_once=self._at_once,
            faults=self._faults,
        )

    async def _rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        query = {"limit": "100", "direction": "outbound"}
        while True:
            page = await self._trunx.get("/api/voice", **query)
            rows += page["calls"]
            if page["next"] is None:
                return rows
            query["cursor"] = page["next"]

    async def _log(self) -> list[dict[str, Any]]:
        path = {"after": "0", "follow": "false"}
        async with self._client.get("/api/events", params=path) as answer:
            lines = (await answer.text()).splitlines()
        return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]

    def _sql(self, query: str) -> list[sqlite3.Row]:
        with closing(sqlite3.connect(self._trunx.database)) as connection:
            connection.row_factory = sqlite3.Row
            return connection.execute(query).fetchall()


async def one_round(plan: Plan, stage: Stage, numbers: Numbers, folder: Path) -> Found:
    """A round with a server of its own in an empty folder."""
    async with Relay.to(stage.pbx.ports.ami) as relay, Receiver.open() as receiver:
        settings = {
            "ami_url": stage.pbx.ami_url.replace(f":{stage.pbx.ports.ami}", f":{relay.port}"),
            "trunk": "trunk",
            "trunk_calls": "1000",
            "trunk_calls_per_second": "1000",
            "webhook_private": "1",
        }
        async with Trunx.serving(folder, stage.pbx.sounds, **settings) as trunx:
            await stage.pbx.dialplan(dialplan.render(agi_url=trunx.agi_url))
            await _prepare(trunx, stage, receiver)
            found = await Round(plan, stage, numbers, trunx, relay).run(receiver)
    await stage.hang_up()
    return found


async def _prepare(trunx: Trunx, stage: Stage, receiver: Receiver) -> None:
    """An account that may place so many calls, a tree, and a webhook that is told of all."""
    code, printed = await trunx.command("accounts", "limits", "--per-second", "1000", "--at-once", "1000")
    assert code == 0, printed
    status, hook = await trunx.ask("POST", "/api/webhooks", {"url": receiver.url})
    assert status == 201, hook
    receiver.secret = hook["secret"]
    status, answer = await trunx.ask("POST", "/dids", {"did": _DID})
    assert status == 201, answer
    nodes = {
        "ask": {"audio": Shelf(stage.pbx, trunx.account).digits("ask", "99"), "gather": {"1": "bye"}},
        "bye": {"action": "hangup"},
    }
    status, answer = await trunx.ask("POST", "/ivr", {"id": "chaos", "nodes": nodes})
    assert status == 201, answer
