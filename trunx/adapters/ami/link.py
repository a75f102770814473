"""One logged-in connection to Asterisk's manager interface (AMI), by panoramisk, from login to loss.

panoramisk reconnects by itself and then sends again what was not answered: an Originate would dial somebody
twice, or much later. So each of its managers serves one connection and knows no way to a second. What it
leaves out is done here: a deadline on every answer, a refused login, lines that AMI could take for two.
"""

import asyncio
import logging
import os
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from panoramisk import message as library
from panoramisk.actions import Action
from panoramisk.ami_protocol import AMIProtocol
from panoramisk.manager import Manager

from trunx.domain.channel import AmiRefusedError, AmiUnknownError, NoSuchChannelError
from trunx.domain.errors import UnavailableError

Message: TypeAlias = Mapping[str, Any]
"""An event or a response, header by header, in any case; a header that is repeated has a list: see `text`."""

_MOST_BYTES = 1_000  # Asterisk drops a line of more than 1,023 and acts on the rest (`inbuf` in manager.c)
_MOST_UNTAKEN = 1 << 16  # bytes; an Asterisk that reads nothing must not fill our memory
_NO_CHANNEL = ("no such channel", "channel does not exist", "channel not existent", "channel not found")
_ENDING = "asterisk is shutting down"  # process_message in manager.c, to each action
# Most of what Asterisk tells of a call, and nobody here asks for; to take it apart is most of the reading.
_UNHEARD = frozenset(
    b"Event: " + name
    for name in (
        *(b"Newchannel", b"NewCallerid", b"NewConnectedLine", b"DialBegin", b"DialState", b"DialEnd"),
        *(b"SoftHangupRequest", b"BridgeCreate", b"BridgeEnter", b"BridgeLeave", b"BridgeDestroy"),
        *(b"DTMFBegin", b"MusicOnHoldStart", b"MusicOnHoldStop"),
    )
)
_RESET = struct.pack("ii", 1, 0)  # struct linger: on, for no time

# Its lines say nothing that ours do not, and some of them hold the secret.
logging.getLogger("panoramisk").setLevel(logging.CRITICAL + 1)


class LoginRefusedError(Exception):
    """Asterisk does not let us in: the user, the secret, or the address we come from."""


class _Manager(Manager):  # type: ignore[misc]  # panoramisk has no types
    """panoramisk's, for one connection: no reconnecting, no pings, all events to one place."""

    def __init__(self, heard: Callable[[Message], None], lost: Callable[[], None], **config: Any) -> None:
        super().__init__(**config)
        self._heard = heard
        self._lost = lost

    def connection_lost(self, exc: object) -> None:  # noqa: ARG002 - its signature
        self._lost()

    def ping(self) -> None:
        """Ours has its answer checked."""

    def dispatch(self, event: Message) -> None:
        self._heard(event)


class _Protocol(AMIProtocol):  # type: ignore[misc]  # panoramisk has no types
    """panoramisk's, which drops letters whose bytes come in two segments, and spaces at the end."""

    heard_at = 0.0  # by the loop's clock
    _rest = b""

    def data_received(self, data: bytes) -> None:
        self.heard_at = asyncio.get_running_loop().time()
        *whole, self._rest = (self._rest + data).split(b"\r\n\r\n")
        for block in whole:
            if block.partition(b"\r\n")[0] in _UNHEARD:
                continue
            message = library.Message.from_line(block.decode("utf-8", "replace"))
            if message is not None:
                self.handle_message(message)


class Link:
    """A connection; `lost` is done when it is over, and says why.

    Args:
        heard: is given each event, inside the reading of the socket: it must not wait, and must not raise.
    """

    def __init__(self, heard: Callable[[Message], None]) -> None:
        self._heard = heard
        self._booted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._manager: Any = None
        self._asked_at = 0.0
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def connect(
        self,
        host: str,
        port: int,
        user: str,
        secret: str,
        seconds: float,
        *,
        events: str = "system,call,dtmf",
    ) -> None:
        """Connects and logs in, for the events of calls, of keys, and of Asterisk's own start and end.

        Raises:
            UnavailableError: nobody is there, or answers within so many seconds.
            LoginRefusedError: the login is refused.
        """
        loop = asyncio.get_running_loop()
        login_as = {"username": user, "secret": secret, "events": events}
        self._manager = _Manager(self._take, self._closed, loop=loop, **login_as)
        connected: asyncio.Future[object] = loop.create_future()
        try:
            async with asyncio.timeout(seconds):
                # Not by its connect(), which would try again after its own two seconds.
                connected.set_result(await loop.create_connection(_Protocol, host, port))
                self._manager.connection_made(connected)
                login: asyncio.Future[Message] = self._manager.authenticated_future
                await self._comes(login, None)
        except TimeoutError:
            raise UnavailableError(f"no answer to the login within {seconds:g} s") from None
        except UnicodeError:
            raise UnavailableError(f"{host!r} cannot be the name of a host") from None
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            raise UnavailableError(reason) from error
        if not login.done():
            raise UnavailableError(f"{self.lost.result()} before the login was answered")
        if not self._manager.authenticated:
            raise LoginRefusedError(text(login.result(), "Message"))

    async def wait_booted(self, seconds: float) -> bool:
        """Waits until Asterisk has loaded all that calls need (its AMI answers before); False: not yet."""
        return await self._comes(self._booted, seconds)

    @property
    def silence(self) -> float:
        """Seconds for which nothing at all has come, though something was asked."""
        asked = self._asked_at
        return asyncio.get_running_loop().time() - asked if asked > self._manager.protocol.heard_at else 0.0

    @property
    def quiet(self) -> float:
        """Seconds for which nothing at all has come."""
        heard: float = self._manager.protocol.heard_at
        return asyncio.get_running_loop().time() - heard

    async def ask(
        self, action: str, fields: Mapping[str, str | Sequence[str]], *, seconds: float, rows: bool = False
    ) -> Sequence[Message]:
        """Sends one action, once, and returns what Asterisk answers; with `rows` also the events of the list.

        Raises:
            ValueError: a field holds what would end its line, or too much. Nothing was sent.
            UnavailableError: nothing was sent, or Asterisk is ending and does nothing more.
            AmiRefusedError: Asterisk's own words; `NoSuchChannelError` where they say that.
            AmiUnknownError: it was sent, and no answer came.
        """
        for name, value in fields.items():
            for line in [value] if isinstance(value, str) else value:
                check(name, line)
        sent = Action({"Action": action, **fields})
        if self.lost.done():
            raise UnavailableError(self.lost.result())
        if self._manager.protocol.transport.get_write_buffer_size() > _MOST_UNTAKEN:
            raise UnavailableError("Asterisk does not read what it is sent")
        if self._asked_at <= self._manager.protocol.heard_at:
            self._asked_at = asyncio.get_running_loop().time()
        # `as_list` False: one reply. None: the library looks at the reply whether a list follows; then it
        # falls over "successfully queued", and waits for ever when True and the reply is an error.
        answer: asyncio.Future[Any] = self._manager.send_action(sent, as_list=None if rows else False)
        try:
            answered = await self._comes(answer, seconds)
        finally:
            self._manager.responses.pop(sent.id, None)
        if not answered:
            why = self.lost.result() if self.lost.done() else f"no answer within {seconds:g} s"
            raise AmiUnknownError(f"{action}: {why}")
        messages = answer.result() if isinstance(answer.result(), list) else [answer.result()]
        if not messages[0].success:
            words = text(messages[0], "Message") or "no reason given"
            if words.lower().startswith(_ENDING):
                raise UnavailableError(words)
            unknown = any(words.lower().startswith(phrase) for phrase in _NO_CHANNEL)
            raise (NoSuchChannelError if unknown else AmiRefusedError)(words)
        return messages

    def close(self) -> None:
        """Ends it in the orderly way."""
        if self._manager is not None:
            self._manager.close()
        self._lose("we closed the connection")

    def abort(self) -> None:
        """Ends it so that nothing under way still arrives: no dial out of a network that healed."""
        if self._manager is not None and self._manager.protocol is not None:
            transport = self._manager.protocol.transport
            if not transport.is_closing():
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                transport.abort()
        self.close()

    def _take(self, event: Message) -> None:
        if text(event, "Event") == "FullyBooted" and not self._booted.done():
            self._booted.set_result(None)
        self._heard(event)

    async def _comes(self, awaited: asyncio.Future[Any], seconds: float | None) -> bool:
        """Waits, no longer than the connection lasts; whether it came."""
        either: set[asyncio.Future[Any]] = {awaited, self.lost}
        await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return awaited.done()

    def _closed(self) -> None:
        self._lose("Asterisk closed the connection")

    def _lose(self, why: str) -> None:
        if not self.lost.done():
            self.lost.set_result(why)


def text(message: Message, header: str) -> str:
    """A header's value; empty when there is none, the first of several."""
    value = message.get(header, "")
    first = value[0] if isinstance(value, list) else value
    return str(first)


def check(name: str, value: str) -> None:
    """Refuses, by ValueError, what is no single line of AMI: a control character, no text, or too much."""
    if any(letter < " " or letter == "\x7f" for letter in value):
        raise ValueError(f"{name}: a line break or another control character cannot be sent to Asterisk")
    try:
        written = value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name}: not a text that can be written as UTF-8") from None
    if len(name) + 2 + len(written) > _MOST_BYTES:
        raise ValueError(f"{name}: {len(written)} bytes are too long for Asterisk's manager interface")
