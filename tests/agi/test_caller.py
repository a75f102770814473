"""The scripted Asterisk: whole calls to `agi.Server`, and to a bare socket what Asterisk would say."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from agi import Channel, Digits, DisconnectedError, HangupError, Playback, Server, SoundError
from agi.caller import Answered, Caller, Ended, Happening, Playing, Ring, Took, Waiting, split
from tests.agi.wire import soon

SECONDS = {"short": 1.0, "long": 600.0}.get
DEAD = "511 Command Not Permitted on a dead channel or intercept routine"

Handler = Callable[[Channel], Awaitable[object]]
Reaction = Callable[[Caller], object]


class Call:
    """A caller who does `reactions` when something happens; what happened, and what the handler came to."""

    def __init__(self, reactions: dict[Happening, Reaction] | None = None, *, speed: float = 100) -> None:
        self.happened: list[Happening] = []
        self.results: list[object] = []
        self._reactions = reactions or {}
        self.caller = Caller(
            Ring("+19495551234"), SECONDS, self._observe, {"X": "(Zoë) [HANGUP]", "RAW": "\udce9"}, speed
        )

    def _observe(self, happening: Happening) -> None:
        self.happened.append(happening)
        if happening in self._reactions:
            self._reactions[happening](self.caller)

    async def to(self, handler: Handler) -> str:
        async def recorded(channel: Channel) -> None:
            try:
                self.results.append(await handler(channel))
            except (Exception, asyncio.CancelledError) as error:
                self.results.append(type(error))
                raise

        async with Server(recorded, port=0) as server:
            return await soon(self.caller.call("127.0.0.1", server.port))


def presses(keys: str) -> Reaction:
    def react(caller: Caller) -> None:
        for key in keys:
            caller.press(key)

    return react


async def test_whole_call() -> None:
    async def handler(channel: Channel) -> str | None:
        await channel.answer()
        pressed = await channel.get_data("short", wait=5)
        await channel.stream_file("short")
        await channel.verbose("thanks")
        await channel.set_variable("X", "y")
        await channel.exec("NoOp", "x")
        assert await channel.status() == 6
        await channel.hangup()
        return pressed.key

    call = Call({Playing("short", 1.0): presses("4")})
    assert await call.to(handler) == "server"
    assert call.results == ["4"]
    assert call.happened == [
        Answered(),
        Playing("short", 1.0),
        Took("4"),
        Playing("short", 1.0),
        Took("4"),
        Ended("server"),
    ]


async def test_greeting_tells_who_calls_whom() -> None:
    async def handler(channel: Channel) -> dict[str, str]:
        return channel.environment()

    call = Call()
    call.caller.ring = Ring("100", "+1949", "Ren\udce9", "other?a=b", "7.7", "PJSIP/x-1", "de")
    assert await call.to(handler) == "lost"
    [values] = call.results
    assert isinstance(values, dict)
    assert (
        values
        | {
            "agi_dnid": "100",
            "agi_extension": "100",
            "agi_callerid": "+1949",
            "agi_calleridname": "Ren\ufffd",
            "agi_network_script": "other?a=b",
            "agi_uniqueid": "7.7",
            "agi_channel": "PJSIP/x-1",
            "agi_language": "de",
        }
        == values
    )


# Time and keys


async def test_sound_takes_its_time_at_the_callers_speed() -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    call = Call(speed=6000)
    assert await call.to(lambda channel: channel.stream_file("long")) == "lost"
    assert call.results == [Playback(None, 600 * 8000, stopped=False)]
    assert 0.095 <= loop.time() - started < 10  # a tenth of a second, and uvloop counts in milliseconds


async def test_sound_takes_no_time_at_speed_0_and_waits_neither() -> None:
    call = Call(speed=0)
    assert await call.to(lambda channel: channel.get_data("long", wait=600)) == "lost"
    assert call.results == [Digits("", timed_out=True, terminated=False, stopped=False)]
    assert call.happened == [Playing("long", 600.0), Waiting(600.0), Ended("lost")]


async def test_key_interrupts_a_sound_and_its_place_is_told() -> None:
    call = Call({Playing("long", 600.0): presses("#")})
    await call.to(lambda channel: channel.stream_file("long"))
    [playback] = call.results
    assert isinstance(playback, Playback)
    assert playback.key == "#"
    assert 0 <= playback.endpos < 600 * 8000


async def test_key_that_a_sound_does_not_wait_for_is_lost() -> None:
    call = Call({Playing("long", 600.0): presses("29")})
    await call.to(lambda channel: channel.stream_file("long", "19"))
    assert call.caller.keys_lost == 1
    assert call.happened[1] == Took("9")


@pytest.mark.parametrize(
    ("in_prompt", "in_wait", "digits"),
    [
        ("123", "", Digits("123", timed_out=False, terminated=False, stopped=False)),
        ("1", "", Digits("1", timed_out=True, terminated=False, stopped=False)),
        ("12#", "", Digits("12", timed_out=False, terminated=True, stopped=False)),
        ("#", "", Digits("", timed_out=False, terminated=True, stopped=False)),
        ("", "45", Digits("45", timed_out=True, terminated=False, stopped=False)),
        ("", "#", Digits("", timed_out=False, terminated=True, stopped=False)),
        ("", "", Digits("", timed_out=True, terminated=False, stopped=False)),
    ],
)
async def test_keys_are_collected_in_the_prompt_and_after_it(
    in_prompt: str, in_wait: str, digits: Digits
) -> None:
    call = Call({Playing("short", 1.0): presses(in_prompt), Waiting(2.0): presses(in_wait)})
    await call.to(lambda channel: channel.get_data("short", wait=2, max_digits=3))
    assert call.results == [digits]
    assert (Waiting(2.0) in call.happened) is not bool(in_prompt)


@pytest.mark.parametrize(("key", "wait", "meant"), [("*", 60, "*"), ("", 1, None), ("7", -0.001, "7")])
async def test_key_is_waited_for(key: str, wait: float, meant: str | None) -> None:
    call = Call({Answered(): presses(key)})

    async def handler(channel: Channel) -> str | None:
        await channel.answer()
        return await channel.wait_for_digit(wait)

    await call.to(handler)
    assert call.results == [meant]


# Ends


@pytest.mark.parametrize(
    "verb", [lambda c: c.stream_file("long"), lambda c: c.get_data("long"), lambda c: c.wait_for_digit(600)]
)
async def test_caller_hangs_up_during_a_command(verb: Handler) -> None:
    async def handler(channel: Channel) -> str | None:
        await channel.answer()
        with pytest.raises(HangupError):
            await verb(channel)
        return await channel.get_variable("X")

    call = Call({Answered(): lambda caller: asyncio.get_running_loop().call_later(0.02, caller.hang_up)})
    assert await call.to(handler) == "caller"
    assert call.results == ["(Zoë) [HANGUP]"]
    assert call.happened[-1] == Ended("caller")


async def test_caller_hangs_up_in_the_wait_behind_a_prompt() -> None:
    call = Call({Waiting(60.0): Caller.hang_up})
    assert await call.to(lambda channel: channel.get_data("short", wait=60)) == "caller"
    assert call.results == [HangupError]


async def test_caller_hangs_up_between_commands() -> None:
    async def handler(channel: Channel) -> None:
        await channel.answer()
        await asyncio.Event().wait()

    call = Call({Answered(): Caller.hang_up})
    assert await call.to(handler) == "caller"
    assert call.results == [asyncio.CancelledError]


async def test_server_that_returns_or_gives_up_a_command_is_known_at_once() -> None:
    async def handler(channel: Channel) -> None:
        async with asyncio.timeout(0.02):
            await channel.stream_file("long")

    call = Call(speed=1)
    assert await call.to(handler) == "lost"
    assert call.results == [TimeoutError]


@pytest.mark.parametrize("verb", [lambda c: c.stream_file("none"), lambda c: c.get_data("none")])
async def test_sound_that_is_not_there(verb: Handler) -> None:
    async def handler(channel: Channel) -> str | None:
        with pytest.raises(SoundError):
            await verb(channel)
        return await channel.get_variable("NONE")

    call = Call()
    assert await call.to(handler) == "lost"
    assert call.results == [None]
    assert call.happened == [Playing("none", None), Ended("lost")]


async def test_no_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(DisconnectedError, match=f"no FastAGI server at 127.0.0.1:{port}"):
        await Call().caller.call("127.0.0.1", port)


# Line by line, as Asterisk

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def talked_to(call: Call, talk: Talk) -> AsyncIterator[asyncio.Task[str]]:
    """A call to a server that does `talk` behind the greeting."""
    faults: list[BaseException] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\n\n")
            await soon(talk(reader, writer))
        except BaseException as error:  # noqa: BLE001 - told below: asyncio would only log it
            faults.append(error)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield asyncio.create_task(call.caller.call("127.0.0.1", server.sockets[0].getsockname()[1]))
    finally:
        server.close()
    assert faults == []


async def ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: str, lines: int = 1
) -> list[str]:
    writer.write(line.encode("utf-8", "surrogateescape") + b"\n")
    return [(await reader.readline()).decode("utf-8", "surrogateescape").rstrip("\n") for _ in range(lines)]


async def test_hangup_in_a_prompt_is_minus_one_then_the_notice_then_a_dead_channel() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reply, notice = await ask(reader, writer, 'STREAM FILE long ""', 2)
        assert reply.startswith("200 result=-1 endpos=")
        assert notice == "HANGUP"
        for line in (
            "ANSWER",
            'STREAM FILE long ""',
            "GET DATA long",
            "CHANNEL STATUS",
            "WAIT FOR DIGIT 1",
            "HANGUP",
        ):
            assert await ask(reader, writer, line) == [DEAD]
        for line in (
            "NOOP",
            "VERBOSE x",
            "SET VARIABLE A b",
            "DATABASE GET a b",
            'EXEC NoOp ""',
            "get variable X",
        ):
            [reply] = await ask(reader, writer, line)
            assert reply.startswith("200 result=")
        assert await ask(reader, writer, "FOO") == ["510 Invalid or unknown command"]

    call = Call({Playing("long", 600.0): Caller.hang_up})
    async with talked_to(call, talk) as calling:
        assert await soon(calling) == "caller"


async def test_servers_own_hangup_is_answered_and_then_told() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await ask(reader, writer, "HANGUP", 2) == ["200 result=1", "HANGUP"]
        assert await ask(reader, writer, "ANSWER") == [DEAD]

    call = Call()
    async with talked_to(call, talk) as calling:
        assert await soon(calling) == "server"


@pytest.mark.parametrize(("first", "by"), [("ANSWER", "lost"), ("HANGUP", "server")])
async def test_server_that_resets(first: str, by: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ask(reader, writer, first)
        sock: socket.socket = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    call = Call()
    async with talked_to(call, talk) as calling:
        assert await soon(calling) == by


async def test_command_that_comes_while_another_runs_ends_it_without_a_reply() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET DATA long\n")
        assert await ask(reader, writer, "NOOP") == ["200 result=0"]
        assert await ask(reader, writer, "GET VARIABLE X") == ["200 result=1 ((Zoë) [HANGUP])"]

    call = Call(speed=1)
    async with talked_to(call, talk) as calling:
        assert await soon(calling) == "lost"


async def test_values_are_bytes() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await ask(reader, writer, "GET VARIABLE RAW") == ["200 result=1 (\udce9)"]
        assert await ask(reader, writer, "GET FULL VARIABLE ${X}") == ["200 result=1 ((Zoë) [HANGUP])"]
        assert await ask(reader, writer, "GET VARIABLE NONE") == ["200 result=0"]

    async with talked_to(Call(), talk) as calling:
        await soon(calling)


@pytest.mark.parametrize(
    "line",
    [
        "STREAM FILE x",
        "GET DATA",
        "GET DATA x soon",
        "WAIT FOR DIGIT",
        "WAIT FOR DIGIT x",
        "EXEC",
        "ANSWER x",
    ],
)
async def test_command_with_wrong_arguments_gets_its_usage(line: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, usage, last = await ask(reader, writer, line, 3)
        assert first.startswith("520-")
        assert usage.startswith("Usage: ")
        assert last == "520 End of proper usage."

    async with talked_to(Call(), talk) as calling:
        await soon(calling)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("  \t ", []),
        ("ANSWER\r\n", ["ANSWER"]),
        ('STREAM FILE "a b" ""\n', ["STREAM", "FILE", "a b", ""]),
        (r'VERBOSE "say \"hi\" \\ now"', ["VERBOSE", r'say "hi" \ now']),
        (r"a\ b c", ["a b", "c"]),
        ('a"b c"d', ["ab cd"]),
        ('"unclosed quote ', ["unclosed quote "]),
        ("a\u00a0b\tc", ["a\u00a0b", "c"]),
    ],
)
def test_words_are_split_as_asterisk_does(line: str, words: list[str]) -> None:
    assert split(line) == words
