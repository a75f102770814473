"""Asterisk's events as facts, and the queue in which they wait for the one who acts on them.

Who takes them can be slow without holding the reader up: a full queue is emptied, and says that it was. Facts
that are missing have the same cure as a broken connection: asking which channels there are.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Self

import structlog

from trunx.adapters.ami.link import Message, text
from trunx.domain.channel import (
    ChannelEnded,
    ChannelRinging,
    ChannelUp,
    Fact,
    FactsMissed,
    OriginateEnded,
)

log = structlog.get_logger(__name__)

_ANSWERED = 4  # AST_CONTROL_ANSWER, as OriginateResponse's Reason


class Facts:
    """The facts in the order in which they were told, each once; for one taker.

    Args:
        most: how many wait at most. When one more comes, all that wait are replaced by `FactsMissed`.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: deque[Fact] = deque()
        self._news = asyncio.Event()

    def put(self, fact: Fact) -> None:
        """Never waits."""
        if len(self._waiting) >= self._most:
            log.warning("facts of channels came faster than they were taken", thrown_away=len(self._waiting))
            self._waiting.clear()
            self._waiting.append(FactsMissed())
        self._waiting.append(fact)
        self._news.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Fact:
        while not self._waiting:
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()


class Reading:
    """Makes facts of one connection's events, of all channels; what nobody needs to know makes none."""

    def __init__(self) -> None:
        self._left: dict[str, int | None] = {}  # channels that their far end is ending, and its SIP status
        self._readers: dict[str, Callable[[str, Message], Fact | None]] = {
            "Newstate": _state,
            "HangupRequest": self._leaving,
            "Hangup": self._ended,
            "OriginateResponse": _originated,
        }

    def fact(self, event: Message) -> Fact | None:
        """What the event says, if anything."""
        reader = self._readers.get(text(event, "Event"))
        channel = text(event, "Uniqueid")
        return reader(channel, event) if reader and channel else None

    def _leaving(self, channel: str, event: Message) -> None:
        self._left[channel] = _number(event, "TechCause") or None

    def _ended(self, channel: str, event: Message) -> Fact:
        # A Hangup has a TechCause also when this side ended it: Asterisk's own translation of the cause. Only
        # what came with the far end's request was said by SIP.
        by_far_end = channel in self._left
        sip = self._left.pop(channel, None)
        return ChannelEnded(channel, _number(event, "Cause"), sip, by_far_end)


def _state(channel: str, event: Message) -> Fact | None:
    match text(event, "ChannelState"):
        case "5":
            return ChannelRinging(channel)
        case "6":
            return ChannelUp(channel)
    return None


def _originated(channel: str, event: Message) -> Fact:
    reason = _number(event, "Reason")
    return OriginateEnded(channel, reason == _ANSWERED, reason)


def _number(event: Message, header: str) -> int:
    value = text(event, header)
    return int(value) if value.isascii() and value.isdecimal() else 0
