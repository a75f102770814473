"""`/api/voice/agents/{id}/call`: an agent of the account's calls somebody."""

from pydantic import Field

from trunx.domain.agent import AgentBrief
from trunx.domain.call import Status
from trunx.domain.dial import Wanted
from trunx.domain.errors import NotFoundError
from trunx.engine.picking import AUTO
from trunx.web.agents import AGENT_NOT_FOUND, AgentPath, agent_not_found
from trunx.web.models import AnswerBody, Number, RequestBody
from trunx.web.operation import Asked, Operation, Reply
from trunx.web.outbound import PLACING, Called, placed


class AgentCallBody(RequestBody):
    """A call that an agent makes."""

    to: Called
    from_: Number | None = Field(
        default=None,
        alias="from",
        description="A DID of the account, which is shown to the callee; when absent, the one that fits best "
        "by health and by local presence.",
    )


class AgentCallPlaced(AnswerBody):
    """A call that is accepted."""

    id: str
    call_id: str = Field(description="Another name of the call: `CA` and 32 hex digits.")
    status: Status
    agent_id: str


async def call_with_agent(asked: Asked, path: AgentPath, body: AgentCallBody) -> Reply:
    """Have an agent call somebody.

    The callee is dialled first; the agent comes when the call is answered.
    """
    try:
        agent = await asked.ports.agents.rows.get(asked.account, path.id)
    except NotFoundError:
        raise agent_not_found(path.id) from None
    wanted = Wanted(
        from_number=body.from_ or AUTO,
        to_number=body.to,
        max_seconds=agent.max_seconds,
        ai=AgentBrief(agent.id),
    )
    call = await placed(asked, wanted)
    answer = AgentCallPlaced(id=call.id, call_id=call.call_id, status=Status.INITIATED, agent_id=agent.id)
    return Reply(201, answer)


OPERATIONS = (
    Operation(
        "POST",
        "/api/voice/agents/{id}/call",
        call_with_agent,
        {201: AgentCallPlaced},
        (AGENT_NOT_FOUND, *PLACING),
        idempotent=True,
    ),
)
