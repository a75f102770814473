"""`/api/voice/knowledge`: what agents look things up in. The documents are kept, and read, by Ultravox."""

import uuid
from collections.abc import Mapping
from mimetypes import MimeTypes
from typing import Annotated, Any

from pydantic import Field

from trunx.domain.agent import Knowledge, VendorError
from trunx.domain.errors import InUseError, NotFoundError
from trunx.engine.making import Condition
from trunx.engine.settling import moment
from trunx.web import ai_problems
from trunx.web.agents import ID
from trunx.web.models import AnswerBody, Deleted, Line, RequestBody, RequestPath, Time
from trunx.web.operation import Asked, Operation, Reply
from trunx.web.paging import Listing, PageQuery
from trunx.web.problems import Fault, Kind, ProblemError
from trunx.web.uploads import FILE_TOO_LARGE, UploadedFile

KNOWLEDGE_NOT_FOUND = Kind(404, "knowledge-not-found", "The account has no such knowledge")
KNOWLEDGE_IN_USE = Kind(409, "knowledge-in-use", "Agents were given the knowledge")

LARGEST_DOCUMENT = 10_000_000
"""Bytes that Ultravox takes of one document."""

_TYPES = MimeTypes()
_TYPES.add_type("text/markdown", ".md")
_OFFICE = "application/vnd.openxmlformats-officedocument"
_TYPES.add_type(f"{_OFFICE}.wordprocessingml.document", ".docx")
_TYPES.add_type(f"{_OFFICE}.presentationml.presentation", ".pptx")

KnowledgeName = Annotated[
    Line, Field(min_length=1, description="What people call it, and the agents.", examples=["Opening hours"])
]
Description = Annotated[
    str | None,
    Field(
        max_length=2_000,
        pattern=r"^[^\x00]*$",
        description="Tells agents what they find in it.",
        examples=["When we are open, and where."],
    ),
]


class KnowledgePath(RequestPath):
    """Names knowledge."""

    id: str = Field(pattern=ID, examples=["c3d4e5f6-a7b8-9012-cdef-123456789012"])


class KnowledgeNew(RequestBody):
    """Knowledge to create; it is empty until something is added."""

    name: KnowledgeName
    description: Description = None


class KnowledgeChange(RequestBody):
    """What to change of knowledge; what is not named stays."""

    name: KnowledgeName = ""
    description: Description = None


class SourceUrl(RequestBody):
    """A web page to read."""

    url: str = Field(
        max_length=2_000,
        pattern=r"^https?://[A-Za-z0-9._-]+(:[0-9]{1,5})?(/[!-~]*)?$",
        description="Ultravox reads this page, from its own servers.",
        examples=["https://example.com/faq"],
    )
    name: Line | None = Field(default=None, min_length=1, description="What to call it; the URL when absent.")


class SourceDocument(RequestBody):
    """A document to upload."""

    file: UploadedFile = Field(description="Text, Markdown, PDF, Word or PowerPoint, of 10 MB at most.")
    name: Line | None = Field(
        default=None, min_length=1, description="What to call it; its filename when absent."
    )


class KnowledgeAnswer(AnswerBody):
    """Knowledge."""

    id: str
    name: str
    description: str | None
    ultravox_id: str | None
    created_at: Time
    condition: Condition = Field(
        default="ready", description="Of one: how it stands at Ultravox; the words are those of agents."
    )
    status: str | None = Field(
        default=None,
        description="Of one: how far Ultravox has read: `empty`, `initializing`, `ready`, `updating`; null: "
        "that is not known just now.",
    )
    documents: int | None = Field(default=None, description="Of one: how many Ultravox has read.")


class KnowledgeList(Listing):
    """A page of knowledge."""

    knowledge: list[KnowledgeAnswer]


class KnowledgeDeleted(AnswerBody):
    """The knowledge is gone."""

    deleted: Deleted
    id: str


class SourceAdded(AnswerBody):
    """A source that Ultravox is about to read: the status of the knowledge says how far it is."""

    id: str
    name: str


class SourceAnswer(AnswerBody):
    """Where knowledge comes from."""

    id: str
    name: str
    urls: list[str] = Field(description="Of pages: where they are.")
    status: str | None = Field(description="`initializing`, `ready`, `updating`.")
    documents: int | None


class SourceList(AnswerBody):
    """All sources of some knowledge."""

    sources: list[SourceAnswer]
    count: int


async def create_knowledge(asked: Asked, body: KnowledgeNew) -> Reply:
    """Create knowledge.

    How many Ultravox keeps is a matter of its plan; one more is refused.
    """
    knowledge = Knowledge(
        id=str(uuid.uuid4()),
        account=asked.account,
        name=body.name,
        description=body.description,
        vendor_id=None,
        created_at=moment(),
    )
    with ai_problems.told():
        knowledge = await asked.ports.knowledge.create(knowledge)
    return Reply(201, _answer(knowledge, condition="ready", status="empty", documents=0))


async def list_knowledge(asked: Asked, query: PageQuery) -> Reply:
    """List the knowledge."""
    found = await asked.ports.knowledge.rows.page(asked.account, query.page())
    answers = [_answer(each) for each in found.rows]
    return Reply(200, KnowledgeList(knowledge=answers, count=len(answers), next=found.next))


async def get_knowledge(asked: Asked, path: KnowledgePath) -> Reply:
    """Get knowledge, and how far Ultravox has read it.

    What Ultravox has lost is made anew, and is `empty`: add its sources again.
    """
    try:
        knowledge, condition = await asked.ports.knowledge.look(asked.account, path.id)
    except NotFoundError:
        raise _not_found(path.id) from None
    return Reply(200, await _described(asked, knowledge, condition))


async def change_knowledge(asked: Asked, path: KnowledgePath, body: KnowledgeChange) -> Reply:
    """Change name and description, by which agents know what to look up in it."""
    fields = body.model_dump(exclude_unset=True)
    with ai_problems.told():
        try:
            knowledge = await asked.ports.knowledge.change(asked.account, path.id, fields)
        except NotFoundError:
            raise _not_found(path.id) from None
    return Reply(200, await _described(asked, knowledge, "ready"))


async def delete_knowledge(asked: Asked, path: KnowledgePath) -> Reply:
    """Delete knowledge that no agent has, with all its documents."""
    try:
        await asked.ports.knowledge.delete(asked.account, path.id)
    except NotFoundError:
        raise _not_found(path.id) from None
    except InUseError as error:
        raise ProblemError(KNOWLEDGE_IN_USE, f"take it from these agents first: {error}") from None
    return Reply(200, KnowledgeDeleted(deleted=True, id=path.id))


async def add_page(asked: Asked, path: KnowledgePath, body: SourceUrl) -> Reply:
    """Add a web page to knowledge."""
    name = body.name or body.url
    with ai_problems.told():
        try:
            source = await asked.ports.knowledge.add_url(asked.account, path.id, name, body.url)
        except NotFoundError:
            raise _not_found(path.id) from None
    return Reply(201, SourceAdded(id=source, name=name))


async def add_document(asked: Asked, path: KnowledgePath, form: SourceDocument) -> Reply:
    """Add a document to knowledge.

    What kind it is of is read off from the end of its filename.
    """
    file = form.file
    if file.path.stat().st_size > LARGEST_DOCUMENT:
        message = f"at most {LARGEST_DOCUMENT:,} bytes are accepted"
        raise ProblemError(FILE_TOO_LARGE, message, errors=[Fault(pointer="/file", message=message)])
    name = form.name or file.filename
    mime = _TYPES.guess_type(file.filename)[0] or "application/octet-stream"
    with ai_problems.told():
        try:
            source = await asked.ports.knowledge.add_document(asked.account, path.id, name, mime, file.path)
        except NotFoundError:
            raise _not_found(path.id) from None
    return Reply(201, SourceAdded(id=source, name=name))


async def list_sources(asked: Asked, path: KnowledgePath) -> Reply:
    """List where knowledge comes from."""
    with ai_problems.told():
        try:
            found = await asked.ports.knowledge.sources(asked.account, path.id)
        except NotFoundError:
            raise _not_found(path.id) from None
    sources = [_source(each) for each in found]
    return Reply(200, SourceList(sources=sources, count=len(sources)))


def _not_found(knowledge_id: str) -> ProblemError:
    return ProblemError(KNOWLEDGE_NOT_FOUND, f"this account has no knowledge {knowledge_id}")


async def _described(asked: Asked, knowledge: Knowledge, condition: Condition) -> KnowledgeAnswer:
    stats: Mapping[str, Any] = {}
    if condition in ("ready", "healed"):
        try:
            stats = await asked.ports.knowledge.stats(knowledge)
        except VendorError:
            condition = "unavailable"
    return _answer(knowledge, condition=condition, **_progress(stats))


def _answer(knowledge: Knowledge, **live: Any) -> KnowledgeAnswer:
    return KnowledgeAnswer(
        id=knowledge.id,
        name=knowledge.name,
        description=knowledge.description,
        ultravox_id=knowledge.vendor_id,
        created_at=knowledge.created_at,
        **live,
    )


def _source(source: Mapping[str, Any]) -> SourceAnswer:
    crawl = source.get("crawl") or {}
    return SourceAnswer(
        id=str(source.get("sourceId", "")),
        name=str(source.get("name") or ""),
        urls=[str(url) for url in crawl.get("startUrls") or ()],
        **_progress(source.get("stats") or {}),
    )


def _progress(stats: Mapping[str, Any]) -> dict[str, Any]:
    """`CORPUS_STATUS_READY` and `SOURCE_STATUS_READY` are `ready`."""
    status, documents = stats.get("status"), stats.get("numDocs")
    return {
        "status": str(status).rpartition("_STATUS_")[2].lower() if status else None,
        "documents": documents if isinstance(documents, int) else None,
    }


_ONE = "/api/voice/knowledge/{id}"
_NEEDS_VENDOR = (KNOWLEDGE_NOT_FOUND, *ai_problems.PROBLEMS)
OPERATIONS = (
    Operation(
        "POST",
        "/api/voice/knowledge",
        create_knowledge,
        {201: KnowledgeAnswer},
        ai_problems.PROBLEMS,
        idempotent=True,
    ),
    Operation("GET", "/api/voice/knowledge", list_knowledge, {200: KnowledgeList}),
    Operation("GET", _ONE, get_knowledge, {200: KnowledgeAnswer}, (KNOWLEDGE_NOT_FOUND,)),
    Operation("PATCH", _ONE, change_knowledge, {200: KnowledgeAnswer}, _NEEDS_VENDOR),
    Operation(
        "DELETE", _ONE, delete_knowledge, {200: KnowledgeDeleted}, (KNOWLEDGE_NOT_FOUND, KNOWLEDGE_IN_USE)
    ),
    Operation("POST", f"{_ONE}/sources", add_page, {201: SourceAdded}, _NEEDS_VENDOR, idempotent=True),
    Operation(
        "POST", f"{_ONE}/sources/upload", add_document, {201: SourceAdded}, _NEEDS_VENDOR, idempotent=True
    ),
    Operation("GET", f"{_ONE}/sources", list_sources, {200: SourceList}, _NEEDS_VENDOR),
)
