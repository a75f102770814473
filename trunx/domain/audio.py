"""Audio assets, and the sounds they are made of.

A sound is content: mastered bytes under a name made of their hash, `trunx/audio/<32 hex digits>`, the same on
every Asterisk, whoever asked for it. An audio is an asset of an account: a name for a sound, and its origin.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Source(StrEnum):
    """Where an audio came from."""

    TTS = "tts"
    UPLOAD = "upload"


class AudioStatus(StrEnum):
    """Moves from `processing` to one of the others, once."""

    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class SoundWarning:
    """Something that a listener may dislike: `clipped`, `too-quiet`, `too-long`, `nearly-silent`, `noisy`,
    `narrow-band`, ... with a sentence that has the figure.
    """

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Sound:
    """Mastered content. `name` is Asterisk's name for it, without an ending; `ms` is how long it plays."""

    name: str
    ms: int
    warnings: tuple[SoundWarning, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no sound: a stable code, and a sentence that says what to do."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Audio:
    """An account's asset.

    `text` and `voice` (the provider's id of it) are those of speech, `filename` that of an upload. `sound` is
    there when it is `ready`, `failure` when it `failed`.
    """

    id: str
    account: str
    name: str
    source: Source
    status: AudioStatus
    created_at: datetime
    text: str | None = None
    provider: str | None = None
    voice: str | None = None
    filename: str | None = None
    sound: Sound | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Use:
    """A node that plays an audio. `field` is its field: `audio`, `invalid_audio`, `timeout_audio`."""

    ivr: str
    node: str
    field: str


class StagingState(StrEnum):
    """How a sound is on one Asterisk."""

    STAGED = "staged"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Staged:
    """A sound on one host. `host` shows no secret; `problem` is why it is still pending, if known."""

    host: str
    state: StagingState
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Speech:
    """What is to be said and by whom, decided: `words` as the voice reads them, `voice` the provider's id.

    `key` is a hash of everything that shapes the sound; equal keys, equal sounds.
    """

    provider: str
    voice: str
    words: str
    key: str
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VoiceInfo:
    """A voice that can be asked for by `id` or by `name`."""

    id: str
    name: str
    provider: str
    language: str | None
    is_default: bool


class SpeechError(Exception):
    """There is no speech. `code` tells the reason; `is_request` whether the request is at fault (its text or
    its voice, named by `field`) and not the voice's provider; `retry_after` seconds may help, if given.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        is_request: bool = False,
        field: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.is_request = is_request
        self.field = field
        self.retry_after = retry_after


class UnusableSoundError(Exception):
    """A file that cannot become a sound. `code`: `unsupported-format` (415), `too-large`, `too-long` (413),
    `empty`, `damaged`, `silent` (422).
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def new_audio_id() -> str:
    """`aud_` and 24 hex digits."""
    return "aud_" + secrets.token_hex(12)
