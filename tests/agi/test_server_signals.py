"""A server in a process of its own: SIGTERM drains, SIGINT ends at once, and cleanup always runs."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from tests.agi.wire import PATIENCE, Asterisk, soon

VARIABLE = "GET VARIABLE X"

ROOT = Path(__file__).parents[2]


@contextlib.asynccontextmanager
async def program() -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """`program` in a process of its own, on the loop that the test runs on, and its port."""
    loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.agi.program", loop, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout is not None
    try:
        yield process, int(await soon(process.stdout.readline()))
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def said(process: asyncio.subprocess.Process) -> tuple[str, int]:
    """What the program printed until its end, and its exit code."""
    assert process.stdout is not None
    rest = await soon(process.stdout.read())
    return rest.decode(), await soon(process.wait())


async def refuses(port: int) -> None:
    """Waits until nobody listens there."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                async with Asterisk.connected(port):
                    pass
            except ConnectionRefusedError:
                return
            except ConnectionResetError:
                continue  # the listener closed with this one in its queue


async def test_sigterm_drains() -> None:
    async with program() as (process, port), Asterisk.connected(port) as asterisk:
        asterisk.greet()
        assert await asterisk.heard() == VARIABLE
        process.send_signal(signal.SIGTERM)
        await refuses(port)
        asterisk.say("200 result=1 (x)")
        assert await said(process) == ("x\ncleaned\nended\n", 0)


async def test_sigint_ends_at_once() -> None:
    async with program() as (process, port), Asterisk.connected(port) as asterisk:
        asterisk.greet()
        assert await asterisk.heard() == VARIABLE
        process.send_signal(signal.SIGINT)
        assert await said(process) == ("cleaned\nended\n", 0)
        assert await asterisk.end() == "closed"


async def test_sigint_ends_a_drain() -> None:
    async with program() as (process, port), Asterisk.connected(port) as asterisk:
        asterisk.greet()
        assert await asterisk.heard() == VARIABLE
        process.send_signal(signal.SIGTERM)
        await refuses(port)
        process.send_signal(signal.SIGINT)
        assert await said(process) == ("cleaned\nended\n", 0)
        assert await asterisk.end() == "closed"


async def test_sigterm_without_calls_ends_at_once() -> None:
    async with program() as (process, port):
        async with Asterisk.connected(port) as stranger:
            stranger.say("no greeting")
            await stranger.end()  # now it serves, and waits for signals
        process.send_signal(signal.SIGTERM)
        assert await said(process) == ("ended\n", 0)
