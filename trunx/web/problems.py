"""Answers that say no: RFC 9457 `application/problem+json` with a stable `code`.

Kinds that any operation can meet stand here; each of the others stands beside the feature that raises it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem: `code` is part of the API and never changes its meaning."""

    status: int
    code: str
    title: str


INVALID_JSON = Kind(400, "invalid-json", "The body is not JSON")
INVALID_REQUEST = Kind(400, "invalid-request", "The request cannot be read")
INVALID_KEY = Kind(401, "invalid-key", "No key that is known here")
NOT_FOUND = Kind(404, "not-found", "There is nothing at this path")
METHOD_NOT_ALLOWED = Kind(405, "method-not-allowed", "This path does not take this method")
BODY_TIMEOUT = Kind(408, "body-timeout", "The body did not arrive in time")
BODY_TOO_LARGE = Kind(413, "body-too-large", "The body is too large")
NOT_JSON = Kind(415, "not-json", "The body is not declared as application/json")
NOT_A_FORM = Kind(415, "not-a-form", "The body is not declared as multipart/form-data")
INVALID_PATH = Kind(422, "invalid-path", "A part of the path cannot be accepted")
INVALID_QUERY = Kind(422, "invalid-query", "A query parameter cannot be accepted")
INVALID_BODY = Kind(422, "invalid-body", "The body cannot be accepted")
INTERNAL = Kind(500, "internal-error", "A fault of ours")
UNAVAILABLE = Kind(503, "store-unavailable", "A store cannot be reached just now")


class Fault(BaseModel):
    """One thing that is wrong with a request, and where."""

    pointer: str | None = Field(default=None, description="JSON pointer (RFC 6901) into the body.")
    parameter: str | None = Field(default=None, description="Name of the query or path parameter.")
    message: str


class Problem(BaseModel):
    """Why a request was refused (RFC 9457)."""

    type: str = Field(
        description="Where this kind of problem is explained.", json_schema_extra={"format": "uri"}
    )
    title: str
    status: int
    detail: str = Field(description="What went wrong this time, for people.")
    code: str = Field(description="Stable name of the kind of problem, for programs.")
    instance: str = Field(description="This very answer: `urn:trunx:request:` and the X-Request-Id.")
    errors: list[Fault] | None = Field(
        default=None, description="Each thing that is wrong, where it is known."
    )
    dids: list[str] | None = Field(default=None, description="With `ivr-assigned`: the DIDs in the way.")
    rule: str | None = Field(default=None, description="Of a call that is refused: the gate's rule.")
    inputs: dict[str, Any] | None = Field(
        default=None, description="Of a call that is refused: what the rule looked at."
    )
    call_status: str | None = Field(
        default=None, description="With `call-not-in-progress`: the call's status."
    )


class ProblemError(Exception):
    """Ends a request with the answer that `kind` names."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        errors: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
        dids: Sequence[str] = (),
        rule: str | None = None,
        inputs: Mapping[str, Any] | None = None,
        call_status: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})
        self.dids = dids
        self.rule = rule
        self.inputs = inputs
        self.call_status = call_status

    def body(self, public_url: str, request_id: str) -> bytes:
        """The problem as JSON."""
        problem = Problem(
            type=f"{public_url}/docs#{self.kind.code}",
            title=self.kind.title,
            status=self.kind.status,
            detail=self.detail,
            code=self.kind.code,
            instance=f"urn:trunx:request:{request_id}",
            errors=list(self.errors) or None,
            dids=list(self.dids) or None,
            rule=self.rule,
            inputs=None if self.inputs is None else dict(self.inputs),
            call_status=self.call_status,
        )
        return problem.model_dump_json(exclude_none=True).encode()
