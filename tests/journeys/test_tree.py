"""Journeys through a tree: what callers hear, where they end, and what is kept of it."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from contextlib import closing

import pytest

from tests.journeys.listening import names, seconds, shipped, told
from tests.journeys.scene import SOON, Scene
from tests.journeys.server import left
from tests.peers.hearing import longest_silence
from tests.peers.world import LiveCall
from trunx.demo import DID as DEMO_DID


async def test_one_one_is_transferred(scene: Scene) -> None:
    """1. A caller dials the demo's number and hears the welcome. 2. She presses 1 in the middle of it, and
    hears the next question at once. 3. She hears it out and presses 1 half a second later. 4. Nobody is
    there: she hears that, whole, and we hang up. 5. The row says so, and the steps say what she did.
    """
    caller, prompts = scene.new_caller(), shipped()

    async def script(call: LiveCall) -> None:
        await call.until(2.2)
        await call.press("1")
        asked = await call.hears(prompts["business_check"], within=3)
        await call.until(asked + seconds(prompts["business_check"]) + 0.5)
        await call.press("1")

    with scene.pbx.ami.watch("DTMFEnd", Direction="Received", CallerIDNum=caller) as keys:
        heard = await scene.world.call(DEMO_DID, caller, keys=script)

    welcome, question, sorry = story = told(heard.audio)
    first_key, second_key = (float(key["Timestamp"]) - heard.began for key in keys.seen)
    assert names(story) == ["welcome", "business_check", "unavailable"]
    assert welcome.at < SOON
    assert -0.05 < question.at - first_key < SOON
    assert question.seconds == pytest.approx(seconds(prompts["business_check"]), abs=0.1)
    assert -0.05 < sorry.at - second_key < SOON
    assert sorry.seconds == pytest.approx(seconds(prompts["unavailable"]), abs=0.1)
    assert heard.ended_by == "far"
    assert heard.seconds == pytest.approx(sorry.end, abs=SOON)
    assert longest_silence(heard.audio).seconds < 1.0

    call = await scene.trunx.row(caller)
    assert (call["status"], call["endReason"]) == ("completed", "transfer-unavailable")
    assert (call["to"], call["ivr"], call["ivrVersion"]) == (DEMO_DID, "qualify-business", 1)
    assert call["duration"] == pytest.approx(heard.seconds, abs=1.1)  # whole seconds, as the contract has it
    steps = await scene.trunx.steps_of(call)
    assert left(steps) == [
        ("welcome", "key", "1"),
        ("has_business", "key", "1"),
        ("transfer_ai", "failed", None),
    ]
    assert steps[0]["promptMs"] == pytest.approx(1000 * first_key, abs=150)
    assets = {audio["name"]: audio for audio in (await scene.trunx.get("/audio"))["audio"]}
    whole = assets["business_check.wav"]["durationSeconds"]
    assert steps[1]["promptMs"] == pytest.approx(1000 * whole, abs=5)
    assert not any(step["fallback"] for step in steps)


async def test_nine_puts_the_caller_on_the_list_and_hangs_up(scene: Scene) -> None:
    """1. A caller presses 9 in the welcome: we hang up at once, with no further word, and his number is on
    the list already. 2. Another tree confirms it: its caller hears the confirmation when her number is on the
    list, and then the hangup. 3. A caller who withholds his number is hung up on; nothing is listed.
    """
    trunx, shelf = scene.trunx, scene.shelf
    plain, confirmed, did = scene.new_caller(), scene.new_caller(), scene.new_did()
    nodes = {
        "ask": {"audio": shelf.digits("nine-ask", "9999"), "gather": {"9": "stop"}},
        "stop": {"action": "suppress", "audio": shelf.say("nine-done", "activated", "vm-goodbye")},
    }
    await trunx.publish("nine", did, nodes)
    _, before = await trunx.ask("GET", "/suppression", limit="200")

    async def at_once() -> None:
        with scene.pbx.ami.watch("DTMFEnd", Direction="Received", CallerIDNum=plain) as keys:
            heard = await scene.world.call(DEMO_DID, plain, keys=[(0.6, "9")])
        assert await trunx.is_suppressed(plain)
        assert heard.ended_by == "far"
        assert -0.05 < heard.seconds - (float(keys.seen[0]["Timestamp"]) - heard.began) < SOON
        assert heard.seconds - told(heard.audio)[-1].end < SOON
        call = await trunx.row(plain)
        assert (call["status"], call["endReason"]) == ("completed", "suppressed")
        assert left(await trunx.steps_of(call)) == [("welcome", "key", "9"), ("dnc", "done", None)]
        entry = await trunx.get(f"/suppression/{plain}")
        assert (entry["source"], entry["call"]) == ("ivr", call["id"])

    async def with_a_word() -> None:
        async def script(call: LiveCall) -> None:
            await call.until(0.5)
            await call.press("9")
            await call.hears(shelf.audio["nine-done"], within=2)
            assert await trunx.is_suppressed(confirmed)

        heard = await scene.world.call(did, confirmed, keys=script)
        story = told(heard.audio, shelf.audio)
        assert names(story) == ["nine-ask", "nine-done"]
        assert story[1].seconds == pytest.approx(seconds(shelf.audio["nine-done"]), abs=0.1)
        assert heard.ended_by == "far"
        assert heard.seconds == pytest.approx(story[1].end, abs=SOON)

    async def without_a_number() -> None:
        unlisted = scene.new_did()
        await trunx.ask("POST", "/ivr/nine/assign", {"did": unlisted})
        heard = await scene.world.call(unlisted, None, keys=[(0.5, "9")])
        assert (heard.ended_by, names(told(heard.audio, shelf.audio))) == ("far", ["nine-ask"])
        call = await trunx.row(did=unlisted)
        assert (call["from"], call["endReason"]) == ("anonymous", "suppress-anonymous")

    await asyncio.gather(at_once(), with_a_word(), without_a_number())
    _, after = await trunx.ask("GET", "/suppression", limit="200")
    assert after["count"] - before["count"] == 2


async def test_we_hang_up_when_the_entry_is_on_the_list_and_not_before(scene: Scene) -> None:
    """1. The database is locked. 2. A caller presses 9: the line stays open. 3. The lock is released: the
    entry is written, and then, at once, we hang up.
    """
    caller = scene.new_caller()
    call = scene.world.dial(DEMO_DID, caller)
    await call.answered()
    with closing(sqlite3.connect(scene.trunx.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        await call.until(0.4)
        await call.press("9")
        await call.until(1.4)
        assert not call.ended
        assert not await scene.trunx.is_suppressed(caller)
        other.execute("ROLLBACK")
    heard = await call.wait_ended()
    assert await scene.trunx.is_suppressed(caller)
    assert heard.ended_by == "far"
    assert heard.seconds < 2.4, "later than the patience of two seconds: it went to the journal"
    assert (await scene.trunx.row(caller))["endReason"] == "suppressed"


async def test_silence_until_exhausted(scene: Scene) -> None:
    """1. A caller says nothing: menu, a second, `I did not hear a key`, menu, ..., after the third menu
    goodbye, and we hang up; each at its time. 2. In another tree the silence leads to and fro between two
    menus, as in the contract's example, without a word between: that ends too. 3. In a third one the author
    has words and an exit of his own for it.
    """
    trunx, shelf = scene.trunx, scene.shelf
    menu, other = shelf.digits("still-menu", "12"), shelf.digits("still-other", "34")
    hm, bye = shelf.digits("still-hm", "77"), shelf.digits("still-bye", "88")
    caller, dids = scene.new_caller(), [scene.new_did() for _ in range(3)]
    leave = {"action": "hangup", "audio": bye}
    plain = {"audio": menu, "gather": {"1": "leave"}, "timeout": 1.0}
    own = {"timeout_audio": hm, "exhausted_node": "leave", "attempts": 2}
    await trunx.publish("still", dids[0], {"menu": plain, "leave": leave})
    circle = {
        "menu": {**plain, "timeout_node": "other"},
        "other": {**plain, "audio": other, "timeout_node": "menu"},
    }
    await trunx.publish("still-circle", dids[1], {**circle, "leave": leave})
    await trunx.publish("still-own", dids[2], {"menu": {**plain, **own}, "leave": leave})

    first, second, third = await asyncio.gather(
        scene.world.call(dids[0], caller), *(scene.world.call(did, scene.new_caller()) for did in dids[1:])
    )

    story = told(first.audio, shelf.audio)
    assert names(story) == ["still-menu", "no-input", "still-menu", "no-input", "still-menu", "goodbye"]
    for one, following in itertools.pairwise(story):
        pause = 1.0 if one.prompt == "still-menu" else 0.0
        assert following.at - one.end == pytest.approx(pause, abs=SOON / 2)
    plays = {**shipped(), **shelf.audio}
    assert first.ended_by == "far"
    assert first.seconds == pytest.approx(sum(seconds(plays[name]) for name in names(story)) + 3, abs=0.3)
    call = await trunx.row(caller)
    assert (call["status"], call["endReason"]) == ("completed", "exhausted")
    steps = await trunx.steps_of(call)
    assert left(steps) == 3 * [("menu", "timeout", None)]
    for step in steps:
        assert step["promptMs"] == pytest.approx(1000 * seconds(shelf.audio["still-menu"]), abs=5)

    assert names(told(second.audio, shelf.audio)) == 2 * ["still-menu", "still-other"] + [
        "still-menu",
        "goodbye",
    ]
    assert (await trunx.row(did=dids[1]))["endReason"] == "exhausted"
    assert names(told(third.audio, shelf.audio)) == ["still-menu", "still-hm", "still-menu", "still-bye"]
    assert (await trunx.row(did=dids[2]))["endReason"] == "hangup"


async def test_a_wrong_key(scene: Scene) -> None:
    """1. A caller presses 5, which the menu does not have, hears so, whole, and the menu anew; she presses 2,
    which it does. 2. Another presses the right key while he is told that the first was wrong: it counts, and
    the menu is not played again. 3. A third presses one wrong key after another, each in the words about the
    one before: after three we say goodbye. Star and hash are keys as the others.
    """
    trunx, shelf, did = scene.trunx, scene.shelf, scene.new_did()
    nodes = {
        "menu": {"audio": shelf.digits("wrong-menu", "123"), "gather": {"2": "right", "*": "right"}},
        "right": {"action": "hangup", "audio": shelf.digits("wrong-right", "66")},
    }
    await trunx.publish("wrong", did, nodes)
    patient, quick, wild = (scene.new_caller() for _ in range(3))
    invalid = shipped()["invalid"]

    async def waits_for_the_menu(call: LiveCall) -> None:
        await call.until(0.5)
        await call.press("5")
        said = await call.hears(invalid, within=2)
        await call.until(said + seconds(invalid) + 0.6)
        await call.press("2")

    async def presses_at_once(call: LiveCall) -> None:
        await call.until(0.5)
        await call.press("5")
        said = await call.hears(invalid, within=2)
        await call.until(said + 0.8)
        await call.press("*")

    async def presses_anything(call: LiveCall) -> None:
        await call.until(0.5)
        await call.press("5")
        await call.hears(invalid, within=2)
        await call.press("#")
        await call.hears(invalid, within=2)
        await call.press("0")

    first, second, third = await asyncio.gather(
        scene.world.call(did, patient, keys=waits_for_the_menu),
        scene.world.call(did, quick, keys=presses_at_once),
        scene.world.call(did, wild, keys=presses_anything),
    )

    story = told(first.audio, shelf.audio)
    assert names(story) == ["wrong-menu", "invalid", "wrong-menu", "wrong-right"]
    assert story[1].seconds == pytest.approx(seconds(invalid), abs=0.1)
    assert story[2].at - story[1].end < SOON
    steps = await trunx.steps_of(await trunx.row(patient))
    assert left(steps) == [("menu", "invalid", "5"), ("menu", "key", "2"), ("right", "done", None)]

    story = told(second.audio, shelf.audio)
    assert names(story) == ["wrong-menu", "invalid", "wrong-right"]
    assert story[2].at - story[1].end < SOON
    steps = await trunx.steps_of(await trunx.row(quick))
    assert left(steps) == [("menu", "invalid", "5"), ("menu", "key", "*"), ("right", "done", None)]
    assert steps[1]["promptMs"] == 0

    assert names(told(third.audio, shelf.audio)) == ["wrong-menu", "invalid", "invalid", "goodbye"]
    call = await trunx.row(wild)
    assert call["endReason"] == "exhausted"
    assert left(await trunx.steps_of(call)) == [("menu", "invalid", key) for key in "5#0"]


async def test_keys_typed_ahead(scene: Scene) -> None:
    """1. A caller who knows the menu presses 1 and 1 as soon as we answer, as quickly as a phone can. 2. He
    hears no menu beyond its first moment, and at once what 1,1 leads to. 3. Both keys are in the steps.
    """
    caller = scene.new_caller()

    async def script(call: LiveCall) -> None:
        await call.press("11", tone=0.06, gap=0.05)
        said = await call.hears(shipped()["unavailable"], within=2)
        await call.until(said + 1)
        await call.hangup()

    heard = await scene.world.call(DEMO_DID, caller, keys=script)
    story = told(heard.audio)
    assert names(story) == ["unavailable"]
    assert story[0].at < 0.6
    steps = await scene.trunx.steps_of(await scene.trunx.row(caller))
    assert left(steps)[:2] == [("welcome", "key", "1"), ("has_business", "key", "1")]
    assert sum(step["promptMs"] for step in steps[:2]) < 600


async def test_a_change_serves_the_next_call(scene: Scene) -> None:
    """1. A caller is in the menu when the tree is changed. 2. She presses 1 and hears the old end. 3. The
    next caller hears the new one. 4. Each row names its version.
    """
    trunx, shelf, did = scene.trunx, scene.shelf, scene.new_did()
    old, new = shelf.digits("change-old", "11"), shelf.digits("change-new", "22")
    menu = {"audio": shelf.digits("change-menu", "999"), "gather": {"1": "end"}}
    await trunx.publish("change", did, {"menu": menu, "end": {"action": "hangup", "audio": old}})
    early, late = scene.new_caller(), scene.new_caller()

    async def script(call: LiveCall) -> None:
        await call.hears(shelf.audio["change-menu"])
        change = {"nodes": {"end": {"action": "hangup", "audio": new}}}
        status, answer = await trunx.ask("PATCH", "/ivr/change", change)
        assert (status, answer["version"]) == (200, 2)
        later = asyncio.create_task(scene.world.call(did, late, keys=[(0.3, "1")]))
        await call.press("1")
        assert names(told((await later).audio, shelf.audio))[-1] == "change-new"

    heard = await scene.world.call(did, early, keys=script)
    assert names(told(heard.audio, shelf.audio)) == ["change-menu", "change-old"]
    assert (await trunx.row(early))["ivrVersion"] == 1
    assert (await trunx.row(late))["ivrVersion"] == 2


async def test_audio_that_cannot_be_played(scene: Scene) -> None:
    """1. A menu's recording does not exist: the caller hears our own words for that, presses 1, and the flow
    goes on to an announcement that is no sound at all, in three kinds: our own words again, and the hangup.
    2. Each time the fact is in the step and an event.
    """
    trunx, shelf = scene.trunx, scene.shelf
    shelf.path("broken-noise", ".wav").write_bytes(b"RIFF\x00\x01this is no sound" * 9)
    shelf.path("broken-empty", ".ulaw").write_bytes(b"")
    shelf.path("broken-text", ".gsm").write_bytes(b"<html>")
    menu = shipped()["menu-missing"]

    async def journey(kind: str) -> None:
        did, caller, ivr = scene.new_did(), scene.new_caller(), f"broken-{kind}"
        nodes = {
            "menu": {"audio": "broken-nowhere.wav", "gather": {"1": "end"}},
            "end": {"action": "hangup", "audio": f"{ivr}.wav"},
        }
        await trunx.publish(ivr, did, nodes)

        async def script(call: LiveCall) -> None:
            await call.hears(menu, head=2.0)
            await call.press("1")

        heard = await scene.world.call(did, caller, keys=script)
        story = told(heard.audio)
        assert names(story) == ["menu-missing", "message-missing"], kind
        assert story[0].at < SOON
        assert story[1].at - story[0].end < SOON
        assert heard.ended_by == "far"
        assert heard.seconds == pytest.approx(story[1].end, abs=SOON)
        call = await trunx.row(caller)
        assert call["endReason"] == "hangup"
        assert [step["fallback"] for step in await trunx.steps_of(call)] == [True, True]
        events = (await trunx.get(f"/api/voice/{call['id']}/events"))["events"]
        assert [(event["type"], event["data"].get("node")) for event in events] == [
            ("call.answered", None),
            ("audio.failed", "menu"),
            ("ivr.step", "menu"),
            ("audio.failed", "end"),
            ("ivr.step", "end"),
            ("ivr.completed", None),
            ("call.completed", None),
        ]

    await asyncio.gather(*(journey(kind) for kind in ("noise", "empty", "text")))


async def test_a_number_that_nobody_serves(scene: Scene) -> None:
    """1. A caller dials a number that no account has registered: he hears that, whole, and we hang up. 2. So
    does one whose number is registered and has no IVR; that call has an account, and so a row.
    """
    unassigned, prompt = scene.new_did(), shipped()["not-in-service"]
    status, _ = await scene.trunx.ask("POST", "/dids", {"did": unassigned})
    assert status == 201
    both = await asyncio.gather(
        scene.world.call(scene.new_did(), scene.new_caller()),
        scene.world.call(unassigned, scene.new_caller()),
    )
    for heard in both:
        (said,) = told(heard.audio)
        assert said.prompt == "not-in-service"
        assert said.at < SOON
        assert said.seconds == pytest.approx(seconds(prompt), abs=0.1)
        assert heard.ended_by == "far"
        assert heard.seconds == pytest.approx(said.end, abs=SOON)
    assert (await scene.trunx.row(did=unassigned))["endReason"] == "unassigned"
