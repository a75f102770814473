"""Actions without an Asterisk: none is begun, what nobody has ended is swept, what is wanted is written."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from trunx.adapters.store.accounts import Accounts
from trunx.adapters.store.actions import Actions
from trunx.adapters.store.database import Database
from trunx.adapters.store.recorder import Recorder
from trunx.domain.action import Action, ActionKind, ActionState
from trunx.domain.call import Call, EndReason, Status, new_call_id, public_call_id
from trunx.engine.actions.frame import Frame
from trunx.engine.actions.interlude import Wanted
from trunx.engine.actions.keys import Keys
from trunx.engine.outbound import SwitchOffError

NOW = datetime(2026, 3, 9, 15, 30, tzinfo=UTC)


def test_what_is_wanted_is_read_as_it_was_written() -> None:
    wanted = Wanted(new_call_id(), "trunx/audio/" + 32 * "a", 1_250, 0, by_key=True, channel="1700000000.1")
    assert Wanted.of(str(wanted)) == wanted
    for nothing in (None, "", "TRUNX", "a|b"):
        assert Wanted.of(nothing) is None


async def test_what_nobody_has_ended_fails_with_the_call(tmp_path: Path) -> None:
    """1. Without a desk nothing is begun. 2. The sweep fails what is started in calls that are over, of the
    kinds that are looked after here; a recording has somebody else for that.
    """
    async with Database.open(f"sqlite:///{tmp_path}/trunx.db") as database:
        account = (await Accounts(database).create("ada")).id
        rows, identity = Actions(database), new_call_id()
        call = Call(
            identity,
            public_call_id(identity),
            account,
            "inbound",
            "+14155550123",
            "+19495550100",
            Status.ANSWERED,
            NOW,
            NOW,
        )
        async with Recorder(database, server="tests") as recorder:
            recorder.call(call)
            await recorder.flush()
            actions = {
                kind: Action(new_call_id(), call.id, account, kind, ActionState.STARTED, {}, NOW)
                for kind in (ActionKind.PLAY, ActionKind.SPEAK, ActionKind.DTMF, ActionKind.RECORD)
            }
            for action in actions.values():
                await rows.add(action)
            recorder.call(call._replace(status=Status.COMPLETED, ended_at=NOW, end_reason=EndReason.LOST))
            await recorder.flush()
        frame = Frame(rows, None)
        with pytest.raises(SwitchOffError):
            await Keys(frame).send(account, call.id, "1", None)
        sweeping = asyncio.create_task(frame.sweep_for_ever())
        try:
            async with asyncio.timeout(5):
                while len(await rows.started(call.id)) > 1:  # noqa: ASYNC110 - a row has no event
                    await asyncio.sleep(0.01)
        finally:
            sweeping.cancel()
            await asyncio.gather(sweeping, return_exceptions=True)
        assert [one.kind for one in await rows.started(call.id)] == [ActionKind.RECORD]
        swept = await rows.get(actions[ActionKind.PLAY].id)
        assert (swept.state, swept.problem) == (ActionState.FAILED, "call-ended")
