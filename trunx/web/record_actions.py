"""`.../record`: live calls recorded by request. The recordings themselves are `/api/recordings`."""

from typing import Literal

from pydantic import Field

from trunx.domain.action import NotInProgressError
from trunx.domain.dial import LONGEST_CALL
from trunx.domain.errors import NotFoundError
from trunx.domain.recording import MAX_SECONDS, Recording, RecordingState
from trunx.engine.actions.record import (
    AlreadyRecordedError,
    NotRecordedError,
    RecordAsked,
    RecordingRefusedError,
    RecordingUncertainError,
)
from trunx.engine.outbound import SwitchAwayError, SwitchOffError
from trunx.web.call_actions_path import (
    ACTING,
    BASE,
    CALL_NOT_IN_PROGRESS,
    ActionBody,
    ActionPath,
    Whole,
    ami_off,
    ami_unavailable,
    check_account,
    refused,
)
from trunx.web.call_path import call_not_found
from trunx.web.models import RequestBody
from trunx.web.operation import Asked, Operation, Reply
from trunx.web.outbound import AMI_UNAVAILABLE
from trunx.web.problems import Kind, ProblemError
from trunx.web.recordings import RECORDING_FAILED

ALREADY_RECORDING = Kind(409, "already-recording", "The call is being recorded already")
NOT_RECORDING = Kind(409, "not-recording", "Nothing of the call is being recorded")
_STOPPING = tuple(kind for kind in ACTING if kind is not CALL_NOT_IN_PROGRESS)


class RecordBody(RequestBody):
    """How to record."""

    format: Literal["mp3", "wav"] = "mp3"
    max_length: Whole = Field(
        default=MAX_SECONDS, ge=1, le=LONGEST_CALL, description="Seconds after which it is ended."
    )
    trim_silence: bool = Field(default=False, description="Cut silence off its beginning and its end.")
    channels: Literal["mono", "dual"] = Field(
        default="mono",
        description="`mono`: both sides together. `dual`: what was said by the one who is recorded is left, "
        "what was heard there is right.",
    )


class RecordStarted(ActionBody):
    """The call is being recorded."""

    recording_uuid: str = Field(description="The recording's `id`, and the action's.")
    status: Literal["recording"]
    format: Literal["mp3", "wav"]


class RecordStopped(ActionBody):
    """The recording has ended."""

    recording_uuid: str
    status: Literal["stopped"]
    url: str = Field(
        description="Opens the file without a key, for 24 hours. Where the file is still on its way it is "
        "answered with 409 `recording-processing` until then: `recording.ready` tells of it."
    )
    duration: int = Field(
        description="Whole seconds of the file, or by our clock where that is still on its way."
    )


class RecordMuted(ActionBody):
    """Silence is recorded, or the call again."""

    recording_uuid: str
    status: Literal["paused", "recording"]


async def start_recording(asked: Asked, path: ActionPath, body: RecordBody) -> Reply:
    """Record a call.

    Both sides, from now until it is stopped, its `max_length` has passed, or the call ends; a transfer does
    not end it. A call has one recording at a time.
    """
    check_account(asked, path)
    how = RecordAsked(body.format, body.max_length, body.trim_silence, body.channels)
    try:
        recording = await asked.ports.record.start(asked.account, path.call_uuid, how)
    except (NotFoundError, NotInProgressError) as error:
        refused(error, path)
    except AlreadyRecordedError as error:
        live = "" if error.recording is None else f" {error.recording.id}"
        raise ProblemError(ALREADY_RECORDING, f"stop the recording{live} first") from None
    except RecordingRefusedError as error:
        raise ProblemError(RECORDING_FAILED, str(error)) from None
    except RecordingUncertainError:
        raise ProblemError(
            AMI_UNAVAILABLE,
            "Asterisk has not answered, and may be recording: DELETE .../record, or the call's end, says so",
            headers={"Retry-After": "5"},
        ) from None
    except SwitchOffError:
        raise ami_off() from None
    except SwitchAwayError:
        raise ami_unavailable() from None
    return Reply(201, RecordStarted(recording_uuid=recording.id, status="recording", format=recording.format))


async def stop_recording(asked: Asked, path: ActionPath) -> Reply:
    """End the recording of a call.

    It waits up to five seconds for the file. A call that was transferred has ended; what is recorded of it
    still can be stopped nevertheless.
    """
    check_account(asked, path)
    try:
        recording = await asked.ports.record.stop_by_request(asked.account, path.call_uuid)
    except NotFoundError:
        raise call_not_found(path.call_uuid) from None
    except NotRecordedError:
        raise _not_recording() from None
    except SwitchOffError:
        raise ami_off() from None
    except SwitchAwayError:
        raise ami_unavailable() from None
    if recording.state is RecordingState.FAILED:
        raise ProblemError(RECORDING_FAILED, recording.problem or "")
    url = await asked.ports.recordings.link(recording)
    return Reply(
        200,
        RecordStopped(
            recording_uuid=recording.id, status="stopped", url=url, duration=round(_seconds(recording))
        ),
    )


async def pause_recording(asked: Asked, path: ActionPath) -> Reply:
    """Record silence for now; it lasts as long as what it stands for. Twice is as good as once."""
    return await _muted(asked, path, muted=True)


async def resume_recording(asked: Asked, path: ActionPath) -> Reply:
    """Record the call again, after a pause."""
    return await _muted(asked, path, muted=False)


async def _muted(asked: Asked, path: ActionPath, *, muted: bool) -> Reply:
    check_account(asked, path)
    try:
        recording = await asked.ports.record.mute(asked.account, path.call_uuid, muted=muted)
    except NotFoundError:
        raise call_not_found(path.call_uuid) from None
    except NotRecordedError:
        raise _not_recording() from None
    except SwitchOffError:
        raise ami_off() from None
    except SwitchAwayError:
        raise ami_unavailable() from None
    return Reply(200, RecordMuted(recording_uuid=recording.id, status="paused" if muted else "recording"))


def _seconds(recording: Recording) -> float:
    if recording.ms is not None:
        return recording.ms / 1000
    ended = recording.stopped_at or recording.must_end_at
    return (ended - recording.started_at).total_seconds()


def _not_recording() -> ProblemError:
    return ProblemError(NOT_RECORDING, "start with POST .../record")


_RECORD = f"{BASE}/record"
OPERATIONS = (
    Operation(
        "POST",
        _RECORD,
        start_recording,
        {201: RecordStarted},
        (*ACTING, ALREADY_RECORDING, RECORDING_FAILED),
        idempotent=True,
    ),
    Operation(
        "DELETE", _RECORD, stop_recording, {200: RecordStopped}, (*_STOPPING, NOT_RECORDING, RECORDING_FAILED)
    ),
    Operation("POST", f"{_RECORD}/pause", pause_recording, {200: RecordMuted}, (*_STOPPING, NOT_RECORDING)),
    Operation("POST", f"{_RECORD}/resume", resume_recording, {200: RecordMuted}, (*_STOPPING, NOT_RECORDING)),
)
