"""`/dids/{did}/health` and `/dids/pick`: how well a DID's calls are taken, and which DID would call."""

from typing import Literal

from pydantic import Field

from trunx.domain.errors import NotFoundError
from trunx.domain.health import Choice, State, explain
from trunx.domain.presence import Nearness
from trunx.web.dids import DID_NOT_FOUND, DidPath, did_not_found
from trunx.web.models import E164, AnswerBody, Number, RequestQuery, Time
from trunx.web.operation import Asked, Operation, Reply
from trunx.web.paging import MAX_LIMIT

_PRESENCE = {
    Nearness.AREA: "of the same area",
    Nearness.NEIGHBOUR: "of an area beside it",
    Nearness.STATE: "of the same state",
    Nearness.COUNTRY: "of the same country",
    Nearness.ELSEWHERE: "of elsewhere",
}
_TODAY = Field(description="Calls that it has made in 24 hours.")
_ENOUGH = Field(description="How many calls are enough for it in 24 hours; null: it may make any number.")
_STATE = Field(
    description="`warming`: new, or back from its rest; it comes after the others when it has made its calls "
    "of the day. `ready`. `resting`: it is not picked."
)


class HealthPart(AnswerBody):
    """One part of a health."""

    name: Literal["answered", "short", "failed", "suppressed", "trend"]
    points: float = Field(description="What it adds to the health.")
    most: int = Field(description="What it could add.")
    share: float = Field(
        description="What the points are for: a share of its calls, and of the ordinary ones that every DID "
        "is taken to have made; of `trend` the newest calls' answer rate divided by the one before."
    )
    sentence: str = Field(description="What was counted.")


class DidHealth(AnswerBody):
    """How well a DID's calls are taken."""

    did: E164
    health: int = Field(ge=0, le=100, description="The sum of the parts.")
    state: State = _STATE
    since: Time = Field(description="When its rest, or its warm-up, began.")
    today: int = _TODAY
    enough: int | None = _ENOUGH
    parts: list[HealthPart]


class CandidateAnswer(AnswerBody):
    """A DID that could call."""

    did: E164
    score: int = Field(description="Its health in tens, and up to 30 for presence.")
    health: int
    presence: Literal["area", "neighbour", "state", "country", "elsewhere"]
    state: State = _STATE
    today: int = _TODAY
    enough: int | None = _ENOUGH
    usable: bool = Field(description="Whether it may be picked at all.")
    reason: str = Field(description="The same for people.")


class PickQuery(RequestQuery):
    """For which call."""

    to: Number
    limit: int = Field(default=10, ge=1, le=MAX_LIMIT, description="How many candidates at most.")


class PickAnswer(AnswerBody):
    """Which DID would call."""

    to: E164
    from_: E164 | None = Field(alias="from", description="The DID that would call; null: none may.")
    candidates: list[CandidateAnswer] = Field(description="The best ones, best first.")


async def get_did_health(asked: Asked, path: DidPath) -> Reply:
    """Tell how well a DID's calls are taken, and why."""
    try:
        seen, standing = await asked.ports.picking.health(asked.account, path.did)
    except NotFoundError:
        raise did_not_found(path.did) from None
    parts = [
        HealthPart.model_validate(
            part._asdict() | {"points": round(part.points, 1), "share": round(part.share, 3)}
        )
        for part in explain(seen.use)
    ]
    answer = DidHealth(
        did=seen.did,
        health=standing.health,
        state=standing.state,
        since=standing.since,
        today=seen.today,
        enough=standing.enough,
        parts=parts,
    )
    return Reply(200, answer)


async def pick_did(asked: Asked, query: PickQuery) -> Reply:
    """Tell which DID would call a number with `"from": "auto"`, and which others could.

    What the DIDs have done may be known as it was a minute ago.
    """
    choices = await asked.ports.picking.pick(asked.account, query.to, query.limit)
    best = choices[0].did if choices and choices[0].usable else None
    answer = {"to": query.to, "from": best, "candidates": [_candidate(choice) for choice in choices]}
    return Reply(200, PickAnswer.model_validate(answer))


def _candidate(choice: Choice) -> CandidateAnswer:
    return CandidateAnswer(
        did=choice.did,
        score=choice.score,
        health=choice.standing.health,
        presence=choice.nearness.name.lower(),
        state=choice.standing.state,
        today=choice.today,
        enough=choice.standing.enough,
        usable=choice.usable,
        reason=_reason(choice),
    )


def _reason(choice: Choice) -> str:
    said = f"{_PRESENCE[choice.nearness]}; health {choice.standing.health} of 100; "
    if choice.standing.state is State.RESTING:
        return said + "it rests"
    enough = choice.standing.enough
    most = "" if enough is None else f", of {enough} that are enough while it warms up"
    return said + f"{choice.today} calls in 24 hours{most}"


OPERATIONS = (
    Operation("GET", "/dids/pick", pick_did, {200: PickAnswer}),
    Operation("GET", "/dids/{did}/health", get_did_health, {200: DidHealth}, (DID_NOT_FOUND,)),
)
