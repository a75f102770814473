"""What came of the DIDs' last calls, and which of them rest, in both databases."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from sqlalchemy import insert, update

from trunx.adapters.store.database import Database
from trunx.adapters.store.dids import Dids
from trunx.adapters.store.standings import Standings, did_standings
from trunx.adapters.store.suppressions import Suppressions
from trunx.adapters.store.tables import calls, dids, now
from trunx.domain.call import EndReason, Status, new_call_id
from trunx.domain.errors import NotFoundError
from trunx.domain.health import LAST_CALLS, NEWEST_CALLS, WINDOW, Kept, Roll, Seen, State, Use
from trunx.domain.records import Suppression
from trunx.engine import picking

DID, TO = "+19495551234", "+14155552671"
NOW = now()


@pytest.fixture
def standings(database: Database) -> picking.Standings:
    return Standings(database)


class Made:
    """Calls to write."""

    def __init__(self, database: Database, account: str) -> None:
        self._database = database
        self._account = account
        self._rows: list[dict[str, object]] = []

    def call(
        self,
        reason: EndReason | None,
        *,
        talked: float | None = None,
        ago: timedelta = timedelta(hours=1),
        did: str = DID,
        to: str = TO,
        direction: str = "outbound",
    ) -> None:
        """One call, which was answered if somebody `talked` (seconds); without `reason` it is still live."""
        at = NOW - ago
        answered = None if talked is None else at + timedelta(seconds=5)
        ended = None if reason is None else (answered or at) + timedelta(seconds=talked or 5)
        name = new_call_id()
        status = Status.COMPLETED if answered else Status.FAILED
        self._rows.append(
            {
                "id": name,
                "call_id": name,
                "account": self._account,
                "direction": direction,
                "from_number": did,
                "to_number": to,
                "status": status if ended else Status.RINGING,
                "created_at": at,
                "answered_at": answered,
                "ended_at": ended,
                "end_reason": reason,
                "server": "",
            }
        )

    async def write(self) -> None:
        async with self._database.writing() as connection:
            await connection.execute(insert(calls), self._rows)


@pytest.fixture
async def made(database: Database, account: str) -> Made:
    await Dids(database).create(account, DID, None, None)
    return Made(database, account)


async def seen(standings: picking.Standings, account: str, at: datetime = NOW) -> Seen:
    """The only DID, asked for alone and with all."""
    (one,) = await standings.seen(account, at)
    assert await standings.one(account, DID, at) == one
    return one


@pytest.mark.usefixtures("made")
async def test_a_did_that_has_made_no_calls(
    standings: picking.Standings, database: Database, account: str, other: str
) -> None:
    did = await Dids(database).get(account, DID)
    assert await seen(standings, account) == Seen(DID, did.created_at, None, Use(), 0)
    assert await standings.seen(other, NOW) == []
    for asked in (standings.one(other, DID, NOW), standings.one(account, TO, NOW)):
        with pytest.raises(NotFoundError):
            await asked


async def test_what_counts_and_what_does_not(standings: picking.Standings, made: Made, account: str) -> None:
    made.call(EndReason.HANGUP_CALLEE, talked=5.9)
    made.call(EndReason.HANGUP_CALLEE, talked=6)
    made.call(EndReason.HANGUP_CALLER, talked=2)
    made.call(EndReason.MAX_DURATION, talked=600)
    for reason in (EndReason.BUSY, EndReason.NO_ANSWER, EndReason.REJECTED, EndReason.REJECTED):
        made.call(reason)
    for nothing in (
        *(EndReason.UNREACHABLE, EndReason.TIMEOUT, EndReason.CANCELED, EndReason.BLOCKED),
        *(EndReason.LOST, EndReason.ERROR, None),
    ):
        made.call(nothing)
    made.call(EndReason.HANGUP_CALLEE, talked=1, direction="inbound")
    made.call(EndReason.REJECTED, did="+19495550000")
    made.call(EndReason.REJECTED, ago=WINDOW + timedelta(minutes=1))
    await made.write()
    one = await seen(standings, account)
    assert one.use == Use(calls=8, answered=4, short=1, rejected=2, suppressed=0, newest=8, newest_answered=4)
    assert one.today == 15


async def test_the_last_calls_count_and_of_these_the_newest_are_the_trend(
    standings: picking.Standings, made: Made, account: str
) -> None:
    for number in range(LAST_CALLS + 10):
        answered = number < NEWEST_CALLS - 5 or number >= LAST_CALLS
        made.call(
            EndReason.HANGUP_CALLEE if answered else EndReason.BUSY,
            talked=60 if answered else None,
            ago=timedelta(hours=number, minutes=1),
        )
    await made.write()
    one = await seen(standings, account)
    taken = NEWEST_CALLS - 5
    assert one.use == Use(calls=LAST_CALLS, answered=taken, newest=NEWEST_CALLS, newest_answered=taken)
    assert one.today == 24


async def test_who_asks_not_to_be_called_soon_after_a_call(
    standings: picking.Standings, database: Database, made: Made, account: str, other: str
) -> None:
    numbers = [f"+1415555267{digit}" for digit in range(5)]
    soon, late, before, unanswered, of_another = numbers
    for number in numbers:
        made.call(
            EndReason.NO_ANSWER if number == unanswered else EndReason.SUPPRESSED,
            talked=None if number == unanswered else 30,
            ago=timedelta(hours=30),
            to=number,
        )
    await made.write()

    def asked(number: str, ago: timedelta, owner: str = account) -> Suppression:
        return Suppression(owner, number, "api", None, None, NOW - ago)

    entries: Sequence[Suppression] = [
        asked(soon, timedelta(hours=29)),
        asked(late, timedelta(hours=5)),
        asked(before, timedelta(hours=31)),
        asked(unanswered, timedelta(hours=29)),
        asked(of_another, timedelta(hours=29), other),
    ]
    await Suppressions(database).add(entries)
    one = await seen(standings, account)
    assert (one.use.answered, one.use.suppressed, one.today) == (4, 1, 0)


async def test_a_rest_is_remembered_until_the_number_has_another_owner(
    standings: picking.Standings, database: Database, made: Made, account: str, other: str
) -> None:
    made.call(EndReason.REJECTED)
    await made.write()
    for kept in (Kept(State.RESTING, now()), Kept(State.WARMING, now() + timedelta(days=2))):
        await standings.keep({DID: kept})
        assert (await seen(standings, account)).kept == kept
    resting = Kept(State.RESTING, now())
    await standings.keep({DID: resting})
    await Dids(database).delete(account, DID)
    assert await standings.seen(account, NOW) == []
    await Dids(database).create(other, DID, None, None)
    async with database.writing() as connection:
        later = resting.since + timedelta(milliseconds=1)
        await connection.execute(update(dids).values(created_at=later))
    assert await seen(standings, other) == Seen(DID, later, None, Use(), 0)


@pytest.mark.usefixtures("made")
async def test_the_roll_tells_who_comes_and_who_goes(
    standings: picking.Standings, database: Database, account: str
) -> None:
    first = (await Dids(database).get(account, DID)).created_at
    assert await standings.roll(account) == Roll(1, first)
    second = (await Dids(database).create(account, TO, None, None)).created_at
    assert await standings.roll(account) == Roll(2, second)
    await Dids(database).delete(account, DID)
    assert await standings.roll(account) == Roll(1, second)
    await Dids(database).delete(account, TO)
    assert await standings.roll(account) == Roll(0, None)


async def test_many_dids_come_in_portions(
    standings: picking.Standings, database: Database, made: Made, account: str
) -> None:
    rows = [
        {"did": f"+1212555{line:04}", "account": account, "created_at": NOW, "revision": 1}
        for line in range(1_200)
    ]
    async with database.writing() as connection:
        await connection.execute(insert(dids), rows)
    made.call(EndReason.REJECTED, did="+12125550700")
    await made.write()
    found = {one.did: one for one in await standings.seen(account, NOW)}
    assert len(found) == 1_201
    assert [did for did, one in found.items() if one.use.rejected] == ["+12125550700"]


def test_the_table_is_one_of_the_tables() -> None:
    assert did_standings.metadata is calls.metadata
