"""A small AMI client for tests: actions, and watches that collect events from the moment they are opened.

Not the product's client (that one is panoramisk behind its adapter): the tests look at Asterisk through other
eyes. Text is UTF-8 with surrogate escapes, so that names which are no UTF-8 pass through whole in both
directions.
"""

from __future__ import annotations

import asyncio
import itertools
from types import TracebackType
from typing import Self

Message = dict[str, str]
"""Header to value; a header that is repeated (`Output`) has its values joined by newlines."""


class AmiError(Exception):
    """Asterisk answered `Response: Error`, or the connection is gone."""


class Watch:
    """The events of one name (any name when empty) whose headers equal the given ones, since the watch was
    opened.

    Open it, by `with`, before the action whose consequence it awaits: nothing that came earlier is in it.
    """

    def __init__(self, watches: set[Watch], name: str, headers: Message) -> None:
        self.seen: list[Message] = []
        self._watches = watches
        self._name = name
        self._headers = headers
        self._taken = 0
        self._news = asyncio.Event()

    def __enter__(self) -> Self:
        self._watches.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watches.discard(self)

    def offer(self, message: Message) -> None:
        """Keeps the event if it is one of those watched for."""
        if self._name not in ("", message["Event"]):
            return
        if all(message.get(header) == value for header, value in self._headers.items()):
            self.seen.append(message)
            self._news.set()

    async def next(self, within: float = 10.0) -> Message:
        """The next event not yet taken.

        Raises:
            TimeoutError: none came within so many seconds.
        """
        async with asyncio.timeout(within):
            while self._taken == len(self.seen):
                self._news.clear()
                await self._news.wait()
        self._taken += 1
        return self.seen[self._taken - 1]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        return await self.next(within=3600.0)


class Ami:
    """One logged-in AMI connection; made by `Ami.connect`, closed by `close`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._ids = itertools.count(1)
        self._answers: dict[str, asyncio.Future[Message]] = {}
        self._watches: set[Watch] = set()
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def connect(cls, port: int, user: str, secret: str, *, events: bool = True) -> Self:
        """Connects to 127.0.0.1 and logs in.

        Raises:
            OSError: nobody listens.
            AmiError: the login is refused.
        """
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
        ami = cls(reader, writer)
        try:
            await ami.action("Login", Username=user, Secret=secret, Events="on" if events else "off")
        except BaseException:
            await ami.close()
            raise
        return ami

    async def action(self, name: str, /, *, within: float = 10.0, **headers: str | list[str]) -> Message:
        """Sends one action and returns its response; a header with a list of values is sent once for each.

        Raises:
            AmiError: `Response: Error`, with Asterisk's message; or the connection is gone.
            TimeoutError: no response within so many seconds.
        """
        if self._listening.done():
            raise AmiError("the connection is gone")
        action_id = str(next(self._ids))
        lines = [f"Action: {name}", f"ActionID: {action_id}"]
        for header, value in headers.items():
            lines += [f"{header}: {one}" for one in ([value] if isinstance(value, str) else value)]
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("an AMI header cannot hold a line break")
        answer = self._answers[action_id] = asyncio.get_running_loop().create_future()
        try:
            self._writer.write("\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape"))
            async with asyncio.timeout(within):
                response: Message = await answer
        finally:
            del self._answers[action_id]
        if response["Response"] == "Error":
            raise AmiError(response.get("Message", "no message"))
        return response

    async def command(self, line: str) -> str:
        """What Asterisk's console prints for a command."""
        return (await self.action("Command", Command=line)).get("Output", "")

    def watch(self, name: str = "", **headers: str) -> Watch:
        """A watch for events of that name whose headers have these values; it begins at `with`."""
        return Watch(self._watches, name, headers)

    async def close(self) -> None:
        """Closes the connection; what still waits for an answer fails with AmiError."""
        self._writer.close()
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        await asyncio.gather(self._writer.wait_closed(), return_exceptions=True)

    async def _listen(self) -> None:
        try:
            await self._reader.readline()  # the banner: "Asterisk Call Manager/11.0.0"
            while block := await self._reader.readuntil(b"\r\n\r\n"):
                self._deliver(_parse(block))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(AmiError("the connection is gone"))

    def _deliver(self, message: Message) -> None:
        if "Response" in message:
            answer = self._answers.get(message.get("ActionID", ""))
            if answer is not None and not answer.done():
                answer.set_result(message)
        elif "Event" in message:
            for watch in self._watches:
                watch.offer(message)


def _parse(block: bytes) -> Message:
    message: Message = {}
    for line in block.decode("utf-8", "surrogateescape").split("\r\n"):
        header, colon, value = line.partition(":")
        if colon:
            value = value.removeprefix(" ")
            message[header] = f"{message[header]}\n{value}" if header in message else value
    return message
