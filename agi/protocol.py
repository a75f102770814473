"""The AGI wire as a value: bytes in, events out; commands to bytes. No socket, no clock, no logger.

Theory of operation
-------------------
Asterisk speaks first: `agi_name: value` lines and an empty line, the *greeting*. From then on we send one
command line at a time and Asterisk answers each with one *reply*, usually a line and sometimes a block.

    GREETING --empty line--> IDLE --send()--> BUSY --reply--> IDLE      any state --fault, close()--> CLOSED

Two facts that are easily got wrong, both from `res_agi.c`:

* `HANGUP` on a line of its own is a notice, never a reply. It can stand anywhere between lines: before the
  reply to the command that is running, after it, or while nothing is running (`run_agi`).
* A command that arrives while another runs makes Asterisk drop the running one *without any reply*. So there
  is never more than one command on the wire, and once one has been abandoned the wire is of no more use.

Whoever owns the socket calls `receive()` with what came and `send()` with what is to go. A fault of the peer
raises `ProtocolError` and closes the wire; a fault of ours raises `ConcurrencyError` and changes nothing.
"""

from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from agi.errors import ConcurrencyError, ProtocolError

MAX_GREETING = 32 * 1024
"""Bytes of a greeting: 128 arguments (`MAX_ARGS`, res_agi.c) of 250 bytes, and then some."""

MAX_REPLY = 64 * 1024
"""Bytes from one command to the next, notices included; the most real ones are the value of a variable."""

MAX_REPLY_LINES = 2_000
"""Lines from one command to the next; the longest usage block in Asterisk's documentation has about 60."""

MAX_COMMAND = 2_047
"""Bytes of a command line: `AGI_BUF_LEN` was 2,048 before July 2025 and is 8,192 since (res_agi.c)."""

MAX_WORDS = 127
"""Words of a command, those of the verb included: `parse_args` drops what is more (`MAX_ARGS`, res_agi.c)."""

_SHORT = 64
_BARE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./+*#:@%=")


class Reply(NamedTuple):
    """Asterisk's answer to one command.

    `200 result=1 (text) endpos=800` gives code 200, result "1", text "text", endpos 800. What is absent is
    None; result is "" when nothing stands behind `result=`. For other codes `text` is the message; that of a
    usage block is all its lines. Characters are latin-1: each stands for one byte of the wire.
    """

    code: int
    result: str
    text: str | None = None
    endpos: int | None = None


class Greeted(NamedTuple):
    """The greeting is complete; `environment` is its bytes, without the empty line."""

    environment: bytes


class HungUp(NamedTuple):
    """The notice `HANGUP`: the channel is gone or was redirected; only some commands are still allowed."""


Event = Greeted | Reply | HungUp
_HUNG_UP = HungUp()


class State(Enum):
    """Where the conversation stands."""

    GREETING = "greeting"
    IDLE = "idle"
    BUSY = "busy"
    CLOSED = "closed"


_GREETING, _IDLE, _BUSY, _CLOSED = State
"""Read at every command: looking a member up in its Enum costs as much as all else that is done there."""


def encode(*words: str | int) -> bytes:
    r"""The command line of `words`, quoted as `parse_args` in res_agi.c reads them.

    >>> encode("GET DATA", "trunx/a b", 5000, 1)
    b'GET DATA "trunx/a b" 5000 1\n'

    The first word is the verb and goes as it is. Text goes as UTF-8.

    Raises:
        ValueError: a word holds a line break or NUL, or the line is too long for Asterisk's buffer.
    """
    verb, *arguments = words
    if len(arguments) > MAX_WORDS - len(str(verb).split()):
        raise ValueError(f"an AGI command holds at most {MAX_WORDS} words")
    line = " ".join([str(verb), *(_quoted(argument) for argument in arguments)])
    if "\n" in line or "\r" in line or "\0" in line:
        raise ValueError("an AGI command cannot hold a line break or NUL")
    data = line.encode("utf-8", "surrogateescape") + b"\n"
    if len(data) > MAX_COMMAND:
        raise ValueError(f"an AGI command holds at most {MAX_COMMAND} bytes, this one has {len(data)}")
    return data


def _quoted(word: str | int) -> str:
    text = str(word)
    if text and _BARE.issuperset(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Protocol:
    """One conversation, our side of it."""

    __slots__ = (
        "_after_exec",
        "_block",
        "_buffer",
        "_bytes",
        "_exec",
        "_lines",
        "_plain",
        "_split",
        "hung_up",
        "state",
    )

    def __init__(self) -> None:
        self.state = _GREETING
        self.hung_up = False
        self._buffer = b""
        self._bytes = self._lines = 0  # come since the last command
        self._block: list[str] | None = None
        self._split: list[str] | None = None
        self._exec = False  # the command on the wire is EXEC
        self._plain = False  # a command is on the wire, and nothing stands between it and its reply
        self._after_exec = False  # an EXEC has answered 1, so a stray 520 may follow

    def send(self, line: bytes) -> bytes:
        """The bytes to write for the command `line` (from `encode`); from now on its reply is awaited.

        Raises:
            ConcurrencyError: another command is running, or the wire is closed or not greeted yet.
        """
        if self.state is not _IDLE:
            raise ConcurrencyError(f"a command cannot be sent while the wire is {self.state.value}")
        self.state = _BUSY
        self._bytes = self._lines = 0
        self._exec = line.startswith(b"EXEC ")
        self._plain = not (self._exec or self._after_exec or self._buffer or self._block)
        return line

    def close(self) -> None:
        """Nothing more is sent or heard."""
        self.state = _CLOSED
        self._plain = False
        self._buffer = b""
        self._block = self._split = None

    def plain_reply(self, data: bytes) -> Reply | None:
        """The reply to the running command, when `data` is just that and short; else None, for `receive`.

        Nearly always one short reply arrives by itself, and one that came before.
        """
        if not self._plain or len(data) >= _SHORT:
            return None
        reply = _alone(data)
        if reply is not None:
            self._plain = False
            self.state = _IDLE
        return reply

    def receive(self, data: bytes) -> Sequence[Event]:
        """What `data` completes, in order.

        Raises:
            ProtocolError: the peer is no Asterisk, or breaks a limit. The wire is closed, and what else came
                in `data` is dropped.
        """
        try:
            return self._general(data)
        except ProtocolError:
            self.close()
            raise

    def _general(self, data: bytes) -> Sequence[Event]:
        events: list[Event] = []
        self._plain = False
        if self.state is _CLOSED:
            return events
        if self.state is _GREETING:
            rest = self._greeting(self._buffer + data, events)
            if rest is None:
                return events
            self._buffer, data = b"", rest
        self._bytes += len(data)
        self._lines += data.count(b"\n")
        if self._bytes > MAX_REPLY or self._lines > MAX_REPLY_LINES:
            raise ProtocolError(f"{self._bytes} bytes in {self._lines} lines since the last command")
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._line(line.decode("latin-1"), events)
        return events

    def _greeting(self, buffer: bytes, events: list[Event]) -> bytes | None:
        """What follows the greeting, or None while it is not complete."""
        if not buffer.startswith(b"agi_"[: len(buffer)]):
            raise ProtocolError("the first bytes are no AGI greeting")
        end = buffer.find(b"\n\n")
        if (end if end >= 0 else len(buffer) - 1) > MAX_GREETING:
            raise ProtocolError(f"a greeting of more than {MAX_GREETING} bytes")
        if end < 0:
            self._buffer = buffer
            return None
        self.state = _IDLE
        events.append(Greeted(buffer[:end]))
        return buffer[end + 2 :]

    def _line(self, line: str, events: list[Event]) -> None:
        if self._split is not None:
            # The value of a variable with a line break in it: the reply ends where its parenthesis closes.
            self._split.append(line)
            if line.endswith(")"):
                whole, self._split = "\n".join(self._split), None
                events.extend(self._complete(_parse(whole)))
        elif line == "HANGUP":
            self.hung_up = True
            events.append(_HUNG_UP)
        elif line.startswith("520-"):
            self._block = self._block or []
            self._block.append(line[4:])
        elif self._block is not None:
            if not line.startswith("520 "):
                self._block.append(line)
                return
            whole, self._block = "\n".join([*self._block, line[4:]]), None
            events.extend(self._complete(Reply(520, "", whole)))
        elif (self.state is _BUSY or self._after_exec) and line[:3].isdecimal() and line[3:4] == " ":
            if line.startswith("1"):
                return  # 100 Trying, of GOSUB: the reply is still to come
            if line.startswith("200 result=") and "(" in line and not _closed(line):
                self._split = [line]
                return
            events.extend(self._complete(_parse(line)))
        # Anything else answers nothing that was asked.

    def _complete(self, reply: Reply) -> Sequence[Event]:
        if self._after_exec:
            self._after_exec = False
            if reply.code == 520:
                # `handle_exec` returns what the application returned, and 1 happens to be RESULT_SHOWUSAGE:
                # after its 200 the usage of EXEC follows, which nobody asked for (res_agi.c).
                return ()
        if self.state is not _BUSY:
            return ()
        self.state = _IDLE
        if self._exec and reply.result == "1":
            self._after_exec = True
        return (reply,)


@lru_cache(maxsize=4096)
def _alone(data: bytes) -> Reply | None:
    line = data[:-1].decode("latin-1")
    whole = data.startswith(b"200 result=") and data.endswith(b"\n") and "\n" not in line
    return _parse(line) if whole and ("(" not in line or _closed(line)) else None


def _closed(line: str) -> bool:
    """Whether the parenthesis that a reply opens is closed in the same line, whatever may stand behind it."""
    return line.endswith(")") or ") endpos=" in line or ") digit=" in line


def _parse(line: str) -> Reply:
    if not line.startswith("200 result="):
        return Reply(int(line[:3]), "", line[4:])
    rest = line[11:]
    if " " not in rest:
        return Reply(200, rest)
    result, _, tail = rest.partition(" ")
    text = None
    if tail.startswith("("):
        close = tail.rfind(")")
        text, tail = tail[1:close], tail[close + 1 :].lstrip()
    _, _, endpos = tail.partition("endpos=")
    endpos, _, _ = endpos.partition(" ")
    return Reply(200, result, text, int(endpos) if endpos.isdecimal() and len(endpos) < _SHORT else None)


def environment(greeting: bytes) -> dict[str, str]:
    """The `agi_` values of a greeting. A caller's name can be any bytes: what is not UTF-8 becomes U+FFFD."""
    lines = greeting.decode("utf-8", "replace").split("\n")
    try:
        return dict(line.split(": ", 1) for line in lines)
    except ValueError:  # not as Asterisk writes it
        parts = (line.partition(":") for line in lines)
        return {name: value.removeprefix(" ") for name, colon, value in parts if colon}
