"""Live calls in which something is played, spoken or pressed by request, on two real Asterisks: what each
party heard, and what the far side took for keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest
import pytest_asyncio
from aiohttp import web

from tests.journeys.agents import CALLER_SAYS, Office, staffed
from tests.journeys.hall import (
    MUSIC,
    SPEAK,
    TEXT,
    Internet,
    Talk,
    act,
    calling,
    check_keys,
    core,
    ended,
    hang_up,
    hears,
    held,
    in_a_menu,
    press,
    spoken,
    times,
    with_agent,
    with_ai,
    with_person,
)
from tests.journeys.listening import Shelf
from tests.journeys.scene import Asterisks
from tests.journeys.server import left
from tests.journeys.test_outbound import has
from tests.peers.agent_side import AgentSide
from tests.peers.hearing import RATE, find
from tests.peers.keytap import Keytap


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def internet() -> AsyncIterator[Internet]:
    there = Internet()
    application = web.Application()
    application.router.add_route("GET", "/{path:.*}", there.answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        there.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield there
    finally:
        await runner.cleanup()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared_hall(
    asterisks: Asterisks, vendor: AgentSide, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Office]:
    """A server with agents that may fetch files from this machine."""
    async with staffed(asterisks, vendor, tmp_path_factory.mktemp("hall"), webhook_private="1") as office:
        yield office


@pytest_asyncio.fixture(loop_scope="session")
async def hall(shared_hall: Office, internet: Internet) -> AsyncIterator[Office]:
    """The same; a journey leaves no channel, and no call of the vendor's."""
    scene = shared_hall.scene
    await scene.point()
    shelf = Shelf(scene.pbx, scene.trunx.account)
    internet.files["/music.wav"] = shelf.wav(*MUSIC)
    internet.asked.clear()
    yield replace(shared_hall, scene=replace(scene, shelf=shelf))
    shared_hall.peer.always(None)
    await shared_hall.all_over()


@pytest.mark.parametrize("when", ["prompt", "wait"])
async def test_a_file_is_played_in_a_tree_and_the_node_starts_over(
    hall: Office, internet: Internet, when: str
) -> None:
    """1. The caller hears the menu, then the file, whole, then the menu from its beginning. 2. Her key is the
    menu's answer. 3. The action says that it was played; it was not a step.
    """
    scene = hall.scene
    at = await in_a_menu(scene)
    if when == "wait":
        await at.live.until(len(at.menu) / RATE + 1.5)
    answer = await act(scene, at.row["id"], "play", {"url": f"{internet.url}/music.wav"})
    assert answer == {
        "play_uuid": answer["play_uuid"],
        "status": "playing",
        "url": f"{internet.url}/music.wav",
    }
    (action,) = await ended(scene, at.row["id"])
    await at.live.hears(at.menu)
    await at.live.press("1")
    heard = (await at.live.wait_ended()).audio
    goodbyes, hello = times(core(scene, "vm-goodbye"), heard), times(core(scene, "hello-world"), heard)
    menus = [place.at for place in find(at.menu, heard, 0.9, 0.4)]
    assert (len(menus), len(goodbyes), len(hello)) == (2, 2, 1)
    assert menus[0] < goodbyes[0] < hello[0] < goodbyes[1] < menus[1] < times(at.bye, heard)[0]
    whole = sum(len(core(scene, name)) for name in MUSIC) / RATE
    assert menus[1] - goodbyes[0] == pytest.approx(whole, abs=0.35)
    assert (action["kind"], action["status"]) == ("play", "completed")
    assert action["result"] == {"played": 1, "stoppedBy": None}
    row = await scene.trunx.row(at.row["from"])
    assert left(await scene.trunx.steps_of(row)) == [("ask", "key", "1"), ("bye", "done", None)]
    types = [e["type"] for e in (await scene.trunx.get(f"/api/voice/{row['id']}/events"))["events"]]
    assert [one for one in types if one.startswith("action.")] == ["action.started", "action.completed"]


async def test_a_key_ends_a_speech_and_answers_the_node(hall: Office) -> None:
    """1. A text is spoken in the contract's own words. 2. The key that is pressed meanwhile ends it and is
    the menu's answer: neither the rest of the text nor the menu is heard.
    """
    scene = hall.scene
    speech = await spoken(scene)
    at = await in_a_menu(scene)
    answer = await act(scene, at.row["id"], "speak", SPEAK)
    assert answer == {"speak_uuid": answer["speak_uuid"], "status": "speaking", "text": TEXT}
    await at.live.hears(speech, head=0.8)
    await at.live.press("1")
    heard = (await at.live.wait_ended()).audio
    (action,) = await ended(scene, at.row["id"])
    assert action["result"] == {"played": 0, "stoppedBy": "key", "key": "1"}
    assert len(find(at.menu, heard, 0.9, 0.4)) == 1
    began, bye = find(speech, heard, 0.9, 0.8)[0].at, find(at.bye, heard, 0.9, 0.4)[0].at
    assert bye - began < len(speech) / RATE - 0.5
    row = await scene.trunx.row(at.row["from"])
    assert left(await scene.trunx.steps_of(row)) == [("ask", "key", "1"), ("bye", "done", None)]


async def test_what_is_new_replaces_what_is_played_and_stopping_stops(
    hall: Office, internet: Internet
) -> None:
    """1. A file goes round and round. 2. A text takes its place, and then the file's again. 3. Stopped, the
    menu is there, and a second stop has nothing to stop.
    """
    scene = hall.scene
    speech, goodbye = await spoken(scene), core(scene, "vm-goodbye")
    internet.files["/short.wav"] = scene.shelf.wav("vm-goodbye")
    at = await in_a_menu(scene)
    call, forever = at.row["id"], {"url": f"{internet.url}/short.wav", "loop": 0}
    await act(scene, call, "play", forever)
    for _ in range(3):
        await at.live.hears(goodbye)
    await act(scene, call, "speak", SPEAK)
    await at.live.hears(speech, head=0.8)
    again = await act(scene, call, "play", forever)
    await at.live.hears(goodbye)
    stopped = await act(scene, call, "play", method="DELETE")
    assert stopped == {"play_uuid": again["play_uuid"], "status": "stopped"}
    await at.live.hears(at.menu, within=2)
    await at.live.press("1")
    heard = (await at.live.wait_ended()).audio
    assert len(find(at.menu, heard, 0.9, 0.4)) == 2
    actions = await ended(scene, call, 3)
    assert [one["result"].get("stoppedBy") for one in actions] == ["replaced", "replaced", "request"]
    assert {one["status"] for one in actions} == {"completed"}
    path = f"/v1/voice/accounts/{scene.trunx.account}/calls/{call}/play"
    status, answer = await scene.trunx.ask("DELETE", path)
    assert (status, answer["code"]) == (409, "not-playing")
    # Made a sound once; asked for again by its ETag.
    tags = [tag for path, tag in internet.asked if path == "/short.wav"]
    assert [tag is None for tag in tags] == [True, False]


async def test_keys_are_pressed_as_the_far_side_measures_them(hall: Office) -> None:
    """1. Each tone lasts 200 ms and each gap too, on the caller's telephone, in order also when two requests
    come at once. 2. The menu goes on meanwhile, and a file can be played.
    """
    scene = hall.scene
    at = await in_a_menu(scene)
    with Keytap(scene.world.ports.rtp) as tap:
        first, _ = await asyncio.gather(
            act(scene, at.row["id"], "dtmf", {"digits": "12w34*#"}),
            act(scene, at.row["id"], "dtmf", {"digits": "5"}),
        )
        assert first == {"dtmf_uuid": first["dtmf_uuid"], "status": "sent", "digits": "12w34*#"}
        actions = await ended(scene, at.row["id"], 2)
        in_order = "".join(one["asked"]["digits"] for one in actions)
        await check_keys(tap, at.live._answered_at()[1], in_order)
    assert [one["result"] for one in actions] == [
        {"sent": one["asked"]["digits"].replace("w", "")} for one in actions
    ]
    await at.live.press("1")
    heard = (await at.live.wait_ended()).audio
    assert len(find(at.menu, heard, 0.9, 0.4)) == 1


KINDS = [with_agent, with_person, held, with_ai]


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_of_call(
    hall: Office, internet: Internet, kind: Callable[[Office], Awaitable[Talk]]
) -> None:
    """1. The party that is named hears a file, and the other one does not; or both do. 2. The talk goes on.
    3. A text is spoken until the telephone's key ends it. 4. Keys are pressed as they should. 5. A hangup in
    the middle of a file fails its action, and nothing is left.
    """
    scene, talk = hall.scene, await kind(hall)
    speech, goodbye = await spoken(scene), core(scene, "vm-goodbye")
    internet.files["/bye.wav"] = scene.shelf.wav("vm-goodbye")
    file = {"url": f"{internet.url}/bye.wav"}
    done = 0
    legs = ["caller"] if talk.other is None else ["caller", "callee", "both"]
    expected = [0, 0]
    for leg in legs:
        await act(scene, talk.call, "play", file | {"leg": leg})
        done += 1
        (*_, action) = await ended(scene, talk.call, done)
        assert (action["status"], action["result"]) == ("completed", {"played": 1, "stoppedBy": None}), leg
        expected = [expected[0] + (leg != "callee"), expected[1] + (leg != "caller")]
        await hears(talk.hears, goodbye, expected[0])
        assert len(times(goodbye, talk.hears())) == expected[0], leg
        if talk.other is not None:
            await hears(talk.other, goodbye, expected[1])
            assert len(times(goodbye, talk.other())) == expected[1], leg
    if talk.other is not None:
        await scene.world.ami.action("Setvar", Channel=talk.telephone, Variable="SAYS", Value=CALLER_SAYS)
        await scene.world.ami.action(
            "Redirect", Channel=talk.telephone, Context="caller", Exten="says", Priority="1"
        )
        await hears(talk.other, core(scene, CALLER_SAYS))
    await act(scene, talk.call, "speak", SPEAK)
    await hears(talk.hears, speech[: round(1.2 * RATE)])
    await press(scene, talk.telephone, "7")
    done += 1
    (*_, action) = await ended(scene, talk.call, done)
    assert action["result"] == {"played": 0, "stoppedBy": "key", "key": "7"}
    with Keytap(scene.world.ports.rtp) as tap:
        await act(scene, talk.call, "dtmf", {"digits": "19w#"})
        await check_keys(tap, talk.keypad, "19w#")
    done += 1
    await ended(scene, talk.call, done)
    await act(scene, talk.call, "play", file | {"loop": 0})
    await hears(talk.hears, goodbye, expected[0] + 2)
    await hang_up(scene, talk)
    (*_, action) = await ended(scene, talk.call, done + 1)
    assert (action["status"], action["problem"]) == ("failed", "call-ended")
    status, answer = await scene.trunx.ask(
        "POST", f"/v1/voice/accounts/{scene.trunx.account}/calls/{talk.call}/play", file
    )
    assert (status, answer["code"], answer["call_status"]) == (409, "call-not-in-progress", "completed")


async def test_a_file_while_a_person_is_called(hall: Office, internet: Internet) -> None:
    """1. A caller who hears it ring at somebody's hears the file, too, and it goes on ringing. 2. Nobody is
    there yet who could hear it on the other side.
    """
    scene, number, caller = hall.scene, hall.callee("19"), hall.scene.new_caller()
    internet.files["/bye.wav"] = scene.shelf.wav("vm-goodbye")
    with scene.world.ami.watch("Newchannel", Exten=number) as rings:
        live = scene.world.dial(await calling(scene, number), caller)
        telephone = (await rings.next())["Uniqueid"]
    call = (await scene.trunx.row(caller, ended=False))["id"]
    file = {"url": f"{internet.url}/bye.wav", "loop": 4}  # it rings for 2 s, and not for 4
    for count, leg in enumerate(("caller", "callee"), 1):
        await act(scene, call, "play", file | {"leg": leg})
        played, *refused = await ended(scene, call, count)
    assert (played["status"], played["result"]) == ("completed", {"played": 4, "stoppedBy": None})
    assert [(one["status"], one["problem"]) for one in refused] == [("failed", "nobody-connected")]
    await hears(live.heard, core(scene, "vm-goodbye"))
    with scene.world.ami.watch("Hangup", Uniqueid=telephone) as over:
        await live.hangup()
        assert (await over.next())["ChannelStateDesc"] == "Ring"


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/page", "url-not-audio"),
        ("/gone", "url-answer"),
        ("/round", "url-redirects"),
        ("/text.wav", "unsupported-format"),
        ("/huge", "url-too-large"),
    ],
)
async def test_a_file_that_cannot_be_played(
    hall: Office, internet: Internet, path: str, problem: str
) -> None:
    """The action says why, and the caller hears her menu to its end, as if nothing had been asked for."""
    scene = hall.scene
    internet.files["/text.wav"] = b"This is no sound at all. " * 100
    at = await in_a_menu(scene)
    await act(scene, at.row["id"], "play", {"url": internet.url + path})
    (action,) = await ended(scene, at.row["id"])
    assert (action["status"], action["problem"]) == ("failed", problem)
    await at.live.until(len(at.menu) / RATE + 0.5)
    await at.live.press("1")
    heard = (await at.live.wait_ended()).audio
    assert len(find(at.menu, heard)) == 1


async def test_a_file_that_does_not_arrive(hall: Office, internet: Internet) -> None:
    """1. A file comes so slowly that it would take minutes: it is given up after 15 s, as the action says.
    2. The call is as it was: the next file is played on it.
    """
    scene, talk = hall.scene, await held(hall)
    await act(scene, talk.call, "play", {"url": f"{internet.url}/slow"})
    (action,) = await ended(scene, talk.call)
    assert (action["status"], action["problem"]) == ("failed", "url-too-slow")
    await act(scene, talk.call, "play", {"url": f"{internet.url}/music.wav"})
    await hears(talk.hears, core(scene, MUSIC[0]), 2)
    await hang_up(scene, talk)


@pytest.mark.parametrize("kind", [held, with_person])
async def test_a_process_that_dies_in_the_middle(
    hall: Office, internet: Internet, kind: Callable[[Office], Awaitable[Talk]]
) -> None:
    """1. Our process is killed as a file goes round and round. A call that is held comes back to the new one,
    and the file goes on until it is stopped. 2. A talk goes on without it. 3. The call ends: an action that
    nobody has ended is said to have failed.
    """
    scene, talk = hall.scene, await kind(hall)
    goodbye = core(scene, "vm-goodbye")
    internet.files["/bye.wav"] = scene.shelf.wav("vm-goodbye")
    await act(scene, talk.call, "play", {"url": f"{internet.url}/bye.wav", "loop": 0})
    await hears(talk.hears, goodbye, 2)
    await scene.trunx.kill()
    before = len(times(goodbye, talk.hears()))
    await scene.trunx.start()
    if kind is held:
        await hears(talk.hears, goodbye, before + 2)
        await act(scene, talk.call, "play", method="DELETE")
    await scene.world.ami.action("Hangup", Channel=talk.telephone, Cause="16")
    await has(scene.trunx, talk.call, "completed")
    (action,) = await ended(scene, talk.call)
    if kind is held:
        assert (action["status"], action["result"]) == ("completed", {"stoppedBy": "request"})
    else:
        assert (action["status"], action["problem"]) == ("failed", "call-ended")
