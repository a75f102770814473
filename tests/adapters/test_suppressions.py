"""The do-not-call lists, on both engines."""

from datetime import UTC, datetime, timedelta

import pytest

from trunx.adapters.store.database import Database
from trunx.adapters.store.suppressions import Suppressions
from trunx.domain.errors import NotFoundError
from trunx.domain.records import Page, Suppression
from trunx.engine import ports

_START = datetime(2026, 5, 17, 12, 30, 15, 123_000, tzinfo=UTC)


@pytest.fixture
def suppressions(database: Database) -> ports.Suppressions:
    return Suppressions(database)


def _entry(account: str, number: int, source: str = "api") -> Suppression:
    moment = _START + timedelta(milliseconds=number)
    return Suppression(account, f"+1949{number:07}", source, "said no: \"ä\" 'x' \\", None, moment)


async def test_an_entry_that_stands_is_left_as_it_was(suppressions: ports.Suppressions, account: str) -> None:
    entry = _entry(account, 1)
    assert await suppressions.add([entry, entry]) == 1
    assert await suppressions.add([_entry(account, 1, "ivr"), _entry(account, 2)]) == 1
    assert await suppressions.get(account, entry.number) == entry
    assert await suppressions.add([]) == 0


async def test_ten_thousand_at_once(suppressions: ports.Suppressions, account: str) -> None:
    entries = [_entry(account, number) for number in range(10_000)]
    assert await suppressions.add(entries[:4_000]) == 4_000
    assert await suppressions.add(entries) == 6_000
    page = await suppressions.page(account, Page(100))
    assert list(page.rows) == entries[:-101:-1]
    assert (await suppressions.page(account, Page(1, page.next))).rows == [entries[-101]]


async def test_lists_are_apart(suppressions: ports.Suppressions, account: str, other: str) -> None:
    await suppressions.add([_entry(account, 1), _entry(other, 1)])
    await suppressions.delete(other, "+19490000001")
    with pytest.raises(NotFoundError):
        await suppressions.delete(other, "+19490000001")
    with pytest.raises(NotFoundError):
        await suppressions.get(other, "+19490000001")
    assert (await suppressions.get(account, "+19490000001")).account == account
