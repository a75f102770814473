"""Many callers at once, each with keys of its own; and the figure: keys Asterisk saw minus keys we got."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any, NamedTuple

import pytest

from tests.journeys.listening import names, seconds, shipped, told
from tests.journeys.scene import Scene
from tests.journeys.server import left
from tests.peers.ami import Watch
from tests.peers.world import LiveCall

CALLERS = 50
STORM_CALLERS = 40
DEEP = 6
"""Menus one after another in the tree of the storm."""


class Story(NamedTuple):
    """One caller's tree, and what must come of what she presses."""

    did: str
    caller: str
    keys: str
    tells: list[str]
    steps: list[tuple[str, str, str | None]]
    reason: str


def keys_of(seen: Watch, caller: str) -> str:
    """The keys that Asterisk received from that caller, in order."""
    return "".join(key["Digit"] for key in seen.seen if key["CallerIDNum"] == caller)


async def write(scene: Scene, number: int) -> Story:
    """A tree that says its number, has keys of its own, and ends in one of four ways."""
    name = f"{number:02}"
    first, second = str(number % 10), str((7 * number + 3) % 10)

    def audio(part: str, word: str) -> str:
        """The number after a word, so that no audio begins as another one goes on."""
        return scene.shelf.say(f"{name}-{part}", word, *(f"digits/{digit}" for digit in name))

    ends: list[tuple[dict[str, Any], str, list[str]]] = [
        ({"action": "transfer"}, "transfer-unavailable", ["unavailable"]),
        ({"action": "hangup", "audio": audio("end", "vm-goodbye")}, "hangup", [f"{name}-end"]),
        ({"action": "suppress"}, "suppressed", []),
        ({"action": "hangup"}, "exhausted", ["goodbye"]),  # is never reached: this caller stays silent
    ]
    end, reason, last_words = ends[number % 4]
    nodes = {
        "ask": {"audio": audio("ask", "activated"), "gather": {first: "more"}},
        "more": {
            "audio": audio("more", "added"),
            "gather": {second: "end"},
            "attempts": 1,
            "timeout": 3,
        },
        "end": end,
    }
    did = scene.new_did()
    await scene.trunx.publish(f"many-{name}", did, nodes)
    presses = reason != "exhausted"
    how = "failed" if reason == "transfer-unavailable" else "done"
    last = [("more", "key", second), ("end", how, None)] if presses else [("more", "timeout", None)]
    return Story(
        did,
        scene.new_caller(),
        first + second * presses,
        [f"{name}-ask", f"{name}-more", *last_words],
        [("ask", "key", first), *last],
        reason,
    )


async def test_fifty_callers_each_with_a_tree_of_its_own(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    """1. Fifty numbers have fifty trees, each with words and keys of its own. 2. Fifty callers dial them at
    once, hear each menu out and press their keys. 3. Each hears its own tree, and ends where that says.
    4. No key is lost.
    """
    stories = [await write(scene, number) for number in range(CALLERS)]

    async def tell(number: int, story: Story) -> list[str]:
        own = {name: audio for name, audio in scene.shelf.audio.items() if name[:2] == f"{number:02}"}
        first = seconds(own[story.tells[0]]) + 0.3 + number / 100
        second = first + seconds(own[story.tells[1]]) + 0.3
        keys = list(zip((first, second), story.keys, strict=False))
        heard = await scene.world.call(story.did, story.caller, keys=keys)
        assert heard.ended_by == "far", story
        tale = await asyncio.to_thread(lambda: told(heard.audio, own))
        for one in tale:
            assert one.seconds > seconds({**shipped(), **own}[one.prompt]) - 0.25, (story, tale)
        return names(tale)

    with scene.pbx.ami.watch("DTMFEnd", Direction="Received") as seen:
        tales = await asyncio.gather(*(tell(number, story) for number, story in enumerate(stories)))

    lost = 0
    for story, tale in zip(stories, tales, strict=True):
        assert tale == story.tells
        row = await scene.trunx.row(story.caller)
        assert (row["to"], row["endReason"]) == (story.did, story.reason)
        steps = await scene.trunx.steps_of(row)
        assert left(steps) == story.steps
        assert keys_of(seen, story.caller) == story.keys
        lost += len(keys_of(seen, story.caller)) - sum(step["key"] is not None for step in steps)
        assert await scene.trunx.is_suppressed(story.caller) == (story.reason == "suppressed")
    with capsys.disabled():
        print(f"\nfifty callers: Asterisk saw {len(seen.seen)} keys, {lost} of them were lost")
    assert (len(seen.seen), lost) == (sum(len(story.keys) for story in stories), 0)


async def test_no_key_typed_ahead_is_lost(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """1. Forty callers know a tree six menus deep by heart. 2. Some type all six keys as soon as we answer,
    some in two or three bursts, in a prompt or in the words after a wrong key, as quickly as a phone can. 3.
    All come to its end, and every key that Asterisk saw is in the steps, in order.
    """
    shelf, did = scene.shelf, scene.new_did()
    wanted = "147258"
    nodes: dict[str, Any] = {
        f"menu-{place}": {
            "audio": shelf.digits(f"storm-{place}", f"{place}{place}"),
            "gather": {key: f"menu-{place + 1}" if place < DEEP - 1 else "end"},
        }
        for place, key in enumerate(wanted)
    }
    nodes["end"] = {"action": "hangup", "audio": shelf.say("storm-end", "vm-goodbye")}
    await scene.trunx.publish("storm", did, nodes)
    bursts = itertools.cycle([["147258"], ["14", "7258"], ["1", "47", "258"], ["1437258"], ["3", "147258"]])
    callers = {scene.new_caller(): next(bursts) for _ in range(STORM_CALLERS)}

    async def storm(caller: str, parts: list[str]) -> None:
        async def script(call: LiveCall) -> None:
            for place, part in enumerate(parts):
                await call.until(0.7 * place)
                await call.press(part, tone=0.05, gap=0.045)

        heard = await scene.world.call(did, caller, keys=script)
        assert heard.ended_by == "far", parts
        story = await asyncio.to_thread(lambda: told(heard.audio, shelf.audio))
        assert story[-1].prompt == "storm-end", (parts, story)

    with scene.pbx.ami.watch("DTMFEnd", Direction="Received") as seen:
        await asyncio.gather(*(storm(caller, parts) for caller, parts in callers.items()))

    got = 0
    for caller, parts in callers.items():
        steps = await scene.trunx.steps_of(await scene.trunx.row(caller))
        keys = "".join(step["key"] or "" for step in steps)
        got += len(keys)
        assert keys == keys_of(seen, caller) == "".join(parts)
    with capsys.disabled():
        lost = len(seen.seen) - got
        print(f"\ntyped ahead: Asterisk saw {len(seen.seen)} keys, {lost} of them were lost")
    assert lost == 0
