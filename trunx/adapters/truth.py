"""What the database says stands behind DIDs: the truth that the cache is a copy of."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, Select, select, tuple_

from trunx.adapters.database import Database
from trunx.adapters.tables import dids, ivr_versions, ivrs, revisions
from trunx.domain.records import Published

DEADLINE = 1.0  # seconds; a caller waits meanwhile

Version = tuple[str, int]


class Truth:
    """Reads for `published.py`; every method raises `UnavailableError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, names: Sequence[str]) -> list[Published]:
        """What stands behind those of the DIDs that anybody ever had."""
        async with self._database.reading(DEADLINE) as connection:
            return [_read(row) for row in await connection.execute(_all().where(dids.c.did.in_(names)))]

    async def newest(self) -> int:
        """The newest revision: every DID's is at most this."""
        async with self._database.reading(DEADLINE) as connection:
            return int((await connection.execute(select(revisions.c.value))).scalar_one())

    async def after(self, revision: int, did: str, limit: int) -> list[Published]:
        """The `limit` DIDs that follow this one in the order of (revision, DID)."""
        place = tuple_(dids.c.revision, dids.c.did)
        query = _all().where(place > (revision, did)).order_by(dids.c.revision, dids.c.did).limit(limit)
        async with self._database.reading() as connection:
            return [_read(row) for row in await connection.execute(query)]

    async def documents(self, versions: Sequence[Version]) -> dict[Version, str]:
        """The documents, JSON, of those versions that still exist."""
        if not versions:
            return {}
        columns = ivr_versions.c
        query = select(columns.ivr, columns.version, columns.document).where(
            tuple_(columns.ivr, columns.version).in_(versions)
        )
        async with self._database.reading(DEADLINE) as connection:
            return {(row.ivr, row.version): row.document for row in await connection.execute(query)}


def _all() -> Select[Any]:
    return select(
        dids.c.did, dids.c.revision, dids.c.account, ivrs.c.uid, ivrs.c.id, ivrs.c.version
    ).outerjoin_from(dids, ivrs, ivrs.c.uid == dids.c.ivr)


def _read(row: Row[Any]) -> Published:
    return Published(row.did, row.revision, row.account, row.uid, row.id, row.version)
