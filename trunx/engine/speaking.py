"""Speaking to a caller so that there is never silence: a sound that cannot be played is replaced.

The engine's own prompts stand in for an account's audio; where not even those are staged, Asterisk's stock
`beep` does, which comes with every Asterisk. Without that too, keys are still waited for.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import assert_never

import structlog

from agi import Channel, SoundError
from sounds import ENGINE, EngineName
from trunx.domain.call import Event
from trunx.domain.records import Line
from trunx.domain.walk import Preface, Say
from trunx.engine.action_ports import Interludes
from trunx.engine.metrics import AUDIO_FAILED
from trunx.engine.ports import Recorder, Sounds

log = structlog.get_logger(__name__)

STOCK_BEEP = "beep"
NOTHING = ""
"""GET DATA with an empty name only waits (ran on Asterisk 22.10)."""

FRAME = 0.02
"""Seconds of sound that Asterisk plays at once; a file with less (an upload that failed) is no sound."""


_EARLY = 0.1  # seconds before its end at which a sound that ends was ended


@dataclass(slots=True)
class Heard:
    """What a caller heard of a prompt: `ms` of it, whether it was the engine's own `fallback`, and the key
    that was pressed (None: none).
    """

    ms: int = 0
    fallback: bool = False
    key: str | None = None


class Speaker:
    """Speaks in one call. What `line` says of its audio stays right for this call, whatever is changed."""

    __slots__ = ("_call", "_channel", "_interludes", "_line", "_recorder", "_sounds")

    def __init__(
        self,
        channel: Channel,
        sounds: Sounds,
        recorder: Recorder,
        line: Line,
        call: str,
        *,
        interludes: Interludes | None = None,
    ) -> None:
        self._channel = channel
        self._interludes = interludes
        self._sounds = sounds
        self._recorder = recorder
        self._line = line
        self._call = call

    async def menu(self, audio: str, wait: float, node: str, heard: Heard) -> None:
        """Plays `audio` of the account and waits for a key, as one command, so that no key falls between."""
        try:
            await self._gather(self._line.sound(audio), wait, heard)
        except SoundError:
            self._failed(node, audio)
            heard.fallback = True
            try:
                await self._gather(ENGINE["menu-missing"].sound, wait, heard)
            except SoundError:
                self._unstaged("menu-missing")
                try:
                    await self._gather(STOCK_BEEP, wait, heard)
                except SoundError:
                    await self._gather(NOTHING, wait, heard)

    async def announce(self, audio: str, node: str, heard: Heard) -> None:
        """Plays `audio` of the account; a key ends it."""
        try:
            await self._play(self._line.sound(audio), heard)
        except SoundError:
            self._failed(node, audio)
            heard.fallback = True
            await self.say("message-missing", heard)

    async def preface(self, preface: Preface, heard: Heard) -> None:
        """Plays what is said before a node's own prompt; a key ends it."""
        if preface.audio is not None:
            try:
                await self._play(self._line.sound(preface.audio), heard)
            except SoundError:
                self._failed(preface.left, preface.audio)
            else:
                return
        match preface.say:
            case Say.INVALID:
                await self.say("invalid", heard)
            case Say.NO_INPUT:
                await self.say("no-input", heard)
            case _:
                assert_never(preface.say)

    async def say(self, prompt: EngineName, heard: Heard | None = None) -> None:
        """Plays one of the engine's own prompts; a key ends it."""
        heard = heard or Heard()
        try:
            await self._play(ENGINE[prompt].sound, heard)
        except SoundError:
            self._unstaged(prompt)
            with suppress(SoundError):
                await self._play(STOCK_BEEP, heard)

    async def _gather(self, sound: str, wait: float, heard: Heard) -> None:
        seconds = self._length(sound)
        while True:
            started = monotonic()
            whole = False
            try:
                digits = await self._channel.get_data(sound, wait, 1)
                heard.key, whole = digits.key if not digits.stopped else None, digits.timed_out
            finally:
                heard.ms = _milliseconds(monotonic() - started - (wait if whole else 0), seconds, whole=whole)
            if not digits.stopped or self._interludes is None:
                return
            heard.key = await self._interludes.perform(self._channel, answering=True)
            if heard.key is not None:
                return

    async def _play(self, sound: str, heard: Heard) -> None:
        seconds = self._length(sound)
        while True:
            started = monotonic()
            whole = False
            try:
                playback = await self._channel.stream_file(sound)
                heard.key, whole = playback.key, playback.key is None and not playback.stopped
            finally:
                passed = monotonic() - started
                heard.ms = _milliseconds(passed, seconds, whole=whole)
            early = seconds is not None and passed < seconds - _EARLY
            if heard.key is not None or not early or self._interludes is None:
                return
            # Somebody has ended it, which Asterisk 22 does not tell from its own end.
            heard.key = await self._interludes.perform(self._channel, answering=True)
            if heard.key is not None:
                return

    def _length(self, sound: str) -> float | None:
        """How long `sound` plays, if known. What does not fill a frame, Asterisk plays as silence."""
        seconds = self._sounds.seconds(sound)
        if seconds is not None and seconds < FRAME:
            raise SoundError(f"there is no sound in {sound!r}")
        return seconds

    def _failed(self, node: str, audio: str) -> None:
        AUDIO_FAILED.inc()
        account, sound = self._line.account, self._line.sound(audio)
        log.warning(
            "audio cannot be played; the caller hears the engine's own prompt",
            call=self._call,
            account=account,
            node=node,
            audio=audio,
            sound=sound,
        )
        data = {"node": node, "audio": audio, "sound": sound}
        self._recorder.event(Event(account, self._call, "audio.failed", datetime.now(UTC), data))

    def _unstaged(self, prompt: EngineName) -> None:
        AUDIO_FAILED.inc()
        log.error(
            "the engine's own prompts are not on this Asterisk: point TRUNX_SOUNDS_URL at its sounds folder",
            call=self._call,
            sound=ENGINE[prompt].sound,
        )


def _milliseconds(passed: float, seconds: float | None, *, whole: bool) -> int:
    """How much was heard of a sound that plays `seconds` (None: not known), when `passed` went by."""
    heard = passed if seconds is None else seconds if whole else min(passed, seconds)
    return max(round(1000 * heard), 0)
