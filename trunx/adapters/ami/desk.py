"""Asterisk acting on live channels: keys pressed, sounds interrupted, recordings begun and ended.

The fact to know: PlayDTMF holds its session for as long as the tone lasts, and whatever was asked on that
session with it. So keys have sessions of their own, one for each key that sounds at this moment.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from trunx.adapters.ami.ami import Ami
from trunx.adapters.ami.link import Link, LoginRefusedError, Message, text
from trunx.domain.channel import AmiUnknownError
from trunx.domain.errors import UnavailableError

_KEYS = frozenset("0123456789*#ABCD")
_MOST_IDLE = 8  # sessions that are kept for the next keys


class Desk(Ami):
    """`Ami` that also acts; fulfils `action_ports.Desk`. All of it raises what `Ami` says of its actions."""

    _idle: list[Link]
    _listening: dict[str, list[asyncio.Future[str]]]

    async def __aenter__(self) -> Self:
        self._idle, self._listening = [], {}
        await super().__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        for link in self._idle:
            link.close()
        self._idle.clear()
        await super().__aexit__(*error)

    async def press(self, channel: str, key: str, *, seconds: float) -> None:
        """Sends one key out on the channel; returns when its tone is over. Raises `NoSuchChannelError`."""
        if key not in _KEYS:
            raise ValueError(f"key: {key!r} is on no telephone")
        fields = {"Channel": channel, "Digit": key, "Duration": str(round(seconds * 1000)), "Async": "false"}
        link = await self._keypad()
        try:
            await link.ask("PlayDTMF", fields, seconds=seconds + self._pace.answer)
        except AmiUnknownError as error:
            link.abort()
            raise UnavailableError(f"{self.place}: {error}") from None
        except asyncio.CancelledError:
            link.abort()
            raise
        finally:
            if not link.lost.done():
                if len(self._idle) < _MOST_IDLE:
                    self._idle.append(link)
                else:
                    link.close()

    async def interrupt(self, channel: str) -> None:
        """Ends what the channel plays in our session, or else the wait for a key; in GET DATA, which does
        both, one of the two. Raises `AmiRefusedError`.
        """
        await self._ask("ControlPlayback", channel, {"Control": "stop"})

    async def record(self, channel: str, file: str, options: str) -> None:
        """MixMonitor; `file` is below Asterisk's monitor folder, empty where `options` name files."""
        fields = {"File": file, "Options": options}
        await self._ask("MixMonitor", channel, {name: value for name, value in fields.items() if value})

    async def stop_recording(self, channel: str) -> None:
        """StopMixMonitor."""
        await self._ask("StopMixMonitor", channel, {})

    async def mute_recording(self, channel: str, *, muted: bool) -> None:
        """MixMonitorMute: with silence in place of what is said."""
        await self._ask("MixMonitorMute", channel, {"Direction": "both", "State": "1" if muted else "0"})

    @contextmanager
    def listening(self, channel: str) -> Iterator[asyncio.Future[str]]:
        """The first key that is pressed at the channel's far end while the block lasts. In manager.conf the
        user needs `dtmf` among what it reads.
        """
        heard: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        waiting = self._listening.setdefault(channel, [])
        waiting.append(heard)
        try:
            yield heard
        finally:
            heard.cancel()
            waiting.remove(heard)
            if not waiting:
                self._listening.pop(channel, None)

    def _heard(self, event: Message) -> None:
        if text(event, "Event") != "DTMFEnd":
            super()._heard(event)
        elif text(event, "Direction") == "Received":
            for heard in self._listening.get(text(event, "Uniqueid"), ()):
                if not heard.done():
                    heard.set_result(text(event, "Digit"))

    async def _keypad(self) -> Link:
        """A session of its own."""
        self._usable()
        while self._idle:
            link = self._idle.pop()
            if not link.lost.done():
                return link
        link = Link(lambda _: None)
        try:
            await link.connect(
                self._host, self._port, self._user, self._secret, self._pace.connect, events="off"
            )
        except LoginRefusedError as error:
            link.close()
            raise UnavailableError(f"{self.place}: {error}") from None
        except BaseException:  # cancelled, too: nobody else knows of the connection
            link.close()
            raise
        return link
