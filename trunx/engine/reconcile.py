"""The truth of calls: Asterisk's news as they come, and rows against channels whenever news may be missing.

The fact to know: nothing is declared over because it is not seen once. A row without a channel is looked at
again a few seconds later; then the row is ended. A channel without a live row is ended at once.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NoReturn, TypeAlias, assert_never

import structlog

from trunx.domain.call import Call, EndReason
from trunx.domain.channel import (
    AmiRefusedError,
    ChannelEnded,
    ChannelRinging,
    ChannelUp,
    FactsMissed,
    LinkDown,
    LinkUp,
    LiveChannel,
    OriginateEnded,
)
from trunx.domain.dial import Dial, Reading, dial_failed, is_ours, read
from trunx.domain.errors import UnavailableError
from trunx.domain.progress import Answered, DialFailed, Lost
from trunx.domain.progress import Fact as Known
from trunx.domain.records import Lease
from trunx.engine.gatekeeper import Gatekeeper
from trunx.engine.metrics import AMI_CONNECTED
from trunx.engine.outbound import Outbound
from trunx.engine.ports import Dials, Switch
from trunx.engine.settling import Settling, moment

log = structlog.get_logger(__name__)

_FRESH = timedelta(minutes=1)  # so long after its request nobody is surprised by a call
_OVERDUE = timedelta(minutes=1)  # after its own last moment, a call that nobody sees is over


_OfChannel: TypeAlias = ChannelRinging | ChannelUp | ChannelEnded | OriginateEnded


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds.

    Attributes:
        every: between two comparisons; also how often the places of live calls are renewed.
        soon: until what was missing is looked for again.
        turn: until calls that wait are tried again.
        grace: how old an order must be before its channel can be missing at all.
        better: in which a channel's own end says more than the end of its dialling, and a session of ours
            more than Asterisk.
    """

    every: float = 10.0
    soon: float = 3.0
    turn: float = 1.0
    grace: float = 5.0
    better: float = 1.0


class Truth:
    """Keeps rows and channels in step, for as long as `run` runs."""

    def __init__(
        self,
        *,
        dials: Dials,
        gate: Gatekeeper,
        settling: Settling,
        outbound: Outbound,
        switch: Switch,
        inbound: AbstractSet[str],
        pace: Pace = Pace(),
    ) -> None:
        """`inbound` are the ids of the inbound calls that have a session of ours."""
        self._dials = dials
        self._gate = gate
        self._settling = settling
        self._outbound = outbound
        self._switch = switch
        self._inbound = inbound
        self._pace = pace
        self._look = outbound.left
        self._stirred = asyncio.Event()
        self._news: dict[str, deque[tuple[_OfChannel, datetime]]] = {}
        self._failed: dict[str, tuple[OriginateEnded, datetime]] = {}
        self._gone: dict[str, tuple[datetime, Reading]] = {}
        self._missing: dict[str, datetime] = {}  # since when
        self._waiting = False

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as group:
            for work in (self._hear(), self._write(), self._end_inbound(), self._compare_for_ever()):
                group.create_task(work)

    # --- news, each call's in their order, of all calls at once

    async def _hear(self) -> None:
        loop = asyncio.get_running_loop()
        async for fact in self._switch.facts:
            now = moment()
            match fact:
                case LinkUp():
                    AMI_CONNECTED.set(1)
                    self._look.set()
                case LinkDown():
                    AMI_CONNECTED.set(0)
                case FactsMissed():
                    self._look.set()
                case ChannelEnded(channel) if not is_ours(channel):
                    self._gone[channel] = now, read(fact, now)
                case OriginateEnded(channel, answered=False):
                    # Behind what the channel says of its own end, however slowly that is written.
                    self._failed[channel] = fact, now
                    loop.call_later(self._pace.better, self._add_failed, channel)
                case OriginateEnded(channel):
                    self._add(channel, ChannelUp(channel), now)
                case ChannelRinging(channel) | ChannelUp(channel) | ChannelEnded(channel):
                    self._add(channel, fact, now)
                case _:
                    assert_never(fact)

    def _add(self, channel: str, fact: _OfChannel, now: datetime) -> None:
        if is_ours(channel):
            self._news.setdefault(channel, deque()).append((fact, now))
            self._stirred.set()

    def _add_failed(self, channel: str) -> None:
        failed = self._failed.pop(channel, None)
        if failed is not None:
            self._add(channel, *failed)

    async def _write(self) -> None:
        while True:
            await self._stirred.wait()
            batch = {name: waiting.popleft() for name, waiting in self._news.items()}
            self._news = {name: waiting for name, waiting in self._news.items() if waiting}
            if not self._news:
                self._stirred.clear()
            settled = await self._settling.surely({name: _at_once(*news) for name, news in batch.items()})
            for name, (before, after) in settled.items():
                fact, at = batch[name]
                if after.ended_at is not None:
                    self._failed.pop(name, None)  # it says nothing of a call that has ended
                if isinstance(fact, ChannelRinging | ChannelUp) and _is_over(before):
                    await self._hang_up(name)  # it was ended while the order to dial was on its way
                elif isinstance(fact, ChannelEnded) and after.ended_at is None:
                    self._settling.later(self._pace.better, name, read(fact, at))

    async def _end_inbound(self) -> None:
        """Ends the rows of inbound calls whose session cannot: it was lost, or the call was moved.

        A session's own word comes first; it is written a moment after the hangup.
        """
        while True:
            await asyncio.sleep(self._pace.better)
            ripe = moment() - timedelta(seconds=self._pace.better)
            gone = {name: reading for name, (at, reading) in self._gone.items() if at <= ripe}
            if not gone:
                continue
            try:
                live = await self._dials.inbound_of(list(gone))
                await self._settling.settle({call: gone[channel] for channel, call in live.items()})
            except UnavailableError:
                continue
            for name in gone:
                del self._gone[name]

    # --- rows against channels

    async def _compare_for_ever(self) -> None:
        while True:
            pace = self._pace
            pause = pace.turn if self._waiting else pace.soon if self._missing else pace.every
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._look.wait()
            self._look.clear()
            try:
                await self._compare()
            except UnavailableError as error:
                log.warning("rows and channels cannot be compared now", problem=str(error))

    async def _compare(self) -> None:
        rows, inbound = await self._dials.live(), await self._dials.live_inbound()
        await self._gate.renew(
            [
                *(Lease(call.id, call.account, dial.trunk) for call, dial in rows if dial.dialled_at),
                *(Lease(call.id, call.account, self._gate.trunk.name, outbound=False) for call in inbound),
            ]
        )
        now = moment()
        # After the rows: a channel that is made meanwhile is in the list, one that is not has gone before.
        channels = await self._channels()
        if channels is None:
            self._missing = {}
        else:
            missing = _missing(
                rows, inbound, self._inbound, channels, now - timedelta(seconds=self._pace.grace)
            )
            self._missing = {name: self._missing.get(name, now) for name in missing}
        seen_before = now - timedelta(seconds=self._pace.soon * 0.9)
        news = {name: _gone(now) for name, since in self._missing.items() if since <= seen_before}
        for call, dial in rows:
            reading = self._state(call, dial, (channels or {}).get(call.id), now)
            if reading is not None:
                news[call.id] = reading
        if news:
            await self._settling.settle(news)
        if channels is not None:
            await self._reap(channels, {call.id for call, _ in rows})
            self._dial_waiting(rows, now)

    async def _channels(self) -> Mapping[str, LiveChannel] | None:
        try:
            return {channel.channel: channel for channel in await self._switch.channels()}
        except UnavailableError:
            return None
        except AmiRefusedError as error:
            log.error("Asterisk does not say which channels there are", problem=str(error))  # noqa: TRY400
            return None

    def _state(self, call: Call, dial: Dial, channel: LiveChannel | None, now: datetime) -> Reading | None:
        """What a comparison says of a call, but for its channel being gone."""
        if dial.server != self._switch.place:
            return _overdue(call, dial, now)
        if dial.dialled_at is None:
            last, reason = _last_chance(call, dial)
            return _never(reason) if now >= last else None
        if channel is not None and channel.up and call.answered_at is None:
            return lambda *_: Answered(now)
        return None

    async def _reap(self, channels: Mapping[str, LiveChannel], live: set[str]) -> None:
        """Ends channels of ours whose call has ended. One without any row is somebody else's."""
        strays = [name for name in channels if is_ours(name) and name not in live]
        for name in await self._dials.ended(strays) if strays else ():
            log.warning("a channel without a live call is ended", call=name)
            await self._hang_up(name)

    def _dial_waiting(self, rows: Iterable[tuple[Call, Dial]], now: datetime) -> None:
        place = self._switch.place
        waiting = [
            call
            for call, dial in rows
            if dial.dialled_at is None and dial.server == place and now < _last_chance(call, dial)[0]
        ]
        self._waiting = bool(waiting)
        for call in waiting:
            self._outbound.begin_waiting(call)

    async def _hang_up(self, channel: str) -> None:
        with suppress(UnavailableError, AmiRefusedError):
            await self._switch.hangup(channel)


def _is_over(call: Call) -> bool:
    """Whether its channel has no business any more."""
    return call.ended_at is not None and call.end_reason is not EndReason.TRANSFERRED


async def end_overdue_for_ever(dials: Dials, settling: Settling, every: float = 60.0) -> NoReturn:
    """For a process without an Asterisk: ends what one that had it has left, once it is surely over."""
    while True:
        now = moment()
        try:
            known = {call.id: _overdue(call, dial, now) for call, dial in await dials.live()}
            over = {call: reading for call, reading in known.items() if reading is not None}
            if over:
                await settling.settle(over)
        except UnavailableError as error:
            log.warning("calls that are over cannot be ended now", problem=str(error))
        await asyncio.sleep(every)


def _at_once(fact: _OfChannel, at: datetime) -> Reading:
    """What is known without waiting: the walk of a call through a tree has a last step to tell first."""
    if isinstance(fact, OriginateEnded):
        return dial_failed(fact, at)
    reading = read(fact, at)
    if not isinstance(fact, ChannelEnded):
        return reading

    def unless_walking(call: Call, dial: Dial | None) -> Known | None:
        walks = call.ivr is not None and call.answered_at is not None and call.ended_at is None
        return None if walks else reading(call, dial)

    return unless_walking


def _missing(
    rows: Iterable[tuple[Call, Dial]],
    inbound: Iterable[Call],
    served: AbstractSet[str],
    channels: Mapping[str, LiveChannel],
    before: datetime,
) -> set[str]:
    """The live calls that have no channel, though they should have had one for a while."""
    placed = {
        call.id
        for call, dial in rows
        if dial.dialled_at and dial.dialled_at < before and call.id not in channels
    }
    came_in = {call.id for call in inbound if call.id not in served and call.agi_uniqueid not in channels}
    return placed | came_in


def _gone(now: datetime) -> Reading:
    """The channel is not there, and nobody saw its end."""
    return lambda call, _: None if call.ended_at is not None else Lost(now)


def _overdue(call: Call, dial: Dial, now: datetime) -> Reading | None:
    """What is to be said of a call that we cannot see: by Asterisk's own clock it ends all the same."""
    if dial.dialled_at is None:
        last, reason = _last_chance(call, dial)
        return _never(reason) if now >= last + _OVERDUE else None
    longest = timedelta(seconds=dial.ring_seconds + dial.max_seconds)
    return _gone(now) if now >= dial.dialled_at + longest + _OVERDUE else None


def _last_chance(call: Call, dial: Dial) -> tuple[datetime, EndReason]:
    """Until when a call may be dialled that nobody has dialled, and what it has failed of then.

    Without a queue that takes milliseconds; who was to do it may have died, and another one does it.
    """
    if dial.queue_until is not None:
        return dial.queue_until, EndReason.TIMEOUT
    return call.created_at + _FRESH, EndReason.ERROR


def _never(reason: EndReason) -> Reading:
    """Nobody has dialled it, and nobody will."""

    def reading(call: Call, dial: Dial | None) -> DialFailed | None:
        if call.ended_at is not None or dial is None or dial.dialled_at is not None:
            return None
        return DialFailed(moment(), reason)

    return reading
