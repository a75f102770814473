"""`trunx serve` in a process of its own, as an operator starts it, and its API as a user calls it.

Its log is JSON lines on standard error, so that a test can wait for what the server says. The data folder and
the ports stay the same over restarts.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import sqlite3
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Self, TypeVar

import aiohttp

from dialplan.names import AGI_PATH
from tests import secrecy
from tests.peers.asterisk import Ports
from tests.peers.hearing import Audio, decode_ulaw

ROOT = Path(__file__).parents[2]
TRUNX = Path(sys.executable).with_name("trunx")
KEY = "tk_live_" + "7" * 48
_OF_TRUNX = ("TRUNX_", "ELEVENLABS_", "ULTRAVOX_")
_OF_VENDORS = ("ULTRAVOX_API_KEY",)  # not ours to name
_ESTABLISHED = "01"  # include/net/tcp_states.h, as /proc/net/tcp writes it

T = TypeVar("T")


async def eventually(ask: Callable[[], Awaitable[T | None]], within: float = 8.0) -> T:
    """The first answer of `ask` that is not None, asked again and again.

    Raises:
        AssertionError: there was none in so many seconds.
    """
    try:
        async with asyncio.timeout(within):
            while True:
                answer = await ask()
                if answer is not None:
                    return answer
                await asyncio.sleep(0.03)
    except TimeoutError:
        raise AssertionError(f"not so within {within} s: {ask}") from None


class Trunx:
    """One server; `start` it, call its API, end it as it pleases the storyboard.

    Attributes:
        log: the lines it has logged, of all its lives.
        url: of its API.
    """

    def __init__(self, folder: Path, sounds: Path, ports: Ports, settings: dict[str, str]) -> None:
        self.folder = folder
        self.sounds = sounds
        self.log: list[dict[str, Any]] = []
        self.agi_port, self._http_port = ports.rtp[:2]
        self._settings = settings
        self._process: Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._said = asyncio.Condition()
        self.url = f"http://127.0.0.1:{self._http_port}"
        self._client = aiohttp.ClientSession(self.url, headers={"Authorization": f"Bearer {KEY}"})

    @classmethod
    @asynccontextmanager
    async def serving(cls, folder: Path, sounds: Path, **settings: str) -> AsyncIterator[Self]:
        """A started server with the demo tree; `settings` are further TRUNX_ variables."""
        with Ports() as ports:  # of its own: a free one could be taken while the server is restarted
            trunx = cls(folder, sounds, ports, settings)
            try:
                await trunx.start()
                yield trunx
            finally:
                await trunx.kill()
                await trunx._client.close()

    @property
    def agi_url(self) -> str:
        """What the dialplan calls."""
        return f"agi://127.0.0.1:{self.agi_port}/{AGI_PATH}"

    @property
    def database(self) -> Path:
        """The SQLite file, for those that look at it from outside."""
        return self.folder / "trunx.db"

    @property
    def account(self) -> str:
        """The id of the only account, which is also its folder of sounds."""
        with closing(sqlite3.connect(self.database)) as connection:
            ((account,),) = connection.execute("SELECT id FROM accounts").fetchall()
        return str(account)

    @property
    def sessions(self) -> int:
        """How many connections from Asterisk are open: one a call."""
        local = f":{self.agi_port:04X}"
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return sum(row[1].endswith(local) and row[3] == _ESTABLISHED for row in rows)

    @property
    def environment(self) -> dict[str, str]:
        """Of the server and of the commands beside it: our settings, and none of this machine's."""
        bare = {name: value for name, value in os.environ.items() if not name.startswith(_OF_TRUNX)}
        settings = {
            "TRUNX_DATA_DIR": str(self.folder),
            "TRUNX_HTTP_PORT": str(self._http_port),
            "TRUNX_AGI_PORT": str(self.agi_port),
            "TRUNX_SOUNDS_URL": self.sounds.as_uri(),
            "TRUNX_API_KEY": KEY,
            "TRUNX_DEMO": "1",
            "TRUNX_LOG_JSON": "1",
        }
        for name, value in self._settings.items():
            variable = name.upper() if name.upper() in _OF_VENDORS else f"TRUNX_{name.upper()}"
            settings[variable] = value.replace("{http_port}", str(self._http_port))
        return bare | settings

    async def start(self) -> None:
        """Starts it and returns when it is ready."""
        begin = len(self.log)
        self._process = await asyncio.create_subprocess_exec(
            TRUNX,
            "serve",
            cwd=ROOT,
            env=self.environment,
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=PIPE,
            limit=1 << 20,
        )
        self._reading = asyncio.create_task(self._read(self._process))
        line = await self.says("ready", within=20.0, since=begin)
        assert line["event"] == "ready", f"the server did not start: {self.log[begin:]}"

    async def terminate(self) -> None:
        """Sends SIGTERM and returns at once."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    async def ended(self) -> int:
        """Waits for the end of the process; its exit code."""
        assert self._process is not None
        assert self._reading is not None
        await self._reading
        code = await self._process.wait()
        self._process = None
        return code

    async def stop(self) -> None:
        """Ends it as an operator does."""
        await self.terminate()
        assert await self.ended() == 0

    async def kill(self) -> None:
        """Ends it as a crash does (SIGKILL); nothing happens when it does not run."""
        if self._process is not None:
            if self._process.returncode is None:
                self._process.kill()
            await self.ended()

    async def says(self, event: str, within: float = 8.0, since: int = 0, **facts: str) -> dict[str, Any]:
        """The first line of the log from `since` on that says so; `exited` when the process is gone before.

        Raises:
            TimeoutError: nothing of the kind in so many seconds.
        """

        def found() -> dict[str, Any] | None:
            for line in self.log[since:]:
                if line["event"] == "exited":
                    return line
                if line["event"] == event and all(line.get(name) == fact for name, fact in facts.items()):
                    return line
            return None

        async with asyncio.timeout(within), self._said:
            await self._said.wait_for(lambda: found() is not None)
        line = found()
        assert line is not None
        return line

    async def ask(self, method: str, path: str, body: object = None, **query: str) -> tuple[int, Any]:
        """One request; the answer's status and JSON."""
        async with self._client.request(method, path, json=body, params=query) as answer:
            return answer.status, await answer.json(content_type=None)

    async def told(self, *types: str) -> AsyncIterator[dict[str, Any]]:
        """The account's events of these types: all that there are, and then each as it happens."""
        asked = self._client.get("/api/events", params={"types": ",".join(types), "after": 0})
        async with asked as answer:
            async for line in answer.content:
                if line.startswith(b"data: "):
                    yield dict(json.loads(line.removeprefix(b"data: ")))

    async def command(self, *words: str) -> tuple[int, str]:
        """`trunx` with these words, run beside the server; its exit code and what it printed."""
        process = await asyncio.create_subprocess_exec(
            TRUNX, *words, cwd=ROOT, env=self.environment, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL
        )
        printed, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, printed.decode()

    async def upload(self, file: bytes, filename: str, **fields: str) -> dict[str, Any]:
        """Uploads a file, which must become an audio; `fields` are those beside it."""
        form = aiohttp.FormData(fields, quote_fields=False)  # as browsers and curl write names
        form.add_field("file", io.BytesIO(file), filename=filename)
        async with self._client.post("/audio/upload", data=form) as answer:
            audio: dict[str, Any] = await answer.json()
            assert (answer.status, audio["status"]) == (201, "ready"), audio
            return audio

    async def sound(self, audio: str) -> Audio:
        """What callers are to hear of an audio: the `.ulaw` that the API gives out."""
        return decode_ulaw(await self.file(audio, "ulaw"))

    async def file(self, audio: str, form: str) -> bytes:
        """An audio's file."""
        async with self._client.get(f"/audio/{audio}/file", params={"format": form}) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.read()

    async def get(self, path: str, **query: str) -> Any:
        """The answer to a GET that must succeed."""
        status, answer = await self.ask("GET", path, **query)
        assert status == 200, answer
        return answer

    async def publish(self, ivr: str, did: str, nodes: dict[str, Any], **fields: Any) -> None:
        """Creates an IVR and puts it behind a number."""
        status, answer = await self.ask("POST", "/ivr", {"id": ivr, "nodes": nodes, **fields})
        assert status == 201, answer
        status, answer = await self.ask("POST", f"/ivr/{ivr}/assign", {"did": did})
        assert status == 200, answer

    async def is_suppressed(self, number: str) -> bool:
        """Whether the number is on the do-not-call list, asked once."""
        status, _ = await self.ask("GET", f"/suppression/{number}")
        return status == 200

    async def row(self, caller: str = "", did: str = "", *, ended: bool = True) -> dict[str, Any]:
        """The only call of that caller, or to that number, as soon as it is kept, and over if that is asked
        for.
        """
        query = {"from": caller} if caller else {"to": did}

        async def kept() -> dict[str, Any] | None:
            calls = (await self.get("/api/voice", **query))["calls"]
            assert len(calls) < 2, calls
            if not calls or (ended and calls[0]["endedAt"] is None):
                return None
            return dict(calls[0])

        return await eventually(kept)

    async def steps_of(self, call: dict[str, Any]) -> list[dict[str, Any]]:
        """The steps of a call."""
        steps: list[dict[str, Any]] = (await self.get(f"/api/voice/{call['id']}/steps"))["steps"]
        return steps

    async def has_sessions(self, number: int, within: float = 3.0) -> None:
        """Waits until so many connections from Asterisk are open."""

        async def so_many() -> bool | None:
            return self.sessions == number or None

        await eventually(so_many, within)

    async def _read(self, process: Process) -> None:
        assert process.stderr is not None
        while written := await process.stderr.readline():
            said = written.decode("utf-8", "replace")
            secrecy.heard(said)
            sys.stderr.write(said)  # pytest shows it with a failure
            try:
                line = json.loads(written)
            except ValueError:
                line = {"event": said.rstrip()}  # of another program's
            await self._note(line)
        await self._note({"event": "exited", "code": await process.wait()})

    async def _note(self, line: dict[str, Any]) -> None:
        async with self._said:
            self.log.append(line)
            self._said.notify_all()


def left(steps: list[dict[str, Any]]) -> list[tuple[str, str, str | None]]:
    """The way through the tree in short: (node, how it was left, key)."""
    return [(step["node"], step["left"], step["key"]) for step in steps]
