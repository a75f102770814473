"""Journeys while something is down: Redis, the database, or our server. A caller always hears a voice."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.adapters.valkey_peer import ValkeyPeer
from tests.journeys.listening import names, seconds, shipped, told
from tests.journeys.scene import SOON, Asterisks, Scene, opened
from tests.journeys.server import Trunx, eventually, left
from tests.peers.postgres import Postgres
from tests.peers.world import LiveCall
from trunx.demo import DID as DEMO_DID

WE = 2.0
"""Seconds by which the apology is known from the other prompts that begin with "We are sorry"."""


async def hears_the_apology(call: LiveCall, within: float = 3.0) -> float:
    """Waits for it, and hangs up when there is no doubt; when it began."""
    began = await call.hears(shipped()["trouble"], within=within, head=WE)
    await call.until(began + WE + 0.5)
    await call.hangup()
    return began


async def is_served(scene: Scene) -> None:
    """A new caller is answered at once, hears the welcome, presses 1, and hears the question."""
    dialled = time.monotonic()

    async def script(call: LiveCall) -> None:
        assert time.monotonic() - dialled < 1.0
        assert await call.hears(shipped()["welcome"], within=2) < SOON
        await call.press("1")
        await call.hears(shipped()["business_check"], within=1)
        await call.hangup()

    await scene.world.call(DEMO_DID, scene.new_caller(), keys=script)


async def test_redis_is_flushed_and_stopped(asterisks: Asterisks, tmp_path: Path) -> None:
    """1. Redis is emptied while a caller is in the welcome: he goes on. 2. The next caller is served at once,
    and the cache is filled again. 3. Redis dies: callers are served, and a change of the tree counts. 4. It
    hangs instead, and answers nothing: callers do not wait for it. 5. It is back, empty: the cache is filled
    again.
    """
    redis = ValkeyPeer(tmp_path / "redis")
    redis.start()
    try:
        async with opened(asterisks, tmp_path / "data", redis_url=redis.url) as scene:
            await _redis_journey(scene, redis)
    finally:
        redis.kill()


async def _redis_journey(scene: Scene, redis: ValkeyPeer) -> None:
    trunx, prompts = scene.trunx, shipped()

    async def healed(since: int) -> None:
        await trunx.says("the cache is complete: calls read their IVR from Redis", since=since)

    async def script(call: LiveCall) -> None:
        await call.hears(prompts["welcome"])
        redis.command("FLUSHALL")
        await call.press("1")
        await call.hears(prompts["business_check"], within=1)
        await call.hangup()

    async def filled() -> bool | None:
        return redis.command("DBSIZE") != b":0\r\n" or None

    await scene.world.call(DEMO_DID, scene.new_caller(), keys=script)
    await eventually(filled)
    redis.command("FLUSHALL")
    await is_served(scene)
    await eventually(filled)

    redis.kill()
    await is_served(scene)
    change = {"nodes": {"transfer_ai": {"action": "hangup", "audio": "not_qualified.wav"}}}
    assert (await trunx.ask("PATCH", "/ivr/qualify-business", change))[0] == 200

    async def one_one(call: LiveCall) -> None:
        await call.press("11")
        await call.hears(prompts["not_qualified"], within=2)
        await call.hangup()

    await scene.world.call(DEMO_DID, scene.new_caller(), keys=one_one)

    begin = len(trunx.log)
    redis.start()
    await healed(begin)
    await scene.world.call(DEMO_DID, scene.new_caller(), keys=one_one)

    begin = len(trunx.log)
    redis.freeze()
    await is_served(scene)
    await is_served(scene)
    redis.thaw()
    await healed(begin)
    await is_served(scene)


async def test_our_server_is_stopped(mortal: Scene) -> None:
    """1. Our server is stopped. 2. A caller hears the apology from the dialplan, whole, and the hangup. 3. We
    are back: the next caller is served.
    """
    await mortal.point()
    await mortal.trunx.stop()
    heard = await mortal.world.call(DEMO_DID, mortal.new_caller())
    (apology,) = told(heard.audio)
    assert apology.prompt == "trouble"
    assert apology.at < SOON
    assert apology.seconds == pytest.approx(seconds(shipped()["trouble"]), abs=0.1)
    assert heard.ended_by == "far"
    assert heard.seconds == pytest.approx(apology.end, abs=SOON)
    await mortal.trunx.start()
    await is_served(mortal)


async def test_our_server_is_killed_in_the_middle_of_calls(mortal: Scene) -> None:
    """1. A caller is in the welcome, another waits in the silence after a wrong key's words. 2. Our server is
    killed: both hear the apology at once. 3. We are back: their rows are closed as lost, the next caller is
    served.
    """
    await mortal.point()
    first, second = (mortal.world.dial(DEMO_DID, mortal.new_caller()) for _ in range(2))
    await asyncio.gather(first.answered(), second.answered())
    await second.press("5")
    await second.hears(shipped()["invalid"])
    await first.until(2.2)
    callers = {row["from"]: row for row in (await mortal.trunx.get("/api/voice", status="answered"))["calls"]}
    assert len(callers) == 2
    await mortal.trunx.kill()
    await asyncio.gather(hears_the_apology(first), hears_the_apology(second))
    for heard in await asyncio.gather(first.wait_ended(), second.wait_ended()):
        story = told(heard.audio)
        assert names(story)[-1] == "trouble"
        assert story[-1].at - story[-2].end < SOON
    await mortal.trunx.start()
    for caller in callers:
        row = await mortal.trunx.row(caller)
        assert (row["status"], row["endReason"]) == ("completed", "lost")
    await is_served(mortal)


async def test_our_server_is_restarted_under_twenty_calls(mortal: Scene) -> None:
    """1. Twenty callers are in the welcome when our server is told to end (SIGTERM); it drains for three
    seconds. 2. Ten press 9 within that time: they end as their tree says. 3. Ten say nothing: at the end of
    the time they hear the apology. 4. Who calls during the drain, or before we are back, hears it at once. 5.
    The server ended with 0, and we are back: the next caller is served, and no row is left live.
    """
    await mortal.point()
    trunx = mortal.trunx
    pressing, silent = ([mortal.new_caller() for _ in range(10)] for _ in range(2))
    calls = {caller: mortal.world.dial(DEMO_DID, caller) for caller in pressing + silent}
    await asyncio.gather(*(call.hears(shipped()["welcome"]) for call in calls.values()))
    began = asyncio.get_running_loop().time()
    await trunx.terminate()

    async def newcomer() -> None:
        call = mortal.world.dial(DEMO_DID, mortal.new_caller())
        assert await hears_the_apology(call) < SOON

    await asyncio.gather(newcomer(), *(calls[caller].press("9") for caller in pressing))
    ended = await asyncio.gather(*(calls[caller].wait_ended() for caller in pressing))
    assert {heard.ended_by for heard in ended} == {"far"}
    assert not any(calls[caller].ended for caller in silent)
    assert await trunx.ended() == 0
    assert 3 <= asyncio.get_running_loop().time() - began < 5
    await asyncio.gather(newcomer(), *(hears_the_apology(calls[caller]) for caller in silent))
    for caller in silent:
        story = told((await calls[caller].wait_ended()).audio)
        assert names(story) == ["welcome", "trouble"]
        assert story[1].at - story[0].end < SOON

    await trunx.start()
    await is_served(mortal)
    for caller in pressing:
        row = await trunx.row(caller)
        assert row["endReason"] == "suppressed"
        assert left(await trunx.steps_of(row)) == [("welcome", "key", "9"), ("dnc", "done", None)]
    for caller in silent:
        row = await trunx.row(caller)
        assert (row["status"], row["endReason"]) == ("completed", "lost")
        assert left(await trunx.steps_of(row)) == [("welcome", "hangup", None)]
    await _nothing_live(trunx)


async def _nothing_live(trunx: Trunx) -> None:
    async def none() -> bool | None:
        live = [
            row
            for status in ("initiated", "ringing", "answered")
            for row in (await trunx.get("/api/voice", status=status))["calls"]
        ]
        return not live or None

    await eventually(none)


async def test_more_calls_than_sessions(asterisks: Asterisks, tmp_path: Path) -> None:
    """1. Two callers take the two sessions there are. 2. A third hears the apology at once. 3. One of the two
    leaves: the next is served.
    """
    async with opened(asterisks, tmp_path / "data", agi_sessions="2") as scene:
        first, second = (scene.world.dial(DEMO_DID, scene.new_caller()) for _ in range(2))
        await asyncio.gather(first.hears(shipped()["welcome"]), second.hears(shipped()["welcome"]))
        third = scene.world.dial(DEMO_DID, scene.new_caller())
        assert await hears_the_apology(third) < SOON
        assert not first.ended
        assert not second.ended
        await first.hangup()
        await scene.trunx.has_sessions(1)
        await is_served(scene)
        await second.hangup()
        await second.wait_ended()
        await scene.no_channels()


async def test_the_database_stops_and_a_caller_presses_nine(asterisks: Asterisks, tmp_path: Path) -> None:
    """1. PostgreSQL stops while a caller is in the welcome. 2. She presses 9: within the patience of two
    seconds her wish is on disk, and we hang up. 3. A new caller is served all the same. 4. PostgreSQL is
    back: her number is on the list, and both rows are there.
    """
    caller, bystander = "+14155552001", "+14155552002"
    with Postgres.running() as postgres:
        url = postgres.create("trunx")
        async with opened(asterisks, tmp_path / "data", database_url=url) as scene:
            trunx = scene.trunx

            async def script(call: LiveCall) -> None:
                await call.hears(shipped()["welcome"])
                await asyncio.to_thread(postgres.stop)
                await call.press("9")

            with scene.pbx.ami.watch("DTMFEnd", Direction="Received", CallerIDNum=caller) as keys:
                heard = await scene.world.call(DEMO_DID, caller, keys=script)
            assert heard.ended_by == "far"
            assert heard.seconds - (float(keys.seen[0]["Timestamp"]) - heard.began) < 2 + SOON
            assert names(told((await scene.world.call(DEMO_DID, bystander, hangup_at=1.0)).audio)) != []

            await asyncio.to_thread(postgres.start)

            async def listed() -> bool | None:
                return await trunx.is_suppressed(caller) or None

            await eventually(listed)
            assert (await trunx.row(caller))["endReason"] == "suppressed"
            assert (await trunx.row(bystander))["endReason"] == "hangup-caller"
            await is_served(scene)
