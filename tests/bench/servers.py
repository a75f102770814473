"""The servers that are measured, each in a process of its own: `python -m tests.bench.servers KIND`.

All but the engine run the same six commands. Each prints its port when it listens, and ends with its standard
input, so that none outlives a benchmark that was killed.
"""

import asyncio
import gc
import logging
import os
import resource
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import cast

import panoramisk.fast_agi
import uvloop

import agi
from dialplan.names import AGI_PATH, VARIABLE_DID

SESSIONS = 19_000
BACKLOG = 4_096
"""Of the listening sockets: past asyncio's own 100, a burst of connections waits a second for its retry."""

_COMMANDS = (
    b"ANSWER\n",
    b"GET VARIABLE TRUNX_DID\n",
    b"GET DATA welcome 5000 1\n",
    b"GET DATA business_check 5000 1\n",
    b"STREAM FILE goodbye 0123456789*#\n",
    b"HANGUP\n",
)


class _Canned(asyncio.Protocol):
    """The floor: says the commands in turn and looks at nothing that comes."""

    __slots__ = ("_greeting", "_said", "_transport")

    def __init__(self) -> None:
        self._greeting = b""
        self._said = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if not self._said:
            self._greeting += data
            if not self._greeting.endswith(b"\n\n"):
                return
            self._greeting = b""
        if self._said == len(_COMMANDS):
            self._transport.close()
            return
        self._transport.write(_COMMANDS[self._said])
        self._said += 1


async def _script(channel: agi.Channel) -> None:
    await channel.answer()
    did = await channel.get_variable(VARIABLE_DID)
    first = await channel.get_data("welcome", 5, 1)
    if did and first.key == "1":
        second = await channel.get_data("business_check", 5, 1)
        if second.key == "1":
            await channel.stream_file("goodbye")
    await channel.hangup()


async def _panoramisk_script(request: panoramisk.fast_agi.Request) -> None:
    await request.send_command("ANSWER")
    did = await request.send_command("GET VARIABLE TRUNX_DID")
    first = await request.send_command("GET DATA welcome 5000 1")
    if did["result"][1] and first["result"][0] == "1":
        second = await request.send_command("GET DATA business_check 5000 1")
        if second["result"][0] == "1":
            await request.send_command("STREAM FILE goodbye 0123456789*#")
    await request.send_command("HANGUP")


@asynccontextmanager
async def _floor(_folder: Path) -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(_Canned, "127.0.0.1", 0, backlog=BACKLOG)
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def _agi(_folder: Path) -> AsyncIterator[int]:
    async with agi.Server(_script, port=0, limits=agi.Limits(sessions=SESSIONS)) as server:
        yield server.port


@asynccontextmanager
async def _panoramisk(_folder: Path) -> AsyncIterator[int]:
    # A connection that closes in the middle of a command is an exception there, logged with its traceback.
    logging.getLogger("panoramisk").setLevel(logging.CRITICAL)
    application = panoramisk.fast_agi.Application(loop=asyncio.get_running_loop())
    application.add_route(AGI_PATH, _panoramisk_script)
    server = await asyncio.start_server(application.handler, "127.0.0.1", 0, backlog=BACKLOG)
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def _engine(folder: Path) -> AsyncIterator[int]:
    from trunx import app, logs, settings  # noqa: PLC0415 - the others are measured without its weight

    logs.configure(as_json=True)
    chosen = settings.load(
        data_dir=folder, http_port=0, agi_port=0, agi_sessions=SESSIONS, log_json=True, demo=True
    )
    # A line a call is written, as in production; nobody here is to read it, unless the start fails.
    words = os.dup(sys.stderr.fileno())
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    try:
        async with app.running(chosen) as running:
            yield running.calls.port
    except BaseException:
        os.dup2(words, sys.stderr.fileno())
        raise


Kind = Callable[[Path], AbstractAsyncContextManager[int]]
KINDS: dict[str, tuple[Kind, bool]] = {
    "floor": (_floor, True),
    "agi": (_agi, True),
    "agi-asyncio": (_agi, False),
    "panoramisk": (_panoramisk, False),
    "panoramisk-uvloop": (_panoramisk, True),
    "engine": (_engine, True),
}
"""What each runs, and whether on uvloop or on asyncio's own loop."""


async def _serve(kind: Kind, folder: Path) -> None:
    async with kind(folder) as port:
        # As a server does that has thousands of calls; the same for all, whoever they are.
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 20, 50)
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(0, ended.set)
        await ended.wait()
        # Calls that still wait need no farewell, and what is measured has been measured.
        os._exit(0)


def main(name: str, folder: Path) -> None:
    """Serves until standard input ends."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    logging.basicConfig(level=logging.WARNING)
    kind, on_uvloop = KINDS[name]
    factory = uvloop.new_event_loop if on_uvloop else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_serve(kind, folder))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
