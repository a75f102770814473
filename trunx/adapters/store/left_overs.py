"""What is still to be deleted at the AI vendor's, in the database.

Before something is made there its name is noted, so that what nobody came to know the id of is found again.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import delete, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from trunx.adapters.store.agent_tables import agents, knowledge, tools, vendor_leftovers
from trunx.adapters.store.database import Database
from trunx.adapters.store.tables import now
from trunx.domain.agent import VendorKind

_KINDS: tuple[VendorKind, ...] = ("agent", "tool", "corpus")
_EXPECTED: dict[str, VendorKind] = {f"{kind} expected": kind for kind in _KINDS}
_AT_ONCE = 100


class LeftOvers:
    """Fulfils the port of the same name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def expect(self, kind: VendorKind, name: str) -> bool:
        async with self._database.writing() as connection:
            return await _note(self._database, connection, f"{kind} expected", name)

    async def expected(self, before: datetime) -> Sequence[tuple[VendorKind, str]]:
        query = select(vendor_leftovers).where(
            vendor_leftovers.c.kind.in_(_EXPECTED), vendor_leftovers.c.noted_at < before
        )
        async with self._database.reading() as connection:
            found = await connection.execute(query.order_by(vendor_leftovers.c.noted_at).limit(_AT_ONCE))
            return [(_EXPECTED[row.kind], row.vendor_id) for row in found]

    async def standing(self, vendor_ids: Collection[str]) -> set[str]:
        of_rows = (
            select(table.c.vendor_id).where(table.c.vendor_id.in_(vendor_ids))
            for table in (agents, tools, knowledge)
        )
        async with self._database.reading() as connection:
            return set((await connection.execute(union_all(*of_rows))).scalars())

    async def due(self) -> Sequence[tuple[VendorKind, str]]:
        query = select(vendor_leftovers).where(vendor_leftovers.c.kind.in_(_KINDS))
        async with self._database.reading() as connection:
            found = await connection.execute(query.order_by(vendor_leftovers.c.noted_at).limit(_AT_ONCE))
            return [(row.kind, row.vendor_id) for row in found]

    async def cleared(self, named: str) -> None:
        async with self._database.writing() as connection:
            await connection.execute(delete(vendor_leftovers).where(vendor_leftovers.c.vendor_id == named))


async def leave(
    database: Database, connection: AsyncConnection, kind: VendorKind, vendor_id: str | None
) -> None:
    """Notes that the vendor's thing, if there is one, is to be deleted."""
    if vendor_id is not None:
        await _note(database, connection, kind, vendor_id)


async def _note(database: Database, connection: AsyncConnection, kind: str, named: str) -> bool:
    row = database.insert(vendor_leftovers).values(kind=kind, vendor_id=named, noted_at=now())
    return (await connection.execute(row.on_conflict_do_nothing())).rowcount == 1
