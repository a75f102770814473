"""The verbs over a real socket: what each says and understands, and how a call's end reaches a handler."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from agi import (
    Channel,
    CommandError,
    ConcurrencyError,
    Digits,
    DisconnectedError,
    HangupError,
    Playback,
    Reply,
    SoundError,
)
from agi.caller import Ring
from tests.agi.wire import on_call, soon

DEAD = "511 Command Not Permitted on a dead channel or intercept routine"

Verb = Callable[[Channel], Awaitable[object]]


async def play(channel: Channel) -> Playback:
    return await channel.stream_file("x")


async def gather(channel: Channel) -> Digits:
    return await channel.get_data("x", wait=5, max_digits=3)


async def wait(channel: Channel) -> str | None:
    return await channel.wait_for_digit(2.5)


async def variable(channel: Channel) -> str | None:
    return await channel.get_variable("X")


PLAY, GATHER = "STREAM FILE x 0123456789*#", "GET DATA x 5000 3"
STATUS, VARIABLE = "CHANNEL STATUS", "GET VARIABLE X"


@pytest.mark.parametrize(
    ("verb", "command", "reply", "meant"),
    [
        (lambda c: c.answer(), "ANSWER", "200 result=0", None),
        (lambda c: c.hangup(), "HANGUP", "200 result=1", None),
        (lambda c: c.status(), STATUS, "200 result=6", 6),
        (lambda c: c.status(), STATUS, "200 result=nonsense", 0),
        (lambda c: c.verbose("a b", 3), 'VERBOSE "a b" 3', "200 result=1", None),
        (lambda c: c.set_variable("X", "1 2"), 'SET VARIABLE X "1 2"', "200 result=1", None),
        (lambda c: c.exec("Playback", "a", "b"), 'EXEC Playback "a,b"', "200 result=0", "0"),
        (lambda c: c.exec("NoOp"), 'EXEC NoOp ""', "200 result=-1", "-1"),
        (lambda c: c.command("NOOP", "é"), 'NOOP "é"', "200 result=0 (x) endpos=3", Reply(200, "0", "x", 3)),
        (variable, VARIABLE, "200 result=0", None),
        (variable, VARIABLE, "200 result=1 ()", ""),
        (variable, VARIABLE, "200 result=1 (a (b) c)", "a (b) c"),
        (variable, VARIABLE, "200 result=1 (a\nHANGUP\n(b))", "a\nHANGUP\n(b)"),
        (variable, VARIABLE, "200 result=1 (Zo\xc3\xab \xe9)", "Zoë \ufffd"),
        (variable, VARIABLE, f"200 result=1 ({'HANGUP ' * 8_500})", "HANGUP " * 8_500),
        (
            lambda c: c.get_full_variable("${CHANNEL(language)}"),
            'GET FULL VARIABLE "${CHANNEL(language)}"',
            "200 result=1 (en)",
            "en",
        ),
        (lambda c: c.get_full_variable("${X}"), 'GET FULL VARIABLE "${X}"', "200 result=0", None),
        (play, PLAY, "200 result=0 endpos=8000", Playback(None, 8000, stopped=False)),
        (play, PLAY, "200 result=35 endpos=160", Playback("#", 160, stopped=False)),
        (play, PLAY, "200 result=1000 endpos=160", Playback(None, 160, stopped=True)),
        (play, PLAY, "200 result=0", Playback(None, 0, stopped=False)),
        (
            lambda c: c.stream_file("a b", ""),
            'STREAM FILE "a b" ""',
            "200 result=0 endpos=1",
            Playback(None, 1, False),
        ),
        (wait, "WAIT FOR DIGIT 2500", "200 result=0", None),
        (wait, "WAIT FOR DIGIT 2500", "200 result=42", "*"),
        (wait, "WAIT FOR DIGIT 2500", "200 result=1000", None),
        (gather, GATHER, "200 result=123", Digits("123", timed_out=False, terminated=False, stopped=False)),
        (gather, GATHER, "200 result=*1D", Digits("*1D", timed_out=False, terminated=False, stopped=False)),
        (gather, GATHER, "200 result=12", Digits("12", timed_out=False, terminated=True, stopped=False)),
        (gather, GATHER, "200 result=", Digits("", timed_out=False, terminated=True, stopped=False)),
        (
            gather,
            GATHER,
            "200 result= (timeout)",
            Digits("", timed_out=True, terminated=False, stopped=False),
        ),
        (
            gather,
            GATHER,
            "200 result=1 (timeout)",
            Digits("1", timed_out=True, terminated=False, stopped=False),
        ),
        (gather, GATHER, "200 result=1\xe8", Digits("1", timed_out=False, terminated=False, stopped=True)),
        (gather, GATHER, "200 result=\xe8", Digits("", timed_out=False, terminated=False, stopped=True)),
    ],
)
async def test_verb_says_and_understands(verb: Verb, command: str, reply: str, meant: object) -> None:
    async with on_call(verb) as (asterisk, outcome):
        assert await asterisk.heard() == command
        asterisk.say(reply)
        assert await soon(outcome) == meant
        assert await asterisk.end() == "closed"


@pytest.mark.parametrize(
    ("digits", "key"),
    [
        (Digits("12", timed_out=False, terminated=False, stopped=False), "1"),
        (Digits("*", timed_out=False, terminated=False, stopped=False), "*"),
        (Digits("", timed_out=False, terminated=True, stopped=False), "#"),
        (Digits("", timed_out=True, terminated=False, stopped=False), None),
        (Digits("", timed_out=False, terminated=False, stopped=True), None),
    ],
)
def test_first_key(digits: Digits, key: str | None) -> None:
    assert digits.key == key


async def test_caller_whose_name_is_not_utf8_has_a_call_like_others() -> None:
    async def handler(channel: Channel) -> str:
        return channel.environment()["agi_calleridname"]

    async with on_call(handler, ring=Ring("100", name="Ren\udce9")) as (asterisk, outcome):
        assert await soon(outcome) == "Ren\ufffd"
        assert await asterisk.end() == "closed"


# -1: is the caller gone, or the sound?


@pytest.mark.parametrize("verb", [play, gather])
async def test_minus_one_on_a_live_channel_is_a_bad_sound(verb: Verb) -> None:
    async def handler(channel: Channel) -> str:
        with pytest.raises(SoundError, match="cannot play 'x'") as caught:
            await verb(channel)
        assert caught.value.code == 200
        return str(await variable(channel))

    async with on_call(handler) as (asterisk, outcome):
        await asterisk.heard()
        asterisk.say("200 result=-1 endpos=0")
        assert await asterisk.heard() == STATUS
        asterisk.say("200 result=6")
        assert await asterisk.heard() == VARIABLE
        asterisk.say("200 result=1 (goes on)")
        assert await soon(outcome) == "goes on"


@pytest.mark.parametrize("verb", [wait, Channel.answer])
async def test_minus_one_on_a_live_channel_is_a_failed_command(verb: Verb) -> None:
    async with on_call(verb) as (asterisk, outcome):
        await asterisk.heard()
        asterisk.say("200 result=-1")
        assert await asterisk.heard() == STATUS
        asterisk.say("200 result=6")
        error = await soon(outcome)
        assert isinstance(error, CommandError)
        assert not isinstance(error, SoundError)


@pytest.mark.parametrize("verb", [play, gather, wait, Channel.answer])
@pytest.mark.parametrize("notice", ["in one segment", "apart", "before"])
async def test_minus_one_then_511_is_a_hangup_or_a_redirect_and_variables_may_be_read(
    verb: Verb, notice: str
) -> None:
    async def handler(channel: Channel) -> tuple[bool, str | None]:
        with pytest.raises(HangupError):
            await verb(channel)
        return channel.hung_up, await variable(channel)

    async with on_call(handler) as (asterisk, outcome):
        await asterisk.heard()
        if notice == "in one segment":
            asterisk.say("200 result=-1", "HANGUP")
        elif notice == "apart":
            asterisk.say("200 result=-1")
        else:
            asterisk.say("HANGUP")
            asterisk.say("200 result=-1")
        assert await asterisk.heard() == STATUS
        if notice == "apart":
            asterisk.say("HANGUP")
        asterisk.say(DEAD)
        assert await asterisk.heard() == VARIABLE
        asterisk.say("200 result=1 (elsewhere)")
        assert await soon(outcome) == (True, "elsewhere")


# Refusals


async def test_refused_command_is_an_error_with_its_code_and_the_call_goes_on() -> None:
    async def handler(channel: Channel) -> Reply:
        with pytest.raises(CommandError, match="refused 'FOO': 510 Invalid") as caught:
            await channel.command("FOO")
        assert caught.value.code == 510
        with pytest.raises(CommandError, match="Proper usage") as caught:
            await channel.command("STREAM FILE")
        assert caught.value.code == 520
        with pytest.raises(CommandError, match="no application 'Foo'"):
            await channel.exec("Foo")
        return await channel.command("NOOP")

    async with on_call(handler) as (asterisk, outcome):
        await asterisk.heard()
        asterisk.say("510 Invalid or unknown command")
        await asterisk.heard()
        asterisk.say(
            "520-Invalid command syntax.  Proper usage follows:", " Usage: x", "520 End of proper usage."
        )
        await asterisk.heard()
        asterisk.say("200 result=-2")
        await asterisk.heard()
        asterisk.say("200 result=0")
        assert await soon(outcome) == Reply(200, "0")


async def test_stray_520_after_exec_is_nobodys_reply_though_the_next_command_is_on_its_way() -> None:
    async def handler(channel: Channel) -> tuple[str, str | None]:
        return await channel.exec("Foo"), await variable(channel)

    async with on_call(handler) as (asterisk, outcome):
        await asterisk.heard()
        asterisk.say("200 result=1")
        assert await asterisk.heard() == VARIABLE
        asterisk.say(
            "520-Invalid command syntax.  Proper usage follows:", " Usage: EXEC", "520 End of proper usage."
        )
        asterisk.say("200 result=1 (own)")
        assert await soon(outcome) == ("1", "own")


@pytest.mark.parametrize("bad", ["a\nHANGUP", "a\rb", "a\0b", "x" * 3_000])
async def test_argument_that_asterisk_would_misread_is_refused_and_nothing_is_sent(bad: str) -> None:
    async def handler(channel: Channel) -> None:
        for verb in (channel.verbose, channel.stream_file, channel.get_data, channel.get_variable):
            with pytest.raises(ValueError, match="an AGI command"):
                await verb(bad)
        await channel.hangup()

    async with on_call(handler) as (asterisk, outcome):
        assert await asterisk.heard() == "HANGUP"
        asterisk.say("200 result=1", "HANGUP")
        assert await soon(outcome) is None


# One command, one reply


async def test_second_command_at_once_is_refused_and_the_first_is_unharmed() -> None:
    async def handler(channel: Channel) -> str | None:
        first = asyncio.ensure_future(variable(channel))
        await started.wait()
        with pytest.raises(ConcurrencyError, match="busy"):
            await channel.answer()
        refused.set()
        return await first

    started, refused = asyncio.Event(), asyncio.Event()
    async with on_call(handler) as (asterisk, outcome):
        assert await asterisk.heard() == VARIABLE
        started.set()
        await soon(refused.wait())
        asterisk.say("200 result=1 (mine)")
        assert await soon(outcome) == "mine"
        assert await asterisk.end() == "closed"


async def test_cancelled_command_closes_the_connection_and_the_next_verb_raises() -> None:
    async def handler(channel: Channel) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await play(channel)
        with pytest.raises(DisconnectedError):
            await channel.get_variable("X")

    async with on_call(handler) as (asterisk, outcome):
        assert await asterisk.heard() == PLAY
        assert await asterisk.end() == "closed"
        assert await soon(outcome) is None


async def test_command_cancelled_after_its_reply_has_come_leaves_the_wire_in_step() -> None:
    async def handler(channel: Channel) -> str | None:
        playing = asyncio.ensure_future(play(channel))
        await asyncio.sleep(0)
        [reply] = channel.wire.receive(b"200 result=0 endpos=1\n")
        assert isinstance(reply, Reply)
        channel.replied(reply)
        playing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await playing
        return await variable(channel)

    async with on_call(handler) as (asterisk, outcome):
        assert await asterisk.heard() == PLAY
        assert await asterisk.heard() == VARIABLE
        asterisk.say("200 result=1 (own)")
        assert await soon(outcome) == "own"


# The end


async def test_end_of_the_connection_while_a_command_runs() -> None:
    async with on_call(play) as (asterisk, outcome):
        await asterisk.heard()
        asterisk.close()
        assert isinstance(await soon(outcome), DisconnectedError)


async def test_end_of_the_connection_after_a_hangup_is_the_hangup() -> None:
    async with on_call(variable) as (asterisk, outcome):
        await asterisk.heard()
        asterisk.say("HANGUP")
        asterisk.close()
        assert isinstance(await soon(outcome), HangupError)


async def test_own_hangup_is_followed_by_the_notice_and_is_no_error() -> None:
    async def handler(channel: Channel) -> str | None:
        await channel.hangup()
        return await variable(channel)

    async with on_call(handler) as (asterisk, outcome):
        assert await asterisk.heard() == "HANGUP"
        asterisk.say("200 result=1", "HANGUP")
        assert await asterisk.heard() == VARIABLE
        asterisk.say("200 result=0")
        assert await soon(outcome) is None
