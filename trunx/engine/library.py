"""The accounts' audio: from a text or a file to a sound on every Asterisk, and to the trees that play it.

Making a sound is paid for and takes seconds, so equal texts are made once: a text that is being made is
waited for, one that was made is found by its key. What is made outlives the request that asked for it.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar
from weakref import WeakValueDictionary

import structlog

from trunx.domain.audio import (
    Audio,
    AudioStatus,
    Failure,
    Sound,
    Source,
    Speech,
    SpeechError,
    UnusableSoundError,
    Use,
    new_audio_id,
)
from trunx.domain.errors import NotFoundError, UnavailableError
from trunx.domain.speech import check_text
from trunx.engine.incoming import Incoming, passing
from trunx.engine.ports import Audios, Lines, Staging, Studio, Voices, Words

T = TypeVar("T")

PATIENCE = 20.0
"""Seconds for which the one who asks waits; what takes longer goes on and is asked for by its id."""
_SWEEP_EVERY = 60.0
_SWEEP_SOUNDS = 100
_RETRY_SECONDS = 5.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Made:
    """A sound that is kept and staged; `speech` as it was said, None for an upload."""

    sound: Sound
    speech: Speech | None = None


class Library:
    """Use-cases of audio. Enter it to work with it; leaving ends what is being made."""

    def __init__(
        self,
        *,
        audios: Audios,
        studio: Studio,
        voices: Voices,
        staging: Staging,
        lines: Lines,
        words: Words,
        incoming: Incoming,
    ) -> None:
        self._audios = audios
        self._studio = studio
        self._voices = voices
        self._staging = staging
        self._lines = lines
        self._words = words
        self.incoming = incoming
        self._tasks: set[asyncio.Task[Any]] = set()
        self._spoken: dict[str, asyncio.Task[_Made]] = {}
        # Of each sound: held while its files go, and while it is noted as being there.
        self._shelves: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def speak(
        self, account: str, *, name: str, text: str, voice: str | None, patience: float | None = PATIENCE
    ) -> Audio:
        """A new audio of `text`: `ready`, or `processing` when it takes longer than `patience` seconds.

        Raises:
            SpeechError: there is no speech, and no audio either.
        """
        check_text(text)
        speech = await self._voices.plan(text, voice)
        audio = replace(
            _new(account, name, Source.TTS), text=text, provider=speech.provider, voice=speech.voice
        )
        return await self._made(audio, self._saying(speech, text), patience)

    async def upload(
        self, account: str, *, name: str, filename: str, file: Path, words: str | None = None
    ) -> Audio:
        """A new audio of `file`, which is taken away: `ready`, or `processing` when it takes long. `words` is
        what is said in it, if somebody knows.

        Raises:
            UnusableSoundError: it cannot become a sound, and there is no audio.
        """
        own = self.incoming.taken(file)
        audio = replace(_new(account, name, Source.UPLOAD), filename=filename)
        return await self._made(audio, self._start(self._take(own, words)), PATIENCE)

    async def speech(self, text: str, voice: str | None) -> tuple[Sound, Speech]:
        """What `text` sounds like, on every Asterisk, and who says it. Raises `SpeechError`."""
        speech = await self._voices.plan(text, voice)
        made = await asyncio.shield(self._saying(speech, text))
        return made.sound, made.speech or speech

    async def sound_of(self, file: Path) -> Sound:
        """What `file` sounds like, on every Asterisk; it is taken away. Raises `UnusableSoundError`."""
        own = self.incoming.taken(file)
        return (await asyncio.shield(self._start(self._take(own, None)))).sound

    async def still_has(self, sound: Sound) -> bool:
        """Whether a sound is there; it then stays as long as a new one does."""
        async with self._shelf(sound.name):
            if not await self._is_there(sound):
                return False
            await self._audios.keep(sound)
        return True

    async def delete(self, account: str, audio_id: str) -> Sequence[Use]:
        """Deletes an audio; the nodes that still point to it. Raises `NotFoundError`."""
        uses = await self._audios.uses(account, [audio_id])
        await self._lines.publish(await self._audios.delete(account, audio_id))
        return uses.get(audio_id, ())

    async def sweep_for_ever(self) -> None:
        """Removes the files of sounds that nobody needs any more, now and then."""
        while True:
            await asyncio.sleep(_SWEEP_EVERY)
            try:
                await self.sweep()
            except (UnavailableError, OSError) as error:
                log.warning("unused sounds stay for now", error=str(error))

    async def sweep(self) -> None:
        """Removes the files of sounds that nobody needs any more."""
        for sound in await self._audios.unused(_SWEEP_SOUNDS):
            async with self._shelf(sound):
                if await self._audios.drop(sound):
                    await self._staging.remove(sound)
                    log.info("an unused sound is removed", sound=sound)

    async def _made(self, audio: Audio, making: asyncio.Task[_Made], patience: float | None) -> Audio:
        await asyncio.wait({making}, timeout=patience)
        if making.done():
            made = making.result()
            await self._audios.add(audio)
            return await self._settle(_ready(audio, made))
        await self._audios.add(audio)
        self._start(self._settle_later(audio, making))
        return audio

    async def _settle_later(self, audio: Audio, making: asyncio.Task[_Made]) -> None:
        try:
            settled = _ready(audio, await making)
        except (SpeechError, UnusableSoundError) as error:
            settled = _failed(audio, error.code, str(error))
        except UnavailableError as error:
            settled = _failed(audio, "store-unavailable", f"{error}; make it again")
        while True:
            try:
                await self._settle(settled)
            except NotFoundError:
                return  # deleted meanwhile
            except UnavailableError:
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    async def _settle(self, audio: Audio) -> Audio:
        await self._lines.publish(await self._audios.settle(audio))
        log.info("audio-settled", audio=audio.id, account=audio.account, status=audio.status)
        return audio

    def _saying(self, speech: Speech, text: str) -> asyncio.Task[_Made]:
        making = self._spoken.get(speech.key)
        if making is None:
            making = self._spoken[speech.key] = self._start(self._say(speech, text))
            making.add_done_callback(lambda _: self._spoken.pop(speech.key, None))
        return making

    async def _say(self, speech: Speech, text: str) -> _Made:
        sound = await self._kept(speech.key)
        if sound is None:
            with passing(self.incoming.path()) as file:
                speech = await self._voices.speak(speech, file)
                try:
                    sound = await self._mastered(file, speech.key)
                except UnusableSoundError as error:
                    raise SpeechError(
                        "voice-unusable", f"{speech.provider} sent no usable sound: {error}"
                    ) from error
        await self._shelve(sound, text)
        return _Made(sound, speech)

    async def _take(self, file: Path, words: str | None) -> _Made:
        with passing(file):
            sound = await self._mastered(file)
        await self._shelve(sound, words)
        return _Made(sound)

    async def _shelve(self, sound: Sound, words: str | None) -> None:
        if words is not None:
            with suppress(OSError):  # only the simulator misses them
                await self._words.note(sound.name, words)
        await self._staging.stage(sound.name)

    async def _kept(self, key: str) -> Sound | None:
        """The sound made for `key` before, when its files are still there."""
        sound = await self._audios.spoken(key)
        return sound if sound is not None and await self._is_there(sound) else None

    async def _mastered(self, file: Path, key: str | None = None) -> Sound:
        while True:
            sound = await self._studio.master(file)
            async with self._shelf(sound.name):
                # The same content may have been swept off the shelf since: then it is made again.
                if await self._is_there(sound):
                    await self._audios.keep(sound, key)
                    return sound

    def _shelf(self, sound: str) -> asyncio.Lock:
        return self._shelves.get(sound) or self._shelves.setdefault(sound, asyncio.Lock())

    async def _is_there(self, sound: Sound) -> bool:
        try:
            await self._studio.encoded(sound.name, "ulaw")
        except NotFoundError:
            return False
        return True

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        # The others are told to whoever waits, or stand in the audio's row.
        if error is not None and not isinstance(error, SpeechError | UnusableSoundError | UnavailableError):
            log.error("audio-failed", exc_info=error)


def _new(account: str, name: str, source: Source) -> Audio:
    return Audio(
        id=new_audio_id(),
        account=account,
        name=name,
        source=source,
        status=AudioStatus.PROCESSING,
        created_at=datetime.now(UTC),
    )


def _ready(audio: Audio, made: _Made) -> Audio:
    ready = replace(audio, status=AudioStatus.READY, sound=made.sound)
    if made.speech is None:
        return ready
    return replace(ready, provider=made.speech.provider, voice=made.speech.voice)


def _failed(audio: Audio, code: str, message: str) -> Audio:
    return replace(audio, status=AudioStatus.FAILED, failure=Failure(code, message))
