"""The do-not-call lists in the database; ten thousand entries are one transaction."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from sqlalchemy import Row, delete, select

from trunx.adapters.store.bulk import Bulk
from trunx.adapters.store.database import Database
from trunx.adapters.store.paging import page_of, rows
from trunx.adapters.store.tables import suppressions
from trunx.domain.errors import NotFoundError
from trunx.domain.records import Page, Rows, Suppression

_PORTION = 1_000  # rows made ready at once, which holds up the event loop for 3 ms


class Suppressions:
    """Fulfils the port of the same name."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._bulk = Bulk(database.dialect, suppressions, "DO NOTHING")

    async def add(self, entries: Sequence[Suppression]) -> int:
        # In one order, so that two lists with the same numbers do not wait for each other.
        ordered = sorted(entries, key=attrgetter("account", "number"))
        added = 0
        async with self._database.writing() as connection:
            for start in range(0, len(ordered), _PORTION):
                added += await self._bulk.write(connection, ordered[start : start + _PORTION])
        return added

    async def get(self, account: str, number: str) -> Suppression:
        query = select(suppressions).where(suppressions.c.account == account, suppressions.c.number == number)
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            raise NotFoundError(number)
        return _read(row)

    async def page(self, account: str, page: Page) -> Rows[Suppression]:
        query = select(suppressions).where(suppressions.c.account == account)
        query = page_of(query, page, suppressions.c.created_at, suppressions.c.number)
        async with self._database.reading() as connection:
            found = [_read(row) for row in await connection.execute(query)]
        return rows(found, page, lambda entry: (entry.created_at, entry.number))

    async def delete(self, account: str, number: str) -> None:
        statement = delete(suppressions).where(
            suppressions.c.account == account, suppressions.c.number == number
        )
        async with self._database.writing() as connection:
            if (await connection.execute(statement)).rowcount == 0:
                raise NotFoundError(number)


def _read(row: Row[Any]) -> Suppression:
    return Suppression(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping
