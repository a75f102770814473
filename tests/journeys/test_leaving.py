"""Journeys of callers who leave: in a prompt, in the wait, between, and to another place of the dialplan."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import pytest

from tests.journeys.listening import names, seconds, told
from tests.journeys.scene import SOON, Scene
from tests.journeys.server import left
from tests.peers.hearing import load_gsm
from tests.peers.world import LiveCall
from trunx.demo import DID as DEMO_DID


async def test_hanging_up_in_a_prompt_and_in_the_wait(scene: Scene) -> None:
    """1. A caller hangs up in the middle of the welcome. 2. Another hears a menu out, hesitates for a second
    and hangs up. 3. Both rows say that the caller left, and the step how much of the prompt was heard.
    Nothing is left.
    """
    trunx, shelf, did = scene.trunx, scene.shelf, scene.new_did()
    nodes = {
        "menu": {"audio": shelf.digits("leave-menu", "123"), "gather": {"1": "end"}},
        "end": {"action": "hangup"},
    }
    await trunx.publish("leave", did, nodes)
    whole = seconds(shelf.audio["leave-menu"])
    hasty, hesitant = scene.new_caller(), scene.new_caller()

    first, second = await asyncio.gather(
        scene.world.call(DEMO_DID, hasty, hangup_at=1.5),
        scene.world.call(did, hesitant, hangup_at=whole + 1.0),
    )

    await scene.no_channels()
    assert (first.ended_by, second.ended_by) == ("caller", "caller")
    call = await trunx.row(hasty)
    assert (call["status"], call["endReason"]) == ("completed", "hangup-caller")
    (step,) = await trunx.steps_of(call)
    assert (step["node"], step["left"], step["key"]) == ("welcome", "hangup", None)
    assert step["promptMs"] == pytest.approx(1000 * first.seconds, abs=100)

    call = await trunx.row(hesitant)
    assert (call["status"], call["endReason"]) == ("completed", "hangup-caller")
    (step,) = await trunx.steps_of(call)
    assert (step["node"], step["left"], step["key"]) == ("menu", "hangup", None)
    assert step["promptMs"] == pytest.approx(1000 * whole, abs=5)


async def test_hanging_up_while_no_command_runs(scene: Scene) -> None:
    """1. The database is locked. 2. A caller presses 9 and hangs up while we are still writing his number
    down: his row is closed as his own leaving, and his number is on the list all the same.
    """
    trunx, caller = scene.trunx, scene.new_caller()
    call = scene.world.dial(DEMO_DID, caller)
    await call.answered()
    with closing(sqlite3.connect(trunx.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        await call.until(0.4)
        await call.press("9")
        await call.until(0.8)
        await call.hangup()
        assert (await call.wait_ended()).ended_by == "caller"
        await scene.no_channels()
        other.execute("ROLLBACK")
    row = await trunx.row(caller)
    assert row["endReason"] == "hangup-caller"
    assert left(await trunx.steps_of(row)) == [("welcome", "key", "9"), ("dnc", "hangup", None)]
    assert await trunx.is_suppressed(caller)


async def test_hanging_up_around_a_key(scene: Scene) -> None:
    """1. Sixteen callers press 1 and hang up, each 10 ms later after the key than the one before: before the
    key is over, before the next prompt, in its first frames. 2. Every row is closed as the caller's leaving;
    nothing is left on the pbx or in the server, and it has no complaint.
    """
    callers = [scene.new_caller() for _ in range(16)]
    begin = len(scene.trunx.log)

    async def leaves(number: int, caller: str) -> None:
        call = scene.world.dial(DEMO_DID, caller)
        await call.answered()
        await call.until(0.6)
        pressing = asyncio.create_task(call.press("1", tone=0.08))
        await call.until(0.65 + number / 100)
        await call.hangup()
        await asyncio.gather(pressing, return_exceptions=True)  # the call may be over before the key is
        await call.wait_ended()

    await asyncio.gather(*(leaves(number, caller) for number, caller in enumerate(callers)))
    await scene.no_channels()
    ways = set()
    for caller in callers:
        row = await scene.trunx.row(caller)
        assert (row["status"], row["endReason"]) == ("completed", "hangup-caller")
        ways.add(tuple(left(await scene.trunx.steps_of(row))))
    in_the_welcome = (("welcome", "hangup", None),)
    in_the_question = (("welcome", "key", "1"), ("has_business", "hangup", None))
    assert ways <= {in_the_welcome, in_the_question}  # both, unless the machine is very busy
    assert {line.get("level", "info") for line in scene.trunx.log[begin:]} == {"info"}


async def test_a_redirect_is_no_hangup(scene: Scene) -> None:
    """1. A caller is in the welcome. 2. The operator redirects her by AMI to a place of his own: she hears
    its greeting at once. 3. Our session is over, her call is not: the row is not closed as a hangup, and an
    event tells of the redirect.
    """
    trunx, caller = scene.trunx, scene.new_caller()
    greeting = load_gsm(scene.pbx.sounds / "en" / "hello-world.gsm")

    async def script(call: LiveCall) -> None:
        await call.until(2.2)
        channel = (await trunx.row(caller, ended=False))["agiUniqueid"]
        name = await _channel_name(scene, channel)
        await scene.pbx.ami.action("Redirect", Channel=name, Context="elsewhere", Exten="s", Priority="1")
        await call.hears(greeting, within=2)
        await trunx.has_sessions(0)
        assert not call.ended

    heard = await scene.world.call(DEMO_DID, caller, keys=script, limit=8)
    story = told(heard.audio, {"elsewhere": greeting})
    assert names(story) == ["welcome", "elsewhere"]
    assert story[1].at - story[0].end < SOON
    assert story[1].seconds == pytest.approx(seconds(greeting), abs=0.1)
    row = await trunx.row(caller, ended=False)
    assert (row["status"], row["endReason"], row["endedAt"]) == ("answered", None, None)
    events = (await trunx.get(f"/api/voice/{row['id']}/events"))["events"]
    assert [event["type"] for event in events] == ["call.answered", "ivr.step", "call.redirected"]


async def _channel_name(scene: Scene, unique: str) -> str:
    with scene.pbx.ami.watch("CoreShowChannel", Uniqueid=unique) as shown:
        await scene.pbx.ami.action("CoreShowChannels")
        return (await shown.next())["Channel"]
