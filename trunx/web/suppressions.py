"""`/suppression`: the do-not-call list. What was answered with 201 survives a power cut."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Discriminator, Field, RootModel, Tag

from trunx.domain.errors import NotFoundError
from trunx.domain.records import Suppression
from trunx.web.models import E164, AnswerBody, Deleted, Line, Number, RequestBody, RequestPath, Time
from trunx.web.operation import Asked, Operation, Reply
from trunx.web.paging import Listing, PageQuery
from trunx.web.problems import Kind, ProblemError

MAX_NUMBERS = 10_000

SUPPRESSION_NOT_FOUND = Kind(404, "suppression-not-found", "The number is not on the account's list")


class NumberPath(RequestPath):
    """Names a number: `+19495551234`, `%2B19495551234` and `19495551234` are the same."""

    number: Number


class OneNumber(RequestBody):
    """A number that must not be called."""

    number: Number
    reason: Line | None = None


class ManyNumbers(RequestBody):
    """Numbers that must not be called."""

    numbers: Annotated[list[Number], Field(min_length=1, max_length=MAX_NUMBERS)]
    reason: Line | None = None


def _how_many(body: Any) -> str:
    return "many" if isinstance(body, dict) and "numbers" in body else "one"


class SuppressionNew(
    RootModel[
        Annotated[
            Annotated[OneNumber, Tag("one")] | Annotated[ManyNumbers, Tag("many")], Discriminator(_how_many)
        ]
    ]
):
    """One number or many."""


class SuppressionAnswer(AnswerBody):
    """An entry of the do-not-call list."""

    number: E164
    source: str = Field(description="`api`, or `ivr` when a caller asked for it.")
    reason: str | None
    call: str | None = Field(description="The call in which the caller asked for it.")
    created_at: Time


class SuppressionsAdded(AnswerBody):
    """What became of many numbers; a number that was sent twice counts once."""

    added: int
    existing: int = Field(description="How many were on the list before.")


class SuppressionCreated(RootModel[SuppressionAnswer | SuppressionsAdded]):
    """The entry of one number; the counts of many."""


class SuppressionList(Listing):
    """A page of the do-not-call list."""

    suppressions: list[SuppressionAnswer]


class SuppressionDeleted(AnswerBody):
    """The number may be called again."""

    deleted: Deleted
    number: E164


async def create_suppression(asked: Asked, body: SuppressionNew) -> Reply:
    """Put a number, or up to 10,000, on the do-not-call list.

    A number that is on the list already stays as it is: 200 with the standing entry.
    """
    now = datetime.now(UTC)
    numbers = (
        [body.root.number] if isinstance(body.root, OneNumber) else list(dict.fromkeys(body.root.numbers))
    )
    entries = [Suppression(asked.account, number, "api", body.root.reason, None, now) for number in numbers]
    if isinstance(body.root, ManyNumbers):
        added = await asked.ports.suppressions.add(entries)
        return Reply(201, SuppressionCreated(SuppressionsAdded(added=added, existing=len(entries) - added)))
    while not await asked.ports.suppressions.add(entries):
        try:
            standing = await asked.ports.suppressions.get(asked.account, body.root.number)
        except NotFoundError:
            continue  # taken off between the two: so it is new after all
        return Reply(200, _answer(standing))
    return Reply(201, SuppressionCreated(_answer(entries[0])))


async def list_suppressions(asked: Asked, query: PageQuery) -> Reply:
    """List the numbers that must not be called."""
    found = await asked.ports.suppressions.page(asked.account, query.page())
    rows = [_answer(entry) for entry in found.rows]
    return Reply(200, SuppressionList(suppressions=rows, count=len(rows), next=found.next))


async def get_suppression(asked: Asked, path: NumberPath) -> Reply:
    """Tell whether a number is on the do-not-call list."""
    try:
        return Reply(200, _answer(await asked.ports.suppressions.get(asked.account, path.number)))
    except NotFoundError:
        raise _not_found(path.number) from None


async def delete_suppression(asked: Asked, path: NumberPath) -> Reply:
    """Take a number off the do-not-call list."""
    try:
        await asked.ports.suppressions.delete(asked.account, path.number)
    except NotFoundError:
        raise _not_found(path.number) from None
    return Reply(200, SuppressionDeleted(deleted=True, number=path.number))


def _not_found(number: str) -> ProblemError:
    return ProblemError(SUPPRESSION_NOT_FOUND, f"{number} is not on the list")


def _answer(entry: Suppression) -> SuppressionAnswer:
    return SuppressionAnswer(
        number=entry.number,
        source=entry.source,
        reason=entry.reason,
        call=entry.call,
        created_at=entry.created_at,
    )


OPERATIONS = (
    Operation(
        "POST",
        "/suppression",
        create_suppression,
        {200: SuppressionAnswer, 201: SuppressionCreated},
        idempotent=True,
    ),
    Operation("GET", "/suppression", list_suppressions, {200: SuppressionList}),
    Operation(
        "GET", "/suppression/{number}", get_suppression, {200: SuppressionAnswer}, (SUPPRESSION_NOT_FOUND,)
    ),
    Operation(
        "DELETE",
        "/suppression/{number}",
        delete_suppression,
        {200: SuppressionDeleted},
        (SUPPRESSION_NOT_FOUND,),
    ),
)
