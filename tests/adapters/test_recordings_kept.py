"""Recordings on both databases: what may become of them, who works on them, and what is told."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from trunx.adapters.store.calls import Calls
from trunx.adapters.store.database import Database
from trunx.adapters.store.recorder import Recorder
from trunx.adapters.store.recording_tables import recordings
from trunx.adapters.store.recordings import Recordings, Secrets
from trunx.adapters.store.tables import events, now
from trunx.domain.call import Call, Status, new_call_id, public_call_id
from trunx.domain.errors import ExistsError, InvalidCursorError, NotFoundError
from trunx.domain.recording import (
    Kept,
    Recording,
    RecordingFilter,
    RecordingState,
    StillRecordedError,
    begun,
    whole,
)
from trunx.domain.records import Page
from trunx.engine.recording_ports import RecordingRows
from trunx.engine.recording_ports import Secrets as SecretsPort

KEPT = timedelta(days=30)
FILE = Kept(1_250, 20_044)


@pytest.fixture
def rows(database: Database) -> RecordingRows:
    return Recordings(database)


def call(account: str, **fields: Any) -> Call:
    identity = new_call_id()
    standing: dict[str, Any] = {
        "id": identity,
        "call_id": public_call_id(identity),
        "account": account,
        "direction": "outbound",
        "from_number": "+19495550100",
        "to_number": "+14155550123",
        "status": Status.ANSWERED,
        "created_at": now(),
        "answered_at": now(),
        "channel": identity,
    }
    return Call(**standing | fields)


async def written(database: Database, *some: Call) -> None:
    async with Recorder(database, server="tests") as recorder:
        for one in some:
            recorder.call(one)
        await recorder.flush()


async def told(database: Database, kind: str = "recording.") -> list[tuple[str, str]]:
    query = select(events.c.type, events.c.id).where(events.c.type.startswith(kind)).order_by(events.c.seq)
    async with database.reading() as connection:
        return [(row.type, row.id) for row in await connection.execute(query)]


async def fetching(rows: RecordingRows, account: str, **how: Any) -> Recording:
    recording = begun(call(account), "1.1", now(), **how)
    await rows.add(recording)
    stopped = await rows.stop(recording.id, now(), KEPT)
    assert stopped is not None
    return stopped


def later() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=5)


async def test_what_is_written_is_read(rows: RecordingRows, account: str, other: str) -> None:
    recording = begun(
        call(account), "PJSIP-1.1", now(), format="wav", channels="dual", trim_silence=True, max_seconds=60
    )
    await rows.add(recording)
    assert await rows.get(recording.id) == recording
    assert await rows.get(recording.id, account) == recording
    assert await rows.of_calls(account, [recording.call]) == {recording.call: [recording]}
    for nobody in (rows.get(recording.id, other), rows.get(new_call_id(), account)):
        with pytest.raises(NotFoundError):
            await nobody
    assert await rows.of_calls(other, [recording.call]) == {}


async def test_a_pause_is_kept_until_it_stops(rows: RecordingRows, account: str) -> None:
    recording = begun(call(account), "1.1", now())
    await rows.add(recording)
    for paused in (True, True, False, True):
        assert await rows.pause(recording.id, paused=paused)
        assert (await rows.get(recording.id)).paused is paused
    assert [one.paused for one, _ in await rows.live()] == [True]
    await rows.stop(recording.id, now(), KEPT)
    assert not await rows.pause(recording.id, paused=False)


async def test_a_call_is_recorded_once_at_a_time(rows: RecordingRows, account: str) -> None:
    one = call(account)
    first, second = begun(one, "1.1", now() - timedelta(seconds=9)), begun(one, "1.1", now())
    await rows.add(first)
    with pytest.raises(ExistsError):
        await rows.add(second)
    await rows.stop(first.id, now(), KEPT)
    await rows.add(second)
    assert [each.id for each in (await rows.of_calls(account, [one.id]))[one.id]] == [first.id, second.id]


async def test_it_becomes_ready_once_and_tells_it(
    rows: RecordingRows, database: Database, account: str
) -> None:
    stopped = await fetching(rows, account)
    assert await rows.stop(stopped.id, now(), KEPT) is None
    assert await rows.ready(stopped, FILE)
    assert not await rows.ready(stopped, FILE)
    assert not await rows.fail(stopped.id, "too late", now(), KEPT)
    ready = await rows.get(stopped.id)
    assert (ready.state, ready.ms, ready.bytes) == (RecordingState.READY, 1_250, 20_044)
    assert ready.stopped_at == stopped.started_at + timedelta(milliseconds=1_250)
    assert await told(database) == [("recording.ready", f"{ready.call}:recording:{ready.id}")]
    await written(database, call(account, id=ready.call))
    (event,) = [
        each for each in await Calls(database).events(account, ready.call) if each.type == "recording.ready"
    ]
    assert event.data == {
        "recording": ready.id,
        "format": "mp3",
        "channels": "mono",
        "duration": 1.25,
        "bytes": 20_044,
        "expiresAt": event.data["expiresAt"],
    }


async def test_one_that_never_began_has_failed_and_expires_too(
    rows: RecordingRows, database: Database, account: str
) -> None:
    recording = begun(call(account), "1.1", now())
    await rows.add(recording)
    assert await rows.fail(recording.id, "Asterisk said no.", now(), KEPT)
    failed = await rows.get(recording.id)
    assert (failed.state, failed.problem) == (RecordingState.FAILED, "Asterisk said no.")
    assert failed.expires_at is not None
    assert [kind for kind, _ in await told(database)] == ["recording.failed"]


async def test_live_ones_and_the_ends_of_their_calls(
    rows: RecordingRows, database: Database, account: str
) -> None:
    ended = call(account, status=Status.COMPLETED, ended_at=now())
    going = call(account)
    await written(database, ended, going)
    some = [begun(one, one.id, now()) for one in (ended, going, call(account))]
    for one in some:
        await rows.add(one)
    found = {recording.id: at for recording, at in await rows.live()}
    assert found == {some[0].id: ended.ended_at, some[1].id: None, some[2].id: None}


# --- who works on it


async def test_of_many_who_look_one_gets_it(rows: RecordingRows, account: str) -> None:
    recording = await fetching(rows, account)
    taken = await asyncio.gather(*(rows.claim(f"server{at}", 4, later()) for at in range(6)))
    ((claimed,),) = [each for each in taken if each]
    assert (claimed.id, claimed.tries) == (recording.id, 1)
    assert await rows.claim("server9", 4, later()) == []


async def test_it_comes_back_when_it_failed_and_when_its_server_is_started_again(
    rows: RecordingRows, account: str
) -> None:
    recording = await fetching(rows, account)
    await rows.claim("one", 4, later())
    await rows.later(recording.id, now(), "the host is away")
    (again,) = await rows.claim("two", 4, later())
    assert (again.tries, again.problem, again.server) == (2, "the host is away", "two")
    await rows.release("one")
    assert await rows.claim("one", 4, later()) == []
    await rows.release("two")
    assert [each.id for each in await rows.claim("two", 4, later())] == [recording.id]


async def test_a_claim_lapses(rows: RecordingRows, account: str) -> None:
    await fetching(rows, account)
    assert len(await rows.claim("dies", 4, now())) == 1
    assert len(await rows.claim("lives", 4, later())) == 1


async def test_as_many_as_were_asked_for(rows: RecordingRows, account: str) -> None:
    some = {(await fetching(rows, account)).id for _ in range(5)}
    first = await rows.claim("one", 2, later())
    rest = await rows.claim("one", 9, later())
    assert (len(first), len(rest)) == (2, 3)
    assert {each.id for each in (*first, *rest)} == some


# --- its end


async def test_what_is_deleted_is_seen_by_those_alone_who_clear_up(
    rows: RecordingRows, database: Database, account: str, other: str
) -> None:
    recording = await fetching(rows, account)
    await rows.claim("ours", 4, later())
    with pytest.raises(NotFoundError):
        await rows.delete(other, recording.id)
    await rows.delete(account, recording.id)
    for nothing in (rows.get(recording.id), rows.delete(account, recording.id)):
        with pytest.raises(NotFoundError):
            await nothing
    assert await rows.of_calls(account, [recording.call]) == {}
    assert (await rows.page(account, RecordingFilter(), Page(5))).rows == []
    assert not await rows.ready(recording, FILE)
    assert await told(database) == []
    assert await rows.states([recording.id]) == {recording.id: RecordingState.DELETED}
    assert await rows.claim("another", 4, later()) == []  # it has none of the files
    (gone,) = await rows.claim("ours", 4, later())
    assert gone.state is RecordingState.DELETED
    await rows.forget(recording.id)
    assert await rows.states([recording.id]) == {}


async def test_what_is_being_recorded_is_not_deleted(rows: RecordingRows, account: str) -> None:
    recording = begun(call(account), "1.1", now())
    await rows.add(recording)
    with pytest.raises(StillRecordedError):
        await rows.delete(account, recording.id)
    await rows.forget(recording.id)
    assert (await rows.get(recording.id)).state is RecordingState.RECORDING


async def test_it_expires(rows: RecordingRows, database: Database, account: str) -> None:
    kept, old = await fetching(rows, account), await fetching(rows, account)
    for one in (kept, old):
        await rows.ready(one, FILE)
    assert await rows.expire() == 0
    async with database.writing() as connection:
        past = update(recordings).where(recordings.c.id == old.id)
        await connection.execute(past.values(expires_at=now() - timedelta(seconds=1)))
    assert await rows.expire() == 1
    assert await rows.states([kept.id, old.id]) == {
        kept.id: RecordingState.READY,
        old.id: RecordingState.DELETED,
    }


# --- lists


async def test_a_list_is_narrowed_and_goes_page_by_page(
    rows: RecordingRows, account: str, other: str
) -> None:
    start = now() - timedelta(hours=1)
    some = [begun(call(account), "1.1", start + timedelta(minutes=at)) for at in range(5)]
    for one in (*some, begun(call(other), "1.1", start)):
        await rows.add(one)
    newest = [one.id for one in reversed(some)]
    first = await rows.page(account, RecordingFilter(), Page(3))
    second = await rows.page(account, RecordingFilter(), Page(3, first.next))
    assert [one.id for one in (*first.rows, *second.rows)] == newest
    assert second.next is None
    between = RecordingFilter(since=some[1].started_at, until=some[3].started_at)
    assert [one.id for one in (await rows.page(account, between, Page(9))).rows] == newest[2:4]
    of_call = RecordingFilter(call=some[2].call)
    assert [one.id for one in (await rows.page(account, of_call, Page(9))).rows] == [some[2].id]
    with pytest.raises(InvalidCursorError):
        await rows.page(account, RecordingFilter(), Page(3, "x"))


async def test_calls_whose_recording_the_dialplan_made(
    rows: RecordingRows, database: Database, account: str
) -> None:
    ended = call(account, status=Status.COMPLETED, ended_at=now())
    going = call(account)
    inbound = call(account, direction="inbound", status=Status.COMPLETED, ended_at=now())
    await written(database, ended, going, inbound)
    ids = [ended.id, going.id, inbound.id, new_call_id()]
    assert await rows.placed(ids) == [ended]


async def test_a_secret_is_made_once_for_all(database: Database) -> None:
    ports: list[SecretsPort] = [Secrets(database) for _ in range(4)]
    made = await asyncio.gather(*(port.secret("links") for port in ports))
    assert len(set(made)) == 1
    assert len(made[0]) == 32
    assert await ports[0].secret("others") != made[0]


async def test_that_of_a_whole_call_is_not_adopted_twice(
    rows: RecordingRows, database: Database, account: str
) -> None:
    one = call(account)
    adopted = whole(one, 60)
    assert (adopted.id, adopted.channel, adopted.started_at) == (one.id, one.id, one.answered_at)
    await rows.add(adopted)
    await rows.stop(adopted.id, now(), KEPT)
    await rows.delete(account, adopted.id)
    await rows.forget(adopted.id)
    with pytest.raises(ExistsError):  # though nobody sees it any more, and nobody has anything to do
        await rows.add(whole(one, 60))
    assert await rows.claim("ours", 4, later()) == []
    async with database.writing() as connection:
        await connection.execute(update(recordings).values(expires_at=now() - timedelta(seconds=1)))
    await rows.expire()
    assert await rows.states([adopted.id]) == {}


async def test_a_call_s_end_names_its_recordings(
    rows: RecordingRows, database: Database, account: str
) -> None:
    one, bare = call(account), call(account)
    first = begun(one, "1.1", now())
    second = begun(one, "1.1", now() + timedelta(seconds=1))
    await rows.add(first)
    await rows.stop(first.id, now(), KEPT)
    await rows.ready(first, Kept(1_250, 4_711))
    await rows.add(second)
    over: dict[str, Any] = {"status": Status.COMPLETED, "ended_at": now()}
    await written(database, one._replace(**over), bare._replace(**over))
    query = select(events.c.call, events.c.data).where(events.c.type == "call.completed")
    async with database.reading() as connection:
        named = {row.call: json.loads(row.data)["recordings"] for row in await connection.execute(query)}
    assert named == {
        one.id: [
            {"id": first.id, "status": "ready", "duration": 1.25},
            {"id": second.id, "status": "recording", "duration": None},
        ],
        bare.id: [],
    }
