"""What journeys of transfers by request share: how one is asked for, and how it is seen and heard."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.journeys.scene import Scene
from tests.journeys.server import eventually
from tests.peers.hearing import Audio, find, load_gsm
from tests.peers.wiretap import played
from tests.peers.world import LiveCall

_numbers = itertools.count(20)
trees = itertools.count()


@asynccontextmanager
async def told() -> AsyncIterator[tuple[str, asyncio.Queue[dict[str, Any]]]]:
    """An `answer_url`, and what it is told."""
    bodies: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def take(request: web.Request) -> web.Response:
        assert "webhook-signature" not in request.headers
        bodies.put_nowait(await request.json())
        return web.Response(status=204)

    application = web.Application()
    application.router.add_post("/answered", take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/answered", bodies
    finally:
        await runner.cleanup()


def person(kind: str) -> str:
    """A number that nobody else calls, whose callee behaves so: see `tests.peers.callees.CALLEES`."""
    return f"+1415555{kind}{next(_numbers):02}"


def words(scene: Scene, name: str) -> Audio:
    """What somebody in the world says."""
    return load_gsm(scene.world.sounds / "en" / f"{name}.gsm")


async def menu(scene: Scene) -> str:
    """A new number behind which a menu waits long for a key; 1 says a digit and hangs up."""
    did, shelf = scene.new_did(), scene.shelf
    nodes = {
        "menu": {"audio": shelf.digits("menu", "444"), "gather": {"1": "bye"}},
        "bye": {"action": "hangup", "audio": shelf.digits("bye", "111")},
    }
    await scene.trunx.publish(f"transfers-{next(trees)}", did, nodes)
    return did


def path(scene: Scene, call: str, action: str) -> str:
    return f"/v1/voice/accounts/{scene.trunx.account}/calls/{call}/{action}"


async def transfer(scene: Scene, call: str, to: str, **fields: Any) -> str:
    """Asks for a transfer; its id."""
    status, answer = await scene.trunx.ask("POST", path(scene, call, "transfer"), {"to": to, **fields})
    assert status == 201, answer
    assert answer == {"transfer_uuid": answer["transfer_uuid"], "status": "transferring", "to": to}
    return str(answer["transfer_uuid"])


async def action(scene: Scene, call: str, name: str, state: str, within: float = 8.0) -> dict[str, Any]:
    """The action, once it has this state."""

    async def so() -> dict[str, Any] | None:
        life = (await scene.trunx.get(f"/api/voice/{call}/timeline"))["timeline"]
        for one in life:
            if one["kind"] == "action" and one["what"] == state and one["data"]["action"] == name:
                return dict(one["data"])
        return None

    return await eventually(so, within)


async def ended(scene: Scene, call: str, within: float = 8.0) -> dict[str, Any]:
    """The row, once it is over."""

    async def so() -> dict[str, Any] | None:
        row = await scene.trunx.get(f"/api/voice/{call}")
        return dict(row) if row["endedAt"] is not None else None

    return await eventually(so, within)


async def is_heard(scene: Scene, reached: dict[str, str], sound: Audio) -> None:
    """Waits until the person who was `reached` hears it."""
    port, since = int(reached["Rtp"].rpartition(":")[2]), float(reached["Timestamp"])

    async def heard() -> bool | None:
        scene.world.tap.take()
        packets = scene.world.tap.packets(port)
        return bool(packets and find(sound, played(packets, since, packets[-1].at))) or None

    await eventually(heard)


async def leaves(scene: Scene, reached: dict[str, str]) -> None:
    """The person who was reached hangs up."""
    await scene.world.ami.action("Hangup", Channel=reached["Uniqueid"], Cause="16")


async def says(scene: Scene, reached: dict[str, str], sound: str) -> None:
    """The person who was reached begins to say one of the core sounds."""
    ami, channel = scene.world.ami, reached["Uniqueid"]
    await ami.action("Setvar", Channel=channel, Variable="SAYS", Value=sound)
    await ami.action("Redirect", Channel=channel, Context="caller", Exten="says", Priority="1")


@dataclass(frozen=True)
class Inside:
    """Somebody who is in a call, and that call's id."""

    call: LiveCall
    id: str


async def in_menu(scene: Scene) -> Inside:
    """A caller who listens to a menu."""
    did, caller = await menu(scene), scene.new_caller()
    call = scene.world.dial(did, caller)
    await call.hears(scene.shelf.audio["menu"], within=6)
    return Inside(call, (await scene.trunx.row(caller, ended=False))["id"])
