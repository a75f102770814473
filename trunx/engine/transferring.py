"""Whom a transfer node connects the caller with, and how both are brought together.

The fact to know: a transfer is prepared before its announcement is played, so that an agent is on its way
while the caller listens. What was prepared is joined or abandoned, whatever happens in between.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, assert_never

import structlog

from agi import Channel
from trunx.domain.agent import AgentBrief
from trunx.domain.call import Party
from trunx.domain.errors import NotFoundError, UnavailableError
from trunx.domain.ivr import Fate, Transfer
from trunx.domain.walk import Pressed
from trunx.engine.agent_ports import Agents
from trunx.engine.bridging import Bridging
from trunx.engine.talking import Prepared, TalkEnd, Talking

log = structlog.get_logger(__name__)


class Link(Protocol):
    """Somebody whom the caller is about to be connected with."""

    async def join(self, channel: Channel) -> Pressed | Fate:
        """Connects them, and stays until the caller is alone again: by the key of `zero_out`, or else what
        became of it. Raises `CallEndedError`.
        """

    async def abandon(self) -> None:
        """The caller will not come."""


@dataclass(frozen=True, slots=True)
class Transfers:
    """Connects the callers of this process, as far as there is a way to persons and to agents."""

    bridging: Bridging | None = None
    talking: Talking | None = None
    agents: Agents | None = None

    async def prepare(
        self, channel: Channel, node: Transfer, party: Party, path: Sequence[str]
    ) -> Link | None:
        """Does what can be done before the caller is there; None: nobody can be reached. `path` has the nodes
        that were walked. Raises `CallEndedError`.
        """
        if node.to is not None:
            bridging = self.bridging
            return None if bridging is None else _ToPerson(bridging, party, node.to, node.ring_seconds)
        if self.talking is None or self.agents is None:
            return None
        try:
            agent = await self.agents.serving(party.account, node.agent, party.ours)
        except (NotFoundError, UnavailableError) as error:
            log.warning(
                "a caller is to be transferred, and there is no agent",
                call=party.call,
                account=party.account,
                node=node.name,
                agent=node.agent,
                error=str(error),
            )
            return None
        facts = {
            "caller": party.theirs,
            "did": party.ours,
            "direction": party.direction,
            "ivr": party.ivr or "",
            "path": " > ".join(path),
        }
        prepared = await self.talking.prepare(
            channel,
            party.call,
            AgentBrief(agent.id),
            account=party.account,
            facts=facts,
            metadata=party.metadata,
            max_seconds=agent.max_seconds,
        )
        return _ToAgent(self.talking, prepared, None if node.zero_out is None else node.zero_out[0])


@dataclass(frozen=True, slots=True)
class _ToPerson:
    bridging: Bridging
    party: Party
    to: str
    ring_seconds: int

    async def join(self, channel: Channel) -> Pressed | Fate:
        return await self.bridging.connect(channel, self.party, self.to, self.ring_seconds)

    async def abandon(self) -> None:
        """Nobody has been called yet."""


@dataclass(frozen=True, slots=True)
class _ToAgent:
    talking: Talking
    prepared: Prepared
    zero_out: str | None

    async def join(self, channel: Channel) -> Pressed | Fate:
        end = await self.talking.join(channel, self.prepared, zero_out=self.zero_out)
        match end:
            case TalkEnd.AGENT_LEFT:
                return Fate.AGENT_LEFT
            case TalkEnd.MAX_DURATION:
                return Fate.TIME_UP
            case TalkEnd.ZERO_OUT:
                return Fate.AGENT_LEFT if self.zero_out is None else Pressed(self.zero_out)
            case TalkEnd.UNAVAILABLE:
                return Fate.FAILED
            case _:
                assert_never(end)

    async def abandon(self) -> None:
        await self.talking.abandon(self.prepared)
