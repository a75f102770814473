"""One call's life as one list: everything that is kept of it, from wherever it is kept, by time.

The fact to know: what a row of its own tells (states, steps, actions, talks, recordings) is taken from that
row, and the log's event of the same fact is left out; events go after some days, rows stay.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from trunx.domain.action import Action
from trunx.domain.call import Call, Event, Status, Step
from trunx.domain.recording import Recording, RecordingState
from trunx.domain.talk import Talk, TalkState


class Kind(StrEnum):
    """What sort of thing happened, in the order in which those of one millisecond are told."""

    STATE = "state"
    VERDICT = "verdict"
    STEP = "step"
    TALK = "talk"
    ACTION = "action"
    RECORDING = "recording"
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened in a call.

    Attributes:
        ms: since the call was created; negative is possible where clocks of several hosts took part.
        what: a stable word: a state (`answered`), `accept` or `dial` of a verdict, `entered` or `left` of a
            step, `started`, `completed`, ... of an action, an event's type.
        data: depends on `kind` and `what`; JSON.
    """

    at: datetime
    ms: int
    kind: Kind
    what: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Life:
    """What is kept of a call. `verdicts` are those of `dial.judged`."""

    call: Call
    steps: Sequence[Step] = ()
    events: Sequence[Event] = ()
    actions: Sequence[Action] = ()
    verdicts: Sequence[Mapping[str, Any]] = ()
    talks: Sequence[Talk] = ()
    recordings: Sequence[Recording] = field(default=())


_TOLD_BY_ROWS = {"ivr.step", "ivr.completed"}
_ROWS_TELL = ("action.", "talk.", "recording.")
_STATES = {f"call.{status}" for status in Status}
_KINDS = {kind: place for place, kind in enumerate(Kind)}
_OVER = (Status.COMPLETED, Status.FAILED)


def timeline(life: Life) -> list[Moment]:
    """All of it, the earliest first; of one moment the call's beginning first and its end last."""
    began = life.call.created_at
    found = [
        Moment(at, (at - began) // timedelta(milliseconds=1), kind, what, data)
        for at, kind, what, data in (
            *_of_call(life.call),
            *(entry for said in life.verdicts for entry in _of_verdict(said)),
            *(entry for step in life.steps for entry in _of_step(step)),
            *(entry for talk in life.talks for entry in _of_talk(talk)),
            *(entry for action in life.actions for entry in _of_action(action)),
            *(entry for recording in life.recordings for entry in _of_recording(recording)),
            *(entry for event in life.events for entry in _of_event(event)),
        )
    ]
    return sorted(found, key=_place)


_Entry = tuple[datetime, Kind, str, Mapping[str, Any]]


def _place(moment: Moment) -> tuple[datetime, bool, int]:
    """Sorting keeps the order of those that are equal in this: the order in which they are kept."""
    is_end = moment.kind is Kind.STATE and moment.what in _OVER
    return moment.at, is_end, _KINDS[moment.kind]


def _of_call(call: Call) -> Iterator[_Entry]:
    named = {"from": call.from_number, "to": call.to_number, "direction": call.direction}
    yield call.created_at, Kind.STATE, Status.INITIATED.value, named
    if call.ringing_at is not None:
        yield call.ringing_at, Kind.STATE, Status.RINGING.value, {}
    if call.answered_at is not None:
        yield call.answered_at, Kind.STATE, Status.ANSWERED.value, {}
    if call.ended_at is not None:
        end = {
            "endReason": None if call.end_reason is None else call.end_reason.value,
            "q850Cause": call.q850_cause,
            "sipCause": call.sip_cause,
        }
        yield call.ended_at, Kind.STATE, call.status.value, _known(end)


def _of_verdict(said: Mapping[str, Any]) -> Iterator[_Entry]:
    verdicts = said["verdicts"]
    against = [verdict["code"] for verdict in verdicts if not verdict["allowed"]]
    data = {"allowed": not against, "codes": against, "rules": [verdict["rule"] for verdict in verdicts]}
    yield datetime.fromisoformat(said["at"]), Kind.VERDICT, said["when"], data


def _of_step(step: Step) -> Iterator[_Entry]:
    node = {"number": step.number, "node": step.node, "nodeKind": step.kind}
    yield step.entered_at, Kind.STEP, "entered", node
    how = {"left": step.left.value, "key": step.key, "promptMs": step.prompt_ms, "fallback": step.fallback}
    yield step.left_at, Kind.STEP, "left", _known(node | how)


def _of_talk(talk: Talk) -> Iterator[_Entry]:
    named = _known({"talk": talk.id, "agent": talk.agent, "ultravoxCallId": talk.vendor_call})
    yield talk.created_at, Kind.TALK, TalkState.CREATED.value, named
    if talk.joined_at is not None:
        yield talk.joined_at, Kind.TALK, TalkState.JOINED.value, named
    if talk.ended_at is not None:
        what = TalkState.FAILED if talk.state is TalkState.FAILED else TalkState.ENDED
        yield talk.ended_at, Kind.TALK, what.value, named | _known({"endReason": talk.end_reason})


def _of_action(action: Action) -> Iterator[_Entry]:
    named = {"action": action.id, "actionKind": action.kind.value}
    yield action.created_at, Kind.ACTION, "started", named | {"asked": dict(action.asked)}
    if action.ended_at is not None:
        came = {"result": dict(action.result or {}), "problem": action.problem}
        yield action.ended_at, Kind.ACTION, action.state.value, _known(named | came)


def _of_recording(recording: Recording) -> Iterator[_Entry]:
    named = {"recording": recording.id}
    yield recording.started_at, Kind.RECORDING, "started", named | {"format": recording.format}
    if recording.stopped_at is not None:
        failed = recording.state is RecordingState.FAILED
        told = {"durationMs": recording.ms, "problem": recording.problem if failed else None}
        yield recording.stopped_at, Kind.RECORDING, "failed" if failed else "stopped", _known(named | told)


def _of_event(event: Event) -> Iterator[_Entry]:
    by_rows = event.type in _TOLD_BY_ROWS | _STATES or event.type.startswith(_ROWS_TELL)
    if not by_rows:
        yield event.at, Kind.EVENT, event.type, event.data


def _known(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
