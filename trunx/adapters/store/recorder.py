"""Writes calls, steps and events to the database, behind the calls' back.

`call`, `step` and `event` only remember; one task writes what has come together, a statement for each table
whatever the number of rows, and has the log told of it in the same transaction. All that waits of one call is
written together, so that the log tells it in its order. While the database is away the rows wait, up to
`MOST_WAITING`.
"""

import asyncio
import itertools
import random
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

import structlog
from sqlalchemy import text, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from trunx.adapters.store.bulk import Bulk
from trunx.adapters.store.database import Database
from trunx.adapters.store.log import Written, tell_calls
from trunx.adapters.store.tables import LIVE, calls, milliseconds, now, steps
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


@dataclass(slots=True)
class _Waiting:
    """What is to be written of one call."""

    call: Call | None = None
    steps: list[Step] = field(default_factory=list)
    events: list[Written] = field(
        default_factory=list
    )  # with names of their own: a batch may be written twice

    def __len__(self) -> int:
        return (self.call is not None) + len(self.steps) + len(self.events)

    def apart(self) -> "list[_Waiting]":
        """Each row by itself."""
        rows = [] if self.call is None else [_Waiting(self.call)]
        rows += [_Waiting(steps=[step]) for step in self.steps]
        return rows + [_Waiting(events=[event]) for event in self.events]

    def before(self, later: "_Waiting") -> "_Waiting":
        """This, and what came since."""
        return _Waiting(later.call or self.call, self.steps + later.steps, self.events + later.events)


_Batch = list[tuple[str, _Waiting]]


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
        self._waiting: defaultdict[str, _Waiting] = defaultdict(_Waiting)
        self._rows = 0
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
        return self._rows + self._in_hand

    def call(self, call: Call) -> None:
        entry = self._waiting[call.id]
        waiting = entry.call
        if waiting is None:
            entry.call = call
            self._added()
        elif waiting.status is call.status or _RANK[waiting.status] < _RANK[call.status]:
            entry.call = call

    def step(self, step: Step) -> None:
        self._waiting[step.call].steps.append(step)
        self._added()

    def event(self, event: Event) -> None:
        entry = self._waiting[event.call or ""]
        # Grows, so that events of one step keep their order.
        name = event.id or f"{event.call or 'event'}:{self._run}{next(self._count):010x}"
        place = 2 * entry.steps[-1].number + 1 if entry.steps else 1
        ms = milliseconds(event.at)
        entry.events.append(
            Written(event.account, name, event.call, place, event.type, ms, dumps(event.data))
        )
        self._added()

    async def flush(self) -> None:
        """Writes what was recorded until now. Raises `UnavailableError`; the rows are kept then."""
        async with self._writing:
            if not self._lost_ended:
                await self._end_lost()
            # Not what is recorded while we write: that gathers, or each round would write a handful of rows.
            left = self._rows
            while left > 0 and (batch := self._take()):
                left -= self._in_hand
                try:
                    await self._write(batch)
                except BaseException:  # cancelled as we end, too: `__aexit__` writes what is put back
                    # It may have been committed all the same; every statement bears being repeated.
                    self._put_back(batch)
                    raise
                finally:
                    self._in_hand = 0
        if self._held_up:
            self._held_up = self._full = False
            _log.info("the calls and steps that were waiting are written", dropped_since_start=self.dropped)

    def _added(self) -> None:
        self._rows += 1
        if not self._recorded.is_set():
            self._recorded.set()
        if self._rows >= BATCH:
            self._enough.set()
            if self._rows > MOST_WAITING:
                self._drop_oldest()

    def _drop_oldest(self) -> None:
        """Steps and events before calls: half a story is better than none."""
        told = next((entry for entry in self._waiting.values() if entry.steps or entry.events), None)
        if told is not None:
            dropped = len(told.steps) + len(told.events)
            told.steps.clear()
            told.events.clear()
        else:
            del self._waiting[next(iter(self._waiting))]
            dropped = 1
        self._rows -= dropped
        self.dropped += dropped
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
            .where(calls.c.server == self._server, calls.c.direction == "inbound", text(LIVE))
            .values(status=Status.COMPLETED.value, end_reason=EndReason.LOST.value, ended_at=now())
            .returning(calls.c.id)
        )
        async with self._database.writing() as connection:
            lost = (await connection.execute(ended)).scalars().all()
            await tell_calls(connection, dict.fromkeys(lost))
        self._lost_ended = True
        if lost:
            _log.warning(
                "calls that were live when this server last ended are marked as lost", calls=len(lost)
            )

    def _take(self) -> _Batch:
        """The calls that have waited longest, whole."""
        if self._rows <= BATCH:
            batch = list(self._waiting.items())
            self._in_hand, self._rows = self._rows, 0
            self._waiting.clear()
            return batch
        batch, waiting = [], iter(self._waiting.items())
        while self._in_hand < BATCH:
            batch.append(next(waiting))
            self._in_hand += len(batch[-1][1])
        self._waiting = defaultdict(_Waiting, waiting)
        self._rows -= self._in_hand
        return batch

    def _put_back(self, batch: _Batch) -> None:
        self._rows += self._in_hand
        later = self._waiting
        self._waiting = defaultdict(_Waiting, batch)
        for call, entry in later.items():
            former = self._waiting.get(call)
            if former is not None and former.call is not None and entry.call is not None:
                self._rows -= 1
            self._waiting[call] = entry if former is None else former.before(entry)

    async def _write(self, batch: _Batch) -> None:
        try:
            async with self._database.writing() as connection:
                await self._write_rows(connection, batch)
        except (SQLAlchemyError, ValueError) as error:
            # A row that the database refuses must not hold up all the others.
            if len(batch) > 1:
                middle = len(batch) // 2
                halves = [batch[:middle], batch[middle:]]
            else:
                ((call, entry),) = batch
                halves = [[(call, row)] for row in entry.apart()]
            if len(halves) == 1:
                self.dropped += 1
                _log.error(
                    "a row cannot be written and is dropped",
                    row=repr(batch)[:2_000],
                    problem=str(error).split("\n", 1)[0],
                )
                return
            for half in halves:
                await self._write(half)

    async def _write_rows(self, connection: AsyncConnection, batch: _Batch) -> None:
        states = [entry.call for _, entry in batch if entry.call is not None]
        states.sort(key=lambda call: call.id)  # as all who hold calls do, so that nobody waits for each other
        visits = [step for _, entry in batch for step in entry.steps]
        facts = [row for _, entry in batch for row in entry.events]
        if states:
            await self._calls_bulk.write(connection, states, self._server)
        if visits:
            await self._steps_bulk.write(connection, visits)
        first = {call: entry.steps[0].number if entry.steps else None for call, entry in batch}
        await tell_calls(connection, first, facts)


# What others learn of a call, and we do not.
_OF_OTHERS = {"provider", "ringing_at", "q850_cause", "sip_cause", "machine", "machine_cause"}


def _calls_bulk(database: Database) -> Bulk:
    """Of two states of one call the later one stays: what has ended does not begin again."""

    def rank(status: str) -> str:
        cases = " ".join(f"WHEN '{name}' THEN {rank}" for name, rank in _RANK.items())
        return f"CASE {status} {cases} END"

    ours = [column.name for column in calls.columns if column.name not in _OF_OTHERS]
    fields = ", ".join(f"{name} = excluded.{name}" for name in ours)
    later = f"{rank('excluded.status')} > {rank('calls.status')} OR excluded.status = calls.status"
    conflict = f"(id) DO UPDATE SET {fields} WHERE {later}"
    return Bulk(database.dialect, calls, conflict, "server", without=_OF_OTHERS)
