"""The network between the server and Asterisk's manager interface, which can be cut."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self

_RESET = struct.pack("ii", 1, 0)  # struct linger: on, for no time


class Relay:
    """Passes bytes on, both ways, to a port on 127.0.0.1.

    Attributes:
        port: where it listens.
        cuts: how many connections were broken off by `cut`.
    """

    def __init__(self, to_port: int) -> None:
        self.port = 0
        self.cuts = 0
        self._to_port = to_port
        self._is_up = True
        self._flows = asyncio.Event()
        self._flows.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def to(cls, port: int) -> AsyncIterator[Self]:
        """A relay to that port."""
        relay = cls(port)
        server = await asyncio.start_server(relay._accept, "127.0.0.1", 0)
        relay.port = server.sockets[0].getsockname()[1]
        try:
            yield relay
        finally:
            server.close()
            relay.cut()
            relay.thaw()
            await asyncio.gather(*relay._serving, return_exceptions=True)
            await server.wait_closed()

    def cut(self) -> None:
        """Breaks every connection off, hard (RST), until `mend`."""
        self._is_up = False
        for writer in list(self._writers):
            self.cuts += 1
            _reset(writer)

    def mend(self) -> None:
        """Lets connections be made again."""
        self._is_up = True

    def freeze(self) -> None:
        """Passes nothing on and closes nothing until `thaw`; what comes meanwhile waits, as in TCP."""
        self._flows.clear()

    def thaw(self) -> None:
        """Passes on again, first what has waited."""
        self._flows.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            await self._serve(reader, writer)
        finally:
            self._serving.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flows.wait()
        if not self._is_up:
            _reset(writer)
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
        except OSError:
            _reset(writer)
            return
        self._writers |= {writer, far_writer}
        await asyncio.gather(self._pass(reader, far_writer), self._pass(far_reader, writer))
        self._writers -= {writer, far_writer}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                await self._flows.wait()
                if (error := reader.exception()) is not None:
                    raise error  # a reset takes back what has waited, as TCP's does
                writer.write(data)
                await writer.drain()
            await self._flows.wait()
        except ConnectionError:
            _reset(writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def _reset(writer: asyncio.StreamWriter) -> None:
    if not writer.transport.is_closing():
        writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
