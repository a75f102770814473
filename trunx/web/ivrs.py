"""`/ivr`: the trees. What is saved is checked as a whole, and serves the next call."""

from typing import Any

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from trunx.domain.document import IvrChange, IvrDocument, changed, written
from trunx.domain.errors import (
    AssignedError,
    ExistsError,
    NotFoundError,
    OwnedByAnotherError,
    UnavailableError,
)
from trunx.domain.ivr import InvalidTreeError, Transfer, Tree, build, references
from trunx.domain.lint import Known, warnings
from trunx.domain.records import Ivr
from trunx.domain.sound import sound_name
from trunx.web import audio_problems
from trunx.web.audio import AudioAnswer, Text, Voice, described
from trunx.web.bodies import validated
from trunx.web.models import E164, AnswerBody, Deleted, Number, RequestBody, RequestPath, Time
from trunx.web.operation import Asked, Operation, Reply
from trunx.web.paging import Listing, PageQuery
from trunx.web.problems import INVALID_BODY, Fault, Kind, ProblemError

INVALID_TREE = Kind(422, "invalid-tree", "The nodes do not make a tree")
IVR_EXISTS = Kind(409, "ivr-exists", "There is an IVR with this id")
IVR_NOT_FOUND = Kind(404, "ivr-not-found", "There is no IVR with this id")
IVR_ASSIGNED = Kind(409, "ivr-assigned", "The IVR answers calls to DIDs")
OWNED_BY_ANOTHER = Kind(409, "did-owned-by-another", "The DID belongs to another account")


class IvrPath(RequestPath):
    """Names an IVR."""

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", examples=["qualify-business"])


class WarningAnswer(AnswerBody):
    """Something that is allowed in a tree and odd all the same."""

    code: str = Field(description="Stable name of the kind of warning.", examples=["audio-missing"])
    node: str
    message: str


class IvrAnswer(IvrDocument):
    """An IVR as it was written, and what we know of it."""

    model_config = ConfigDict(
        extra="ignore", strict=False, alias_generator=to_camel, populate_by_name=True, frozen=True
    )

    version: int = Field(description="1 at first, one more with each change.")
    dids: list[E164] = Field(description="The DIDs that it answers.")
    created_at: Time
    updated_at: Time
    warnings: list[WarningAnswer] = Field(default_factory=list, description="Not in lists.")


class IvrList(Listing):
    """A page of IVRs."""

    ivrs: list[IvrAnswer]


class IvrDeleted(AnswerBody):
    """The IVR is gone."""

    deleted: Deleted
    id: str


class NodeSpeech(RequestBody):
    """A text that a node shall say."""

    node: str = Field(description="Name of the node.", examples=["welcome"])
    text: Text
    voice: Voice = None


class NodeAudio(AudioAnswer):
    """The audio that a node plays from now on."""

    ivr: str
    node: str
    version: int = Field(description="The IVR's version in which the node plays it.")


class Assignment(RequestBody):
    """The DID to put an IVR behind."""

    did: Number


class Assigned(AnswerBody):
    """The IVR answers this DID now."""

    id: str
    did: E164
    former_ivr: str | None = Field(description="The IVR that answered it before, if there was one.")


async def create_ivr(asked: Asked, body: IvrDocument) -> Reply:
    """Create an IVR.

    The first node is where a call enters, unless `start` names another. Oddities that are allowed (a node
    that no call can reach, an audio that does not exist yet) come back as `warnings`.
    """
    tree = _tree(body)
    try:
        ivr = await asked.ports.ivrs.create(asked.account, body.id, written(body))
    except ExistsError:
        raise ProblemError(
            IVR_EXISTS, f"{body.id!r} exists; change it with PATCH, or choose another id"
        ) from None
    await asked.ports.lines.publish(ivr.dids)
    return Reply(201, await _with_warnings(asked, ivr, tree))


async def list_ivrs(asked: Asked, query: PageQuery) -> Reply:
    """List the IVRs."""
    found = await asked.ports.ivrs.page(asked.account, query.page())
    return Reply(
        200, IvrList(ivrs=[_answer(ivr) for ivr in found.rows], count=len(found.rows), next=found.next)
    )


async def get_ivr(asked: Asked, path: IvrPath) -> Reply:
    """Get an IVR with all nodes."""
    try:
        ivr = await asked.ports.ivrs.get(asked.account, path.id)
    except NotFoundError:
        raise _not_found(path.id) from None
    return Reply(200, await _with_warnings(asked, ivr, build(IvrDocument.model_validate(ivr.document))))


async def change_ivr(asked: Asked, path: IvrPath, body: IvrChange) -> Reply:
    """Change an IVR.

    Named nodes are replaced or added, `null` removes one; other fields replace. The result is checked as a
    whole and becomes the next version, which serves the next call; calls in progress keep theirs.
    """
    if body.id is not None and body.id != path.id:
        fault = Fault(pointer="/id", message=f"the id stays {path.id!r}")
        raise ProblemError(INVALID_BODY, f"/id: {fault.message}", errors=[fault])

    def change(document: dict[str, Any]) -> dict[str, Any]:
        result = validated(changed(document, body), IvrDocument)
        _tree(result)
        return written(result)

    try:
        ivr = await asked.ports.ivrs.change(asked.account, path.id, change)
    except NotFoundError:
        raise _not_found(path.id) from None
    await asked.ports.lines.publish(ivr.dids)
    return Reply(200, await _with_warnings(asked, ivr, build(IvrDocument.model_validate(ivr.document))))


async def speak_node(asked: Asked, path: IvrPath, body: NodeSpeech) -> Reply:
    """Make speech of a text, and let a node play it.

    The node's `audio` becomes the new audio's id, in a new version of the IVR that serves the next call. The
    answer comes when the node can speak, however long the voice takes.
    """
    try:
        before = await asked.ports.ivrs.get(asked.account, path.id)
    except NotFoundError:
        raise _not_found(path.id) from None
    _node(before.document, body.node)
    with audio_problems.told():
        audio = await asked.ports.library.speak(
            asked.account, name=f"{path.id} {body.node}", text=body.text, voice=body.voice, patience=None
        )

    def change(document: dict[str, Any]) -> dict[str, Any]:
        node = {**_node(document, body.node), "audio": audio.id}
        result = validated({**document, "nodes": {**document["nodes"], body.node: node}}, IvrDocument)
        _tree(result)
        return written(result)

    try:
        ivr = await asked.ports.ivrs.change(asked.account, path.id, change)
    except (NotFoundError, ProblemError) as error:
        # The IVR or the node went away meanwhile.
        await asked.ports.library.delete(asked.account, audio.id)
        raise (_not_found(path.id) if isinstance(error, NotFoundError) else error) from None
    await asked.ports.lines.publish(ivr.dids)
    answer = await described(asked, audio)
    return Reply(201, NodeAudio(**dict(answer), ivr=ivr.id, node=body.node, version=ivr.version))


async def delete_ivr(asked: Asked, path: IvrPath) -> Reply:
    """Delete an IVR that answers no DID."""
    try:
        await asked.ports.ivrs.delete(asked.account, path.id)
    except NotFoundError:
        raise _not_found(path.id) from None
    except AssignedError as error:
        raise ProblemError(
            IVR_ASSIGNED,
            f"{path.id!r} answers {', '.join(error.dids)}; assign these elsewhere first",
            dids=error.dids,
        ) from None
    return Reply(200, IvrDeleted(deleted=True, id=path.id))


async def assign_ivr(asked: Asked, path: IvrPath, body: Assignment) -> Reply:
    """Assign an IVR to a DID.

    Calls to the DID walk this IVR from the next call on. A DID that is new is registered for the account.
    """
    try:
        former = await asked.ports.ivrs.assign(asked.account, path.id, body.did)
    except NotFoundError:
        raise _not_found(path.id) from None
    except OwnedByAnotherError:
        raise owned_by_another(body.did) from None
    await asked.ports.lines.publish([body.did])
    return Reply(200, Assigned(id=path.id, did=body.did, former_ivr=former))


def owned_by_another(did: str) -> ProblemError:
    """The answer to a claim on somebody else's number."""
    return ProblemError(
        OWNED_BY_ANOTHER, f"{did} is not yours", errors=[Fault(pointer="/did", message="not yours")]
    )


def _not_found(ivr_id: str) -> ProblemError:
    return ProblemError(IVR_NOT_FOUND, f"this account has no IVR {ivr_id!r}")


def _node(document: dict[str, Any], name: str) -> dict[str, Any]:
    node: dict[str, Any] | None = document["nodes"].get(name)
    if node is None:
        fault = Fault(pointer="/node", message=f"this IVR has no node {name!r}")
        raise ProblemError(INVALID_BODY, f"/node: {fault.message}", errors=[fault])
    return node


def _tree(document: IvrDocument) -> Tree:
    try:
        return build(document)
    except InvalidTreeError as error:
        faults = [Fault(pointer=problem.pointer, message=problem.message) for problem in error.problems]
        raise ProblemError(INVALID_TREE, str(error), errors=faults) from None


def _answer(ivr: Ivr) -> IvrAnswer:
    return IvrAnswer.model_validate(
        {
            **ivr.document,
            "version": ivr.version,
            "dids": list(ivr.dids),
            "created_at": ivr.created_at,
            "updated_at": ivr.updated_at,
        }
    )


async def _with_warnings(asked: Asked, ivr: Ivr, tree: Tree) -> IvrAnswer:
    names = {reference.name for reference in references(ivr.document)}
    unknown = await asked.ports.audios.unknown(asked.account, names)

    transfers = [node for node in tree.nodes.values() if isinstance(node, Transfer)]
    uris = {node.to for node in transfers if node.to is not None and node.to.startswith("sip:")}
    forbidden = {uri for uri in uris if not await _may_call(asked, uri)}
    agents = {node.agent for node in transfers if node.agent is not None}
    gone = {agent for agent in agents if not await _has_agent(asked, agent)}

    def has_audio(audio: str) -> bool:
        # Without an audio of this name there may still be a file that an operator put there by hand.
        return (
            audio not in unknown or asked.ports.sounds.seconds(sound_name(asked.account, audio)) is not None
        )

    known = Known(has_audio, lambda agent: agent not in gone, lambda uri: uri not in forbidden)
    found = [
        WarningAnswer(code=warning.code, node=warning.node, message=warning.message)
        for warning in warnings(tree, known)
    ]
    return _answer(ivr).model_copy(update={"warnings": found})


async def _has_agent(asked: Asked, agent: str) -> bool:
    try:
        await asked.ports.agents.rows.get(asked.account, agent)
    except NotFoundError:
        return False
    return True


async def _may_call(asked: Asked, uri: str) -> bool:
    """Whether the account's list has the SIP URI; the call will ask again."""
    try:
        _, verdicts = await asked.ports.outbound.preview(asked.account, "", uri)
    except UnavailableError:
        return True  # the tree is saved; a warning is not worth more
    return all(verdict.allowed for verdict in verdicts if verdict.rule == "sip-uri")


OPERATIONS = (
    Operation("POST", "/ivr", create_ivr, {201: IvrAnswer}, (INVALID_TREE, IVR_EXISTS), idempotent=True),
    Operation("GET", "/ivr", list_ivrs, {200: IvrList}),
    Operation("GET", "/ivr/{id}", get_ivr, {200: IvrAnswer}, (IVR_NOT_FOUND,)),
    Operation("PATCH", "/ivr/{id}", change_ivr, {200: IvrAnswer}, (IVR_NOT_FOUND, INVALID_TREE)),
    Operation("DELETE", "/ivr/{id}", delete_ivr, {200: IvrDeleted}, (IVR_NOT_FOUND, IVR_ASSIGNED)),
    Operation(
        "POST",
        "/ivr/{id}/audio",
        speak_node,
        {201: NodeAudio},
        (IVR_NOT_FOUND, INVALID_TREE, *audio_problems.SPEECH),
        idempotent=True,
    ),
    Operation(
        "POST",
        "/ivr/{id}/assign",
        assign_ivr,
        {200: Assigned},
        (IVR_NOT_FOUND, OWNED_BY_ANOTHER),
        idempotent=True,
    ),
)
