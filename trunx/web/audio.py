"""`/audio`: speech made of text, uploaded files, and the files to listen to."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from trunx.domain.audio import Audio, AudioStatus, Use
from trunx.domain.errors import NotFoundError
from trunx.domain.sound import plain_name
from trunx.web import audio_problems
from trunx.web.files import FileAnswer
from trunx.web.models import AnswerBody, Deleted, RequestBody, RequestPath, RequestQuery, Time
from trunx.web.operation import Asked, Operation, Reply, Sends
from trunx.web.paging import Listing, PageQuery
from trunx.web.problems import Kind, ProblemError
from trunx.web.uploads import UploadedFile

AUDIO_NOT_FOUND = Kind(404, "audio-not-found", "There is no audio with this id")
AUDIO_PROCESSING = Kind(409, "audio-processing", "The audio is still being made")
AUDIO_FAILED = Kind(409, "audio-failed", "The audio could not be made")
SOUND_MISSING = Kind(503, "sound-missing", "The sound's files are not on this server")

MEDIA_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg", "ulaw": "audio/basic"}

AudioName = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Text = Annotated[
    str,
    Field(
        min_length=1,
        description="What to say. Digits and telephone numbers are read as a person would.",
        examples=["Thank you for calling. Please hold while we connect you."],
    ),
]
Voice = Annotated[
    str | None,
    Field(
        min_length=1,
        max_length=200,
        description="A voice's id or name, from `GET /audio/voices`; the default voice when absent.",
    ),
]


class AudioPath(RequestPath):
    """Names an audio."""

    id: str = Field(pattern=r"^aud_[A-Za-z0-9]{1,64}$", examples=["aud_0123456789abcdef01234567"])


class FileQuery(RequestQuery):
    """In which form to listen."""

    format: Literal["wav", "mp3", "ulaw"] = Field(
        default="wav", description="`wav` (16 kHz), `mp3`, or `ulaw`: what a caller hears, without a header."
    )


class AudioSpeech(RequestBody):
    """A text to be spoken."""

    name: AudioName = Field(description="What people and nodes call it.", examples=["Welcome Greeting"])
    text: Text
    voice: Voice = None


class AudioUpload(RequestBody):
    """A file to be made into telephone audio."""

    file: UploadedFile = Field(description=audio_problems.READABLE + ".")
    name: AudioName | None = Field(default=None, description="What to call it; its filename when absent.")


class Reason(AnswerBody):
    """Why an audio failed."""

    code: str
    message: str


class UseAnswer(AnswerBody):
    """A node that plays the audio."""

    ivr: str
    node: str
    field: str = Field(description="`audio`, `invalid_audio` or `timeout_audio`.")


class StagedAnswer(AnswerBody):
    """The sound on one Asterisk."""

    host: str
    state: str = Field(description="`staged`, or `pending`: it is brought there as soon as that is possible.")
    problem: str | None = Field(description="Why it is still pending, if that is known.")


class SoundWarningAnswer(AnswerBody):
    """Something that callers may dislike about the sound."""

    code: str = Field(description="Stable name of the kind of warning.", examples=["clipped"])
    message: str


class AudioAnswer(AnswerBody):
    """An audio of the account."""

    id: str
    name: str
    url: str = Field(description="Where to listen to it, with the account's key.")
    duration_seconds: float | None = Field(description="null until it is `ready`.", examples=[3.2])
    status: AudioStatus = Field(description="`processing`, then `ready` or `failed`.")
    reason: Reason | None = Field(description="Why it failed.")
    source: Literal["tts", "upload"]
    text: str | None = Field(description="Of speech: what is said.")
    voice: str | None = Field(description="Of speech: the id of the voice that says it.")
    provider: str | None = Field(description="Of speech: who made it.")
    filename: str | None = Field(description="Of an upload: the file's name.")
    used_by: list[UseAnswer] = Field(description="The nodes of today's trees that play it.")
    staged: list[StagedAnswer] = Field(description="The sound on each Asterisk.")
    warnings: list[SoundWarningAnswer]
    created_at: Time


class AudioList(Listing):
    """A page of audio."""

    audio: list[AudioAnswer]


class AudioDeleted(AnswerBody):
    """The audio is gone."""

    deleted: Deleted
    id: str
    used_by: list[UseAnswer] = Field(
        description="The nodes that still name it: callers hear an older audio of that name there, "
        "or else the engine's own prompt."
    )


class VoiceAnswer(AnswerBody):
    """A voice that can be asked for."""

    id: str
    name: str
    provider: str
    language: str | None
    is_default: bool


class VoiceList(AnswerBody):
    """All voices."""

    voices: list[VoiceAnswer]
    count: int


async def create_audio(asked: Asked, body: AudioSpeech) -> Reply:
    """Make speech of a text.

    What takes longer than 20 seconds is answered as `processing` and goes on; ask for it by its id.
    """
    with audio_problems.told():
        audio = await asked.ports.library.speak(
            asked.account, name=body.name, text=body.text, voice=body.voice
        )
    return Reply(201, await described(asked, audio))


async def upload_audio(asked: Asked, form: AudioUpload) -> Reply:
    """Upload a file.

    WAV, MP3, OGG and FLAC become telephone audio of one loudness. What takes longer than 20 seconds is
    answered as `processing` and goes on; ask for it by its id.
    """
    file = form.file
    with audio_problems.told():
        audio = await asked.ports.library.upload(
            asked.account, name=form.name or file.filename, filename=file.filename, file=file.path
        )
    return Reply(201, await described(asked, audio))


async def list_audio(asked: Asked, query: PageQuery) -> Reply:
    """List the audio."""
    found = await asked.ports.audios.page(asked.account, query.page())
    answers = await _all_described(asked, found.rows)
    return Reply(200, AudioList(audio=answers, count=len(answers), next=found.next))


async def get_audio(asked: Asked, path: AudioPath) -> Reply:
    """Get an audio."""
    return Reply(200, await described(asked, await _audio(asked, path.id)))


async def get_audio_file(asked: Asked, path: AudioPath, query: FileQuery) -> FileAnswer:
    """Listen to an audio.

    As callers hear it, levelled and trimmed. Parts can be asked for with `Range`; the ETag names the content.
    """
    audio = await _audio(asked, path.id)
    if audio.failure is not None:
        raise ProblemError(AUDIO_FAILED, f"{audio.failure.code}: {audio.failure.message}")
    if audio.sound is None:
        raise ProblemError(AUDIO_PROCESSING, "ask again shortly")
    try:
        file = await asked.ports.studio.encoded(audio.sound.name, query.format)
    except NotFoundError:
        raise ProblemError(SOUND_MISSING, "make the audio again, or put its files back") from None
    etag = f"{audio.sound.name.rpartition('/')[2]}-{query.format}"
    name = f"{plain_name(audio.name)}.{query.format}"
    return FileAnswer(file, MEDIA_TYPES[query.format], etag, name)


async def delete_audio(asked: Asked, path: AudioPath) -> Reply:
    """Delete an audio; calls that play it go on playing it."""
    try:
        uses = await asked.ports.library.delete(asked.account, path.id)
    except NotFoundError:
        raise _not_found(path.id) from None
    return Reply(200, AudioDeleted(deleted=True, id=path.id, used_by=_uses(uses)))


async def list_voices(asked: Asked) -> Reply:
    """List the voices that texts can be spoken with."""
    with audio_problems.told():
        found = await asked.ports.voices.voices()
    voices = [
        VoiceAnswer(
            id=one.id, name=one.name, provider=one.provider, language=one.language, is_default=one.is_default
        )
        for one in found
    ]
    return Reply(200, VoiceList(voices=voices, count=len(voices)))


async def described(asked: Asked, audio: Audio) -> AudioAnswer:
    """An audio as the API answers it."""
    [answer] = await _all_described(asked, [audio])
    return answer


async def _all_described(asked: Asked, audios: Sequence[Audio]) -> list[AudioAnswer]:
    sounds = {audio.sound.name for audio in audios if audio.sound is not None}
    uses, staged = await asyncio.gather(
        asked.ports.audios.uses(asked.account, [audio.id for audio in audios]),
        asked.ports.staging.states(sounds),
    )
    return [
        AudioAnswer(
            id=audio.id,
            name=audio.name,
            url=f"{asked.ports.public_url}/audio/{audio.id}/file",
            duration_seconds=None if audio.sound is None else audio.sound.ms / 1000,
            status=audio.status,
            reason=audio.failure and Reason(code=audio.failure.code, message=audio.failure.message),
            source=audio.source.value,
            text=audio.text,
            voice=audio.voice,
            provider=audio.provider,
            filename=audio.filename,
            used_by=_uses(uses.get(audio.id, ())),
            staged=[
                StagedAnswer(host=one.host, state=one.state, problem=one.problem)
                for one in (staged.get(audio.sound.name, ()) if audio.sound is not None else ())
            ],
            warnings=[
                SoundWarningAnswer(code=one.code, message=one.message)
                for one in (audio.sound.warnings if audio.sound is not None else ())
            ],
            created_at=audio.created_at,
        )
        for audio in audios
    ]


def _uses(uses: Sequence[Use]) -> list[UseAnswer]:
    return [UseAnswer(ivr=use.ivr, node=use.node, field=use.field) for use in uses]


async def _audio(asked: Asked, audio_id: str) -> Audio:
    try:
        return await asked.ports.audios.get(asked.account, audio_id)
    except NotFoundError:
        raise _not_found(audio_id) from None


def _not_found(audio_id: str) -> ProblemError:
    return ProblemError(AUDIO_NOT_FOUND, f"this account has no audio {audio_id!r}")


OPERATIONS = (
    Operation("POST", "/audio", create_audio, {201: AudioAnswer}, audio_problems.SPEECH, idempotent=True),
    Operation(
        "POST", "/audio/upload", upload_audio, {201: AudioAnswer}, audio_problems.UNUSABLE, idempotent=True
    ),
    Operation("GET", "/audio", list_audio, {200: AudioList}),
    Operation("GET", "/audio/voices", list_voices, {200: VoiceList}, audio_problems.PROVIDER),
    Operation("GET", "/audio/{id}", get_audio, {200: AudioAnswer}, (AUDIO_NOT_FOUND,)),
    Operation(
        "GET",
        "/audio/{id}/file",
        get_audio_file,
        {200: Sends(tuple(MEDIA_TYPES.values()))},
        (AUDIO_NOT_FOUND, AUDIO_PROCESSING, AUDIO_FAILED, SOUND_MISSING),
    ),
    Operation("DELETE", "/audio/{id}", delete_audio, {200: AudioDeleted}, (AUDIO_NOT_FOUND,)),
)
