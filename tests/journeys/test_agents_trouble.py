"""Agents who do not come, or not in time, and what a caller hears meanwhile: never nothing for long."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.journeys.agents import Office, staffed
from tests.journeys.listening import names, told
from tests.journeys.scene import Asterisks
from tests.journeys.server import left
from tests.journeys.test_outbound import has, new_did, place
from tests.peers.agent_side import SAYS, AgentSide, Leg, mute
from tests.peers.hearing import longest_silence
from tests.peers.ultravox import CREATES_CALL
from tests.peers.ultravox_troubles import Trouble
from tests.peers.world import Heard, LiveCall

LONGEST_SILENCE = 3.0
"""Seconds that nobody is to hear nothing."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def small_office(
    asterisks: Asterisks, vendor: AgentSide, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Office]:
    """A server that a journey may end, and an account that may have two talks at a time."""
    settings = {"ultravox_calls": "2", "ultravox_wait": "2"}
    async with staffed(asterisks, vendor, tmp_path_factory.mktemp("small"), **settings) as office:
        yield office


async def _briefly(leg: Leg) -> None:
    await leg.speak(SAYS)
    await leg.listen(0.3)


def _story(office: Office, heard: Heard) -> list[str]:
    """What the caller was told; and there was no silence."""
    assert longest_silence(heard.audio).seconds < LONGEST_SILENCE
    return names(office.told(heard.audio))


async def test_what_the_vendor_may_answer(office: Office) -> None:
    """Nine callers at once, and each request befalls something else. 1. No balance, a wrong key, errors, no
    answer at all: these callers hear it ring, a word when it takes long, and go on at `fail_node`. 2. A
    vendor that is busy for a second is asked again; whose answer was lost has made its call: these callers
    talk. 3. Nobody was called twice.
    """
    failing = {
        Trouble.PAYMENT_402: "payment",
        Trouble.UNAUTHORIZED_401: "credentials",
        Trouble.ERROR_500: "unknown",
        Trouble.HTML_502: "unknown",
        Trouble.STALL: "unknown",
    }
    passing = [
        Trouble.TOO_MANY_429,
        Trouble.NO_COMPUTE_503,
        Trouble.CUT_AFTER,
        Trouble.STALL_AFTER,
    ]
    scene, did = office.scene, await office.line(return_node="returned")
    callers = [scene.new_caller() for _ in [*failing, *passing]]
    for caller in callers:
        office.side.behave(caller, act=_briefly)
    office.peer.retry_after = 1
    office.peer.befall(*failing, *passing, on=CREATES_CALL)
    heard = await asyncio.gather(*(scene.world.call(did, caller) for caller in callers))
    office.peer.retry_after = 0

    ends: Counter[str] = Counter()
    for one, caller in zip(heard, callers, strict=True):
        story = [prompt for prompt in _story(office, one) if prompt != "connecting"]
        row = await scene.trunx.row(caller)
        talks = "agent" in story
        assert story == (["agent", "agents-returned"] if talks else ["agents-failed"])
        assert left(await scene.trunx.steps_of(row))[0] == ("talk", "done" if talks else "failed", None)
        ai = await office.ai(row["id"], status="ended" if talks else "failed")
        ends["talks" if talks else ai["endReason"]] += 1
        assert len(office.vendors(caller)) == talks
    assert ends == Counter(failing.values()) + Counter(talks=len(passing))


async def test_agents_who_do_not_come(office: Office) -> None:
    """Five callers at once. 1. The vendor's call is refused, never comes, comes for another token: the caller
    hears it ring, and a word, and goes on after ten seconds. 2. It is answered and sends nothing: the caller
    hears it ring and goes on. 3. She does not wait, and leaves by the key of `zero_out`.
    """
    scene, side = office.scene, office.side
    did = await office.line(zero_out={"0": "menu"})
    forged, absent, astray, silent, leaving = callers = [scene.new_caller() for _ in range(5)]
    side.behave(forged, way="vendor-forged")
    side.behave(absent, act=None)
    side.behave(astray, token="t" + "0" * 32)
    side.behave(silent, act=mute)
    side.behave(leaving, act=None)

    async def leaves(call: LiveCall) -> None:
        await call.until(1.5)
        await call.press("0")
        await call.hears(scene.shelf.audio["agents-menu"])
        await call.press("2")

    heard = await asyncio.gather(
        *(scene.world.call(did, caller, keys=leaves if caller == leaving else ()) for caller in callers)
    )
    stories = [_story(office, one) for one in heard]
    for story in stories[:3]:
        assert story == ["connecting", "connecting", "agents-failed"]
    assert stories[3:] == [["connecting", "agents-failed"], ["agents-menu", "agents-failed"]]
    said = len(scene.shelf.audio["agents-failed"]) / 8000
    assert [10 < one.seconds - said < 12 for one in heard] == [True, True, True, False, False]
    assert heard[3].seconds - said < 5
    for caller in callers:
        row = await scene.trunx.row(caller)
        # The vendor of the silent one has joined, as far as it knows.
        assert await office.ai(row["id"], status="ended" if caller == silent else "failed")
    for caller in (absent, leaving):  # the vendor would ring on until its joinTimeout
        (call,) = office.vendors(caller)
        await office.peer.end(call["callId"], "unjoined", "TIMEOUT")


async def test_an_agent_that_the_vendor_has_lost(office: Office) -> None:
    """Somebody has deleted our agent at the vendor's: it is made anew while the next caller hears it ring."""
    scene, agents = office.scene, office.peer.things.agents
    did, caller = await office.line(return_node="returned"), scene.new_caller()
    office.side.behave(caller, act=_briefly)
    before = list(agents)
    agents.clear()
    assert _story(office, await scene.world.call(did, caller)) == ["agent", "agents-returned"]
    assert len(agents) == 1
    assert not agents.keys() & before


async def test_callers_who_do_not_wait(office: Office) -> None:
    """1. One hangs up while the vendor is asked, one while its call is on its way. 2. The calls that come
    find nobody, and end. 3. The rows say so.
    """
    scene, side, did = office.scene, office.side, await office.line()
    early, late = scene.new_caller(), scene.new_caller()
    office.peer.befall(Trouble.STALL_AFTER, on=CREATES_CALL)
    heard = await scene.world.call(did, early, hangup_at=1.0)
    side.behave(late, after=2.0)
    await scene.world.call(did, late, hangup_at=1.0)
    assert heard.ended_by == "caller"
    for caller in (early, late):
        row = await scene.trunx.row(caller)
        assert row["endReason"] == "hangup-caller"
        await office.ai(row["id"], status="failed")
        (call,) = office.vendors(caller)
        ended = await office.peer.control.over(call["callId"])
        assert (ended["joined"], ended["endReason"]) == (None, "connection_error")


async def test_the_account_s_places(small_office: Office) -> None:
    """1. An account that may have two talks at a time has them. 2. One more caller waits two seconds, hears
    it ring, and goes on at `fail_node`; the vendor is not asked. 3. Another waits, one of the first leaves,
    and she talks.
    """
    office = small_office
    scene, did = office.scene, await office.line(return_node="returned")
    first, second, third, fourth = (scene.new_caller() for _ in range(4))
    office.side.behave(fourth, act=_briefly)
    talking = [scene.world.dial(did, caller) for caller in (first, second)]
    await asyncio.gather(*(call.hears(office.agents_sentence) for call in talking))
    assert _story(office, await scene.world.call(did, third)) == ["agents-failed"]
    assert office.vendors(third) == []
    row = await scene.trunx.row(third)
    assert (await office.ai(row["id"], status="failed"))["endReason"] == "busy"

    waiting = scene.world.dial(did, fourth)
    assert await waiting.answered()
    await waiting.until(0.7)
    await talking[0].hangup()
    assert _story(office, await waiting.wait_ended()) == ["agent", "agents-returned"]
    await talking[1].hangup()
    await office.all_over()


async def test_our_process_dies_in_the_middle(small_office: Office) -> None:
    """1. A caller and a callee talk to agents when our process is killed: both talks go on. 2. It comes back.
    The caller's agent leaves: she hears goodbye and no apology. The callee's agent leaves: he is hung up on,
    and no other agent is called. 3. The rows say what became of it, with the transcripts.
    """
    office = small_office
    scene, trunx = office.scene, office.scene.trunx
    did, caller, callee = await office.line(), scene.new_caller(), office.callee("65")
    leave = asyncio.Event()

    async def until_told(leg: Leg) -> None:
        while not leave.is_set():
            await leg.speak(SAYS)

    for one in (caller, callee):
        office.side.behave(one, act=until_told)
    call = scene.world.dial(did, caller)
    prompt = {"systemPrompt": "You call people."}
    with scene.world.ami.watch("UserEvent", UserEvent="Reached") as reached:
        placed = await place(trunx, await new_did(scene), callee, **prompt)
        channel = (await reached.next())["Uniqueid"]
    await call.hears(office.agents_sentence)
    legs = [await office.side.leg(one) for one in (caller, callee)]
    row = await trunx.row(caller, ended=False)
    await trunx.kill()
    for leg in legs:
        office.peer.say(leg.call["callId"], "AGENT", "Are you there?")
    await call.hears(office.agents_sentence)
    with scene.world.ami.watch("Hangup", Uniqueid=channel) as gone:
        await trunx.start()
        leave.set()
        heard = await call.wait_ended()
        assert heard.ended_by == "far"
        assert names(told(heard.audio)) == ["goodbye"]
        await gone.next()
    for name in (row["id"], placed):
        ai = await office.ai(name, transcript="Agent: Are you there?")
        assert (ai["status"], ai["endReason"]) == ("ended", "agent_hangup")
    assert (await has(trunx, placed, "completed"))["endReason"] == "agent-hangup"
    assert (await trunx.row(caller))["status"] == "completed"
    assert [len(office.vendors(one)) for one in (caller, callee)] == [1, 1]
    await office.all_over()


async def test_a_vendor_that_is_away(office: Office) -> None:
    """Every connection to the vendor is cut: a caller goes on, a callee is told and hung up on."""
    scene = office.scene
    did, caller, callee = await office.line(), scene.new_caller(), office.callee("65")
    office.peer.always(Trouble.CUT)
    placed = await place(scene.trunx, await new_did(scene), callee, systemPrompt="You call people.")
    assert _story(office, await scene.world.call(did, caller))[-1] == "agents-failed"
    row = await has(scene.trunx, placed, "completed", within=20)
    assert row["endReason"] == "transfer-unavailable"
    assert (await office.ai(placed, status="failed"))["transcript"] is None
