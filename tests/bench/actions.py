"""How soon an action on a live call is heard: from the request to the first sound, key or INVITE there.

The whole server and two real Asterisks share this machine, and calls are up all the while. Sound is taken
from the wire, by the kernel's clock: nobody sends anything to a call that is held in silence, so the first
packet is it.
"""

import asyncio
import io
import itertools
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import soundfile
from aiohttp import ClientSession, web

import dialplan
from tests.bench.outbound import UNLIMITED
from tests.cli.command import DID, Serving, run, serving
from tests.peers.hearing import RATE, load_gsm
from tests.peers.world import World, pbx_and_world

_CALLEES = """
exten => _+1415555XXXX,1,Answer()
 same => n,UserEvent(Reached,Number: ${EXTEN},Rtp: ${CHANNEL(rtp,src)})
 same => n,Wait(7200)
exten => _+1415556XXXX,1,Hangup(17)
"""
_TALKING = "+1415555{:04}"
_BUSY = "+1415556{:04}"
_APART = 0.25
"""Seconds between two requests: actions of several calls are under way at once."""
_PATIENCE = 30.0
_LASTS = 1.2
"""Seconds that the file plays, and about as many the texts."""
_SPOKEN = "One moment, please."


@dataclass(frozen=True, slots=True)
class Size:
    """How many calls are up, and how often each is acted upon."""

    calls: int
    rounds: int


FULL = Size(calls=20, rounds=5)
QUICK = Size(calls=20, rounds=1)


@dataclass(frozen=True, slots=True)
class Actions:
    """Milliseconds from each request to what the far side has of it first, by what was asked for."""

    calls: int
    waited_ms: dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class _Talk:
    """A call that is up: its id, who has answered in the world, and where that listens."""

    call: str
    callee: str
    port: int


class _Office:
    """The calls that are up, and the server that acts on them."""

    def __init__(self, world: World, client: ClientSession, account: str, talks: list[_Talk]) -> None:
        self._world = world
        self._client = client
        self._account = account
        self._talks = talks
        self._texts = itertools.count(1)

    async def play(self, url: str) -> list[float]:
        """A file that is known already."""
        return await self._each(lambda talk: self._sounds(talk, "play", {"url": url}))

    async def speak(self, *, cached: bool) -> list[float]:
        """A text that was spoken before, or one that never was."""

        def body() -> dict[str, str]:
            return {"text": _SPOKEN if cached else f"You are number {next(self._texts)}."}

        return await self._each(
            lambda talk: self._sounds(talk, "speak", body()), apart=_APART if cached else 1.0
        )

    async def press(self) -> list[float]:
        """A key, as the far side's Asterisk begins to hear it."""

        async def one(talk: _Talk) -> float:
            with self._world.ami.watch("DTMFBegin", Uniqueid=talk.callee) as keys:
                begun = await self._ask(talk, "dtmf", {"digits": "5"})
                return 1e3 * (float((await keys.next(within=_PATIENCE))["Timestamp"]) - begun)

        return await self._each(one)

    async def transfer(self) -> list[float]:
        """An INVITE, of a transfer to somebody who is busy."""
        numbers = itertools.count()

        async def one(talk: _Talk) -> float:
            number = _BUSY.format(next(numbers))
            with self._world.ami.watch("Newchannel", Exten=number) as calls:
                begun = await self._ask(talk, "transfer", {"to": number})
                return 1e3 * (float((await calls.next(within=_PATIENCE))["Timestamp"]) - begun)

        return await self._each(one)

    async def _sounds(self, talk: _Talk, what: str, body: object) -> float:
        begun = await self._ask(talk, what, body)
        async with asyncio.timeout(_PATIENCE):
            while True:
                self._world.tap.take()
                packets = self._world.tap.packets(talk.port)
                if packets and packets[-1].at > begun:
                    break
                await asyncio.sleep(0.02)  # the wire has no events
        first = next(packet.at for packet in packets if packet.at > begun)
        await asyncio.sleep(_LASTS + 1)  # until it is over
        return 1e3 * (first - begun)

    async def _each(self, act: Callable[[_Talk], Awaitable[float]], apart: float = _APART) -> list[float]:
        async def later(place: int, talk: _Talk) -> float:
            await asyncio.sleep(place * apart)
            return await act(talk)

        return list(await asyncio.gather(*(later(place, talk) for place, talk in enumerate(self._talks))))

    async def _ask(self, talk: _Talk, what: str, body: object) -> float:
        """Sends a request; when that was (Unix time)."""
        begun = time.time()
        path = f"/v1/voice/accounts/{self._account}/calls/{talk.call}/{what}"
        async with self._client.post(path, json=body) as answer:
            if answer.status != 201:
                raise RuntimeError(f"{what}: {await answer.text()}")
        return begun


async def measure(size: Size) -> Actions:
    """Places calls, and acts on them.

    Raises:
        RuntimeError: there is no Asterisk here, and none can be made; or a request was refused.
    """
    async with _office(size.calls) as (office, url):
        await office.play(url)  # fetched, made and staged
        await office.speak(cached=True)
        waited: dict[str, list[float]] = {}
        for _ in range(size.rounds):
            for name, measured in (
                ("play, cached", office.play(url)),
                ("speak, cached", office.speak(cached=True)),
                ("speak, new", office.speak(cached=False)),
                ("key", office.press()),
                ("transfer's INVITE", office.transfer()),
            ):
                waited.setdefault(name, []).extend(await measured)
    return Actions(size.calls, waited)


@asynccontextmanager
async def _office(calls: int) -> AsyncIterator[tuple[_Office, str]]:
    """So many calls that are up and held, and the URL of a file."""
    async with pbx_and_world("", _CALLEES) as (pbx, world), _file(pbx.sounds) as url:
        settings = {
            "ami_url": pbx.ami_url,
            "sounds_url": pbx.sounds.as_uri(),
            "trunk": "trunk",
            "trunk_calls": 1_000_000,
            "trunk_calls_per_second": 1_000_000,
            "trunk_calls_inbound": 0,
            "webhook_private": 1,
        }
        with (
            tempfile.TemporaryDirectory(prefix="trunx-bench-") as folder,
            serving(Path(folder), **settings) as server,
        ):
            run(Path(folder), "accounts", "limits", *UNLIMITED, env=server.env())
            await pbx.dialplan(dialplan.render(f"agi://127.0.0.1:{server.agi_port}/inbound"))
            root, headers = f"http://127.0.0.1:{server.http_port}", {"Authorization": f"Bearer {server.key}"}
            async with ClientSession(root, headers=headers) as client:
                talks = [await _talk(world, client, _TALKING.format(number)) for number in range(calls)]
                await asyncio.sleep(1)  # the calls' first words are over
                yield _Office(world, client, _account(server), talks), url


async def _talk(world: World, client: ClientSession, number: str) -> _Talk:
    with world.ami.watch("UserEvent", UserEvent="Reached", Number=number) as reached:
        async with client.post("/api/voice", json={"from": DID, "to": number}) as answer:
            call: dict[str, Any] = await answer.json()
        there = await reached.next(within=_PATIENCE)
    async with asyncio.timeout(_PATIENCE):
        while True:
            async with client.get(f"/api/voice/{call['id']}") as answer:
                if (await answer.json())["status"] == "answered":
                    break
            await asyncio.sleep(0.05)
    return _Talk(call["id"], there["Uniqueid"], int(there["Rtp"].rpartition(":")[2]))


def _account(server: Serving) -> str:
    with closing(sqlite3.connect(server.folder / "data" / "trunx.db")) as database:
        ((account,),) = database.execute("SELECT id FROM accounts").fetchall()
    return str(account)


@asynccontextmanager
async def _file(sounds: Path) -> AsyncIterator[str]:
    """An address that answers with a second of speech."""
    made = io.BytesIO()
    soundfile.write(made, load_gsm(sounds / "en" / "hello-world.gsm"), RATE, format="WAV")

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=made.getvalue(), headers={"ETag": '"one"'}, content_type="audio/wav")

    application = web.Application()
    application.router.add_get("/hello.wav", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hello.wav"
    finally:
        await runner.cleanup()
