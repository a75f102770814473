"""Speech by ElevenLabs, through its SDK.

We ask for `wav_16000`: wideband, because `.sln16` is made of it too and 8 kHz is a step down from there; on
every plan; and a WAV, unlike bare samples, shows by its first bytes that it is not the body of an error. The
SDK neither retries speech nor bounds its whole time: both are done here.
"""

import asyncio
import logging
import random
import re
import wave
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Self
from urllib.parse import urlsplit

import httpx
import structlog
from elevenlabs.client import AsyncElevenLabs
from elevenlabs.core import ApiError
from elevenlabs.core.parse_error import ParsingError
from elevenlabs.types import Voice

from trunx.adapters.voices.answers import Again, Fault, Pcm, fault, fault_of, sound_of
from trunx.domain.audio import Speech, SpeechError, VoiceInfo
from trunx.domain.errors import UnavailableError
from trunx.domain.records import PartState
from trunx.domain.speech import SPOKEN_CHARACTERS, check_text, language_of, prepared, speech_key

PROVIDER = "elevenlabs"
MODEL = "eleven_flash_v2_5"
VOICE = "EXAVITQu4vr4xnSDxMaL"
"""Sarah, whom the contract's example asks for."""
ALIASES: Mapping[str, str] = MappingProxyType({"rachel": "21m00Tcm4TlvDq8ikWAM"})

_FORMAT = "wav_16000"
_MOST_CHARACTERS = {
    "eleven_flash_v2_5": 40_000,
    "eleven_turbo_v2_5": 40_000,
    "eleven_flash_v2": 30_000,
    "eleven_turbo_v2": 30_000,
    "eleven_multilingual_v2": 10_000,
    "eleven_multilingual_v1": 10_000,
    "eleven_monolingual_v1": 10_000,
}
"""Per request, by model (vendor's documentation)."""
_MOST_OF_OTHERS = 3_000  # eleven_v3, and what we do not know
_MOST_BYTES = 64 << 20  # 35 minutes
_TRIES = 3
_STATE_DEADLINE = 1.5
_VOICE_AT_FAULT = {"voice-not-found", "voice-plan-required"}
_ID = re.compile(r"[A-Za-z0-9]{20}")
_PAGES = 50  # of 100 voices
_CHUNK = 1 << 16

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Seconds. `speech`: one text with all its tries, and as long for its turn; `silence`: between two bytes;
    `voices`: the whole list, or one look at the configured ones; `keep`: the list's age; `look`, `look_ill`:
    from one look to the next, when all was well and when not; `backoff`: the shortest pause between tries.
    """

    speech: float = 90.0
    silence: float = 30.0
    voices: float = 10.0
    keep: float = 300.0
    look: float = 300.0
    look_ill: float = 30.0
    backoff: float = 0.5


class ElevenLabs:
    """Fulfils `Voices` and `Part`; works inside its `async with` block only.

    Raises:
        ValueError: the key cannot be a header's value, or `base_url` is no HTTP address; never shows the key.
    """

    def __init__(
        self,
        api_key: str,
        base_url: str | None = None,
        *,
        model: str = MODEL,
        default_voice: str = VOICE,
        fallback_voice: str | None = None,
        aliases: Mapping[str, str] = ALIASES,
        concurrency: int = 2,
        deadlines: Deadlines | None = None,
    ) -> None:
        if not re.fullmatch(r"[!-~]+", api_key):
            raise ValueError("an API key is one word of plain characters")
        if base_url is not None and (
            urlsplit(base_url).scheme not in {"http", "https"} or not urlsplit(base_url).hostname
        ):
            raise ValueError("not an address: https://host or http://host:port")
        self._secret = api_key
        self._base_url = base_url
        self._model = model
        self._aliases = {alias.casefold(): voice for alias, voice in aliases.items()}
        self._default = self._aliases.get(default_voice.casefold(), default_voice)
        self._fallback = fallback_voice
        self._slots = asyncio.Semaphore(concurrency)
        self._deadlines = deadlines or Deadlines()
        self._listing = asyncio.Lock()
        self._known: tuple[float, Sequence[VoiceInfo]] | None = None
        self._state: PartState | None = None
        self._looked = asyncio.Event()

    async def __aenter__(self) -> Self:
        # At INFO it writes a line for each request.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        # Ours follows no redirect: the key would go along.
        self._http = httpx.AsyncClient(timeout=self._deadlines.silence)
        self._client = AsyncElevenLabs(
            api_key=self._secret,  # by default the SDK takes what the environment had when it was imported
            base_url=self._base_url,
            timeout=self._deadlines.silence,
            httpx_client=self._http,
        )
        self._watching = asyncio.create_task(self._watch(), name="elevenlabs state")
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._watching.cancel()
        with suppress(asyncio.CancelledError):
            await self._watching
        await self._http.aclose()

    async def plan(self, text: str, voice: str | None) -> Speech:
        """As `Voices`. Asks the vendor only when `voice` is a name that the kept list does not have."""
        check_text(text, SPOKEN_CHARACTERS)
        words = prepared(text, language_of(text))
        most = _MOST_CHARACTERS.get(self._model, _MOST_OF_OTHERS)
        if len(words) > most:
            raise fault("voice-text-too-long", f"{len(words)} characters as read, of {most}").error
        try:
            return self._speech(words, await self._id_of(voice or self._default))
        except SpeechError as error:
            if error.code != "voice-not-found":
                raise
            if voice is None and self._fallback is not None:
                return self._speech(words, await self._id_of(self._fallback))
            raise _blamed(error, asked=voice is not None) from None

    async def speak(self, speech: Speech, target: Path) -> Speech:
        """As `Voices`: a WAV of 16 kHz. On any error nothing is at `target`."""
        try:
            sound = await self._sound(speech)
        except SpeechError as error:
            if error.code not in _VOICE_AT_FAULT:
                raise
            fallback = None if self._fallback is None else await self._id_of(self._fallback)
            if fallback is None or fallback == speech.voice:
                raise _blamed(error, asked=speech.voice != self._default) from None
            _log.warning(
                "the fallback voice stands in", voice=speech.voice, instead=fallback, code=error.code
            )
            speech = self._speech(speech.words, fallback)
            sound = await self._sound(speech)
        try:
            await asyncio.to_thread(_write, target, sound)
        except OSError as error:
            raise UnavailableError(f"the speech cannot be written: {error.strerror}") from None
        return speech

    async def voices(self) -> Sequence[VoiceInfo]:
        """The account's voices; the list is kept for some minutes, and for longer while it cannot be read."""
        now = asyncio.get_running_loop().time()
        async with self._listing:
            if self._known is not None and now - self._known[0] < self._deadlines.keep:
                return self._known[1]
            try:
                async with asyncio.timeout(self._deadlines.voices):
                    listed = [self._info(voice) async for voice in self._listed()]
            except TimeoutError:
                problem = fault("voice-timeout").error
            except Fault as failed:
                problem = failed.error
            else:
                self._known = (now, listed)
                return listed
        if self._known is None:
            raise problem
        return self._known[1]

    async def state(self) -> PartState:
        """`ok` or `degraded` (calls need no speech): the last look at the configured voices."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_STATE_DEADLINE):
                await self._looked.wait()
        return self._state or PartState("speech", "degraded", "ElevenLabs: no answer yet")

    def _speech(self, words: str, voice: str) -> Speech:
        key = speech_key(
            provider=PROVIDER, model=self._model, voice=voice, words=words, settings={}, form=_FORMAT
        )
        return Speech(PROVIDER, voice, words, key, {"model": self._model, "format": _FORMAT})

    async def _id_of(self, voice: str) -> str:
        """An alias comes first, then what looks like an id, then the account's names."""
        if (alias := self._aliases.get(voice.casefold())) is not None:
            return alias
        if _ID.fullmatch(voice):
            return voice
        wanted = voice.casefold()
        listed = await self.voices()
        for info in listed:
            if voice == info.id or wanted == info.name.casefold():
                return info.id
        # The vendor's names go on: "Sarah - Mature, Reassuring, Confident".
        short = [info.id for info in listed if wanted == info.name.casefold().partition(" - ")[0]]
        if len(short) == 1:
            return short[0]
        raise fault("voice-not-found", f"no alias, id or name of the account is {voice[:60]!r}").error

    async def _sound(self, speech: Speech) -> Pcm:
        """Waits for its turn, then asks until there is sound, the tries are used up or the time is."""
        try:
            async with asyncio.timeout(self._deadlines.speech):
                await self._slots.acquire()
        except TimeoutError:
            raise fault(
                "voice-busy", "too many texts are waiting", after=self._deadlines.speech
            ).error from None
        try:
            return await self._tried(speech)
        finally:
            self._slots.release()

    async def _tried(self, speech: Speech) -> Pcm:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._deadlines.speech
        for tries in count(1):
            try:
                return await self._ask(speech, end)
            except Fault as failed:
                error, pause = failed.error, self._pause(failed, tries)
            if pause is None or tries == _TRIES or loop.time() + pause >= end:
                _log.warning("no speech", code=error.code, voice=speech.voice, tries=tries, why=str(error))
                raise error
            await asyncio.sleep(pause)
        raise AssertionError("it counts for ever")

    def _pause(self, failed: Fault, tries: int) -> float | None:
        """Seconds until the next try: spread, so that those who failed together do not return together."""
        if failed.again is Again.NO:
            return None
        growth = 1 if failed.again is Again.SOON else 2**tries
        pause = self._deadlines.backoff * growth * random.uniform(0.5, 1.5)  # noqa: S311 - no secret
        return max(pause, failed.error.retry_after or 0.0)

    async def _ask(self, speech: Speech, end: float) -> Pcm:
        """One request."""
        body = bytearray()
        try:
            async with asyncio.timeout_at(end):
                with self._faults():
                    async with self._client.text_to_speech.with_raw_response.convert(
                        speech.voice,
                        text=speech.words,
                        model_id=self._model,
                        output_format=_FORMAT,
                        request_options={"chunk_size": _CHUNK},
                    ) as answer:
                        async for chunk in _whole(answer.data):
                            body += chunk
        except TimeoutError:
            raise fault("voice-timeout", again=Again.NO) from None
        return sound_of(bytes(body), answer.headers, speech.words, secret=self._secret)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Says in our words what the SDK and its HTTP client raise."""
        try:
            yield
        except (ApiError, ParsingError) as error:
            status, headers = error.status_code or 500, error.headers or {}
            raise fault_of(status, headers, error.body, secret=self._secret) from None
        except httpx.TimeoutException:
            raise fault("voice-timeout") from None
        except httpx.TransportError as error:
            raise fault("voice-unreachable", type(error).__name__) from None
        except (httpx.HTTPError, UnicodeError, TypeError, AttributeError) as error:
            # A body that cannot be decoded, or JSON that is not what the SDK takes for granted.
            raise fault("voice-provider-error", type(error).__name__) from None

    async def _listed(self) -> AsyncIterator[Voice]:
        token: str | None = None
        for _ in range(_PAGES):
            with self._faults():
                page = await self._client.voices.search(
                    page_size=100, next_page_token=token, request_options={"max_retries": 0}
                )
            # The SDK does not check what it was sent.
            for voice in getattr(page, "voices", None) or ():
                if isinstance(getattr(voice, "voice_id", None), str):
                    yield voice
            token = getattr(page, "next_page_token", None)
            if not token or not getattr(page, "has_more", False):
                return

    def _info(self, voice: Voice) -> VoiceInfo:
        name = voice.name if isinstance(voice.name, str) else voice.voice_id
        labels = voice.labels if isinstance(voice.labels, dict) else {}
        return VoiceInfo(
            id=voice.voice_id,
            name=name,
            provider=PROVIDER,
            language=labels.get("language"),
            is_default=self._default in (voice.voice_id, name),
        )

    async def _watch(self) -> None:
        while True:
            before, self._state = self._state, await self._look()
            self._looked.set()
            well = self._state.state == "ok"
            if self._state != before and not well:
                _log.warning("speech is in trouble", detail=self._state.detail)
            await asyncio.sleep(self._deadlines.look if well else self._deadlines.look_ill)

    async def _look(self) -> PartState:
        """Whether the configured voices are there; costs no credits."""
        here = f"ElevenLabs, {self._model}, voice {self._default}"
        for voice in filter(None, (self._default, self._fallback)):
            try:
                async with asyncio.timeout(self._deadlines.voices):
                    voice_id = await self._id_of(voice)
                    with self._faults():
                        await self._client.voices.get(voice_id, request_options={"max_retries": 0})
            except (Fault, SpeechError) as failed:
                error = failed.error if isinstance(failed, Fault) else failed
                if error.code == "voice-key-lacks-permission":
                    return PartState("speech", "ok", f"{here}; the key may not look voices up: not checked")
                return PartState("speech", "degraded", f"voice {voice}: {error}")
            except TimeoutError:
                return PartState("speech", "degraded", "ElevenLabs does not answer")
        return PartState("speech", "ok", here)


async def _whole(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The chunks of an answer that has begun: what breaks now is not whether the vendor can be reached."""
    size = 0
    try:
        async for chunk in chunks:
            size += len(chunk)
            if size > _MOST_BYTES:
                raise fault("voice-provider-error", "its sound does not end")
            yield chunk
    except httpx.TimeoutException:
        raise
    except httpx.TransportError as error:
        raise fault("voice-truncated", type(error).__name__) from None


def _blamed(error: SpeechError, *, asked: bool) -> SpeechError:
    """Tells whose choice the voice was: the request's or the configuration's."""
    if asked:
        return SpeechError(error.code, str(error), is_request=True, field="voice")
    return SpeechError(error.code, f"{error}; it is the configured voice")


def _write(target: Path, sound: Pcm) -> None:
    """The header is our own: a streamed one does not know how long the sound is."""
    try:
        with target.open("wb") as plain, wave.open(plain, "wb") as file:
            file.setnchannels(sound.channels)
            file.setsampwidth(2)
            file.setframerate(sound.rate)
            file.writeframes(sound.samples)
    except OSError:
        target.unlink(missing_ok=True)
        raise
