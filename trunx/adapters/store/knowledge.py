"""What agents may look things up in, in the database; the documents themselves are the vendor's to keep."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Row, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from trunx.adapters.store.agent_tables import knowledge as table
from trunx.adapters.store.agents import agents_with, turn, unmake
from trunx.adapters.store.database import Database
from trunx.adapters.store.left_overs import leave
from trunx.adapters.store.paging import page_of, rows
from trunx.domain.agent import Knowledge
from trunx.domain.errors import InUseError, NotFoundError
from trunx.domain.records import Page, Rows


class KnowledgeBases:
    """Fulfils the port of the same name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, knowledge: Knowledge) -> None:
        values = {column.name: getattr(knowledge, column.name) for column in table.columns}
        async with self._database.writing() as connection:
            await connection.execute(table.insert().values(values))

    async def get(self, account: str, knowledge_id: str) -> Knowledge:
        async with self._database.reading() as connection:
            return await _knowledge(connection, account, knowledge_id)

    async def several(self, account: str, ids: Collection[str]) -> Sequence[Knowledge]:
        query = select(table).where(table.c.account == account, table.c.id.in_(ids))
        async with self._database.reading() as connection:
            return [_read(row) for row in await connection.execute(query)]

    async def page(self, account: str, page: Page) -> Rows[Knowledge]:
        query = page_of(select(table).where(table.c.account == account), page, table.c.created_at, table.c.id)
        async with self._database.reading() as connection:
            found = [_read(row) for row in await connection.execute(query)]
        return rows(found, page, lambda knowledge: (knowledge.created_at, knowledge.id))

    async def change(self, knowledge: Knowledge, before: Knowledge) -> bool:
        values = {"name": knowledge.name, "description": knowledge.description}
        async with self._database.writing() as connection:
            await turn(connection, knowledge.account)
            row = await _knowledge(connection, knowledge.account, knowledge.id)
            if (row.name, row.description) != (before.name, before.description):
                return False
            await connection.execute(update(table).where(table.c.id == knowledge.id).values(values))
            await unmake(self._database, connection, knowledge.account, knowledge.id)
            return True

    async def made(self, knowledge: Knowledge, vendor_id: str) -> None:
        which = table.c.id == knowledge.id
        async with self._database.writing() as connection:
            await turn(connection, knowledge.account)
            row = (await connection.execute(select(table.c.vendor_id).where(which))).first()
            if row is None:  # it was deleted meanwhile
                await leave(self._database, connection, "corpus", vendor_id)
            elif row.vendor_id != vendor_id:
                await leave(self._database, connection, "corpus", row.vendor_id)
                await connection.execute(update(table).where(which).values(vendor_id=vendor_id))
                await unmake(self._database, connection, knowledge.account, knowledge.id)

    async def delete(self, account: str, knowledge_id: str) -> Knowledge:
        async with self._database.writing() as connection:
            await turn(connection, account)
            knowledge = await _knowledge(connection, account, knowledge_id)
            if given := await agents_with(connection, account, knowledge_id):
                raise InUseError([agent.name for agent in given])
            await connection.execute(delete(table).where(table.c.id == knowledge_id))
            await leave(self._database, connection, "corpus", knowledge.vendor_id)
            return knowledge


async def _knowledge(connection: AsyncConnection, account: str, knowledge_id: str) -> Knowledge:
    query = select(table).where(table.c.id == knowledge_id, table.c.account == account)
    row = (await connection.execute(query)).first()
    if row is None:
        raise NotFoundError("knowledge")
    return _read(row)


def _read(row: Row[Any]) -> Knowledge:
    return Knowledge(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping
