"""The wire without a socket: every trap of Asterisk's side, at every place where a segment can be cut."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi import ConcurrencyError, ProtocolError, Reply
from agi.protocol import (
    MAX_GREETING,
    MAX_REPLY,
    MAX_REPLY_LINES,
    Event,
    Greeted,
    HungUp,
    Protocol,
    State,
)

GREETING = b"agi_network: yes\nagi_channel: PJSIP/x-1\n\n"
USAGE = (
    b"520-Invalid command syntax.  Proper usage follows:\n"
    b" Usage: EXEC <application> <options>\n"
    b"\tExecutes <application>.\n"
    b"520 End of proper usage.\n"
)
USAGE_TEXT = (
    "Invalid command syntax.  Proper usage follows:\n Usage: EXEC <application> <options>\n"
    "\tExecutes <application>.\nEnd of proper usage."
)


def greeted() -> Protocol:
    wire = Protocol()
    assert wire.receive(GREETING) == [Greeted(GREETING[:-2])]
    return wire


def asked(command: bytes = b"NOOP\n") -> Protocol:
    wire = greeted()
    assert wire.send(command) == command
    return wire


def hear(wire: Protocol, data: bytes) -> Sequence[Event]:
    """What comes of `data`, by the short way when it can be gone, as a server does."""
    reply = wire.plain_reply(data)
    return tuple(wire.receive(data)) if reply is None else (reply,)


def answer(data: bytes, command: bytes = b"NOOP\n") -> Sequence[Event]:
    return hear(asked(command), data)


def reply(line: bytes) -> Reply:
    [only] = answer(line)
    assert isinstance(only, Reply)
    return only


# What a reply says


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        (b"200 result=0\n", Reply(200, "0")),
        (b"200 result=-1\n", Reply(200, "-1")),
        (b"200 result=\n", Reply(200, "")),
        (b"200 result=12\n", Reply(200, "12")),
        (b"200 result= (timeout)\n", Reply(200, "", "timeout")),
        (b"200 result=12 (timeout)\n", Reply(200, "12", "timeout")),
        (b"200 result=49 endpos=8000\n", Reply(200, "49", None, 8000)),
        (b"200 result=-1 endpos=8000\n", Reply(200, "-1", None, 8000)),
        (b"200 result=0 (hangup) endpos=160\n", Reply(200, "0", "hangup", 160)),
        (b"200 result=1 (digit) digit=5 endpos=160\n", Reply(200, "1", "digit", 160)),
        (b"200 result=1 (speech) endpos=16 results=0 \n", Reply(200, "1", "speech", 16)),
        (b"200 result=0 endpos=x\n", Reply(200, "0")),
        (b"200 result=0 endpos=" + b"9" * 5_000 + b"\n", Reply(200, "0")),
        (b"510 Invalid or unknown command\n", Reply(510, "", "Invalid or unknown command")),
        (b"503 result=-2 Memory allocation failure\n", Reply(503, "", "result=-2 Memory allocation failure")),
        (
            b"511 Command Not Permitted on a dead channel or intercept routine\n",
            Reply(511, "", "Command Not Permitted on a dead channel or intercept routine"),
        ),
        (
            b"520 Invalid command syntax.  Proper usage not available.\n",
            Reply(520, "", "Invalid command syntax.  Proper usage not available."),
        ),
        (USAGE, Reply(520, "", USAGE_TEXT)),
    ],
)
def test_reply_is_one_answer(line: bytes, meant: Reply) -> None:
    assert reply(line) == meant


@pytest.mark.parametrize(
    "value", ["", "a b", "(a)", "a) (b", "x endpos=5", "200 result=0", "HANGUP", ")", "\xe8\xff", "520-x"]
)
def test_value_of_a_variable_is_whole(value: str) -> None:
    assert reply(b"200 result=1 (%s)\n" % value.encode("latin-1")) == Reply(200, "1", value)


@pytest.mark.parametrize("value", ["a\nb", "\n", "a\nHANGUP\nb", "a\n511 x\n520-y\n200 result=0", "\r\n\r\n"])
def test_value_with_line_breaks_is_whole_and_no_notice(value: str) -> None:
    wire = asked()
    assert wire.receive(b"200 result=1 (%s)\n" % value.encode()) == [Reply(200, "1", value)]
    assert not wire.hung_up


def test_value_of_60_kb_is_whole() -> None:
    value = "Zoë (HANGUP) " * 4_300
    data = f"200 result=1 ({value})\n".encode()
    assert reply(data) == Reply(200, "1", value.encode().decode("latin-1"))


def test_value_whose_line_ends_with_a_parenthesis_is_cut_there_and_the_wire_stays_in_step() -> None:
    wire = asked()
    assert wire.receive(b"200 result=1 (a (b)\n200 result=9)\n") == [Reply(200, "1", "a (b")]
    wire.send(b"NOOP\n")
    assert list(wire.receive(b"200 result=0\n")) == [Reply(200, "0")]


def test_byte_e8_among_digits_is_one_character() -> None:
    assert reply(b"200 result=1\xe82\n") == Reply(200, "1\xe82")


def test_provisional_100_of_gosub_is_no_reply() -> None:
    assert answer(b"100 result=0 Trying...\n200 result=0\n") == (Reply(200, "0"),)


@pytest.mark.parametrize(
    "noise", [b"\n", b"hello\n", b"2000 x\n", b"20\n", b"\xb2\xb2\xb2 x\n", b"Hangup\n", b"HANGUP \n"]
)
def test_line_that_is_no_reply_answers_nothing(noise: bytes) -> None:
    wire = asked()
    assert wire.receive(noise) == []
    assert wire.state is State.BUSY
    assert wire.receive(b"200 result=0\n") == [Reply(200, "0")]


def test_reply_that_nobody_asked_for_is_ignored() -> None:
    wire = greeted()
    assert wire.receive(b"200 result=7\n510 x\n200 result=1 (\n" + USAGE) == []
    wire.send(b"NOOP\n")
    assert list(wire.receive(b"200 result=0\n")) == [Reply(200, "0")]


@pytest.mark.parametrize("begun", [b"noise ", b"520-Invalid\n"])
def test_what_has_begun_is_gone_on_with(begun: bytes) -> None:
    before, behind = greeted(), asked()
    for wire in (before, behind):
        assert hear(wire, begun) == ()
    before.send(b"NOOP\n")
    for wire in (before, behind):
        assert hear(wire, b"200 result=7\n") == ()
        assert wire.state is State.BUSY


def test_second_reply_to_one_command_is_ignored() -> None:
    wire = asked()
    assert hear(wire, b"200 result=1\n") == (Reply(200, "1"),)
    assert hear(wire, b"200 result=2\n") == ()


# HANGUP


def test_hangup_after_the_reply_in_one_segment_is_told_after_it() -> None:
    assert answer(b"200 result=-1\nHANGUP\n") == (Reply(200, "-1"), HungUp())


def test_hangup_before_the_reply_is_no_reply() -> None:
    wire = asked()
    assert wire.receive(b"HANGUP\n") == [HungUp()]
    assert wire.state is State.BUSY
    assert wire.hung_up
    assert wire.receive(b"200 result=0\n") == [Reply(200, "0")]


def test_hangup_behind_the_greeting_in_one_segment_is_told() -> None:
    assert Protocol().receive(GREETING + b"HANGUP\n") == [Greeted(GREETING[:-2]), HungUp()]


def test_hangup_between_commands_lets_the_next_command_have_its_own_reply() -> None:
    wire = greeted()
    assert wire.receive(b"HANG") == []
    assert wire.send(b"NOOP\n") == b"NOOP\n"
    assert wire.receive(b"UP\n200 result=5\n") == [HungUp(), Reply(200, "5")]


def test_redirect_looks_like_a_hangup_and_variables_may_still_be_read() -> None:
    wire = asked(b"STREAM FILE x\n")
    assert wire.receive(b"200 result=-1 endpos=160\nHANGUP\n") == [Reply(200, "-1", None, 160), HungUp()]
    wire.send(b"CHANNEL STATUS\n")
    assert wire.receive(b"511 dead\n") == [Reply(511, "", "dead")]
    wire.send(b"GET VARIABLE X\n")
    assert list(wire.receive(b"200 result=1 (y)\n")) == [Reply(200, "1", "y")]


@pytest.mark.parametrize(
    "line", [b"200 result=0\n", b"200 result=1 (a (b) c)\n", b"200 result=1 (a\nb)\n", USAGE, b"511 dead\n"]
)
@pytest.mark.parametrize("behind", [False, True])
def test_hangup_beside_a_reply_is_the_same_cut_at_every_byte(line: bytes, *, behind: bool) -> None:
    stream = line + b"HANGUP\n" if behind else b"HANGUP\n" + line
    whole = answer(stream)
    assert HungUp() in whole
    for cut in range(len(stream) + 1):
        wire = asked()
        assert (*wire.receive(stream[:cut]), *wire.receive(stream[cut:])) == whole


def test_hangup_inside_a_usage_block_is_told_and_is_not_part_of_it() -> None:
    first, rest = USAGE.split(b"\n", 1)
    assert answer(first + b"\nHANGUP\n" + rest) == (HungUp(), Reply(520, "", USAGE_TEXT))


# The stray 520 after EXEC

ONE_LINE = b"520 Invalid command syntax.  Proper usage not available.\n"


@pytest.mark.parametrize("stray", [USAGE, ONE_LINE])
@pytest.mark.parametrize("sent", ["before", "within", "after"])
def test_stray_520_after_exec_is_swallowed_and_the_real_one_is_not(stray: bytes, sent: str) -> None:
    wire = asked(b"EXEC Foo\n")
    cut = {"before": 0, "within": 40, "after": len(stray)}[sent]
    assert wire.receive(b"200 result=1\n" + stray[:cut]) == [Reply(200, "1")]
    wire.send(b"STREAM FILE\n")
    assert wire.receive(stray[cut:]) == []
    assert wire.state is State.BUSY
    assert wire.receive(ONE_LINE) == [Reply(520, "", ONE_LINE[4:-1].decode())]


def test_exec_that_returned_1_without_a_stray_520_costs_the_next_reply_nothing() -> None:
    wire = asked(b"EXEC Foo\n")
    wire.receive(b"200 result=1\n")
    wire.send(b"NOOP\n")
    assert wire.receive(b"200 result=0\n") == [Reply(200, "0")]
    wire.send(b"NOOP\n")
    assert wire.receive(USAGE) == [Reply(520, "", USAGE_TEXT)]


def test_520_after_an_exec_that_returned_0_is_the_next_commands_own() -> None:
    wire = asked(b"EXEC Foo\n")
    wire.receive(b"200 result=0\n")
    wire.send(b"STREAM FILE\n")
    assert wire.receive(USAGE) == [Reply(520, "", USAGE_TEXT)]


# States


def test_one_command_at_a_time() -> None:
    wire = asked()
    with pytest.raises(ConcurrencyError, match="busy"):
        wire.send(b"NOOP\n")
    assert list(wire.receive(b"200 result=4\n")) == [Reply(200, "4")]


def test_command_before_the_greeting_is_refused() -> None:
    with pytest.raises(ConcurrencyError, match="greeting"):
        Protocol().send(b"NOOP\n")


def test_closed_wire_hears_nothing_and_stays_closed() -> None:
    wire = asked()
    wire.close()
    assert hear(wire, b"200 result=0\n") == ()
    assert hear(wire, b"HANGUP\n") == ()
    assert wire.state is State.CLOSED
    with pytest.raises(ConcurrencyError, match="closed"):
        wire.send(b"NOOP\n")


# Limits and strangers


@pytest.mark.parametrize(
    "noise",
    [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00", b"\0", b"agiX: y\n\n", b"\nagi_a: b\n\n"],
)
def test_stranger_is_known_by_the_first_byte_that_is_wrong(noise: bytes) -> None:
    wire = Protocol()
    with pytest.raises(ProtocolError, match="no AGI greeting"):
        wire.receive(noise)
    assert wire.state is State.CLOSED


def test_greeting_has_a_limit_that_no_cut_moves() -> None:
    longest = b"agi_a: " + b"x" * (MAX_GREETING - 7)
    for cut in (4, MAX_GREETING, MAX_GREETING + 1):
        wire = Protocol()
        stream = longest + b"\n\n"
        assert [*wire.receive(stream[:cut]), *wire.receive(stream[cut:])] == [Greeted(longest)]
    for whole in (longest + b"x\n\n", longest + b"xx"):
        with pytest.raises(ProtocolError, match="a greeting of more than"):
            Protocol().receive(whole)


@pytest.mark.parametrize(
    "flood",
    [
        b"x" * (MAX_REPLY + 1),
        b"200 result=1 (" + b"x" * MAX_REPLY,
        b"200 result=1 (\n" + b"\n" * MAX_REPLY_LINES,
        b"520-x\n" * (MAX_REPLY_LINES + 1),
        b"520-x\n" + b"x\n" * MAX_REPLY_LINES,
        b"HANGUP\n" * (MAX_REPLY_LINES + 1),
        b"\n" * (MAX_REPLY_LINES + 1),
    ],
)
def test_flood_is_cut_off_and_its_memory_given_back(flood: bytes) -> None:
    for wire in (asked(), greeted()):
        wire.receive(flood[: len(flood) // 2])
        with pytest.raises(ProtocolError, match="since the last command"):
            wire.receive(flood[len(flood) // 2 :])
        assert wire.state is State.CLOSED
        assert held(wire) == 0


def test_limits_count_anew_with_each_command() -> None:
    wire = greeted()
    for _ in range(3):
        wire.send(b"NOOP\n")
        wire.receive(b"\n" * (MAX_REPLY_LINES - 1) + b"200 result=0\n")


def held(wire: Protocol) -> int:
    return len(wire._buffer) + sum(map(len, [*(wire._block or ()), *(wire._split or ())]))


SHORT = b"\n|agi_a: b\n|200 result=|1 (|)| endpos=|520-|520 |HANGUP\n|100 |511 |\xe8".split(b"|")
TOKENS = st.sampled_from([*SHORT, b"9" * 4_400, b"x" * 9_000])
JUNK = st.lists(st.one_of(TOKENS, st.binary(max_size=20)), max_size=30)


@given(segments=JUNK, command=st.sampled_from([b"NOOP\n", b"EXEC X\n"]), known=st.booleans())
def test_any_bytes_raise_nothing_but_protocol_error_and_fill_no_memory(
    segments: list[bytes], command: bytes, *, known: bool
) -> None:
    wire = greeted() if known else Protocol()
    for segment in segments:
        if wire.state is State.IDLE:
            wire.send(command)
        try:
            wire.receive(segment)
        except ProtocolError:
            assert wire.state is State.CLOSED
        assert held(wire) <= max(MAX_REPLY, MAX_GREETING + 1)


NOTICES = st.lists(st.sampled_from([b"HANGUP\n", b"100 Trying\n", b"noise\n"]), max_size=3).map(b"".join)
VALUES = st.text('ab ()\n\\"é', max_size=8).map(lambda value: b"200 result=1 (%s)\n" % value.encode())
REPLIES = st.one_of(
    st.sampled_from([b"200 result=-1\n", b"200 result=1\n", b"200 result=0 endpos=1\n", ONE_LINE, USAGE]),
    VALUES,
)
TURNS = st.lists(st.tuples(st.sampled_from([b"NOOP\n", b"EXEC X\n"]), NOTICES, REPLIES, NOTICES), max_size=5)


def told(turns: list[tuple[bytes, ...]], cuts: list[int]) -> list[Event]:
    """What a conversation comes to when Asterisk's turns are cut into pieces of those sizes, in turn."""
    wire, size = Protocol(), iter(cuts * 1_000)
    events: list[Event] = []
    for command, *parts in [(b"", GREETING), *turns]:
        if command and wire.state is State.IDLE:
            wire.send(command)
        stream = b"".join(parts)
        while stream:
            piece = next(size, len(stream))
            events.extend(hear(wire, stream[:piece]))
            stream = stream[piece:]
    return events


@given(turns=TURNS, cuts=st.lists(st.integers(1, 40), min_size=1, max_size=6))
def test_any_segmentation_gives_the_same_events(turns: list[tuple[bytes, ...]], cuts: list[int]) -> None:
    assert told(turns, cuts) == told(turns, [])


@given(st.one_of(REPLIES, st.tuples(NOTICES, REPLIES, NOTICES).map(b"".join), st.binary(max_size=80)))
def test_short_way_and_long_way_come_to_the_same(data: bytes) -> None:
    short, long = asked(), asked()
    assert hear(short, data) == tuple(long.receive(data))
    assert short.state is long.state
    assert short.hung_up is long.hung_up
