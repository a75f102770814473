"""The kinds of value that requests and answers are made of; each says its own rule to the API reference."""

import re
from datetime import datetime
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from trunx.domain.log import rfc3339
from trunx.domain.number import e164

NUMBER_ERROR = "number"
_RFC_3339 = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}", re.ASCII)


class RequestBody(BaseModel):
    """What a request may hold: nothing but the fields named, each of its own type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RequestQuery(BaseModel):
    """Query parameters, which arrive as text; those not named are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RequestPath(BaseModel):
    """The variable parts of a path."""

    model_config = ConfigDict(frozen=True)


class AnswerBody(BaseModel):
    """What an answer holds, in camel case; a field that is not set does not appear."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


def number_of(written: str) -> str:
    """`written` in E.164; pydantic's own error when it is no telephone number."""
    number = e164(written)
    if number is None:
        raise PydanticCustomError(NUMBER_ERROR, "this is not a telephone number; write it like +19495551234")
    return number


def _instant(written: str) -> str:
    if not _RFC_3339.match(written):
        raise PydanticCustomError("instant", "this is no time like 2026-03-09T15:30:00Z")
    return written


Number = Annotated[
    str,
    AfterValidator(number_of),
    Field(
        description="A telephone number, best in E.164; answers always have it so.",
        examples=["+19495551234"],
        json_schema_extra={"format": "telephone"},
    ),
]
E164 = Annotated[str, Field(description="A telephone number in E.164.", examples=["+19495551234"])]
Time = Annotated[
    datetime,
    PlainSerializer(rfc3339),
    WithJsonSchema(
        {"type": "string", "format": "date-time", "examples": ["2026-03-09T15:30:00.000Z"]},
        mode="serialization",
    ),
]
Instant = Annotated[
    AwareDatetime,
    # Pydantic alone would also take a bare number for a time.
    BeforeValidator(_instant),
    Field(description="RFC 3339, with `Z` or an offset.", examples=["2026-03-09T15:30:00Z"]),
]
# One line of text: control characters would break lists, logs and CSV files that show it.
Line = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Deleted = Annotated[Literal[True], Field(description="Always `true`.")]
