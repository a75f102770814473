"""Transfers on both databases: one at a time of a call, found again with their calls, and what they leave."""

import pytest

from tests.adapters.test_actions import call, wanted, written
from trunx.adapters.store.actions import Actions
from trunx.adapters.store.database import Database
from trunx.adapters.store.dials import Dials
from trunx.domain.action import ActionKind, ActionState
from trunx.domain.call import EndReason, Status
from trunx.domain.dial import Dial
from trunx.domain.errors import ExistsError
from trunx.domain.progress import Answered, Ended

KIND = ActionKind.TRANSFER


async def test_one_at_a_time_of_a_call(database: Database, account: str) -> None:
    rows, one, other = Actions(database), call(account), call(account)
    await written(database, one, other)
    first = wanted(one, KIND)
    await rows.add(first, alone=True)
    await rows.add(wanted(one), alone=True)  # of another kind
    await rows.add(wanted(other, KIND), alone=True)
    with pytest.raises(ExistsError):
        await rows.add(wanted(one, KIND), alone=True)
    await rows.end(first.id, ActionState.FAILED, result={}, problem="busy")
    await rows.add(wanted(one, KIND), alone=True)


async def test_each_is_found_with_its_calls(database: Database, account: str) -> None:
    rows, one, other = Actions(database), call(account), call(account)
    placed, alone, over = wanted(one, KIND), wanted(other, KIND), wanted(one, KIND)
    leg = call(account, id=placed.id, direction="outbound", status=Status.RINGING)
    await written(database, one, other, leg)
    for action in (placed, alone, over, wanted(one)):
        await rows.add(action)
    await rows.end(over.id, ActionState.COMPLETED, result={})
    found = {action.id: (original.id, to) for action, original, to in await rows.transfers()}
    assert set(found) == {placed.id, alone.id}
    assert found[alone.id] == (other.id, None)
    original, to = found[placed.id]
    assert (original, None if to is None else to.status) == (one.id, Status.RINGING)


async def test_a_transferred_call_leaves_its_channel(database: Database, account: str) -> None:
    dials = Dials(database, server="here")
    left, moved = (call(account, direction="outbound", agi_uniqueid=None) for _ in range(2))
    for one, of in ((left, None), (moved, left.id)):
        asked = Dial(
            call=one.id,
            account=account,
            trunk="carrier",
            ring_seconds=30,
            max_seconds=60,
            metadata={},
            send_digits=None,
            machine_detection=False,
            record=False,
            ivr=None,
            hold=None,
            queue_until=None,
            dialled_at=None,
            server="asterisk:5038",
            verdict=[],
            transfer_of=of,
        )
        await dials.create(one._replace(status=Status.INITIATED, answered_at=None), asked)
        assert (await dials.of_channel(one.id))[1] == asked
    at = moved.created_at
    await dials.settle({left.id: lambda *_: Answered(at), moved.id: lambda *_: Answered(at)})
    ends = {left.id: None, moved.id: EndReason.TRANSFERRED}
    for name, reason in ends.items():
        await dials.settle({name: lambda *_, reason=reason: Ended(at, reason=reason)})
    assert await dials.ended([left.id, moved.id]) == {left.id}
    assert await dials.live() == []
