"""Calls that we place, in the database: each row moves forward only, and is dialled by one process only.

`settle` is where news of a call become its row: it reads the row, lets the domain say what the news mean,
writes, and tells the account's log, all in one transaction.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, bindparam, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from trunx.adapters.store.account_limits import limits_of
from trunx.adapters.store.database import Database
from trunx.adapters.store.log import append, tell_calls
from trunx.adapters.store.tables import LIVE, calls, dials, dids, now, suppressions
from trunx.domain import brief
from trunx.domain.call import Call, EndReason, Event, Status
from trunx.domain.dial import Dial, Judge, Reading, judged
from trunx.domain.errors import ExistsError, NotFoundError
from trunx.domain.gate import Facts, Verdict, countries
from trunx.domain.log import EventType
from trunx.domain.progress import Blocked, advance

_DAY = timedelta(hours=24)
_HOME_KEPT = timedelta(seconds=60)

_CALL = [column for column in calls.columns if column.name != "server"]
_DIAL = [column for column in dials.columns if column.name != "canceled_at"]
_NEWS = ("status", "ringing_at", "answered_at", "ended_at", "end_reason", "q850_cause", "sip_cause")
_MOVE = (
    update(calls)
    .where(calls.c.id == bindparam("of"))
    .values({name: bindparam(f"new_{name}") for name in _NEWS})
)


class Dials:
    """Fulfils the port of the same name; `server` names this process among those that share the database."""

    def __init__(self, database: Database, *, server: str) -> None:
        self._database = database
        self._server = server
        self._homes: dict[str, tuple[datetime, frozenset[str]]] = {}

    async def create(self, call: Call, dial: Dial) -> None:
        try:
            async with self._database.writing() as connection:
                row = {column.name: getattr(call, column.name) for column in _CALL}
                await connection.execute(insert(calls).values(row | {"server": self._server}))
                asked = {column.name: getattr(dial, column.name) for column in _DIAL}
                written = {name: json.dumps(asked[name]) for name in ("metadata", "verdict")}
                who = None if dial.ai is None else json.dumps(brief.as_json(dial.ai))
                await connection.execute(insert(dials).values(asked | written | {"ai": who}))
                await tell_calls(connection, {call.id: None})
        except IntegrityError:
            raise ExistsError(call.id) from None

    async def get(self, account: str, call: str) -> tuple[Call, Dial | None]:
        return await self._one(calls.c.id == call, calls.c.account == account)

    async def of_channel(self, channel: str) -> tuple[Call, Dial | None]:
        return await self._one(calls.c.id == channel)

    async def _one(self, *which: Any) -> tuple[Call, Dial | None]:
        query = select(*_CALL).where(*which)
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).first()
            if row is None:
                raise NotFoundError
            return _call(row), (await _dials_of(connection, [row.id])).get(row.id)

    async def live(self) -> Sequence[tuple[Call, Dial]]:
        query = select(*_CALL).where(text(LIVE), calls.c.direction == "outbound")
        async with self._database.reading() as connection:
            found = [_call(row) for row in await connection.execute(query)]
            asked = await _dials_of(connection, [call.id for call in found])
        return [(call, asked[call.id]) for call in found if call.id in asked]

    async def live_inbound(self) -> Sequence[Call]:
        query = select(*_CALL).where(
            text(LIVE), calls.c.server == self._server, calls.c.direction == "inbound"
        )
        async with self._database.reading() as connection:
            return [_call(row) for row in await connection.execute(query)]

    async def inbound_of(self, channels: Collection[str]) -> Mapping[str, str]:
        query = select(calls.c.agi_uniqueid, calls.c.id).where(
            text(LIVE), calls.c.direction == "inbound", calls.c.agi_uniqueid.in_(channels)
        )
        async with self._database.reading() as connection:
            return {row.agi_uniqueid: row.id for row in await connection.execute(query)}

    async def ended(self, ids: Collection[str]) -> Collection[str]:
        over = calls.c.ended_at.is_not(None), calls.c.end_reason != EndReason.TRANSFERRED
        query = select(calls.c.id).where(calls.c.id.in_(ids), *over)
        async with self._database.reading() as connection:
            return set((await connection.execute(query)).scalars())

    async def metadata(self, ids: Collection[str]) -> Mapping[str, Mapping[str, str]]:
        query = select(dials.c.call, dials.c.metadata).where(dials.c.call.in_(ids))
        async with self._database.reading() as connection:
            return {row.call: json.loads(row.metadata) for row in await connection.execute(query)}

    async def by_ai(self, ids: Collection[str]) -> Collection[str]:
        query = select(dials.c.call).where(dials.c.call.in_(ids), dials.c.ai.is_not(None))
        async with self._database.reading() as connection:
            return set((await connection.execute(query)).scalars())

    async def standing(self, account: str, from_number: str, to_number: str) -> Facts:
        async with self._database.reading() as connection:
            return await self._standing(connection, account, from_number, to_number, None)

    async def claim(self, call: str, judge: Judge) -> tuple[Call, Dial] | Verdict | None:
        async with self._database.writing() as connection:
            found = (await _locked(connection, [call])).get(call)
            dial = (await _dials_of(connection, [call])).get(call)
            if found is None or dial is None or found.ended_at is not None or dial.dialled_at is not None:
                return None
            facts = await self._standing(
                connection, found.account, found.from_number, found.to_number, except_for=call
            )
            verdict = judge(found, facts)
            said = json.dumps([*dial.verdict, judged(now(), "dial", [verdict])])
            change = update(dials).where(dials.c.call == call)
            if not verdict.allowed:
                await connection.execute(change.values(verdict=said))
                await _move(connection, advance(found, Blocked(now())) or found)
                return verdict
            await connection.execute(change.values(verdict=said, dialled_at=now()))
        return found, dial

    async def unclaim(self, call: str) -> None:
        async with self._database.writing() as connection:
            await connection.execute(update(dials).where(dials.c.call == call).values(dialled_at=None))

    async def settle(self, news: Mapping[str, Reading]) -> Mapping[str, tuple[Call, Call]]:
        async with self._database.writing() as connection:
            before = await _locked(connection, news)
            asked = await _dials_of(connection, before)
            after = {}
            for name, call in before.items():
                fact = news[name](call, asked.get(name))
                after[name] = (None if fact is None else advance(call, fact)) or call
            await _move(connection, *(after[name] for name in before if after[name] != before[name]))
        return {name: (before[name], after[name]) for name in before}

    async def detected(self, call: str, machine: str, cause: str) -> None:
        async with self._database.writing() as connection:
            changed = await connection.execute(
                update(calls).where(calls.c.id == call).values(machine=machine, machine_cause=cause)
            )
            if not changed.rowcount:
                return
            query = select(calls.c.account, calls.c.ended_at).where(calls.c.id == call)
            row = (await connection.execute(query)).one()
            if row.ended_at is None:  # the end of a call is told last
                data = {"machine": machine, "cause": cause}
                told = Event(row.account, call, EventType.CALL_MACHINE, now(), data, f"{call}:machine")
                await append(connection, [told])

    async def _standing(
        self,
        connection: AsyncConnection,
        account: str,
        from_number: str,
        to_number: str,
        except_for: str | None,
    ) -> Facts:
        owned = select(dids.c.did).where(dids.c.did == from_number, dids.c.account == account).exists()
        listed = (
            select(suppressions.c.number)
            .where(suppressions.c.account == account, suppressions.c.number == to_number)
            .exists()
        )
        tried = (
            select(func.count())
            .select_from(calls.join(dials, dials.c.call == calls.c.id))
            .where(
                calls.c.direction == "outbound",
                calls.c.account == account,
                calls.c.to_number == to_number,
                calls.c.created_at > now() - _DAY,
                dials.c.dialled_at.is_not(None),
            )
        )
        if except_for is not None:
            tried = tried.where(calls.c.id != except_for)
        query = select(owned.label("owned"), listed.label("listed"), tried.scalar_subquery().label("tried"))
        row = (await connection.execute(query)).one()
        return Facts(
            limits=await limits_of(connection, account),
            home=await self._home(connection, account, from_number if row.owned else None),
            owns_from=bool(row.owned),
            suppressed=bool(row.listed),
            attempts=row.tried,
        )

    async def _home(self, connection: AsyncConnection, account: str, own: str | None) -> frozenset[str]:
        """The countries of the account's DIDs, which may be ten thousand: kept, and looked at again when
        one of them is in none of these.
        """
        read_at, home = self._homes.get(account, (None, frozenset[str]()))
        new = own is not None and not countries([own]) <= home
        if read_at is None or new or now() - read_at > _HOME_KEPT:
            query = select(dids.c.did).where(dids.c.account == account)
            home = countries((await connection.execute(query)).scalars())
            self._homes[account] = now(), home
        return home


async def _locked(connection: AsyncConnection, ids: Collection[str]) -> dict[str, Call]:
    """The rows, for this transaction alone; in one order, so that nobody waits for each other."""
    query = select(*_CALL).where(calls.c.id.in_(ids)).order_by(calls.c.id).with_for_update()
    return {row.id: _call(row) for row in await connection.execute(query)}


async def _move(connection: AsyncConnection, *moved: Call) -> None:
    """Writes what is new of calls that are locked, and tells it."""
    if moved:
        rows = [{"of": call.id} | {f"new_{name}": getattr(call, name) for name in _NEWS} for call in moved]
        await connection.execute(_MOVE, rows)
        await tell_calls(connection, dict.fromkeys(call.id for call in moved))


async def _dials_of(connection: AsyncConnection, ids: Collection[str]) -> dict[str, Dial]:
    query = select(*_DIAL).where(dials.c.call.in_(ids))
    return {row.call: _dial(row) for row in await connection.execute(query)}


def _call(row: Row[Any]) -> Call:
    fields = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping
    reason = fields["end_reason"]
    fields |= {"status": Status(row.status), "end_reason": None if reason is None else EndReason(reason)}
    return Call(**fields)


def _dial(row: Row[Any]) -> Dial:
    fields = dict(row._mapping)  # noqa: SLF001 - as above
    fields |= {"metadata": json.loads(row.metadata), "verdict": json.loads(row.verdict or "[]")}
    fields["ai"] = None if row.ai is None else brief.of_json(json.loads(row.ai))
    return Dial(**fields)
