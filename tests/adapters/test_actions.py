"""Actions on both databases: when one may begin, how it ends once, and what is told."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from trunx.adapters.store.actions import Actions
from trunx.adapters.store.database import Database
from trunx.adapters.store.recorder import Recorder
from trunx.adapters.store.tables import events, now
from trunx.domain.action import Action, ActionKind, ActionState, NotInProgressError
from trunx.domain.call import Call, EndReason, Status, new_call_id, public_call_id
from trunx.domain.errors import NotFoundError
from trunx.engine.action_ports import ActionRows


@pytest.fixture
def rows(database: Database) -> ActionRows:
    return Actions(database)


def call(account: str, **fields: Any) -> Call:
    identity = new_call_id()
    standing: dict[str, Any] = {
        "id": identity,
        "call_id": public_call_id(identity),
        "account": account,
        "direction": "inbound",
        "from_number": "+14155550123",
        "to_number": "+19495550100",
        "status": Status.ANSWERED,
        "created_at": now(),
        "answered_at": now(),
        "agi_uniqueid": "1.1",
    }
    return Call(**standing | fields)


async def written(database: Database, *some: Call) -> None:
    async with Recorder(database, server="tests") as recorder:
        for one in some:
            recorder.call(one)
        await recorder.flush()


def wanted(of: Call, kind: ActionKind = ActionKind.DTMF, **fields: Any) -> Action:
    standing: dict[str, Any] = {
        "id": new_call_id(),
        "call": of.id,
        "account": of.account,
        "kind": kind,
        "state": ActionState.STARTED,
        "asked": {"digits": "12"},
        "created_at": now(),
    }
    return Action(**standing | fields)


async def told(database: Database) -> list[tuple[str, str]]:
    query = select(events.c.type, events.c.data).where(events.c.type.startswith("action."))
    async with database.reading() as connection:
        return [(row.type, row.data) for row in await connection.execute(query.order_by(events.c.seq))]


async def test_an_action_is_kept_and_told_until_it_ends_once(
    rows: ActionRows, database: Database, account: str
) -> None:
    live = call(account)
    await written(database, live)
    action = wanted(live)
    assert await rows.add(action) == live
    assert await rows.get(action.id) == action
    assert await rows.started(live.id) == [action]
    ended = await rows.end(action.id, ActionState.COMPLETED, result={"sent": "12"})
    assert ended is not None
    assert (ended.state, ended.result, ended.problem) == (ActionState.COMPLETED, {"sent": "12"}, None)
    assert ended.ended_at is not None
    late = await rows.end(action.id, ActionState.FAILED, result={}, problem="call-ended")
    assert late is None
    assert await rows.of_call(account, live.id) == [ended]
    assert await rows.started(live.id) == []
    assert await told(database) == [
        ("action.started", f'{{"action":"{action.id}","kind":"dtmf","asked":{{"digits":"12"}}}}'),
        ("action.completed", f'{{"action":"{action.id}","kind":"dtmf","result":{{"sent":"12"}}}}'),
    ]


@pytest.mark.parametrize(
    "standing",
    [
        {"status": Status.RINGING, "answered_at": None},
        {"status": Status.COMPLETED, "ended_at": now(), "end_reason": EndReason.HANGUP},
    ],
)
async def test_only_a_call_in_progress_is_acted_on(
    rows: ActionRows, database: Database, account: str, other: str, standing: dict[str, Any]
) -> None:
    not_live = call(account, **standing)
    await written(database, not_live)
    with pytest.raises(NotInProgressError) as refused:
        await rows.add(wanted(not_live))
    assert refused.value.call == not_live
    for nobodys in (wanted(not_live, account=other), wanted(call(account))):
        with pytest.raises(NotFoundError):
            await rows.add(nobodys)
    with pytest.raises(NotFoundError):
        await rows.of_call(other, not_live.id)
    for unknown in (rows.get(new_call_id()), rows.end(new_call_id(), ActionState.FAILED, result={})):
        with pytest.raises(NotFoundError):
            await unknown
    assert await told(database) == []


async def test_what_is_started_is_found_by_kind_in_order_and_overdue_with_the_calls_end(
    rows: ActionRows, database: Database, account: str
) -> None:
    live, over = call(account), call(account, agi_uniqueid="1.2")
    await written(database, live, over)
    first = wanted(live, ActionKind.SPEAK, created_at=now() - timedelta(seconds=1))
    second, third, fourth = wanted(live), wanted(live, ActionKind.PLAY), wanted(over)
    for action in (first, second, third, fourth):
        await rows.add(action)
    assert (await rows.of_call(account, live.id))[0] == first
    sounding = await rows.started(live.id, ActionKind.PLAY, ActionKind.SPEAK)
    assert sounding == [first, third]
    assert await rows.overdue() == []
    ended = over._replace(status=Status.COMPLETED, ended_at=now(), end_reason=EndReason.HANGUP)
    await written(database, ended)
    assert await rows.overdue() == [fourth]
    failed = await rows.end(fourth.id, ActionState.FAILED, result={"sent": ""}, problem="call-ended")
    assert failed is not None
    assert failed.problem == "call-ended"
    assert await rows.overdue() == []
