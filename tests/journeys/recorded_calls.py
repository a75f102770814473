"""Calls of every kind that are up, to be recorded by request; and what the API says of their recordings."""

from __future__ import annotations

import asyncio
import io
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import numpy as np
import soundfile

from tests.journeys.agents import Office
from tests.journeys.scene import Scene
from tests.journeys.server import eventually
from tests.journeys.test_outbound import has, new_did, place
from tests.peers.agent_side import SAYS, Leg
from tests.peers.hearing import RATE, Audio, load_gsm

TELEPHONE = "sorry-youre-having-problems"
"""What the one whose call is recorded says."""
OTHER = "vm-goodbye"
"""What the person she is connected to says."""
_trees = itertools.count()
callees = itertools.count(20)


@dataclass(frozen=True)
class Talk:
    """A call that is up.

    Attributes:
        call: its id.
        telephone: the far end of the channel that is recorded, in the world's Asterisk.
        other: what is heard there, a part of it; None: music.
        cue: has the other side say so.
    """

    call: str
    telephone: str
    other: Audio | None
    cue: Callable[[], Awaitable[object]]


def core(scene: Scene, name: str) -> Audio:
    return load_gsm(scene.world.sounds / "en" / f"{name}.gsm")


async def say(scene: Scene, channel: str, sound: str) -> None:
    """Whoever that channel of the world is begins to say it."""
    ami = scene.world.ami
    await ami.action("Setvar", Channel=channel, Variable="SAYS", Value=sound)
    await ami.action("Redirect", Channel=channel, Context="caller", Exten="says", Priority="1")


async def nothing() -> None:
    """Somebody who needs no cue."""


async def in_a_tree(office: Office) -> Talk:
    scene, caller, did = office.scene, office.scene.new_caller(), office.scene.new_did()
    name = f"record-menu-{next(_trees)}"
    nodes = {"ask": {"audio": scene.shelf.digits(name, "98765432109876543210" * 2), "gather": {"1": "ask"}}}
    await scene.trunx.publish(name, did, nodes)
    call = scene.world.dial(did, caller)
    assert await call.answered()
    await call.until(2.5)  # until then the two Asterisks may still be learning each other's address
    row = await scene.trunx.row(caller, ended=False)
    menu = scene.shelf.audio[name]
    return Talk(row["id"], call.id, menu[4 * RATE : 6 * RATE], nothing)


async def with_a_person(office: Office) -> Talk:
    scene, caller, did = office.scene, office.scene.new_caller(), office.scene.new_did()
    number = f"+141555565{next(callees)}"
    nodes = {"call": {"action": "transfer", "to": number}}
    await scene.trunx.publish(f"record-person-{next(_trees)}", did, nodes)
    with scene.world.ami.watch("UserEvent", UserEvent="Reached", Number=number) as reached:
        call = scene.world.dial(did, caller)
        person = (await reached.next(within=10))["Uniqueid"]
    await call.hears(core(scene, "hello-world"))
    row = await scene.trunx.row(caller, ended=False)
    return Talk(row["id"], call.id, core(scene, OTHER), lambda: say(scene, person, OTHER))


async def talks_on(leg: Leg) -> None:
    while True:
        await leg.speak(SAYS)
        await leg.listen(0.5)


async def with_an_agent(office: Office) -> Talk:
    scene, caller = office.scene, office.scene.new_caller()
    office.side.behave(caller, act=talks_on)
    call = scene.world.dial(await office.line(), caller)
    await call.hears(office.agents_sentence)
    row = await scene.trunx.row(caller, ended=False)
    return Talk(row["id"], call.id, office.agents_sentence, nothing)


async def placed(office: Office, number: str, **fields: Any) -> tuple[str, str]:
    """A call that we place, and the channel of who answers."""
    scene = office.scene
    with scene.world.ami.watch("UserEvent", UserEvent="Reached", Number=number) as reached:
        call = await place(scene.trunx, await new_did(scene), number, **fields)
        callee = (await reached.next(within=10))["Uniqueid"]
    await has(scene.trunx, call, "answered")
    await asyncio.sleep(1.5)  # a word of the callee's, and until both Asterisks know where to send theirs
    return call, callee


async def held(office: Office) -> Talk:
    call, callee = await placed(office, f"+141555565{next(callees)}", hold="default")
    return Talk(call, callee, None, nothing)


async def with_our_agent(office: Office) -> Talk:
    number = f"+141555565{next(callees)}"
    office.side.behave(number, act=talks_on)
    call, callee = await placed(office, number, systemPrompt="You talk on.")
    await office.side.leg(number)
    return Talk(call, callee, office.agents_sentence, nothing)


def path(scene: Scene, call: str, more: str = "") -> str:
    return f"/v1/voice/accounts/{scene.trunx.account}/calls/{call}/record{more}"


async def start(scene: Scene, call: str, **fields: Any) -> str:
    status, made = await scene.trunx.ask("POST", path(scene, call), fields)
    assert status == 201, made
    assert made == {
        "recording_uuid": made["recording_uuid"],
        "status": "recording",
        "format": fields.get("format", "mp3"),
    }
    return str(made["recording_uuid"])


async def stop(scene: Scene, call: str) -> dict[str, Any]:
    status, stopped = await scene.trunx.ask("DELETE", path(scene, call))
    assert status == 200, stopped
    assert list(stopped) == ["recording_uuid", "status", "url", "duration"]
    assert stopped["status"] == "stopped"
    return dict(stopped)


async def ready(scene: Scene, recording: str, within: float = 15) -> dict[str, Any]:
    """The recording, once it is settled, which is `ready`."""

    async def so() -> dict[str, Any] | None:
        shown = await scene.trunx.get(f"/api/recordings/{recording}")
        return dict(shown) if shown["status"] in {"ready", "failed"} else None

    shown = await eventually(so, within)
    assert shown["status"] == "ready", shown
    return shown


async def opened(url: str) -> tuple[Audio, float]:
    """What a link opens: its channels side by side, and the seconds it plays. Any player reads it."""
    async with aiohttp.ClientSession() as nobody, nobody.get(url) as answer:
        assert answer.status == 200, await answer.text()
        file = await answer.read()
    samples, rate = soundfile.read(io.BytesIO(file), dtype="float32", always_2d=True)
    assert rate == RATE
    return np.asarray(samples, np.float32), len(samples) / rate


async def hang_up(scene: Scene, talk: Talk) -> None:
    await scene.world.ami.action("Hangup", Channel=talk.telephone, Cause="16")
    await has(scene.trunx, talk.call, "completed")


KINDS = {
    "tree": in_a_tree,
    "person": with_a_person,
    "agent": with_an_agent,
    "held": held,
    "our agent": with_our_agent,
}
