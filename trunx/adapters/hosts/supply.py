"""One host, kept supplied: what it lacks is brought, what is no more is deleted.

What the host has is believed from the database, until there is a reason to look: a new connection (the host
may have been built anew since), or that the last look was a while ago.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Never
from weakref import WeakValueDictionary

import structlog
from sqlalchemy.exc import SQLAlchemyError

from sounds import ENGINE
from trunx.adapters.hosts.folder import listing
from trunx.adapters.hosts.host import ENDINGS, Host, HostError, UnreachableError
from trunx.adapters.hosts.staged import StagedSounds
from trunx.domain.errors import UnavailableError

EVERY = 5.0  # seconds between two looks into the database: another process may have made a sound
LOOKED_THROUGH_EVERY = 300.0  # seconds between two looks at what is really there
AT_ONCE = 4  # sounds on their way to one host, of up to three files each
_PORTION = 64  # sounds between two notes of what became of them
_LONGEST_BACKOFF = 30.0

_log = structlog.get_logger()

Progress = Callable[[str, int, int], None]
"""Is told a host's place, how many sounds it has, and how many it should have."""


@dataclass(slots=True)
class Synced:
    """What a pass did at a host, in sounds. `problem` is why some are still `missing`, if any are."""

    brought: int = 0
    removed: int = 0
    missing: int = 0
    problem: str | None = None


class Supply:
    """What we know of one host, and the work on it. `own` is our own folder of sounds."""

    def __init__(self, host: Host, rows: StagedSounds, own: Path) -> None:
        self._host = host
        self._rows = rows
        self._own = own
        self._slots = asyncio.Semaphore(AT_ONCE)
        # Who brings or deletes a sound does so alone.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        # Their names say nothing of what is in them, and this process may be the first of a new version.
        self._anew = {prompt.sound for prompt in ENGINE.values()}
        self._era: int | None = None
        self._look_at = 0.0
        self._lacking: set[str] = set()
        self._problem: str | None = None
        self._told: set[str] = set()
        self._failures = 0
        self._rests_until = 0.0
        self._is_tried = False
        self._woken = asyncio.Event()

    @property
    def place(self) -> str:
        """How the host is called."""
        return self._host.place

    @property
    def problem(self) -> str | None:
        """Why nothing can be brought just now; None when all is well."""
        return self._problem

    @property
    def looked(self) -> bool:
        """Whether anybody has looked yet what the host has."""
        return self._era is not None

    @property
    def lacking(self) -> int:
        """How many sounds the host lacks, as far as we know."""
        return len(self._lacking)

    def wake(self) -> None:
        """Something changed in the database: `run` looks at once."""
        self._woken.set()

    async def close(self) -> None:
        await self._host.close()

    async def bring(self, sound: str) -> None:
        """One try, unless the host just failed; what fails is left to `run`. Never raises."""
        try:
            # Nobody waits once more for a host that does not answer, while `run` tries it.
            if self._problem is not None and (self._is_tried or monotonic() < self._rests_until):
                self._lacking.add(sound)
                await self._rows.note(self.place, {sound: self._problem})
                self._woken.set()
                return
            async with self._slots, self._turn(sound):
                failure = await self._try(sound)
                await self._rows.note(self.place, {sound: _told(failure)})
                if failure is None:
                    self._lacking.discard(sound)
            if isinstance(failure, HostError):
                self._failed(failure)
        except UnavailableError:
            pass  # the database has logged it, and `run` finds what is not noted
        except SQLAlchemyError:
            _log.exception("what became of a sound cannot be noted", host=self.place, sound=sound)

    async def run(self) -> Never:
        """For ever: brings what the host lacks, every few seconds and when woken; pauses after failures."""
        while True:
            await asyncio.sleep(max(0.0, self._rests_until - monotonic()))
            self._woken.clear()
            self._is_tried = True
            try:
                await self._supply(Synced())
            except HostError as error:
                self._failed(error)
            except UnavailableError:
                pass  # the database has logged it
            except (SQLAlchemyError, OSError):
                _log.exception("sounds cannot be staged", host=self.place)
            finally:
                self._is_tried = False
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY):
                    await self._woken.wait()

    async def sync(self, progress: Progress) -> Synced:
        """Looks through the host and brings what it lacks, once. Never raises."""
        done = Synced()
        try:
            await self._supply(done, progress)
        except (HostError, UnavailableError, OSError) as error:
            done.problem = str(error)
        done.missing = self.lacking
        return done

    # --- one pass

    async def _supply(self, done: Synced, progress: Progress | None = None) -> None:
        noted = await self._rows.lacking(self.place)
        self._lacking = set(noted)
        era = await self._host.connect()
        if progress is not None or era != self._era or monotonic() > self._look_at:
            await self._look_through()
            self._era, self._look_at = era, monotonic() + LOOKED_THROUGH_EVERY
            noted = await self._rows.lacking(self.place)
            self._lacking = set(noted)
        total = len(await self._rows.wanted()) if progress is not None else 0
        refused: HostError | None = None

        def tell() -> None:
            if progress is not None:
                progress(self.place, total - len(noted) + done.brought, total)

        def arrived(name: str) -> None:
            done.brought += name in noted
            tell()

        tell()
        names = [*noted, *sorted(self._anew.difference(noted))]
        for start in range(0, len(names), _PORTION):
            portion = names[start : start + _PORTION]
            failures = await self._bring_all(portion, noted, arrived)
            problems = [failure for failure in failures.values() if isinstance(failure, HostError)]
            lost = next((problem for problem in problems if isinstance(problem, UnreachableError)), None)
            # One file that cannot be written must not keep the others away; so many tell of the whole disk.
            if lost is not None or len(problems) == _PORTION:
                raise lost or problems[0]
            refused = refused or next(iter(problems), None)
        for sound in await self._rows.leaving(self.place):
            done.removed += await self._take(sound)
        if refused is not None:
            raise refused
        self._well()

    async def _bring_all(
        self, names: Sequence[str], noted: Mapping[str, str | None], arrived: Callable[[str], None]
    ) -> dict[str, Exception]:
        """Tries all of them; those that failed, and why."""
        failures: dict[str, Exception] = {}

        async def bring(name: str) -> None:
            async with self._slots, self._turn(name):
                failure = await self._try(name)
            if failure is None:
                arrived(name)
            else:
                failures[name] = failure

        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(bring(name))
        news = {name: _told(failures.get(name)) for name in names}
        # A problem that is noted already is not noted again every few seconds.
        old = {name for name, problem in news.items() if problem is not None and noted.get(name) == problem}
        await self._rows.note(self.place, {name: news[name] for name in names if name not in old})
        self._lacking.difference_update(news.keys() - failures.keys())
        return failures

    async def _try(self, sound: str) -> Exception | None:
        """Brings a sound; what went wrong, if anything did."""
        failure: Exception | None = None
        try:
            files = await asyncio.to_thread(self._files, sound)
            await self._host.bring(sound, files, anew=sound in self._anew)
        except (HostError, OSError) as error:
            failure = error
        if failure is None:
            self._anew.discard(sound)
            self._problem = None
        else:
            self._lacking.add(sound)
        return failure

    async def _take(self, sound: str) -> bool:
        async with self._slots, self._turn(sound):
            if await self._rows.knows(sound):
                return False  # it was made again meanwhile
            await self._host.take(sound)
            await self._rows.forget(self.place, sound)
        return True

    async def _look_through(self) -> None:
        had = await self._rows.had_by(self.place)  # first: what comes after would seem to be lost
        wanted = await self._rows.wanted()
        there = await self._host.files()
        ours = await asyncio.to_thread(listing, self._own)
        lost = sorted(sound for sound in had - self._anew if not _is_whole(sound, ours, there))
        if lost:
            await self._rows.lose(self.place, lost, "it was there, and is there no more")
            _log.warning("a host has lost sounds: they are brought again", host=self.place, sounds=len(lost))
        found = [sound for sound in wanted if sound not in had and _is_whole(sound, ours, there)]
        if found:
            await self._rows.note(self.place, dict.fromkeys(found))

    def _files(self, sound: str) -> dict[Path, int]:
        """The sound's files in our own folder. Raises `OSError`: there are none."""
        path = self._own / sound
        sizes = {}
        for ending in ENDINGS:
            file = path.with_name(path.name + ending)
            with suppress(FileNotFoundError):
                sizes[file] = file.stat().st_size
        if not sizes:
            raise FileNotFoundError(f"this server has no files of {sound}")
        return sizes

    def _turn(self, sound: str) -> asyncio.Lock:
        return self._turns.setdefault(sound, asyncio.Lock())

    # --- up and down

    def _failed(self, error: HostError) -> None:
        self._problem = str(error)
        if monotonic() >= self._rests_until:
            self._failures += 1
            pause = min(_LONGEST_BACKOFF, 0.25 * 2**self._failures)
            self._rests_until = monotonic() + pause * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
        if self._problem not in self._told:
            self._told.add(self._problem)
            _log.error(
                "sounds cannot be brought to a host: its calls go on, with the fallback for what is missing",
                host=self.place,
                problem=self._problem,
            )
        self._woken.set()

    def _well(self) -> None:
        if self._told:
            _log.info("sounds can be brought to the host again", host=self.place)
        self._problem = None
        self._told.clear()
        self._failures = 0
        self._rests_until = 0.0


def _is_whole(sound: str, ours: Mapping[str, int], theirs: Mapping[str, int]) -> bool:
    """Whether all files of ours are there; of a sound that another server made, whether any is."""
    names = [sound + ending for ending in ENDINGS]
    own = [name for name in names if name in ours]
    if not own:
        return any(name in theirs for name in names)
    return all(theirs.get(name) == ours[name] for name in own)


def _told(failure: Exception | None) -> str | None:
    return None if failure is None else str(failure)
