"""Agents in the database. Which vendor's agent stands for one is written apart from what its account says.

Those who write an account's agents, tools or knowledge take turns: each refers to the others.
"""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, and_, case, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from trunx.adapters.store.agent_tables import agents, knowledge, tools
from trunx.adapters.store.database import Database
from trunx.adapters.store.left_overs import leave
from trunx.adapters.store.paging import page_of, rows
from trunx.adapters.store.tables import accounts, dids
from trunx.domain.agent import Agent
from trunx.domain.errors import NotFoundError
from trunx.domain.records import Page, Rows
from trunx.domain.strict_json import dumps


class Agents:
    """Fulfils the port of the same name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, agent: Agent) -> None:
        identity = {"id": agent.id, "account": agent.account, "created_at": agent.created_at}
        values = _values(agent) | identity | {"vendor_id": agent.vendor_id}
        async with self._database.writing() as connection:
            await turn(connection, agent.account)
            await _make_way(connection, agent)
            await connection.execute(agents.insert().values(values))

    async def get(self, account: str, agent_id: str) -> Agent:
        async with self._database.reading() as connection:
            return await _agent(connection, account, agent_id)

    async def page(self, account: str, page: Page) -> Rows[Agent]:
        query = page_of(
            select(agents).where(agents.c.account == account), page, agents.c.created_at, agents.c.id
        )
        async with self._database.reading() as connection:
            found = [_read(row) for row in await connection.execute(query)]
        return rows(found, page, lambda agent: (agent.created_at, agent.id))

    async def change(self, agent: Agent, before: Agent) -> bool:
        async with self._database.writing() as connection:
            await turn(connection, agent.account)
            if (await _agent(connection, agent.account, agent.id)).updated_at != before.updated_at:
                return False
            await _make_way(connection, agent)
            await connection.execute(update(agents).where(agents.c.id == agent.id).values(_values(agent)))
            return True

    async def delete(self, account: str, agent_id: str) -> Agent:
        async with self._database.writing() as connection:
            await turn(connection, account)
            agent = await _agent(connection, account, agent_id)
            await connection.execute(update(dids).where(dids.c.agent == agent_id).values(agent=None))
            await connection.execute(delete(agents).where(agents.c.id == agent_id))
            await leave(self._database, connection, "agent", agent.vendor_id)
            return agent

    async def made(self, agent: Agent, vendor_id: str) -> None:
        which = agents.c.id == agent.id
        async with self._database.writing() as connection:
            await turn(connection, agent.account)
            row = (await connection.execute(select(agents.c.vendor_id).where(which))).first()
            if row is None:  # it was deleted meanwhile
                await leave(self._database, connection, "agent", vendor_id)
            elif row.vendor_id != vendor_id:
                await leave(self._database, connection, "agent", row.vendor_id)
                await connection.execute(update(agents).where(which).values(vendor_id=vendor_id))

    async def serving(self, account: str, named: str | None, did: str | None) -> Agent:
        if named is not None:
            return await self.get(account, named)
        of_did = and_(dids.c.agent == agents.c.id, dids.c.did == did, dids.c.account == account)
        rank = case((dids.c.did.is_not(None), 2), (agents.c.default, 1), else_=0).label("rank")
        query = (
            select(agents, rank)
            .outerjoin_from(agents, dids, of_did)
            .where(agents.c.account == account)
            .order_by(rank.desc())
            .limit(2)
        )
        async with self._database.reading() as connection:
            found = (await connection.execute(query)).all()
        if not found or (len(found) > 1 and found[0].rank == 0):
            raise NotFoundError("agent")
        return _read(found[0])


async def turn(connection: AsyncConnection, account: str) -> None:
    """Waits until nobody else writes the account's agents, tools or knowledge, until the commit."""
    mine = select(accounts.c.id).where(accounts.c.id == account)
    await connection.execute(mine.with_for_update(key_share=True))


async def hold(connection: AsyncConnection, account: str, agent_id: str) -> None:
    """Keeps an agent from being deleted until the commit. Raises `NotFoundError`."""
    await turn(connection, account)
    await _agent(connection, account, agent_id)


async def agents_with(connection: AsyncConnection, account: str, part: str) -> Sequence[Agent]:
    """The agents that were given the tool, or the knowledge, `part`."""
    # Lists are JSON, in which an id stands between quotes.
    given = or_(*(column.contains(f'"{part}"') for column in (agents.c.tools, agents.c.knowledge)))
    query = select(agents).where(agents.c.account == account, given).order_by(agents.c.name)
    return [_read(row) for row in await connection.execute(query)]


async def unmake(database: Database, connection: AsyncConnection, account: str, part: str) -> None:
    """Has the vendor's agents made anew that know a tool, or a corpus, by an id that is no longer right."""
    for agent in await agents_with(connection, account, part):
        await leave(database, connection, "agent", agent.vendor_id)
        await connection.execute(update(agents).where(agents.c.id == agent.id).values(vendor_id=None))


async def _make_way(connection: AsyncConnection, agent: Agent) -> None:
    """What the agent is given must be there, and of an account's default agents there is one at most.

    Raises `NotFoundError` with the field and the first id that is not there.
    """
    for field, table, ids in (("tools", tools, agent.tools), ("knowledge", knowledge, agent.knowledge)):
        there = select(table.c.id).where(table.c.account == agent.account, table.c.id.in_(ids))
        found = set((await connection.execute(there)).scalars()) if ids else set()
        for each in ids:
            if each not in found:
                raise NotFoundError(field, each)
    if agent.default:
        former = agents.c.account == agent.account, agents.c.default, agents.c.id != agent.id
        values = {"default": False, "updated_at": agent.updated_at}
        await connection.execute(update(agents).where(*former).values(values))


async def _agent(connection: AsyncConnection, account: str, agent_id: str) -> Agent:
    query = select(agents).where(agents.c.id == agent_id, agents.c.account == account)
    row = (await connection.execute(query)).first()
    if row is None:
        raise NotFoundError("agent")
    return _read(row)


def _values(agent: Agent) -> dict[str, Any]:
    """What its account says of it."""
    return {
        "name": agent.name,
        "prompt": agent.prompt,
        "voice": agent.voice,
        "first_message": agent.first_message,
        "language": agent.language,
        "tools": dumps(agent.tools),
        "knowledge": dumps(agent.knowledge),
        "max_seconds": agent.max_seconds,
        "default": agent.default,
        "updated_at": agent.updated_at,
    }


def _read(row: Row[Any]) -> Agent:
    fields = {column.name: getattr(row, column.name) for column in agents.columns}
    lists = {name: tuple(json.loads(fields[name])) for name in ("tools", "knowledge")}
    return Agent(**fields | lists)
