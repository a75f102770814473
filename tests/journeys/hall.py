"""Calls in which something is played: files to play, callers in a menu, and talks of each kind."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import web

from tests.journeys.agents import Office
from tests.journeys.scene import Scene
from tests.journeys.server import eventually
from tests.journeys.test_outbound import has, new_did, place
from tests.peers.hearing import Audio, find, load_gsm
from tests.peers.keytap import Key, Keytap
from tests.peers.wiretap import played
from tests.peers.world import LiveCall

MUSIC = ("vm-goodbye", "hello-world", "vm-goodbye")
"""What the file says that is played."""
TEXT = "Please hold the line. We are looking for your order."
_trees = itertools.count()


SPEAK = {"text": TEXT, "voice": "en-US-Neural-Jenny", "language": "en-US", "engine": "neural"}


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
            case "/huge" | "/slow":
                return await self._go_on(request, 0.5 if request.path == "/slow" else 0.0)
        body = self.files[request.path]
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if known == etag:
            return web.Response(status=304)
        return web.Response(body=body, content_type="audio/wav", headers={"ETag": etag})

    async def _go_on(self, request: web.Request, pause: float) -> web.StreamResponse:
        """A file without an end, a piece at a time with `pause` seconds between, until the client leaves."""
        answer = web.StreamResponse(headers={"Content-Type": "audio/wav"})
        await answer.prepare(request)
        with suppress(ConnectionError):
            while True:
                await answer.write(bytes(64 * 1024))
                await asyncio.sleep(pause)
        return answer


def core(scene: Scene, name: str) -> Audio:
    return load_gsm(scene.world.sounds / "en" / f"{name}.gsm")


def times(sound: Audio, heard: Audio, head: float | None = 0.8) -> list[float]:
    """When it was heard, mixed with others perhaps, and mastered.

    What is mixed into a talk may have a gap of a frame or two: Asterisk has none of it at hand when packets
    of the talk come closer together than its own timer's ticks, as they do on a busy machine
    (main/audiohook.c, audiohook_read_frame_single).
    """
    return [place.at for place in find(sound, heard, 0.7, head, slip=0.06)]


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

    return await eventually(so, 25)  # a file that does not arrive is given up after 15 s


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


async def spoken(scene: Scene) -> Audio:
    """What `TEXT` sounds like."""
    status, made = await scene.trunx.ask("POST", "/audio", {"name": "text", "text": TEXT})
    assert status == 201, made
    return await scene.trunx.sound(made["id"])


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


# Talks begin when what the other side says first is over: a file that is played over it is hard to recognise.


async def with_agent(hall: Office) -> Talk:
    caller = hall.scene.new_caller()
    live = hall.scene.world.dial(await hall.line(), caller)
    leg = await hall.side.leg(caller)
    await hears(live.heard, hall.agents_sentence, head=None)
    row = await hall.scene.trunx.row(caller, ended=False)
    return Talk(row["id"], live.id, live.heard, leg.heard, leg._port)


async def calling(scene: Scene, number: str) -> str:
    """A new number of ours behind which somebody is called."""
    did, nodes = scene.new_did(), {"call": {"action": "transfer", "to": number}}
    await scene.trunx.publish(f"hall-{next(_trees)}", did, nodes)
    return did


async def with_person(hall: Office) -> Talk:
    scene, number, caller = hall.scene, hall.callee("65"), hall.scene.new_caller()
    did = await calling(scene, number)
    with scene.world.ami.watch("UserEvent", UserEvent="Reached", Number=number) as reached:
        live = scene.world.dial(did, caller)
        there = await reached.next()
    await hears(live.heard, core(scene, "hello-world"), head=None)
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
    await hears(wire(hall.scene, there), hall.agents_sentence, head=None)
    return Talk(call, there["Uniqueid"], wire(hall.scene, there), leg.heard, port_of(there))


async def hears(
    audio: Callable[[], Audio],
    sound: Audio,
    count: int = 1,
    within: float = 12.0,
    head: float | None = 0.8,
) -> None:
    """Waits until it was heard so often; `head`: by so many seconds of it, or to its end (None)."""

    async def so() -> bool | None:
        return len(times(sound, audio(), head)) >= count or None

    await eventually(so, within)


async def press(scene: Scene, telephone: str, key: str) -> None:
    async with scene.world.keypad() as keypad:
        await keypad.action("PlayDTMF", Channel=telephone, Digit=key, Duration="100")


async def hang_up(scene: Scene, talk: Talk) -> dict[str, Any]:
    await scene.world.ami.action("Hangup", Channel=talk.telephone, Cause="16")
    return await has(scene.trunx, talk.call, "completed")
