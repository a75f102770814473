"""An event of the account's log, as lists, streams and webhooks show it."""

from typing import Any

from pydantic import Field

from trunx.domain.call import Event
from trunx.domain.log import as_json
from trunx.web.models import AnswerBody


class EventAnswer(AnswerBody):
    """Something that happened."""

    id: str = Field(description="Names what happened; the same in every delivery.")
    seq: int = Field(description="Counts the account's events from 1, without a gap, in their order.")
    account: str
    call: str | None = Field(description="The call that it happened in, if any.")
    type: str = Field(description="Stable name of what happened.", examples=["call.completed"])
    at: str = Field(
        description="When it happened.",
        examples=["2026-03-09T15:30:00.000Z"],
        json_schema_extra={"format": "date-time"},
    )
    data: dict[str, Any] = Field(description="Depends on `type`.")


def event_answer(event: Event, public_url: str) -> EventAnswer:
    """`event` as the API shows it."""
    return EventAnswer.model_validate(as_json(event, public_url))
