"""A real Asterisk records a real call, and what is kept of it is what both sides said.

The order to record is given by hand here; what it says is ours (`Recording.order`).
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
import soundfile as sf

from tests.adapters.waiting import until
from tests.engine.recording_scene import Scene, left, opened_scene
from tests.peers.asterisk import Asterisk
from tests.peers.callees import CALLEES
from tests.peers.hearing import Audio, find, first, load_gsm
from tests.peers.world import World, pbx_and_world
from trunx.adapters.store.tables import now
from trunx.domain.recording import Recording, RecordingState, begun

NUMBER = "+14155557000"
DIALPLAN = """
[trunx-inbound]
exten => s,1,NoOp()
[talk]
exten => s,1,Wait(5)
 same => n,Playback(tt-weasels)
 same => n,Wait(600)
"""
TALKER = """
exten => _+141555570XX,1,Answer()
 same => n,Wait(3)
 same => n,Playback(hello-world)
 same => n,Wait(7200)
"""


@pytest_asyncio.fixture(loop_scope="session")
async def pair() -> AsyncIterator[tuple[Asterisk, World]]:
    async with pbx_and_world(DIALPLAN, CALLEES + TALKER) as both:
        yield both


@asynccontextmanager
async def scene_of(pbx: Asterisk, folder: Path) -> AsyncIterator[Scene]:
    async with opened_scene(folder) as scene:
        scene.monitor = pbx.folder / "spool" / "monitor"
        scene.url = scene.monitor.as_uri()
        yield scene


async def talk(pbx: Asterisk) -> str:
    """A call to somebody who talks, once media flows; its channel.

    After its answer each Asterisk waits for the other's, half a second and in its very first call longer:
    meanwhile MixMonitor has nothing to write.
    """
    channel = str(uuid.uuid4())
    with pbx.ami.watch(Uniqueid=channel) as events:
        await pbx.ami.action(
            "Originate",
            Channel=f"PJSIP/{NUMBER}@trunk",
            ChannelId=channel,
            Context="talk",
            Exten="s",
            Priority="1",
            Async="true",
        )
        while True:
            event = await events.next(within=10.0)
            if event["Event"] == "Newstate" and event["ChannelStateDesc"] == "Up":
                await asyncio.sleep(2)
                return channel


async def record(pbx: Asterisk, scene: Scene, channel: str, **how: str) -> Recording:
    recording = begun(scene.call(), channel, now(), **how)  # type: ignore[arg-type]
    scene.pbx.present.append(channel)
    await scene.recordings.begin(recording)
    file, options = recording.order
    await pbx.ami.action("MixMonitor", Channel=channel, File=file, Options=options)
    return recording


async def written_by(scene: Scene, recording: Recording) -> float:
    """Seconds in the first file of a recording, once Asterisk has closed that."""
    file = scene.monitor / recording.files[0]
    await until(lambda: file.exists() and file.read_bytes()[40:44] != bytes(4))
    return (file.stat().st_size - 44) / 16_000


def prompt(pbx: Asterisk, name: str) -> Audio:
    return load_gsm(pbx.sounds / "en" / f"{name}.gsm")


def heard(scene: Scene, recording: Recording) -> tuple[Audio, float]:
    samples, rate = sf.read(scene.recordings.path(recording), dtype="float32", always_2d=True)
    return np.asarray(samples, np.float32), len(samples) / rate


@pytest.mark.parametrize(
    ("form", "channels"), [("mp3", "mono"), ("wav", "mono"), ("mp3", "dual"), ("wav", "dual")]
)
async def test_both_sides_are_heard_for_as_long_as_it_was_recorded(
    pair: tuple[Asterisk, World], tmp_path: Path, form: str, channels: str
) -> None:
    pbx, _ = pair
    async with scene_of(pbx, tmp_path) as scene:
        channel = await talk(pbx)
        asked = time.monotonic()
        recording = await record(pbx, scene, channel, format=form, channels=channels)
        began = time.monotonic()
        await asyncio.sleep(6.3)  # both have spoken by then
        least = time.monotonic() - began
        await pbx.ami.action("StopMixMonitor", Channel=channel)
        most = time.monotonic() - asked
        written = await written_by(scene, recording)
        # On a busy machine MixMonitor drops a tenth of a second here and there, to keep both sides in step.
        assert least - 0.3 < written < most + 0.1
        async with scene.keeper():
            await scene.recordings.stopped(recording)
            await scene.until(recording, RecordingState.READY)
            await until(lambda: left(scene.monitor) == [])  # it is ready before Asterisk's own file goes
        ready = await scene.recordings.get(scene.account, recording.id)
        sound, lasts = heard(scene, ready)
        assert ready.ms == round(lasts * 1000) == round(written * 1000)
        said, played = prompt(pbx, "hello-world"), prompt(pbx, "tt-weasels")
        assert first(said, sound[:, 0], 0.8) == pytest.approx(1.5, abs=0.6)
        assert first(played, sound[:, -1], 0.8) == pytest.approx(3.0, abs=0.6)
        if channels == "dual":
            assert sound.shape[1] == 2
            assert find(said, sound[:, 1], 0.3) == find(played, sound[:, 0], 0.3) == []


async def test_a_call_that_ends_ends_its_recording(pair: tuple[Asterisk, World], tmp_path: Path) -> None:
    pbx, _ = pair
    async with scene_of(pbx, tmp_path) as scene, scene.keeper():
        channel = await talk(pbx)
        asked = time.monotonic()
        recording = await record(pbx, scene, channel)
        began = time.monotonic()
        await asyncio.sleep(3.5)
        least = time.monotonic() - began
        await pbx.ami.action("Hangup", Channel=channel)
        most = time.monotonic() - asked
        scene.pbx.present.clear()
        await scene.until(recording, RecordingState.READY)
        ready = await scene.recordings.get(scene.account, recording.id)
        sound, lasts = heard(scene, ready)
        assert least - 0.3 < lasts < most + 0.1
        assert first(prompt(pbx, "hello-world"), sound[:, 0], 0.8)


async def test_what_an_asterisk_that_was_killed_had_written_is_kept(
    pair: tuple[Asterisk, World], tmp_path: Path
) -> None:
    pbx, _ = pair
    async with scene_of(pbx, tmp_path) as scene:
        channel = await talk(pbx)
        recording = await record(pbx, scene, channel, channels="dual")
        await asyncio.sleep(5)
        await pbx.kill()
        scene.pbx.present.clear()
        async with scene.keeper():
            await scene.until(recording, RecordingState.READY, 60)
        ready = await scene.recordings.get(scene.account, recording.id)
        sound, lasts = heard(scene, ready)
        assert 3.9 < lasts < 5.2  # it writes two seconds at once
        assert first(prompt(pbx, "hello-world"), sound[:, 0], 0.8)
