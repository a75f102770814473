"""What became of talks: the vendor's news are written down, and what is overdue is asked for.

News may be lost, and so may our process in the middle of a talk: the row, and the vendor's word, are all that
the next one needs. A vendor's call that nobody waits for is ended. While the vendor is away nothing is lost
but time; a talk of which it says nothing for a day is given up.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import structlog

from trunx.domain.agent import VendorError
from trunx.domain.call import EndReason
from trunx.domain.errors import NotFoundError, UnavailableError
from trunx.domain.talk import (
    News,
    Talk,
    TalkState,
    VendorCall,
    ended,
    failed,
    given_up,
    is_final,
    seen,
    settled,
)
from trunx.engine.agent_ports import TalkPlaces, Talks, VendorCalls
from trunx.engine.ports import Calls
from trunx.engine.settling import moment

log = structlog.get_logger(__name__)
_T = TypeVar("_T")

_AT_ONCE = 8  # questions to the vendor
_PORTION = 100  # talks of one round
_MADE_BY = timedelta(seconds=60)  # an order that the vendor knows nothing of then will never be one
_JOINED_BY = timedelta(seconds=120)
_GRACE = timedelta(seconds=30)  # after the longest time that was asked for
_GIVEN_UP = timedelta(hours=24)

LOST, UNKNOWN, TIMEOUT, ABANDONED = "lost", "unknown", "timeout", "abandoned"
"""End reasons of ours: the vendor has no such call; it never told; nobody ended it; nobody waited for it."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds.

    Attributes:
        turn: between two looks at what is overdue.
        away: the longest pause while the vendor is away.
        renew: between two renewals of the places of live talks.
    """

    turn: float = 1.0
    away: float = 60.0
    renew: float = 20.0


class TalkTruth:
    """Keeps talks in step with the vendor's calls, for as long as `run` runs."""

    def __init__(
        self,
        *,
        talks: Talks,
        calls: Calls,
        vendor: VendorCalls,
        places: TalkPlaces,
        pace: Pace = Pace(),
    ) -> None:
        self._talks = talks
        self._calls = calls
        self._vendor = vendor
        self._places = places
        self._pace = pace
        self._asked: set[str] = set()
        self._unwanted: set[str] = set()
        self._stirred = asyncio.Event()
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look_for_ever())
            group.create_task(self._renew_for_ever())

    async def hear(self, vendor: VendorCall) -> Talk:
        """Writes what the vendor tells of a call, and has the rest of one that is over asked for.

        Raises:
            NotFoundError: the call belongs to no talk of ours.
            UnavailableError: it cannot be written now; the vendor will tell it again.
        """
        talk = await self._write(await self._whose(vendor), seen(vendor))
        if vendor.ended_at is not None and not talk.settled:
            self.look(talk.id)
        return talk

    def look(self, talk_id: str) -> None:
        """Has the vendor asked about a talk soon, though it is not overdue."""
        self._asked.add(talk_id)
        self._stirred.set()

    async def end(self, call: str) -> None:
        """Has the vendor's side of a call ended, which ours is leaving. Never raises."""
        try:
            found = await self._talks.of_calls([call])
        except UnavailableError:
            return  # the end of the call is seen later
        for talk in found.get(call, ()):
            if not talk.settled:
                self._unwanted.add(talk.id)
                self.look(talk.id)

    async def look_over(self, now: datetime) -> float | None:
        """One round over all that is overdue, and what `look` named; None: the vendor answered, else after
        how many seconds it is to be asked again. Raises `UnavailableError`.
        """
        named, self._asked = self._asked, set()
        found = {talk.id: talk for talk in await self._talks.overdue(now, _PORTION)}
        for name in named - found.keys():
            with suppress(NotFoundError):
                found[name] = await self._talks.get(name)
        answers = await asyncio.gather(*(self._ask(talk, now) for talk in found.values()))
        waits = [wait for wait in answers if wait is not None]
        return max(waits) if waits else None

    async def _look_for_ever(self) -> None:
        pause = self._pace.turn
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stirred.wait()
            self._stirred.clear()
            try:
                wait = await self.look_over(moment())
            except UnavailableError as error:
                log.warning("talks cannot be looked at now", problem=str(error))
                wait = self._pace.turn
            pause = self._pace.turn if wait is None else min(max(pause * 2, wait), self._pace.away)

    async def _renew_for_ever(self) -> None:
        while True:
            with suppress(UnavailableError):  # told by those who use them
                await self._places.renew(await self._talks.live())
            await asyncio.sleep(self._pace.renew)

    async def _ask(self, talk: Talk, now: datetime) -> float | None:
        """Learns what there is; seconds to wait when somebody is away who is needed for it."""
        problem, wait = "", self._pace.turn
        async with self._turn:
            try:
                try:
                    await self._learn(talk, now)
                except VendorError as error:
                    problem, wait = error.sentence, error.retry_after or wait
                    await self._by_ourselves(talk, now)
            except NotFoundError:
                return None  # the talk itself is gone
            except UnavailableError as error:
                problem = str(error)
        if not problem:
            return None
        log.warning(
            "what became of a talk is asked again later", call=talk.call, talk=talk.id, problem=problem
        )
        return wait

    async def _whose(self, vendor: VendorCall) -> str:
        if vendor.request is not None:
            with suppress(NotFoundError):
                return (await self._talks.get(vendor.request)).id
        return (await self._talks.of_vendor(vendor.id)).id

    async def _learn(self, talk: Talk, now: datetime) -> None:
        if talk.settled:
            return
        vendor = await self._of_vendor(talk)
        if vendor is None:
            # A call that they knew is gone; one that they never knew may still be on its way to them.
            if talk.vendor_call is not None or now - talk.created_at > _MADE_BY:
                await self._settle(talk, given_up(now, LOST))
            return
        talk = await self._write(talk.id, seen(vendor))
        if vendor.ended_at is not None:
            transcript = None if vendor.joined_at is None else await self._transcript(vendor.id)
            await self._settle(talk, settled(transcript))
            return
        left = await self._left(talk, now)
        if left is not None:
            if not await self._vendor.hang_up(vendor.id):
                log.info("Ultravox still rings for nobody", call=talk.call, talk=talk.id)
            await self._over(talk, *left)

    async def _by_ourselves(self, talk: Talk, now: datetime) -> None:
        """What is known without the vendor: that a talk must be over."""
        if now - talk.created_at > _GIVEN_UP + timedelta(seconds=talk.max_seconds):
            await self._settle(talk, given_up(now, UNKNOWN))
            return
        left = None if is_final(talk) else await self._left(talk, now)
        if left is not None:
            await self._over(talk, *left)

    async def _of_vendor(self, talk: Talk) -> VendorCall | None:
        if talk.vendor_call is None:
            return await self._vendor.find_call(talk.id)
        return await _unless_missing(self._vendor.call(talk.vendor_call))

    async def _transcript(self, vendor_call: str) -> str | None:
        return await _unless_missing(self._vendor.transcript(vendor_call))

    async def _left(self, talk: Talk, now: datetime) -> tuple[datetime, str | None] | None:
        """When our side left the talk, and why as far as we know; None: it may still be there."""
        if is_final(talk):
            return talk.ended_at or now, talk.end_reason
        if talk.id in self._unwanted:
            return now, None
        try:
            call = await self._calls.get(talk.account, talk.call)
        except NotFoundError:
            call = None  # an inbound call's row is written behind its back
        # Of a call that our process lost, the talk may go on.
        if call is not None and call.ended_at is not None and call.end_reason is not EndReason.LOST:
            return call.ended_at, None
        if talk.joined_at is None:
            last = talk.created_at + _JOINED_BY
        else:
            last = talk.joined_at + timedelta(seconds=talk.max_seconds) + _GRACE
        return (now, TIMEOUT) if now > last else None

    async def _over(self, talk: Talk, at: datetime, reason: str | None) -> None:
        news = ended(at, reason) if talk.state is TalkState.JOINED else failed(at, reason or ABANDONED)
        await self._write(talk.id, news)

    async def _write(self, talk_id: str, news: News) -> Talk:
        """The talk as it is then; one that is over gives its place back."""
        talk = await self._talks.settle(talk_id, news)
        if is_final(talk):
            with suppress(UnavailableError):  # it comes free by itself
                await self._places.release(talk.account, talk.id)
        return talk

    async def _settle(self, talk: Talk, news: News) -> None:
        after = await self._write(talk.id, news)
        self._unwanted.discard(talk.id)
        log.info(
            "a talk is settled",
            call=after.call,
            talk=after.id,
            ultravox=after.vendor_call,
            state=after.state.value,
            reason=after.end_reason,
            seconds=after.seconds,
        )


async def _unless_missing(question: Coroutine[Any, Any, _T]) -> _T | None:
    try:
        return await question
    except VendorError as error:
        if error.trouble != "missing":
            raise
        return None
