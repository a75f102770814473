"""The accounts' tools: what an agent may call by HTTP while it talks."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from trunx.domain.agent import Tool, VendorKind
from trunx.domain.agent_template import tool_definition, vendor_name
from trunx.engine import agent_ports
from trunx.engine.agent_ports import VendorAgents
from trunx.engine.left_overs import LeftOvers
from trunx.engine.making import Making


class Tools(Making[Tool]):
    """`rows` is for reading."""

    kind: VendorKind = "tool"

    def __init__(self, rows: agent_ports.Tools, vendor: VendorAgents, left_overs: LeftOvers) -> None:
        super().__init__(rows, left_overs)
        self.rows = rows
        self._vendor = vendor

    async def change(self, account: str, tool_id: str, fields: Mapping[str, Any]) -> Tool:
        """Sets these fields of the definition; the others stay. Raises `NotFoundError`."""
        return await self._change(
            account, tool_id, lambda tool: replace(tool, definition={**tool.definition, **fields})
        )

    def _name(self, thing: Tool) -> str:
        return vendor_name(thing.definition["modelToolName"], thing.id)

    async def _create(self, thing: Tool) -> str:
        return await self._vendor.create_tool(self._name(thing), tool_definition(thing.definition))

    async def _differs(self, vendor_id: str, thing: Tool) -> bool:
        return await self._vendor.tool_differs(
            vendor_id, self._name(thing), tool_definition(thing.definition)
        )

    async def _write(self, vendor_id: str, thing: Tool) -> None:
        await self._vendor.put_tool(vendor_id, self._name(thing), tool_definition(thing.definition))
