"""Which DID is picked: of what is known for a minute, and of the DIDs that there are at the moment."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from tests.adapters.waiting import until
from tests.engine.conftest import Engine
from trunx.adapters.store.database import Database
from trunx.adapters.store.dids import Dids
from trunx.adapters.store.standings import Standings
from trunx.adapters.store.tables import milliseconds
from trunx.domain.errors import NotFoundError, UnavailableError
from trunx.domain.health import Kept, Roll, Seen, State
from trunx.engine.picking import AUTO, NoDidError, Picking

TO = "+14155552671"
NEAR, FAR = "+14155550100", "+12125550100"


class Counted:
    """The store, how often all DIDs were asked for, and a time that can be put forward."""

    def __init__(self, database: Database) -> None:
        self._store = Standings(database)
        self.reads = 0
        self.down = False

    async def roll(self, account: str) -> Roll:
        return await self._store.roll(account)

    async def seen(self, account: str, now: datetime) -> Sequence[Seen]:
        self.reads += 1
        if self.down:
            raise UnavailableError("the database is away")
        return await self._store.seen(account, now)

    async def one(self, account: str, did: str, now: datetime) -> Seen:
        return await self._store.one(account, did, now)

    async def keep(self, turned: Mapping[str, Kept]) -> None:
        await self._store.keep(turned)


@pytest.fixture
def store(engine: Engine) -> Counted:
    return Counted(engine.database)


@pytest.fixture
async def picking(store: Counted) -> AsyncIterator[Picking]:
    picking = Picking(store)
    yield picking
    await picking.close()


async def register(engine: Engine, *dids: str) -> None:
    for did in dids:
        await Dids(engine.database).create(engine.account, did, None, None)


def rejected(engine: Engine, did: str, calls: int = 60) -> None:
    """The DID has made calls that carriers did not take."""
    at = milliseconds(datetime.now(UTC) - timedelta(hours=30))
    with closing(sqlite3.connect(engine.folder / "trunx.db")) as database, database:
        database.executemany(
            "INSERT INTO calls (id, call_id, account, direction, from_number, to_number, status, "
            "created_at, ended_at, end_reason, server) "
            "VALUES (?, '', ?, 'outbound', ?, ?, 'failed', ?, ?, 'rejected', '')",
            ((f"{did}-{n}", engine.account, did, TO, at + n, at + n) for n in range(calls)),
        )


async def test_a_number_that_is_named_calls(picking: Picking, engine: Engine, store: Counted) -> None:
    assert await picking.caller(engine.account, FAR, TO) == FAR
    assert store.reads == 0


async def test_the_nearest_calls_and_its_equals_take_turns(picking: Picking, engine: Engine) -> None:
    second = "+14155550101"
    await register(engine, FAR, NEAR, second)
    for _ in range(2):
        assert await picking.caller(engine.account, AUTO, TO, calls=False) == NEAR
    callers = [await picking.caller(engine.account, AUTO, TO) for _ in range(4)]
    assert callers == [NEAR, second, NEAR, second]
    choices = await picking.pick(engine.account, TO, 10)
    assert [(choice.did, choice.today) for choice in choices] == [(NEAR, 2), (second, 2), (FAR, 0)]
    assert [choice.did for choice in await picking.pick(engine.account, "+12125552671", 1)] == [FAR]


async def test_nobody_calls_for_an_account_without_dids_and_newcomers_are_seen_at_once(
    picking: Picking, engine: Engine, store: Counted
) -> None:
    with pytest.raises(NoDidError) as none:
        await picking.caller(engine.account, AUTO, TO)
    assert not none.value.resting
    await register(engine, FAR)
    assert await picking.caller(engine.account, AUTO, TO) == FAR
    await register(engine, NEAR)
    assert await picking.caller(engine.account, AUTO, TO) == NEAR
    await Dids(engine.database).delete(engine.account, NEAR)
    assert await picking.caller(engine.account, AUTO, TO) == FAR
    assert store.reads == 4
    await asyncio.gather(*(picking.caller(engine.account, AUTO, TO) for _ in range(20)))
    assert store.reads == 4
    assert await picking.pick("MA-nobody", TO, 1) == []


async def test_many_that_ask_at_once_wait_for_one_read(
    picking: Picking, engine: Engine, store: Counted
) -> None:
    await register(engine, *(f"+141555501{line:02}" for line in range(10)))
    callers = await asyncio.gather(*(picking.caller(engine.account, AUTO, TO) for _ in range(40)))
    assert store.reads == 1
    assert sorted(callers.count(did) for did in set(callers)) == [4] * 10


async def test_a_tired_did_rests_and_says_so(picking: Picking, engine: Engine) -> None:
    await register(engine, NEAR, FAR)
    rejected(engine, NEAR)
    with capture_logs() as lines:
        assert await picking.caller(engine.account, AUTO, TO) == FAR
    assert [(line["did"], line["state"]) for line in lines if "did" in line] == [(NEAR, "resting")]
    one, standing = await picking.health(engine.account, NEAR)
    assert one.kept == Kept(State.RESTING, standing.since)
    assert (one.use.rejected, standing.state, standing.health) == (60, State.RESTING, 38)
    again = Picking(Standings(engine.database))  # as another process sees it
    choices = await again.pick(engine.account, TO, 10)
    assert [(one.did, one.usable) for one in choices] == [(FAR, True), (NEAR, False)]
    assert choices[1].standing.since == standing.since
    await Dids(engine.database).delete(engine.account, FAR)
    with pytest.raises(NoDidError) as none:
        await picking.caller(engine.account, AUTO, TO)
    assert none.value.resting
    with pytest.raises(NotFoundError):
        await picking.health(engine.account, FAR)


async def test_after_a_minute_it_is_read_aside(picking: Picking, engine: Engine, store: Counted) -> None:
    def is_a_minute_older() -> None:
        read = picking._reads[engine.account]
        picking._reads[engine.account] = read._replace(good_until=read.good_until - timedelta(seconds=61))

    await register(engine, NEAR, FAR)
    assert await picking.caller(engine.account, AUTO, TO) == NEAR
    rejected(engine, NEAR)
    assert await picking.caller(engine.account, AUTO, TO) == NEAR
    is_a_minute_older()
    store.down = True
    with capture_logs() as lines:
        assert await picking.caller(engine.account, AUTO, TO) == NEAR
        await until(lambda: bool(lines))
    assert lines[0]["event"].startswith("DIDs are picked by what they did before")
    store.down = False
    assert await picking.caller(engine.account, AUTO, TO) == NEAR
    await until(lambda: store.reads == 3 and not picking._renewals)
    assert await picking.caller(engine.account, AUTO, TO) == FAR
    is_a_minute_older()
    await picking.caller(engine.account, AUTO, TO)
    await picking.close()
    assert not picking._renewals
