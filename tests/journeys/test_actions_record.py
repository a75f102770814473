"""Live calls that are recorded by request, on two real Asterisks: what is in the files, and what becomes of
them when something dies.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.journeys.agents import Office, staffed
from tests.journeys.listening import Shelf
from tests.journeys.recorded_calls import (
    KINDS,
    TELEPHONE,
    callees,
    core,
    hang_up,
    held,
    in_a_tree,
    opened,
    path,
    placed,
    ready,
    say,
    start,
    stop,
)
from tests.journeys.scene import Asterisks
from tests.journeys.server import eventually
from tests.journeys.test_outbound import events, has
from tests.peers.agent_side import AgentSide
from tests.peers.ami import AmiError
from tests.peers.hearing import RATE, find, longest_silence


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared_studio(
    asterisks: Asterisks, vendor: AgentSide, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Office]:
    """A server with agents that sees where the pbx records."""
    monitor = asterisks[0].folder / "spool" / "monitor"
    settings = {"recordings_url": monitor.as_uri(), "webhook_private": "1"}
    async with staffed(asterisks, vendor, tmp_path_factory.mktemp("studio"), **settings) as office:
        yield office


@pytest_asyncio.fixture(loop_scope="session")
async def studio(shared_studio: Office) -> AsyncIterator[Office]:
    """The same; a journey leaves no channel, and no call of the vendor's."""
    scene = shared_studio.scene
    await scene.point()
    yield replace(shared_studio, scene=replace(scene, shelf=Shelf(scene.pbx, scene.trunx.account)))
    with suppress(AmiError):  # there is none any more
        await scene.world.ami.action("Hangup", Channel="/^PJSIP/", Cause="16")
    await shared_studio.all_over()


@pytest.mark.parametrize(
    ("kind", "form", "channels"),
    [
        ("tree", "wav", "dual"),
        ("person", "mp3", "dual"),
        ("agent", "wav", "dual"),
        ("held", "mp3", "dual"),
        ("our agent", "wav", "dual"),
        ("person", "wav", "mono"),
        ("tree", "mp3", "mono"),
    ],
)
async def test_both_sides_of_every_kind_of_call(studio: Office, kind: str, form: str, channels: str) -> None:
    """1. A call is up, and its recording begins. 2. Both sides speak. 3. The recording is stopped: the answer
    has a link, which opens a file that plays as long as was recorded and in which both are heard, each on its
    own channel if they were to be apart.
    """
    scene, talk = studio.scene, await KINDS[kind](studio)
    asked = time.monotonic()
    recording = await start(scene, talk.call, format=form, channels=channels)
    began = time.monotonic()
    await say(scene, talk.telephone, TELEPHONE)
    await asyncio.sleep(2.5)  # what is recorded, as are the seconds below
    await talk.cue()
    await asyncio.sleep(3.5)  # the other side's part of it
    least = time.monotonic() - began
    stopped = await stop(scene, talk.call)
    most = time.monotonic() - asked
    assert stopped["recording_uuid"] == recording
    sound, lasts = await opened(stopped["url"])
    assert least - 0.3 < lasts < most + 0.1  # seen: 0.05 s less; what MixMonitor gets late it drops
    assert stopped["duration"] == round(lasts)
    shown = await scene.trunx.get(f"/api/recordings/{recording}")
    assert (shown["status"], shown["duration"]) == ("ready", round(lasts, 3))
    said = core(scene, TELEPHONE)
    assert find(said, sound[:, 0], 0.7)
    if talk.other is None:
        assert longest_silence(sound[:, -1]).seconds < 3
    else:
        assert find(talk.other, sound[:, -1], 0.7)
    assert sound.shape[1] == (2 if channels == "dual" else 1)
    if channels == "dual":
        assert not find(said, sound[:, 1], 0.3)
        assert talk.other is None or not find(talk.other, sound[:, 0], 0.3)
    await hang_up(scene, talk)


async def test_a_pause_is_silence_and_the_call_ends_it(studio: Office) -> None:
    """1. A second start is refused. 2. Both sides are on the air for 7 seconds, of which two are paused: the
    file has silence there, and sound before and after. 3. The call ends: so does the recording, its action
    says why, and both the call's details and its end name it.
    """
    scene, talk = studio.scene, await in_a_tree(studio)
    asked = time.monotonic()
    recording = await start(scene, talk.call, format="wav")
    began = time.monotonic()
    status, problem = await scene.trunx.ask("POST", path(scene, talk.call), {})
    assert (status, problem["code"]) == (409, "already-recording")
    marks = []
    for more, state in (("/pause", "paused"), ("/resume", "recording")):
        await asyncio.sleep(2)  # so long it is recorded, and then paused
        answer = await scene.trunx.ask("POST", path(scene, talk.call, more))
        assert answer == (200, {"recording_uuid": recording, "status": state})
        marks.append(time.monotonic() - began)
    await asyncio.sleep(2)  # and recorded again
    least = time.monotonic() - began
    await hang_up(scene, talk)
    most = time.monotonic() - asked
    shown = await ready(scene, recording)
    sound, lasts = await opened(shown["url"])
    assert least - 0.3 < lasts < most + 0.1
    pause = longest_silence(sound[:, 0])
    assert (pause.at, pause.at + pause.seconds) == pytest.approx(tuple(marks), abs=0.6)
    for begin, end in ((0.0, marks[0]), (marks[1], lasts)):
        part = sound[round(begin * RATE) : round(end * RATE), 0]
        assert longest_silence(part).seconds < 0.8

    told = {event["type"]: event["data"] for event in await events(scene.trunx, talk.call)}
    assert told["action.completed"]["result"] == {"recording": recording, "stoppedBy": "call-end"}
    assert told["recording.ready"]["recording"] == recording
    (named,) = told["call.completed"]["recordings"]
    assert named["id"] == recording
    assert named["url"].endswith(f"/api/recordings/{recording}/file")
    row = await scene.trunx.get(f"/api/voice/{talk.call}")
    (detail,) = row["recordings"]
    assert (detail["id"], detail["status"], detail["duration"]) == (recording, "ready", shown["duration"])
    assert (await opened(detail["url"]))[1] == lasts


async def test_it_ends_when_it_is_long_enough(studio: Office) -> None:
    scene, talk = studio.scene, await held(studio)
    recording = await start(scene, talk.call, max_length=2)
    shown = await ready(scene, recording)
    assert shown["duration"] == pytest.approx(2, abs=0.1)
    told = {event["type"]: event["data"] for event in await events(scene.trunx, talk.call)}
    assert told["action.completed"]["result"] == {"recording": recording, "stoppedBy": "max-length"}
    await start(scene, talk.call)  # another one may follow
    await hang_up(scene, talk)


async def test_a_call_that_was_placed_to_be_recorded(studio: Office) -> None:
    """1. A call placed with `record` is being recorded from its answer on, and is shown so. 2. It is not
    recorded twice. 3. That recording can be stopped, and another one begun.
    """
    scene = studio.scene
    call, callee = await placed(studio, f"+141555565{next(callees)}", record=True)
    (named,) = (await scene.trunx.get(f"/api/voice/{call}"))["recordings"]
    assert (named["id"], named["status"]) == (call, "recording")
    status, problem = await scene.trunx.ask("POST", path(scene, call), {})
    assert (status, problem["code"]) == (409, "already-recording")
    await say(scene, callee, TELEPHONE)
    await asyncio.sleep(3)  # so long she speaks
    stopped = await stop(scene, call)
    assert stopped["recording_uuid"] == call
    sound, _ = await opened(stopped["url"])
    assert find(core(scene, TELEPHONE), sound[:, 0], 0.7)
    assert find(core(scene, "hello-world"), sound[:, 0], 0.7)  # her first words
    second = await start(scene, call)
    await asyncio.sleep(1)  # what is recorded: without a sound Asterisk would have no file
    await scene.trunx.ask("DELETE", f"/api/voice/{call}")
    await ready(scene, second)
    row = await has(scene.trunx, call, "completed")
    assert [one["id"] for one in row["recordings"]] == [call, second]


async def test_it_survives_a_transfer(studio: Office) -> None:
    """1. A call is recorded, and transferred to a person. 2. The call has ended then; its recording has not,
    and holds what is said after the transfer too, until it is stopped.
    """
    scene, talk = studio.scene, await in_a_tree(studio)
    number = f"+141555565{next(callees)}"
    recording = await start(scene, talk.call, format="wav", channels="dual")
    with scene.world.ami.watch("UserEvent", UserEvent="Reached", Number=number) as reached:
        place_ = path(scene, talk.call).replace("/record", "/transfer")
        status, answer = await scene.trunx.ask("POST", place_, {"to": number})
        assert status == 201, answer
        await reached.next(within=10)
    row = await has(scene.trunx, talk.call, "completed")
    assert row["endReason"] == "transferred"
    assert [(one["id"], one["status"]) for one in row["recordings"]] == [(recording, "recording")]
    await asyncio.sleep(1.5)  # until the person has said her word, which is to be in it too
    await say(scene, talk.telephone, TELEPHONE)
    await asyncio.sleep(3)  # so long she speaks
    stopped = await stop(scene, talk.call)
    sound, _ = await opened(stopped["url"])
    assert find(core(scene, TELEPHONE), sound[:, 0], 0.7)
    assert find(core(scene, "hello-world"), sound[:, 1], 0.7)
    await scene.world.ami.action("Hangup", Channel=talk.telephone, Cause="16")


async def test_a_pause_outlives_our_process(studio: Office) -> None:
    """1. The recording of a talk is paused, and we are killed. 2. We come back: it is shown as paused, in
    both places. 3. Resumed, it holds what is said from then on, and not what was said in the pause.
    """
    scene, talk = studio.scene, await KINDS["person"](studio)
    recording = await start(scene, talk.call, format="wav", channels="dual")

    async def shown() -> list[str]:
        of_call = (await scene.trunx.get(f"/api/voice/{talk.call}"))["recordings"]
        return [one["status"] for one in (*of_call, await scene.trunx.get(f"/api/recordings/{recording}"))]

    assert (await scene.trunx.ask("POST", path(scene, talk.call, "/pause")))[0] == 200
    assert await shown() == ["paused"] * 2
    await talk.cue()
    await scene.trunx.kill()
    await scene.trunx.start()
    assert await shown() == ["paused"] * 2
    answer = await scene.trunx.ask("POST", path(scene, talk.call, "/resume"))
    assert answer == (200, {"recording_uuid": recording, "status": "recording"})
    assert await shown() == ["recording"] * 2
    await say(scene, talk.telephone, TELEPHONE)
    await asyncio.sleep(3)  # so long she speaks
    sound, _ = await opened((await stop(scene, talk.call))["url"])
    assert find(core(scene, TELEPHONE), sound[:, 0], 0.7)
    assert talk.other is not None
    assert not find(talk.other, sound[:, 1], 0.5)
    assert await shown() == ["ready"] * 2


async def test_our_process_is_killed_between_stop_and_fetch(studio: Office) -> None:
    """1. The recording of one call is stopped, and we are killed as soon as Asterisk has stopped. 2. Another
    call's goes on meanwhile, and its call ends before we are back. 3. We come back: both are kept.
    """
    scene = studio.scene
    trunx, first, second = scene.trunx, await held(studio), await held(studio)
    recordings = [await start(scene, talk.call, format="wav") for talk in (first, second)]
    await asyncio.sleep(3)  # what is recorded, as is asked for below
    before = len(trunx.log)
    stopping = asyncio.create_task(trunx.ask("DELETE", path(scene, first.call)))
    said = await trunx.says("a recording has ended", since=before, recording=recordings[0])
    assert said["event"] == "a recording has ended"
    await trunx.kill()
    with pytest.raises(aiohttp.ClientError):
        await stopping
    await scene.world.ami.action("Hangup", Channel=second.telephone, Cause="16")
    await trunx.start()
    for recording in recordings:
        shown = await ready(scene, recording, 30)
        sound, lasts = await opened(shown["url"])
        assert lasts == pytest.approx(3.2, abs=0.5)
        assert longest_silence(sound[:, 0]).seconds < 3  # the music
    ended = [event for event in await events(trunx, second.call) if event["type"] == "action.completed"]
    assert [event["data"]["result"]["stoppedBy"] for event in ended] == ["call-end"]
    await hang_up(scene, first)


async def test_asterisk_dies_while_it_records(studio: Office) -> None:
    """What it had written by then is kept, or it is said that there is nothing."""
    scene, talk = studio.scene, await held(studio)
    recording = await start(scene, talk.call, format="wav")
    await asyncio.sleep(5)  # what is recorded; Asterisk has written out all but the last seconds of it
    await scene.pbx.kill()
    await scene.pbx.start()

    async def settled() -> dict[str, Any] | None:
        shown = await scene.trunx.get(f"/api/recordings/{recording}")
        return dict(shown) if shown["status"] in {"ready", "failed"} else None

    shown = await eventually(settled, 60)
    assert shown["status"] == "ready", shown
    _, lasts = await opened(shown["url"])
    assert 2.5 < lasts < 5.3
    told = {event["type"]: event["data"] for event in await events(scene.trunx, talk.call)}
    assert told["action.completed"]["result"]["stoppedBy"] == "call-end"
    assert told["recording.ready"]["recording"] == recording
    row = await has(scene.trunx, talk.call, "completed", within=20)
    assert [one["id"] for one in row["recordings"]] == [recording]
