"""Recordings on whose way something dies, is away, or is full."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.adapters.waiting import until
from tests.engine.recording_scene import Scene, left, opened_scene, sooner_or_later
from tests.peers.ssh import AsyncSsh, started
from trunx.adapters.store.tables import now
from trunx.domain.call import Status
from trunx.domain.recording import RecordingState


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with opened_scene(tmp_path) as opened:
        yield opened


# --- faults


async def test_killed_between_stop_and_fetch(scene: Scene) -> None:
    recording = await scene.begin()
    scene.record(recording)
    await scene.recordings.stopped(recording)
    # The former run of this process had just taken it on.
    await scene.rows.claim("one", 9, datetime.now(UTC) + timedelta(minutes=30))
    async with scene.keeper():
        await scene.until(recording, RecordingState.READY, 5)


async def test_killed_while_it_is_worked_on(scene: Scene) -> None:
    recording = await scene.begin()
    scene.record(recording)
    await scene.recordings.stopped(recording)
    async with scene.keeper():
        await until((scene.own / "incoming" / recording.id).exists)
    assert await scene.state(recording) is RecordingState.FETCHING
    async with scene.keeper():
        await scene.until(recording, RecordingState.READY)
        await until(lambda: left(scene.own) == [recording.name])
    assert await scene.told() == ["recording.ready"]


async def test_killed_when_it_was_kept_and_not_yet_deleted_there(scene: Scene) -> None:
    recording = await scene.begin()
    files = scene.record(recording)
    await scene.recordings.stopped(recording)
    async with scene.keeper():
        await scene.until(recording, RecordingState.READY)
    scene.record(recording)
    async with scene.keeper(runs=False) as keeper:
        await keeper.sweep()
    assert not files[0].exists()


async def test_its_call_ended_while_nobody_was_there(scene: Scene) -> None:
    call = scene.call(status=Status.COMPLETED, ended_at=now())
    recording = await scene.begin(call=call)
    scene.record(recording)
    await scene.write(call)
    scene.pbx.present.clear()
    async with scene.keeper():
        await scene.until(recording, RecordingState.READY, 5)


async def test_a_channel_that_was_transferred_is_recorded_on(scene: Scene) -> None:
    call = scene.call(status=Status.COMPLETED, ended_at=now())
    recording = await scene.begin(call=call)
    scene.record(recording)
    await scene.write(call)
    async with scene.keeper(runs=False) as keeper:
        await keeper.look()
        assert await scene.state(recording) is RecordingState.RECORDING
        scene.pbx.is_away = True
        await keeper.look()
        assert await scene.state(recording) is RecordingState.RECORDING
        scene.pbx.is_away = False
        scene.pbx.present.clear()
        await keeper.look()
        assert await scene.state(recording) is not RecordingState.RECORDING
        await scene.until(recording, RecordingState.READY)


async def test_one_that_is_too_long_is_stopped(scene: Scene) -> None:
    began = now() - timedelta(seconds=61)
    recording = await scene.begin(max_seconds=60, at=began)
    other = await scene.begin(max_seconds=120, at=began)
    scene.record(recording)
    async with scene.keeper():
        await scene.until(recording, RecordingState.READY, 5)
        assert scene.pbx.stopped == [recording.id]
        assert scene.pbx.ended_full == {recording.id: True}
        assert await scene.state(other) is RecordingState.RECORDING
    ready = await scene.recordings.get(scene.account, recording.id)
    assert ready.stopped_at == began + timedelta(seconds=60)


async def test_a_host_that_is_away_is_waited_for(scene: Scene, tmp_path: Path) -> None:
    peer = AsyncSsh(tmp_path)
    async with started(peer):
        scene.url, scene.known_hosts, scene.key, scene.monitor = (
            peer.url,
            peer.known_hosts,
            peer.key,
            peer.folder,
        )
        recording = await scene.begin()
        scene.record(recording)
        await peer.kill()
        with capture_logs() as lines:
            async with scene.keeper() as keeper:
                await scene.recordings.stopped(recording)
                waiting = await scene.until_tried(recording, 3)
                assert waiting.state is RecordingState.FETCHING
                assert peer.place in (waiting.problem or "")
                assert (await keeper.state()).state == "degraded"
                assert await scene.told() == []
                await peer.start()
                await scene.until(recording, RecordingState.READY, 20)
        ready = await scene.recordings.get(scene.account, recording.id)
        assert (ready.ms, ready.problem) == (2_000, None)
    troubles = [line for line in lines if line["event"] == "recordings cannot be brought here for now"]
    assert 1 <= len(troubles) <= 2  # the fetching and the sweep, once each


async def test_a_file_that_never_came_to_be_is_said_so(scene: Scene) -> None:
    (scene.monitor / "trunx/calls").mkdir(parents=True)
    recording = await scene.begin()
    await scene.recordings.stopped(recording)
    async with scene.keeper(runs=False) as keeper:
        await keeper.look()
        await until(lambda: not keeper._tasks)
        assert await scene.state(recording) is RecordingState.FETCHING  # it may still be written
        await scene.age(recording, stopped_at=now() - timedelta(minutes=1), next_at=now(), tries=3)
        await keeper.look()
        await scene.until(recording, RecordingState.FAILED)
    failed = await scene.recordings.get(scene.account, recording.id)
    assert failed.problem == "Asterisk wrote no file: it was not told to record, or lost it."
    assert await scene.told() == ["recording.failed"]
    assert left(scene.own) == []


async def test_a_folder_that_is_not_there_is_no_lost_recording(scene: Scene) -> None:
    recording = await scene.begin()
    await scene.recordings.stopped(recording)
    await scene.age(recording, stopped_at=now() - timedelta(days=1), tries=20)
    async with scene.keeper(runs=False) as keeper:
        await keeper.look()
        await until(lambda: not keeper._tasks)
        assert "its monitor folder is another" in (await keeper.state()).detail
    assert await scene.state(recording) is RecordingState.FETCHING


async def test_a_file_that_still_grows_is_not_taken(scene: Scene) -> None:
    recording = await scene.begin(format="wav")
    (file,) = scene.record(recording, closed=False)
    half = file.read_bytes()[:16_044]
    file.write_bytes(half)
    await scene.recordings.stopped(recording)
    async with scene.keeper() as keeper:
        await scene.until_tried(recording, 2)
        assert await scene.state(recording) is RecordingState.FETCHING
        assert (await keeper.state()).state == "ok"  # nothing is wrong
        scene.record(recording)
        await scene.until(recording, RecordingState.READY)
    ready = await scene.recordings.get(scene.account, recording.id)
    assert (ready.ms, ready.problem) == (2_000, None)


async def test_what_asterisk_left_when_it_died_is_kept(scene: Scene) -> None:
    recording = await scene.begin()
    scene.record(recording, closed=False)
    await scene.recordings.stopped(recording)
    await scene.age(recording, stopped_at=now() - timedelta(minutes=1), tries=3)
    async with scene.keeper():
        await scene.until(recording, RecordingState.READY)
    assert (await scene.recordings.get(scene.account, recording.id)).ms == 2_000


async def test_what_is_no_recording_has_failed_and_stays_there_to_be_looked_at(scene: Scene) -> None:
    recording = await scene.begin()
    (file,) = scene.record(recording)
    file.write_bytes(b"nothing that could be played")
    await scene.recordings.stopped(recording)
    async with scene.keeper() as keeper:
        await scene.until(recording, RecordingState.FAILED)
        await keeper.sweep()
    failed = await scene.recordings.get(scene.account, recording.id)
    assert failed.problem == "What Asterisk has recorded cannot be read: it is no WAV."
    assert file.exists()


async def test_a_disk_of_ours_that_is_full_loses_nothing(scene: Scene) -> None:
    recording = await scene.begin()
    (file,) = scene.record(recording)
    incoming = scene.own / "incoming" / recording.id
    incoming.mkdir(parents=True)
    (incoming / f"{file.name}.part").symlink_to("/dev/full")
    await scene.recordings.stopped(recording)
    async with scene.keeper() as keeper:

        async def is_told() -> bool:
            return (await keeper.state()).state == "degraded"

        await sooner_or_later(is_told)
        assert "No space left" in (await keeper.state()).detail
        assert file.exists()
        assert await scene.told() == []
        shutil.rmtree(incoming)
        await scene.until(recording, RecordingState.READY, 20)
        await until(lambda: not file.exists())
        assert (await keeper.state()).state == "ok"


async def test_a_database_that_is_away_when_it_is_ready(scene: Scene) -> None:
    recording = await scene.begin()
    (file,) = scene.record(recording)
    await scene.recordings.stopped(recording)
    (claimed,) = await scene.rows.claim("one", 9, datetime.now(UTC) + timedelta(minutes=30))
    async with scene.keeper(runs=False) as keeper, scene.database.engine.connect() as blocking:
        await blocking.exec_driver_sql("ROLLBACK")
        await blocking.exec_driver_sql("BEGIN IMMEDIATE")  # nobody else can write
        working = asyncio.create_task(keeper._work(claimed))
        await until((scene.own / recording.name).exists)
        assert file.exists()  # it is deleted there when the row says that it is here
        await blocking.rollback()
        await asyncio.wait_for(working, 15)
    assert await scene.state(recording) is RecordingState.READY
    assert not file.exists()
