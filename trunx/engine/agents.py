"""The accounts' agents. Our row is the truth: the vendor's agent is made from it, whole, and healed by it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

from trunx.domain.agent import Agent, Knowledge, Tool, VendorKind
from trunx.domain.agent_template import template, vendor_name
from trunx.domain.errors import NotFoundError
from trunx.engine import agent_ports
from trunx.engine.agent_ports import VendorAgents
from trunx.engine.knowledge import Bookshelf
from trunx.engine.left_overs import LeftOvers
from trunx.engine.making import Condition, Making
from trunx.engine.settling import moment
from trunx.engine.tools import Tools

_TICK = timedelta(milliseconds=1)
_Field = Literal["tools", "knowledge"]


class UnfitError(Exception):
    """An agent cannot be given this: the one at `place` in its list `field`."""

    def __init__(self, field: _Field, place: int, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field
        self.place = place


class Roster(Making[Agent]):
    """`rows` is for reading."""

    kind: VendorKind = "agent"

    def __init__(
        self,
        rows: agent_ports.Agents,
        vendor: VendorAgents,
        left_overs: LeftOvers,
        *,
        tools: Tools,
        knowledge: Bookshelf,
    ) -> None:
        super().__init__(rows, left_overs)
        self.rows = rows
        self._vendor = vendor
        self._tools = tools
        self._knowledge = knowledge

    async def create(self, thing: Agent) -> Agent:
        """The agent as it is made and kept. Raises `UnfitError`; when this raises there is neither."""
        await self._given(thing)
        try:
            return await super().create(thing)
        except NotFoundError:
            await self._given(thing)  # what was there a moment ago is deleted
            raise

    async def change(self, account: str, agent_id: str, fields: Mapping[str, Any]) -> Agent:
        """Sets these fields of the agent; the others stay. Raises `NotFoundError` and `UnfitError`."""

        def edit(before: Agent) -> Agent:
            return replace(before, **fields, updated_at=max(moment(), before.updated_at + _TICK))

        wanted = edit(await self.rows.get(account, agent_id))
        await self._given(wanted)
        try:
            return await self._change(account, agent_id, edit)
        except NotFoundError:
            await self._given(wanted)  # as above, or else the agent itself is deleted
            raise

    async def checked(self, thing: Agent) -> tuple[Agent, Condition]:
        """The agent, which is at the vendor's as it should be, and all that it was given."""
        for tool in await self._its_tools(thing):
            await self._tools.checked(tool)
        for knowledge in await self._its_knowledge(thing):
            await self._knowledge.checked(knowledge)
        return await super().checked(thing)

    async def _given(self, agent: Agent) -> None:
        """Checks that all is there that the agent is given."""
        tools, knowledge = await self._its_tools(agent), await self._its_knowledge(agent)
        _complete("tools", agent.tools, [tool.id for tool in tools])
        _complete("knowledge", agent.knowledge, [each.id for each in knowledge])
        names: list[str] = [tool.definition["modelToolName"] for tool in tools]
        for place, name in enumerate(names):
            # Of two tools with one name in a call the vendor makes no call.
            if name in names[:place] or name == "hangUp" or (knowledge and name.startswith("queryCorpus")):
                raise UnfitError("tools", place, f"the agent has another tool that is called {name}")

    async def _its_tools(self, agent: Agent) -> Sequence[Tool]:
        found = {tool.id: tool for tool in await self._tools.rows.several(agent.account, agent.tools)}
        return [found[each] for each in agent.tools if each in found]

    async def _its_knowledge(self, agent: Agent) -> Sequence[Knowledge]:
        rows = await self._knowledge.rows.several(agent.account, agent.knowledge)
        found = {knowledge.id: knowledge for knowledge in rows}
        return [found[each] for each in agent.knowledge if each in found]

    async def _template(self, agent: Agent) -> dict[str, Any]:
        tools = [await self._tools.ready(tool) for tool in await self._its_tools(agent)]
        knowledge = [await self._knowledge.ready(each) for each in await self._its_knowledge(agent)]
        return template(agent, tools, knowledge)

    def _name(self, thing: Agent) -> str:
        return vendor_name(thing.name, thing.id)

    async def _create(self, thing: Agent) -> str:
        return await self._vendor.create_agent(self._name(thing), await self._template(thing))

    async def _differs(self, vendor_id: str, thing: Agent) -> bool:
        return await self._vendor.agent_differs(vendor_id, self._name(thing), await self._template(thing))

    async def _write(self, vendor_id: str, thing: Agent) -> None:
        await self._vendor.put_agent(vendor_id, self._name(thing), await self._template(thing))


def _complete(field: _Field, wanted: Sequence[str], there: Collection[str]) -> None:
    for place, each in enumerate(wanted):
        if each not in there:
            raise UnfitError(field, place, f"this account has no such id: {each}")
