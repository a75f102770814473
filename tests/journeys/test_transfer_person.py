"""Journeys of callers who are transferred to a person: reached, not reached, and who leaves first."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.journeys.listening import HEAD, Shelf, names, told
from tests.journeys.scene import SOON, Asterisks, Scene, opened
from tests.journeys.server import eventually, left
from tests.peers.ami import Watch
from tests.peers.hearing import RATE, Audio, find, first, load_gsm, longest_silence
from tests.peers.wiretap import played
from tests.peers.world import LiveCall

_numbers = itertools.count(50)
_trees = itertools.count()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared_desk(asterisks: Asterisks, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """A server that has a trunk, and no AMI: transfers need none."""
    async with opened(asterisks, tmp_path_factory.mktemp("desk"), trunk="trunk") as scene:
        yield scene


@pytest_asyncio.fixture(loop_scope="session")
async def desk(shared_desk: Scene) -> AsyncIterator[Scene]:
    """The same, with the pbx pointed at it; a journey leaves no channel."""
    await shared_desk.point()
    yield replace(shared_desk, shelf=Shelf(shared_desk.pbx, shared_desk.trunx.account))
    await shared_desk.no_channels()


def person(kind: str) -> str:
    """A number that nobody else calls, whose callee behaves so: see `tests.peers.callees.CALLEES`."""
    return f"+1415555{kind}{next(_numbers):02}"


async def publish(scene: Scene, to: str, **fields: Any) -> str:
    """Puts a tree behind a new number that transfers its callers to `to` at once; the number.

    Its other nodes are `busy`, `late` and `broken`, which say a digit and hang up, and `menu`, where 1 leads
    to the first of these.
    """
    did, shelf = scene.new_did(), scene.shelf
    exits = {"busy": "111", "late": "222", "broken": "333"}
    nodes: dict[str, Any] = {
        "call": {"action": "transfer", "to": to, **fields},
        "menu": {"audio": shelf.digits("menu", "444"), "gather": {"1": "busy"}},
    }
    for name, digits in exits.items():
        nodes[name] = {"action": "hangup", "audio": shelf.digits(name, digits)}
    await scene.trunx.publish(f"desk-{next(_trees)}", did, nodes)
    return did


EXITS = {"on_busy": "busy", "on_no_answer": "late", "on_failed": "broken"}


def words(scene: Scene, name: str) -> Audio:
    """What somebody in the world says."""
    return load_gsm(scene.world.sounds / "en" / f"{name}.gsm")


def dialled(watch: Watch, number: str) -> int:
    """How many calls for the number have reached the world."""
    return sum(event["Exten"] == number for event in watch.seen)


async def test_both_hear_each_other_until_the_caller_leaves(desk: Scene) -> None:
    """1. A caller is transferred, and hears it ring until the person answers. 2. The person's telephone shows
    the number that was dialled. 3. She hears the person's words, the person hears hers. 4. She hangs up: the
    person's call is ended at once, the row is hers, and the step says so.
    """
    number, caller = person("65"), desk.new_caller()
    did = await publish(desk, number, return_node="menu")
    hello, bye = words(desk, "hello-world"), words(desk, "vm-goodbye")
    with (
        desk.world.ami.watch("UserEvent", UserEvent="Reached") as reached,
        desk.world.ami.watch("Hangup", Exten=number) as over,
    ):
        call = desk.world.dial(did, caller)
        assert await call.answered()
        answer = await reached.next()
        assert (answer["Number"], answer["Caller"]) == (number, did)
        await call.hears(hello, within=3)
        await call.say("vm-goodbye")
        port, since = int(answer["Rtp"].rpartition(":")[2]), float(answer["Timestamp"])

        async def heard_by_person() -> float | None:
            desk.world.tap.take()
            packets = desk.world.tap.packets(port)
            audio = played(packets, since, packets[-1].at) if packets else None
            places = [] if audio is None else find(bye, audio)
            return places[0].at if places else None

        assert await eventually(heard_by_person) > 0
        await call.hangup()
        heard = await call.wait_ended()
        ended = await over.next()
        assert float(ended["Timestamp"]) - (heard.began + heard.seconds) < SOON
    assert heard.ended_by == "caller"
    before = heard.audio[: round(RATE * first(hello, heard.audio, 0.9, HEAD))]
    assert longest_silence(before).seconds < 2.5
    row = await desk.trunx.row(caller)
    assert (row["status"], row["endReason"]) == ("completed", "hangup-caller")
    assert left(await desk.trunx.steps_of(row)) == [("call", "hangup", None)]


async def test_who_is_left_by_the_person_comes_back(desk: Scene) -> None:
    """1. A person answers and hangs up after a second: the caller is in the menu at once, and presses a key.
    2. Another caller's tree has nothing to come back to: her call ends.
    """
    returning, ending = desk.new_caller(), desk.new_caller()
    with_menu = await publish(desk, person("60"), return_node="menu")
    without = await publish(desk, person("60"))
    menu = desk.shelf.audio["menu"]

    async def script(call: LiveCall) -> None:
        await call.hears(menu, within=6)
        await call.press("1")

    came_back, ended = await asyncio.gather(
        desk.world.call(with_menu, returning, keys=script), desk.world.call(without, ending)
    )
    assert names(told(came_back.audio, desk.shelf.audio)) == ["menu", "busy"]
    row = await desk.trunx.row(returning)
    assert left(await desk.trunx.steps_of(row)) == [
        ("call", "done", None),
        ("menu", "key", "1"),
        ("busy", "done", None),
    ]
    assert row["endReason"] == "hangup"
    assert ended.ended_by == "far"
    row = await desk.trunx.row(ending)
    assert (row["status"], row["endReason"]) == ("completed", "hangup-callee")
    assert left(await desk.trunx.steps_of(row)) == [("call", "done", None)]


@pytest.mark.parametrize(
    ("kind", "how", "prompt"),
    [
        ("17", "busy", "busy"),
        ("19", "no-answer", "late"),
        ("21", "failed", "broken"),
        ("04", "failed", "broken"),
        ("34", "failed", "broken"),
    ],
)
async def test_who_is_not_reached(desk: Scene, kind: str, how: str, prompt: str) -> None:
    """The caller is where her tree says within a moment; until then she hears it ring."""
    caller, number = desk.new_caller(), person(kind)
    did = await publish(desk, number, timeout=2, **EXITS)
    with desk.world.ami.watch("Newchannel", Context="callees") as reached:
        heard = await desk.world.call(did, caller)
        assert dialled(reached, number) == 1
    (said,) = told(heard.audio, desk.shelf.audio)
    assert said.prompt == prompt
    assert said.at < (2.0 if how == "no-answer" else 0.0) + 1.0
    if how == "no-answer":
        rung = heard.audio[: round(RATE * said.at)]
        assert longest_silence(rung).seconds < 1.0, "she hears it ring from the first moment"
    row = await desk.trunx.row(caller)
    assert row["endReason"] == "hangup"
    assert left(await desk.trunx.steps_of(row)) == [("call", how, None), (prompt, "done", None)]


async def test_a_caller_who_does_not_wait(desk: Scene) -> None:
    """She hangs up while it rings: the other telephone is silent at once."""
    caller, number = desk.new_caller(), person("19")
    did = await publish(desk, number, **EXITS)
    with desk.world.ami.watch("Hangup", Exten=number) as over:
        heard = await desk.world.call(did, caller, hangup_at=1.5)
        ended = await over.next()
    assert float(ended["Timestamp"]) - (heard.began + heard.seconds) < SOON
    row = await desk.trunx.row(caller)
    assert row["endReason"] == "hangup-caller"
    assert left(await desk.trunx.steps_of(row)) == [("call", "hangup", None)]


async def test_nobody_is_called_against_the_gate(desk: Scene) -> None:
    """1. A person has asked not to be called: a transfer to her does not reach the world, the caller is
    told, and the log says why. 2. So it is with a SIP URI, until the operator has listed it.
    """
    trunx, listed = desk.trunx, person("65")
    assert (await trunx.ask("POST", "/suppression", {"number": listed}))[0] == 201
    sip_number = person("60")
    uri = f"sip:{sip_number}@127.0.0.1:{desk.world.ports.sip}"
    to_number, to_uri = await publish(desk, listed), await publish(desk, uri)
    begin = len(trunx.log)
    with desk.world.ami.watch("Newchannel", Context="callees") as reached:
        for did, code in ((to_number, "suppressed"), (to_uri, "sip-uri-not-allowed")):
            caller = desk.new_caller()
            heard = await desk.world.call(did, caller)
            assert names(told(heard.audio)) == ["unavailable"]
            row = await trunx.row(caller)
            assert row["endReason"] == "transfer-unavailable"
            assert left(await trunx.steps_of(row)) == [("call", "blocked", None)]
            line = await trunx.says("the gate refuses a transfer; nobody is called", since=begin, code=code)
            assert line["call"] == row["id"]
        assert dialled(reached, listed) == dialled(reached, sip_number) == 0

        everybody = f"sip:*@127.0.0.1:{desk.world.ports.sip}"
        exit_code, printed = await trunx.command("accounts", "limits", "--sip-uri", everybody)
        assert exit_code == 0, printed
        caller = desk.new_caller()
        heard = await desk.world.call(to_uri, caller)
        assert dialled(reached, sip_number) == 1
    row = await trunx.row(caller)
    assert (row["endReason"], heard.ended_by) == ("hangup-callee", "far")


async def test_a_callee_of_ours_is_transferred_too(asterisks: Asterisks, tmp_path: Path) -> None:
    """1. We place a call whose callee walks a tree: she is connected to a person, who sees our number. 2. The
    person leaves: the call ends, its row says so, and no place is kept.
    """
    pbx, _ = asterisks
    async with opened(asterisks, tmp_path, ami_url=pbx.ami_url, trunk="trunk") as scene:
        trunx, did, callee, desk = scene.trunx, scene.new_did(), person("61"), person("65")
        assert (await trunx.ask("POST", "/dids", {"did": did}))[0] == 201
        nodes = {"desk": {"action": "transfer", "to": desk}}
        assert (await trunx.ask("POST", "/ivr", {"id": "callback", "nodes": nodes}))[0] == 201
        with scene.world.ami.watch("UserEvent", UserEvent="Reached") as reached:
            asked = {"from": did, "to": callee, "ivr": "callback"}
            status, call = await trunx.ask("POST", "/api/voice", asked)
            assert status == 201, call
            answer = await reached.next()
        assert (answer["Number"], answer["Caller"]) == (desk, did)
        await scene.world.ami.action("Hangup", Channel=answer["Uniqueid"], Cause="16")
        row = await trunx.row(did=callee)
        assert (row["id"], row["status"], row["endReason"]) == (call["id"], "completed", "hangup-callee")
        assert left(await trunx.steps_of(row)) == [("desk", "done", None)]
        await scene.no_channels()


async def test_they_talk_on_when_we_die(desk: Scene) -> None:
    """1. Our process is killed in the middle of a talk: both still hear each other. 2. The person leaves: the
    caller hears goodbye, and is hung up on. 3. We are back, and the row is closed.
    """
    caller, number = desk.new_caller(), person("65")
    did = await publish(desk, number)
    with desk.world.ami.watch("UserEvent", UserEvent="Reached") as reached:
        call = desk.world.dial(did, caller)
        assert await call.answered()
        answer = await reached.next()
    await desk.trunx.kill()
    await call.hears(words(desk, "hello-world"), within=3)
    await desk.world.ami.action("Hangup", Channel=answer["Uniqueid"], Cause="16")
    heard = await call.wait_ended()
    assert names(told(heard.audio))[-1] == "goodbye"
    await desk.trunx.start()
    row = await desk.trunx.row(caller)
    assert (row["status"], row["endReason"]) == ("completed", "lost")
