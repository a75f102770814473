"""Accepts Asterisk's connections, runs a handler for each call, and ends in good order.

What a stranger sends costs the others nothing: nobody is waited for, every wait has its deadline and every
buffer its limit, and whoever has not greeted yet is the first to go when connections run short.
"""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from types import TracebackType
from typing import Any, Self, assert_never, cast

from agi import protocol
from agi.channel import Channel
from agi.errors import CallEndedError, ProtocolError
from agi.protocol import Greeted, HungUp, Reply

log = logging.getLogger("agi")

Handler = Callable[[Channel], Coroutine[Any, Any, None]]

_READ = 256 * 1024
"""Bytes read at once. All connections of a server read into one buffer: the loop empties it before it reads
again. The default loop's own way takes a fresh 256 KiB for every read, which halves its speed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server allows. Times in seconds.

    `sessions` at once, past which a call is refused at once so that its dialplan goes on; `strangers`:
    connections that have not greeted yet, of which the oldest goes when there are more; `greeting`: time for
    the greeting; `reply`: time for one command, which must be longer than the longest `EXEC Dial`.
    """

    sessions: int = 5_000
    strangers: int = 1_000
    greeting: float = 5
    reply: float = 6 * 3600


class Server:
    """A FastAGI server; use as `async with Server(handler, ...) as server`.

    The handler runs as one task per call. It ends the call or simply returns, whereupon the dialplan goes on.
    When the caller hangs up while a command runs, that command raises `HangupError`; while the handler waits
    for anything else, its task is cancelled at once, and its `finally` blocks may still send what Asterisk
    allows on a dead channel. An exception it lets out is logged and ends the session.
    """

    loop: asyncio.AbstractEventLoop

    def __init__(
        self,
        handler: Handler,
        *,
        host: str = "127.0.0.1",
        port: int = 4573,
        limits: Limits | None = None,
        allow: Sequence[IPv4Network | IPv6Network] = (),
    ) -> None:
        self.limits = limits or Limits()
        self.refused = 0
        self.buffer = memoryview(bytearray(_READ))
        self._handler = handler
        self._host, self._port = host, port
        self._allow = tuple(allow)
        self._strangers: dict[_Connection, None] = {}
        self._sessions: set[_Connection] = set()
        self._listener: asyncio.Server | None = None
        self._watch: asyncio.Task[None] | None = None
        self._empty = asyncio.Event()
        self._empty.set()

    async def __aenter__(self) -> Self:
        self.loop = loop = asyncio.get_running_loop()
        # A burst of calls must find room: with asyncio's own backlog of 100 Asterisk's connect times out.
        shell = _Buffered if isinstance(loop, asyncio.BaseEventLoop) else _Streamed
        self._listener = await loop.create_server(lambda: shell(self), self._host, self._port, backlog=4096)
        for listening in self._listener.sockets:
            # Inherited by what is accepted: a host that vanished without a word is noticed in minutes.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_KEEPIDLE"):
                listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
        self._watch = loop.create_task(self._watch_deadlines(), name="agi-deadlines")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.drain(0)

    @property
    def port(self) -> int:
        """The port it listens on, also when 0 was asked for."""
        if self._listener is None or not self._listener.sockets:
            return self._port
        return cast(int, self._listener.sockets[0].getsockname()[1])

    @property
    def sessions(self) -> int:
        """How many calls are being handled."""
        return len(self._sessions)

    @property
    def listening(self) -> bool:
        """Whether new calls are taken."""
        return self._listener is not None

    async def drain(self, deadline: float) -> None:
        """Takes no new calls, waits up to `deadline` seconds for those that live, then cancels the late ones.

        May be called again, also with a shorter deadline. Returns when the last handler has ended.
        """
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for stranger in list(self._strangers):
            stranger.abort()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline):
                await self._empty.wait()
        while self._sessions:
            late = list(self._sessions)
            log.warning("%d calls are still live at the end of the drain; they are ended", len(late))
            tasks = [task for connection in late if (task := connection.stop()) is not None]
            await asyncio.wait(tasks)
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])

    async def serve_until_signal(self, drain: float = 30) -> None:
        """Serves until SIGTERM, then drains for up to `drain` seconds; SIGINT ends at once."""
        loop = asyncio.get_running_loop()
        stop, force = asyncio.Event(), asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, stop.set)

        def interrupt() -> None:
            stop.set()
            force.set()

        loop.add_signal_handler(signal.SIGINT, interrupt)
        try:
            await stop.wait()
            log.info("no new calls are taken; %d are live", len(self._sessions))
            draining = asyncio.ensure_future(self.drain(0 if force.is_set() else drain))
            forcing = asyncio.ensure_future(force.wait())
            await asyncio.wait({draining, forcing}, return_when=asyncio.FIRST_COMPLETED)
            forcing.cancel()
            await self.drain(0)
            await draining
        finally:
            loop.remove_signal_handler(signal.SIGTERM)
            loop.remove_signal_handler(signal.SIGINT)

    # What a connection tells its server.

    def arrived(self, connection: "_Connection") -> bool:
        """Whether a new connection may stay."""
        if self._allow and not any(connection.peer() in network for network in self._allow):
            log.warning("a connection from %s is refused: not an allowed address", connection.peer())
            return False
        if self._listener is None:
            return False
        self._strangers[connection] = None
        if len(self._strangers) > self.limits.strangers:
            oldest = next(iter(self._strangers))
            oldest.abort()
        return True

    def greeted(self, connection: "_Connection", channel: Channel) -> bool:
        """Starts the handler for a call whose greeting is complete, unless there is no room."""
        self._strangers.pop(connection, None)
        if self._full():
            return False
        self._sessions.add(connection)
        self._empty.clear()
        task = connection.task = channel.loop.create_task(self._handler(channel))
        task.add_done_callback(connection.done)
        return True

    def gone(self, connection: "_Connection") -> None:
        """A connection that never became a call has closed."""
        self._strangers.pop(connection, None)

    def _full(self) -> bool:
        if len(self._sessions) < self.limits.sessions:
            return False
        self.refused += 1
        if (
            self.refused & (self.refused - 1) == 0
        ):  # the 1st, 2nd, 4th, 8th ...: a flood must not fill the disk
            log.error(
                "a call is refused: %d sessions are live, the limit; %d refused so far",
                len(self._sessions),
                self.refused,
            )
        return True

    def ended(self, connection: "_Connection", task: asyncio.Task[None]) -> None:
        """A call's handler has ended; the outermost door of its session."""
        connection.finish()
        self._sessions.discard(connection)
        if not self._sessions:
            self._empty.set()
        error = None if task.cancelled() else task.exception()
        if isinstance(error, ExceptionGroup):
            error = error.split(CallEndedError)[1]
        if error is not None and not isinstance(error, CallEndedError):
            log.error("the handler of an AGI session failed", exc_info=error)

    async def _watch_deadlines(self) -> None:
        """One task looks after all deadlines: a timer for each command would cost every call."""
        loop = asyncio.get_running_loop()
        pause = min(1.0, self.limits.greeting / 4, self.limits.reply / 4)
        while True:
            await asyncio.sleep(pause)
            now = loop.time()
            for stranger in [c for c in self._strangers if now - c.since > self.limits.greeting]:
                stranger.abort()
            for session in self._sessions:
                session.check(now, self.limits.reply)


class _Connection:
    """One socket: feeds the wire and hands its events on."""

    __slots__ = ("_channel", "_server", "_transport", "_watched", "_wire", "since", "task")

    def __init__(self, server: Server) -> None:
        self._server = server
        self._wire = protocol.Protocol()
        self._channel: Channel | None = None
        self._transport: asyncio.Transport | None = None
        self.task: asyncio.Task[None] | None = None
        self.since = 0.0  # when it arrived; later, since when it waits for the same reply
        self._watched: asyncio.Future[Reply] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.since = self._server.loop.time()
        if not self._server.arrived(self):
            self.abort()

    def peer(self) -> IPv4Address | IPv6Address:
        """Where the connection comes from."""
        known = self._transport.get_extra_info("peername") if self._transport is not None else None
        return ip_address(known[0] if known else "0.0.0.0")  # noqa: S104 - no bind: the unknown address

    def received(self, data: bytes) -> None:
        """What has come from Asterisk."""
        reply = self._wire.plain_reply(data)
        if reply is not None and self._channel is not None:
            self._channel.replied(reply)
            if self._wire.hung_up:
                self._end_work_soon()
            return
        try:
            events = self._wire.receive(data)
        except ProtocolError as error:
            log.warning("a connection from %s is closed: %s", self.peer(), error)
            self.abort()
            return
        for event in events:
            if isinstance(event, Reply):
                if self._channel is not None:
                    self._channel.replied(event)
                if self._wire.hung_up:
                    self._end_work_soon()
            elif isinstance(event, HungUp):
                self._end_work_soon()
            elif isinstance(event, Greeted):
                self._greeted(event)
            else:
                assert_never(event)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why it is lost changes nothing
        self._server.gone(self)
        self._transport = None
        if self._channel is not None:
            self._channel.lost()
            if self.task is not None and not self.task.done():
                self._end_work_soon()

    def abort(self) -> None:
        """Closes at once."""
        self._server.gone(self)
        self._wire.close()
        if self._transport is not None:
            self._transport.abort()

    def finish(self) -> None:
        """Closes after what has been written is sent."""
        self._wire.close()
        if self._transport is not None:
            self._transport.close()

    def done(self, task: asyncio.Task[None]) -> None:
        self._server.ended(self, task)

    def stop(self) -> asyncio.Task[None] | None:
        """Cancels the call's work; the task to wait for."""
        if self.task is not None:
            self.task.cancel()
        return self.task

    def check(self, now: float, limit: float) -> None:
        """Ends the connection when one command has been running for longer than `limit` seconds."""
        running = self._channel.running if self._channel is not None else None
        if running is not self._watched:
            self._watched, self.since = running, now
        elif running is not None and now - self.since > limit:
            log.error("Asterisk has not answered a command in %.0f s; the session is closed", limit)
            self.abort()

    def _greeted(self, event: Greeted) -> None:
        if self._transport is None:
            return
        self._channel = Channel(self._wire, self._transport, event.environment, self._server.loop)
        if not self._server.greeted(self, self._channel):
            self._refuse()

    def _refuse(self) -> None:
        """Tells Asterisk that there will be no session: AGISTATUS becomes FAILURE and the dialplan goes on.

        The word `failure` in a command's place does that (res_agi.c); a mere close reads SUCCESS there.
        It comes after the greeting, because closing with unread bytes would reset the connection before it.
        """
        self._wire.close()
        if self._transport is not None:
            self._transport.write(b"failure\n")
            self._transport.close()

    def _end_work_soon(self) -> None:
        """Once the handler has taken the reply that it may have got in the same breath."""
        self._server.loop.call_soon(self._end_work)

    def _end_work(self) -> None:
        """Cancels what the handler waits for, once, unless a command of its own tells it of the end."""
        channel = self._channel
        if channel is not None and self.task is not None and not channel.told and not channel.running:
            channel.told = True
            self.task.cancel()


class _Streamed(_Connection, asyncio.Protocol):
    """For uvloop, which reads into a buffer of its own."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        self.received(data)


class _Buffered(_Connection, asyncio.BufferedProtocol):
    """For asyncio's own loop, which would else take a fresh 256 KiB for every read: that halves its speed."""

    __slots__ = ()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the protocol's signature
        return self._server.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.received(bytes(self._server.buffer[:nbytes]))
