"""What is asked for from outside, played in our own sessions: the caller's, or that of a companion.

The fact to know: who asks writes what is wanted into a channel variable and interrupts the session, which may
be another process's. The session says in a second variable what it is about to play, so that both see whether
the other one has understood.
"""

import asyncio
from dataclasses import dataclass
from time import monotonic
from typing import Any, Self

import structlog

from agi import Channel, SoundError
from agi.channel import ALL_KEYS
from trunx.domain.action import ActionState
from trunx.domain.channel import AmiRefusedError
from trunx.domain.errors import NotFoundError, UnavailableError
from trunx.engine.actions.frame import CALL_ENDED, Frame

VARIABLE_ACTION = "TRUNX_ACTION"
"""Channel variable: what is to be played to the caller, written by who asks for it."""
VARIABLE_TAKEN = "TRUNX_TAKEN"
"""Channel variable: the id of the action that is being played, written by who plays."""

_MOST_STARTS = 3  # of one sound that ends early, and that nobody says he has ended
_EARLY = 0.1

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be played.

    Attributes:
        id: the action's.
        sound: Asterisk's name of it, which plays `ms`.
        times: how often; 0: until somebody stops it.
        by_key: a key of the caller's stops it.
        channel: the Uniqueid of the call's own channel.
    """

    id: str
    sound: str
    ms: int
    times: int
    by_key: bool
    channel: str

    def __str__(self) -> str:
        return f"{self.id}|{self.sound}|{self.ms}|{self.times}|{int(self.by_key)}|{self.channel}"

    @classmethod
    def of(cls, written: str | None) -> Self | None:
        """None: nothing is."""
        parts = (written or "").split("|")
        if len(parts) != 6:
            return None
        action, sound, ms, times, by_key, channel = parts
        return cls(action, sound, int(ms), int(times), by_key == "1", channel)


class Interlude:
    """Fulfils `action_ports.Interludes`."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    async def perform(self, channel: Channel, *, answering: bool) -> str | None:
        key = None
        done = ""
        while key is None:
            wanted = Wanted.of(await channel.get_variable(VARIABLE_ACTION))
            if wanted is None or wanted.id == done or not await self._is_started(wanted):
                break
            done = wanted.id
            await channel.set_variable(VARIABLE_TAKEN, wanted.id)
            key = await self._play(channel, wanted, answering=answering)
        if done:
            await channel.set_variable(VARIABLE_TAKEN, "")
        return key

    async def _play(self, channel: Channel, wanted: Wanted, *, answering: bool) -> str | None:
        played, starts = 0, 0
        keys = ALL_KEYS if answering or wanted.by_key else ""
        try:
            while wanted.times == 0 or played < wanted.times:
                began = monotonic()
                key = (await channel.stream_file(wanted.sound, keys)).key
                if key is not None:
                    await self._frame.complete(wanted.id, played=played, stoppedBy="key", key=key)
                    return key
                if await channel.get_variable(VARIABLE_ACTION) != str(wanted):
                    return None  # whoever has stopped or replaced it, tells it
                starts += 1
                if monotonic() - began < wanted.ms / 1000 - _EARLY and starts < _MOST_STARTS:
                    continue  # what was to interrupt what we did before has come too late
                played, starts = played + 1, 0
        except SoundError:
            await self._frame.fail(wanted.id, "sound-missing", played=played)
        except BaseException:  # cancelled by a hangup, too: an action never stays started
            await self._frame.fail(wanted.id, CALL_ENDED, played=played)
            raise
        else:
            await self._frame.complete(wanted.id, played=played, stoppedBy=None)
        return None

    async def _is_started(self, wanted: Wanted) -> bool:
        try:
            return (await self._frame.rows.get(wanted.id)).state is ActionState.STARTED
        except (NotFoundError, UnavailableError) as error:
            log.warning("what is asked for cannot be looked up", action=wanted.id, error=str(error))
            return False


class Companion:
    """Handles the companions that the dialplan hands over with `AGI(agi://.../action)`: what it plays is
    whispered to the parties of a talk.
    """

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    async def __call__(self, channel: Channel) -> None:
        wanted = Wanted.of(await channel.get_variable(VARIABLE_ACTION))
        if wanted is None:
            log.warning("somebody else calls our dialplan's companions")
            return
        desk = self._frame.desk
        played = 0
        try:
            await desk.set_variable(wanted.channel, VARIABLE_TAKEN, wanted.id)
            with desk.listening(wanted.channel) as pressed:
                while wanted.times == 0 or played < wanted.times:
                    playing = asyncio.ensure_future(channel.stream_file(wanted.sound))
                    either: set[asyncio.Future[Any]] = {playing}
                    if wanted.by_key:
                        either.add(pressed)
                    try:
                        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                        if not playing.done():
                            key = pressed.result()
                            await self._frame.complete(wanted.id, played=played, stoppedBy="key", key=key)
                            return
                        playing.result()
                    finally:
                        playing.cancel()  # which ends our connection, and the companion
                    played += 1
            await self._frame.complete(wanted.id, played=played, stoppedBy=None)
        except SoundError:
            await self._frame.fail(wanted.id, "sound-missing", played=played)
        except AmiRefusedError:
            await self._frame.fail(wanted.id, CALL_ENDED, played=played)
        except BaseException:  # cancelled by a hangup, too: an action never stays started
            await self._frame.fail(wanted.id, CALL_ENDED, played=played)
            raise
