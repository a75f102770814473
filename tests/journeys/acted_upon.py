"""Calls that are up on two real Asterisks, and are acted upon by request."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

import dialplan
from tests.journeys.listening import Shelf
from tests.journeys.scene import Scene
from tests.journeys.scene import opened as scene_of
from tests.journeys.server import eventually
from tests.journeys.test_outbound import has, place
from tests.peers.world import LiveCall, pbx_and_world

DID = "+14155551234"
callees = itertools.count(10)
_trees = itertools.count()


@asynccontextmanager
async def acting(folder: Path) -> AsyncIterator[Scene]:
    """A server that dials, records, and may fetch files from this machine; its account has the contract's
    number.
    """
    async with pbx_and_world(dialplan.render()) as (pbx, world):
        settings = {
            "ami_url": pbx.ami_url,
            "trunk": "trunk",
            "recordings_url": (pbx.folder / "spool" / "monitor").as_uri(),
            "webhook_private": "1",
        }
        async with scene_of((pbx, world), folder, **settings) as scene:
            assert (await scene.trunx.ask("POST", "/dids", {"did": DID}))[0] == 201
            yield scene


@asynccontextmanager
async def files(**some: bytes) -> AsyncIterator[str]:
    """An address that answers `/<name>.wav` with a file."""

    async def answer(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        tag = {"ETag": f'"{name}"'}
        if request.headers.get("If-None-Match") == tag["ETag"]:
            return web.Response(status=304, headers=tag)
        return web.Response(body=some[name], headers=tag)

    application = web.Application()
    application.router.add_get("/{name}.{form}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def act(
    scene: Scene, call: str, what: str, body: object = None, method: str = "POST"
) -> tuple[int, Any]:
    account = scene.trunx.account
    return await scene.trunx.ask(method, f"/v1/voice/accounts/{account}/calls/{call}/{what}", body)


async def begun(scene: Scene, call: str, what: str, **body: Any) -> str:
    """An action that must begin; its id."""
    status, answer = await act(scene, call, what, body)
    assert status == 201, answer
    return str(next(iter(answer.values())))


async def over(scene: Scene, call: str, action: str) -> dict[str, Any]:
    """The action, once it has ended."""

    async def so() -> dict[str, Any] | None:
        _, listed = await act(scene, call, "actions", method="GET")
        (one,) = [each for each in listed["actions"] if each["action_uuid"] == action]
        return dict(one) if one["ended_at"] else None

    return await eventually(so, 15)


@asynccontextmanager
async def endings(scene: Scene) -> AsyncIterator[Callable[[str], Awaitable[dict[str, Any]]]]:
    """Waits for an action's end, and gives the event that tells it. Nothing is asked for meanwhile: where
    fifty wait with `over`, their requests are more work than what they wait for.
    """
    ends: defaultdict[str, asyncio.Future[dict[str, Any]]]
    ends = defaultdict(asyncio.get_running_loop().create_future)

    async def follow() -> None:
        async for event in scene.trunx.told("action.completed", "action.failed"):
            ends[event["data"]["action"]].set_result(event)

    async def ended(action: str) -> dict[str, Any]:
        async with asyncio.timeout(30):
            return await ends[action]

    following = asyncio.create_task(follow())
    try:
        yield ended
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


@asynccontextmanager
async def talking(scene: Scene, **fields: Any) -> AsyncIterator[tuple[str, str]]:
    """A call that we have placed and that is answered; and who has answered, in the world."""
    number = f"+141555565{next(callees)}"
    with scene.world.ami.watch("UserEvent", UserEvent="Reached", Number=number) as reached:
        call = await place(scene.trunx, DID, number, **fields)
        callee = (await reached.next(within=10))["Uniqueid"]
    await has(scene.trunx, call, "answered")
    await asyncio.sleep(1.5)  # until both Asterisks know the other's address, of which they tell nobody
    yield call, callee
    await scene.trunx.ask("DELETE", f"/api/voice/{call}")
    await has(scene.trunx, call, "completed")


@asynccontextmanager
async def in_menu(scene: Scene) -> AsyncIterator[tuple[str, LiveCall, str]]:
    """A caller in a menu that 1 leaves; the call, who calls, and the menu's audio."""
    name, caller, did = f"contract-{next(_trees)}", scene.new_caller(), scene.new_did()
    shelf = Shelf(scene.pbx, scene.trunx.account)
    nodes: dict[str, Any] = {
        "menu": {"audio": shelf.digits(name, "444"), "gather": {"1": "bye"}},
        "bye": {"action": "hangup"},
    }
    await scene.trunx.publish(name, did, nodes)
    live = scene.world.dial(did, caller)
    await live.hears(shelf.audio[name])
    row = await scene.trunx.row(caller, ended=False)
    scene.shelf.audio[name] = shelf.audio[name]
    yield row["id"], live, name
    await live.hangup()
    await live.wait_ended()
