"""Recordings of live calls by request: begun, stopped, and made to hold silence for a while.

The recording's row comes before the order to record, and its end after the order to stop: whatever dies in
between, the keeper (`recording_keeper.py`) finds what was written. The action lasts as long as the recording
and has its id; the recording stands before it, and after it.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

import structlog

from trunx.domain.action import Action, ActionKind, ActionState, NotInProgressError
from trunx.domain.call import Call, Status
from trunx.domain.channel import AmiRefusedError
from trunx.domain.errors import ExistsError, NotFoundError, UnavailableError
from trunx.domain.recording import MAX_SECONDS, Channels, Format, Recording, RecordingState, begun
from trunx.engine.action_ports import ActionRows, Desk
from trunx.engine.actions.frame import channel_of
from trunx.engine.outbound import SwitchAwayError, SwitchOffError
from trunx.engine.ports import Dials
from trunx.engine.recordings import Recordings
from trunx.engine.settling import moment

_SETTLED = frozenset({RecordingState.READY, RecordingState.FAILED})
FILE_SECONDS = 5.0
"""How long who stops a recording waits for its file."""
_LOOK, _SLOWER = 0.05, 1.5  # seconds until the first look for it, and how much longer each further one waits

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RecordAsked:
    """How a call is to be recorded: see `Recording`."""

    format: Format = "mp3"
    max_seconds: int = MAX_SECONDS
    trim_silence: bool = False
    channels: Channels = "mono"


class AlreadyRecordedError(Exception):
    """The call is being recorded; `recording` is how."""

    def __init__(self, recording: Recording | None) -> None:
        super().__init__("the call is being recorded already")
        self.recording = recording


class NotRecordedError(Exception):
    """Nothing of the call is being recorded."""


class RecordingRefusedError(Exception):
    """Asterisk does not record it; the message says why."""


class RecordingUncertainError(Exception):
    """Whether Asterisk records is not known. The recording is kept as one that goes on: whoever asked may
    stop it, and the end of the call does.
    """


class Record:
    """Starts, stops and mutes recordings, and fulfils the port `Monitor`. Without a `desk` none can be
    started.

    What is requested may raise `SwitchOffError`, `SwitchAwayError`, `UnavailableError`, and `NotFoundError`:
    the account has no such call.
    """

    def __init__(
        self,
        *,
        actions: ActionRows,
        recordings: Recordings,
        dials: Dials,
        desk: Desk | None,
        file_seconds: float = FILE_SECONDS,
    ) -> None:
        self._actions = actions
        self._recordings = recordings
        self._dials = dials
        self._desk = desk
        self._file_seconds = file_seconds
        self._mutes: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def start(self, account: str, call_id: str, asked: RecordAsked) -> Recording:
        """Records a call that is in progress, from now on.

        Raises:
            NotInProgressError: the call is not answered, or is over.
            AlreadyRecordedError: it is being recorded.
            RecordingRefusedError: Asterisk does not take the order; so the action has failed.
            RecordingUncertainError: Asterisk has not answered.
        """
        call, live = await self._live(account, call_id)
        if live is not None:
            raise AlreadyRecordedError(live)
        if call.status is not Status.ANSWERED:
            raise NotInProgressError(call)
        desk = await self._reachable()
        recording = begun(
            call,
            channel_of(call),
            moment(),
            format=asked.format,
            channels=asked.channels,
            trim_silence=asked.trim_silence,
            max_seconds=asked.max_seconds,
        )
        try:
            await self._recordings.begin(recording)
        except ExistsError:
            raise AlreadyRecordedError(await self._recordings.live(account, call_id)) from None
        try:
            await self._actions.add(_action(recording))
        except NotInProgressError:
            await self._recordings.never_began(recording, "The call ended first.")
            raise
        try:
            await desk.record(recording.channel, *recording.order)
        except (AmiRefusedError, ValueError) as error:
            problem = f"Asterisk did not record: {error}"
            await self._ended(recording, ActionState.FAILED, problem="not-recorded")
            await self._recordings.never_began(recording, problem)
            raise RecordingRefusedError(problem) from None
        except UnavailableError:
            raise RecordingUncertainError from None
        return recording

    async def stop_by_request(self, account: str, call_id: str) -> Recording:
        """Ends the recording that is being made, and waits some seconds for its file: `ready` if that has
        come, `fetching` if it is on its way still, `failed` if there is none. Of a call that was transferred
        too, whose recording goes on.

        Raises:
            NotRecordedError: there is no recording to stop.
        """
        recording = await self._recorded(account, call_id)
        try:
            await _stop(await self._reachable(), recording)
        except UnavailableError:
            raise SwitchAwayError from None
        await self._ended(recording, ActionState.COMPLETED, stopped_by="request")
        await self._recordings.stopped(recording)
        pause = _LOOK
        with suppress(TimeoutError):
            async with asyncio.timeout(self._file_seconds):
                # Whichever process fetches it, its row says when it is there.
                while (recording := await self._row(recording)).state not in _SETTLED:
                    await asyncio.sleep(pause)
                    pause *= _SLOWER
        return recording

    async def mute(self, account: str, call_id: str, *, muted: bool) -> Recording:
        """Has silence recorded until it is unmuted. Raises `NotRecordedError`."""
        turn = self._mutes.get(call_id) or self._mutes.setdefault(call_id, asyncio.Lock())
        async with turn:
            recording = await self._recorded(account, call_id)
            desk = await self._reachable()
            # Whoever reads `paused` may say a secret aloud: it is written after the order, and taken back
            # before the other one.
            if not muted:
                await self._paused(recording, paused=False)
            try:
                await desk.mute_recording(recording.channel, muted=muted)
            except AmiRefusedError:
                raise NotRecordedError from None  # the channel has ended, and the recording with it
            except UnavailableError:
                raise SwitchAwayError from None
            if muted:
                await self._paused(recording, paused=True)
        return replace(recording, paused=muted)

    # --- for the keeper

    async def stop(self, recording: Recording) -> None:
        """Has Asterisk stop; returns also when it does not record. Raises only `UnavailableError`."""
        if self._desk is None:
            raise UnavailableError("no Asterisk is configured that could be told to stop")
        await _stop(self._desk, recording)

    async def ended(self, recording: Recording, *, is_full: bool) -> None:
        """The recording has ended by itself: with its channel, or as long as it may get."""
        stopped_by = "max-length" if is_full else "call-end"
        await self._ended(recording, ActionState.COMPLETED, stopped_by=stopped_by)

    async def _live(self, account: str, call_id: str) -> tuple[Call, Recording | None]:
        call, dial = await self._dials.get(account, call_id)
        if dial is not None and dial.record and call.status is Status.ANSWERED:
            await self._recordings.adopt(call, dial.max_seconds)
        return call, await self._recordings.live(account, call_id)

    async def _recorded(self, account: str, call_id: str) -> Recording:
        _, live = await self._live(account, call_id)
        if live is None:
            raise NotRecordedError
        return live

    async def _paused(self, recording: Recording, *, paused: bool) -> None:
        if not await self._recordings.paused(recording, paused=paused):
            raise NotRecordedError

    async def _row(self, recording: Recording) -> Recording:
        try:
            return await self._recordings.get(recording.account, recording.id)
        except NotFoundError:  # deleted meanwhile
            return replace(recording, state=RecordingState.FAILED, problem="It was deleted.")

    async def _reachable(self) -> Desk:
        if self._desk is None:
            raise SwitchOffError
        if (await self._desk.state()).state != "ok":
            raise SwitchAwayError
        return self._desk

    async def _ended(
        self,
        recording: Recording,
        state: ActionState,
        *,
        stopped_by: str | None = None,
        problem: str | None = None,
    ) -> None:
        result = {"recording": recording.id} | ({"stoppedBy": stopped_by} if stopped_by else {})
        try:
            await self._actions.end(recording.id, state, result=result, problem=problem)
        except NotFoundError:
            return  # nobody asked for it by an action: the call was placed to be recorded
        except UnavailableError as error:
            log.warning("an action's end is told later", call=recording.call, error=str(error))


async def _stop(desk: Desk, recording: Recording) -> None:
    with suppress(AmiRefusedError):  # it does not record, or no longer
        await desk.stop_recording(recording.channel)


def _action(recording: Recording) -> Action:
    asked = {
        "format": recording.format,
        "maxLength": recording.max_seconds,
        "trimSilence": recording.trim_silence,
        "channels": recording.channels,
    }
    started, at = ActionState.STARTED, recording.started_at
    return Action(recording.id, recording.call, recording.account, ActionKind.RECORD, started, asked, at)
