"""`/api/voice`: placing calls, ending calls, and what the gate says of them."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from trunx.domain.agent import MAX_SECONDS as AI_SECONDS
from trunx.domain.call import Call, Status
from trunx.domain.dial import LONGEST_CALL, LONGEST_RING, MAX_SECONDS, RING_SECONDS, Wanted
from trunx.domain.errors import NotFoundError
from trunx.domain.gate import Verdict
from trunx.domain.number import e164
from trunx.engine.gatekeeper import RefusedError
from trunx.engine.outbound import SwitchAwayError, SwitchOffError
from trunx.engine.picking import AUTO, NoDidError
from trunx.web.ai_fields import AiFields, check
from trunx.web.call_path import CALL_NOT_FOUND, CallPath, call_not_found
from trunx.web.models import NUMBER_ERROR, AnswerBody, Line, RequestBody, Time, number_of
from trunx.web.operation import Asked, Operation, Reply
from trunx.web.paging import Listing
from trunx.web.problems import Kind, ProblemError

MOST_METADATA = 50
LONGEST_QUEUE = 3600

AMI_OFF = Kind(503, "ami-off", "Calls cannot be placed here: no Asterisk is configured")
AMI_UNAVAILABLE = Kind(503, "ami-unavailable", "Asterisk cannot be reached just now")
AI_OFF = Kind(503, "ai-off", "Nobody can talk to an AI agent here")
NO_DID = Kind(409, "no-did", "The account has no DID that may call")
DIDS_RESTING = Kind(409, "dids-resting", "All DIDs of the account rest")
IVR_UNKNOWN = Kind(422, "ivr-unknown", "The account has no such IVR")

REFUSALS = {
    kind.code: kind
    for kind in (
        Kind(403, "suppressed", "The number asked not to be called"),
        Kind(403, "from-not-owned", "The account does not have this number"),
        Kind(403, "premium-number", "The number costs more than a call"),
        Kind(403, "emergency-number", "The number reaches an emergency service"),
        Kind(403, "short-number", "The number is a short one"),
        Kind(403, "number-invalid", "No numbering plan has this number"),
        Kind(403, "country-not-allowed", "The account may not call this country"),
        Kind(403, "outside-hours", "It is too early or too late where the number rings"),
        Kind(429, "too-many-attempts", "The number was called too often"),
        Kind(429, "too-many-calls", "Too many calls at once"),
        Kind(429, "too-many-calls-per-second", "Too many calls in a second"),
    )
}
"""The gate's codes as problems."""
PLACING = (AMI_OFF, AMI_UNAVAILABLE, AI_OFF, NO_DID, DIDS_RESTING, *REFUSALS.values())
"""Why a call is not placed."""

_SHORT = re.compile(r"\+?[0-9]{1,15}", re.ASCII)
_SECONDS = re.compile(r"([1-9][0-9]{0,5})s?", re.ASCII)


def _called(written: str) -> str:
    # What is no E.164 but could be dialled (911, 40404) is the gate's to refuse.
    number = e164(written) or (written if _SHORT.fullmatch(written) else None)
    if number is None:
        raise PydanticCustomError(NUMBER_ERROR, "this is not a telephone number; write it like +19495551234")
    return number


def _caller(written: str) -> str:
    return written if written == AUTO else number_of(written)


def _seconds(written: Any) -> Any:
    if isinstance(written, str):
        found = _SECONDS.fullmatch(written)
        if found is None:
            raise PydanticCustomError("seconds", 'this is no time like "300s"')
        return int(found[1])
    # To JSON Schema 3.0 is an integer too.
    return int(written) if isinstance(written, float) and written.is_integer() else written


def _shown(most: int, numbers: str) -> WithJsonSchema:
    """A time as the reference has it; `numbers` matches 1 to `most`."""
    text = {"type": "string", "pattern": f"^({numbers})s?$", "examples": ["300s"]}
    return WithJsonSchema({"anyOf": [text, {"type": "integer", "minimum": 1, "maximum": most}]})


Called = Annotated[
    str,
    AfterValidator(_called),
    Field(
        description="The number to call, best in E.164.",
        examples=["+14155551234"],
        json_schema_extra={"format": "telephone"},
    ),
]
Caller = Annotated[
    str,
    AfterValidator(_caller),
    Field(description="A DID of the account, which is shown to the callee; `auto`: the one that fits best."),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "format": "telephone", "examples": ["+19495551234"]},
                {"type": "string", "const": AUTO},
            ]
        }
    ),
]
RingTime = Annotated[
    int,
    BeforeValidator(_seconds),
    Field(ge=1, le=LONGEST_RING),
    _shown(LONGEST_RING, "[1-9][0-9]?|[1-5][0-9]{2}|600"),
]
CallTime = Annotated[
    int,
    BeforeValidator(_seconds),
    Field(ge=1, le=LONGEST_CALL),
    _shown(LONGEST_CALL, "[1-9][0-9]{0,3}|[1-7][0-9]{4}|8[0-5][0-9]{3}|86[0-3][0-9]{2}|86400"),
]
QueueTime = Annotated[
    int,
    BeforeValidator(_seconds),
    Field(ge=1, le=LONGEST_QUEUE),
    _shown(LONGEST_QUEUE, "[1-9][0-9]{0,2}|[12][0-9]{3}|3[0-5][0-9]{2}|3600"),
]
MetadataName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
MetadataValue = Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$")]


class CallBody(AiFields):
    """A call to place."""

    from_: Caller = Field(alias="from")
    to: Called
    metadata: dict[MetadataName, MetadataValue] = Field(
        default_factory=dict,
        max_length=MOST_METADATA,
        description="Kept with the call; lists can ask for it.",
    )
    max_duration: CallTime = Field(
        default=MAX_SECONDS,
        alias="maxDuration",
        description='How long it may last from the answer on: `"300s"`, or seconds. An AI call that does not '
        "say so: 300.",
    )
    timeout: RingTime = Field(default=RING_SECONDS, description="How long it may ring.")
    send_digits: str | None = Field(
        default=None,
        alias="sendDigits",
        pattern=r"^[0-9A-Da-d*#wW]{1,64}$",
        description="Keys to press once it is answered; `w` waits half a second.",
        examples=["ww1234#"],
    )
    machine_detection: bool = Field(
        default=False,
        alias="machineDetection",
        description="Find out whether a person or a machine answers: `machine` of the call then says so.",
    )
    record: bool = Field(default=False, description="Record the call, on Asterisk's host.")
    ivr: Line | None = Field(
        default=None, description="An IVR for the callee to walk; without one the call is held."
    )
    hold: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_-]{1,79}$",
        description="What a call that is held hears: `silence` (as when absent), or a class of Asterisk's "
        "music, such as `default`.",
    )
    queue: bool = Field(
        default=False, description="When Asterisk cannot be reached, wait for it instead of giving up."
    )
    queue_seconds: QueueTime = Field(default=300, alias="queueSeconds", description="How long to wait then.")

    def wanted(self) -> Wanted:
        """What the engine is asked for. Raises `ProblemError`."""
        check(self, alone={"ivr": self.ivr, "hold": self.hold}, metadata=self.metadata)
        ai, says = self.ai, "max_duration" in self.model_fields_set
        return Wanted(
            from_number=self.from_,
            to_number=self.to,
            ring_seconds=self.timeout,
            max_seconds=self.max_duration if ai is None or says else AI_SECONDS,
            metadata=self.metadata,
            send_digits=self.send_digits,
            machine_detection=self.machine_detection,
            record=self.record,
            ivr=self.ivr,
            hold=None if self.hold == "silence" else self.hold,
            queue_seconds=self.queue_seconds if self.queue else None,
            ai=ai,
        )


class CallPlaced(AnswerBody):
    """A call that is accepted."""

    id: str
    call_id: str = Field(description="Another name of the call: `CA` and 32 hex digits.")
    status: Status


class CallEnded(AnswerBody):
    """The call is over."""

    ended: Literal[True]


class PreviewBody(RequestBody):
    """A call that might be placed."""

    from_: Caller = Field(alias="from")
    to: Called


class VerdictAnswer(AnswerBody):
    """What one rule of the gate says."""

    allowed: bool
    rule: str
    code: str = Field(description="`allowed`, or the code that a refused request is answered with.")
    sentence: str
    inputs: dict[str, Any] = Field(description="What the rule looked at.")


class Preview(AnswerBody):
    """What the gate would say to the call now."""

    allowed: bool
    code: str = Field(description="`allowed`, or why not.")
    rule: str = Field(description="The first rule that refuses; `all` when none does.")
    sentence: str
    verdicts: list[VerdictAnswer] = Field(description="Each rule's own, in their order.")


class Judgement(AnswerBody):
    """The gate was asked."""

    at: Time
    when: Literal["accept", "dial"] = Field(
        description="When the request was accepted, or directly before dialling."
    )
    verdicts: list[VerdictAnswer]


class Why(Listing):
    """What the gate said of a call, each time; whole, so `next` is always null."""

    judgements: list[Judgement]


async def place_call(asked: Asked, body: CallBody) -> Reply:
    """Place a call.

    It is dialled once, at once, unless it may wait for Asterisk (`queue`). With an Idempotency-Key a request
    that is sent again, for whatever reason, finds the call that the first one made.
    """
    call = await placed(asked, body.wanted())
    return Reply(201, CallPlaced(id=call.id, call_id=call.call_id, status=Status.INITIATED))


async def placed(asked: Asked, wanted: Wanted) -> Call:
    """The call, which is being dialled. Raises `ProblemError`."""
    if wanted.ai is not None and asked.ports.ai.off is not None:
        raise ProblemError(AI_OFF, asked.ports.ai.off)
    try:
        return await asked.ports.outbound.place(asked.account, wanted, asked.key)
    except SwitchOffError:
        raise _off() from None
    except SwitchAwayError:
        raise ProblemError(
            AMI_UNAVAILABLE,
            "nobody was called; try again, or let it wait with `queue`",
            headers={"Retry-After": "5"},
        ) from None
    except NotFoundError:
        raise ProblemError(IVR_UNKNOWN, f"this account has no IVR {wanted.ivr}") from None
    except NoDidError as none:
        raise _no_did(none) from None
    except RefusedError as refused:
        raise refused_by_gate(refused.verdict) from None


async def end_call(asked: Asked, path: CallPath) -> Reply:
    """End a call, ringing or answered; one that has ended stays as it is.

    An AI agent that talks in it is ended with it.
    """
    try:
        await asked.ports.outbound.end(asked.account, path.id)
        if asked.ports.ai.truth is not None:
            await asked.ports.ai.truth.end(path.id)
    except NotFoundError:
        raise call_not_found(path.id) from None
    except SwitchOffError:
        raise _off() from None
    except SwitchAwayError:
        raise ProblemError(
            AMI_UNAVAILABLE, "the call goes on; try again", headers={"Retry-After": "5"}
        ) from None
    return Reply(200, CallEnded(ended=True))


async def preview_call(asked: Asked, body: PreviewBody) -> Reply:
    """Ask the gate about a call, without placing it."""
    try:
        verdict, verdicts = await asked.ports.outbound.preview(asked.account, body.from_, body.to)
    except NoDidError as none:
        raise _no_did(none) from None
    return Reply(
        200,
        Preview(
            allowed=verdict.allowed,
            code=verdict.code,
            rule=verdict.rule,
            sentence=verdict.sentence,
            verdicts=[_verdict(one) for one in verdicts],
        ),
    )


async def get_why(asked: Asked, path: CallPath) -> Reply:
    """Tell what the gate said of a call: each rule, and what it looked at."""
    try:
        said = await asked.ports.outbound.why(asked.account, path.id)
    except NotFoundError:
        raise call_not_found(path.id) from None
    return Reply(200, Why(judgements=_judgements(said), count=len(said), next=None))


def _judgements(said: Sequence[Mapping[str, Any]]) -> list[Judgement]:
    return [Judgement.model_validate(one) for one in said]


def _verdict(verdict: Verdict) -> VerdictAnswer:
    return VerdictAnswer(
        allowed=verdict.allowed,
        rule=verdict.rule,
        code=verdict.code,
        sentence=verdict.sentence,
        inputs=dict(verdict.inputs),
    )


def _off() -> ProblemError:
    return ProblemError(AMI_OFF, "the operator has not set TRUNX_AMI_URL")


def _no_did(none: NoDidError) -> ProblemError:
    if none.resting:
        return ProblemError(DIDS_RESTING, "see GET /dids/{did}/health, or name one in `from` all the same")
    return ProblemError(NO_DID, "register one with POST /dids")


def refused_by_gate(verdict: Verdict) -> ProblemError:
    """Why the gate refuses a call, as the answer to who asked for it."""
    kind = REFUSALS[verdict.code]
    headers = {}
    if verdict.retry_after is not None:
        headers["Retry-After"] = str(max(1, round(verdict.retry_after + 0.5)))
    elif kind.status == 429:
        headers["Retry-After"] = "5" if verdict.rule == "capacity" else "3600"
    return ProblemError(kind, verdict.sentence, headers=headers, rule=verdict.rule, inputs=verdict.inputs)


OPERATIONS = (
    Operation(
        "POST",
        "/api/voice",
        place_call,
        {201: CallPlaced},
        (IVR_UNKNOWN, *PLACING),
        idempotent=True,
    ),
    Operation("POST", "/api/voice/preview", preview_call, {200: Preview}, (NO_DID, DIDS_RESTING)),
    Operation(
        "DELETE", "/api/voice/{id}", end_call, {200: CallEnded}, (CALL_NOT_FOUND, AMI_OFF, AMI_UNAVAILABLE)
    ),
    Operation("GET", "/api/voice/{id}/why", get_why, {200: Why}, (CALL_NOT_FOUND,)),
)
