"""Where orders are lost, and where calls end: nothing is sent into a silence, and the end is told last."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update
from structlog.testing import capture_logs

from tests.engine.conftest import Engine
from tests.engine.office import DID, LINK, PLAIN, QUICK, TO, Office, at_work, locked
from tests.peers.ami_stub import ami_stub
from trunx.adapters.store.calls import Calls
from trunx.adapters.store.tables import calls as calls_table
from trunx.adapters.store.tables import dials
from trunx.domain.call import Call, EndReason, Left, Status, Step
from trunx.domain.dial import Wanted
from trunx.engine.outbound import SwitchAwayError
from trunx.engine.reconcile import end_overdue_for_ever

TREE = {"id": "tree", "nodes": {"ask": {"audio": "ask.wav", "gather": {"1": "ask"}}}}


@pytest.fixture
async def office(engine: Engine, valkey: str) -> AsyncIterator[Office]:
    await engine.dids.create(engine.account, DID, None, None)
    async with ami_stub() as asterisk, at_work(engine, asterisk, valkey) as office:
        yield office


async def test_a_connection_that_swallows_everything_gets_no_order(engine: Engine, valkey: str) -> None:
    """Nothing comes back any more when three calls are to be dialled: none of them is sent, and each is
    dialled once when Asterisk answers again.
    """
    await engine.dids.create(engine.account, DID, None, None)
    link = replace(LINK, answer=1.0, silence=0.8)
    async with ami_stub() as asterisk, at_work(engine, asterisk, valkey, link) as office:
        first = await office.place()
        await asterisk.has("Originate")
        calls = [await office.keep(first) for _ in range(3)]
        asterisk.freeze()
        for call in calls:
            office.outbound.begin(call)
        await office.outbound.close()
        assert [await office.is_claimed(call, wait=False) for call in calls] == [False] * 3
        with pytest.raises(SwitchAwayError):
            await office.place()
        await office.finds_asterisk()
        for call in calls:
            office.outbound.begin(call)
        await asterisk.has("Originate", 4)
        orders = [order["ChannelId"][0] for order in asterisk.named("Originate")]
        assert sorted(orders) == sorted(call.id for call in (first, *calls))


async def test_what_was_left_in_a_silence_is_dialled_after_it(engine: Engine, valkey: str) -> None:
    """As soon as Asterisk says anything, however seldom rows and channels are compared otherwise."""
    await engine.dids.create(engine.account, DID, None, None)
    link, pace = replace(LINK, silence=0.1), replace(QUICK, every=60.0, soon=60.0, turn=60.0)
    async with ami_stub() as asterisk, at_work(engine, asterisk, valkey, link, pace) as office:
        asterisk.silent.add("Originate")
        first = await office.place()
        await office.outbound.close()
        assert (await office.switch.state()).state == "degraded"
        asterisk.silent.clear()
        kept = await office.keep(first, office.switch.place)
        office.outbound.begin(kept)
        assert (await asterisk.has("Originate", 2))["ChannelId"] == [kept.id]


async def test_a_key_finds_its_call_while_asterisk_is_away(office: Office) -> None:
    """To say that nobody was called would be wrong."""
    account = office.engine.account
    made = await office.outbound.place(account, PLAIN, "order-4711")
    await office.asterisk.has("Originate")
    await office.loses_asterisk()
    assert (await office.outbound.place(account, PLAIN, "order-4711")).id == made.id
    with pytest.raises(SwitchAwayError):
        await office.outbound.place(account, PLAIN, "order-4712")


async def test_an_order_that_could_not_be_sent_waits(office: Office) -> None:
    """The connection breaks while the call waits to be marked as dialled: it is not."""
    with capture_logs() as lines:
        kept, hidden = await waiting_for_the_database(office)
        await office.loses_asterisk()
        office.outbound.left.clear()
        hidden.close()
        await office.outbound.close()
    assert any(line["event"] == "a call waits: Asterisk is out of reach" for line in lines)
    assert not await office.is_claimed(kept, wait=False)
    assert (await office.row(kept)).ended_at is None
    assert office.orders() == 1


async def test_an_order_into_a_dead_connection_waits(engine: Engine, valkey: str) -> None:
    """A call is marked as dialled so late that Asterisk is asked once more, and it does not answer."""
    await engine.dids.create(engine.account, DID, None, None)
    link, pace = replace(LINK, silence=0.1), replace(QUICK, every=60.0, soon=60.0, turn=60.0)
    async with ami_stub() as asterisk, at_work(engine, asterisk, valkey, link, pace) as office:
        with capture_logs() as lines:
            kept, hidden = await waiting_for_the_database(office)
            asterisk.silent.add("Ping")
            await asyncio.sleep(0.06)  # until nothing was just heard
            hidden.close()
            await office.outbound.close()
        assert [line["problem"] for line in lines if line["event"].startswith("a call waits")]
        assert not await office.is_claimed(kept, wait=False)
        assert office.orders() == 1


async def waiting_for_the_database(office: Office) -> tuple[Call, sqlite3.Connection]:
    """A call that is to be dialled, as far as it comes while the database is locked; and that lock."""
    first = await office.place()
    await office.asterisk.has("Originate")
    kept = await office.keep(first)
    lock = await asyncio.to_thread(locked, office.engine.folder / "trunx.db")
    office.outbound.begin(kept)
    await asyncio.sleep(0)
    assert await office.switch.answers()  # what the order has asked was answered before
    return kept, lock


async def test_a_refused_list_of_channels_ends_nothing(office: Office) -> None:
    """Neither a call, nor the work on the others."""
    call = await office.place()
    await office.asterisk.has("Originate")
    listed = office.orders("CoreShowChannels")
    office.asterisk.replies["CoreShowChannels"] = "Response: Error\r\n{id}Message: Permission denied\r\n\r\n"
    await office.asterisk.has("CoreShowChannels", listed + 3)
    office.state(call, "5")
    await office.is_so(call, lambda row: row.status is Status.RINGING)
    office.lists()
    assert await office.ended(call) == (Status.FAILED, EndReason.LOST)


async def test_how_a_call_failed_is_told_by_its_channel(office: Office) -> None:
    """Also when the end of its dialling is heard first, and the database is slow to take the other news."""
    call = await office.place()
    await office.asterisk.has("Originate")
    office.lists(call.id, state="5")
    hidden = await asyncio.to_thread(locked, office.engine.folder / "trunx.db")
    office.state(call, "5")
    office.dialled(call, "0")
    office.hangs_up(call, "21", "403")
    await asyncio.sleep(3 * QUICK.better)  # the time of the one is over, the other is not written yet
    hidden.close()
    assert await office.ended(call) == (Status.FAILED, EndReason.REJECTED)
    events = await Calls(office.engine.database).events(office.engine.account, call.id)
    assert events[-1].data["endReason"] == "rejected"


async def test_the_end_of_a_call_in_a_tree_is_told_after_its_last_step(office: Office) -> None:
    """The callee hangs up in one, the API ends the other: Asterisk's news come before our session's."""
    office.engine.stage("ask")
    await office.engine.publish(TREE, DID)
    left, ended = [await office.place(Wanted(DID, TO, ivr="tree")) for _ in range(2)]
    await office.asterisk.has("Originate", 2)
    office.lists(left.id, ended.id)
    for call in (left, ended):
        office.state(call, "6")
        await office.is_so(call, lambda row: row.status is Status.ANSWERED)
    office.hangs_up(left)
    await office.outbound.end(office.engine.account, ended.id)
    assert office.asterisk.named("Hangup")[0]["Channel"] == [ended.id]
    office.hangs_up(ended, far=False)
    now = datetime.now(UTC)
    for call in (left, ended):
        step = Step(call.id, 1, "ask", "gather", now, now, Left.HANGUP, None, 0, fallback=False)
        office.engine.recorder.step(step)
    for call, reason in ((left, EndReason.HANGUP_CALLEE), (ended, EndReason.HANGUP_CALLER)):
        assert await office.ended(call) == (Status.COMPLETED, reason)
        assert await office.told(call) == ["initiated", "answered", "ivr.step", "ivr.completed", "completed"]


async def test_a_process_without_an_asterisk_ends_what_is_surely_over(office: Office) -> None:
    """What one that had it has left: one call that could still be up, one that could not, one that nobody
    has dialled.
    """
    live, over, kept = [await office.place(Wanted(DID, TO, max_seconds=60)) for _ in range(3)]
    await office.asterisk.has("Originate", 3)
    hours_ago = datetime.now(UTC) - timedelta(hours=1)
    office.lists(live.id, over.id, kept.id, state="5")
    async with office.engine.database.writing() as connection:
        for call, moment in ((over, hours_ago), (kept, None)):
            of_call = update(dials).where(dials.c.call == call.id)
            await connection.execute(of_call.values(dialled_at=moment, server="elsewhere:5038"))
        of_call = update(calls_table).where(calls_table.c.id.in_([over.id, kept.id]))
        await connection.execute(of_call.values(created_at=hours_ago))
    ending = asyncio.create_task(end_overdue_for_ever(office.dials, office.outbound._settling))
    assert await office.ended(over) == (Status.FAILED, EndReason.LOST)
    assert await office.ended(kept) == (Status.FAILED, EndReason.ERROR)
    assert (await office.row(live)).ended_at is None
    ending.cancel()
    with suppress(asyncio.CancelledError):
        await ending
