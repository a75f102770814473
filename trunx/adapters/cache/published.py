"""What a call needs, from the cache: one Redis round trip, shared by the calls that begin together.

When Redis does not answer, is empty or has gone back in time, calls read the database, and the cache is
trusted again once `heal` has brought it all changes. When the database is away too, a call gets the newest of
what Redis has and what this process last saw.
"""

import asyncio
import random
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

import structlog
from redis.asyncio import Redis
from sqlalchemy.exc import SQLAlchemyError

from trunx.adapters.cache.redis import FAILURES
from trunx.adapters.cache.shelf import Read, Shelf, decode, encode
from trunx.adapters.cache.trees import GoneError, Trees
from trunx.adapters.store.database import Database
from trunx.adapters.store.truth import Truth, Version
from trunx.domain import records
from trunx.domain.errors import UnavailableError
from trunx.domain.records import Line

LINES_KEPT = 10_000  # last answers, for when neither store answers; each may hold a tree of its own
GATHER = 0.002  # seconds after a command in which lookups wait for each other; a lone call waits for nobody
HEAL_EVERY = 1.0  # seconds between two looks at whether the cache is complete
_LONGEST_BACKOFF = 5.0
_PORTION = 100  # DIDs published with one command: with their documents, 25 MB at the very most

_log = structlog.get_logger()

_Callers = list[asyncio.Future[Line | None]]
_FindOut = Callable[[str, bytes, _Callers], Coroutine[None, None, None]]


@dataclass(frozen=True, slots=True)
class _Seen:
    """The last answer for a DID, and the pointer it was made from."""

    pointer: bytes
    revision: int
    line: Line | None


class _FellError(Exception):
    """Redis lost its tide while we were publishing."""


class Published:
    """Fulfils the port `Lines`; used as a context manager, which owns the lookups under way.

    `heal` must run beside it: until its first round is through, calls read the database.
    """

    def __init__(self, database: Database, client: Redis) -> None:
        self._truth = Truth(database)
        self._shelf = Shelf(client)
        self._trees = Trees(self._truth, self._shelf)
        self._seen: OrderedDict[str, _Seen] = OrderedDict()
        self._waiting: dict[str, _Callers] = {}
        self._resting = False  # a command was sent a moment ago: what is asked now goes with the next one
        self._tasks: set[asyncio.Task[None]] = set()
        self._look = asyncio.Event()
        self._trusted = False
        self._tide = 0  # the highest seen; a lower one tells that Redis has gone back in time

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        waiting, self._waiting = self._waiting, {}
        for callers in waiting.values():
            _refuse(callers, "the lookup was ended")
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._trees.close()

    @property
    def healthy(self) -> bool:
        """Whether calls read the cache just now."""
        return self._trusted

    async def find(self, did: str) -> Line | None:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Line | None] = loop.create_future()
        self._waiting.setdefault(did, []).append(answer)
        if not self._resting:
            self._begin()
        return await answer

    async def publish(self, dids: Sequence[str]) -> None:
        try:
            for start in range(0, len(dids), _PORTION):
                await self._put(await self._truth.of(dids[start : start + _PORTION]), set())
        except FAILURES as error:
            self._distrust(_words(error))
        except UnavailableError:
            pass  # the database has logged it, and nothing is lost: `heal` sees that the tide is behind
        self._look.set()

    async def heal(self) -> None:
        """For ever: brings what the cache lacks, every second and whenever something went wrong."""
        failures = 0
        while True:
            self._look.clear()
            try:
                await self._catch_up()
            except (_FellError, *FAILURES) as error:
                self._distrust(_words(error))
                failures += 1
            except UnavailableError:
                failures += 1
            except SQLAlchemyError:
                failures += 1
                _log.exception("the cache cannot be brought up to date: calls may walk an older version")
            else:
                failures = 0
                self._trust()
            if failures:
                pause = min(_LONGEST_BACKOFF, 0.1 * 2**failures)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(HEAL_EVERY):
                        await self._look.wait()

    # --- the cache as a whole

    async def _catch_up(self) -> None:
        found = (await self._shelf.read([])).tide
        newest = await self._truth.newest()
        tide = found or 0
        if tide > newest:
            _log.warning(
                "Redis knows later changes than the database, which was put back or replaced: "
                "what Redis has is thrown away and published anew",
                redis=tide,
                database=newest,
            )
            await self._shelf.clear()
            found, tide = None, 0
        if found is None or tide < newest:
            revision, did = tide + 1, ""
            written: set[Version] = set()
            while portion := await self._truth.after(revision, did, _PORTION):
                await self._put(portion, written)
                revision, did = portion[-1].revision, portion[-1].did
            if not await self._shelf.raise_tide(tide, newest):
                raise _FellError("Redis was emptied while it was filled")
        self._tide = newest

    async def _put(self, pointers: Sequence[records.Published], written: set[Version]) -> None:
        versions = {
            (pointer.uid, pointer.version)
            for pointer in pointers
            if pointer.uid is not None and pointer.version is not None
        }
        documents = await self._truth.documents(list(versions - written))
        await self._shelf.put(pointers, documents)
        written |= versions

    def _trust(self) -> None:
        if not self._trusted:
            self._trusted = True
            _log.info("the cache is complete: calls read their IVR from Redis", revision=self._tide)

    def _distrust(self, problem: str) -> None:
        if self._trusted:
            self._trusted = False
            _log.warning(
                "Redis cannot be relied on: calls read the database until the cache is complete again",
                problem=problem,
            )
            self._look.set()

    # --- one batch of lookups

    def _begin(self) -> None:
        batch, self._waiting = self._waiting, {}
        self._resting = bool(batch)
        if batch:
            asyncio.get_running_loop().call_later(GATHER, self._begin)
            self._spawn(self._answer(batch))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, batch: dict[str, _Callers]) -> None:
        try:
            read = await self._read(list(batch)) if self._trusted else None
            if read is None:
                await self._from_database(batch)
                return
            pointers = dict(zip(batch, read.pointers, strict=True))
            missing = {did: callers for did, callers in batch.items() if pointers[did] is None}
            later = self._deliver(batch, pointers, self._from_cache)
            if missing:
                later.append(self._from_database(missing))
            if later:
                await asyncio.gather(*later)
        finally:
            for callers in batch.values():
                _refuse(callers, "the lookup was ended")

    def _deliver(
        self, batch: dict[str, _Callers], pointers: Mapping[str, bytes | None], find_out: _FindOut
    ) -> list[Coroutine[None, None, None]]:
        """Answers at once where a pointer is the one seen last; the others are still to be found out."""
        later = []
        for did, pointer in pointers.items():
            seen = self._seen.get(did)
            if seen is not None and seen.pointer == pointer:
                self._seen.move_to_end(did)
                _settle(batch[did], seen.line)
            elif pointer is not None:
                later.append(find_out(did, pointer, batch[did]))
        return later

    async def _read(self, dids: Sequence[str]) -> Read | None:
        """None when the cache cannot be relied on, which is noted."""
        try:
            read = await self._shelf.read(dids)
        except FAILURES as error:
            self._distrust(_words(error))
            return None
        if read.tide is None or read.tide < self._tide:
            self._distrust("it was emptied, or put back to an older state")
            return None
        self._tide = read.tide
        return read

    async def _from_cache(self, did: str, pointer: bytes, callers: _Callers) -> None:
        try:
            _settle(callers, await self._line(decode(did, pointer), cached=True))
        except (ValueError, GoneError):
            # Not ours, or of an IVR that was deleted meanwhile: the database knows better.
            await self._from_database({did: callers})
        except UnavailableError:
            self._settle_with_seen(did, callers)

    async def _from_truth(self, did: str, pointer: bytes, callers: _Callers) -> None:
        try:
            _settle(callers, await self._line(decode(did, pointer), cached=self._trusted))
        except (GoneError, UnavailableError):
            self._settle_with_seen(did, callers)

    async def _from_database(self, batch: dict[str, _Callers]) -> None:
        try:
            known = await self._truth.of(list(batch))
        except UnavailableError:
            await self._from_anywhere(batch)
            return
        pointers = {published.did: encode(published) for published in known}
        await asyncio.gather(*self._deliver(batch, pointers, self._from_truth))
        for did in batch.keys() - pointers.keys():
            _settle(batch[did], None)  # nobody ever had this number
        if self._trusted and pointers:
            self._spawn(self.publish(list(pointers)))

    async def _from_anywhere(self, batch: dict[str, _Callers]) -> None:
        """The last resort: the newer of what Redis has, trusted or not, and what was seen last."""
        cached: dict[str, records.Published] = {}
        with suppress(*FAILURES):
            read = await self._shelf.read(list(batch))
            for did, pointer in zip(batch, read.pointers, strict=True):
                with suppress(ValueError):
                    if pointer is not None:
                        cached[did] = decode(did, pointer)
        for did, callers in batch.items():
            seen, published = self._seen.get(did), cached.get(did)
            if published is not None and (seen is None or seen.revision < published.revision):
                with suppress(GoneError, UnavailableError):
                    _settle(callers, await self._line(published, cached=True))
            self._settle_with_seen(did, callers)

    async def _line(self, published: records.Published, *, cached: bool) -> Line | None:
        if published.account is None:
            line = None
        elif published.uid is None or published.version is None:
            line = Line(published.account, None, None, None)
        else:
            tree = await self._trees.get(published.uid, published.version, cached=cached)
            line = Line(published.account, published.ivr, published.version, tree, published.sounds)
        self._seen[published.did] = _Seen(encode(published), published.revision, line)
        self._seen.move_to_end(published.did)
        if len(self._seen) > LINES_KEPT:
            self._seen.popitem(last=False)
        return line

    def _settle_with_seen(self, did: str, callers: _Callers) -> None:
        seen = self._seen.get(did)
        if seen is not None:
            _settle(callers, seen.line)
        else:
            _refuse(callers, "neither Redis nor the database says what stands behind this number")


def _settle(callers: _Callers, line: Line | None) -> None:
    for caller in callers:
        if not caller.done():
            caller.set_result(line)


def _refuse(callers: _Callers, problem: str) -> None:
    for caller in callers:
        if not caller.done():
            caller.set_exception(UnavailableError(problem))


def _words(error: Exception) -> str:
    return str(error) or "no answer in time"
