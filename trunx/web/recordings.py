"""`/api/recordings`: what was recorded of calls, and the files to listen to, by key or by a signed link."""

import asyncio
from typing import Annotated, Literal

from pydantic import Field

from trunx.domain.errors import NotFoundError
from trunx.domain.recording import Recording, RecordingFilter, RecordingState, StillRecordedError
from trunx.domain.signed_link import LinkError
from trunx.web.audio import MEDIA_TYPES
from trunx.web.files import FileAnswer
from trunx.web.models import AnswerBody, Deleted, Instant, RequestPath, RequestQuery, Time
from trunx.web.operation import Asked, Operation, Reply, Sends
from trunx.web.paging import Listing, PageQuery
from trunx.web.problems import Kind, ProblemError

RECORDING_NOT_FOUND = Kind(404, "recording-not-found", "There is no recording with this id")
STILL_RECORDED = Kind(409, "still-recorded", "The recording has not been stopped")
RECORDING_PROCESSING = Kind(409, "recording-processing", "The recording is still being made")
RECORDING_FAILED = Kind(409, "recording-failed", "There is nothing to listen to")
RECORDING_ELSEWHERE = Kind(503, "recording-elsewhere", "The recording's file is not on this server")
LINK_INVALID = Kind(403, "link-invalid", "The link does not open this")

RecordingStatus = Literal["recording", "paused", "processing", "ready", "failed"]

_STATUS: dict[RecordingState, RecordingStatus] = {
    RecordingState.RECORDING: "recording",
    RecordingState.FETCHING: "processing",
    RecordingState.READY: "ready",
    RecordingState.FAILED: "failed",
}

Uuid = Annotated[
    str,
    Field(
        pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        examples=["01a1ff30-181c-705c-9b74-49720d4949e5"],
    ),
]


class RecordingPath(RequestPath):
    """Names a recording."""

    id: Uuid


class RecordingQuery(PageQuery):
    """Which recordings."""

    call: Uuid | None = Field(default=None, description="Those of this call, by its `id`.")
    since: Instant | None = Field(default=None, description="Those begun at this time or later.")
    until: Instant | None = Field(default=None, description="Those begun before this time.")


class LinkQuery(RequestQuery):
    """What a signed link has instead of a key."""

    expires: int | None = Field(
        default=None, ge=0, lt=2**53, description="Of a signed link: when it expires, in seconds since 1970."
    )
    signature: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{64}$",
        description="Of a signed link, which needs no key: take it whole from a recording's `url`.",
    )


class RecordingAnswer(AnswerBody):
    """A recording of a call."""

    id: str
    call: str = Field(description="The call's `id`.")
    status: RecordingStatus = Field(
        description="`paused`: silence is being recorded. `processing`: it has ended, its file is on its way."
    )
    format: Literal["mp3", "wav"]
    channels: Literal["mono", "dual"] = Field(
        description="`mono`: both sides together. `dual`: what was said by the one who is recorded is left, "
        "what was heard there is right."
    )
    trim_silence: bool
    max_length: int = Field(description="Seconds after which it was ended, or would be.")
    duration: float | None = Field(description="Seconds; null until it is `ready`.", examples=[125.06])
    bytes: int | None = Field(description="Size of the file; null until it is `ready`.")
    url: str | None = Field(
        description="Opens the file without a key, for 24 hours: do not show it to whom it does not concern. "
        "null until it is `ready`."
    )
    problem: str | None = Field(description="Why it failed, or why its file is not here yet.")
    started_at: Time
    stopped_at: Time | None
    expires_at: Time | None = Field(description="When it is deleted by itself; null until it has ended.")


class RecordingList(Listing):
    """A page of recordings."""

    recordings: list[RecordingAnswer]


class RecordingDeleted(AnswerBody):
    """The recording is gone."""

    deleted: Deleted
    id: str


async def list_recordings(asked: Asked, query: RecordingQuery) -> Reply:
    """List the recordings of calls, newest first."""
    which = RecordingFilter(query.call, query.since, query.until)
    page = await asked.ports.recordings.page(asked.account, which, query.page())
    answers = [await recording_answer(asked, one) for one in page.rows]
    return Reply(200, RecordingList(recordings=answers, count=len(answers), next=page.next))


async def get_recording(asked: Asked, path: RecordingPath) -> Reply:
    """Get a recording, with a link to listen to it."""
    return Reply(200, await recording_answer(asked, await _recording(asked, path.id)))


async def get_recording_file(asked: Asked, path: RecordingPath, query: LinkQuery) -> FileAnswer:
    """Listen to a recording.

    With the account's key, or without one by the link that is the recording's `url`. Parts can be asked for
    with `Range`; the file never changes.
    """
    if query.signature is None:
        recording = await _recording(asked, path.id)
    else:
        recording = await _linked(asked, path.id, query.expires or 0, query.signature)
    match recording.state:
        case RecordingState.RECORDING | RecordingState.FETCHING:
            raise ProblemError(RECORDING_PROCESSING, "ask again shortly after its call or it has ended")
        case RecordingState.FAILED:
            raise ProblemError(RECORDING_FAILED, recording.problem or "")
    file = asked.ports.recordings.path(recording)
    if not await asyncio.to_thread(file.is_file):
        raise ProblemError(RECORDING_ELSEWHERE, f"it was kept by the server {recording.server!r}")
    media_type = MEDIA_TYPES[recording.format]
    return FileAnswer(file, media_type, recording.id, recording.name)


async def delete_recording(asked: Asked, path: RecordingPath) -> Reply:
    """Delete a recording for good, here and on Asterisk's host."""
    try:
        await asked.ports.recordings.delete(asked.account, path.id)
    except NotFoundError:
        raise _not_found(path.id) from None
    except StillRecordedError:
        raise ProblemError(STILL_RECORDED, "stop it first, or end its call") from None
    return Reply(200, RecordingDeleted(deleted=True, id=path.id))


async def recording_answer(asked: Asked, recording: Recording) -> RecordingAnswer:
    """A recording as the API answers it."""
    is_ready = recording.state is RecordingState.READY
    is_paused = recording.paused and recording.state is RecordingState.RECORDING
    return RecordingAnswer(
        id=recording.id,
        call=recording.call,
        status="paused" if is_paused else _STATUS[recording.state],
        format=recording.format,
        channels=recording.channels,
        trim_silence=recording.trim_silence,
        max_length=recording.max_seconds,
        duration=None if recording.ms is None else recording.ms / 1000,
        bytes=recording.bytes,
        url=await asked.ports.recordings.link(recording) if is_ready else None,
        problem=recording.problem,
        started_at=recording.started_at,
        stopped_at=recording.stopped_at,
        expires_at=recording.expires_at,
    )


async def _recording(asked: Asked, recording_id: str) -> Recording:
    try:
        return await asked.ports.recordings.get(asked.account, recording_id)
    except NotFoundError:
        raise _not_found(recording_id) from None


async def _linked(asked: Asked, recording_id: str, expires: int, signature: str) -> Recording:
    try:
        return await asked.ports.recordings.linked(recording_id, expires, signature)
    except LinkError as error:
        raise ProblemError(LINK_INVALID, str(error)) from None
    except NotFoundError:
        raise _not_found(recording_id) from None


def _not_found(recording_id: str) -> ProblemError:
    return ProblemError(RECORDING_NOT_FOUND, f"there is no recording {recording_id}")


_ONE = "/api/recordings/{id}"
OPERATIONS = (
    Operation("GET", "/api/recordings", list_recordings, {200: RecordingList}),
    Operation("GET", _ONE, get_recording, {200: RecordingAnswer}, (RECORDING_NOT_FOUND,)),
    Operation(
        "GET",
        f"{_ONE}/file",
        get_recording_file,
        {200: Sends((MEDIA_TYPES["mp3"], MEDIA_TYPES["wav"]))},
        (RECORDING_NOT_FOUND, RECORDING_PROCESSING, RECORDING_FAILED, RECORDING_ELSEWHERE, LINK_INVALID),
        signed=True,
    ),
    Operation(
        "DELETE", _ONE, delete_recording, {200: RecordingDeleted}, (RECORDING_NOT_FOUND, STILL_RECORDED)
    ),
)
