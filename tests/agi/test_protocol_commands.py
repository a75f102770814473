"""What goes to Asterisk reaches it as it was meant, and its greeting is read whatever bytes it holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi import encode
from agi.caller import Ring, split
from agi.protocol import MAX_COMMAND, MAX_WORDS, Greeted, Protocol, environment


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("ANSWER",), b"ANSWER\n"),
        (("GET DATA", "trunx/a b", 5000, 1), b'GET DATA "trunx/a b" 5000 1\n'),
        (("STREAM FILE", "x", ""), b'STREAM FILE x ""\n'),
        (("VERBOSE", 'say "hi" \\ now'), b'VERBOSE "say \\"hi\\" \\\\ now"\n'),
        (("SET VARIABLE", "X", "Zoë"), 'SET VARIABLE X "Zoë"\n'.encode()),
        (("SET VARIABLE", "X", b"Zo\xeb".decode(errors="surrogateescape")), b'SET VARIABLE X "Zo\xeb"\n'),
    ],
)
def test_encode_quotes_what_needs_it(words: tuple[str | int, ...], line: bytes) -> None:
    assert encode(*words) == line


@pytest.mark.parametrize("bad", ["a\nHANGUP", "a\rb", "a\0b", "\n"])
def test_line_break_or_nul_in_an_argument_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="line break or NUL"):
        encode("VERBOSE", bad)
    with pytest.raises(ValueError, match="line break or NUL"):
        encode(bad)


def test_text_that_has_no_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogates not allowed"):
        encode("VERBOSE", "\ud800")


def test_command_has_a_limit_in_bytes() -> None:
    room = MAX_COMMAND - len(b'NOOP ""\n')
    assert len(encode("NOOP", "é" * (room // 2) + " " * (room % 2))) == MAX_COMMAND
    with pytest.raises(ValueError, match="this one has 2048"):
        encode("NOOP", "é" * (room // 2) + " " * (room % 2 + 1))


def test_command_has_a_limit_in_words() -> None:
    assert len(split(encode("GET DATA", *["x"] * (MAX_WORDS - 2)).decode())) == MAX_WORDS
    with pytest.raises(ValueError, match="at most 127 words"):
        encode("GET DATA", *["x"] * (MAX_WORDS - 1))


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0"), max_size=30), max_size=6))
def test_any_arguments_reach_asterisk_as_they_were(arguments: list[str]) -> None:
    assert split(encode("NOOP", *arguments).decode("utf-8", "surrogateescape")) == ["NOOP", *arguments]


@given(st.binary(max_size=40).filter(lambda raw: not set(raw) & set(b"\n\r\0")))
def test_any_bytes_reach_asterisk_as_they_were(raw: bytes) -> None:
    words = split(encode("NOOP", raw.decode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape"))
    assert words[1].encode("utf-8", "surrogateescape") == raw


# The greeting's values


def test_callers_name_that_is_not_utf8_is_read() -> None:
    greeting = Ring("100", caller="+1949", name="Ren\udce9 Zoë").greeting("127.0.0.1", 4573)
    [event] = Protocol().receive(greeting)
    assert isinstance(event, Greeted)
    values = environment(event.environment)
    assert values["agi_calleridname"] == "Ren\ufffd Zoë"
    assert values["agi_callerid"] == "+1949"
    assert values["agi_dnid"] == "100"
    assert values["agi_request"] == "agi://127.0.0.1:4573/inbound"
    assert values["agi_accountcode"] == ""


def test_line_without_a_colon_and_spaces_of_a_value_are_no_trouble() -> None:
    assert environment(b"agi_a:b\nnonsense\nagi_c:  d: e ") == {"agi_a": "b", "agi_c": " d: e "}
