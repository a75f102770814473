"""Recordings, and the server's own secrets, in the database."""

import secrets as random_bytes
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Select, Update, delete, func, literal, or_, select, update
from sqlalchemy.exc import IntegrityError

from trunx.adapters.store.database import Database
from trunx.adapters.store.log import append
from trunx.adapters.store.paging import page_of, rows
from trunx.adapters.store.recording_tables import recordings, secrets
from trunx.adapters.store.tables import Moment, calls, now
from trunx.domain.call import Call, EndReason, Event, Status
from trunx.domain.errors import ExistsError, NotFoundError
from trunx.domain.log import EventType, rfc3339
from trunx.domain.recording import (
    BEFORE,
    Kept,
    Recording,
    RecordingFilter,
    RecordingState,
    StillRecordedError,
)
from trunx.domain.records import Page, Rows

_SHOWN = [column for column in recordings.columns if column.name != "next_at"]
_CALL = [column for column in calls.columns if column.name in Call._fields]
_SEEN = recordings.c.state != RecordingState.DELETED.value
_PORTION = 500  # names in one statement


class Recordings:
    """Fulfils the port `RecordingRows`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, recording: Recording) -> None:
        values = {column.name: getattr(recording, column.name) for column in _SHOWN}
        due = now() if recording.state is RecordingState.FETCHING else None
        try:
            async with self._database.writing() as connection:
                await connection.execute(recordings.insert().values(values | {"next_at": due}))
        except IntegrityError:
            raise ExistsError(recording.call) from None

    async def get(self, recording_id: str, account: str | None = None) -> Recording:
        query = select(*_SHOWN).where(recordings.c.id == recording_id, _SEEN)
        if account is not None:
            query = query.where(recordings.c.account == account)
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            raise NotFoundError("recording")
        return _read(row)

    async def page(self, account: str, which: RecordingFilter, page: Page) -> Rows[Recording]:
        query = select(*_SHOWN).where(recordings.c.account == account, _SEEN)
        if which.call is not None:
            query = query.where(recordings.c.call == which.call)
        if which.since is not None:
            query = query.where(recordings.c.started_at >= which.since)
        if which.until is not None:
            query = query.where(recordings.c.started_at < which.until)
        query = page_of(query, page, recordings.c.started_at, recordings.c.id)
        async with self._database.reading() as connection:
            found = [_read(row) for row in await connection.execute(query)]
        return rows(found, page, lambda one: (one.started_at, one.id))

    async def of_calls(self, account: str, calls: Collection[str]) -> Mapping[str, Sequence[Recording]]:
        query = (
            select(*_SHOWN)
            .where(recordings.c.call.in_(calls), recordings.c.account == account, _SEEN)
            .order_by(recordings.c.started_at, recordings.c.id)
        )
        found: dict[str, list[Recording]] = {}
        async with self._database.reading() as connection:
            for row in await connection.execute(query):
                found.setdefault(row.call, []).append(_read(row))
        return found

    async def live(self) -> Sequence[tuple[Recording, datetime | None]]:
        query: Select[Any] = (
            select(*_SHOWN, calls.c.ended_at)
            .outerjoin_from(recordings, calls, calls.c.id == recordings.c.call)
            .where(recordings.c.state == RecordingState.RECORDING.value)
        )
        async with self._database.reading() as connection:
            return [(_read(row), row.ended_at) for row in await connection.execute(query)]

    async def pause(self, recording_id: str, *, paused: bool) -> bool:
        live = recordings.c.state == RecordingState.RECORDING.value
        async with self._database.writing() as connection:
            changed = await connection.execute(_one(recording_id).where(live).values(paused=paused))
        return changed.rowcount > 0

    async def stop(self, recording_id: str, at: datetime, kept: timedelta) -> Recording | None:
        live = select(*_SHOWN).where(
            recordings.c.id == recording_id, recordings.c.state == RecordingState.RECORDING.value
        )
        async with self._database.writing() as connection:
            row = (await connection.execute(live.with_for_update())).first()
            if row is None:
                return None
            stopped = _read(row).stopped(at, kept)
            values = {
                "state": stopped.state.value,
                "stopped_at": stopped.stopped_at,
                "expires_at": stopped.expires_at,
                "next_at": now(),
            }
            await connection.execute(_one(recording_id).values(values))
        return stopped

    async def ready(self, recording: Recording, kept: Kept) -> bool:
        values = {
            "ms": kept.ms,
            "bytes": kept.bytes,
            "problem": None,
            "stopped_at": recording.ended_at(kept.ms),
        }
        return await self._settle(recording.id, RecordingState.READY, values)

    async def fail(self, recording_id: str, problem: str, at: datetime, kept: timedelta) -> bool:
        values = {
            "problem": problem,
            "stopped_at": func.coalesce(recordings.c.stopped_at, literal(at, Moment)),
            "expires_at": func.coalesce(recordings.c.expires_at, literal(at + kept, Moment)),
        }
        return await self._settle(recording_id, RecordingState.FAILED, values)

    async def _settle(self, recording_id: str, state: RecordingState, values: dict[str, Any]) -> bool:
        settled = _to(state, recording_id).values(values | {"state": state.value, "next_at": None})
        async with self._database.writing() as connection:
            row = (await connection.execute(settled.returning(*_SHOWN))).first()
            if row is None:
                return False
            await append(connection, [_told(_read(row))])
        return True

    async def delete(self, account: str, recording_id: str) -> Recording:
        own = recordings.c.account == account
        deleted = _to(RecordingState.DELETED, recording_id).where(own).values(_gone())
        query = select(recordings.c.id).where(recordings.c.id == recording_id, own, _SEEN)
        async with self._database.writing() as connection:
            row = (await connection.execute(deleted.returning(*_SHOWN))).first()
            if row is None:
                if (await connection.execute(query)).first() is None:
                    raise NotFoundError("recording")
                raise StillRecordedError(recording_id)
        return _read(row)

    async def expire(self) -> int:
        states = [state.value for state in BEFORE[RecordingState.DELETED]]
        is_over = recordings.c.expires_at <= now()
        expired = update(recordings).where(is_over, recordings.c.state.in_(states))
        traces = delete(recordings).where(is_over, ~_SEEN, recordings.c.next_at.is_(None))
        async with self._database.writing() as connection:
            await connection.execute(traces)
            return (await connection.execute(expired.values(_gone()))).rowcount

    async def claim(self, server: str, limit: int, until: datetime) -> Sequence[Recording]:
        state, of_server = recordings.c.state, recordings.c.server
        # A file is deleted by the process that has it.
        for_us = or_(state == RecordingState.FETCHING.value, of_server.is_(None), of_server == server)
        due = recordings.c.next_at <= now()
        some = select(recordings.c.id).where(due, for_us).order_by(recordings.c.next_at).limit(limit)
        async with self._database.reading() as connection:
            if (await connection.execute(some.limit(1))).first() is None:
                return []  # as nearly always; a write would wait for others
        taken = (
            update(recordings)
            # Once more, for those who look at the same moment: the second finds it moved.
            .where(recordings.c.id.in_(some), due)
            .values(next_at=until, server=server, tries=recordings.c.tries + 1)
            .returning(*_SHOWN)
        )
        async with self._database.writing() as connection:
            return [_read(row) for row in await connection.execute(taken)]

    async def release(self, server: str) -> None:
        ours = recordings.c.server == server, recordings.c.next_at > now()
        async with self._database.writing() as connection:
            await connection.execute(update(recordings).where(*ours).values(next_at=now()))

    async def later(self, recording_id: str, at: datetime, problem: str | None) -> None:
        waits = recordings.c.next_at.is_not(None)
        async with self._database.writing() as connection:
            await connection.execute(_one(recording_id).where(waits).values(next_at=at, problem=problem))

    async def forget(self, recording_id: str) -> None:
        gone = recordings.c.id == recording_id, ~_SEEN
        of_whole_call = recordings.c.id == recordings.c.call
        async with self._database.writing() as connection:
            await connection.execute(delete(recordings).where(*gone, ~of_whole_call))
            # Of that of a whole call a trace stays for its time: the call may go on, and would adopt it anew.
            await connection.execute(update(recordings).where(*gone).values(next_at=None))

    async def states(self, ids: Collection[str]) -> Mapping[str, RecordingState]:
        found: dict[str, RecordingState] = {}
        asked = sorted(ids)
        async with self._database.reading() as connection:
            for start in range(0, len(asked), _PORTION):
                portion = recordings.c.id.in_(asked[start : start + _PORTION])
                query = select(recordings.c.id, recordings.c.state).where(portion)
                found |= {row.id: RecordingState(row.state) for row in await connection.execute(query)}
        return found

    async def placed(self, ids: Collection[str]) -> Sequence[Call]:
        found: list[Call] = []
        asked = sorted(ids)
        ended = calls.c.direction == "outbound", calls.c.ended_at.is_not(None)
        async with self._database.reading() as connection:
            for start in range(0, len(asked), _PORTION):
                portion = calls.c.id.in_(asked[start : start + _PORTION])
                query = select(*_CALL).where(portion, *ended)
                found += [_call(row) for row in await connection.execute(query)]
        return found


class Secrets:
    """Fulfils the port of the same name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def secret(self, name: str) -> bytes:
        made = self._database.insert(secrets).values(
            name=name, value=random_bytes.token_bytes(32), created_at=now()
        )
        async with self._database.writing() as connection:
            await connection.execute(made.on_conflict_do_nothing())
            query = select(secrets.c.value).where(secrets.c.name == name)
            return bytes((await connection.execute(query)).scalar_one())


def _one(recording_id: str) -> Update:
    return update(recordings).where(recordings.c.id == recording_id)


def _to(state: RecordingState, recording_id: str) -> Update:
    """A change to `state`, if it can still become that."""
    return _one(recording_id).where(recordings.c.state.in_([before.value for before in BEFORE[state]]))


def _gone() -> dict[str, Any]:
    return {"state": RecordingState.DELETED.value, "next_at": now(), "problem": None}


def _told(settled: Recording) -> Event:
    data: dict[str, Any] = {"recording": settled.id, "format": settled.format, "channels": settled.channels}
    if settled.state is RecordingState.READY:
        kind = EventType.RECORDING_READY
        data |= {
            "duration": None if settled.ms is None else settled.ms / 1000,
            "bytes": settled.bytes,
            "expiresAt": None if settled.expires_at is None else rfc3339(settled.expires_at),
        }
    else:
        kind = EventType.RECORDING_FAILED
        data |= {"problem": settled.problem}
    named = f"{settled.call}:recording:{settled.id}"
    return Event(settled.account, settled.call, kind, now(), data, named)


def _read(row: Row[Any]) -> Recording:
    fields = {column.name: getattr(row, column.name) for column in _SHOWN}
    return Recording(**fields | {"state": RecordingState(row.state)})


def _call(row: Row[Any]) -> Call:
    fields = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping
    reason = fields["end_reason"]
    fields |= {"status": Status(row.status), "end_reason": None if reason is None else EndReason(reason)}
    return Call(**fields)
