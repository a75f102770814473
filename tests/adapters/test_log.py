"""The log: numbers without a gap whoever writes, nothing told twice, and news of it at once."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from trunx.adapters.cache.news import News
from trunx.adapters.cache.redis import open_redis
from trunx.adapters.cache.valkey import open_valkey
from trunx.adapters.store.accounts import Accounts
from trunx.adapters.store.audios import Audios
from trunx.adapters.store.calls import Calls
from trunx.adapters.store.database import Database
from trunx.adapters.store.log import Log, append, tell_calls
from trunx.adapters.store.recorder import Recorder
from trunx.adapters.store.suppressions import Suppressions
from trunx.adapters.store.tables import calls, dials, now
from trunx.domain.audio import Audio, AudioStatus, Failure, Source, new_audio_id
from trunx.domain.call import Call, EndReason, Event, Left, Status, Step, new_call_id, public_call_id
from trunx.domain.log import EventType, as_json
from trunx.domain.records import Suppression
from trunx.engine import log_ports

_BEGIN = datetime(2026, 5, 17, 12, tzinfo=UTC)


def fact(account: str, name: str | None = None, call: str | None = None) -> Event:
    return Event(account, call, "audio.failed", _BEGIN, {"why": 'a "b" ä'}, name)


@asynccontextmanager
async def log_of(database: Database) -> AsyncIterator[Log]:
    async with open_redis("redis://127.0.0.1:1") as nowhere, News(database, nowhere.client) as news:
        yield Log(database, news)


async def all_of(database: Database, account: str) -> list[Event]:
    async with log_of(database) as log:
        port: log_ports.Log = log
        return list(await port.read(account, 0, 10_000))


async def put(database: Database, *events: Event) -> None:
    async with database.writing() as connection:
        await append(connection, events)


async def test_events_are_numbered_by_account(database: Database, account: str, other: str) -> None:
    await put(database, fact(account, "a"), fact(other, "b"), fact(account, "c"))
    await put(database, fact(account))
    found = await all_of(database, account)
    assert [event.seq for event in found] == [1, 2, 3]
    assert [event.id for event in found[:2]] == ["a", "c"]
    assert found[0] == Event(account, None, "audio.failed", _BEGIN, {"why": 'a "b" ä'}, "a", 1)
    assert [event.seq for event in await all_of(database, other)] == [1]
    async with log_of(database) as log:
        assert [event.seq for event in await log.read(account, 1, 1)] == [2]
        assert (await log.head(account), await log.head("nobody")) == (3, 0)


async def test_what_is_told_twice_is_kept_once_and_leaves_no_gap(database: Database, account: str) -> None:
    await put(database, fact(account, "a"), fact(account, "a"))
    await put(database, fact(account, "b"), fact(account, "a"), fact(account, "c"))
    assert [(event.seq, event.id) for event in await all_of(database, account)] == [
        (1, "a"),
        (2, "b"),
        (3, "c"),
    ]


async def test_a_transaction_that_is_undone_leaves_no_gap(database: Database, account: str) -> None:
    async def fail() -> None:
        async with database.writing() as connection:
            await append(connection, [fact(account)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    await put(database, fact(account))
    assert [event.seq for event in await all_of(database, account)] == [1]


async def test_many_writers_leave_no_gap_and_readers_see_none(
    database: Database, account: str, other: str
) -> None:
    """What a reader has passed is never filled in later."""
    seen: list[int] = []
    done = asyncio.Event()

    async def write(writer: int) -> None:
        for turn in range(12):
            one, two = (account, other) if (writer + turn) % 2 else (other, account)
            await put(database, *(fact(one) for _ in range(1 + turn % 3)), fact(two))

    async def follow(log: Log) -> None:
        with log.listening(account) as bell:
            while True:
                finished = done.is_set()
                page = await log.read(account, seen[-1] if seen else 0, 7)
                seen.extend(event.seq or 0 for event in page)
                if finished and not page:
                    return
                if not page:
                    await bell.wait(5)

    async with log_of(database) as log:
        following = asyncio.create_task(follow(log))
        await asyncio.gather(*(write(writer) for writer in range(8)))
        await put(database, fact(account))
        done.set()
        await following
        assert seen == list(range(1, await log.head(account) + 1))
        assert len(seen) > 100


async def test_an_outbound_call_is_told_as_its_row_moves(database: Database, account: str) -> None:
    name = new_call_id()
    row: dict[str, Any] = {
        "id": name,
        "call_id": public_call_id(name),
        "account": account,
        "direction": "outbound",
        "from_number": "+19495551234",
        "to_number": "+19495550000",
        "status": Status.INITIATED.value,
        "created_at": _BEGIN,
        "provider": "carrier",
        "server": "here",
    }
    dial = {
        "call": name,
        "account": account,
        "trunk": "carrier",
        "ring_seconds": 60,
        "metadata": '{"campaign":"a \\"b\\""}',
        "machine_detection": False,
        "record": False,
    }
    async with database.writing() as connection:
        await connection.execute(calls.insert().values(row))
        await connection.execute(dials.insert().values(dial))
        await tell_calls(connection, {name: None})
    second = timedelta(seconds=1)
    moves: list[dict[str, Any]] = [
        {"status": "ringing", "ringing_at": _BEGIN + second},
        {"answered_at": _BEGIN + 2 * second, "ivr": "menu", "ivr_version": 1},
        {"status": "completed", "ended_at": _BEGIN + 9 * second, "end_reason": "busy", "q850_cause": 17},
    ]
    for move in moves:
        for _ in range(2):
            async with database.writing() as connection:
                await connection.execute(calls.update().where(calls.c.id == name).values(move))
                await tell_calls(connection, {name: None})
    told = await all_of(database, account)
    assert [(event.id, event.type, (event.at - _BEGIN).seconds) for event in told] == [
        (f"{name}:initiated", "call.initiated", 0),
        (f"{name}:ringing", "call.ringing", 1),
        (f"{name}:answered", "call.answered", 2),
        (f"{name}:walked", "ivr.completed", 9),
        (f"{name}:completed", "call.completed", 9),
    ]
    assert told[0].data["metadata"] == {"campaign": 'a "b"'}
    assert told[3].data == {"ivr": "menu", "ivrVersion": 1, "endReason": "busy", "steps": 0}
    end = told[4].data
    assert (end["provider"], end["endReason"], end["duration"], end["q850Cause"], end["sipCause"]) == (
        *("carrier", "busy", 7, 17),
        None,
    )
    assert list(await Calls(database).events(account, name)) == told


async def test_an_inbound_call_is_told_in_its_order_however_it_is_written(
    database: Database, account: str
) -> None:
    name = new_call_id()
    call = Call(
        *(name, public_call_id(name), account, "inbound", "+1949", "+1950"),
        Status.ANSWERED,
        _BEGIN,
        _BEGIN,
        ivr="menu",
        ivr_version=1,
    )
    ended = call._replace(status=Status.COMPLETED, ended_at=_BEGIN, end_reason=EndReason.HANGUP)

    def step(number: int) -> Step:
        return Step(name, number, "menu", "gather", _BEGIN, _BEGIN, Left.KEY, "1", 0, fallback=False)

    async with Recorder(database, server="here") as recorder:
        for done in (call, step(1), fact(account, call=name), step(2), step(10), ended):
            if isinstance(done, Call):
                recorder.call(done)
            elif isinstance(done, Step):
                recorder.step(done)
            else:
                recorder.event(done)
            if done in (call, step(2)):
                await recorder.flush()
        await recorder.flush()
        for again in (call, ended):
            recorder.call(again)
            recorder.step(step(2))
            await recorder.flush()
    assert [(event.type, event.data.get("number")) for event in await all_of(database, account)] == [
        ("call.answered", None),
        ("ivr.step", 1),
        ("audio.failed", None),
        ("ivr.step", 2),
        ("ivr.step", 10),
        ("ivr.completed", None),
        ("call.completed", None),
    ]


async def test_a_suppression_is_told_once(database: Database, account: str, other: str) -> None:
    store = Suppressions(database)
    entries = [
        Suppression(account, f"+1949555{n:04}", "api", None, None, now()) for n in (*range(1_500), 7)
    ] + [Suppression(other, "+19495550001", "ivr", "told us", "c1", now())]
    await store.add(entries)
    await store.add(entries)
    again = Suppression(account, "+19495550001", "api", None, None, now() + timedelta(seconds=1))
    await store.add([again])
    assert len(await all_of(database, account)) == 1_500
    (told,) = await all_of(database, other)
    assert (told.type, told.call, told.at) == ("suppression.added", "c1", entries[-1].created_at)
    assert told.data == {"number": "+19495550001", "source": "ivr", "reason": "told us"}
    await store.delete(account, "+19495550001")
    await store.add([again])
    assert len(await all_of(database, account)) == 1_501


async def test_an_audio_that_failed_is_told(database: Database, account: str) -> None:
    store = Audios(database, server="here")
    made = [
        Audio(
            id=new_audio_id(),
            account=account,
            name=name,
            source=Source.TTS,
            status=AudioStatus.PROCESSING,
            created_at=now(),
        )
        for name in "ab"
    ]
    for audio in made:
        await store.add(audio)
    failed = replace(made[0], status=AudioStatus.FAILED, failure=Failure("quota", "used up"))
    await store.settle(failed)
    await store.end_lost()
    told = await all_of(database, account)
    assert [(event.type, event.data["name"], event.data["code"]) for event in told] == [
        (EventType.AUDIO_FAILED, "a", "quota"),
        (EventType.AUDIO_FAILED, "b", "interrupted"),
    ]


async def test_news_come_at_once_also_from_another_process(
    database: Database, account: str, other: str, tmp_path: Path
) -> None:
    async with (
        open_valkey(tmp_path / "run") as valkey,
        News(database, valkey.client) as here,
        Database.open("sqlite:///" + str(tmp_path / "elsewhere.db")) as unrelated,
        News(unrelated, valkey.client) as there,
    ):
        with here.listening(account) as near, there.listening(account) as far, here.listening(other) as deaf:
            # The other's subscription is a moment on its way.
            async with asyncio.timeout(10):
                while b"trunx:news" not in await valkey.client.pubsub_channels():  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                while (await valkey.client.pubsub_numsub("trunx:news"))[0][1] < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            begun = time.monotonic()
            await put(database, fact(account))
            await asyncio.gather(near.wait(5), far.wait(5))
            assert time.monotonic() - begun < 1
            await deaf.wait(0.05)
            assert time.monotonic() - begun >= 0.05


def test_the_form_for_the_outside() -> None:
    event = Event("MA1", "c1", "call.failed", _BEGIN, {"a": 1}, "c1:failed", 7)
    assert as_json(event) == {
        "id": "c1:failed",
        "seq": 7,
        "account": "MA1",
        "call": "c1",
        "type": "call.failed",
        "at": "2026-05-17T12:00:00.000Z",
        "data": {"a": 1},
    }


async def test_events_of_before_there_were_numbers(new_url: str) -> None:
    def upgrade(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", "trunx.adapters.store:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")

    if new_url.startswith("sqlite:///"):
        Path(new_url.removeprefix("sqlite:///")).parent.mkdir()
    insert = text(
        "INSERT INTO events (id, account, call, type, at, data) VALUES (:id, :account, 'c1', 'x', :at, '{}')"
    )
    async with Database.open(new_url) as database:
        async with database.engine.begin() as connection:
            await connection.run_sync(upgrade)
            for name, account, at in (("n2", "MA1", 5), ("n1", "MA1", 5), ("n3", "MA1", 4), ("n4", "MA2", 9)):
                await connection.execute(insert, {"id": name, "account": account, "at": at})
        await database.migrate()
        assert [(event.seq, event.id) for event in await all_of(database, "MA1")] == [
            (1, "c1:n3"),
            (2, "c1:n1"),
            (3, "c1:n2"),
        ]
        account = (await Accounts(database).create("Ada")).id
        await put(database, fact("MA1"), fact("MA2"), fact(account))
        assert [(await all_of(database, of))[-1].seq for of in ("MA1", "MA2", account)] == [4, 2, 1]
