"""Writes calls, steps and events to the database, behind the calls' back.

`call`, `step` and `event` only remember; one task writes what has come together, a statement for each table
whatever the number of rows. While the database is away the rows wait, up to `MOST_WAITING`.
"""

import asyncio
import itertools
import random
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Self

import structlog
from sqlalchemy import text, update
from sqlalchemy.exc import SQLAlchemyError

from trunx.adapters.store.bulk import Bulk
from trunx.adapters.store.database import Database
from trunx.adapters.store.tables import LIVE, calls, events, now, steps
from trunx.domain.call import Call, EndReason, Event, Status, Step
from trunx.domain.errors import UnavailableError
from trunx.domain.strict_json import dumps

GATHER = 0.1  # seconds that rows wait for others before they are written
BATCH = 1_500  # rows of one table in a transaction; also what starts a write before `GATHER` is over
MOST_WAITING = 100_000  # rows kept while the database is away; then the oldest steps go first
CLOSE_DEADLINE = 10.0  # seconds to write the rest when we end
_LONGEST_BACKOFF = 5.0

_RANK = {
    Status.INITIATED: 0,
    Status.RINGING: 1,
    Status.ANSWERED: 2,
    Status.COMPLETED: 3,
    Status.FAILED: 3,
}

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _EventRow:
    """An event with a name of its own, so that a batch may be written twice."""

    id: str
    account: str
    call: str
    type: str
    at: datetime
    data: str


@dataclass(slots=True)
class _Batch:
    calls: list[Call] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    events: list[_EventRow] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.calls) + len(self.steps) + len(self.events)

    def halves(self) -> "tuple[_Batch, _Batch]":
        rows: list[Call | Step | _EventRow] = [*self.calls, *self.steps, *self.events]
        middle = len(rows) // 2
        return _batch(rows[:middle]), _batch(rows[middle:])


def _batch(rows: Sequence[Call | Step | _EventRow]) -> _Batch:
    return _Batch(
        [row for row in rows if isinstance(row, Call)],
        [row for row in rows if isinstance(row, Step)],
        [row for row in rows if isinstance(row, _EventRow)],
    )


class Recorder:
    """Fulfils the port of the same name; used as a context manager, which owns the writer.

    `server` names this process among those that share the database, and stays the same when it is started
    again: calls that an earlier run of it left live are ended as `lost` before anything else is written.
    `dropped` counts the rows that were given up.
    """

    def __init__(self, database: Database, *, server: str) -> None:
        self._database = database
        self._server = server
        self._calls_bulk = _calls_bulk(database)
        self._steps_bulk = Bulk(database.dialect, steps, "DO NOTHING")
        self._events_bulk = Bulk(database.dialect, events, "DO NOTHING")
        self._calls: dict[str, Call] = {}
        self._steps: deque[Step] = deque()
        self._events: deque[_EventRow] = deque()
        self._in_hand = 0
        self._recorded = asyncio.Event()
        self._enough = asyncio.Event()
        self._writing = asyncio.Lock()
        self._count = itertools.count()
        self._run = f"{time.time_ns() // 1_000_000:011x}{random.getrandbits(24):06x}"
        self._lost_ended = True
        self._held_up = False
        self._full = False
        self._writer: asyncio.Task[None] | None = None
        self.dropped = 0

    async def __aenter__(self) -> Self:
        self._writer = asyncio.create_task(self._write_for_ever(), name="recorder")
        return self

    def end_lost(self) -> None:
        """Has the calls ended that an earlier run of this server left live, before any row is written.

        Not before our ports are ours: who holds them may be no earlier run, but one that is alive.
        """
        self._lost_ended = False
        self._recorded.set()

    async def __aexit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        try:
            async with asyncio.timeout(CLOSE_DEADLINE):
                await self.flush()
        except (UnavailableError, TimeoutError) as error:
            _log.error(
                "calls and steps are lost: the database is away as we end",
                rows=self.waiting,
                problem=str(error),
            )

    @property
    def waiting(self) -> int:
        """Rows that are not in the database yet."""
        return len(self._calls) + len(self._steps) + len(self._events) + self._in_hand

    def call(self, call: Call) -> None:
        waiting = self._calls.get(call.id)
        if waiting is None or waiting.status is call.status or _RANK[waiting.status] < _RANK[call.status]:
            self._calls[call.id] = call
        self._added()

    def step(self, step: Step) -> None:
        self._steps.append(step)
        self._added()

    def event(self, event: Event) -> None:
        name = f"{self._run}{next(self._count):010x}"  # grows, so that events of one millisecond keep order
        self._events.append(
            _EventRow(name, event.account, event.call, event.type, event.at, dumps(event.data))
        )
        self._added()

    async def flush(self) -> None:
        """Writes what was recorded until now. Raises `UnavailableError`; the rows are kept then."""
        async with self._writing:
            if not self._lost_ended:
                await self._end_lost()
            # Not what is recorded while we write: that gathers, or each round would write a handful of rows.
            left = len(self._calls) + len(self._steps) + len(self._events)
            while left > 0 and (batch := self._take()):
                left -= len(batch)
                self._in_hand = len(batch)
                try:
                    await self._write(batch)
                except BaseException:
                    # It may have been committed all the same; every statement bears being repeated.
                    self._put_back(batch)
                    raise
                finally:
                    self._in_hand = 0
        if self._held_up:
            self._held_up = self._full = False
            _log.info("the calls and steps that were waiting are written", dropped_since_start=self.dropped)

    def _added(self) -> None:
        if not self._recorded.is_set():
            self._recorded.set()
        waiting = len(self._calls) + len(self._steps) + len(self._events)
        if waiting >= BATCH:
            self._enough.set()
            if waiting > MOST_WAITING:
                self._drop_oldest()

    def _drop_oldest(self) -> None:
        if self._steps:
            self._steps.popleft()
        elif self._events:
            self._events.popleft()
        else:
            del self._calls[next(iter(self._calls))]
        self.dropped += 1
        if not self._full:
            self._full = True
            _log.error(
                "the database has been away for so long that the oldest steps are dropped; calls go on",
                waiting=self.waiting,
            )

    async def _write_for_ever(self) -> None:
        backoff = GATHER
        while True:
            await self._recorded.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(GATHER):
                    await self._enough.wait()
            self._recorded.clear()
            self._enough.clear()
            try:
                await self.flush()
                backoff = GATHER
            except UnavailableError:
                if not self._held_up:
                    self._held_up = True
                    _log.warning("calls and steps wait until the database is back", at_most=MOST_WAITING)
                backoff = min(_LONGEST_BACKOFF, backoff * 2)
                await asyncio.sleep(backoff * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                self._recorded.set()

    async def _end_lost(self) -> None:
        ended = (
            update(calls)
            .where(calls.c.server == self._server, text(LIVE))
            .values(status=Status.COMPLETED.value, end_reason=EndReason.LOST.value, ended_at=now())
        )
        async with self._database.writing() as connection:
            lost = (await connection.execute(ended)).rowcount
        self._lost_ended = True
        if lost:
            _log.warning("calls that were live when this server last ended are marked as lost", calls=lost)

    def _take(self) -> _Batch:
        names = list(islice(self._calls, BATCH))
        return _Batch(
            [self._calls.pop(name) for name in names],
            [self._steps.popleft() for _ in range(min(BATCH, len(self._steps)))],
            [self._events.popleft() for _ in range(min(BATCH, len(self._events)))],
        )

    def _put_back(self, batch: _Batch) -> None:
        self._calls = {call.id: call for call in batch.calls} | self._calls
        self._steps.extendleft(reversed(batch.steps))
        self._events.extendleft(reversed(batch.events))

    async def _write(self, batch: _Batch) -> None:
        try:
            async with self._database.writing() as connection:
                for bulk, records in (
                    (self._calls_bulk, batch.calls),
                    (self._steps_bulk, batch.steps),
                    (self._events_bulk, batch.events),
                ):
                    if records:
                        given = (self._server,) if bulk is self._calls_bulk else ()
                        await bulk.write(connection, records, *given)
        except (SQLAlchemyError, ValueError) as error:
            # A row that the database refuses must not hold up all the others.
            if len(batch) == 1:
                self.dropped += 1
                _log.error(
                    "a row cannot be written and is dropped", row=repr(batch)[:2_000], problem=str(error)
                )
                return
            for half in batch.halves():
                await self._write(half)


def _calls_bulk(database: Database) -> Bulk:
    """Of two states of one call the later one stays: what has ended does not begin again."""

    def rank(status: str) -> str:
        cases = " ".join(f"WHEN '{name}' THEN {rank}" for name, rank in _RANK.items())
        return f"CASE {status} {cases} END"

    fields = ", ".join(f"{column.name} = excluded.{column.name}" for column in calls.columns)
    later = f"{rank('excluded.status')} > {rank('calls.status')} OR excluded.status = calls.status"
    conflict = f"(id) DO UPDATE SET {fields} WHERE {later}"
    return Bulk(database.dialect, calls, conflict, "server")
