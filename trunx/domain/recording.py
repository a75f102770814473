"""A recording: what Asterisk writes of a live call, and what is kept of it. It only moves forward.

Asterisk writes on its own host, `trunx/calls/<recording id>.wav` in its monitor folder (`MixMonitor`). Once
the recording has stopped we bring that file here, make of it what was asked for, and delete it there.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal, NamedTuple

from dialplan.names import RECORDINGS
from trunx.domain.call import Call, new_call_id

MAX_SECONDS = 14_400
"""The longest recording, when nobody says how long."""

_FILE = re.compile(r"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(?:-[rt])?\.wav", re.ASCII)

Format = Literal["mp3", "wav"]
Channels = Literal["mono", "dual"]


class RecordingState(StrEnum):
    """How far a recording is."""

    RECORDING = "recording"  # Asterisk writes
    FETCHING = "fetching"  # it has stopped; its file is brought here and worked on
    READY = "ready"
    FAILED = "failed"  # there is nothing to listen to, and never will be
    DELETED = "deleted"  # nobody sees it any more; its files go


BEFORE: Mapping[RecordingState, Collection[RecordingState]] = {
    RecordingState.RECORDING: (),
    RecordingState.FETCHING: (RecordingState.RECORDING,),
    RecordingState.READY: (RecordingState.FETCHING,),
    RecordingState.FAILED: (RecordingState.RECORDING, RecordingState.FETCHING),
    RecordingState.DELETED: (RecordingState.FETCHING, RecordingState.READY, RecordingState.FAILED),
}
"""From which states each can be reached; who comes late changes nothing."""


class StillRecordedError(Exception):
    """The recording has to be stopped first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One recording.

    Attributes:
        channel: Asterisk's Uniqueid of the channel that is recorded: it ends with that at the latest.
        channels: `mono`: both sides mixed; `dual`: the left one is what the channel's own telephone said,
            the right one what it heard.
        max_seconds: longer it does not get, whatever Asterisk writes.
        paused: while it is recorded: Asterisk writes silence now, and that is sure.
        ms: how long it plays.
        bytes: the size of its file.
        expires_at: when it is deleted by itself; known when it has stopped.
        problem: a sentence: why it has failed, or why its file is not here yet.
        server: the process that has its file, or is getting it.
        tries: how often that was begun.
    """

    id: str
    account: str
    call: str
    channel: str
    format: Format
    channels: Channels
    trim_silence: bool
    max_seconds: int
    state: RecordingState
    started_at: datetime
    stopped_at: datetime | None = None
    expires_at: datetime | None = None
    ms: int | None = None
    bytes: int | None = None
    problem: str | None = None
    server: str | None = None
    tries: int = 0
    paused: bool = False

    @property
    def files(self) -> tuple[str, ...]:
        """Its files on Asterisk's host, below the monitor folder."""
        sides = ("-r", "-t") if self.channels == "dual" else ("",)
        return tuple(f"{RECORDINGS}/{self.id}{side}.wav" for side in sides)

    @property
    def order(self) -> tuple[str, str]:
        """`File` and `Options` of the AMI action MixMonitor.

        Its `D`, which would write both sides into one file, is of no use: at 16 kHz, or while something else
        listens at another rate, the samples are not those of the call (seen on Asterisk 22.10). `S` keeps
        the two files in step.
        """
        if self.channels == "mono":
            return self.files[0], ""
        received, sent = self.files
        return "", f"Sr({received})t({sent})"

    @property
    def name(self) -> str:
        """Its file here, and what a browser saves it as."""
        return f"{self.id}.{self.format}"

    @property
    def must_end_at(self) -> datetime:
        """When it is as long as it may get."""
        return self.started_at + timedelta(seconds=self.max_seconds)

    def stopped(self, at: datetime, kept: timedelta) -> "Recording":
        """As it is when Asterisk has ended it, however that came."""
        at = max(self.started_at, min(at, self.must_end_at))
        return replace(self, state=RecordingState.FETCHING, stopped_at=at, expires_at=at + kept)

    def ended_at(self, ms: int) -> datetime | None:
        """When it ended, once it is known how long it plays: its call's end, by which we may have gone, was
        too early if its channel was transferred.
        """
        if self.stopped_at is None:
            return None
        return max(self.stopped_at, self.started_at + timedelta(milliseconds=ms))


class Kept(NamedTuple):
    """What was made of what Asterisk wrote: how long it plays, and the size of the file."""

    ms: int
    bytes: int


@dataclass(frozen=True, slots=True)
class RecordingFilter:
    """What a list of recordings is narrowed to, by when they began; None means any."""

    call: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def begun(
    call: Call,
    channel: str,
    at: datetime,
    *,
    format: Format = "mp3",  # noqa: A002 - the contract's word
    channels: Channels = "mono",
    trim_silence: bool = False,
    max_seconds: int = MAX_SECONDS,
) -> Recording:
    """A recording of `call` that begins now, on Asterisk's channel `channel` (its Uniqueid)."""
    return Recording(
        id=new_call_id(),
        account=call.account,
        call=call.id,
        channel=channel,
        format=format,
        channels=channels,
        trim_silence=trim_silence,
        max_seconds=max_seconds,
        state=RecordingState.RECORDING,
        started_at=at,
    )


def whole(call: Call, max_seconds: int) -> Recording:
    """The recording of a whole call that we placed with `record`: the dialplan begins it with the answer, and
    names its file after the channel. The call may last `max_seconds`.
    """
    began = call.answered_at or call.created_at
    recording = begun(call, call.id, began, max_seconds=max(MAX_SECONDS, max_seconds + 1))
    return replace(recording, id=call.id)


def found(call: Call, kept: timedelta) -> Recording:
    """The same, of a call that has ended before anybody knew of its recording."""
    began, ended = call.answered_at or call.created_at, call.ended_at or call.created_at
    return whole(call, int((ended - began).total_seconds())).stopped(ended, kept)


def recording_of(file: str) -> str | None:
    """The id of the recording that a file in Asterisk's folder belongs to; None: the name is none of ours."""
    match = _FILE.fullmatch(file)
    return None if match is None else match[1]
