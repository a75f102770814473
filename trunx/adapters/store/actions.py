"""What is done to live calls by request, in the database; each change is told in the account's log.

A call that comes in is written by the recorder a tenth of a second behind: who asks earlier is told that it
is not there.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from pydantic_core import to_json
from sqlalchemy import Row, Select, bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from trunx.adapters.store.action_tables import actions
from trunx.adapters.store.database import Database
from trunx.adapters.store.log import append
from trunx.adapters.store.tables import calls, now
from trunx.adapters.store.together import Together
from trunx.domain.action import Action, ActionKind, ActionState, NotInProgressError
from trunx.domain.call import Call, EndReason, Event, Status
from trunx.domain.errors import ExistsError, NotFoundError
from trunx.domain.log import EventType

_CALL = [column for column in calls.columns if column.name in Call._fields]
_IS_STARTED = actions.c.state == ActionState.STARTED.value
_ENDED = update(actions).where(actions.c.id == bindparam("of"))
_TOLD = {
    ActionState.STARTED: EventType.ACTION_STARTED,
    ActionState.COMPLETED: EventType.ACTION_COMPLETED,
    ActionState.FAILED: EventType.ACTION_FAILED,
}
_MOST_OVERDUE = 200


class _End(NamedTuple):
    """How an action has ended."""

    id: str
    state: ActionState
    result: Mapping[str, Any]
    problem: str | None


class Actions:
    """Fulfils the port `ActionRows`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._adding = Together(database, _add)
        self._ending = Together(database, _end)

    async def add(self, action: Action, *, alone: bool = False) -> Call:
        return await self._adding((action, alone))

    async def end(
        self, action_id: str, state: ActionState, *, result: Mapping[str, Any], problem: str | None = None
    ) -> Action | None:
        return await self._ending(_End(action_id, state, result, problem))

    async def get(self, action_id: str) -> Action:
        async with self._database.reading() as connection:
            row = (await connection.execute(select(actions).where(actions.c.id == action_id))).first()
        if row is None:
            raise NotFoundError(action_id)
        return _action(row)

    async def of_call(self, account: str, call: str) -> Sequence[Action]:
        there = select(calls.c.id).where(calls.c.id == call, calls.c.account == account)
        query = select(actions).where(actions.c.call == call)
        async with self._database.reading() as connection:
            if (await connection.execute(there)).first() is None:
                raise NotFoundError(call)
            return [_action(row) for row in await connection.execute(_in_order(query))]

    async def started(self, call: str, *kinds: ActionKind) -> Sequence[Action]:
        query = select(actions).where(actions.c.call == call, _IS_STARTED)
        if kinds:
            query = query.where(actions.c.kind.in_([kind.value for kind in kinds]))
        async with self._database.reading() as connection:
            return [_action(row) for row in await connection.execute(_in_order(query))]

    async def transfers(self) -> Sequence[tuple[Action, Call, Call | None]]:
        query = select(actions).where(_IS_STARTED, actions.c.kind == ActionKind.TRANSFER.value)
        async with self._database.reading() as connection:
            found = [_action(row) for row in await connection.execute(_in_order(query))]
            names = {name for action in found for name in (action.id, action.call)}
            of_these = select(*_CALL).where(calls.c.id.in_(names))
            kept = {row.id: _call(row) for row in await connection.execute(of_these)}
        return [(action, kept[action.call], kept.get(action.id)) for action in found if action.call in kept]

    async def overdue(self) -> Sequence[Action]:
        over = select(calls.c.id).where(calls.c.id == actions.c.call, calls.c.ended_at.is_not(None)).exists()
        query = select(actions).where(_IS_STARTED, over)
        async with self._database.reading() as connection:
            found = await connection.execute(_in_order(query).limit(_MOST_OVERDUE))
            return [_action(row) for row in found]


async def _add(
    connection: AsyncConnection, asked: Sequence[tuple[Action, bool]]
) -> Sequence[Call | Exception]:
    # Held until the commit, in one order: who ends a call meanwhile tells that after this.
    query = select(*_CALL).where(calls.c.id.in_({action.call for action, _ in asked}))
    found = await connection.execute(query.order_by(calls.c.id).with_for_update())
    kept = {row.id: _call(row) for row in found}
    started: set[tuple[str, str]] = set()
    if lonely := {action.call for action, alone in asked if alone}:
        same = select(actions.c.call, actions.c.kind).where(actions.c.call.in_(lonely), _IS_STARTED)
        started = {(row.call, row.kind) for row in await connection.execute(same)}
    results: list[Call | Exception] = []
    added: list[Action] = []
    for action, alone in asked:
        call = kept.get(action.call)
        if call is None or call.account != action.account:
            results.append(NotFoundError(action.call))
        elif call.status is not Status.ANSWERED:
            results.append(NotInProgressError(call))
        elif alone and (action.call, action.kind.value) in started:
            results.append(ExistsError(action.call))
        else:
            results.append(call)
            added.append(action)
            started.add((action.call, action.kind.value))
    if added:
        await connection.execute(insert(actions), [_values(action) for action in added])
        await append(connection, [_event(action) for action in added])
    return results


async def _end(connection: AsyncConnection, asked: Sequence[_End]) -> Sequence[Action | Exception | None]:
    query = select(actions).where(actions.c.id.in_({end.id for end in asked}))
    found = await connection.execute(query.order_by(actions.c.id).with_for_update())
    kept = {row.id: _action(row) for row in found}
    results: list[Action | Exception | None] = []
    ended: list[Action] = []
    for name, state, result, problem in asked:
        if name not in kept:
            results.append(NotFoundError(name))
        elif kept[name].state is not ActionState.STARTED:
            results.append(None)
        else:
            kept[name] = replace(kept[name], state=state, result=result, problem=problem, ended_at=now())
            results.append(kept[name])
            ended.append(kept[name])
    if ended:
        await connection.execute(_ENDED, [{"of": action.id} | _values(action) for action in ended])
        await append(connection, [_event(action) for action in ended])
    return results


def _in_order(query: Select[Any]) -> Select[Any]:
    return query.order_by(actions.c.created_at, actions.c.id)


def _event(action: Action) -> Event:
    data: dict[str, Any] = {"action": action.id, "kind": action.kind.value}
    if action.state is ActionState.STARTED:
        data["asked"] = dict(action.asked)
    else:
        data["result"] = dict(action.result or {})
    if action.state is ActionState.FAILED:
        data["problem"] = action.problem
    type_ = _TOLD[action.state]
    name = f"{action.call}:action:{action.id}:{action.state.value}"
    return Event(action.account, action.call, type_, action.ended_at or action.created_at, data, name)


def _values(action: Action) -> dict[str, Any]:
    fields = {column.name: getattr(action, column.name) for column in actions.columns}
    return fields | {"asked": _json(action.asked), "result": _json(action.result)}


def _json(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else to_json(value).decode()


def _call(row: Row[Any]) -> Call:
    fields = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping
    reason = fields["end_reason"]
    fields |= {"status": Status(row.status), "end_reason": None if reason is None else EndReason(reason)}
    return Call(**fields)


def _action(row: Row[Any]) -> Action:
    fields = dict(row._mapping)  # noqa: SLF001 - as above
    fields |= {"kind": ActionKind(row.kind), "state": ActionState(row.state), "asked": json.loads(row.asked)}
    fields["result"] = None if row.result is None else json.loads(row.result)
    return Action(**fields)
