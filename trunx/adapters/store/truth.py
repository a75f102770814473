"""What the database says stands behind DIDs: the truth that the cache is a copy of."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    CompoundSelect,
    Integer,
    Result,
    Select,
    bindparam,
    null,
    select,
    tuple_,
    union_all,
)

from trunx.adapters.store.database import Database
from trunx.adapters.store.meaning import meant
from trunx.adapters.store.tables import Name, dids, ivr_audio, ivr_versions, ivrs, revisions
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
            return _read(await connection.execute(_OF, {"names": names}))

    async def newest(self) -> int:
        """The newest revision: every DID's is at most this."""
        async with self._database.reading(DEADLINE) as connection:
            return int((await connection.execute(select(revisions.c.value))).scalar_one())

    async def after(self, revision: int, did: str, limit: int) -> list[Published]:
        """The `limit` DIDs that follow this one in the order of (revision, DID)."""
        async with self._database.reading() as connection:
            place = {"revision": revision, "did": did, "limit": limit}
            return _read(await connection.execute(_AFTER, place))

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


def _with_sounds(query: Select[Any]) -> CompoundSelect[Any]:
    """The DIDs of `query`, and then the sounds of their IVRs (uid, name, sound), once for each IVR.

    One statement: between two, PostgreSQL would let a change come in, and the sounds be another version's.
    """
    which = query.cte("which")
    sounds = meant(ivr_audio.c.ivr.in_(select(which.c.uid)))
    nothing = null()
    return union_all(
        select(which, nothing.label("name"), nothing.label("sound")),
        select(
            nothing, nothing, nothing, sounds.c.ivr, nothing, nothing, sounds.c.name, sounds.c.sound
        ).where(sounds.c.sound.is_not(None)),
    )


_ALL = select(
    dids.c.did, dids.c.revision, dids.c.account, ivrs.c.uid, ivrs.c.id, ivrs.c.version
).outerjoin_from(dids, ivrs, ivrs.c.uid == dids.c.ivr)

# Put together once: that takes 3 ms, and callers wait for these when the cache is away.
_OF = _with_sounds(_ALL.where(dids.c.did.in_(bindparam("names", expanding=True))))
_PLACE = tuple_(bindparam("revision", type_=BigInteger), bindparam("did", type_=Name))
_AFTER = _with_sounds(
    _ALL.where(tuple_(dids.c.revision, dids.c.did) > _PLACE)
    .order_by(dids.c.revision, dids.c.did)
    .limit(bindparam("limit", type_=Integer))
)


def _read(rows: Result[Any]) -> list[Published]:
    found, behind = [], defaultdict[str | None, dict[str, str]](dict)
    for row in rows:
        if row.did is None:
            behind[row.uid][row.name] = row.sound
        else:
            found.append(row)
    found.sort(key=lambda row: (row.revision, row.did))
    return [
        Published(row.did, row.revision, row.account, row.uid, row.id, row.version, behind[row.uid])
        for row in found
    ]
