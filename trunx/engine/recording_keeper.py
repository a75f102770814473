"""Brings recordings from Asterisk's host to the last day of their lives, whatever dies in between.

Everything is done from what the rows say: a file is fetched, worked on, kept and told of, and deleted in the
end. So a process that is killed between two of these loses nothing, and a recording that nobody has stopped,
because its call ended or its process died, is found too.
"""

import asyncio
import os
import random
import shutil
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import NoReturn, TypeVar

import structlog

from dialplan.names import RECORDINGS
from trunx.domain.audio import UnusableSoundError
from trunx.domain.errors import ExistsError, NotFoundError, UnavailableError
from trunx.domain.recording import Recording, RecordingState, found, recording_of
from trunx.domain.records import PartState
from trunx.engine.recording_ports import Channels, Finishing, Monitor, Monitored, RecordingRows

POLL = 2.0  # seconds between two looks at the rows
COMPARE = 10.0  # seconds between two comparisons of what is recorded with Asterisk's channels
SWEEP = 60.0  # seconds between two looks at Asterisk's folder
CLAIM = timedelta(minutes=30)
"""For how long a recording belongs to the process that works on it; no try takes so long."""
_TRY = 1_500.0  # seconds for one try; what it has brought, the next one need not
PATIENCE = timedelta(seconds=20)
"""How long after its end Asterisk may be about to write, or to close, a recording's file."""
_TRIES = 4
"""How often we look, some seconds apart, before we believe that it does neither."""
_AT_ONCE = 4
_LONGEST_PAUSE = 300.0
_INCOMING = "incoming"  # a folder in ours, which has one for each recording that is being fetched

_Result = TypeVar("_Result")

log = structlog.get_logger(__name__)


class TooEarlyError(Exception):
    """Nothing is wrong, but it has to be tried again."""


class Keeper:
    """`run` goes in every process.

    Args:
        rows: what there is to do.
        host: Asterisk's folder.
        studio: what makes the kept file of what Asterisk has written.
        folder: where our own files are, called as `Recording.name` says.
        woken: set by those who know of something to do.
        switch: tells which channels there are; None where Asterisk cannot be asked.
        monitor: stops recordings that have become too long; None where nobody can.
        life: how long a recording is kept.
        server: names this process among those that share the database.
    """

    def __init__(
        self,
        *,
        rows: RecordingRows,
        host: Monitored,
        studio: Finishing,
        folder: Path,
        woken: asyncio.Event,
        switch: Channels | None,
        monitor: Monitor | None,
        life: timedelta,
        server: str,
    ) -> None:
        self._rows = rows
        self._host = host
        self._studio = studio
        self._folder = folder
        self._woken = woken
        self._switch = switch
        self._monitor = monitor
        self._life = life
        self._server = server
        self._tasks: set[asyncio.Task[None]] = set()
        self._compare_at = 0.0
        self._problems: dict[str, str] = {}

    async def state(self) -> PartState:
        """How it was the last time that recordings were fetched, or looked for."""
        if self._problems:
            return PartState("recordings", "degraded", "; ".join(dict.fromkeys(self._problems.values())))
        return PartState("recordings", "ok", self._host.place)

    async def run(self) -> NoReturn:
        """Until it is cancelled; what is under way is then given up, and begun again by the next run."""
        await _surely(lambda: self._rows.release(self._server))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._sweep_for_ever())
                while True:
                    self._woken.clear()
                    with suppress(UnavailableError):  # the database has logged it
                        await self.look()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(POLL):
                            await self._woken.wait()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def look(self) -> None:
        """Begins what there is to do."""
        with suppress(UnavailableError):  # of Asterisk: what has ended can be fetched nevertheless
            await self._end_those_that_are_over()
        room = _AT_ONCE - len(self._tasks)
        if room <= 0:
            return
        for recording in await self._rows.claim(self._server, room, datetime.now(UTC) + CLAIM):
            task = asyncio.create_task(self._work(recording))
            self._tasks.add(task)
            task.add_done_callback(self._worked)

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._woken.set()
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("a recording was broken off by a fault of ours", exc_info=error)

    # --- when they are over

    async def _end_those_that_are_over(self) -> None:
        """The channel says it, where it can be asked: a call that was transferred ends before its channel."""
        live = await self._rows.live()
        for recording, _ in live:
            if self._monitor is not None and datetime.now(UTC) >= recording.must_end_at:
                with suppress(UnavailableError):
                    await self._monitor.stop(recording)
                    await self._end(recording, recording.must_end_at, is_full=True)
        if any(ended for _, ended in live) or (live and monotonic() >= self._compare_at):
            self._compare_at = monotonic() + COMPARE
            channels = None
            if self._switch is not None:
                channels = {channel.channel for channel in await self._switch.channels()}
            for recording, ended in live:
                if ended if channels is None else recording.channel not in channels:
                    await self._end(recording, ended or datetime.now(UTC))

    async def _end(self, recording: Recording, at: datetime, *, is_full: bool = False) -> None:
        if self._monitor is not None:
            await self._monitor.ended(recording, is_full=is_full)
        if await self._rows.stop(recording.id, at, self._life) is not None:
            log.info("a recording has ended by itself", call=recording.call, recording=recording.id)

    # --- one recording

    async def _work(self, recording: Recording) -> None:
        problem = None
        try:
            async with asyncio.timeout(_TRY):
                if recording.state is RecordingState.DELETED:
                    await self._clear(recording)
                else:
                    await self._fetch(recording)
        except TooEarlyError:
            pass
        except TimeoutError:
            problem = "it is brought in parts: the way to Asterisk's host is slow"
        except UnavailableError as error:
            problem = str(error)
            self._in_trouble("fetch", problem)
        except OSError as error:
            problem = f"our own folder of recordings cannot be written: {error.strerror or error}"
            self._in_trouble("fetch", problem)
        else:
            return
        pause = min(_LONGEST_PAUSE, 0.5 * 2 ** min(recording.tries, 12))
        pause *= random.uniform(0.5, 1.0)  # noqa: S311 - jitter
        again = datetime.now(UTC) + timedelta(seconds=pause)
        await _surely(lambda: self._rows.later(recording.id, again, problem))

    async def _fetch(self, recording: Recording) -> None:
        now = datetime.now(UTC)
        is_final = now - (recording.stopped_at or now) > PATIENCE and recording.tries >= _TRIES
        incoming = self._incoming(recording)
        await asyncio.to_thread(incoming.mkdir, parents=True, exist_ok=True)
        sources = [incoming / Path(file).name for file in recording.files]
        made = incoming / f"made.{recording.format}"
        try:
            for file, source in zip(recording.files, sources, strict=True):
                await self._host.fetch(file, source)
            kept = await self._studio.finish(recording, sources, made, torn=is_final)
        except NotFoundError:
            if not is_final:
                raise TooEarlyError from None
            await self._fail(recording, "Asterisk wrote no file: it was not told to record, or lost it.")
            return
        except UnusableSoundError as error:
            await self._drop(recording)
            if error.code == "torn":
                raise TooEarlyError from None
            await self._fail(recording, str(error))
            return
        self._well("fetch")
        await asyncio.to_thread(_to_place, made, self._folder / recording.name)
        if await _surely(lambda: self._rows.ready(recording, kept)):
            log.info("a recording is ready", call=recording.call, recording=recording.id, ms=kept.ms)
        else:  # it was deleted meanwhile
            (self._folder / recording.name).unlink(missing_ok=True)
        await self._drop(recording)
        with suppress(UnavailableError):  # the next sweep finds it
            await self._take(recording)

    async def _fail(self, recording: Recording, problem: str) -> None:
        await self._drop(recording)
        now = datetime.now(UTC)
        if await _surely(lambda: self._rows.fail(recording.id, problem, now, self._life)):
            log.warning(
                "a recording has failed", call=recording.call, recording=recording.id, problem=problem
            )

    async def _clear(self, recording: Recording) -> None:
        await asyncio.to_thread((self._folder / recording.name).unlink, missing_ok=True)
        await self._drop(recording)
        await self._take(recording)
        self._well("fetch")
        await self._rows.forget(recording.id)
        log.info("a recording is deleted", call=recording.call, recording=recording.id)

    async def _take(self, recording: Recording) -> None:
        for file in recording.files:
            await self._host.remove(file)

    async def _drop(self, recording: Recording) -> None:
        """Deletes what was brought of it."""
        await asyncio.to_thread(shutil.rmtree, self._incoming(recording), ignore_errors=True)

    def _incoming(self, recording: Recording) -> Path:
        return self._folder / _INCOMING / recording.id

    # --- what nobody has told of

    async def _sweep_for_ever(self) -> NoReturn:
        while True:
            try:
                await self.sweep()
            except UnavailableError as error:
                self._in_trouble("sweep", str(error))
            else:
                self._well("sweep")
            await asyncio.sleep(SWEEP)

    async def sweep(self) -> None:
        """Deletes what has had its time, and looks through Asterisk's folder.

        A file that was left there though we have it is deleted. That of a whole call which we placed, and
        which the dialplan recorded, becomes a recording. Others are left alone: they may be somebody's.
        """
        if await self._rows.expire():
            self._woken.set()
        there = {file: recording_of(file) for file in await self._host.names()}
        ids = {one for one in there.values() if one is not None}
        known = await self._rows.states(ids)
        for call in await self._rows.placed(ids - known.keys()):
            with suppress(ExistsError):  # another process was quicker
                await self._rows.add(found(call, self._life))
                log.info("the recording of a call was found on Asterisk's host", call=call.id)
                self._woken.set()
        for file, recording_id in there.items():
            if recording_id is not None and known.get(recording_id) is RecordingState.READY:
                await self._host.remove(f"{RECORDINGS}/{file}")

    # --- up and down

    def _in_trouble(self, doing: str, problem: str) -> None:
        if doing not in self._problems:
            log.error("recordings cannot be brought here for now", problem=problem)
        self._problems[doing] = problem

    def _well(self, doing: str) -> None:
        if self._problems.pop(doing, None) is not None:
            log.info("recordings can be brought here again")


async def _surely(write: Callable[[], Awaitable[_Result]]) -> _Result:
    """What `write` gives once the database takes it."""
    while True:
        try:
            return await write()
        except UnavailableError:
            await asyncio.sleep(random.uniform(0.5, 1.5))  # noqa: S311 - jitter


def _to_place(made: Path, target: Path) -> None:
    """To the disk itself, as Asterisk's own file is deleted next."""
    _sync(made)
    made.replace(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
