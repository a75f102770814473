"""Asterisk by its manager interface: channels dialled, ended and moved, and what becomes of every channel.

The fact to know: an action is sent once. One whose answer is not known (`AmiUnknownError`) may have been
carried out, or may still be; only `channels()` tells. A lost connection is made anew for ever, and never
brings back what was sent on the one before.
"""

import asyncio
import random
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn, Self
from urllib.parse import unquote, urlsplit

import structlog

from trunx.adapters.ami.facts import Facts, Reading
from trunx.adapters.ami.link import Link, LoginRefusedError, Message, check, text
from trunx.domain.channel import (
    AmiRefusedError,
    AmiUnknownError,
    LinkDown,
    LinkUp,
    LiveChannel,
    NoSuchChannelError,
    Originate,
)
from trunx.domain.errors import UnavailableError
from trunx.domain.records import PartState

__all__ = ["Ami", "LoginRefusedError", "Pace"]

SETTING = "TRUNX_AMI_URL"
_PORT = 5038
_NORMAL_CLEARING = 16
_JUST = 0.05  # seconds

# No comma, quote, `;`, `&`, `|`, `$`, brace or space: nothing that Asterisk could take for more than a name.
_DIAL = re.compile(r"[A-Za-z0-9]+/[A-Za-z0-9+@_.:/*#-]+")
_PLACE = re.compile(r"[A-Za-z0-9_+*#.-]+")
_NUMBER = re.compile(r"[0-9+*#]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\([A-Za-z0-9_,:/.-]*\))?")
_ID = re.compile(r"[A-Za-z0-9_.-]{1,149}")  # AST_MAX_UNIQUEID is 150 with its final zero
_CHANNEL = re.compile(r"[A-Za-z0-9_+@.:;/-]+")
# What means something where Originate splits a Variable at its commas; a backslash takes the meaning away.
_SPLITS = re.compile(r'([\\,"()\[\]{}])')
_ESCAPED = r"\\\1"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds.

    Attributes:
        connect: for the connection and the login.
        boot: for Asterisk to be fully started after the login.
        answer: for the answer to an action.
        silence: without a word after something was asked; then no order to dial is sent, which might be lost.
        ping: between two pings.
        pause: before the first new attempt to connect; doubled for each further one up to `longest_pause`,
            and shortened by up to a half by chance, so that many servers do not come back at once.
    """

    connect: float = 5.0
    boot: float = 120.0
    answer: float = 5.0
    silence: float = 1.0
    ping: float = 5.0
    pause: float = 0.5
    longest_pause: float = 3.0


class Ami:
    """Asterisk at `ami://user:secret@host:5038`, connected for as long as the block lasts, or trying to be.

    Every action may raise `UnavailableError` (nothing was sent; of all but `originate` also: it is not known
    whether it was done, and may be tried again), `AmiRefusedError`, and `ValueError` for a field that could
    not be sent as it is, before anything is sent.

    Attributes:
        facts: all that Asterisk tells, for one taker; nothing comes between `LinkDown` and the next `LinkUp`,
            nor before the first.
        place: `host:port`.

    Raises:
        ValueError: not such a URL.
    """

    def __init__(self, url: str, *, pace: Pace = Pace(), most_facts: int = 20_000) -> None:
        self._host, self._port, self._user, self._secret = _parsed(url)
        self.place = f"{self._host}:{self._port}"
        self.facts = Facts(most_facts)
        self._pace = pace
        self._reading = Reading()
        self._link: Link | None = None
        self._problem = "not connected yet"
        self._refused = False
        self._settled = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._keeping = asyncio.create_task(self._keep_connected())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeping

    async def wait_connected(self, seconds: float) -> None:
        """Waits until actions can be sent.

        Raises:
            LoginRefusedError: the message names the setting. It is tried again all the same: the operator may
                mend manager.conf while we run.
            UnavailableError: not within so many seconds.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._settled.wait()
        if self._refused:
            raise LoginRefusedError(self._problem)
        self._usable()

    async def state(self) -> PartState:
        """`degraded` without a connection: inbound calls need none."""
        problem = self._problem if self._link is None else self._silence(self._link)
        if problem:
            return PartState("ami", "degraded", f"{problem}; no outbound calls meanwhile")
        return PartState("ami", "ok", self.place)

    @property
    def is_ready(self) -> bool:
        """Whether there is a connection, and no silence on it."""
        return self._link is not None and not self._link.lost.done() and not self._silence(self._link)

    async def answers(self) -> bool:
        """Whether it is ready, and answers when it is asked."""
        try:
            await _ping(self._usable(), self._pace.silence)
        except UnavailableError:
            return False
        return self.is_ready

    async def originate(self, wanted: Originate) -> None:
        """Has Asterisk begin to dial; what becomes of it are facts.

        Asterisk takes the order before it looks at the dial string, so that a success says little.

        Raises:
            UnavailableError: nothing was sent, nobody will be dialled.
            AmiRefusedError: nobody will be dialled (no such extension, no permission).
            AmiUnknownError: somebody may be dialled, now or soon. Ask `channels()`; never send it again.
                The same holds for a caller that is cancelled here.
        """
        fields: dict[str, str | Sequence[str]] = {
            "Channel": _checked("dial", _DIAL, wanted.dial),
            "ChannelId": _checked("channel", _ID, wanted.channel),
            "Context": _checked("context", _PLACE, wanted.context),
            "Exten": _checked("exten", _PLACE, wanted.exten),
            "Priority": "1",
            "Timeout": str(wanted.ring_seconds * 1000),
            "Async": "true",
            "CallerID": _caller_id(wanted.from_name, wanted.from_number),
            "Variable": [_assignment(*variable) for variable in wanted.variables.items()],
        }
        link = self._usable()
        if silence := self._silence(link):
            raise UnavailableError(silence)
        # An order into a connection that is dead would be lost: it goes into one that has just been heard.
        if link.quiet > _JUST:
            await _ping(link, self._pace.silence)
        await link.ask("Originate", fields, seconds=self._pace.answer)

    async def hangup(self, channel: str, cause: int = _NORMAL_CLEARING) -> bool:
        """Ends a channel with a Q.850 cause; False: there is none, or no longer."""
        try:
            await self._ask("Hangup", channel, {"Cause": str(cause)})
        except NoSuchChannelError:
            return False
        return True

    async def redirect(self, channel: str, context: str, exten: str) -> None:
        """Moves an answered channel to another place in the dialplan. Raises `NoSuchChannelError`."""
        place = {"Context": _checked("context", _PLACE, context), "Exten": _checked("exten", _PLACE, exten)}
        await self._ask("Redirect", channel, {**place, "Priority": "1"})

    async def set_variable(self, channel: str, name: str, value: str) -> None:
        """Sets a channel variable, or a function such as `TIMEOUT(absolute)`; Asterisk drops spaces that the
        value begins with. Raises `NoSuchChannelError`.
        """
        variable = _checked("variable", _VARIABLE, name)
        await self._ask("Setvar", channel, {"Variable": variable, "Value": value})

    async def get_variable(self, channel: str, name: str) -> str:
        """A channel variable's or function's value; empty for none. Raises `NoSuchChannelError`."""
        (reply,) = await self._ask("Getvar", channel, {"Variable": _checked("variable", _VARIABLE, name)})
        return text(reply, "Value")

    async def channels(self) -> list[LiveChannel]:
        """Every channel that exists. The list is whole, or `UnavailableError` is raised."""
        messages = await self._ask("CoreShowChannels", None, {}, rows=True)
        rows = messages[1:-1]
        if text(messages[-1], "ListItems") != str(len(rows)):
            raise UnavailableError(f"{self.place}: the list of channels came incomplete")
        return [_live(row) for row in rows]

    async def _ask(
        self, action: str, channel: str | None, fields: Mapping[str, str], *, rows: bool = False
    ) -> Sequence[Message]:
        """For what may be done twice: not to know whether it was done is then no more than a failure."""
        named = {} if channel is None else {"Channel": _checked("channel", _CHANNEL, channel)}
        try:
            return await self._usable().ask(action, {**named, **fields}, seconds=self._pace.answer, rows=rows)
        except AmiUnknownError as error:
            raise UnavailableError(f"{self.place}: {error}") from None

    def _usable(self) -> Link:
        if self._link is None:
            raise UnavailableError(self._problem)
        return self._link

    def _silence(self, link: Link) -> str:
        """What is to be said of a connection that may be dead; nothing of one that is not."""
        silent = link.silence
        return f"{self.place}: no answer for {silent:.1f} s" if silent > self._pace.silence else ""

    def _heard(self, event: Message) -> None:
        fact = self._reading.fact(event)
        if fact is not None and self._link is not None:
            self.facts.put(fact)

    async def _keep_connected(self) -> None:
        failures = 0
        while True:
            link = Link(self._heard)
            self._reading = Reading()
            try:
                await self._open(link)
                failures = 0
                await self._watch(link)
            except UnavailableError as error:
                self._down(f"Asterisk's manager interface at {self.place}: {error}", refused=False)
            except LoginRefusedError as error:
                words = f"Asterisk at {self.place} refuses the login of {self._user!r}: {error}"
                self._down(f"{SETTING}: {words}", refused=True)
            except asyncio.CancelledError:
                link.close()
                raise
            finally:
                link.abort()
            pause = min(self._pace.longest_pause, self._pace.pause * 2**failures)
            failures = min(failures + 1, 16)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter

    async def _open(self, link: Link) -> None:
        await link.connect(self._host, self._port, self._user, self._secret, self._pace.connect)
        if not await link.wait_booted(self._pace.boot):
            if link.lost.done():
                raise UnavailableError(link.lost.result())
            raise UnavailableError(
                "it does not say that it is fully booted; in manager.conf the user needs read = system,call"
            )
        self._link, self._problem, self._refused = link, "", False
        self._settled.set()
        self.facts.put(LinkUp())
        log.info("asterisk can be reached", ami=self.place)

    async def _watch(self, link: Link) -> NoReturn:
        """Pings until the link is lost. A network that swallows everything closes no socket."""
        while True:
            await asyncio.wait({link.lost}, timeout=self._pace.ping)
            await _ping(link, self._pace.answer)

    def _down(self, problem: str, *, refused: bool) -> None:
        if self._link is not None:
            self._link = None
            self.facts.put(LinkDown())
        if problem != self._problem:
            log.warning("asterisk is out of reach: no outbound calls, trying again", problem=problem)
        self._problem, self._refused = problem, refused
        if refused:
            self._settled.set()
        else:
            self._settled.clear()


async def _ping(link: Link, seconds: float) -> None:
    try:
        with suppress(AmiRefusedError):  # an answer all the same
            await link.ask("Ping", {}, seconds=seconds)
    except AmiUnknownError as error:
        raise UnavailableError(str(error)) from None


def _parsed(url: str) -> tuple[str, int, str, str]:
    """Host, port, user and secret. The URL itself is in no message: it holds the secret."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _PORT
        user, secret = unquote(parts.username or ""), unquote(parts.password or "")
    except ValueError:
        host = None
    if host is None or parts.scheme != "ami" or not user or not secret or parts.path.strip("/"):
        raise ValueError("not of the form ami://user:secret@host:5038")
    check("the user", user)
    check("the secret", secret)
    return host, port, user, secret


def _checked(name: str, form: re.Pattern[str], value: str) -> str:
    if not form.fullmatch(value):
        raise ValueError(f"{name}: {value!r} is none that Asterisk could take in one way only")
    return value


def _caller_id(name: str, number: str) -> str:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" <{_checked("from_number", _NUMBER, number)}>'


def _assignment(name: str, value: str) -> str:
    """One variable; Asterisk takes a header of them apart at its commas."""
    return f"{_checked('variable', _VARIABLE, name)}={_SPLITS.sub(_ESCAPED, value)}"


def _live(row: Message) -> LiveChannel:
    return LiveChannel(
        channel=text(row, "Uniqueid"),
        name=text(row, "Channel"),
        up=text(row, "ChannelState") == "6",
        context=text(row, "Context"),
        exten=text(row, "Exten"),
    )
