"""What agents may call while they talk, in the database."""

import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Row, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from trunx.adapters.store.agent_tables import tools
from trunx.adapters.store.agents import agents_with, turn, unmake
from trunx.adapters.store.database import Database
from trunx.adapters.store.left_overs import leave
from trunx.adapters.store.paging import page_of, rows
from trunx.domain.agent import Tool
from trunx.domain.errors import InUseError, NotFoundError
from trunx.domain.records import Page, Rows
from trunx.domain.strict_json import dumps


class Tools:
    """Fulfils the port of the same name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, tool: Tool) -> None:
        async with self._database.writing() as connection:
            await connection.execute(
                tools.insert().values(
                    id=tool.id,
                    account=tool.account,
                    definition=dumps(tool.definition),
                    vendor_id=tool.vendor_id,
                    created_at=tool.created_at,
                )
            )

    async def get(self, account: str, tool_id: str) -> Tool:
        async with self._database.reading() as connection:
            return await _tool(connection, account, tool_id)

    async def several(self, account: str, ids: Collection[str]) -> Sequence[Tool]:
        query = select(tools).where(tools.c.account == account, tools.c.id.in_(ids))
        async with self._database.reading() as connection:
            return [_read(row) for row in await connection.execute(query)]

    async def page(self, account: str, page: Page) -> Rows[Tool]:
        query = page_of(select(tools).where(tools.c.account == account), page, tools.c.created_at, tools.c.id)
        async with self._database.reading() as connection:
            found = [_read(row) for row in await connection.execute(query)]
        return rows(found, page, lambda tool: (tool.created_at, tool.id))

    async def change(self, tool: Tool, before: Tool) -> bool:
        async with self._database.writing() as connection:
            await turn(connection, tool.account)
            row = await _tool(connection, tool.account, tool.id)
            if row.definition != before.definition:
                return False
            new = update(tools).where(tools.c.id == tool.id).values(definition=dumps(tool.definition))
            await connection.execute(new)
            return True

    async def made(self, tool: Tool, vendor_id: str) -> None:
        which = tools.c.id == tool.id
        async with self._database.writing() as connection:
            await turn(connection, tool.account)
            row = (await connection.execute(select(tools.c.vendor_id).where(which))).first()
            if row is None:  # it was deleted meanwhile
                await leave(self._database, connection, "tool", vendor_id)
            elif row.vendor_id != vendor_id:
                await leave(self._database, connection, "tool", row.vendor_id)
                await connection.execute(update(tools).where(which).values(vendor_id=vendor_id))
                await unmake(self._database, connection, tool.account, tool.id)

    async def delete(self, account: str, tool_id: str) -> Tool:
        async with self._database.writing() as connection:
            await turn(connection, account)
            tool = await _tool(connection, account, tool_id)
            if given := await agents_with(connection, account, tool_id):
                raise InUseError([agent.name for agent in given])
            await connection.execute(delete(tools).where(tools.c.id == tool_id))
            await leave(self._database, connection, "tool", tool.vendor_id)
            return tool


async def _tool(connection: AsyncConnection, account: str, tool_id: str) -> Tool:
    query = select(tools).where(tools.c.id == tool_id, tools.c.account == account)
    row = (await connection.execute(query)).first()
    if row is None:
        raise NotFoundError("tool")
    return _read(row)


def _read(row: Row[Any]) -> Tool:
    tool = Tool(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping
    return replace(tool, definition=json.loads(row.definition))
