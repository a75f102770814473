"""An AMI peer for the faults that a real Asterisk cannot be made to show: silence, cuts, and odd answers.

It keeps what it was sent, action by action, over all connections; whatever it is not told otherwise it
answers as Asterisk does.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import quote

Block = dict[str, list[str]]
"""Header to its values, in their order."""

SECRET = "s3cr&t/of:asterisk"
BANNER = "Asterisk Call Manager/11.0.0\r\n"


@dataclass
class AmiStub:
    """Everything may be changed while it runs.

    Attributes:
        received: every action, whichever connection it came by.
        connections: how many were made.
        silent: actions that it takes and never answers.
        booted: whether it says that it is fully booted after a login.
        ends: how connections ended from their far side: `closed` or `reset`.
    """

    port: int = 0
    received: list[Block] = field(default_factory=list)
    connections: int = 0
    silent: set[str] = field(default_factory=set)
    replies: dict[str, str] = field(default_factory=dict)
    booted: bool = True
    ends: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _serving: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"ami://trunx:{quote(SECRET, safe='')}@127.0.0.1:{self.port}"

    def named(self, action: str) -> list[Block]:
        """The actions of this name, so far."""
        return [block for block in self.received if block["Action"] == [action]]

    def dialled_by(self, did: str) -> list[Block]:
        """The orders to dial that show that number; another test's may come at any time."""
        return [block for block in self.named("Originate") if did in block["CallerID"][0]]

    async def has(self, action: str, count: int = 1) -> Block:
        """Waits until so many actions of this name have come; the last."""
        async with asyncio.timeout(15):
            while len(self.named(action)) < count:
                self._news.clear()
                await self._news.wait()
        return self.named(action)[count - 1]

    async def order(self, channel: str) -> Block:
        """Waits for the order to make the channel of that id."""
        count = 1
        while (found := await self.has("Originate", count))["ChannelId"] != [channel]:
            count += 1
        return found

    async def connected(self, count: int) -> None:
        """Waits for the so manieth login."""
        await self.has("Login", count)

    def tell(self, **headers: str) -> None:
        """Sends an event on all connections."""
        self.say("".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n")

    def say(self, text: str | bytes) -> None:
        """Sends text as it is."""
        for writer in self._writers:
            writer.write(text if isinstance(text, bytes) else text.encode())

    def cut(self) -> None:
        """Breaks every connection off."""
        for writer in self._writers:
            writer.transport.abort()

    def freeze(self) -> None:
        """Takes nothing more from its sockets, and answers nothing; they stay open."""
        for writer in self._writers:
            writer.transport.pause_reading()  # type: ignore[attr-defined]

    def thaw(self) -> None:
        """Takes what has come in the meantime."""
        for writer in self._writers:
            writer.transport.resume_reading()  # type: ignore[attr-defined]

    async def end(self) -> None:
        """Breaks every connection off and waits for its end."""
        self.cut()
        await asyncio.gather(*self._serving)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection more."""
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        writer.write(BANNER.encode())
        try:
            while True:
                raw = await reader.readuntil(b"\r\n\r\n")
                self._take(raw.decode(), writer)
        except asyncio.IncompleteReadError:
            self.ends.put_nowait("closed")
        except ConnectionError:
            self.ends.put_nowait("reset")
        finally:
            self._writers.discard(writer)
            writer.close()

    def _take(self, raw: str, writer: asyncio.StreamWriter) -> None:
        block: Block = {}
        for line in raw.removesuffix("\r\n\r\n").split("\r\n"):
            name, _, value = line.partition(": ")
            block.setdefault(name, []).append(value)
        self.received.append(block)
        self._news.set()
        (action,) = block["Action"]
        if action in self.silent:
            return
        lines = f"ActionID: {block['ActionID'][0]}\r\n"
        reply = self.replies.get(action, "Response: Success\r\n{id}Message: done\r\n\r\n")
        if action == "Login" and block["Secret"] != [SECRET]:
            reply = "Response: Error\r\n{id}Message: Authentication failed\r\n\r\n"
        writer.write(reply.replace("{id}", lines).encode())
        if action == "Login":
            if "Error" in reply:
                writer.close()
            elif self.booted:
                writer.write(b"Event: FullyBooted\r\nPrivilege: system,all\r\nStatus: Fully Booted\r\n\r\n")


@asynccontextmanager
async def ami_stub() -> AsyncIterator[AmiStub]:
    """A stub that listens on a free port of 127.0.0.1."""
    stub = AmiStub()
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # soon full when it does not read
    server = await asyncio.start_server(stub.accept, sock=listening, limit=1 << 20)
    stub.port = listening.getsockname()[1]
    try:
        yield stub
    finally:
        server.close()
        await stub.end()
        await server.wait_closed()
