"""The recorder writes behind the calls' back, and loses nothing while the database is away."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event
from structlog.testing import capture_logs

from tests.adapters.waiting import until
from tests.peers.postgres import Postgres
from trunx.adapters.store.accounts import Accounts
from trunx.adapters.store.calls import Calls
from trunx.adapters.store.database import Database
from trunx.adapters.store.recorder import MOST_WAITING, Recorder
from trunx.domain.call import Call, EndReason, Event, Left, Status, Step, new_call_id, public_call_id
from trunx.domain.records import CallFilter, Page
from trunx.engine import ports

_START = datetime(2026, 5, 17, 12, 30, 15, 999_999, tzinfo=UTC)
_AS_KEPT = _START.replace(microsecond=999_000)


def make_call(account: str, status: Status = Status.INITIATED, **fields: Any) -> Call:
    call = new_call_id()
    return Call(call, public_call_id(call), account, "inbound", "+1949", "+1950", status, _START, **fields)


def make_step(call: Call, number: int) -> Step:
    return Step(call.id, number, "wel come", "gather", _START, _START, Left.KEY, "#", 1_230, fallback=True)


def _of_call(call: Call) -> dict[str, Any]:
    return {
        "callId": call.call_id,
        "direction": "inbound",
        "from": "+1949",
        "to": "+1950",
        "provider": "asterisk",
        "ivr": call.ivr,
        "ivrVersion": call.ivr_version,
        "metadata": None,
    }


def _of_step(step: Step) -> dict[str, Any]:
    return {
        "number": step.number,
        "node": "wel come",
        "kind": "gather",
        "left": "key",
        "key": "#",
        "ms": 0,
        "promptMs": 1_230,
        "fallback": True,
    }


@pytest.fixture
async def recorder(database: Database) -> AsyncIterator[Recorder]:
    async with Recorder(database, server="here") as opened:
        yield opened


async def test_what_happens_in_a_call_is_kept(recorder: Recorder, database: Database, account: str) -> None:
    port: ports.Recorder = recorder
    call = make_call(
        account, Status.ANSWERED, answered_at=_START, ivr="menu", ivr_version=3, channel="PJSIP/ä"
    )
    steps = [make_step(call, number) for number in (1, 2)]
    events = [Event(account, call.id, f"audio.{kind}", _START, {"why": 'a "b"'}) for kind in "zyx"]
    port.call(call)
    for step in steps:
        port.step(step)
    for fact in events:
        port.event(fact)
    calls = Calls(database)
    await until(lambda: recorder.waiting == 0)
    await recorder.flush()
    assert await calls.get(account, call.id) == call._replace(created_at=_AS_KEPT, answered_at=_AS_KEPT)
    kept = [step._replace(entered_at=_AS_KEPT, left_at=_AS_KEPT) for step in steps]
    assert list(await calls.steps(account, call.id)) == kept
    told = await calls.events(account, call.id)
    assert [(event.seq, event.type, event.at, event.data) for event in told if event.call == call.id] == [
        (1, "call.answered", _AS_KEPT, _of_call(call)),
        *((1 + step.number, "ivr.step", _AS_KEPT, _of_step(step)) for step in steps),
        *((seq, fact.type, _AS_KEPT, fact.data) for seq, fact in enumerate(events, 4)),
    ]


async def test_a_status_only_moves_forward(recorder: Recorder, database: Database, account: str) -> None:
    calls = Calls(database)
    call = make_call(account, Status.ANSWERED)
    recorder.call(call)
    recorder.call(call._replace(status=Status.RINGING, channel="late"))
    await recorder.flush()
    recorder.call(call._replace(status=Status.INITIATED, channel="late"))
    await recorder.flush()
    assert (await calls.get(account, call.id)).channel is None
    recorder.call(call._replace(ivr="menu"))
    await recorder.flush()
    assert (await calls.get(account, call.id)).ivr == "menu"
    recorder.call(call._replace(status=Status.COMPLETED, end_reason=EndReason.HANGUP, ended_at=_START))
    await recorder.flush()
    for status in (Status.FAILED, Status.ANSWERED):
        recorder.call(call._replace(status=status))
        await recorder.flush()
    kept = await calls.get(account, call.id)
    assert (kept.status, kept.end_reason, kept.ended_at) == (Status.COMPLETED, EndReason.HANGUP, _AS_KEPT)


async def test_a_statement_for_each_table_however_many_rows(
    recorder: Recorder, database: Database, account: str
) -> None:
    await recorder.flush()
    statements: list[str] = []

    @event.listens_for(database.engine.sync_engine, "before_cursor_execute")
    def _(*arguments: Any) -> None:
        statements.append(arguments[2])

    for _number in range(400):
        call = make_call(account)
        recorder.call(call)
        recorder.call(call._replace(status=Status.ANSWERED))
        recorder.step(make_step(call, 1))
    await recorder.flush()
    written = re.findall(r"^INSERT INTO (\w+)|\bINSERT INTO (events)", "\n".join(statements), re.MULTILINE)
    tables = [one or other for one, other in written]
    assert tables[:2] == ["calls", "steps"]
    assert sorted(tables[2:]) == ["event_heads", "events"]
    page = await Calls(database).page(account, CallFilter(status="answered"), Page(1_000))
    assert len(page.rows) == 400


async def test_a_row_that_cannot_be_written_holds_up_no_other(
    recorder: Recorder, database: Database, account: str
) -> None:
    good = [make_call(account) for _ in range(20)]
    bad = make_call(account, channel="\ud800")
    for call in (*good[:10], bad, *good[10:]):
        recorder.call(call)
    with capture_logs() as logs:
        await recorder.flush()
    assert recorder.dropped == 1
    assert [line["log_level"] for line in logs] == ["error"]
    assert len((await Calls(database).page(account, CallFilter(), Page(100))).rows) == 20


async def test_a_text_that_postgresql_refuses(postgres: Postgres) -> None:
    async with Database.open(postgres.create("nul")) as database:
        account = (await Accounts(database).create("Ada")).id
        async with Recorder(database, server="here") as recorder:
            recorder.call(make_call(account, channel="\x00"))
            recorder.call(make_call(account))
            await recorder.flush()
            assert (recorder.dropped, recorder.waiting) == (1, 0)


async def test_calls_that_an_earlier_run_left_live_are_lost(database: Database, account: str) -> None:
    live, ended, elsewhere = make_call(account), make_call(account, Status.FAILED), make_call(account)
    async with Recorder(database, server="there") as there:
        there.call(elsewhere)
    async with Recorder(database, server="here") as before:
        before.call(live)
        before.call(ended)
    calls = Calls(database)
    async with Recorder(database, server="here") as recorder:
        await recorder.flush()
        # Not by itself: a second start on the same folder may yet fail, beside the run that is alive.
        assert (await calls.get(account, live.id)).status is Status.INITIATED
        recorder.end_lost()
        await recorder.flush()
        kept = await calls.get(account, live.id)
        assert (kept.status, kept.end_reason) == (Status.COMPLETED, EndReason.LOST)
        assert kept.ended_at is not None
        assert kept.ended_at - datetime.now(UTC) < timedelta(seconds=10)
        assert (await calls.get(account, ended.id)).status is Status.FAILED
        assert (await calls.get(account, elsewhere.id)).status is Status.INITIATED
        # The earlier run was still draining: what it says of the call is the truth.
        recorder.call(live._replace(status=Status.COMPLETED, end_reason=EndReason.HANGUP))
        await recorder.flush()
        assert (await calls.get(account, live.id)).end_reason is EndReason.HANGUP


async def test_rows_wait_while_the_database_is_away(stoppable: Postgres) -> None:
    async with Database.open(stoppable.create("recorder")) as database:
        account = (await Accounts(database).create("Ada")).id
        async with Recorder(database, server="here") as recorder:
            await recorder.flush()
            stoppable.stop()
            call = make_call(account)
            with capture_logs() as logs:
                recorder.call(call)
                recorder.step(make_step(call, 1))
                await until(lambda: len(logs) == 2)
                recorder.call(call._replace(status=Status.COMPLETED))
                recorder.step(make_step(call, 2))
                assert recorder.waiting == 3
                stoppable.start()
                await until(lambda: recorder.waiting == 0, 15)
                await until(lambda: len(logs) == 4)
            assert [line["log_level"] for line in logs] == ["error", "warning", "info", "info"]
            assert (await Calls(database).get(account, call.id)).status is Status.COMPLETED
            assert len(await Calls(database).steps(account, call.id)) == 2


async def test_when_too_many_wait_the_oldest_steps_go() -> None:
    async with Database.open("postgresql://nobody@127.0.0.1:1/nowhere") as database:
        with capture_logs() as logs:
            async with Recorder(database, server="here") as recorder:
                call = make_call("MA1")
                recorder.call(call)
                step = make_step(call, 1)
                later = make_step(make_call("MA1"), 1)
                for _ in range(5):
                    recorder.step(step)
                for _ in range(MOST_WAITING - 5):
                    recorder.step(later)
                assert (recorder.dropped, recorder.waiting) == (5, MOST_WAITING - 4)
                assert recorder._waiting[call.id].call is call
        assert logs[-1]["rows"] == MOST_WAITING - 4  # told as we end


async def test_leaving_writes_the_rest(database: Database, account: str) -> None:
    call = make_call(account)
    async with Recorder(database, server="here") as recorder:
        recorder.call(call)
    assert (await Calls(database).get(account, call.id)).id == call.id


async def test_a_cancelled_flush_keeps_the_rows(recorder: Recorder, database: Database, account: str) -> None:
    await recorder.flush()
    for _ in range(50):
        recorder.call(make_call(account))
        flush = asyncio.create_task(recorder.flush())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        flush.cancel()
        await asyncio.gather(flush, return_exceptions=True)
    await recorder.flush()
    assert len((await Calls(database).page(account, CallFilter(), Page(100))).rows) == 50
