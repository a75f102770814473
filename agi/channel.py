"""A call as the handler sees it: one coroutine per AGI verb, and the end of the call as an exception.

One method writes to the wire, and decides what cancellation does to it: a command that is abandoned while
Asterisk still runs it leaves a reply that nobody can tell from the next one's, so the connection is closed.
"""

import asyncio
from functools import lru_cache
from typing import NamedTuple, NoReturn, Protocol

from agi import protocol
from agi.errors import CallEndedError, CommandError, DisconnectedError, HangupError, SoundError
from agi.protocol import Reply, State, encode

_CLOSED = State.CLOSED

ALL_KEYS = "0123456789*#"
"""Escape digits for STREAM FILE: a key outside the set is swallowed in silence (`ast_waitstream`, file.c)."""

_KEYS = frozenset("0123456789ABCD*#")

_ANSWER = encode("ANSWER")
_HANGUP = encode("HANGUP")
_CHANNEL_STATUS = encode("CHANNEL STATUS")

# A tree says the same few things to every caller.
_stream_file = lru_cache(maxsize=4096)(encode)
_get_data = lru_cache(maxsize=4096)(encode)


class Playback(NamedTuple):
    """How a STREAM FILE ended: the key that interrupted it (None: none), and how far it had come.

    `endpos` is in samples of the file's own rate. `stopped`: somebody else ended it (AMI ControlPlayback).
    """

    key: str | None
    endpos: int
    stopped: bool


class Digits(NamedTuple):
    """What GET DATA collected. `timed_out`: the time ran out; `terminated`: the caller pressed `#`.

    `stopped`: somebody else ended it (AMI ControlPlayback), and the caller may have pressed nothing.
    """

    digits: str
    timed_out: bool
    terminated: bool
    stopped: bool

    @property
    def key(self) -> str | None:
        """The first key, `#` included; None when there was none."""
        return self.digits[0] if self.digits else "#" if self.terminated else None


class Transport(Protocol):
    """What a channel needs of its connection."""

    def write(self, data: bytes) -> None:
        """Sends `data`; never waits."""

    def abort(self) -> None:
        """Closes the connection at once."""


class Channel:
    """One live call, from its greeting to its end.

    Every verb raises `HangupError` when the caller has gone (or was redirected away), `DisconnectedError`
    when Asterisk has, and `CommandError` when Asterisk refuses the command. After a hangup Asterisk still
    carries out DATABASE, EXEC, GET VARIABLE, GET FULL VARIABLE, NOOP, SET VARIABLE and VERBOSE (`dead` in the
    command table of res_agi.c).
    """

    __slots__ = ("_greeting", "_line", "_transport", "_waiter", "loop", "told", "wire")

    def __init__(
        self,
        wire: protocol.Protocol,
        transport: Transport,
        greeting: bytes,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.wire = wire
        self.told = False  # the handler has been told that the call is over
        self._greeting = greeting
        self.loop = loop
        self._transport = transport
        self._line = b""
        self._waiter: asyncio.Future[Reply] | None = None

    def environment(self) -> dict[str, str]:
        """The greeting's values: `agi_channel`, `agi_uniqueid`, `agi_callerid` and so on.

        Read anew from the bytes at each call, so that a waiting session holds no more than those.
        """
        return protocol.environment(self._greeting)

    @property
    def hung_up(self) -> bool:
        """Whether Asterisk has told that the channel is gone."""
        return self.wire.hung_up

    @property
    def running(self) -> asyncio.Future[Reply] | None:
        """The wait for the reply to a command, until its verb has taken it; None when no verb waits."""
        return self._waiter

    async def command(self, *words: str | int) -> Reply:
        """Any AGI command: the verb, then its arguments, which are quoted as needed.

        Raises:
            ValueError: an argument holds a line break or NUL, or the command is too long.
            ConcurrencyError: another command is running.
        """
        return await self._carry_out(encode(*words))

    async def answer(self) -> None:
        """Answers the call. Takes about half a second on a channel that has not sent media yet."""
        reply = await self._carry_out(_ANSWER)
        if reply.result == "-1":
            await self._failed(None)

    async def hangup(self) -> None:
        """Hangs the channel up."""
        await self._carry_out(_HANGUP)

    async def stream_file(self, sound: str, keys: str = ALL_KEYS) -> Playback:
        """Plays `sound` (a name without extension) until it ends or one of `keys` is pressed.

        Raises:
            SoundError: there is no such sound, or it cannot be played.
        """
        reply = await self._carry_out(_stream_file("STREAM FILE", sound, keys))
        if reply.result == "-1":
            await self._failed(sound)
        key = _character(reply.result)
        return Playback(key, reply.endpos or 0, stopped=key is None and reply.result != "0")

    async def get_data(self, sound: str, wait: float = 6, max_digits: int = 1) -> Digits:
        """Plays `sound` and collects up to `max_digits` keys; any key interrupts the sound and is kept.

        `wait` in seconds counts from the end of the sound, and again from each key. `#` ends the input.

        Raises:
            SoundError: there is no such sound, or it cannot be played.
        """
        line = _get_data("GET DATA", sound, round(wait * 1000), max_digits)
        reply = await self._carry_out(line)
        result = reply.result
        if result == "-1":
            await self._failed(sound)
        digits = result if result.isalnum() and result.isascii() else _only_keys(result)
        timed_out = reply.text == "timeout"
        stopped = len(digits) != len(result)
        terminated = not stopped and not timed_out and len(digits) < max_digits
        return Digits(digits, timed_out, terminated, stopped)

    async def wait_for_digit(self, wait: float) -> str | None:
        """The next key, or None after `wait` seconds."""
        reply = await self._carry_out(encode("WAIT FOR DIGIT", round(wait * 1000)))
        if reply.result == "-1":
            await self._failed(None)
        return _character(reply.result)

    async def get_variable(self, name: str) -> str | None:
        """The value of a channel variable, or None when it is not set. Allowed after a hangup."""
        reply = await self._carry_out(_get_data("GET VARIABLE", name))
        return _text(reply) if reply.result == "1" else None

    async def get_full_variable(self, expression: str) -> str | None:
        """What `expression` (`${CHANNEL(language)}`) evaluates to. Allowed after a hangup."""
        reply = await self._carry_out(encode("GET FULL VARIABLE", expression))
        return _text(reply) if reply.result == "1" else None

    async def set_variable(self, name: str, value: str) -> None:
        """Sets a channel variable or writes a function. Allowed after a hangup."""
        await self._carry_out(encode("SET VARIABLE", name, value))

    async def exec(self, application: str, *arguments: str) -> str:
        """Runs a dialplan application and gives its result. Allowed after a hangup.

        Raises:
            CommandError: there is no such application (`result=-2`, handle_exec in res_agi.c).
        """
        reply = await self._carry_out(encode("EXEC", application, ",".join(arguments)))
        if reply.result == "-2":
            raise CommandError(f"Asterisk has no application {application!r}")
        return reply.result

    async def verbose(self, message: str, level: int = 1) -> None:
        """Writes `message` to Asterisk's console. Allowed after a hangup."""
        await self._carry_out(encode("VERBOSE", message, level))

    async def status(self) -> int:
        """The channel's state (6: up); raises `HangupError` when it is gone, without any guessing.

        Asterisk hears of a hangup before it reads the next command, and refuses this one then (`run_agi`).
        """
        return _integer((await self._carry_out(_CHANNEL_STATUS)).result)

    async def _carry_out(self, line: bytes) -> Reply:
        """Sends one command and waits for its one reply."""
        if self.wire.state is _CLOSED:
            raise self.ended()
        data = self.wire.send(line)
        self._line = line
        waiter: asyncio.Future[Reply] = self.loop.create_future()
        self._waiter = waiter
        self._transport.write(data)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                self.wire.close()
                self._transport.abort()
            raise
        finally:
            self._waiter = None

    async def _failed(self, sound: str | None) -> NoReturn:
        """A command has answered -1, which is told apart: is the caller gone, or is it the sound?"""
        await self.status()
        raise SoundError(f"Asterisk cannot play {sound!r}") if sound else CommandError("the command failed")

    def replied(self, reply: Reply) -> None:
        """For the connection: the reply to the running command has come."""
        waiter = self._waiter
        if waiter is None or waiter.done():
            return
        if reply.code == 200:
            waiter.set_result(reply)
        elif reply.code == 511:
            self.told = True
            waiter.set_exception(HangupError("the caller has hung up"))
        else:
            name = self._line.decode("utf-8", "replace").strip()
            message = f"Asterisk refused {name!r}: {reply.code} {reply.text}"
            waiter.set_exception(CommandError(message, reply.code))

    def lost(self) -> None:
        """For the connection: nothing more will come."""
        self.wire.close()
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_exception(self.ended())

    def ended(self) -> CallEndedError:
        """Why nothing can be said any more; whoever raises it has told the handler."""
        self.told = True
        if self.wire.hung_up:
            return HangupError("the caller has hung up")
        return DisconnectedError("the connection to Asterisk is closed")


def _integer(result: str) -> int:
    try:
        return int(result)
    except ValueError:
        return 0


def _character(result: str) -> str | None:
    """The key of a result like "49". AMI ControlPlayback ends one with 1000 or more, which is none."""
    code = _integer(result)
    return chr(code) if 0 < code < 128 else None


def _only_keys(result: str) -> str:
    """A ControlPlayback during GET DATA leaves the low byte of its code (0xE8 for stop) among the digits."""
    return "".join(key for key in result if key in _KEYS)


def _text(reply: Reply) -> str:
    return (reply.text or "").encode("latin-1").decode("utf-8", "replace")
