"""Journeys of audio that changes and goes: what a name in a tree means to the next call, and to this one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.journeys.listening import names, seconds, shipped, told
from tests.journeys.scene import SOON, Scene
from tests.journeys.server import Trunx, left
from tests.peers.world import LiveCall


def use(ivr: str, node: str) -> dict[str, str]:
    """A node that plays an audio, as the API tells of it."""
    return {"ivr": ivr, "node": node, "field": "audio"}


async def failures_of(trunx: Trunx, call: dict[str, Any]) -> list[str]:
    """The nodes whose audio could not be played in a call, by its events."""
    events = (await trunx.get(f"/api/voice/{call['id']}/events"))["events"]
    return [event["data"]["node"] for event in events if event["type"] == "audio.failed"]


async def test_three_ways_to_name_an_upload(scene: Scene) -> None:
    """1. A tree names one upload by its file, by its name and by its id: a caller hears it three times. 2. A
    newer upload has the same file's name and the same name: the next call hears it where it is meant, and the
    older one by its id; the tree's version is the same. 3. The newer one is deleted: the names mean the older
    one again.
    """
    trunx, shelf, did = scene.trunx, scene.shelf, scene.new_did()
    filename, name = "front-desk.wav", "Front desk (day)"
    older = await trunx.upload(shelf.wav("digits/1", "digits/2", "digits/3", "digits/4"), filename, name=name)
    nodes = {
        "by_file": {"audio": filename, "gather": {"1": "by_name"}},
        "by_name": {"audio": name, "gather": {"1": "by_id"}},
        "by_id": {"action": "hangup", "audio": older["id"]},
    }
    await trunx.publish("named", did, nodes)
    sounds = {"older": await trunx.sound(older["id"])}

    async def hears(*expected: str) -> None:
        caller = scene.new_caller()

        async def script(call: LiveCall) -> None:
            for one in expected[:2]:
                said = await call.hears(sounds[one], within=2)
                await call.until(said + 0.9)
                await call.press("1")

        heard = await scene.world.call(did, caller, keys=script)
        story = told(heard.audio, sounds)
        assert (names(story), heard.ended_by) == (list(expected), "far")
        assert story[0].at < SOON
        assert story[2].seconds == pytest.approx(seconds(sounds[expected[2]]), abs=0.1)
        row = await trunx.row(caller)
        assert row["ivrVersion"] == 1
        assert not any(step["fallback"] for step in await trunx.steps_of(row))

    await hears("older", "older", "older")

    newer = await trunx.upload(shelf.wav("digits/9", "digits/8", "digits/7", "digits/6"), filename, name=name)
    sounds["newer"] = await trunx.sound(newer["id"])
    await hears("newer", "newer", "older")
    by_names, by_id = [use("named", "by_file"), use("named", "by_name")], [use("named", "by_id")]
    assert (await trunx.get(f"/audio/{newer['id']}"))["usedBy"] == by_names
    assert (await trunx.get(f"/audio/{older['id']}"))["usedBy"] == by_id

    status, answer = await trunx.ask("DELETE", f"/audio/{newer['id']}")
    assert (status, answer["deleted"], answer["usedBy"]) == (200, True, by_names)
    await hears("older", "older", "older")


async def test_an_audio_is_deleted_while_it_is_heard(scene: Scene) -> None:
    """1. A caller is in a menu's prompt when it is deleted: the answer names the nodes that still want it. 2.
    The next caller hears the engine's own words for a menu, presses 1, which counts, and hears those for a
    message; both facts are in the steps and in events. 3. The first one has heard the prompt to its end,
    presses 1, and hears it once more, since the next node plays it too.
    """
    trunx, shelf, did = scene.trunx, scene.shelf, scene.new_did()
    early, late = scene.new_caller(), scene.new_caller()
    # Long enough for the next caller's whole call.
    made = await trunx.upload(shelf.wav(*(f"digits/{digit}" for digit in "583" * 5)), "leaving.wav")
    sound = await trunx.sound(made["id"])
    nodes = {
        "menu": {"audio": "leaving.wav", "gather": {"1": "end"}},
        "end": {"action": "hangup", "audio": made["id"]},
    }
    await trunx.publish("leaving", did, nodes)

    async def presses_in_our_words(call: LiveCall) -> None:
        said = await call.hears(shipped()["menu-missing"], within=5, head=2.0)
        await call.until(said + 2.5)
        await call.press("1")

    async def hears_it_out(call: LiveCall) -> None:
        said = await call.hears(sound, within=2)
        status, answer = await trunx.ask("DELETE", f"/audio/{made['id']}")
        assert (status, answer["deleted"]) == (200, True)
        assert answer["usedBy"] == [use("leaving", "end"), use("leaving", "menu")]
        assert (await trunx.ask("GET", f"/audio/{made['id']}"))[0] == 404
        other = await scene.world.call(did, late, keys=presses_in_our_words)
        story = told(other.audio, {"deleted": sound})
        assert (names(story), other.ended_by) == (["menu-missing", "message-missing"], "far")
        assert story[0].at < SOON
        assert story[1].at - story[0].end < SOON
        assert not call.ended
        await call.until(said + seconds(sound) + 0.3)
        await call.press("1")

    heard = await scene.world.call(did, early, keys=hears_it_out)
    story = told(heard.audio, {"deleted": sound})
    assert (names(story), heard.ended_by) == (["deleted", "deleted"], "far")
    assert [one.seconds for one in story] == pytest.approx(2 * [seconds(sound)], abs=0.1)
    assert heard.seconds == pytest.approx(story[1].end, abs=SOON)

    first, second = await asyncio.gather(trunx.row(early), trunx.row(late))
    for row, fallback, failed in ((first, False, []), (second, True, ["menu", "end"])):
        steps = await trunx.steps_of(row)
        assert left(steps) == [("menu", "key", "1"), ("end", "done", None)]
        assert [step["fallback"] for step in steps] == [fallback, fallback]
        assert await failures_of(trunx, row) == failed
