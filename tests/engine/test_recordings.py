"""Recordings from Asterisk's folder to the last day of their lives."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import soundfile as sf

from tests.adapters.monitor_files import as_asterisk
from tests.adapters.waiting import until
from tests.engine.recording_scene import LIFE, SOUND, Scene, left, opened_scene, sooner_or_later
from trunx.adapters.store.tables import now
from trunx.domain.call import Status, new_call_id
from trunx.domain.errors import NotFoundError
from trunx.domain.recording import RecordingState
from trunx.domain.signed_link import LinkError


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened_scene(tmp_path) as opened:
        yield opened


# --- the way of a recording


@pytest.mark.parametrize("channels", ["mono", "dual"])
@pytest.mark.parametrize("form", ["mp3", "wav"])
async def test_stopped_it_is_brought_here_and_gone_there(scene: Scene, channels: str, form: str) -> None:
    async with scene.keeper() as keeper:
        recording = await scene.begin(format=form, channels=channels)
        live = await scene.recordings.live(scene.account, recording.call)
        assert live == recording
        scene.record(recording)
        stopped = await scene.recordings.stopped(recording)
        assert stopped is not None
        assert stopped.state is RecordingState.FETCHING
        assert await scene.recordings.stopped(recording) is None
        assert await scene.recordings.live(scene.account, recording.call) is None
        await scene.until(recording, RecordingState.READY, 5)
        await until(lambda: left(scene.monitor) == [])
        assert (await keeper.state()).state == "ok"
    ready = await scene.recordings.get(scene.account, recording.id)
    assert (ready.ms, ready.bytes) == (2_000, scene.recordings.path(ready).stat().st_size)
    assert sf.info(scene.recordings.path(ready)).channels == (2 if channels == "dual" else 1)
    assert left(scene.own) == [recording.name]
    assert await scene.told() == ["recording.ready"]


async def test_one_that_asterisk_never_began_has_failed(scene: Scene) -> None:
    recording = await scene.begin()
    await scene.recordings.never_began(recording, "Asterisk did not record: no such channel.")
    failed = await scene.recordings.get(scene.account, recording.id)
    assert (failed.state, failed.problem) == (
        RecordingState.FAILED,
        "Asterisk did not record: no such channel.",
    )
    assert await scene.told() == ["recording.failed"]
    await scene.begin(call=scene.call(id=recording.call))  # and another may be begun


# --- its end


async def test_deleted_it_is_gone_here_and_there(scene: Scene) -> None:
    recording = await scene.begin()
    scene.record(recording)
    await scene.recordings.stopped(recording)
    async with scene.keeper():
        await scene.until(recording, RecordingState.READY)
        scene.record(recording)  # as if it could not be deleted there before
        await scene.recordings.delete(scene.account, recording.id)
        with pytest.raises(NotFoundError):
            await scene.recordings.get(scene.account, recording.id)
        await scene.until(recording, None, 5)
    assert (left(scene.own), left(scene.monitor)) == ([], [])


async def test_deleted_while_it_is_on_its_way(scene: Scene) -> None:
    recording = await scene.begin()
    scene.record(recording)
    await scene.recordings.stopped(recording)
    (claimed,) = await scene.rows.claim("one", 9, datetime.now(UTC) + timedelta(minutes=30))
    await scene.recordings.delete(scene.account, recording.id)
    async with scene.keeper(runs=False) as keeper:
        await keeper._work(claimed)
        assert left(scene.own) == []
        await keeper.look()
        await scene.until(recording, None)
    assert (left(scene.own), left(scene.monitor)) == ([], [])
    assert await scene.told() == []


async def test_what_has_had_its_time_goes(scene: Scene) -> None:
    old, failed, young = [await scene.begin() for _ in range(3)]
    for one in (old, young):
        scene.record(one)
        await scene.recordings.stopped(one)
    await scene.recordings.never_began(failed, "Asterisk said no.")
    async with scene.keeper() as keeper:
        for one in (old, young):
            await scene.until(one, RecordingState.READY)
        for one in (old, failed):
            await scene.age(one, expires_at=now() - timedelta(seconds=1))
        await keeper.sweep()
        for one in (old, failed):
            await scene.until(one, None, 5)
        await until(lambda: left(scene.own) == [young.name])
    kept = await scene.recordings.get(scene.account, young.id)
    assert kept.stopped_at is not None
    assert kept.expires_at is not None
    assert kept.expires_at - kept.stopped_at <= LIFE


# --- orphans


async def test_the_dialplan_s_recording_of_a_whole_call_is_found(scene: Scene) -> None:
    ended = scene.call(status=Status.COMPLETED, ended_at=now())
    going = scene.call()
    await scene.write(ended, going)
    (scene.monitor / "trunx/calls").mkdir(parents=True)
    for one in (ended, going):
        as_asterisk(scene.monitor / f"trunx/calls/{one.id}.wav", SOUND)
    async with scene.keeper():

        async def is_found() -> bool:
            return bool(await scene.recordings.of_call(scene.account, ended.id))

        await sooner_or_later(is_found)
        (recording,) = await scene.recordings.of_call(scene.account, ended.id)
        await scene.until(recording, RecordingState.READY)
        await until(lambda: left(scene.monitor) == [f"trunx/calls/{going.id}.wav"])
    assert (recording.format, recording.channels, recording.started_at) == ("mp3", "mono", ended.answered_at)
    assert not await scene.recordings.of_call(scene.account, going.id)


async def test_what_is_recorded_now_and_what_is_nobody_s_is_left_alone(scene: Scene) -> None:
    recording = await scene.begin()
    scene.record(recording)
    for name in (f"{new_call_id()}.wav", "1700000000.1.wav", "notes.txt"):
        (scene.monitor / "trunx/calls" / name).write_bytes(b"whatever")
    before = left(scene.monitor)
    async with scene.keeper(runs=False) as keeper:
        await keeper.sweep()
    assert left(scene.monitor) == before
    assert await scene.state(recording) is RecordingState.RECORDING


# --- links


async def test_a_link_opens_one_recording_for_a_day(scene: Scene) -> None:
    recording, other = await scene.begin(), await scene.begin()
    link = await scene.recordings.link(recording)
    where, _, query = link.partition("?")
    assert where == f"https://trunx.example.com/api/recordings/{recording.id}/file"
    expires, signature = (part.partition("=")[2] for part in query.split("&"))
    assert 86_390 < int(expires) - datetime.now(UTC).timestamp() <= 86_400
    assert await scene.recordings.linked(recording.id, int(expires), signature) == recording
    for changed in ((other.id, int(expires), signature), (recording.id, int(expires) + 1, signature)):
        with pytest.raises(LinkError):
            await scene.recordings.linked(*changed)
