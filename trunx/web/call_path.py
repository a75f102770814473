"""A call as URLs name it, for every resource that is part of one."""

from pydantic import Field

from trunx.web.models import RequestPath
from trunx.web.problems import Kind, ProblemError

CALL_NOT_FOUND = Kind(404, "call-not-found", "There is no call with this id")


class CallPath(RequestPath):
    """Names a call."""

    id: str = Field(
        pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        examples=["a1b2c3d4-e5f6-7890-abcd-ef1234567890"],
    )


def call_not_found(call: str) -> ProblemError:
    """The account has no such call."""
    return ProblemError(CALL_NOT_FOUND, f"this account has no call {call}")
