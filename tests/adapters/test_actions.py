"""Actions on both databases: when one may begin, how it ends once, and what is told."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, select

from trunx.adapters.store.actions import Actions
from trunx.adapters.store.database import Database
from trunx.adapters.store.recorder import Recorder
from trunx.adapters.store.tables import events, now
from trunx.domain.action import Action, ActionKind, ActionState, NotInProgressError
from trunx.domain.call import Call, EndReason, Status, new_call_id, public_call_id
from trunx.domain.errors import ExistsError, NotFoundError
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


async def test_many_at_once_are_few_transactions_and_each_has_its_own_answer(
    rows: ActionRows, database: Database, account: str
) -> None:
    """1. Fifty actions are asked for while somebody writes. 2. They are begun, and ended, in a handful of
    transactions; one whose call is over, one of no call, and the second of two transfers are refused alone.
    3. The log tells each once, without a gap. 4. Who is given up in between takes nobody with him.
    """
    live, over = call(account), call(account, status=Status.COMPLETED, ended_at=now(), agi_uniqueid="1.2")
    await written(database, live, over)
    commits: list[object] = []
    event.listen(database.engine.sync_engine, "commit", commits.append)
    many = [wanted(live) for _ in range(50)]
    transfers = [wanted(live, ActionKind.TRANSFER) for _ in range(2)]
    refused = [wanted(over), wanted(call(account))]
    async with database.writing():
        adding = [asyncio.create_task(rows.add(action)) for action in (*many, *refused)]
        adding += [asyncio.create_task(rows.add(action, alone=True)) for action in transfers]
        given_up = asyncio.create_task(rows.add(wanted(live)))
        await asyncio.sleep(0)  # one turn, in which all of them have asked
        given_up.cancel()
    answers = await asyncio.gather(*adding, return_exceptions=True)
    with pytest.raises(asyncio.CancelledError):
        await given_up
    assert answers[:50] == [live] * 50
    assert [type(answer) for answer in answers[50:]] == [NotInProgressError, NotFoundError, Call, ExistsError]
    ends = [rows.end(action.id, ActionState.COMPLETED, result={}) for action in (*many, many[0])]
    ended = await asyncio.gather(*ends)
    assert [one.id for one in ended if one is not None] == [action.id for action in many]
    assert ended[-1] is None
    assert len(commits) < 10
    async with database.reading() as connection:
        query = select(events.c.seq, events.c.id).where(events.c.account == account).order_by(events.c.seq)
        log = (await connection.execute(query)).all()
    assert [row.seq for row in log] == list(range(1, len(log) + 1))
    for action in many:
        names = [row.id for row in log if f":action:{action.id}:" in row.id]
        assert [name.rpartition(":")[2] for name in names] == ["started", "completed"]
