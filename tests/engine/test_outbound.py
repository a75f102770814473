"""Placing calls with an Asterisk that is silent, cut off or late: nobody is called twice, no row stays."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from tests.adapters.waiting import until
from tests.engine.conftest import Engine
from tests.engine.office import DID, TO, Office, at_work, locked
from tests.peers.ami_stub import AmiStub, ami_stub
from trunx.domain.call import Call, EndReason, Status, new_call_id
from trunx.domain.dial import Wanted
from trunx.domain.records import Suppression
from trunx.engine.actions.sound import Sounding
from trunx.engine.gatekeeper import RefusedError
from trunx.engine.outbound import Outbound, SwitchAwayError

QUEUED = Wanted(DID, TO, queue_seconds=60)

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def asterisk() -> AsyncIterator[AmiStub]:
    async with ami_stub() as stub:
        yield stub


@pytest.fixture
async def office(engine: Engine, asterisk: AmiStub, valkey: str) -> AsyncIterator[Office]:
    await engine.dids.create(engine.account, DID, None, None)
    async with at_work(engine, asterisk, valkey) as office:
        yield office


async def test_news_in_any_order_make_one_story(office: Office) -> None:
    busy, good, nobody = [await office.place() for _ in range(3)]
    await office.asterisk.has("Originate", 3)
    office.lists(good.id)
    office.dialled(busy, "0")  # before what its channel has to say
    office.hangs_up(busy, "17", "486")
    office.state(good, "6")
    office.state(good, "5")
    office.dialled(good, "4")
    office.dialled(nobody, "0")  # and there never is a channel
    assert await office.ended(busy) == (Status.FAILED, EndReason.BUSY)
    assert await office.ended(nobody) == (Status.FAILED, EndReason.UNREACHABLE)
    await office.is_so(good, lambda row: row.status is Status.ANSWERED)
    office.hangs_up(good)
    assert await office.ended(good) == (Status.COMPLETED, EndReason.HANGUP_CALLEE)
    assert await office.told(busy) == ["initiated", "failed"]
    assert await office.told(good) == ["initiated", "answered", "completed"]
    assert office.orders() == 3


async def test_an_order_without_an_answer_is_never_given_again(office: Office) -> None:
    """One was carried out all the same, one was not: the channels tell."""
    office.asterisk.silent.add("Originate")
    done, lost = await office.place(), await office.place()
    await office.asterisk.has("Originate", 2)
    office.lists(done.id, state="5")
    assert await office.ended(lost) == (Status.FAILED, EndReason.LOST)
    assert (await office.row(done)).ended_at is None
    office.lists(done.id)
    await office.is_so(done, lambda row: row.status is Status.ANSWERED)
    office.lists()
    assert await office.ended(done) == (Status.COMPLETED, EndReason.LOST)
    assert office.orders() == 2


async def test_a_call_that_waits_is_dialled_once_when_asterisk_is_back(office: Office) -> None:
    assert REGISTRY.get_sample_value("trunx_ami_connected") == 1
    await office.loses_asterisk()
    with pytest.raises(SwitchAwayError):
        await office.place()
    await until(lambda: REGISTRY.get_sample_value("trunx_ami_connected") == 0)
    call = await office.place(QUEUED)
    assert office.orders() == 0
    await office.finds_asterisk()
    await office.asterisk.has("Originate")
    assert office.asterisk.named("Originate")[0]["ChannelId"] == [call.id]
    office.lists(call.id)
    office.state(call, "6")
    await office.is_so(call, lambda row: row.status is Status.ANSWERED)
    assert office.orders() == 1


async def test_a_number_suppressed_while_its_call_waits_is_not_dialled(office: Office) -> None:
    await office.loses_asterisk()
    call = await office.place(QUEUED)
    entry = Suppression(office.engine.account, TO, "api", None, None, datetime.now(UTC))
    await office.engine.suppressions.add([entry])
    await office.finds_asterisk()
    assert await office.ended(call) == (Status.FAILED, EndReason.BLOCKED)
    why = await office.outbound.why(office.engine.account, call.id)
    assert [(said["when"], said["verdicts"][-1]["code"]) for said in why] == [
        ("accept", "allowed"),
        ("dial", "suppressed"),
    ]
    assert office.orders() == 0


async def test_nobody_waits_longer_than_was_asked_for(office: Office) -> None:
    await office.loses_asterisk()
    call = await office.place(Wanted(DID, TO, queue_seconds=1))
    assert await office.ended(call) == (Status.FAILED, EndReason.TIMEOUT)
    await office.finds_asterisk()
    await office.asterisk.has("CoreShowChannels", office.orders("CoreShowChannels") + 2)
    assert office.orders() == 0


async def test_a_call_canceled_on_its_way_is_hung_up_on(office: Office) -> None:
    office.asterisk.replies["Hangup"] = "Response: Error\r\n{id}Message: No such channel\r\n\r\n"
    call = await office.place()
    await office.asterisk.has("Originate")
    await office.outbound.end(office.engine.account, call.id)  # before there is a channel
    assert await office.ended(call) == (Status.FAILED, EndReason.CANCELED)
    office.state(call, "5")
    await office.asterisk.has("Hangup", 2)
    assert office.asterisk.named("Hangup")[1]["Channel"] == [call.id]


async def test_channels_without_a_live_call_are_ended_and_others_left_alone(office: Office) -> None:
    call = await office.place()
    await office.asterisk.has("Originate")
    office.hangs_up(call, "21", "403")
    assert await office.ended(call) == (Status.FAILED, EndReason.REJECTED)
    office.lists(call.id, "1700000000.7", new_call_id(), context="trunx-inbound")
    await office.asterisk.has("Hangup", 2)
    assert {block["Channel"][0] for block in office.asterisk.named("Hangup")} == {call.id}


async def test_a_process_that_dies_leaves_nothing_behind(
    engine: Engine, asterisk: AmiStub, valkey: str
) -> None:
    """One call was kept and never dialled, one dialled and up, one dialled and over: another process sees.
    One that was kept too long ago is not dialled any more.
    """
    await engine.dids.create(engine.account, DID, None, None)
    async with at_work(engine, asterisk, valkey) as office:
        up, over = await office.place(), await office.place()
        await asterisk.has("Originate", 2)
    kept = up._replace(id=new_call_id(), call_id="CA0")
    dial = (await office.dials.get(engine.account, up.id))[1]
    assert dial is not None
    await office.dials.create(kept, replace(dial, call=kept.id, dialled_at=None))
    stale = up._replace(id=new_call_id(), call_id="CA1", created_at=up.created_at - timedelta(minutes=1))
    await office.dials.create(stale, replace(dial, call=stale.id, dialled_at=None))
    office.lists(up.id)
    async with at_work(engine, asterisk, valkey) as office:
        assert await office.ended(over) == (Status.FAILED, EndReason.LOST)
        assert await office.ended(stale) == (Status.FAILED, EndReason.ERROR)
        assert (await office.row(up)).status is Status.ANSWERED
        order = await asterisk.has("Originate", 3)
        assert order["ChannelId"] == [kept.id]
        assert await office.ended(kept) == (Status.FAILED, EndReason.LOST)  # this Asterisk did not do it
        assert office.orders() == 3


async def test_news_wait_for_a_database_that_is_away(office: Office, tmp_path: Path) -> None:
    call = await office.place()
    await office.asterisk.has("Originate")
    office.lists(call.id, state="5")
    hidden = await asyncio.to_thread(locked, tmp_path / "trunx.db")
    with capture_logs() as lines:
        office.state(call, "5")
        office.hangs_up(call, "17", "486")
        await until(lambda: any("database cannot be used" in line["event"] for line in lines), deadline=10)
    hidden.close()
    assert await office.ended(call) == (Status.FAILED, EndReason.BUSY)
    assert await office.told(call) == ["initiated", "ringing", "failed"]


async def test_no_way_leads_around_the_gate(office: Office) -> None:
    """Of every way to dial a call that is kept, when somebody has asked not to be called since: one that a
    process left behind, one that waits, one that is begun again.
    """
    first = await office.place()
    await office.asterisk.has("Originate")
    dial = (await office.dials.get(office.engine.account, first.id))[1]
    assert dial is not None
    entry = Suppression(office.engine.account, TO, "api", None, None, datetime.now(UTC))
    await office.engine.suppressions.add([entry])
    ways: list[Callable[[Call], None]] = [
        office.outbound.begin,
        office.outbound.begin_waiting,
        lambda _: None,
    ]
    for number, way in enumerate(ways):
        kept = first._replace(id=new_call_id(), call_id=f"CA{number}")
        await office.dials.create(kept, replace(dial, call=kept.id, dialled_at=None))
        way(kept)
        assert await office.ended(kept) == (Status.FAILED, EndReason.BLOCKED)
        office.outbound.begin(kept)
    office.outbound.begin(first)
    await office.outbound.close()
    with pytest.raises(RefusedError):
        await office.place()
    with pytest.raises(RefusedError):
        await office.place(QUEUED)
    assert office.orders() == 1


def test_there_is_one_way_to_a_telephone() -> None:
    """Nothing but the one place behind the gate gives an order to dial."""
    sources = (ROOT / "trunx").rglob("*.py")
    orders = {
        path.name: text.count(".originate(")
        for path in sources
        if ".originate(" in (text := path.read_text())
    }
    # A companion, who whispers into talks, is a Local channel: it leads to our own dialplan and to nobody.
    assert orders == {"outbound.py": 1, "sound.py": 1}
    assert 'dial=f"Local/{EXTENSION_PLAYS}@{CONTEXT_ACTION}/n"' in inspect.getsource(Sounding._whisper)
    way = inspect.getsource(Outbound._order)
    assert way.index("self._gate.again(") < way.index("claim(name, judge)") < way.index("self._send(")
    assert inspect.getsource(Outbound).count("self._send(") == 1
