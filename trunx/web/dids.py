"""`/dids`: the account's telephone numbers, and the IVR behind each."""

from pydantic import Field

from trunx.domain.document import IvrId
from trunx.domain.errors import ExistsError, NotFoundError, OwnedByAnotherError
from trunx.domain.records import Did
from trunx.web.ivrs import IVR_NOT_FOUND, OWNED_BY_ANOTHER, owned_by_another
from trunx.web.models import E164, AnswerBody, Deleted, Line, Number, RequestBody, RequestPath, Time
from trunx.web.operation import Asked, Operation, Reply
from trunx.web.paging import Listing, PageQuery
from trunx.web.problems import Fault, Kind, ProblemError

DID_EXISTS = Kind(409, "did-exists", "The DID is registered")
DID_NOT_FOUND = Kind(404, "did-not-found", "The account has no such DID")


class DidPath(RequestPath):
    """Names a DID: `+19495551234`, `%2B19495551234` and `19495551234` are the same."""

    did: Number


class DidNew(RequestBody):
    """A number to register."""

    did: Number
    ivr: IvrId | None = Field(default=None, description="The IVR that answers it.")
    label: Line | None = Field(default=None, description="What people call it.")


class DidChange(RequestBody):
    """What to change of a DID; `null` clears."""

    ivr: IvrId | None = Field(default=None, description="The IVR that answers it.")
    label: Line | None = Field(default=None, description="What people call it.")


class DidAnswer(AnswerBody):
    """A number of the account."""

    did: E164
    ivr: str | None = Field(description="The IVR that answers it; null: callers hear that nobody is there.")
    label: str | None
    created_at: Time


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
        did = await asked.ports.dids.create(asked.account, body.did, body.ivr, body.label)
    except ExistsError:
        raise ProblemError(DID_EXISTS, f"{body.did} is registered; change it with PATCH") from None
    except OwnedByAnotherError:
        raise owned_by_another(body.did) from None
    except NotFoundError:
        raise _ivr_not_found(body.ivr) from None
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
    """Change a DID's IVR or label; the next call is answered accordingly."""
    try:
        did = await asked.ports.dids.change(asked.account, path.did, body.model_dump(exclude_unset=True))
    except NotFoundError as error:
        raise (_ivr_not_found(body.ivr) if error.args[0] == "ivr" else did_not_found(path.did)) from None
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


def _ivr_not_found(ivr_id: str | None) -> ProblemError:
    detail = f"this account has no IVR {ivr_id!r}"
    return ProblemError(IVR_NOT_FOUND, detail, errors=[Fault(pointer="/ivr", message=detail)])


def _answer(did: Did) -> DidAnswer:
    return DidAnswer(did=did.did, ivr=did.ivr, label=did.label, created_at=did.created_at)


OPERATIONS = (
    Operation(
        "POST",
        "/dids",
        create_did,
        {201: DidAnswer},
        (DID_EXISTS, OWNED_BY_ANOTHER, IVR_NOT_FOUND),
        idempotent=True,
    ),
    Operation("GET", "/dids", list_dids, {200: DidList}),
    Operation("GET", "/dids/{did}", get_did, {200: DidAnswer}, (DID_NOT_FOUND,)),
    Operation("PATCH", "/dids/{did}", change_did, {200: DidAnswer}, (DID_NOT_FOUND, IVR_NOT_FOUND)),
    Operation("DELETE", "/dids/{did}", delete_did, {200: DidDeleted}, (DID_NOT_FOUND,)),
)
