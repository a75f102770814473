"""`/api/voice`: calls as they are kept; each with its steps through the tree and what happened in it."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Literal

from pydantic import Field

from trunx.domain.call import Call, EndReason, Left, Status, Step
from trunx.domain.errors import NotFoundError
from trunx.domain.recording import Recording
from trunx.domain.records import CallFilter
from trunx.domain.talk import Talk
from trunx.web.ai_answer import AiAnswer, ai_answer
from trunx.web.call_path import CALL_NOT_FOUND, CallPath
from trunx.web.call_path import call_not_found as _not_found
from trunx.web.event_answer import EventAnswer, event_answer
from trunx.web.models import AnswerBody, Instant, Number, Time
from trunx.web.operation import Asked, Operation, Reply
from trunx.web.paging import Listing, PageQuery
from trunx.web.recordings import RecordingStatus, recording_answer


class CallQuery(PageQuery):
    """Which calls."""

    status: Status | None = None
    direction: Literal["inbound", "outbound"] | None = None
    from_: Number | None = Field(default=None, alias="from", description="Who called.")
    to: Number | None = Field(default=None, description="Who was called.")
    since: Instant | None = Field(default=None, description="Calls created at this time or later.")
    until: Instant | None = Field(default=None, description="Calls created before this time.")

    metadata: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_.-]{1,64}:[^\x00]{0,500}$",
        description="Calls placed with this metadata, as `name:value`.",
        examples=["campaign:spring"],
    )

    def filter(self) -> CallFilter:
        """What the list is narrowed to."""
        name, colon, value = (self.metadata or "").partition(":")
        return CallFilter(
            self.status,
            self.direction,
            self.from_,
            self.to,
            self.since,
            self.until,
            (name, value) if colon else None,
        )


class CallRecording(AnswerBody):
    """A recording, as its call names it."""

    id: str
    url: str | None = Field(
        description="Opens the file without a key, for 24 hours; null until the recording is `ready`."
    )
    duration: float | None = Field(description="Seconds; null until it is `ready`.", examples=[125.06])
    status: RecordingStatus


class CallAnswer(AnswerBody):
    """A call."""

    id: str
    call_id: str = Field(description="Another name of the call: `CA` and 32 hex digits.")
    from_: str = Field(
        alias="from", description="Who called: E.164, or what the carrier sent instead of a number."
    )
    to: str = Field(description="Who was called.")
    status: Status
    provider: str = Field(
        description="What carried the call: the trunk's name, `ultravox` of an AI call, or `asterisk` for "
        "one that came in."
    )
    direction: Literal["inbound", "outbound"]
    duration: int = Field(description="Seconds from answer to end; 0 until it has ended.")
    created_at: Time
    answered_at: Time | None
    ended_at: Time | None
    end_reason: EndReason | None
    ivr: str | None = Field(description="The IVR that was walked.")
    ivr_version: int | None
    agi_uniqueid: str | None = Field(description="Asterisk's own name of an inbound call.")
    ringing_at: Time | None = Field(default=None, description="Of a call that we placed.")
    q850_cause: int | None = Field(default=None, description="Why it ended, by ITU-T Q.850, where known.")
    sip_cause: int | None = Field(
        default=None, description="The SIP status by which the other side refused it, where known."
    )
    machine: Literal["human", "machine", "unknown"] | None = Field(
        default=None, description="Who answered, where that was asked."
    )
    machine_cause: str | None = Field(default=None, description="Why Asterisk thinks so.")
    metadata: dict[str, str] | None = Field(default=None, description="Of a call that we placed.")
    ai: AiAnswer | None = Field(
        default=None, description="Of an AI call, and of any other that was handed to an AI agent."
    )
    recordings: list[CallRecording] = Field(
        default=[],
        description="What was recorded of it, in the order in which that began; absent if nothing.",
    )


class CallList(Listing):
    """A page of calls."""

    calls: list[CallAnswer]


class StepAnswer(AnswerBody):
    """One visit of a node."""

    number: int = Field(description="1 for the first node of the call.")
    node: str
    kind: str = Field(description="`gather`, `transfer`, `hangup` or `suppress`.")
    entered_at: Time
    left_at: Time
    left: Left = Field(description="How the node was left.")
    key: str | None = Field(description="The key that was pressed.")
    prompt_ms: int = Field(description="How much of the prompt was heard, in milliseconds.")
    fallback: bool = Field(description="The engine's own prompt was played, for want of the node's.")


class StepList(Listing):
    """A call's way through the tree, in the order it was taken; whole, so `next` is always null."""

    steps: list[StepAnswer]


class EventList(Listing):
    """What happened in a call, in order; whole, so `next` is always null."""

    events: list[EventAnswer]


async def list_calls(asked: Asked, query: CallQuery) -> Reply:
    """List calls, newest first."""
    found = await asked.ports.calls.page(asked.account, query.filter(), query.page())
    calls = await _answers(asked, found.rows)
    return Reply(200, CallList(calls=calls, count=len(calls), next=found.next))


async def get_call(asked: Asked, path: CallPath) -> Reply:
    """Get a call."""
    try:
        call = await asked.ports.calls.get(asked.account, path.id)
    except NotFoundError:
        raise _not_found(path.id) from None
    (answer,) = await _answers(asked, [call])
    return Reply(200, answer)


async def list_steps(asked: Asked, path: CallPath) -> Reply:
    """List a call's steps: which nodes it visited, and how each was left."""
    try:
        steps = await asked.ports.calls.steps(asked.account, path.id)
    except NotFoundError:
        raise _not_found(path.id) from None
    return Reply(200, StepList(steps=[_step(step) for step in steps], count=len(steps), next=None))


async def list_events(asked: Asked, path: CallPath) -> Reply:
    """List what happened in a call."""
    try:
        events = await asked.ports.calls.events(asked.account, path.id)
    except NotFoundError:
        raise _not_found(path.id) from None
    rows = [event_answer(event, asked.ports.public_url) for event in events]
    return Reply(200, EventList(events=rows, count=len(rows), next=None))


async def _answers(asked: Asked, calls: Sequence[Call]) -> list[CallAnswer]:
    placed = [call.id for call in calls if call.direction == "outbound"]
    metadata = await asked.ports.outbound.metadata(placed) if placed else {}
    by_ai = await asked.ports.outbound.by_ai(placed) if placed else ()
    ids = [call.id for call in calls]
    talks = await asked.ports.ai.talks.of_calls(ids)
    recorded = await asked.ports.recordings.of_calls(asked.account, ids)
    named = {call: [await _recording(asked, one) for one in some] for call, some in recorded.items()}
    return [
        _answer(
            call,
            metadata.get(call.id),
            talks.get(call.id, ()),
            named.get(call.id, ()),
            by_ai=call.id in by_ai,
        )
        for call in calls
    ]


async def _recording(asked: Asked, recording: Recording) -> CallRecording:
    whole = await recording_answer(asked, recording)
    return CallRecording(id=whole.id, url=whole.url, duration=whole.duration, status=whole.status)


def _answer(
    call: Call,
    metadata: Mapping[str, str] | None,
    talks: Sequence[Talk],
    recorded: Sequence[CallRecording],
    *,
    by_ai: bool,
) -> CallAnswer:
    talked = call.ended_at - call.answered_at if call.ended_at and call.answered_at else timedelta()
    fields = {
        "id": call.id,
        "call_id": call.call_id,
        "from": call.from_number,
        "to": call.to_number,
        "status": call.status,
        "provider": "ultravox" if by_ai else call.provider or "asterisk",
        "direction": call.direction,
        "duration": int(talked.total_seconds()),
        "created_at": call.created_at,
        "answered_at": call.answered_at,
        "ended_at": call.ended_at,
        "end_reason": call.end_reason,
        "ivr": call.ivr,
        "ivr_version": call.ivr_version,
        "agi_uniqueid": call.agi_uniqueid,
    }
    if call.direction == "outbound":
        fields |= {"ringing_at": call.ringing_at, "metadata": metadata or {}}
    if by_ai or talks:
        fields["ai"] = ai_answer(call, talks)
    if recorded:
        fields["recordings"] = recorded
    known = {
        "q850_cause": call.q850_cause,
        "sip_cause": call.sip_cause,
        "machine": call.machine,
        "machine_cause": call.machine_cause,
    }
    fields |= {name: value for name, value in known.items() if value is not None}
    return CallAnswer.model_validate(fields)


def _step(step: Step) -> StepAnswer:
    return StepAnswer(
        number=step.number,
        node=step.node,
        kind=step.kind,
        entered_at=step.entered_at,
        left_at=step.left_at,
        left=step.left,
        key=step.key,
        prompt_ms=step.prompt_ms,
        fallback=step.fallback,
    )


OPERATIONS = (
    Operation("GET", "/api/voice", list_calls, {200: CallList}),
    Operation("GET", "/api/voice/{id}", get_call, {200: CallAnswer}, (CALL_NOT_FOUND,)),
    Operation("GET", "/api/voice/{id}/steps", list_steps, {200: StepList}, (CALL_NOT_FOUND,)),
    Operation("GET", "/api/voice/{id}/events", list_events, {200: EventList}, (CALL_NOT_FOUND,)),
)
