"""Each sentence of the contract's notes on actions is quoted by the test that shows it, on real Asterisks."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.journeys.acted_upon import DID, act, acting, begun, callees, files, in_menu, over, talking
from tests.journeys.listening import Shelf
from tests.journeys.recorded_calls import TELEPHONE, core, opened, ready, say
from tests.journeys.scene import Scene
from tests.journeys.scene import opened as scene_of
from tests.journeys.server import KEY, eventually
from tests.journeys.test_outbound import events, has, place
from tests.peers.hearing import find

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOTES = """\
All actions require the call to be in in-progress status
Multiple actions can be performed on the same call
Actions are executed asynchronously
Some actions (play, speak) will interrupt each other
Recordings are available for 30 days by default
Recording starts from the moment the API is called
Both sides of the call are recorded
Recording URLs are provided in the call details and hangup webhook
The original call ends when transfer completes
Transfer can be blind (immediate) or attended (with confirmation)
Failed transfers will return the caller to the original call
Audio files must be publicly accessible
Supported formats: mp3, wav
Playback can be stopped by starting a new action
Neural voices provide more natural speech
Maximum text length: 3000 characters
Multiple languages and voices available
Speech can be interrupted by DTMF input
Valid digits: 0-9, *, #
Useful for navigating IVR systems during transferred calls
Each digit is played for 200ms with 200ms gaps
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    async with acting(tmp_path_factory.mktemp("contract")) as scene:
        yield scene


async def test_only_in_progress(scene: Scene) -> None:
    """All actions require the call to be in in-progress status"""
    number = f"+141555564{next(callees)}"  # rings for two seconds
    call = await place(scene.trunx, DID, number)
    bodies: dict[str, Any] = {
        "transfer": {"to": "+14155559999"},
        "record": {},
        "play": {"url": "https://example.com/hold-music.mp3"},
        "speak": {"text": "Hello."},
        "dtmf": {"digits": "1"},
    }

    async def refused(state: str) -> None:
        for what, body in bodies.items():
            status, problem = await act(scene, call, what, body)
            assert (status, problem["code"]) == (409, "call-not-in-progress"), what
            assert state in problem["detail"]

    await has(scene.trunx, call, "ringing")
    await refused("ringing")
    await scene.trunx.ask("DELETE", f"/api/voice/{call}")
    await has(scene.trunx, call, "failed")
    await refused("failed")


async def test_several_at_once(scene: Scene) -> None:
    """Multiple actions can be performed on the same call"""
    async with talking(scene) as (call, _):
        recording = await begun(scene, call, "record")
        keys = await begun(scene, call, "dtmf", digits="12")
        words = await begun(scene, call, "speak", text="One moment.")
        for action in (keys, words):
            assert (await over(scene, call, action))["status"] == "completed"
        assert (await act(scene, call, "record", method="DELETE"))[1]["recording_uuid"] == recording


async def test_behind_the_answer(scene: Scene) -> None:
    """Actions are executed asynchronously"""
    async with talking(scene) as (call, _):
        action = await begun(scene, call, "dtmf", digits="123456789")
        _, listed = await act(scene, call, "actions", method="GET")
        assert listed["actions"][-1]["status"] == "started"
        assert (await over(scene, call, action))["status"] == "completed"
        told = [event["type"] for event in await events(scene.trunx, call)]
        assert told[-2:] == ["action.started", "action.completed"]


async def test_one_sound_at_a_time(scene: Scene) -> None:
    """Some actions (play, speak) will interrupt each other"""
    shelf = Shelf(scene.pbx, scene.trunx.account)
    async with files(music=shelf.wav(*["vm-goodbye"] * 6)) as url, talking(scene) as (call, _):
        first = await begun(scene, call, "play", url=f"{url}/music.wav", loop=0)
        second = await begun(scene, call, "speak", text="We are looking for your order, please hold on.")
        third = await begun(scene, call, "play", url=f"{url}/music.wav")
        for action in (first, second):
            one = await over(scene, call, action)
            assert "stoppedBy" in one["result"], one
        assert (await act(scene, call, "play", method="DELETE"))[1]["play_uuid"] == third


async def test_for_thirty_days(scene: Scene) -> None:
    """Recordings are available for 30 days by default"""
    async with talking(scene) as (call, _):
        recording = await begun(scene, call, "record")
        await asyncio.sleep(1)  # what is recorded: nothing would be a recording that has failed
        assert (await act(scene, call, "record", method="DELETE"))[0] == 200
        shown = await scene.trunx.get(f"/api/recordings/{recording}")
        ended, expires = (datetime.fromisoformat(shown[name]) for name in ("stoppedAt", "expiresAt"))
        assert round((expires - ended).total_seconds() / 86_400, 2) == 30


async def test_from_then_on_both_sides(scene: Scene) -> None:
    """Recording starts from the moment the API is called

    Both sides of the call are recorded
    """
    async with in_menu(scene) as (call, live, menu):
        await live.say("hello-world")  # before: it is not to be heard
        await live.until(4)
        recording = await begun(scene, call, "record", format="wav", channels="dual")
        await say(scene, live.id, TELEPHONE)
        await asyncio.sleep(8)  # the menu is said once more
        assert (await act(scene, call, "record", method="DELETE"))[0] == 200
        sound, lasts = await opened((await ready(scene, recording))["url"])
        shown = await scene.trunx.get(f"/api/recordings/{recording}")
        assert shown["duration"] == round(lasts, 3)
        assert find(core(scene, TELEPHONE), sound[:, 0], 0.7)
        assert find(scene.shelf.audio[menu], sound[:, 1], 0.7)
        assert not find(core(scene, "hello-world"), sound[:, 0], 0.5)


async def test_where_its_url_is(scene: Scene) -> None:
    """Recording URLs are provided in the call details and hangup webhook"""
    async with talking(scene) as (call, _):
        recording = await begun(scene, call, "record")
        await asyncio.sleep(1)
    await ready(scene, recording)
    (detail,) = (await scene.trunx.get(f"/api/voice/{call}"))["recordings"]
    await opened(detail["url"])
    (end,) = [event for event in await events(scene.trunx, call) if event["type"] == "call.completed"]
    (named,) = end["data"]["recordings"]
    headers = {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession(headers=headers) as client, client.get(named["url"]) as answer:
        assert (answer.status, answer.content_type) == (200, "audio/mpeg")


async def test_who_is_transferred_leaves_the_call(scene: Scene) -> None:
    """The original call ends when transfer completes"""
    async with in_menu(scene) as (call, live, _):
        transfer = await begun(scene, call, "transfer", to=f"+141555565{next(callees)}", caller_id=DID)
        row = await has(scene.trunx, call, "completed")
        assert row["endReason"] == "transferred"
        await live.hears(core(scene, "hello-world"))
        assert not live.ended
        await scene.trunx.ask("DELETE", f"/api/voice/{transfer}")


async def test_blind_or_attended(scene: Scene) -> None:
    """Transfer can be blind (immediate) or attended (with confirmation)"""
    async with in_menu(scene) as (call, live, _):
        number = f"+141555565{next(callees)}"
        transfer = await begun(scene, call, "transfer", to=number, caller_id=DID, mode="attended")
        await has(scene.trunx, transfer, "answered")
        assert (await scene.trunx.get(f"/api/voice/{call}"))["status"] == "answered"

        async def confirmed() -> bool | None:
            return (await act(scene, call, "transfer/confirm"))[0] == 200 or None

        await eventually(confirmed)
        assert (await has(scene.trunx, call, "completed"))["endReason"] == "transferred"
        assert not live.ended
        await scene.trunx.ask("DELETE", f"/api/voice/{transfer}")


async def test_who_is_not_transferred_stays(scene: Scene) -> None:
    """Failed transfers will return the caller to the original call"""
    async with in_menu(scene) as (call, live, _):
        for kind in ("17", "21"):
            action = await begun(scene, call, "transfer", to=f"+1415555{kind}{next(callees)}", caller_id=DID)
            assert (await over(scene, call, action))["status"] == "failed"
        assert (await scene.trunx.get(f"/api/voice/{call}"))["status"] == "answered"
        await live.press("1")
        assert (await live.wait_ended()).ended_by == "far"
    await has(scene.trunx, call, "completed")
    (step, _) = await scene.trunx.steps_of({"id": call})
    assert (step["node"], step["key"]) == ("menu", "1")


async def test_whose_files_are_not_for_everybody(scene: Scene, tmp_path: Path) -> None:
    """Audio files must be publicly accessible"""
    shelf = Shelf(scene.pbx, scene.trunx.account)
    strict = {"ami_url": scene.pbx.ami_url, "trunk": "trunk"}
    async with files(music=shelf.wav("vm-goodbye")) as url:
        async with scene_of((scene.pbx, scene.world), tmp_path, **strict) as other:
            assert (await other.trunx.ask("POST", "/dids", {"did": DID}))[0] == 201
            async with talking(other) as (call, _):
                for address in (f"{url}/music.wav", url.replace("127.0.0.1", "localhost") + "/music.wav"):
                    status, answer = await act(other, call, "play", {"url": address})
                    if status == 201:
                        failed = await over(other, call, answer["play_uuid"])
                        assert failed["status"] == "failed", failed
                    else:
                        assert status == 422, answer
        await scene.point()


async def test_which_files_are_played(scene: Scene) -> None:
    """Supported formats: mp3, wav"""
    shelf = Shelf(scene.pbx, scene.trunx.account)
    status, audio = await scene.trunx.ask("POST", "/audio", {"text": "One moment.", "name": "moment"})
    assert status == 201
    mp3 = await scene.trunx.file(audio["id"], "mp3")
    kinds = {"wav": shelf.wav("hello-world"), "mp3": mp3, "page": b"<p>Sorry</p>"}
    async with files(**kinds) as url, talking(scene) as (call, _):
        ended = {}
        for name in kinds:
            action = await begun(scene, call, "play", url=f"{url}/{name}.{name}")
            ended[name] = (await over(scene, call, action))["status"]
        assert ended == {"wav": "completed", "mp3": "completed", "page": "failed"}


async def test_a_new_action_stops_it(scene: Scene) -> None:
    """Playback can be stopped by starting a new action"""
    shelf = Shelf(scene.pbx, scene.trunx.account)
    async with files(music=shelf.wav("vm-goodbye", "hello-world")) as url, talking(scene) as (call, _):
        endless = await begun(scene, call, "play", url=f"{url}/music.wav", loop=0)
        await asyncio.sleep(2)
        assert (await act(scene, call, "actions", method="GET"))[1]["actions"][0]["status"] == "started"
        await begun(scene, call, "speak", text="One moment.")
        assert "stoppedBy" in (await over(scene, call, endless))["result"]


@pytest.mark.parametrize("engine", ["standard", "neural"])
async def test_engines(scene: Scene, engine: str) -> None:
    """Neural voices provide more natural speech"""
    async with talking(scene) as (call, _):
        action = await begun(scene, call, "speak", text="One moment.", engine=engine)
        ended = await over(scene, call, action)
        assert ended["status"] == "completed"
        assert ended["asked"]["engine"] == engine


async def test_how_much_is_spoken(scene: Scene) -> None:
    """Maximum text length: 3000 characters"""
    async with talking(scene) as (call, _):
        await begun(scene, call, "speak", text="a " * 1_500)
        status, problem = await act(scene, call, "speak", {"text": "a " * 1_500 + "b"})
        assert (status, problem["errors"][0]["pointer"]) == (422, "/text")


async def test_languages_and_voices(scene: Scene) -> None:
    """Multiple languages and voices available"""
    voices = [one["id"] for one in (await scene.trunx.get("/audio/voices"))["voices"]]
    async with talking(scene) as (call, _):
        for language, voice in (("en-US", voices[0]), ("en-GB", voices[-1]), ("en-US", "en-US-Neural-Jenny")):
            asked = {"text": "One moment.", "language": language, "voice": voice}
            ended = await over(scene, call, await begun(scene, call, "speak", **asked))
            assert ended["status"] == "completed", ended
            assert asked.items() <= ended["asked"].items()
        # Who has no key of a vendor has English voices only, and is told so.
        action = await begun(scene, call, "speak", text="Einen Moment.", language="de-DE")
        assert (await over(scene, call, action))["problem"] == "language-unavailable"


async def test_a_key_ends_speech(scene: Scene) -> None:
    """Speech can be interrupted by DTMF input"""
    async with in_menu(scene) as (call, live, _):
        action = await begun(scene, call, "speak", text="We are looking for your order. " * 8)
        await asyncio.sleep(4)
        await live.press("1")
        ended = await over(scene, call, action)
        assert ended["result"]["stoppedBy"] == "key", ended
        assert (await live.wait_ended()).ended_by == "far"  # it was the menu's answer too


async def test_which_keys(scene: Scene) -> None:
    """Valid digits: 0-9, *, #"""
    async with talking(scene) as (call, callee):
        with scene.world.ami.watch("DTMFEnd", Uniqueid=callee, Direction="Received") as keys:
            await begun(scene, call, "dtmf", digits="0123456789*#")
            assert [(await keys.next())["Digit"] for _ in range(12)] == list("0123456789*#")
        for digits in ("", "A", "+1", "1,2", "1\r\n"):
            assert (await act(scene, call, "dtmf", {"digits": digits}))[0] == 422


async def test_keys_after_a_transfer(scene: Scene) -> None:
    """Useful for navigating IVR systems during transferred calls"""
    async with in_menu(scene) as (call, _, _):
        number = f"+141555562{next(callees)}"  # listens for keys
        with scene.world.ami.watch("UserEvent", UserEvent="Pressed", Number=number) as pressed:
            transfer = await begun(scene, call, "transfer", to=number, caller_id=DID)
            await has(scene.trunx, call, "completed")
            await begun(scene, transfer, "dtmf", digits="w1234")
            assert (await pressed.next(within=30))["Keys"] == "1234"
        await scene.trunx.ask("DELETE", f"/api/voice/{transfer}")


async def test_how_long_a_key_sounds(scene: Scene) -> None:
    """Each digit is played for 200ms with 200ms gaps"""
    async with talking(scene) as (call, callee):
        with (
            scene.world.ami.watch("DTMFBegin", Uniqueid=callee, Direction="Received") as begins,
            scene.world.ami.watch("DTMFEnd", Uniqueid=callee, Direction="Received") as ends,
        ):
            await begun(scene, call, "dtmf", digits="12345")
            begun_at = [float((await begins.next())["Timestamp"]) for _ in range(5)]
            ended_at = [float((await ends.next())["Timestamp"]) for _ in range(5)]
        tones = [end - begin for begin, end in zip(begun_at, ended_at, strict=True)]
        gaps = [begin - end for begin, end in zip(begun_at[1:], ended_at[:-1], strict=True)]
        assert tones == pytest.approx([0.2] * 5, abs=0.04)
        assert gaps == pytest.approx([0.2] * 4, abs=0.06)


async def test_every_note_has_a_test_that_quotes_it() -> None:
    here = vars(sys.modules[__name__])
    quoted = [
        line.strip()
        for name, test in here.items()
        if name.startswith("test_") and test.__doc__
        for line in test.__doc__.splitlines()
        if line.strip()
    ]
    assert sorted(quoted) == sorted(NOTES.splitlines())
