"""Two servers on one database, one Redis and one Asterisk: together they place what one of them might."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest_asyncio

import dialplan
from tests.adapters.valkey_peer import ValkeyPeer
from tests.journeys.scene import Asterisks
from tests.journeys.server import Trunx, eventually
from tests.peers.postgres import Postgres
from trunx.adapters.store.account_limits import AccountLimits
from trunx.adapters.store.accounts import Accounts
from trunx.adapters.store.database import Database
from trunx.domain.gate import Capacity, Limits

DID = "+19495550101"
_numbers = itertools.count(7_000)


@dataclass
class Office:
    """Both servers, and the world that they call."""

    one: Trunx
    other: Trunx
    asterisks: Asterisks
    database: Database
    valkey: ValkeyPeer
    account: str

    async def limit(self, **capacity: int) -> None:
        """What the account may do, from the next call on."""
        limits = Limits(capacity=Capacity(**{"per_second": 1_000, "at_once": 1_000, **capacity}))
        await AccountLimits(self.database).put(self.account, limits)

    async def place(self, trunx: Trunx) -> tuple[int, Any]:
        """A request for a call to a number that nobody else calls, and that answers."""
        number = f"+1415555{next(_numbers)}"
        return await trunx.ask("POST", "/api/voice", {"from": DID, "to": number})

    async def at_both(self, each: int) -> list[Any]:
        """So many requests at each server at once; the calls that were placed. The rest was refused."""
        asked = [self.place(trunx) for _ in range(each) for trunx in (self.one, self.other)]
        answers = await asyncio.gather(*asked)
        refused = [answer for status, answer in answers if status != 201]
        assert {answer["status"] for answer in refused} <= {429}, refused
        assert {(answer["rule"], answer["inputs"]["scope"]) for answer in refused} <= {
            ("capacity", "account")
        }
        return [answer for status, answer in answers if status == 201]

    async def all_hang_up(self) -> None:
        """The callees do."""
        _, world = self.asterisks
        await world.ami.action("Hangup", Channel="/^PJSIP/", Cause="16")

    async def lives(self, trunx: Trunx, count: int) -> None:
        """Waits until so many calls are up, and all others over."""

        async def so() -> bool | None:
            calls = (await trunx.get("/api/voice", limit="200"))["calls"]
            live = [call["status"] for call in calls if call["endedAt"] is None]
            return live == ["answered"] * count or None

        await eventually(so, within=20)

    @property
    def places(self) -> int:
        """How many of the account's places are taken."""
        answer = self.valkey.command("ZCARD", f"trunx:lease:out:account:{self.account}")
        return int(answer.strip(b":\r\n"))


@pytest_asyncio.fixture(loop_scope="session")
async def office(asterisks: Asterisks, tmp_path: Path) -> AsyncIterator[Office]:
    pbx, _ = asterisks
    valkey = ValkeyPeer(tmp_path / "valkey")
    valkey.start()
    with Postgres.running() as cluster:
        url = cluster.create("shared")
        shared = {
            "ami_url": pbx.ami_url,
            "trunk": "trunk",
            "trunk_calls_per_second": "1000",
            "database_url": url,
            "redis_url": valkey.url,
        }

        @asynccontextmanager
        async def serving(name: str) -> AsyncIterator[Trunx]:
            (tmp_path / name).mkdir()
            async with Trunx.serving(tmp_path / name, pbx.sounds, server_name=name, **shared) as trunx:
                yield trunx

        try:
            async with serving("one") as one, serving("other") as other, Database.open(url) as database:
                (account,) = await Accounts(database).list_accounts()
                await pbx.dialplan(dialplan.render(agi_url=one.agi_url))
                assert (await one.ask("POST", "/dids", {"did": DID}))[0] == 201
                yield Office(one, other, asterisks, database, valkey, account.id)
        finally:
            valkey.kill()


def gaps(calls: Sequence[Any], most: int) -> list[float]:
    """Seconds from each call to the one that is `most` later."""
    times = sorted(datetime.fromisoformat(call["createdAt"]).timestamp() for call in calls)
    return [later - earlier for earlier, later in zip(times, times[most:], strict=False)]


async def test_what_an_account_may_at_once_and_in_a_second(office: Office) -> None:
    """1. Both are asked for 15 calls at once; the account may have seven. 2. These end, and there are seven
    places again. 3. Both are asked for more than the account may dial in a second, again and again.
    """
    await office.limit(at_once=7)
    for _ in range(2):
        assert len(await office.at_both(15)) == 7
        assert (await office.place(office.other))[1]["code"] == "too-many-calls"
        await office.lives(office.other, 7)
        await office.all_hang_up()
        await office.lives(office.one, 0)
        assert office.places == 0

    await office.limit(per_second=4)
    placed: list[Any] = []
    until = asyncio.get_running_loop().time() + 3.5
    while asyncio.get_running_loop().time() < until:
        placed += await office.at_both(4)
    calls = [await office.one.get(f"/api/voice/{call['id']}") for call in placed]
    assert len(calls) >= 12, "three seconds and a bit"
    assert min(gaps(calls, 4)) > 0.8, "no fifth call in a second, but for the way from Redis to the row"
    await office.all_hang_up()
    await office.lives(office.other, 0)


async def test_what_one_of_them_held_comes_free_when_it_is_killed(office: Office) -> None:
    """1. One server is killed, with calls that it has placed. 2. What lives counts for as long as it lives.
    3. The callees hang up: all places are free.
    """
    await office.limit(at_once=8)
    assert [status for status, _ in [await office.place(office.other) for _ in range(8)]] == [201] * 8
    await office.lives(office.other, 8)
    await office.other.kill()
    status, refused = await office.place(office.one)
    assert (status, refused["code"]) == (429, "too-many-calls")
    calls = (await office.one.get("/api/voice"))["calls"]

    async def settled() -> bool | None:
        """Each is either up or over: what was kept and not dialled, the other dials."""
        rows = [await office.one.get(f"/api/voice/{call['id']}") for call in calls]
        return all(row["status"] in ("answered", "failed") for row in rows) or None

    await eventually(settled, within=30)
    await office.all_hang_up()
    await office.lives(office.one, 0)

    async def free() -> bool | None:
        return office.places == 0 or None

    await eventually(free)
    placed = [await office.place(office.one) for _ in range(8)]
    assert [status for status, _ in placed] == [201] * 8
    await office.lives(office.one, 8)
    await office.all_hang_up()
    await office.lives(office.one, 0)
