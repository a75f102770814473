"""Calls that we place, in the database: each row moves forward only, and is dialled by one process only.

`settle` is where news of a call become its row: it reads the row, lets the domain say what the news mean,
writes, and tells the account's log, all in one transaction.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Select, bindparam, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from trunx.adapters.store.account_limits import read_limits
from trunx.adapters.store.database import Database
from trunx.adapters.store.log import append, tell_calls
from trunx.adapters.store.tables import (
    LIVE,
    Moment,
    account_limits,
    calls,
    dials,
    dids,
    now,
    suppressions,
)
from trunx.domain import brief
from trunx.domain.call import Call, EndReason, Event, Status
from trunx.domain.dial import Dial, Judge, Reading, judged
from trunx.domain.errors import ExistsError, NotFoundError
from trunx.domain.gate import Facts, Verdict, countries
from trunx.domain.log import EventType
from trunx.domain.progress import Blocked, advance

_DAY = timedelta(hours=24)
_HOME_KEPT = timedelta(seconds=60)

_CALL = [calls.c[name] for name in Call._fields]
_DIAL_FIELDS = [field.name for field in fields(Dial)]
_DIAL = [dials.c[name] for name in _DIAL_FIELDS]
_BOTH = [*_CALL, *(column.label(f"dial_{column.name}") for column in _DIAL)]
_NEWS = ("status", "ringing_at", "answered_at", "ended_at", "end_reason", "q850_cause", "sip_cause")

# Made once: to put a statement together takes longer than to have it answered.
_NEW_CALL, _NEW_DIAL = insert(calls), insert(dials)
_WITH_DIAL = select(*_BOTH).select_from(calls.outerjoin(dials, dials.c.call == calls.c.id))
_OF_ID = _WITH_DIAL.where(calls.c.id == bindparam("id"))
_OF_ACCOUNT = _OF_ID.where(calls.c.account == bindparam("account"))
_LIVE = (
    select(*_BOTH)
    .select_from(calls.join(dials, dials.c.call == calls.c.id))
    .where(text(LIVE), calls.c.direction == "outbound")
)
# Both rows are held: who waited for another one's claim reads what that one has written.
_TO_CLAIM = (
    select(*_BOTH)
    .select_from(calls.join(dials, dials.c.call == calls.c.id))
    .where(calls.c.id == bindparam("id"))
    .with_for_update()
)
# For this transaction alone; in one order, so that nobody waits for each other.
_TO_SETTLE = (
    select(*_CALL)
    .where(calls.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(calls.c.id)
    .with_for_update()
)
_DIALS_OF = select(*_DIAL).where(dials.c.call.in_(bindparam("ids", expanding=True)))
_JUDGED = update(dials).where(dials.c.call == bindparam("of")).values(verdict=bindparam("said"))
_CLAIM = _JUDGED.where(dials.c.dialled_at.is_(None)).values(dialled_at=bindparam("at"))
_MOVE = (
    update(calls)
    .where(calls.c.id == bindparam("of"))
    .values({name: bindparam(f"new_{name}") for name in _NEWS})
)
_STANDING = select(
    select(dids.c.did)
    .where(dids.c.did == bindparam("from_number"), dids.c.account == bindparam("account"))
    .exists()
    .label("owned"),
    select(suppressions.c.number)
    .where(suppressions.c.account == bindparam("account"), suppressions.c.number == bindparam("to_number"))
    .exists()
    .label("listed"),
    select(func.count())
    .select_from(calls.join(dials, dials.c.call == calls.c.id))
    .where(
        calls.c.direction == "outbound",
        calls.c.account == bindparam("account"),
        calls.c.to_number == bindparam("to_number"),
        calls.c.created_at > bindparam("since", type_=Moment),
        dials.c.dialled_at.is_not(None),
        calls.c.id != bindparam("but"),
    )
    .scalar_subquery()
    .label("tried"),
    select(account_limits.c.limits)
    .where(account_limits.c.account == bindparam("account"))
    .scalar_subquery()
    .label("limits"),
)


class Dials:
    """Fulfils the port of the same name; `server` names this process among those that share the database."""

    def __init__(self, database: Database, *, server: str) -> None:
        self._database = database
        self._server = server
        self._homes: dict[str, tuple[datetime, frozenset[str]]] = {}

    async def create(self, call: Call, dial: Dial) -> None:
        row = call._asdict() | {"server": self._server}
        asked = {name: getattr(dial, name) for name in _DIAL_FIELDS}
        asked |= {"metadata": json.dumps(dial.metadata), "verdict": json.dumps(dial.verdict)}
        asked["ai"] = None if dial.ai is None else json.dumps(brief.as_json(dial.ai))
        try:
            async with self._database.writing() as connection:
                await connection.execute(_NEW_CALL, row)
                await connection.execute(_NEW_DIAL, asked)
                await tell_calls(connection, {call.id: None})
        except IntegrityError:
            raise ExistsError(call.id) from None

    async def get(self, account: str, call: str) -> tuple[Call, Dial | None]:
        return await self._one(_OF_ACCOUNT, {"id": call, "account": account})

    async def of_channel(self, channel: str) -> tuple[Call, Dial | None]:
        return await self._one(_OF_ID, {"id": channel})

    async def _one(self, query: Select[Any], which: Mapping[str, str]) -> tuple[Call, Dial | None]:
        async with self._database.reading() as connection:
            row = (await connection.execute(query, which)).first()
        if row is None:
            raise NotFoundError
        return _call(row), None if row.dial_call is None else _dial(row[len(_CALL) :])

    async def live(self) -> Sequence[tuple[Call, Dial]]:
        async with self._database.reading() as connection:
            rows = (await connection.execute(_LIVE)).all()
        return [(_call(row), _dial(row[len(_CALL) :])) for row in rows]

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
            row = (await connection.execute(_TO_CLAIM, {"id": call})).first()
            if row is None or row.ended_at is not None or row.dial_dialled_at is not None:
                return None
            found, dial = _call(row), _dial(row[len(_CALL) :])
            facts = await self._standing(
                connection, found.account, found.from_number, found.to_number, except_for=call
            )
            verdict = judge(found, facts)
            said = {"of": call, "said": json.dumps([*dial.verdict, judged(now(), "dial", [verdict])])}
            if not verdict.allowed:
                await connection.execute(_JUDGED, said)
                await _move(connection, advance(found, Blocked(now())) or found)
                return verdict
            if not (await connection.execute(_CLAIM, said | {"at": now()})).rowcount:
                return None
        return found, dial

    async def unclaim(self, call: str) -> None:
        async with self._database.writing() as connection:
            await connection.execute(update(dials).where(dials.c.call == call).values(dialled_at=None))

    async def settle(self, news: Mapping[str, Reading]) -> Mapping[str, tuple[Call, Call]]:
        async with self._database.writing() as connection:
            before = {row.id: _call(row) for row in await connection.execute(_TO_SETTLE, {"ids": list(news)})}
            # Behind the locks: who claims one of them holds its call, too.
            found = await connection.execute(_DIALS_OF, {"ids": list(before)})
            asked = {row.call: _dial(row) for row in found}
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
        asked = {
            "account": account,
            "from_number": from_number,
            "to_number": to_number,
            "since": now() - _DAY,
            "but": except_for or "",
        }
        row = (await connection.execute(_STANDING, asked)).one()
        return Facts(
            limits=read_limits(row.limits),
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


async def _move(connection: AsyncConnection, *moved: Call) -> None:
    """Writes what is new of calls that are locked, and tells it."""
    if moved:
        rows = [{"of": call.id} | {f"new_{name}": getattr(call, name) for name in _NEWS} for call in moved]
        await connection.execute(_MOVE, rows)
        await tell_calls(connection, dict.fromkeys(call.id for call in moved))


def _call(row: Row[Any]) -> Call:
    """Of a row that begins with the columns of `_CALL`."""
    call = Call(*row[: len(_CALL)])
    reason = call.end_reason
    return call._replace(status=Status(call.status), end_reason=None if reason is None else EndReason(reason))


def _dial(columns: Sequence[Any]) -> Dial:
    """Of the columns of `_DIAL`."""
    given = dict(zip(_DIAL_FIELDS, columns, strict=True))
    given |= {"metadata": json.loads(given["metadata"]), "verdict": json.loads(given["verdict"] or "[]")}
    given["ai"] = None if given["ai"] is None else brief.of_json(json.loads(given["ai"]))
    return Dial(**given)
