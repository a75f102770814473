"""Callers and callees who talk to an AI agent, on real Asterisks: who hears whom, and how it ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.journeys.agents import CALLER_SAYS, Office
from tests.journeys.listening import names, shipped
from tests.journeys.server import eventually, left
from tests.journeys.test_outbound import has, new_did, place
from tests.peers.agent_side import SAYS, Leg, echo
from tests.peers.hearing import RATE, longest_silence
from tests.peers.wiretap import played
from tests.peers.world import LiveCall
from trunx.demo import DID as DEMO_DID

LONGEST_SILENCE = 3.0
"""Seconds that nobody is to hear nothing."""


async def _briefly(leg: Leg) -> None:
    await leg.speak(SAYS)
    await leg.listen(0.5)


async def test_one_one_and_both_hear_each_other(office: Office) -> None:
    """1. A caller presses 1 and 1 in the demo tree and hears the agent's whole sentence. 2. The agent hears
    hers. 3. While they talk the call says so. 4. She hangs up: the vendor's call ends, and the transcript is
    there.
    """
    scene, caller = office.scene, office.scene.new_caller()
    call = scene.world.dial(DEMO_DID, caller)
    for prompt in ("welcome", "business_check"):
        await call.hears(shipped()[prompt])
        await call.press("1")
    leg = await office.side.leg(caller)
    await call.hears(office.agents_sentence)
    row = await scene.trunx.row(caller, ended=False)
    assert (await office.ai(row["id"], status="joined"))["endReason"] is None
    await call.say(CALLER_SAYS)
    await leg.hears(office.callers_sentence)
    office.peer.say(leg.call["callId"], "AGENT", "Thank you for waiting.")
    office.peer.say(leg.call["callId"], "USER", "Sorry?")
    await call.hangup()
    heard = await call.wait_ended()
    _, check, agent = office.told(heard.audio)
    assert [check.prompt, agent.prompt] == ["business_check", "agent"]
    assert office.is_whole(agent)
    assert longest_silence(heard.audio[: round(RATE * agent.at)]).seconds < LONGEST_SILENCE
    assert agent.at - check.end < 1

    row = await scene.trunx.row(caller)
    assert (row["status"], row["endReason"]) == ("completed", "hangup-caller")
    assert left(await scene.trunx.steps_of(row))[-1] == ("transfer_ai", "hangup", None)
    ai = await office.ai(row["id"], transcript="Agent: Thank you for waiting.\nUser: Sorry?")
    assert (ai["status"], ai["endReason"]) == ("ended", "hangup")
    (vendors,) = office.vendors(caller)
    context = vendors["requestContext"]
    assert (context["caller"], context["did"], context["direction"]) == (caller, DEMO_DID, "inbound")
    assert context["path"] == "welcome > has_business > transfer_ai"
    assert vendors["metadata"]["callId"] == row["id"]


async def test_who_leaves_first(office: Office) -> None:
    """Four callers at once. 1. The agent hangs up, and the walk goes on at `return_node`. 2. It hangs up, and
    nothing follows. 3. The caller leaves by the key of `zero_out`, hears the menu, and goes to the agent once
    more. 4. Nobody leaves: Asterisk itself ends the talk, though the vendor does not.
    """
    scene, side = office.scene, office.side
    lines = [
        await office.line(return_node="returned"),
        await office.line(),
        await office.line(zero_out={"0": "menu"}),
        await office.line(agent=await _short_agent(office), return_node="returned"),
    ]
    callers = [scene.new_caller() for _ in lines]
    for caller in callers[:2]:
        side.behave(caller, act=_briefly)
    office.peer.control.pace = 100.0
    menu = scene.shelf.audio["agents-menu"]

    async def leaves_by_key(call: LiveCall) -> None:
        await call.hears(office.agents_sentence)
        await call.press("0")
        await call.hears(menu)
        await call.press("1")
        await call.hears(office.agents_sentence)
        await call.press("0")
        await call.hears(menu)
        await call.press("2")

    scripts: list[Any] = [(), (), leaves_by_key, ()]
    heard = await asyncio.gather(
        *(
            scene.world.call(did, caller, keys=script)
            for did, caller, script in zip(lines, callers, scripts, strict=True)
        )
    )
    office.peer.control.pace = 1.0
    assert {one.ended_by for one in heard} == {"far"}
    stories = [office.told(one.audio) for one in heard]
    assert [names(story) for story in stories] == [
        ["agent", "agents-returned"],
        ["agent"],
        ["agent", "agents-menu", "agent", "agents-menu", "agents-failed"],
        ["agent", "agents-returned"],
    ]
    assert all(office.is_whole(stories[which][0]) for which in (0, 1, 3))
    rows = [await scene.trunx.row(caller) for caller in callers]
    assert [row["endReason"] for row in rows] == ["hangup", "agent-hangup", "hangup", "hangup"]
    assert left(await scene.trunx.steps_of(rows[2])) == [
        ("talk", "key", "0"),
        ("menu", "key", "1"),
        ("talk", "key", "0"),
        ("menu", "key", "2"),
        ("failed", "done", None),
    ]
    ends = [[call["endReason"] for call in office.vendors(caller)] for caller in callers]
    assert ends == [["agent_hangup"], ["agent_hangup"], ["hangup", "hangup"], ["hangup"]]
    (talk,) = office.vendors(callers[3])
    assert 3 <= heard[3].seconds < 3 + 1 + len(scene.shelf.audio["agents-returned"]) / RATE
    assert talk["maxDuration"] == "3s"


async def test_a_wide_voice(office: Office) -> None:
    """An agent that speaks g722 is understood by a caller who has µ-law, and it understands her."""
    scene, caller = office.scene, office.scene.new_caller()

    async def says_it_again(leg: Leg) -> None:
        await leg.speak(SAYS)
        await echo(leg)

    office.side.behave(caller, way="vendor-wide", act=says_it_again)
    call = scene.world.dial(await office.line(), caller)
    await call.hears(office.agents_sentence)
    await call.until(2.5)
    await call.say(CALLER_SAYS)
    await call.hears(office.callers_sentence)
    await call.until(5)
    await call.hangup()
    story = office.told((await call.wait_ended()).audio)
    assert names(story) == ["agent", "caller"]
    assert all(map(office.is_whole, story))


async def test_calls_that_agents_make(office: Office) -> None:
    """1. An agent calls somebody, a prompt calls another: each is dialled first, hears the agent's whole
    sentence at once, and is heard. 2. One agent hangs up, the other callee does. 3. A machine answers: no
    agent is asked for. 4. The API ends a talk. 5. An agent presses keys for a callee that listens for them.
    """
    scene, side = office.scene, office.side
    trunx, did = scene.trunx, await new_did(scene)
    by_agent, by_prompt, machine, ended, keypad = (
        office.callee("65"),
        office.callee("65"),
        office.callee("00"),
        office.callee("65"),
        office.callee("62"),
    )

    async def speaks_and_listens(leg: Leg) -> None:
        await leg.speak(SAYS)
        await leg.listen(4)

    async def presses(leg: Leg) -> None:
        await leg.press("1234")
        await leg.listen(60)

    side.behave(by_agent, act=speaks_and_listens)
    side.behave(keypad, act=presses)
    prompt: dict[str, Any] = {"systemPrompt": "You confirm appointments."}
    ami = scene.world.ami
    with (
        ami.watch("UserEvent", UserEvent="Reached") as reached,
        ami.watch("UserEvent", UserEvent="Pressed") as pressed,
    ):
        status, answer = await trunx.ask(
            "POST", f"/api/voice/agents/{office.agent}/call", {"to": by_agent, "from": did}
        )
        assert status == 201, answer
        calls = {by_agent: answer["id"]}
        calls[by_prompt] = await place(trunx, did, by_prompt, **prompt, metadata={"a": "b"})
        calls[machine] = await place(trunx, did, machine, **prompt, machineDetection=True)
        calls[ended] = await place(trunx, did, ended, **prompt)
        calls[keypad] = await place(trunx, did, keypad, **prompt)
        there = {event["Number"]: event for event in [await reached.next() for _ in range(3)]}
        assert (await pressed.next())["Keys"] == "1234"

    await asyncio.gather(*(_both_hear(office, callee, there[callee]) for callee in (by_agent, by_prompt)))
    assert (await office.ai(calls[by_prompt], status="joined"))["transcript"] is None
    await ami.action("Hangup", Channel=there[by_prompt]["Uniqueid"], Cause="16")
    await side.leg(ended)
    assert await trunx.ask("DELETE", f"/api/voice/{calls[ended]}") == (200, {"ended": True})
    assert await trunx.ask("DELETE", f"/api/voice/{calls[keypad]}") == (200, {"ended": True})

    reasons = {
        by_agent: ("agent-hangup", "agent_hangup"),
        by_prompt: ("hangup-callee", "hangup"),
        # Asterisk and the vendor are both told to end it: which of them is first there is open.
        ended: ("hangup-caller", "hangup", "agent_hangup"),
        keypad: ("hangup-caller", "hangup", "agent_hangup"),
    }
    for callee, (ours, *vendors) in reasons.items():
        row = await has(trunx, calls[callee], "completed")
        assert row["endReason"] == ours, row
        ai = await office.ai(calls[callee], status="ended")
        assert ai["endReason"] in vendors, ai
        assert 0 <= ai["duration"] < 20
    row = await has(trunx, calls[machine], "completed")
    assert (row["endReason"], row["machine"]) == ("machine", "machine")
    assert row["ai"]["status"] == "failed"
    assert office.vendors(machine) == []
    (made,) = office.vendors(by_prompt)
    assert made["metadata"]["a"] == "b"
    assert made["systemPrompt"].startswith("You confirm appointments.")


async def _both_hear(office: Office, callee: str, reached: dict[str, str]) -> None:
    """The callee, who has told where he listens, hears the agent's whole sentence soon, and the agent his."""
    world, leg = office.scene.world, await office.side.leg(callee)
    port, since = int(reached["Rtp"].rpartition(":")[2]), float(reached["Timestamp"])

    async def hears_the_agent() -> float | None:
        world.tap.take()
        packets = world.tap.packets(port)
        story = office.told(played(packets, since, packets[-1].at)) if packets else []
        return story[0].at if story and office.is_whole(story[0]) else None

    assert await eventually(hears_the_agent) < 1.5
    await world.ami.action("Setvar", Channel=reached["Uniqueid"], Variable="SAYS", Value=CALLER_SAYS)
    await world.ami.action(
        "Redirect", Channel=reached["Uniqueid"], Context="caller", Exten="says", Priority="1"
    )
    await leg.hears(office.callers_sentence)


async def _short_agent(office: Office) -> str:
    body = {"name": "Brief", "prompt": "You are brief.", "max_duration": 3}
    status, made = await office.scene.trunx.ask("POST", "/api/voice/agents", body)
    assert status == 201, made
    return str(made["id"])


@pytest.mark.parametrize("token", ["t0123456789abcdef0123456789abcdef", "s", "+19495551234", "trouble", "t"])
async def test_nobody_else_is_reached(office: Office, token: str) -> None:
    """A vendor's call for a token that nobody expects, or for anything else, ends at once."""
    pbx, world = office.scene.pbx, office.scene.world
    with (
        world.ami.watch("Hangup", Uniqueid=f"stranger-{token}") as ended,
        pbx.ami.watch("Newchannel") as channels,
    ):
        await world.ami.action(
            "Originate",
            Channel=f"PJSIP/vendor/sip:{token}@127.0.0.1:{pbx.ports.sip}",
            ChannelId=f"stranger-{token}",
            Application="Wait",
            Data="60",
            Async="true",
        )
        assert (await ended.next(within=2))["Cause"] in ("1", "3", "28")
        assert {event["Channel"].split("-0")[0] for event in channels.seen} <= {"PJSIP/trunx-agent"}
