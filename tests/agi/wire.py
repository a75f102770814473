"""The Asterisk end of a socket, line by line: for the traps that a well-behaved `agi.caller` never sets."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Self, TypeVar

from agi import Channel, Limits, Server
from agi.caller import Ring

T = TypeVar("T")

PATIENCE = 10
"""Seconds after which a test that waits has failed; nothing here takes that long."""


class Asterisk:
    """One connection to a FastAGI server, as bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    @contextlib.asynccontextmanager
    async def connected(cls, port: int) -> AsyncIterator[Self]:
        """Connects without a greeting."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield cls(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    def greet(self, ring: Ring | None = None) -> None:
        """Sends the greeting of a call."""
        self.say_bytes((ring or Ring("+19495551234")).greeting("127.0.0.1", 4573))

    def say(self, *lines: str) -> None:
        """Sends `lines` in one segment."""
        self.say_bytes("".join(f"{line}\n" for line in lines).encode("latin-1"))

    def say_bytes(self, data: bytes) -> None:
        """Sends `data`."""
        self._writer.write(data)

    async def sent(self) -> None:
        """Waits until the kernel has what was said."""
        async with asyncio.timeout(PATIENCE):
            await self._writer.drain()

    async def heard(self) -> str:
        """The next command line, without its line break."""
        async with asyncio.timeout(PATIENCE):
            return (await self._reader.readuntil(b"\n")).decode().removesuffix("\n")

    async def end(self) -> str:
        """How the server closes: `closed` or `reset`; any command before that is an error."""
        try:
            async with asyncio.timeout(PATIENCE):
                rest = await self._reader.read()
        except ConnectionResetError:
            return "reset"
        assert rest == b""
        return "closed"

    def close(self) -> None:
        """Closes in good order."""
        self._writer.close()

    def reset(self) -> None:
        """Closes with a TCP reset."""
        sock: socket.socket = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


@contextlib.asynccontextmanager
async def on_call(
    handler: Callable[[Channel], Awaitable[object]], *, limits: Limits | None = None, ring: Ring | None = None
) -> AsyncIterator[tuple[Asterisk, asyncio.Future[object]]]:
    """One greeted call at a server of its own, and what the handler returns or raises."""
    outcome: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    async def recorded(channel: Channel) -> None:
        try:
            outcome.set_result(await handler(channel))
        except BaseException as error:
            outcome.set_result(error)
            raise

    async with Server(recorded, port=0, limits=limits) as server, Asterisk.connected(server.port) as asterisk:
        asterisk.greet(ring)
        yield asterisk, outcome


async def soon(awaitable: Awaitable[T]) -> T:
    """What `awaitable` gives, within the test's patience."""
    async with asyncio.timeout(PATIENCE):
        return await awaitable
