"""`/dids`: the account's telephone numbers, and the IVR behind each."""

from typing import Annotated

from pydantic import Field

from trunx.domain.document import IvrId
from trunx.domain.errors import ExistsError, NotFoundError, OwnedByAnotherError
from trunx.domain.records import Did
from trunx.web.agents import AGENT_NOT_FOUND
from trunx.web.ivrs import IVR_NOT_FOUND, OWNED_BY_ANOTHER, owned_by_another
from trunx.web.models import E164, AnswerBody, Deleted, Line, Number, RequestBody, RequestPath, Time
from trunx.web.operation import Asked, Operation, Reply
from trunx.web.paging import Listing, PageQuery
from trunx.web.problems import Fault, Kind, ProblemError

DID_EXISTS = Kind(409, "did-exists", "The DID is registered")
DID_NOT_FOUND = Kind(404, "did-not-found", "The account has no such DID")


AgentId = Annotated[
    str,
    Field(
        max_length=200,
        pattern=r"^[^\x00-\x1f\x7f]*$",
        description="The AI agent of its callers, where a transfer names none; else the default agent.",
    ),
]


class DidPath(RequestPath):
    """Names a DID: `+19495551234`, `%2B19495551234` and `19495551234` are the same."""

    did: Number


class DidNew(RequestBody):
    """A number to register."""

    did: Number
    ivr: IvrId | None = Field(default=None, description="The IVR that answers it.")
    agent: AgentId | None = None
    label: Line | None = Field(default=None, description="What people call it.")


class DidChange(RequestBody):
    """What to change of a DID; `null` clears."""

    ivr: IvrId | None = Field(default=None, description="The IVR that answers it.")
    agent: AgentId | None = None
    label: Line | None = Field(default=None, description="What people call it.")


class DidAnswer(AnswerBody):
    """A number of the account."""

    did: E164
    ivr: str | None = Field(description="The IVR that answers it; null: callers hear that nobody is there.")
    label: str | None
    created_at: Time
    agent: str | None = Field(
        description="The AI agent of its callers, where a transfer names none; null: the default agent."
    )


class DidList(Listing):
    """A page of DIDs."""

    dids: list[DidAnswer]


class DidDeleted(AnswerBody):
    """The DID is given up."""

    deleted: Deleted
    did: E164


async def create_did(asked: Asked, body: DidNew) -> Reply:
    """Register a DID, with or without an IVR."""
    try:
        did = await asked.ports.dids.create(asked.account, body.did, body.ivr, body.label, body.agent)
    except ExistsError:
        raise ProblemError(DID_EXISTS, f"{body.did} is registered; change it with PATCH") from None
    except OwnedByAnotherError:
        raise owned_by_another(body.did) from None
    except NotFoundError as error:
        raise _missing(error, body) from None
    await asked.ports.lines.publish([did.did])
    return Reply(201, _answer(did))


async def list_dids(asked: Asked, query: PageQuery) -> Reply:
    """List the DIDs."""
    found = await asked.ports.dids.page(asked.account, query.page())
    return Reply(
        200, DidList(dids=[_answer(did) for did in found.rows], count=len(found.rows), next=found.next)
    )


async def get_did(asked: Asked, path: DidPath) -> Reply:
    """Get a DID."""
    try:
        return Reply(200, _answer(await asked.ports.dids.get(asked.account, path.did)))
    except NotFoundError:
        raise did_not_found(path.did) from None


async def change_did(asked: Asked, path: DidPath, body: DidChange) -> Reply:
    """Change a DID's IVR, agent or label; the next call is answered accordingly."""
    try:
        did = await asked.ports.dids.change(asked.account, path.did, body.model_dump(exclude_unset=True))
    except NotFoundError as error:
        raise (did_not_found(path.did) if error.args[0] == "did" else _missing(error, body)) from None
    await asked.ports.lines.publish([did.did])
    return Reply(200, _answer(did))


async def delete_did(asked: Asked, path: DidPath) -> Reply:
    """Give a DID up; another account may register it then."""
    try:
        await asked.ports.dids.delete(asked.account, path.did)
    except NotFoundError:
        raise did_not_found(path.did) from None
    await asked.ports.lines.publish([path.did])
    return Reply(200, DidDeleted(deleted=True, did=path.did))


def did_not_found(did: str) -> ProblemError:
    """Says that the account has no such number."""
    return ProblemError(DID_NOT_FOUND, f"this account has no DID {did}")


def _missing(error: NotFoundError, body: DidNew | DidChange) -> ProblemError:
    """What the body names and the account does not have."""
    if error.args[0] == "agent":
        kind, pointer, detail = AGENT_NOT_FOUND, "/agent", f"this account has no agent {body.agent!r}"
    else:
        kind, pointer, detail = IVR_NOT_FOUND, "/ivr", f"this account has no IVR {body.ivr!r}"
    return ProblemError(kind, detail, errors=[Fault(pointer=pointer, message=detail)])


def _answer(did: Did) -> DidAnswer:
    return DidAnswer(did=did.did, ivr=did.ivr, label=did.label, created_at=did.created_at, agent=did.agent)


OPERATIONS = (
    Operation(
        "POST",
        "/dids",
        create_did,
        {201: DidAnswer},
        (DID_EXISTS, OWNED_BY_ANOTHER, IVR_NOT_FOUND, AGENT_NOT_FOUND),
        idempotent=True,
    ),
    Operation("GET", "/dids", list_dids, {200: DidList}),
    Operation("GET", "/dids/{did}", get_did, {200: DidAnswer}, (DID_NOT_FOUND,)),
    Operation(
        "PATCH",
        "/dids/{did}",
        change_did,
        {200: DidAnswer},
        (DID_NOT_FOUND, IVR_NOT_FOUND, AGENT_NOT_FOUND),
    ),
    Operation("DELETE", "/dids/{did}", delete_did, {200: DidDeleted}, (DID_NOT_FOUND,)),
)
