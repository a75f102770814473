"""Calls, steps and events, for reading; `recorder.py` writes them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, cast, func, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from trunx.adapters.store.database import Database
from trunx.adapters.store.log import read
from trunx.adapters.store.paging import page_of, rows
from trunx.adapters.store.tables import LIVE, calls, dials, events, steps
from trunx.domain.call import Call, EndReason, Event, Left, Status, Step
from trunx.domain.errors import NotFoundError
from trunx.domain.records import CallFilter, Page, Rows

_CALL = [column for column in calls.columns if column.name != "server"]


class Calls:
    """Fulfils the port of the same name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, account: str, call: str) -> Call:
        query = select(*_CALL).where(calls.c.id == call, calls.c.account == account)
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            raise NotFoundError(call)
        return _call(row)

    async def page(self, account: str, which: CallFilter, page: Page) -> Rows[Call]:
        query = select(*_CALL).where(calls.c.account == account)
        for column, value in (
            (calls.c.status, which.status),
            (calls.c.direction, which.direction),
            (calls.c.from_number, which.from_number),
            (calls.c.to_number, which.to_number),
        ):
            if value is not None:
                query = query.where(column == value)
        if which.since is not None:
            query = query.where(calls.c.created_at >= which.since)
        if which.until is not None:
            query = query.where(calls.c.created_at < which.until)
        if which.metadata is not None:
            query = query.where(_has(self._database.dialect.name, *which.metadata))
        query = page_of(query, page, calls.c.created_at, calls.c.id)
        async with self._database.reading() as connection:
            found = [_call(row) for row in await connection.execute(query)]
        return rows(found, page, lambda call: (call.created_at, call.id))

    async def live(self, most: int) -> Sequence[Call]:
        """The newest `most` calls of all accounts that have not ended, newest first."""
        query = select(*_CALL).where(text(LIVE)).order_by(calls.c.created_at.desc(), calls.c.id.desc())
        async with self._database.reading() as connection:
            return [_call(row) for row in await connection.execute(query.limit(most))]

    async def steps(self, account: str, call: str) -> Sequence[Step]:
        query = select(steps).where(steps.c.call == call).order_by(steps.c.number)
        async with self._database.reading() as connection:
            await _owned(connection, account, call)
            return [_step(row) for row in await connection.execute(query)]

    async def events(self, account: str, call: str) -> Sequence[Event]:
        # An event of a call is named after it, and `;` follows `:`: the index of names finds them all.
        named_so = events.c.id > f"{call}:", events.c.id < f"{call};"
        query = select(events).where(*named_so).order_by(events.c.seq)
        async with self._database.reading() as connection:
            await _owned(connection, account, call)
            return [read(row) for row in await connection.execute(query)]


def _has(dialect: str, name: str, value: str) -> ColumnElement[bool]:
    """Whether a call that we placed was given `value` as `name`."""
    kept = dials.c.metadata
    if dialect == "sqlite":
        found = func.json_extract(kept, f'$."{name}"')
    else:
        found = func.jsonb_extract_path_text(cast(kept, JSONB), name)
    return select(dials.c.call).where(dials.c.call == calls.c.id, found == value).exists()


async def _owned(connection: AsyncConnection, account: str, call: str) -> None:
    query = select(calls.c.id).where(calls.c.id == call, calls.c.account == account)
    if (await connection.execute(query)).first() is None:
        raise NotFoundError(call)


def _call(row: Row[Any]) -> Call:
    fields = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping
    reason = fields["end_reason"]
    fields |= {"status": Status(row.status), "end_reason": None if reason is None else EndReason(reason)}
    return Call(**fields)


def _step(row: Row[Any]) -> Step:
    return Step(**{**row._mapping, "left": Left(row.left)})  # noqa: SLF001 - as above
