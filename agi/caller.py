"""The other side: a scripted Asterisk that places calls to any FastAGI server, for simulators and tests.

It answers commands as `res_agi.c` does, and plays sounds by letting their time pass. What happens is told to
an observer as it happens; keys and the hangup come from whoever calls `press` and `hang_up`.
"""

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agi.errors import DisconnectedError


@dataclass(frozen=True, slots=True)
class Answered:
    """The server answered the call."""


@dataclass(frozen=True, slots=True)
class Playing:
    """A sound began; `seconds` is None when there is no such sound."""

    sound: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """The sound has ended and the server waits for a key, for that many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Took:
    """The server got this key."""

    key: str


@dataclass(frozen=True, slots=True)
class Dialling:
    """The server has somebody else called (Dial), with these options."""

    target: str
    seconds: float
    options: str


@dataclass(frozen=True, slots=True)
class Dialled:
    """The server has had somebody else called; `status` is what Dial made of it (DIALSTATUS)."""

    target: str
    status: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The call is over; `by` is `server`, `caller`, or `lost` when the server closed without a hangup."""

    by: str


Happening = Answered | Playing | Waiting | Took | Dialling | Dialled | Ended

# Commands that Asterisk still carries out after a hangup (`dead` in the command table of res_agi.c).
_SAFE_WHEN_DEAD = (
    "DATABASE",
    "EXEC",
    "GET FULL VARIABLE",
    "GET VARIABLE",
    "NOOP",
    "SET VARIABLE",
    "VERBOSE",
)
_VERBS = (
    *_SAFE_WHEN_DEAD,
    "ANSWER",
    "CHANNEL STATUS",
    "GET DATA",
    "HANGUP",
    "STREAM FILE",
    "WAIT FOR DIGIT",
)
_RESULTS = {"CHANNEL STATUS": 6, "DATABASE": 1, "EXEC": 0, "NOOP": 0, "VERBOSE": 1}
_DEAD = "511 Command Not Permitted on a dead channel or intercept routine"
_UNKNOWN = "510 Invalid or unknown command"
_USAGE = "520-Invalid command syntax.  Proper usage follows:\nUsage: {verb} ...\n520 End of proper usage."
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_LIMIT = re.compile(r"S\(([0-9]+)\)")
_FOREVER_MS = 86_400_000
_CONTEXT = "trunx-inbound"


@dataclass(frozen=True, slots=True)
class Ring:
    """Who calls whom, as the greeting tells it.

    `dials` are what becomes of one Dial after the other, as DIALSTATUS; those beyond find CHANUNAVAIL. After
    an ANSWER they talk for `talk` seconds, until the other side hangs up; the options `S` (a limit) and `H`
    (the key of FEATUREMAP(disconnect)) end a talk before.
    """

    did: str
    caller: str = "unknown"
    name: str = "unknown"
    script: str = "inbound"
    uniqueid: str = "1.1"
    channel: str = "Simulated/1"
    language: str = "en"
    dials: tuple[str, ...] = ()
    talk: float = 0.0

    def greeting(self, host: str, port: int) -> bytes:
        """The lines that Asterisk sends first (`setup_env` in res_agi.c)."""
        values = {
            "network": "yes",
            "network_script": self.script,
            "request": f"agi://{host}:{port}/{self.script}",
            "channel": self.channel,
            "language": self.language,
            "type": "Simulated",
            "uniqueid": self.uniqueid,
            "version": "22",
            "callerid": self.caller,
            "calleridname": self.name,
            "dnid": self.did,
            "rdnis": "unknown",
            "context": _CONTEXT,
            "extension": self.did,
            "priority": "2",
            "enhanced": "0.0",
            "accountcode": "",
        }
        lines = "".join(f"agi_{name}: {value}\n" for name, value in values.items())
        return (lines + "\n").encode("utf-8", "surrogateescape")


@dataclass(slots=True)
class Caller:
    """One simulated call.

    `seconds` tells how long a sound plays (None: no such sound); `variables` are the channel's; `speed` 2
    lets time pass twice as fast, 0 lets sounds take no time at all.
    """

    ring: Ring
    seconds: Callable[[str], float | None]
    observe: Callable[[Happening], None] = lambda _: None
    variables: Mapping[str, str] = field(default_factory=dict)
    speed: float = 1.0
    keys_lost: int = 0
    _set: dict[str, str] = field(default_factory=dict)  # variables that the server has set, or a Dial
    _dials: int = 0
    _keys: deque[str] = field(default_factory=deque)
    _gone: asyncio.Event = field(default_factory=asyncio.Event)
    _stirred: asyncio.Event = field(default_factory=asyncio.Event)  # a key or the hangup has come
    _writer: asyncio.StreamWriter | None = None

    def press(self, key: str) -> None:
        """The caller presses `key` now; unlike on a real channel it waits until a command reads it."""
        self._keys.append(key)
        self._stirred.set()

    def hang_up(self) -> None:
        """The caller hangs up now."""
        self._gone.set()
        self._stirred.set()

    async def call(self, host: str, port: int, deadline: float = 5) -> str:
        """Places the call and stays until it ends; by whom it was ended, as in `Ended`.

        Raises:
            DisconnectedError: no server could be reached within `deadline` seconds.
        """
        try:
            async with asyncio.timeout(deadline):
                reader, writer = await asyncio.open_connection(host, port)
        except (OSError, TimeoutError) as error:
            raise DisconnectedError(f"no FastAGI server at {host}:{port}: {error}") from error
        self._writer = writer
        try:
            writer.write(self.ring.greeting(host, port))
            by = await self._converse(reader)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        self.observe(Ended(by))
        return by

    async def _converse(self, reader: asyncio.StreamReader) -> str:
        told = False
        ended_by = ""
        gone = asyncio.ensure_future(self._gone.wait())
        reading = asyncio.ensure_future(reader.readuntil(b"\n"))
        try:
            while True:
                await asyncio.wait({reading, gone} if not told else {reading}, return_when="FIRST_COMPLETED")
                if gone.done() and not told:
                    told = True
                    self._say("HANGUP")
                    ended_by = ended_by or "caller"
                try:
                    line = await reading
                except (asyncio.IncompleteReadError, ConnectionError):
                    return ended_by or "lost"
                reading = asyncio.ensure_future(reader.readuntil(b"\n"))
                words = split(line.decode("utf-8", "surrogateescape"))
                verb, arguments = _verb(words)
                if verb is None:
                    self._say(_UNKNOWN)
                elif self._gone.is_set() and verb not in _SAFE_WHEN_DEAD:
                    self._say(_DEAD)
                elif verb == "HANGUP":
                    ended_by, told = "server", True
                    self._gone.set()
                    self._say("200 result=1\nHANGUP")
                elif (reply := await self._answer(verb, arguments, reading)) is not None:
                    self._say(reply)
        finally:
            gone.cancel()
            reading.cancel()

    async def _answer(self, verb: str, arguments: list[str], reading: asyncio.Future[bytes]) -> str | None:
        """The reply to a command, or None: the server spoke or closed meanwhile, which drops the command."""
        work = asyncio.ensure_future(self._carry_out(verb, arguments))
        either: set[asyncio.Future[Any]] = {work, reading}
        try:
            await asyncio.wait(either, return_when="FIRST_COMPLETED")
            return work.result() if work.done() else None
        finally:
            work.cancel()

    def _say(self, reply: str) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(reply.encode("utf-8", "surrogateescape") + b"\n")

    async def _carry_out(self, verb: str, arguments: list[str]) -> str:
        match [verb, *arguments]:
            case ["ANSWER"]:
                self.observe(Answered())
                return "200 result=0"
            case ["GET DATA", sound, *limits] if len(limits) <= 2 and all(map(str.isdecimal, limits)):
                return await self._get_data(sound, *map(int, limits))
            case ["STREAM FILE", sound, keys]:
                return await self._stream_file(sound, keys)
            case ["WAIT FOR DIGIT", ms] if ms == "-1" or ms.isdecimal():
                key = await self._key_within((int(ms) if ms != "-1" else _FOREVER_MS) / 1000)
                return f"200 result={ord(key) if key else 0 if not self._gone.is_set() else -1}"
            case ["GET VARIABLE", name]:
                return _told(self._value(name))
            case ["GET FULL VARIABLE", expression]:
                return _told(_VARIABLE.sub(lambda found: self._value(found[1]) or "", expression) or None)
            case ["EXEC", "Dial", dialled]:
                return await self._dial(*dialled.split(",", 2))
            case ["SET VARIABLE", name, value]:
                self._set[name] = value
                return "200 result=1"
            case (
                ["CHANNEL STATUS"]
                | ["NOOP", *_]
                | ["DATABASE", _, *_]
                | ["EXEC" | "VERBOSE", _]
                | ["EXEC" | "VERBOSE", _, _]
            ):
                return f"200 result={_RESULTS[verb]}"
            case _:
                return _USAGE.format(verb=verb)

    def _value(self, name: str) -> str | None:
        own = {"CHANNEL(context)": _CONTEXT, "CHANNEL(exten)": self.ring.did}
        return self._set.get(name, self.variables.get(name, own.get(name)))

    async def _stream_file(self, sound: str, keys: str) -> str:
        seconds = self.seconds(sound)
        self.observe(Playing(sound, seconds))
        if seconds is None:
            return "200 result=-1 endpos=0"
        started = self._now()
        key = await self._key_within(seconds, keys)
        heard = round(min((self._now() - started) * (self.speed or 1), seconds) * 8000)
        if key is None and self._gone.is_set():
            return f"200 result=-1 endpos={heard}"
        return f"200 result={ord(key) if key else 0} endpos={heard if key else round(seconds * 8000)}"

    async def _dial(self, target: str, seconds: str = "", options: str = "") -> str:
        self.observe(Dialling(target, float(seconds or _FOREVER_MS), options))
        asked = self.ring.dials[self._dials :]
        self._dials += 1
        status = asked[0] if asked else "CHANUNAVAIL"
        self._set["DIALSTATUS"] = status
        if status == "ANSWER":
            await self._talk(f"{target}-{self._dials:08x}", options)
        if self._gone.is_set():
            return "200 result=-1"
        self.observe(Dialled(target, status))
        return "200 result=0"

    async def _talk(self, peer: str, options: str) -> None:
        """Who hangs up first is known by CHANNEL(hangupsource), which else is as an earlier talk left it."""
        self._set["DIALEDPEERNAME"] = peer
        limit = _LIMIT.search(options)
        longest = float(limit[1]) if limit else _FOREVER_MS
        stop = self._set.get("FEATUREMAP(disconnect)", "*") if "H" in options else ""
        key = await self._key_within(min(self.ring.talk, longest), stop)
        if key is None and not self._gone.is_set() and self.ring.talk < longest:
            self._set["CHANNEL(hangupsource)"] = peer

    async def _get_data(self, sound: str, wait_ms: int = 6000, most: int = 1024) -> str:
        seconds = self.seconds(sound)
        self.observe(Playing(sound, seconds))
        if seconds is None:
            return "200 result=-1"
        digits = ""
        key = await self._key_within(seconds)
        if key is None and not self._gone.is_set():
            self.observe(Waiting(wait_ms / 1000))
            key = await self._key_within(wait_ms / 1000)
        while key is not None and key != "#":
            digits += key
            if len(digits) >= most:
                return f"200 result={digits}"
            key = await self._key_within(wait_ms / 1000)
        if key == "#":
            return f"200 result={digits}"
        return "200 result=-1" if self._gone.is_set() else f"200 result={digits} (timeout)"

    async def _key_within(self, seconds: float, keys: str = "0123456789*#ABCD") -> str | None:
        """The next key out of `keys`, others being swallowed as Asterisk does; None: time up, or hung up."""
        deadline = self._now() + (seconds / self.speed if self.speed else 0)
        while not self._gone.is_set():
            if self._keys:
                key = self._keys.popleft()
                if key in keys:
                    self.observe(Took(key))
                    return key
                self.keys_lost += 1
            elif self._now() >= deadline:
                return None
            else:
                self._stirred.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(deadline):
                        await self._stirred.wait()
        return None

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _told(value: str | None) -> str:
    return "200 result=0" if value is None else f"200 result=1 ({value})"


def split(line: str) -> list[str]:
    r"""The words of a command line, as `parse_args` in res_agi.c reads them.

    >>> split('STREAM FILE "a b" ""\n')
    ['STREAM', 'FILE', 'a b', '']
    """
    words: list[str] = []
    word: str | None = None
    quoted = escaped = False
    for char in line.rstrip("\r\n"):
        if escaped:
            word, escaped = (word or "") + char, False
        elif char == "\\":
            escaped = True
        elif char == '"':
            quoted, word = not quoted, word or ""
        elif char in " \t" and not quoted:
            if word is not None:
                words.append(word)
            word = None
        else:
            word = (word or "") + char
    return words if word is None else [*words, word]


def _verb(words: list[str]) -> tuple[str | None, list[str]]:
    for length in (3, 2, 1):
        verb = " ".join(words[:length]).upper()
        if len(words) >= length and verb in _VERBS:
            return verb, words[length:]
    return None, []
