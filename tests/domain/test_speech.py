"""What is refused, how numbers are read, and that no reading loses a letter or a digit."""

import contextlib
import re
import time
import unicodedata
from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trunx.domain.audio import SpeechError
from trunx.domain.speech import PROMPT_CHARACTERS, check_text, language_of, prepared, speech_key

CONTRACT = (
    "Thank you for calling. Press 1 if you are a business owner. Press 9 to be added to our do not call list."
)
STARTS = "<|<a|1|,1|1-|555-|a.|a@|a-|(|#|Mon-|[](|a@a.|x1|9am-|1 |+1 | |* |0 00 |949 |\n "
WRITTEN = (
    *("Press 1", "call 911", "24/7", "PIN 4321", "1,2,3", "$5.99", "9:30 am", "Mon-Fri 9am-5pm", "Nov. 5"),
    *("+1 949 555 1234", "+442079460958", "(949) 555-1234", "1-800-FLOWERS", "020 7946 0958", "92614-1234"),
    *("12345678", "123456789012", "007", "ext. 204", "*67 or #", "www.trunx.io", "5-10%", "3/4/2026"),
)
NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

# Pieces that the rules of reading look for, in any order.
PIECES = (
    "0 1 2 7 9 00 24/7 555 949 1234 92614 +1 +44 1-800- ( ) - . , : / # * % $ $5.99 am pm 9am ext. PIN "
    "code call 911 Mon Fri Nov. a@b.com www.x.io é x̂ 1st <3 & \n A FLOWERS 5-10%"
)
pieces = st.lists(st.sampled_from(PIECES.split(" ")) | st.just(" "), max_size=25).map("".join)
figures = st.text("0123456789 -.()+,:/%$", max_size=40)


def refusal(text: str) -> SpeechError:
    with pytest.raises(SpeechError) as refused:
        check_text(text)
    assert refused.value.is_request
    assert refused.value.field == "text"
    return refused.value


@pytest.mark.parametrize(
    "text",
    [
        CONTRACT,
        "*",
        "I <3 trunx & you, 5 < 6 > 3",
        "Tom &amp; Jerry",
        "two\nlines,\tone tab",
        "Drücken Sie die 1. 按 2。 😀",
        "x" * PROMPT_CHARACTERS,
    ],
)
def test_what_may_be_spoken(text: str) -> None:
    check_text(text)


@pytest.mark.parametrize("text", ["", " \n ", "...!?", "😀", "( - )"])
def test_nothing_to_say(text: str) -> None:
    assert refusal(text).code == "text-empty"


def test_too_long() -> None:
    error = refusal("x" * (PROMPT_CHARACTERS + 1))
    assert error.code == "text-too-long"
    assert "2501" in str(error)
    assert "2500" in str(error)


@pytest.mark.parametrize(
    "text",
    [
        '<break time="1s"/> hello',
        "<speak>hello</speak>",
        "hello</speak>",
        '<phoneme alphabet="ipa" ph="x">hello</phoneme>',
        "<?xml version='1.0'?>hello",
        "<!-- note --> hello",
        "see [our site](https://example.com)",
    ],
)
def test_markup_is_refused_and_named(text: str) -> None:
    error = refusal(text)
    assert error.code == "text-has-markup"
    assert re.search(r"`[^`]+`", str(error))


@pytest.mark.parametrize("character", ["\0", "\x1b", "\x7f", "\x85", "\ud800"])
def test_control_characters_are_refused(character: str) -> None:
    error = refusal(f"hello{character}")
    assert error.code == "text-has-control-characters"
    assert f"U+{ord(character):04X}" in str(error)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("+19495551234", "one, nine four nine, five five five, one two three four"),
        ("(949) 555-1234", "nine four nine, five five five, one two three four"),
        ("at 949.555.1234.", "at nine four nine, five five five, one two three four."),
        ("9495551234", "nine four nine, five five five, one two three four"),
        ("555-1234", "five five five, one two three four"),
        ("Call 1-800-555-1234!", "Call one, eight hundred, five five five, one two three four!"),
        ("1-800-FLOWERS", "one, eight hundred, FLOWERS"),
        ("+442079460958", "plus four four, two zero, seven nine four six, zero nine five eight"),
        ("+44 (0)20 7946 0958", "plus four four, zero, two zero, seven nine four six, zero nine five eight"),
        ("020 7946 0958", "zero two zero, seven nine four six, zero nine five eight"),
        ("zip 92614", "zip nine two six one four"),
        ("zip 92614-1234", "zip nine two six one four, one two three four"),
        ("account 12345678", "account one two three four, five six seven eight"),
        ("AB1234567X", "AB one two three, four five six seven X"),
        ("agent 007", "agent zero zero seven"),
        ("PIN 4321", "PIN four three two one"),
        ("your code is 123", "your code is one two three"),
        ("ext. 204", "extension two zero four"),
        ("dial 911", "dial nine one one"),
    ],
)
def test_digits_that_people_read_one_by_one(text: str, read: str) -> None:
    assert prepared(text) == read


@pytest.mark.parametrize(
    "text",
    [
        CONTRACT,
        "$5.99, $1,299 and $12500",
        "10%, 12.5% and 12345%",
        "in 2026, in 1999",
        "at 9:30 am, at 00:30",
        "on 3/4/2026 or 2026-11-21",
        "the 1st, the 12345th",
        "3.14, 0.05 and 12345.67",
        "12,345,678 people",
        "room 1204, 50 miles, 1/2",
        "version v2.0, B2B",
    ],
)
def test_what_voices_read_well_stays(text: str) -> None:
    assert prepared(text) == text


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("press * or #", "press star or pound"),
        ("press *.", "press star."),
        ("press 2# now", "press 2 pound now"),
        ("dial *67", "dial star 67"),
        ("item #5", "item number 5"),
        ("Press 1,2 or 3", "Press 1, 2 or 3"),
        ("open 24/7.", "open 24 7."),
        ("Mon\N{EN DASH}Thurs 9am-5pm", "Monday to Thursday 9am to 5pm"),
        ("save 5-10%", "save 5 to 10%"),
        ("on Nov. 5", "on Nov 5"),
        ("Write to john_smith@my-firm.com.", "Write to john underscore smith at my dash firm dot com."),
        ("(www.trunx.io)", "(w w w dot trunx dot io)"),
        ("a\u200bb\u00a0c\r\n\r\n d\u2011e \N{LEFT DOUBLE QUOTATION MARK}f", 'ab c\nd-e "f'),
    ],
)
def test_what_voices_misread_is_written_out(text: str, read: str) -> None:
    assert prepared(text) == read


def test_in_other_languages_only_digits_are_touched() -> None:
    text = "Marque * o #5: Lun-Vie 24/7, llame al +1 949 555 1234, cuenta 123456, a@b.com"
    assert prepared(text, None) == (
        "Marque * o #5: Lun-Vie 24/7, llame al 1, 9 4 9, 5 5 5, 1 2 3 4, cuenta 1 2 3, 4 5 6, a@b.com"
    )


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (CONTRACT, "en"),
        ("Welcome!", "en"),
        ("Para español, oprima el dos.", None),
        ("Drücken Sie die Eins.", None),
        ("949-555-1234", None),
    ],
)
def test_english_is_told_by_its_everyday_words(text: str, language: str | None) -> None:
    assert language_of(text) == language


def letters(text: str) -> list[str]:
    plain = unicodedata.normalize("NFD", text.casefold())
    return [character for character in plain if character.isalpha()]


def digits(text: str) -> list[str]:
    for digit, word in enumerate(NUMBER_WORDS):
        text = re.sub(rf"\b{word}\b", str(digit), text, flags=re.IGNORECASE)
    return re.findall("[0-9]", text.replace("hundred", "00"))


def is_within(few: Iterable[str], many: Iterable[str]) -> bool:
    """Whether all of `few` are in `many`, in their order."""
    rest = iter(many)
    return all(one in rest for one in few)


@given(pieces | st.text(max_size=60), st.sampled_from(["en", None]))
@example("ext.204, Mon-Fri +1 949 555 1234", "en")
def test_no_letter_and_no_digit_is_lost(text: str, language: str | None) -> None:
    read = prepared(text, language)
    assert is_within(letters(text), letters(read))
    assert is_within(re.findall("[0-9]", text), digits(read))


@given(figures, st.sampled_from(["en", None]))
def test_no_digit_is_added_or_moved(text: str, language: str | None) -> None:
    assert digits(prepared(text, language)) == re.findall("[0-9]", text)


@given(
    st.lists(st.sampled_from(WRITTEN), min_size=1, max_size=6).map(", ".join), st.sampled_from(["en", None])
)
def test_reading_twice_changes_nothing(text: str, language: str | None) -> None:
    once = prepared(text, language)
    assert prepared(once, language) == once


@pytest.mark.parametrize("part", STARTS.split("|"))
def test_any_text_is_read_quickly(part: str) -> None:
    text = (part * PROMPT_CHARACTERS)[:PROMPT_CHARACTERS]
    began = time.perf_counter()
    language_of(text)
    prepared(text)
    with contextlib.suppress(SpeechError):
        check_text(text)
    assert time.perf_counter() - began < 0.5


def test_the_key_tells_apart_whatever_shapes_the_sound() -> None:
    speech = {"provider": "p", "model": "m", "voice": "v", "words": "w", "settings": {"a": "b"}, "form": "f"}
    keys = [speech_key(**speech)]  # type: ignore[arg-type]
    keys += [speech_key(**{**speech, name: "x"}) for name in speech if name != "settings"]  # type: ignore[arg-type]
    keys += [
        speech_key(**{**speech, "settings": settings})  # type: ignore[arg-type]
        for settings in ({}, {"a": "c"}, {"b": "b"}, {"a": "b", "c": "d"})
    ]
    keys.append(speech_key(**{**speech, "voice": 'v", "w', "words": ""}))  # type: ignore[arg-type]
    assert len(set(keys)) == len(keys)
    assert all(re.fullmatch("[0-9a-f]{64}", key) for key in keys)


def test_the_key_does_not_depend_on_the_order_of_settings() -> None:
    one, other = (
        speech_key(provider="p", model="m", voice="v", words="w", settings=settings, form="f")
        for settings in ({"a": "1", "b": "2"}, {"b": "2", "a": "1"})
    )
    assert one == other
