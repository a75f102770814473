"""Reading calls, on both engines; the recorder has written them."""

from datetime import UTC, datetime, timedelta

import pytest

from trunx.adapters.store.calls import Calls
from trunx.adapters.store.database import Database
from trunx.adapters.store.recorder import Recorder
from trunx.domain.call import Call, Status
from trunx.domain.errors import NotFoundError
from trunx.domain.records import CallFilter, Page
from trunx.engine import ports

_START = datetime(2026, 5, 17, 12, 0, tzinfo=UTC)


async def _three(database: Database, account: str) -> list[Call]:
    made = [
        Call("c0", "CA0", account, "inbound", "+1", "+2", Status.ANSWERED, _START),
        Call("c1", "CA1", account, "outbound", "+2", "+3", Status.FAILED, _START + timedelta(minutes=1)),
        Call("c2", "CA2", account, "inbound", "+1", "+3", Status.FAILED, _START + timedelta(minutes=2)),
    ]
    async with Recorder(database, server="here") as recorder:
        for call in made:
            recorder.call(call)
    return made


@pytest.mark.parametrize(
    ("which", "found"),
    [
        (CallFilter(), [2, 1, 0]),
        (CallFilter(status="failed"), [2, 1]),
        (CallFilter(status="failed", direction="inbound"), [2]),
        (CallFilter(from_number="+1"), [2, 0]),
        (CallFilter(to_number="+3", from_number="+2"), [1]),
        (CallFilter(since=_START + timedelta(minutes=1)), [2, 1]),
        (CallFilter(until=_START + timedelta(minutes=1)), [0]),
    ],
)
async def test_a_list_can_be_narrowed(sqlite: Database, which: CallFilter, found: list[int]) -> None:
    calls: ports.Calls = Calls(sqlite)
    made = await _three(sqlite, "MA1")
    assert list((await calls.page("MA1", which, Page(10))).rows) == [made[number] for number in found]


async def test_pages(database: Database, account: str) -> None:
    calls, made = Calls(database), await _three(database, account)
    first = await calls.page(account, CallFilter(), Page(2))
    second = await calls.page(account, CallFilter(), Page(2, first.next))
    assert [*first.rows, *second.rows] == made[::-1]


async def test_an_account_sees_only_its_own(database: Database, account: str, other: str) -> None:
    calls = Calls(database)
    await _three(database, account)
    assert (await calls.page(other, CallFilter(), Page(10))).rows == []
    for refused in (calls.get(other, "c0"), calls.steps(other, "c0"), calls.events(other, "c0")):
        with pytest.raises(NotFoundError):
            await refused
    assert list(await calls.steps(account, "c0")) == []
