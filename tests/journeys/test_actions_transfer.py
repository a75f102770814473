"""Journeys of callers in a menu who are transferred by request: reached or not, and where they are then."""

from __future__ import annotations

import asyncio

import pytest

from tests.journeys.acted_upon import files
from tests.journeys.listening import shipped
from tests.journeys.scene import Scene
from tests.journeys.transfers import (
    action,
    ended,
    in_menu,
    is_heard,
    leaves,
    path,
    person,
    says,
    told,
    transfer,
    words,
)
from tests.peers.hearing import find


async def test_a_caller_is_taken_out_of_a_menu_and_talks(exchange: Scene) -> None:
    """1. A caller is in a menu. 2. The account transfers her: she goes on hearing the menu while a telephone
    rings. 3. The person answers, sees the call's own DID, and each hears the other. 4. Her call has ended,
    with `transferred`, and the person's goes on. 5. The person hangs up: she hears goodbye, and the end.
    """
    async with told() as (url, heard_of):
        number = person("65")
        with exchange.world.ami.watch("UserEvent", UserEvent="Reached") as watch:
            inside = await in_menu(exchange)
            did = (await exchange.trunx.get(f"/api/voice/{inside.id}"))["to"]
            name = await transfer(exchange, inside.id, number, answer_url=url)
            reached = await watch.next()
        assert (reached["Number"], reached["Caller"]) == (number, did)
        hello, bye = words(exchange, "hello-world"), words(exchange, "vm-goodbye")
        await inside.call.hears(hello, within=4)
        await inside.call.say("vm-goodbye")
        await is_heard(exchange, reached, bye)
        done = await action(exchange, inside.id, name, "completed")
        assert done["result"] == {"call": name, "to": number}
        original = await ended(exchange, inside.id)
        assert (original["status"], original["endReason"]) == ("completed", "transferred")
        placed = await exchange.trunx.get(f"/api/voice/{name}")
        assert (placed["status"], placed["from"], placed["to"]) == ("answered", did, number)
        async with asyncio.timeout(5):
            body = await heard_of.get()
        assert body.pop("answered_at")[:16] == placed["answeredAt"][:16]
        assert body == {
            "type": "transfer.answered",
            "transfer_uuid": name,
            "call_uuid": inside.id,
            "from": did,
            "to": number,
        }
        await leaves(exchange, reached)
        await inside.call.hears(shipped()["goodbye"], within=4)
        heard = await inside.call.wait_ended()
    assert heard.ended_by == "far"
    assert (await ended(exchange, name))["endReason"] == "hangup-callee"


async def test_a_transfer_stops_what_is_played(exchange: Scene) -> None:
    """1. A caller in a menu hears a file go round and round. 2. A transfer is asked for, attended: the file
    stops, which its action says, and she is in her menu. 3. While the person waits, she hears the file again.
    4. Confirmed, it stops too, and she hears nothing but the person.
    """
    scene = exchange
    music, hello = words(scene, "vm-goodbye"), words(scene, "hello-world")
    async with files(music=scene.shelf.wav("vm-goodbye")) as url:
        forever = {"url": f"{url}/music.wav", "loop": 0}

        async def play() -> str:
            status, answer = await scene.trunx.ask("POST", path(scene, inside.id, "play"), forever)
            assert status == 201, answer
            return str(answer["play_uuid"])

        with scene.world.ami.watch("UserEvent", UserEvent="Reached") as watch:
            inside = await in_menu(scene)
            first = await play()
            for _ in range(2):
                await inside.call.hears(music)
            name = await transfer(scene, inside.id, person("65"), mode="attended")
            stopped = await action(scene, inside.id, first, "completed")
            assert stopped["result"] == {"stoppedBy": "transfer"}
            await inside.call.hears(scene.shelf.audio["menu"], within=4)
            reached = await watch.next()
        second = await play()
        await inside.call.hears(music)
        status, confirmed = await scene.trunx.ask("POST", path(scene, inside.id, "transfer/confirm"))
        assert (status, confirmed["transfer_uuid"]) == (200, name)
        await action(scene, inside.id, name, "completed")
        stopped = await action(scene, inside.id, second, "completed")
        assert stopped["result"] == {"stoppedBy": "transfer"}
        await says(scene, reached, "hello-world")
        began = await inside.call.hears(hello, within=4)
        await inside.call.hangup()
        heard = (await inside.call.wait_ended()).audio
    assert not [place for place in find(music, heard, 0.7) if place.at > began]
    listed = (await scene.trunx.get(path(scene, inside.id, "actions")))["actions"]
    assert [(one["kind"], one["status"]) for one in listed] == [
        ("play", "completed"),
        ("transfer", "completed"),
        ("play", "completed"),
    ]
    assert (await ended(scene, name))["endReason"] == "hangup-caller"


@pytest.mark.parametrize(
    ("kind", "problem"), [("17", "busy"), ("21", "rejected"), ("04", "unreachable"), ("34", "unreachable")]
)
async def test_a_caller_stays_where_she_is_when_nobody_is_reached(
    exchange: Scene, kind: str, problem: str
) -> None:
    """1. A caller is in a menu, and is to be transferred to somebody who cannot be reached. 2. The action
    tells why. 3. She presses a key of the menu, and it leads where it should.
    """
    inside = await in_menu(exchange)
    name = await transfer(exchange, inside.id, person(kind))
    failed = await action(exchange, inside.id, name, "failed")
    assert failed["problem"] == problem
    await inside.call.press("1")
    await inside.call.hears(exchange.shelf.audio["bye"], within=4)
    await inside.call.wait_ended()
    row = await ended(exchange, inside.id)
    assert row["endReason"] == "hangup"
    assert (await ended(exchange, name))["status"] == "failed"


async def test_an_attended_transfer_waits_for_its_confirmation(exchange: Scene) -> None:
    """1. A caller in a menu is to be transferred, attended. 2. To confirm before the answer is refused.
    3. The person answers and is told to wait; the caller is still in her menu. 4. Confirmed, each hears the
    other. 5. The caller hangs up: the person's call ends, too.
    """
    with (
        exchange.world.ami.watch("UserEvent", UserEvent="Reached") as watch,
        exchange.world.ami.watch("Hangup") as over,
    ):
        inside = await in_menu(exchange)
        name = await transfer(exchange, inside.id, person("65"), mode="attended")
        status, early = await exchange.trunx.ask("POST", path(exchange, inside.id, "transfer/confirm"))
        assert (status, early["code"]) == (409, "transfer-not-confirmable")
        reached = await watch.next()
        await is_heard(exchange, reached, shipped()["connecting"])
        assert (await exchange.trunx.get(f"/api/voice/{inside.id}"))["status"] == "answered"
        status, again = await exchange.trunx.ask(
            "POST", path(exchange, inside.id, "transfer"), {"to": person("65")}
        )
        assert (status, again["code"]) == (409, "transfer-under-way")
        status, confirmed = await exchange.trunx.ask("POST", path(exchange, inside.id, "transfer/confirm"))
        assert (status, confirmed["transfer_uuid"]) == (200, name)
        await action(exchange, inside.id, name, "completed")
        await inside.call.say("vm-goodbye")
        await is_heard(exchange, reached, words(exchange, "vm-goodbye"))
        await says(exchange, reached, "hello-world")
        await inside.call.hears(words(exchange, "hello-world"), within=4)
        await inside.call.hangup()
        async for event in over:
            if event["Uniqueid"] == reached["Uniqueid"]:
                break
    assert (await ended(exchange, name))["endReason"] == "hangup-caller"
    assert (await ended(exchange, inside.id))["endReason"] == "transferred"


async def test_a_transfer_that_is_given_up(exchange: Scene) -> None:
    """1. A caller in a menu is to be transferred to somebody who does not answer, and it is canceled. 2. To
    somebody else, attended, who answers: canceled, too. 3. Both telephones are free again, and the caller is
    in her menu.
    """
    inside = await in_menu(exchange)
    ringing = await transfer(exchange, inside.id, person("19"))
    status, canceled = await exchange.trunx.ask("POST", path(exchange, inside.id, "transfer/cancel"))
    assert (status, canceled["status"]) == (200, "canceled")
    assert (await ended(exchange, ringing))["endReason"] == "canceled"
    with exchange.world.ami.watch("UserEvent", UserEvent="Reached") as watch:
        waiting = await transfer(exchange, inside.id, person("65"), mode="attended")
        await watch.next()
    status, canceled = await exchange.trunx.ask("POST", path(exchange, inside.id, "transfer/cancel"))
    assert (status, canceled["transfer_uuid"]) == (200, waiting)
    assert (await ended(exchange, waiting))["endReason"] == "hangup-caller"
    for name in (ringing, waiting):
        assert (await action(exchange, inside.id, name, "failed"))["problem"] == "canceled"
    status, none = await exchange.trunx.ask("POST", path(exchange, inside.id, "transfer/cancel"))
    assert (status, none["code"]) == (409, "no-transfer")
    await inside.call.press("1")
    await inside.call.hears(exchange.shelf.audio["bye"], within=4)
    await inside.call.wait_ended()


async def test_who_is_refused_by_the_gate_is_not_called(exchange: Scene) -> None:
    """A number that asked not to be called, and a caller ID that is not the account's: nobody's telephone
    rings, the action has failed with the gate's code, and the caller is where she was.
    """
    inside, number = await in_menu(exchange), person("65")
    status, listed = await exchange.trunx.ask("POST", "/suppression", {"number": number, "reason": "asked"})
    assert status < 300, listed
    with exchange.world.ami.watch("Newchannel", Context="callees") as reached:
        for asked, code in (
            ({"to": number}, "suppressed"),
            ({"to": person("65"), "caller_id": "+19495559999"}, "from-not-owned"),
        ):
            status, refused = await exchange.trunx.ask("POST", path(exchange, inside.id, "transfer"), asked)
            assert (status, refused["code"]) == (403, code)
        await inside.call.press("1")
        await inside.call.wait_ended()
        assert [event for event in reached.seen if event["Exten"] == number] == []
    life = (await exchange.trunx.get(f"/api/voice/{inside.id}/timeline"))["timeline"]
    problems = [one["data"]["problem"] for one in life if (one["kind"], one["what"]) == ("action", "failed")]
    assert problems == ["suppressed", "from-not-owned"]
    assert (await ended(exchange, inside.id))["endReason"] == "hangup"


async def test_a_caller_who_hangs_up_while_somebody_waits_for_her(exchange: Scene) -> None:
    """A person has answered an attended transfer, and is hung up on at once."""
    inside = await in_menu(exchange)
    with (
        exchange.world.ami.watch("UserEvent", UserEvent="Reached") as watch,
        exchange.world.ami.watch("Hangup") as over,
    ):
        name = await transfer(exchange, inside.id, person("65"), mode="attended")
        reached = await watch.next()
        await inside.call.hangup()
        async with asyncio.timeout(3):
            async for event in over:
                if event["Uniqueid"] == reached["Uniqueid"]:
                    break
    assert (await action(exchange, inside.id, name, "failed"))["problem"] == "call-ended"
    assert (await ended(exchange, name))["endReason"] == "hangup-caller"
    assert (await ended(exchange, inside.id))["endReason"] == "hangup-caller"


async def test_a_caller_who_hangs_up_meanwhile(exchange: Scene) -> None:
    """The telephone that rings for her is silent at once, and the action says why."""
    inside = await in_menu(exchange)
    name = await transfer(exchange, inside.id, person("19"))
    await inside.call.hangup()
    assert (await action(exchange, inside.id, name, "failed", within=3))["problem"] == "call-ended"
    assert (await ended(exchange, name))["endReason"] == "canceled"
    assert (await ended(exchange, inside.id))["endReason"] == "hangup-caller"
