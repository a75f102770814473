"""`/api/voice/tools`: what agents may call by HTTP while they talk, in the contract's schema of a tool."""

import uuid
from typing import Any

from pydantic import Field

from trunx.domain.agent import Tool
from trunx.domain.errors import InUseError, NotFoundError
from trunx.engine.making import Condition
from trunx.engine.settling import moment
from trunx.web import ai_problems
from trunx.web.agents import ID
from trunx.web.bodies import validated
from trunx.web.models import AnswerBody, Deleted, RequestBody, RequestPath, Time
from trunx.web.operation import Asked, Operation, Reply
from trunx.web.paging import Listing, PageQuery
from trunx.web.problems import Kind, ProblemError
from trunx.web.tool_body import ToolAddress, ToolBody, ToolDescription, ToolName, ToolParameters

TOOL_NOT_FOUND = Kind(404, "tool-not-found", "The account has no such tool")
TOOL_IN_USE = Kind(409, "tool-in-use", "Agents were given the tool")


class ToolPath(RequestPath):
    """Names a tool."""

    id: str = Field(pattern=ID, examples=["b2c3d4e5-f6a7-8901-bcde-f12345678901"])


class ToolNew(ToolBody):
    """A tool to keep."""

    http: ToolAddress


class ToolChange(RequestBody):
    """What to change of a tool; what is not named stays."""

    model_tool_name: ToolName = Field(default="", alias="modelToolName")
    description: ToolDescription = ""
    dynamic_parameters: ToolParameters = Field(default_factory=list, alias="dynamicParameters")
    http: ToolAddress = Field(default_factory=lambda: ToolAddress.model_construct(base_url_pattern=""))


class ToolAnswer(AnswerBody):
    """A tool."""

    id: str
    ultravox_id: str | None
    model_tool_name: str
    description: str
    dynamic_parameters: list[dict[str, Any]]
    http: dict[str, Any]
    created_at: Time
    status: Condition = Field(
        default="ready", description="Of one tool: how it stands at Ultravox; the words are those of agents."
    )


class ToolList(Listing):
    """A page of tools."""

    tools: list[ToolAnswer]


class ToolDeleted(AnswerBody):
    """The tool is gone."""

    deleted: Deleted
    id: str


async def create_tool(asked: Asked, body: ToolNew) -> Reply:
    """Create a tool.

    It is called from Ultravox' servers, which wait ten seconds for its answer. Calls may be repeated.
    """
    tool = Tool(
        id=str(uuid.uuid4()),
        account=asked.account,
        definition=body.definition(),
        vendor_id=None,
        created_at=moment(),
    )
    with ai_problems.told():
        tool = await asked.ports.tools.create(tool)
    return Reply(201, _answer(tool, status="ready"))


async def list_tools(asked: Asked, query: PageQuery) -> Reply:
    """List the tools."""
    found = await asked.ports.tools.rows.page(asked.account, query.page())
    tools = [_answer(tool) for tool in found.rows]
    return Reply(200, ToolList(tools=tools, count=len(tools), next=found.next))


async def get_tool(asked: Asked, path: ToolPath) -> Reply:
    """Get a tool, and how it stands at Ultravox, where it is put right."""
    try:
        tool, condition = await asked.ports.tools.look(asked.account, path.id)
    except NotFoundError:
        raise _not_found(path.id) from None
    return Reply(200, _answer(tool, status=condition))


async def change_tool(asked: Asked, path: ToolPath, body: ToolChange) -> Reply:
    """Change a tool, for all agents that were given it."""
    # Whole, with what they leave unsaid.
    fields = body.model_dump(mode="json", by_alias=True, include=body.model_fields_set)
    with ai_problems.told():
        try:
            before = await asked.ports.tools.rows.get(asked.account, path.id)
            validated({**before.definition, **fields}, ToolNew)
            tool = await asked.ports.tools.change(asked.account, path.id, fields)
        except NotFoundError:
            raise _not_found(path.id) from None
    return Reply(200, _answer(tool, status="ready"))


async def delete_tool(asked: Asked, path: ToolPath) -> Reply:
    """Delete a tool that no agent has."""
    try:
        await asked.ports.tools.delete(asked.account, path.id)
    except NotFoundError:
        raise _not_found(path.id) from None
    except InUseError as error:
        raise ProblemError(TOOL_IN_USE, f"take it from these agents first: {error}") from None
    return Reply(200, ToolDeleted(deleted=True, id=path.id))


def _not_found(tool_id: str) -> ProblemError:
    return ProblemError(TOOL_NOT_FOUND, f"this account has no tool {tool_id}")


def _answer(tool: Tool, **status: Condition) -> ToolAnswer:
    return ToolAnswer(
        id=tool.id,
        ultravox_id=tool.vendor_id,
        model_tool_name=tool.definition["modelToolName"],
        description=tool.definition["description"],
        dynamic_parameters=tool.definition["dynamicParameters"],
        http=tool.definition["http"],
        created_at=tool.created_at,
        **status,
    )


_ONE = "/api/voice/tools/{id}"
OPERATIONS = (
    Operation(
        "POST", "/api/voice/tools", create_tool, {201: ToolAnswer}, ai_problems.PROBLEMS, idempotent=True
    ),
    Operation("GET", "/api/voice/tools", list_tools, {200: ToolList}),
    Operation("GET", _ONE, get_tool, {200: ToolAnswer}, (TOOL_NOT_FOUND,)),
    Operation("PATCH", _ONE, change_tool, {200: ToolAnswer}, (TOOL_NOT_FOUND, *ai_problems.PROBLEMS)),
    Operation("DELETE", _ONE, delete_tool, {200: ToolDeleted}, (TOOL_NOT_FOUND, TOOL_IN_USE)),
)
