"""`/api/voice`: calls as they are kept; each with its steps through the tree and what happened in it."""

from datetime import timedelta
from typing import Literal

from pydantic import Field

from trunx.domain.call import Call, EndReason, Event, Left, Status, Step
from trunx.domain.errors import NotFoundError
from trunx.domain.records import CallFilter
from trunx.web.models import AnswerBody, Instant, Number, RequestPath, Time
from trunx.web.operation import Asked, Operation, Reply
from trunx.web.paging import Listing, PageQuery
from trunx.web.problems import Kind, ProblemError

CALL_NOT_FOUND = Kind(404, "call-not-found", "There is no call with this id")


class CallPath(RequestPath):
    """Names a call."""

    id: str = Field(
        pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        examples=["a1b2c3d4-e5f6-7890-abcd-ef1234567890"],
    )


class CallQuery(PageQuery):
    """Which calls."""

    status: Status | None = None
    direction: Literal["inbound", "outbound"] | None = None
    from_: Number | None = Field(default=None, alias="from", description="Who called.")
    to: Number | None = Field(default=None, description="Who was called.")
    since: Instant | None = Field(default=None, description="Calls created at this time or later.")
    until: Instant | None = Field(default=None, description="Calls created before this time.")

    def filter(self) -> CallFilter:
        """What the list is narrowed to."""
        return CallFilter(self.status, self.direction, self.from_, self.to, self.since, self.until)


class CallAnswer(AnswerBody):
    """A call."""

    id: str
    call_id: str = Field(description="Another name of the call: `CA` and 32 hex digits.")
    from_: str = Field(
        alias="from", description="Who called: E.164, or what the carrier sent instead of a number."
    )
    to: str = Field(description="Who was called.")
    status: Status
    provider: str = Field(description="What carried the call: `asterisk`.")
    direction: Literal["inbound", "outbound"]
    duration: int = Field(description="Seconds from answer to end; 0 until it has ended.")
    created_at: Time
    answered_at: Time | None
    ended_at: Time | None
    end_reason: EndReason | None
    ivr: str | None = Field(description="The IVR that was walked.")
    ivr_version: int | None
    agi_uniqueid: str | None = Field(description="Asterisk's own name of an inbound call.")


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


class EventAnswer(AnswerBody):
    """Something that happened in a call."""

    type: str = Field(description="Stable name of what happened.", examples=["audio.failed"])
    at: Time
    data: dict[str, str]


class EventList(Listing):
    """What happened in a call, in order; whole, so `next` is always null."""

    events: list[EventAnswer]


async def list_calls(asked: Asked, query: CallQuery) -> Reply:
    """List calls, newest first."""
    found = await asked.ports.calls.page(asked.account, query.filter(), query.page())
    return Reply(
        200, CallList(calls=[_answer(call) for call in found.rows], count=len(found.rows), next=found.next)
    )


async def get_call(asked: Asked, path: CallPath) -> Reply:
    """Get a call."""
    try:
        return Reply(200, _answer(await asked.ports.calls.get(asked.account, path.id)))
    except NotFoundError:
        raise _not_found(path.id) from None


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
    return Reply(200, EventList(events=[_event(event) for event in events], count=len(events), next=None))


def _not_found(call: str) -> ProblemError:
    return ProblemError(CALL_NOT_FOUND, f"this account has no call {call}")


def _answer(call: Call) -> CallAnswer:
    talked = call.ended_at - call.answered_at if call.ended_at and call.answered_at else timedelta()
    return CallAnswer.model_validate(
        {
            "id": call.id,
            "call_id": call.call_id,
            "from": call.from_number,
            "to": call.to_number,
            "status": call.status,
            "provider": "asterisk",
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
    )


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


def _event(event: Event) -> EventAnswer:
    return EventAnswer(type=event.type, at=event.at, data=event.data)


OPERATIONS = (
    Operation("GET", "/api/voice", list_calls, {200: CallList}),
    Operation("GET", "/api/voice/{id}", get_call, {200: CallAnswer}, (CALL_NOT_FOUND,)),
    Operation("GET", "/api/voice/{id}/steps", list_steps, {200: StepList}, (CALL_NOT_FOUND,)),
    Operation("GET", "/api/voice/{id}/events", list_events, {200: EventList}, (CALL_NOT_FOUND,)),
)
