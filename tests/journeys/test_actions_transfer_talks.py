"""Journeys of people who are transferred out of talks, held calls and trees; and our process dies."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from tests.journeys.agents import Office
from tests.journeys.listening import Shelf, shipped
from tests.journeys.scene import Asterisks, Scene, opened
from tests.journeys.server import left
from tests.journeys.transfers import (
    action,
    ended,
    in_menu,
    is_heard,
    leaves,
    menu,
    person,
    says,
    transfer,
    trees,
    words,
)


async def test_out_of_a_talk_with_a_person(exchange: Scene) -> None:
    """1. A tree connects a caller with a person. 2. She is transferred to somebody else: the first person is
    hung up on, and she talks to the second. 3. Transferred on, by the id of that call, to a third.
    """
    did, caller = exchange.new_did(), exchange.new_caller()
    first = person("65")
    nodes = {"desk": {"action": "transfer", "to": first}}
    await exchange.trunx.publish(f"transfers-{next(trees)}", did, nodes)
    with (
        exchange.world.ami.watch("UserEvent", UserEvent="Reached") as watch,
        exchange.world.ami.watch("Hangup") as over,
    ):
        call = exchange.world.dial(did, caller)
        former, of = await watch.next(), (await exchange.trunx.row(caller, ended=False))["id"]
        for _ in range(2):
            name = await transfer(exchange, of, person("65"))
            reached = await watch.next()
            await action(exchange, of, name, "completed")
            async with asyncio.timeout(4):
                async for event in over:
                    if event["Uniqueid"] == former["Uniqueid"]:
                        break
            assert (await ended(exchange, of))["endReason"] == "transferred"
            former, of = reached, name
        await call.say("vm-goodbye")
        await is_heard(exchange, reached, words(exchange, "vm-goodbye"))
        await says(exchange, reached, "tt-weasels")
        await call.hears(words(exchange, "tt-weasels"), within=4)
        await leaves(exchange, reached)
    await call.hears(shipped()["goodbye"], within=4)
    assert (await call.wait_ended()).ended_by == "far"


async def test_out_of_a_call_that_we_placed(exchange: Scene) -> None:
    """1. A call that we placed is held. 2. It is to be transferred to somebody who does not answer in time,
    and is still held. 3. Transferred to somebody who answers, both hear each other, and nobody ends the
    channel whose call is over. 4. The one who was called first hangs up: so ends the other one's call.
    """
    did = exchange.new_did()
    assert (await exchange.trunx.ask("POST", "/dids", {"did": did}))[0] == 201
    with (
        exchange.world.ami.watch("UserEvent", UserEvent="Reached") as watch,
        exchange.world.ami.watch("Hangup") as over,
    ):
        _, placed = await exchange.trunx.ask("POST", "/api/voice", {"from": did, "to": person("65")})
        callee = await watch.next()
        unanswered = await transfer(exchange, placed["id"], person("19"))
        failed = await action(exchange, placed["id"], unanswered, "failed", within=40)
        assert failed["problem"] == "no-answer"
        assert (await exchange.trunx.get(f"/api/voice/{placed['id']}"))["status"] == "answered"
        name = await transfer(exchange, placed["id"], person("65"))
        reached = await watch.next()
        await action(exchange, placed["id"], name, "completed")
        assert (await ended(exchange, placed["id"]))["endReason"] == "transferred"
        await asyncio.sleep(11)  # rows and channels have been compared
        await says(exchange, callee, "vm-goodbye")
        await is_heard(exchange, reached, words(exchange, "vm-goodbye"))
        await says(exchange, reached, "tt-weasels")
        await is_heard(exchange, callee, words(exchange, "tt-weasels"))
        await leaves(exchange, callee)
        async with asyncio.timeout(4):
            async for event in over:
                if event["Uniqueid"] == reached["Uniqueid"]:
                    break
    assert (await ended(exchange, name))["endReason"] == "hangup-caller"
    assert (await exchange.trunx.get(f"/api/voice/{placed['id']}"))["endReason"] == "transferred"


async def test_out_of_talks_with_an_agent(office: Office) -> None:
    """1. A caller talks with an agent, and somebody whom we have called with another. 2. Each is transferred
    to a person: each agent's call ends, and both talk on with a person. 3. The persons hang up.
    """
    scene, caller = office.scene, office.scene.new_caller()
    with scene.world.ami.watch("UserEvent", UserEvent="Reached") as watch:
        did = await office.line()
        call = scene.world.dial(did, caller)
        await call.hears(office.agents_sentence)
        inbound = (await scene.trunx.row(caller, ended=False))["id"]
        agents = f"/api/voice/agents/{office.agent}/call"
        status, placed = await scene.trunx.ask("POST", agents, {"to": person("65"), "from": did})
        assert status == 201, placed
        callee = await watch.next()
        await office.ai(placed["id"], status="joined")
        names = {}
        for of in (inbound, placed["id"]):
            names[of] = await transfer(scene, of, person("65"))
            reached = await watch.next()
            await action(scene, of, names[of], "completed")
            assert (await ended(scene, of))["endReason"] == "transferred"
            assert (await office.ai(of, status="ended"))["status"] == "ended"
            await says(scene, reached, "tt-weasels")
            if of == inbound:
                await call.hears(words(scene, "tt-weasels"), within=4)
                await call.say("vm-goodbye")
            else:
                await is_heard(scene, callee, words(scene, "tt-weasels"))
                await says(scene, callee, "vm-goodbye")
            await is_heard(scene, reached, words(scene, "vm-goodbye"))
            await leaves(scene, reached)
            assert (await ended(scene, names[of]))["endReason"] == "hangup-callee"
    await call.wait_ended()


async def test_out_of_a_tree_that_a_callee_walks(exchange: Scene) -> None:
    """Somebody whom we have called walks a tree, and is transferred out of it: the walk's step is kept."""
    did = await menu(exchange)
    ivr = (await exchange.trunx.get(f"/dids/{did}"))["ivr"]
    with exchange.world.ami.watch("UserEvent", UserEvent="Reached") as watch:
        body = {"from": did, "to": person("65"), "ivr": ivr}
        status, placed = await exchange.trunx.ask("POST", "/api/voice", body)
        assert status == 201, placed
        callee = await watch.next()
        await is_heard(exchange, callee, exchange.shelf.audio["menu"])
        name = await transfer(exchange, placed["id"], person("65"))
        reached = await watch.next()
        await action(exchange, placed["id"], name, "completed")
        row = await ended(exchange, placed["id"])
        assert row["endReason"] == "transferred"
        assert left(await exchange.trunx.steps_of(row)) == [("menu", "hangup", None)]
        events = (await exchange.trunx.get(f"/api/voice/{row['id']}/events"))["events"]
        types = [one["type"] for one in events if not one["type"].startswith("action.")]
        assert types[-3:] == ["ivr.step", "ivr.completed", "call.completed"]
        await says(exchange, reached, "tt-weasels")
        await is_heard(exchange, callee, words(exchange, "tt-weasels"))
        await leaves(exchange, reached)
        await is_heard(exchange, callee, shipped()["goodbye"])


async def test_our_process_dies(asterisks: Asterisks, tmp_path: Path) -> None:
    """Killed and started again. 1. While a person's telephone rings for a caller: when it answers nobody is
    there to connect them; the rows say so. 2. While two talk who were transferred: they talk on, and when
    they part the rows are right.
    """
    pbx, _ = asterisks
    settings = {"trunk": "trunk", "ami_url": pbx.ami_url, "webhook_private": "1"}
    async with opened(asterisks, tmp_path, **settings) as bare:
        scene = replace(bare, shelf=Shelf(pbx, bare.trunx.account))
        inside = await in_menu(scene)
        with scene.world.ami.watch("Newchannel", Context="callees") as rings:
            ringing = await transfer(scene, inside.id, person("64"))
            await rings.next()
        await scene.trunx.kill()
        await inside.call.wait_ended()
        await scene.trunx.start()
        failed = await action(scene, inside.id, ringing, "failed", within=30)
        assert failed["problem"] == "lost"
        assert (await ended(scene, ringing))["endReason"] == "lost"
        assert (await ended(scene, inside.id))["endReason"] == "lost"
        await scene.no_channels()

        with scene.world.ami.watch("UserEvent", UserEvent="Reached") as watch:
            inside = await in_menu(scene)
            name = await transfer(scene, inside.id, person("65"))
            reached = await watch.next()
            await action(scene, inside.id, name, "completed")
        await scene.trunx.kill()
        await says(scene, reached, "tt-weasels")
        await inside.call.hears(words(scene, "tt-weasels"), within=4)
        await scene.trunx.start()
        assert (await ended(scene, inside.id))["endReason"] == "transferred"
        assert (await scene.trunx.get(f"/api/voice/{name}"))["status"] == "answered"
        await leaves(scene, reached)
        await inside.call.hears(shipped()["goodbye"], within=4)
        assert (await ended(scene, name))["endReason"] == "hangup-callee"
        await inside.call.wait_ended()
        await scene.no_channels()


async def test_asterisk_dies(exchange: Scene) -> None:
    """Killed and started again while a person's telephone rings for one caller, and another one talks to whom
    she was transferred to. 1. All their calls are over, and say so. 2. The next caller is transferred.
    """
    scene, number = exchange, person("19")
    with (
        scene.world.ami.watch("Newchannel", Exten=number) as rings,
        scene.world.ami.watch("UserEvent", UserEvent="Reached") as watch,
    ):
        waits, talks = await in_menu(scene), await in_menu(scene)
        ringing = await transfer(scene, waits.id, number)
        await rings.next()
        talking = await transfer(scene, talks.id, person("65"))
        reached = await watch.next()
        await action(scene, talks.id, talking, "completed")
        await scene.pbx.kill()
        await scene.pbx.start()
        failed = await action(scene, waits.id, ringing, "failed", within=40)
        assert failed["problem"] == "call-ended"
        rows = [await ended(scene, call, within=40) for call in (waits.id, ringing, talks.id, talking)]
        assert [row["status"] for row in rows] == ["completed", "failed", "completed", "completed"]
        reasons = [row["endReason"] for row in rows]
        assert reasons[1] in {"canceled", "lost"}  # whichever is noticed first
        assert reasons[::2] + reasons[3:] == ["lost", "transferred", "lost"]
        await leaves(scene, reached)
        for inside in (waits, talks):
            await inside.call.hangup()
        inside = await in_menu(scene)
        again = await transfer(scene, inside.id, person("65"))
        await watch.next()
        await action(scene, inside.id, again, "completed")
        await inside.call.hears(words(scene, "hello-world"), within=4)
        await inside.call.hangup()
    assert (await ended(scene, again))["endReason"] == "hangup-caller"
