"""The accounts' log: events are written inside the transaction of the change that they tell.

`append`, `tell_calls` and `tell_suppressions` belong at the end of a transaction: they hold the accounts'
heads until its commit, which is what makes an account's events appear one after the other and without a gap.
Who waits for news hears of the commit by itself (`news.py`).
"""

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from pydantic_core import to_json
from sqlalchemy import Row, TextClause, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from trunx.adapters.cache.news import Bell, News, tell
from trunx.adapters.store.database import Database
from trunx.adapters.store.log_sql import Statements, statements
from trunx.adapters.store.tables import event_heads, events, milliseconds
from trunx.domain.call import Event
from trunx.domain.records import Suppression


class Written(NamedTuple):
    """An event as it is written. Of one call's events that are written together the smaller `place` is told
    first; a step's is twice its number.
    """

    account: str
    id: str
    call: str | None
    place: int
    type: str
    ms: int
    data: str


async def append(connection: AsyncConnection, told: Sequence[Event]) -> None:
    """Writes events; one whose `id` is in the log already is left out, and one without gets one."""
    if not told:
        return
    named = {event.id or f"{event.call or 'event'}:{secrets.token_hex(10)}": event for event in told}
    rows = [
        Written(event.account, name, event.call, place, event.type, milliseconds(event.at), _text(event.data))
        for place, (name, event) in enumerate(named.items())
    ]
    words = _statements(connection)
    asked = {"accounts": _accounts(event.account for event in told), "rows": _text(rows)}
    await _write(connection, words.hold, words.given, asked)


async def tell_calls(
    connection: AsyncConnection, calls: Mapping[str, int | None], rows: Sequence[Written] = ()
) -> None:
    """Writes what has not been told yet of calls (by id), as their rows are now: the present state, and each
    step from the one whose number is given. `rows` are told among these.
    """
    if not calls and not rows:
        return
    words = _statements(connection)
    asked = {"calls": _text(calls), "rows": _text(rows)}
    await _write(connection, words.hold_of_calls, words.of_calls, asked)


async def tell_suppressions(connection: AsyncConnection, added: Sequence[Suppression]) -> None:
    """Writes which of the entries are new; one that stood before is not told."""
    rows = list(
        dict.fromkeys((entry.account, entry.number, milliseconds(entry.created_at)) for entry in added)
    )
    words = _statements(connection)
    asked = {"accounts": _accounts(entry.account for entry in added), "rows": _text(rows)}
    await _write(connection, words.hold, words.of_suppressions, asked)


async def _write(
    connection: AsyncConnection, hold: TextClause | None, statement: TextClause, values: Mapping[str, str]
) -> None:
    if hold is not None:
        await connection.execute(hold, values)
    accounts = set((await connection.execute(statement, values)).scalars())
    if not accounts:
        return
    raise_heads = _statements(connection).raise_heads
    if raise_heads is not None:
        await connection.execute(raise_heads, {"accounts": _accounts(accounts)})
    tell(connection, accounts)


def _accounts(names: Iterable[str]) -> str:
    return _text([[name] for name in set(names)])


def _statements(connection: AsyncConnection) -> Statements:
    return statements(is_sqlite=connection.dialect.name == "sqlite")


def _text(value: object) -> str:
    return to_json(value).decode()


class Log:
    """Fulfils the port of the same name."""

    def __init__(self, database: Database, news: News) -> None:
        self._database = database
        self._news = news

    async def read(self, account: str, after: int, limit: int) -> Sequence[Event]:
        query = (
            select(events)
            .where(events.c.account == account, events.c.seq > after)
            .order_by(events.c.seq)
            .limit(limit)
        )
        async with self._database.reading() as connection:
            return [read(row) for row in await connection.execute(query)]

    async def head(self, account: str) -> int:
        query = select(event_heads.c.seq).where(event_heads.c.account == account)
        async with self._database.reading() as connection:
            return (await connection.execute(query)).scalar() or 0

    async def first(self, account: str) -> int:
        query = select(func.min(events.c.seq)).where(events.c.account == account)
        async with self._database.reading() as connection:
            found: int | None = (await connection.execute(query)).scalar()
        return await self.head(account) + 1 if found is None else found

    def listening(self, account: str) -> AbstractContextManager[Bell]:
        return self._news.listening(account)


def read(row: Row[Any] | Mapping[str, Any]) -> Event:
    """An event from its row."""
    # SQLAlchemy's public name for a row as a mapping.
    fields = row._mapping if isinstance(row, Row) else row  # noqa: SLF001
    return Event(**{**fields, "data": json.loads(fields["data"])})
