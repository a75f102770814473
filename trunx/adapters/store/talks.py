"""Talks in the database, on which everybody who hears of one writes; each move is told in the account's log.

`due_at` of a row is when the vendor is to be asked about it; whoever takes it then puts it off, so that of
several processes one asks, and another one does when that one has died.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from trunx.adapters.store.agent_tables import talks
from trunx.adapters.store.database import Database
from trunx.adapters.store.log import append
from trunx.adapters.store.tables import calls, now
from trunx.domain.call import EndReason, Event
from trunx.domain.errors import NotFoundError
from trunx.domain.log import EventType
from trunx.domain.records import TalkLease
from trunx.domain.talk import News, Talk, TalkState, due

_TALK = [column for column in talks.columns if column.name != "due_at"]
_PUT_OFF = timedelta(seconds=20)
"""How long one who has taken a talk to look at has for it."""

_OVER = [TalkState.ENDED.value, TalkState.FAILED.value]
# The call has ended and the talk has not. A call that a process has lost may still be there.
_ALONE = talks.c.state.not_in(_OVER) & (
    select(calls.c.id)
    .where(calls.c.id == talks.c.call, calls.c.ended_at.is_not(None), calls.c.end_reason != EndReason.LOST)
    .exists()
)

_TOLD = {
    TalkState.CREATED: EventType.TALK_CREATED,
    TalkState.JOINED: EventType.TALK_JOINED,
    TalkState.ENDED: EventType.TALK_ENDED,
    TalkState.FAILED: EventType.TALK_FAILED,
}


class Talks:
    """Fulfils the port of the same name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, talk: Talk) -> None:
        row = {column.name: getattr(talk, column.name) for column in _TALK}
        async with self._database.writing() as connection:
            await connection.execute(insert(talks).values(row | {"due_at": due(talk, now())}))
            await append(connection, _events(None, talk))

    async def settle(self, talk_id: str, news: News) -> Talk:
        async with self._database.writing() as connection:
            query = select(*_TALK).where(talks.c.id == talk_id).with_for_update()
            before = await _one(connection, query, talk_id)
            after = news(before)
            if before.settled:
                return before
            changed = {
                column.name: getattr(after, column.name)
                for column in _TALK
                if getattr(after, column.name) != getattr(before, column.name)
            }
            changed["due_at"] = due(after, now())
            await connection.execute(update(talks).where(talks.c.id == talk_id).values(changed))
            await append(connection, _events(before, after))
        return after

    async def get(self, talk_id: str) -> Talk:
        async with self._database.reading() as connection:
            return await _one(connection, select(*_TALK).where(talks.c.id == talk_id), talk_id)

    async def of_vendor(self, vendor_call: str) -> Talk:
        query = select(*_TALK).where(talks.c.vendor_call == vendor_call)
        async with self._database.reading() as connection:
            return await _one(connection, query, vendor_call)

    async def of_calls(self, ids: Collection[str]) -> Mapping[str, Sequence[Talk]]:
        query = select(*_TALK).where(talks.c.call.in_(ids)).order_by(talks.c.created_at, talks.c.id)
        found: dict[str, list[Talk]] = {}
        async with self._database.reading() as connection:
            for row in await connection.execute(query):
                found.setdefault(row.call, []).append(_talk(row))
        return found

    async def overdue(self, before: datetime, limit: int) -> Sequence[Talk]:
        which = ~talks.c.settled & or_(talks.c.due_at <= before, _ALONE)
        some = select(talks.c.id).where(which).order_by(talks.c.due_at).limit(limit)
        async with self._database.reading() as connection:
            if (await connection.execute(some)).first() is None:
                return ()
        async with self._database.writing() as connection:
            taken = (await connection.execute(some.with_for_update(skip_locked=True))).scalars().all()
            put_off = update(talks).where(talks.c.id.in_(taken)).values(due_at=before + _PUT_OFF)
            await connection.execute(put_off)
            query = select(*_TALK).where(talks.c.id.in_(taken)).order_by(talks.c.created_at, talks.c.id)
            return [_talk(row) for row in await connection.execute(query)]

    async def live(self) -> Sequence[TalkLease]:
        query = select(talks.c.account, talks.c.id).where(~talks.c.settled, talks.c.state.not_in(_OVER))
        async with self._database.reading() as connection:
            return [TalkLease(row.account, row.id) for row in await connection.execute(query)]


async def _one(connection: AsyncConnection, query: Any, name: str) -> Talk:
    row = (await connection.execute(query)).first()
    if row is None:
        raise NotFoundError(name)
    return _talk(row)


def _events(before: Talk | None, after: Talk) -> list[Event]:
    """What is new for the account."""
    types = []
    if after.state in _TOLD and (before is None or before.state is not after.state):
        types.append(_TOLD[after.state])
    if after.transcript is not None and (before is None or before.transcript is None):
        types.append(EventType.TALK_TRANSCRIBED)
    return [_event(after, type_) for type_ in types]


def _event(talk: Talk, type_: EventType) -> Event:
    data: dict[str, Any] = {"talk": talk.id, "agent": talk.agent, "ultravoxCallId": talk.vendor_call}
    moment = talk.created_at
    match type_:
        case EventType.TALK_JOINED:
            moment = talk.joined_at or moment
        case EventType.TALK_ENDED | EventType.TALK_FAILED | EventType.TALK_TRANSCRIBED:
            moment = talk.ended_at or moment
            data |= {"duration": talk.seconds or 0, "endReason": talk.end_reason}
    if type_ is EventType.TALK_TRANSCRIBED:
        data["transcript"] = talk.transcript
        moment = now()
    name = f"{talk.call}:{type_.replace('.', ':')}:{talk.id}"
    return Event(talk.account, talk.call, type_, moment, data, name)


def _talk(row: Row[Any]) -> Talk:
    return Talk(**{**row._mapping, "state": TalkState(row.state)})  # noqa: SLF001 - SQLAlchemy's public name
