"""The harness itself: calls from one real Asterisk to another, and what of them the caller hears."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from tests.peers.hearing import Audio, find, first, load_gsm, longest_silence
from tests.peers.world import Heard, LiveCall, World, pbx_and_world

ROOT = Path(__file__).parents[2]
DID = "+19495551234"
FRAME = 0.02

DIALPLAN = """
[trunx-inbound]
exten => _+1949555XXXX,1,Goto(${EXTEN:-4},1)

exten => 1234,1,Answer()
 same => n,Read(KEY,hello-world,1,,1,3)
 same => n,Playback(${IF($["${KEY}" = "5"]?vm-goodbye:beep)})
 same => n,Hangup(16)

exten => 4321,1,Answer()
 same => n,Playback(beep)
 same => n,Wait(1.234)
 same => n,Playback(beep)
 same => n,Wait(3600)

exten => 1717,1,Hangup(17)

exten => 4242,1,UserEvent(Caller,Number: ${CALLERID(num)},Name: ${CALLERID(name)})
 same => n,Hangup(16)

exten => _50XX,1,Answer()
 same => n,Read(KEYS,hello-world,2,,1,6)
 same => n,SayDigits(${KEYS})
 same => n,Hangup(16)
"""


def core(world: World, name: str) -> Audio:
    """One of the core sounds that both Asterisks have."""
    return load_gsm(world.sounds / "en" / f"{name}.gsm")


async def test_a_caller_hears_presses_and_hears_the_answer() -> None:
    """1. The pbx says a sentence. 2. The caller presses 5, which stops it. 3. Goodbye; the pbx hangs up."""
    async with pbx_and_world(DIALPLAN) as (pbx, world):
        hello, goodbye, beep = core(world, "hello-world"), core(world, "vm-goodbye"), core(world, "beep")
        with pbx.ami.watch("DTMFEnd", Direction="Received") as keys:
            heard = await world.call(DID, keys=[(0.8, "5")])

        assert (heard.answered, heard.ended_by, heard.cause) == (True, "far", 16)
        assert [key["Digit"] for key in keys.seen] == ["5"]
        assert len(heard.audio) / 8000 == pytest.approx(heard.seconds, abs=0.001)
        began = first(hello, heard.audio, head=0.5)
        assert began < 0.2
        assert find(hello, heard.audio, at_least=0.95) == []  # not to its end
        # The tone began at 0.8 s and lasted 0.1 s; the prompt stops at its end at the latest.
        assert 0.8 < first(goodbye, heard.audio) < 1.2
        assert find(beep, heard.audio) == []
        assert longest_silence(heard.audio).seconds < 0.5


async def test_a_caller_may_act_upon_what_it_hears_and_leave() -> None:
    async with pbx_and_world(DIALPLAN) as (_, world):
        beep = core(world, "beep")

        async def script(call: LiveCall) -> None:
            assert await call.hears(beep) < 0.2
            assert await call.hears(beep) > 1.5
            assert len(call.heard()) > 1.5 * 8000
            await call.until(2.5)
            await call.hangup()

        heard = await world.call("+19495554321", keys=script)
        assert (heard.answered, heard.ended_by, heard.cause) == (True, "caller", 16)
        one, other = (place.at for place in find(beep, heard.audio))
        # The beep's 0.44 s and the wait, to the frame.
        assert other - one == pytest.approx(len(beep) / 8000 + 1.234, abs=FRAME)


async def test_hanging_up_at_a_time_at_the_limit_and_because_a_script_failed() -> None:
    async with pbx_and_world(DIALPLAN) as (_, world):

        async def script(call: LiveCall) -> None:
            await call.hears(core(world, "vm-goodbye"), within=0.3)

        at_a_time, at_the_limit, failed = await asyncio.gather(
            world.call("+19495554321", hangup_at=0.7),
            world.call("+19495554321", limit=1.0),
            world.call("+19495554321", keys=script),
            return_exceptions=True,
        )
        assert isinstance(at_a_time, Heard)
        assert at_a_time.seconds == pytest.approx(0.7, abs=0.1)
        assert isinstance(at_the_limit, Heard)
        assert (at_a_time.ended_by, at_the_limit.ended_by) == ("caller", "caller")
        assert 0.5 < at_the_limit.seconds < 1.1
        assert isinstance(failed, AssertionError)
        assert "0 active channels" in await world.ami.command("core show channels")


async def test_calls_that_nobody_answers() -> None:
    async with pbx_and_world(DIALPLAN) as (pbx, world):
        busy, unknown = await asyncio.gather(world.call("+19495551717"), world.call("+4930555"))
        assert (busy.answered, busy.ended_by, busy.cause, busy.seconds) == (False, "far", 17, 0)
        assert (unknown.answered, unknown.cause) == (False, 1)
        assert not len(busy.audio)

        await pbx.kill()
        assert not (await world.call(DID, limit=1.0)).answered
        await pbx.start()
        assert (await world.call(DID, hangup_at=0.5)).answered


async def test_who_calls() -> None:
    async with pbx_and_world(DIALPLAN) as (pbx, world):
        with pbx.ami.watch("UserEvent", UserEvent="Caller") as callers:
            for caller, name in (
                ("+14155550199", "Zoë"),
                ("+14155550199", b"Jos\xe9"),
                ("+14155550199", ""),
                (None, ""),
            ):
                await world.call("+19495554242", caller, name=name)
                await callers.next()
        assert [(caller["Number"], caller["Name"]) for caller in callers.seen] == [
            ("+14155550199", "Zoë"),
            ("+14155550199", "Jos\ufffd"),  # Asterisk 22 mends what is no UTF-8
            ("+14155550199", ""),
            ("anonymous", "Anonymous"),
        ]


async def test_fifty_callers_at_once_each_hear_their_own_keys() -> None:
    async with pbx_and_world(DIALPLAN) as (pbx, world):
        hello = core(world, "hello-world")
        digits = {digit: core(world, f"digits/{digit}") for digit in "0123456789"}

        async def caller(number: int) -> tuple[str, Heard]:
            typed = f"{number:02}"
            return typed, await world.call(f"+194955550{typed}", keys=[(2.0, typed)])

        with pbx.ami.watch("DTMFEnd", Direction="Received") as keys:
            calls = await asyncio.gather(*(caller(number) for number in range(50)))
        assert len(keys.seen) == 100
        for typed, heard in calls:
            assert heard.ended_by == "far"
            assert first(hello, heard.audio, at_least=0.95) < 0.5
            after = heard.audio[2 * 8000 :]
            said = sorted((place.at, key) for key in set(typed) for place in find(digits[key], after, 0.9))
            assert "".join(key for _, key in said) == typed


async def test_what_the_pbx_dials_the_world_answers() -> None:
    callees = "exten => +14155550123,1,Answer()\n same => n,Playback(hello-world)\n same => n,Hangup(16)\n"
    dialplan = f"[trunx-inbound]\nexten => {DID},1,Dial(PJSIP/+14155550123@trunk)\n"
    async with pbx_and_world(dialplan, callees) as (_, world):
        heard = await world.call(DID)
        assert first(core(world, "hello-world"), heard.audio) < 0.5


async def test_nothing_is_left_when_the_tests_are_killed() -> None:
    code = """
import asyncio
from tests.peers.asterisk import running_pbx
async def run():
    async with running_pbx("[trunx-inbound]\\nexten => s,1,NoOp()\\n") as pbx:
        print(pbx.pid, pbx.folder, flush=True)
        await asyncio.Event().wait()
asyncio.run(run())
"""
    tests = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert tests.stdout is not None
    pid, folder = (await tests.stdout.readline()).decode().split()
    gone = asyncio.Event()
    handle = os.pidfd_open(int(pid))
    asyncio.get_running_loop().add_reader(handle, gone.set)
    try:
        tests.send_signal(signal.SIGKILL)
        await tests.wait()
        await asyncio.wait_for(gone.wait(), 5)
    finally:
        asyncio.get_running_loop().remove_reader(handle)
        os.close(handle)
    # Also shows that nothing is mounted on it any more: that could not be removed.
    shutil.rmtree(folder)
