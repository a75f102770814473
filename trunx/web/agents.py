"""`/api/voice/agents`: who talks to callers. Fields are written as the contract has them, in snake case."""

import uuid
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from trunx.domain.agent import LANGUAGE, MAX_SECONDS, Agent
from trunx.domain.dial import LONGEST_CALL
from trunx.domain.errors import NotFoundError
from trunx.domain.ivr import pointer
from trunx.engine.agents import UnfitError
from trunx.engine.making import Condition
from trunx.engine.settling import moment
from trunx.web import ai_problems
from trunx.web.models import AnswerBody, Deleted, Line, RequestBody, RequestPath, Time
from trunx.web.operation import Asked, Operation, Reply
from trunx.web.paging import Listing, PageQuery
from trunx.web.problems import Fault, Kind, ProblemError

AGENT_NOT_FOUND = Kind(404, "agent-not-found", "The account has no such agent")
AGENT_UNFIT = Kind(422, "agent-unfit", "The agent cannot be given this tool or knowledge")

MOST_GIVEN = 20
ID = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"


def _whole(written: Any) -> Any:
    # To JSON Schema 300.0 is an integer too.
    return int(written) if isinstance(written, float) and written.is_integer() else written


AgentName = Annotated[
    Line, Field(min_length=1, description="What people call it.", examples=["Appointment Confirmer"])
]
Prompt = Annotated[
    str,
    Field(
        min_length=1,
        max_length=50_000,
        pattern=r"^[^\x00]*$",
        description="What the agent is told to be and to do. It is no template: what is known of a call is "
        "told to the agent after it.",
    ),
]
Voice = Annotated[
    str | None,
    Field(
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00-\x1f\x7f]*$",
        description="Ultravox' voice, by name or id; its default when absent.",
        examples=["Mark"],
    ),
]
FirstMessage = Annotated[
    str | None,
    Field(
        min_length=1,
        max_length=5_000,
        pattern=r"^[^\x00]*$",
        description="What it says first, to the end; when absent it finds its own words.",
    ),
]
Language = Annotated[
    str,
    Field(
        max_length=16,
        pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$",
        description="BCP 47.",
        examples=["en"],
    ),
]
ToolIds = Annotated[
    list[str], Field(max_length=MOST_GIVEN, description="Ids of tools, of `/api/voice/tools`.")
]
KnowledgeIds = Annotated[
    list[str], Field(max_length=MOST_GIVEN, description="Ids of knowledge, of `/api/voice/knowledge`.")
]
MaxDuration = Annotated[
    int,
    BeforeValidator(_whole),
    Field(ge=1, le=LONGEST_CALL),
    WithJsonSchema(
        {
            "type": "integer",
            "minimum": 1,
            "maximum": LONGEST_CALL,
            "description": "How long a talk may last, in seconds.",
            "examples": [300],
        }
    ),
]
Default = Annotated[
    bool,
    Field(
        description="Whether it takes callers whom neither the node nor the DID sends to another one. An "
        "account has one default agent at most; the former one steps down."
    ),
]


class AgentPath(RequestPath):
    """Names an agent."""

    id: str = Field(pattern=ID, examples=["a1b2c3d4-e5f6-7890-abcd-ef1234567890"])


class AgentNew(RequestBody):
    """An agent to create."""

    name: AgentName
    prompt: Prompt
    voice: Voice = None
    first_message: FirstMessage = None
    language: Language = LANGUAGE
    tool_ids: ToolIds = Field(default_factory=list)
    knowledge_ids: KnowledgeIds = Field(default_factory=list)
    max_duration: MaxDuration = MAX_SECONDS
    default: Default = False


class AgentChange(RequestBody):
    """What to change of an agent; what is not named stays. `null` clears `voice` and `first_message`."""

    name: AgentName = ""
    prompt: Prompt = ""
    voice: Voice = None
    first_message: FirstMessage = None
    language: Language = LANGUAGE
    tool_ids: ToolIds = Field(default_factory=list)
    knowledge_ids: KnowledgeIds = Field(default_factory=list)
    max_duration: MaxDuration = MAX_SECONDS
    default: Default = False


class AgentMade(AnswerBody):
    """An agent that is ready for calls."""

    id: str
    name: str
    ultravox_id: str | None


class AgentRow(AnswerBody):
    """An agent in a list."""

    id: str
    name: str
    ultravox_id: str | None = Field(description="null: it is made at Ultravox when it is needed next.")
    created_at: Time


class AgentAnswer(AnswerBody):
    """An agent."""

    id: str
    name: str
    ultravox_id: str | None = Field(description="null: it is made at Ultravox when it is needed next.")
    prompt: str
    voice: str | None
    first_message: str | None = Field(alias="first_message")
    language: str
    max_duration: int = Field(alias="max_duration")
    tool_ids: list[str] = Field(alias="tool_ids")
    knowledge_ids: list[str] = Field(alias="knowledge_ids")
    created_at: Time
    default: bool
    status: Condition = Field(
        description="How it stands at Ultravox, looked at just now: `ready`; `healed` (it was gone or "
        "otherwise, and is put right); or why that is not known: `off` (no key here), `credentials`, "
        "`payment`, `refused`, `unavailable`."
    )


class AgentList(Listing):
    """A page of agents."""

    agents: list[AgentRow]


class AgentDeleted(AnswerBody):
    """The agent is gone."""

    deleted: Deleted
    id: str


async def create_agent(asked: Asked, body: AgentNew) -> Reply:
    """Create an agent."""
    now = moment()
    agent = Agent(
        id=str(uuid.uuid4()),
        account=asked.account,
        name=body.name,
        prompt=body.prompt,
        voice=body.voice,
        first_message=body.first_message,
        language=body.language,
        tools=_once(body.tool_ids),
        knowledge=_once(body.knowledge_ids),
        max_seconds=body.max_duration,
        default=body.default,
        vendor_id=None,
        created_at=now,
        updated_at=now,
    )
    with ai_problems.told():
        try:
            agent = await asked.ports.agents.create(agent)
        except UnfitError as error:
            raise _unfit(error) from None
    return Reply(201, AgentMade(id=agent.id, name=agent.name, ultravox_id=agent.vendor_id))


async def list_agents(asked: Asked, query: PageQuery) -> Reply:
    """List the agents."""
    found = await asked.ports.agents.rows.page(asked.account, query.page())
    agents = [
        AgentRow(id=each.id, name=each.name, ultravox_id=each.vendor_id, created_at=each.created_at)
        for each in found.rows
    ]
    return Reply(200, AgentList(agents=agents, count=len(agents), next=found.next))


async def get_agent(asked: Asked, path: AgentPath) -> Reply:
    """Get an agent, and how it stands at Ultravox.

    Ultravox' agent is compared with ours, and put right where it was changed or deleted there.
    """
    try:
        agent, condition = await asked.ports.agents.look(asked.account, path.id)
    except NotFoundError:
        raise agent_not_found(path.id) from None
    return Reply(200, _answer(agent, condition))


async def change_agent(asked: Asked, path: AgentPath, body: AgentChange) -> Reply:
    """Change an agent; the next call has it so."""
    fields: dict[str, Any] = body.model_dump(exclude_unset=True)
    for written, ours in (("tool_ids", "tools"), ("knowledge_ids", "knowledge")):
        if written in fields:
            fields[ours] = _once(fields.pop(written))
    if "max_duration" in fields:
        fields["max_seconds"] = fields.pop("max_duration")
    with ai_problems.told():
        try:
            agent = await asked.ports.agents.change(asked.account, path.id, fields)
        except NotFoundError:
            raise agent_not_found(path.id) from None
        except UnfitError as error:
            raise _unfit(error) from None
    return Reply(200, _answer(agent, "ready"))


async def delete_agent(asked: Asked, path: AgentPath) -> Reply:
    """Delete an agent, here and at Ultravox.

    DIDs that it answered are left without an agent. When Ultravox cannot be reached its agent goes later.
    """
    try:
        await asked.ports.agents.delete(asked.account, path.id)
    except NotFoundError:
        raise agent_not_found(path.id) from None
    return Reply(200, AgentDeleted(deleted=True, id=path.id))


def agent_not_found(agent_id: str) -> ProblemError:
    """The answer to the name of no agent of the account."""
    return ProblemError(AGENT_NOT_FOUND, f"this account has no agent {agent_id}")


def _once(ids: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(ids))


def _unfit(error: UnfitError) -> ProblemError:
    field = {"tools": "tool_ids", "knowledge": "knowledge_ids"}[error.field]
    place = pointer(field, str(error.place))
    return ProblemError(AGENT_UNFIT, f"{place}: {error}", errors=[Fault(pointer=place, message=str(error))])


def _answer(agent: Agent, condition: Condition) -> AgentAnswer:
    return AgentAnswer(
        id=agent.id,
        name=agent.name,
        ultravox_id=agent.vendor_id,
        prompt=agent.prompt,
        voice=agent.voice,
        first_message=agent.first_message,
        language=agent.language,
        max_duration=agent.max_seconds,
        tool_ids=list(agent.tools),
        knowledge_ids=list(agent.knowledge),
        created_at=agent.created_at,
        default=agent.default,
        status=condition,
    )


_ONE = "/api/voice/agents/{id}"
OPERATIONS = (
    Operation(
        "POST",
        "/api/voice/agents",
        create_agent,
        {201: AgentMade},
        (AGENT_UNFIT, *ai_problems.PROBLEMS),
        idempotent=True,
    ),
    Operation("GET", "/api/voice/agents", list_agents, {200: AgentList}),
    Operation("GET", _ONE, get_agent, {200: AgentAnswer}, (AGENT_NOT_FOUND,)),
    Operation(
        "PATCH",
        _ONE,
        change_agent,
        {200: AgentAnswer},
        (AGENT_NOT_FOUND, AGENT_UNFIT, *ai_problems.PROBLEMS),
    ),
    Operation("DELETE", _ONE, delete_agent, {200: AgentDeleted}, (AGENT_NOT_FOUND,)),
)
