"""Live calls in which something is played, spoken or pressed by request, on two real Asterisks: what each
party heard, and what the far side took for keys.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from tests.journeys.agents import CALLER_SAYS, Office, staffed
from tests.journeys.listening import Shelf
from tests.journeys.scene import Asterisks, Scene
from tests.journeys.server import eventually, left
from tests.journeys.test_outbound import has, new_did, place
from tests.peers.agent_side import AgentSide
from tests.peers.hearing import RATE, Audio, find, load_gsm
from tests.peers.keytap import Key, Keytap
from tests.peers.wiretap import played
from tests.peers.world import LiveCall

MUSIC = ("vm-goodbye", "hello-world", "vm-goodbye")
"""What the file says that is played."""
TEXT = "Please hold the line. We are looking for your order."
_trees = itertools.count()


@dataclass
class Internet:
    """Where the files are that are played. `asked`: the paths, and the ETag that was known."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        known = request.headers.get("If-None-Match")
        self.asked.append((request.path, known))
        match request.path:
            case "/page":
                return web.Response(text="<p>Not found, kindly</p>", content_type="text/html")
            case "/gone":
                return web.Response(status=404)
            case "/round":
                raise web.HTTPFound("/round")
        body = self.files[request.path]
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if known == etag:
            return web.Response(status=304)
        return web.Response(body=body, content_type="audio/wav", headers={"ETag": etag})


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


def core(scene: Scene, name: str) -> Audio:
    return load_gsm(scene.world.sounds / "en" / f"{name}.gsm")


def times(sound: Audio, heard: Audio) -> list[float]:
    """When it was heard, mixed with others perhaps, and mastered."""
    return [place.at for place in find(sound, heard, 0.7, 0.8)]


async def act(scene: Scene, call: str, what: str, body: Any = None, method: str = "POST") -> Any:
    """One action, which must begin."""
    path = f"/v1/voice/accounts/{scene.trunx.account}/calls/{call}/{what}"
    status, answer = await scene.trunx.ask(method, path, body)
    assert status in {200, 201}, answer
    return answer


async def ended(scene: Scene, call: str, count: int = 1) -> list[dict[str, Any]]:
    """All actions of the call, once so many are over."""

    async def so() -> list[dict[str, Any]] | None:
        actions = (await act(scene, call, "actions", method="GET"))["actions"]
        over = [one for one in actions if one["ended_at"] is not None]
        return actions if len(over) >= count else None

    return await eventually(so, 15)


@dataclass
class InMenu:
    """A caller who hears a menu, in which 1 leads to `bye`."""

    live: LiveCall
    row: dict[str, Any]
    menu: Audio
    bye: Audio


async def in_a_menu(scene: Scene) -> InMenu:
    name, did, caller = f"hall-{next(_trees)}", scene.new_did(), scene.new_caller()
    shelf = scene.shelf
    nodes: dict[str, Any] = {
        "ask": {"audio": shelf.digits(name, "98765"), "timeout": 10, "gather": {"1": "bye"}},
        "bye": {"action": "hangup", "audio": shelf.digits(f"{name}-bye", "321")},
    }
    await scene.trunx.publish(name, did, nodes)
    live = scene.world.dial(did, caller)
    await live.hears(shelf.audio[name])
    row = await scene.trunx.row(caller, ended=False)
    return InMenu(live, row, shelf.audio[name], shelf.audio[f"{name}-bye"])


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


async def spoken(scene: Scene) -> Audio:
    """What `TEXT` sounds like."""
    status, made = await scene.trunx.ask("POST", "/audio", {"name": "text", "text": TEXT})
    assert status == 201, made
    return await scene.trunx.sound(made["id"])


SPEAK = {"text": TEXT, "voice": "en-US-Neural-Jenny", "language": "en-US", "engine": "neural"}


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


async def check_keys(tap: Keytap, port: int, digits: str) -> None:
    """200 ms of tone, 200 ms of silence, and half a second more for a `w`, as they came over the wire."""
    wanted = digits.replace("w", "")

    async def all_there() -> list[Key] | None:
        keys = tap.keys(port)
        return keys if len(keys) >= len(wanted) else None

    keys = await eventually(all_there, 10)
    assert "".join(key.key for key in keys) == wanted
    for key in keys:
        assert key.ended - key.began == pytest.approx(0.2, abs=0.04), keys
    pauses = [0.2 + 0.5 * len(waits) for waits in re.findall(r"(?<=[0-9*#])w*(?=[0-9*#])", digits)]
    for (one, other), pause in zip(pairwise(keys), pauses, strict=True):
        assert other.began - one.ended == pytest.approx(pause, abs=0.05), keys


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


@dataclass
class Talk:
    """A call that is up.

    Attributes:
        call: its id.
        telephone: the far end of the call's own channel, in the world's Asterisk.
        hears: what that has heard so far.
        other: the same of who is connected with it; None: nobody is.
        keypad: the port at which keys arrive when no leg is named.
    """

    call: str
    telephone: str
    hears: Callable[[], Audio]
    other: Callable[[], Audio] | None
    keypad: int


def port_of(reached: dict[str, str]) -> int:
    return int(reached["Rtp"].rpartition(":")[2])


def wire(scene: Scene, reached: dict[str, str]) -> Callable[[], Audio]:
    """What somebody hears who has told where he listens."""
    port, since = port_of(reached), float(reached["Timestamp"])

    def audio() -> Audio:
        scene.world.tap.take()
        packets = scene.world.tap.packets(port)
        return played(packets, since, packets[-1].at + 0.02 if packets else since)

    return audio


async def with_agent(hall: Office) -> Talk:
    caller = hall.scene.new_caller()
    live = hall.scene.world.dial(await hall.line(), caller)
    leg = await hall.side.leg(caller)
    await live.hears(hall.agents_sentence)
    row = await hall.scene.trunx.row(caller, ended=False)
    return Talk(row["id"], live.id, live.heard, leg.heard, leg._port)


async def with_person(hall: Office) -> Talk:
    scene, number, caller = hall.scene, hall.callee("65"), hall.scene.new_caller()
    did, name = scene.new_did(), f"hall-{next(_trees)}"
    nodes: dict[str, Any] = {"call": {"action": "transfer", "to": number}}
    await scene.trunx.publish(name, did, nodes)
    with scene.world.ami.watch("UserEvent", UserEvent="Reached", Number=number) as reached:
        live = scene.world.dial(did, caller)
        there = await reached.next()
    await live.hears(core(scene, "hello-world"))
    row = await scene.trunx.row(caller, ended=False)
    return Talk(row["id"], live.id, live.heard, wire(scene, there), port_of(there))


async def placed(hall: Office, **fields: Any) -> tuple[str, dict[str, str]]:
    scene, number = hall.scene, hall.callee("65")
    with scene.world.ami.watch("UserEvent", UserEvent="Reached", Number=number) as reached:
        call = await place(scene.trunx, await new_did(scene), number, **fields)
        there = await reached.next()
    await has(scene.trunx, call, "answered")
    return call, there


async def held(hall: Office) -> Talk:
    call, there = await placed(hall, hold="default")
    return Talk(call, there["Uniqueid"], wire(hall.scene, there), None, port_of(there))


async def with_ai(hall: Office) -> Talk:
    call, there = await placed(hall, systemPrompt="You confirm appointments.")
    leg = await hall.side.leg(call)
    await hears(wire(hall.scene, there), hall.agents_sentence)
    return Talk(call, there["Uniqueid"], wire(hall.scene, there), leg.heard, port_of(there))


async def hears(audio: Callable[[], Audio], sound: Audio, count: int = 1, within: float = 12.0) -> None:
    """Waits until it was heard so often."""

    async def so() -> bool | None:
        return len(times(sound, audio())) >= count or None

    await eventually(so, within)


async def press(scene: Scene, telephone: str, key: str) -> None:
    async with scene.world.keypad() as keypad:
        await keypad.action("PlayDTMF", Channel=telephone, Digit=key, Duration="100")


async def hang_up(scene: Scene, talk: Talk) -> dict[str, Any]:
    await scene.world.ami.action("Hangup", Channel=talk.telephone, Cause="16")
    return await has(scene.trunx, talk.call, "completed")


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


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/page", "url-not-audio"),
        ("/gone", "url-answer"),
        ("/round", "url-redirects"),
        ("/text.wav", "unsupported-format"),
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
