"""How the DIDs fare, in the database: what came of their last calls, and which of them rest.

Health is never stored: it is read off from the calls each time, by the index `calls_from` and from no more
than `LAST_CALLS` of each DID, however many an account makes. A row of `did_standings` is there for a DID that
has rested since it was registered, and for no other.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ForeignKey, Row, Table, Text, bindparam, func, select, text

from trunx.adapters.store.database import Database
from trunx.adapters.store.tables import Moment, Name, dids, metadata
from trunx.domain.errors import NotFoundError
from trunx.domain.health import (
    LAST_CALLS,
    NEWEST_CALLS,
    REGRET,
    SHORT,
    TODAY,
    WINDOW,
    Kept,
    Roll,
    Seen,
    State,
    Use,
)

_DEADLINE = 30.0  # 10,000 DIDs take a second or two, where the disk is not slow
_PORTION = 500  # rows taken at once, which holds up the event loop for 3 ms

did_standings = Table(
    "did_standings",
    metadata,
    Column("did", Name, ForeignKey("dids.did"), primary_key=True),
    Column("state", Text, nullable=False),
    Column("since", Moment, nullable=False),
)

# The words of `calls_from`, which is an index of those rows only. What a former owner did with the number is
# not the new one's: neither the calls, by the account, nor the rest, by its time.
_CALLS = "calls c WHERE c.account = d.account AND c.from_number = {did} AND c.direction = 'outbound'"
# A DID is a `Name` and `from_number` is not: PostgreSQL uses the index only for a text of its own order.
_DID = {"sqlite": "d.did", "postgresql": 'd.did COLLATE "default"'}
_NTH = f"""SELECT c.created_at FROM {_CALLS} AND c.created_at >= :since
    ORDER BY c.created_at DESC LIMIT 1 OFFSET"""  # noqa: S608 - numbers and words of our own, here and below
# The counts of a DID are one text: of the ways that both engines understand, this looks at each call once and
# sorts nothing. The difference of times is there so that the list is searched by number, and not by time.
_SEEN = f"""
WITH d AS MATERIALIZED (
    SELECT d.account, d.did, d.created_at, k.state, k.since,
        (SELECT count(*) FROM {_CALLS} AND c.created_at >= :today) AS today,
        coalesce(({_NTH} {LAST_CALLS - 1}), :since) AS last_from,
        coalesce(({_NTH} {NEWEST_CALLS - 1}), :since) AS newest_from
    FROM dids d LEFT JOIN did_standings k ON k.did = d.did AND k.since >= d.created_at
    WHERE d.account = :account AND {{which}}
)
SELECT d.did, d.created_at, d.state, d.since, d.today, (
    SELECT count(*)
        || ',' || count(c.answered_at)
        || ',' || count(CASE WHEN c.end_reason = 'hangup-callee'
            AND c.ended_at - c.answered_at < {SHORT.seconds * 1000} THEN 1 END)
        || ',' || count(CASE WHEN c.answered_at IS NULL AND c.end_reason = 'rejected' THEN 1 END)
        || ',' || count(CASE WHEN c.answered_at IS NOT NULL AND EXISTS (
            SELECT 1 FROM suppressions n WHERE n.account = c.account AND n.number = c.to_number
            AND n.created_at - c.created_at BETWEEN 0 AND {REGRET.days * 86_400_000}) THEN 1 END)
        || ',' || count(CASE WHEN c.created_at >= d.newest_from THEN 1 END)
        || ',' || count(CASE WHEN c.created_at >= d.newest_from THEN c.answered_at END)
    FROM {_CALLS} AND c.created_at >= d.last_from AND c.ended_at IS NOT NULL
        AND (c.answered_at IS NOT NULL OR c.end_reason IN ('busy', 'no-answer', 'rejected'))
) AS counts
FROM d
"""  # noqa: S608


def _seen(engine: str, which: str) -> Any:
    moments = (bindparam(name, type_=Moment) for name in ("since", "today"))
    query = text(_SEEN.format(which=which, did=_DID[engine])).bindparams(*moments)
    return query.columns(created_at=Moment, since=Moment)


class Standings:
    """Fulfils the port of the same name."""

    def __init__(self, database: Database) -> None:
        self._database = database
        engine = database.dialect.name
        self._all, self._one = _seen(engine, "true"), _seen(engine, "d.did = :did")

    async def roll(self, account: str) -> Roll:
        query = select(func.count(), func.max(dids.c.created_at)).where(dids.c.account == account)
        async with self._database.reading() as connection:
            count, newest = (await connection.execute(query)).one()
        return Roll(count, newest)

    async def seen(self, account: str, now: datetime) -> Sequence[Seen]:
        found: list[Seen] = []
        async with self._database.reading(_DEADLINE) as connection:
            if self._database.dialect.name == "postgresql":
                # To compile the query would take longer than to answer it.
                await connection.execute(text("SET LOCAL jit = off"))
            rows = await connection.stream(self._all, _asked(account, now))
            async for portion in rows.partitions(_PORTION):
                found += map(_read, portion)
        return found

    async def one(self, account: str, did: str, now: datetime) -> Seen:
        async with self._database.reading() as connection:
            row = (await connection.execute(self._one, _asked(account, now) | {"did": did})).first()
        if row is None:
            raise NotFoundError(did)
        return _read(row)

    async def keep(self, turned: Mapping[str, Kept]) -> None:
        row = self._database.insert(did_standings)
        new = {"state": row.excluded.state, "since": row.excluded.since}
        # In one order, so that two processes do not wait for each other.
        rows = [
            {"did": did, "state": turned[did].state, "since": turned[did].since} for did in sorted(turned)
        ]
        async with self._database.writing() as connection:
            await connection.execute(row.on_conflict_do_update(index_elements=["did"], set_=new), rows)


def _asked(account: str, now: datetime) -> dict[str, Any]:
    return {"account": account, "since": now - WINDOW, "today": now - TODAY}


def _read(row: Row[Any]) -> Seen:
    kept = None if row.state is None else Kept(State(row.state), row.since)
    return Seen(row.did, row.created_at, kept, Use(*map(int, row.counts.split(","))), row.today)
