"""`/api/voice/{id}/timeline`: all that is kept of one call, in the order in which it happened."""

from typing import Any

from pydantic import Field

from trunx.domain.errors import NotFoundError
from trunx.domain.timeline import Kind, Life, timeline
from trunx.web.call_path import CALL_NOT_FOUND, CallPath, call_not_found
from trunx.web.models import AnswerBody, Time
from trunx.web.operation import Asked, Operation, Reply
from trunx.web.paging import Listing


class MomentAnswer(AnswerBody):
    """Something that happened in a call."""

    at: Time
    ms: int = Field(description="Milliseconds since the call was created.")
    kind: Kind
    what: str = Field(
        description="A state of the call, `accept` or `dial` of the gate, `entered` or `left` of a node, "
        "how far an action, a talk or a recording is, or an event's type.",
        examples=["answered"],
    )
    data: dict[str, Any] = Field(description="Depends on `kind` and `what`.")


class Timeline(Listing):
    """A call's life, whole: `next` is always null."""

    timeline: list[MomentAnswer]


async def get_timeline(asked: Asked, path: CallPath) -> Reply:
    """Tell a call's life: states, the gate's verdicts, steps, talks, actions, recordings and events, by time.

    What the account's log tells of the same facts is not repeated.
    """
    ports, account, call = asked.ports, asked.account, path.id
    try:
        life = Life(
            call=await ports.calls.get(account, call),
            steps=await ports.calls.steps(account, call),
            events=await ports.calls.events(account, call),
            actions=await ports.action_rows.of_call(account, call),
            verdicts=await ports.outbound.why(account, call),
            talks=(await ports.ai.talks.of_calls([call])).get(call, ()),
            recordings=(await ports.recordings.of_calls(account, [call])).get(call, ()),
        )
    except NotFoundError:
        raise call_not_found(call) from None
    moments = [
        MomentAnswer(at=one.at, ms=one.ms, kind=one.kind, what=one.what, data=dict(one.data))
        for one in timeline(life)
    ]
    return Reply(200, Timeline(timeline=moments, count=len(moments), next=None))


OPERATIONS = (Operation("GET", "/api/voice/{id}/timeline", get_timeline, {200: Timeline}, (CALL_NOT_FOUND,)),)
