"""What is done to live calls by request, in the database; each change is told in the account's log.

A call that comes in is written by the recorder a tenth of a second behind: who asks earlier is told that it
is not there.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Row, Select, insert, select, update

from trunx.adapters.store.action_tables import actions
from trunx.adapters.store.database import Database
from trunx.adapters.store.log import append
from trunx.adapters.store.tables import calls, now
from trunx.domain.action import Action, ActionKind, ActionState, NotInProgressError
from trunx.domain.call import Call, EndReason, Event, Status
from trunx.domain.errors import ExistsError, NotFoundError
from trunx.domain.log import EventType

_CALL = [column for column in calls.columns if column.name in Call._fields]
_IS_STARTED = actions.c.state == ActionState.STARTED.value
_TOLD = {
    ActionState.STARTED: EventType.ACTION_STARTED,
    ActionState.COMPLETED: EventType.ACTION_COMPLETED,
    ActionState.FAILED: EventType.ACTION_FAILED,
}
_MOST_OVERDUE = 200


class Actions:
    """Fulfils the port `ActionRows`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, action: Action, *, alone: bool = False) -> Call:
        # Held until the commit: who ends the call meanwhile tells that after this.
        query = select(*_CALL).where(calls.c.id == action.call, calls.c.account == action.account)
        async with self._database.writing() as connection:
            row = (await connection.execute(query.with_for_update())).first()
            if row is None:
                raise NotFoundError(action.call)
            call = _call(row)
            if call.status is not Status.ANSWERED:
                raise NotInProgressError(call)
            if alone:
                same = select(actions.c.id).where(actions.c.call == action.call, _IS_STARTED)
                same = same.where(actions.c.kind == action.kind.value)
                if (await connection.execute(same)).first() is not None:
                    raise ExistsError(action.call)
            fields = {column.name: getattr(action, column.name) for column in actions.columns}
            written = {name: _json(fields[name]) for name in ("asked", "result")}
            await connection.execute(insert(actions).values(fields | written))
            await append(connection, [_event(action)])
        return call

    async def end(
        self, action_id: str, state: ActionState, *, result: Mapping[str, Any], problem: str | None = None
    ) -> Action | None:
        query = select(actions).where(actions.c.id == action_id).with_for_update()
        values = {"state": state.value, "result": _json(result), "problem": problem, "ended_at": now()}
        async with self._database.writing() as connection:
            row = (await connection.execute(query)).first()
            if row is None:
                raise NotFoundError(action_id)
            change = update(actions).where(actions.c.id == action_id, _IS_STARTED).values(values)
            ended = (await connection.execute(change.returning(*actions.columns))).first()
            if ended is None:
                return None
            action = _action(ended)
            await append(connection, [_event(action)])
        return action

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
