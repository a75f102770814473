"""A user's name for an audio is a name of a file, and never a way to another."""

from pathlib import PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trunx.domain.records import Line
from trunx.domain.sound import EXTENSIONS, sound_name


@pytest.mark.parametrize(
    ("audio", "name"),
    [
        ("welcome.wav", "welcome"),
        ("welcome", "welcome"),
        ("Welcome.MP3", "Welcome"),
        ("welcome.sln16", "welcome"),
        ("welcome.wav.wav", "welcome.wav"),
        ("welcome.txt", "welcome.txt"),
        ("good day.wav", "good%20day"),
        ("100%.wav", "100%25"),
        ("%2e%2e", "%252e%252e"),
        ("a&b", "a%26b"),
        ("größe", "gr%C3%B6%C3%9Fe"),
        ("a/b", "a%2Fb"),
        ("..", "%2E."),
        ("...wav", "%2E."),
        (".wav", "%2Ewav"),
        (".hidden", "%2Ehidden"),
        ("-a_b.c~d", "-a_b.c~d"),
    ],
)
def test_names(audio: str, name: str) -> None:
    assert sound_name("MA1", audio) == f"trunx/MA1/{name}"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300))
@example("../../../etc/passwd")
@example("/etc/passwd")
@example("..wav")
@example("...wav")
@example("\0")
@example('a" "b')
@example("a\nHANGUP")
@example("\U0001f600" * 128)
def test_any_text_is_one_file_in_the_account_s_folder(audio: str) -> None:
    name = sound_name("MA1", audio)
    folder, _, file = name.rpartition("/")
    assert folder == "trunx/MA1"
    assert file.isascii()
    assert file.isprintable()
    assert not set(file) & set("/\\ &\"'")
    assert not file.startswith(".")
    assert file
    # With the longest ending and the name of a file that is written beside it.
    assert len(f".{file}.sln16.12345678") <= 255
    assert PurePosixPath("sounds", name).parts == ("sounds", "trunx", "MA1", file)


@given(st.text("ab.%/ ä", min_size=1, max_size=8), st.text("ab.%/ ä", min_size=1, max_size=8))
@example("x" * 300 + "a", "x" * 300 + "b")
def test_two_names_are_two_files(one: str, other: str) -> None:
    same_name = one == other
    same_file = sound_name("MA1", one) == sound_name("MA1", other)
    assert same_file == same_name
    assert sound_name("MA1", one) != sound_name("MA2", one)


@pytest.mark.parametrize("ending", EXTENSIONS)
def test_endings_of_audio_are_taken_off(ending: str) -> None:
    assert sound_name("MA1", "a" + ending) == sound_name("MA1", "a" + ending.upper()) == "trunx/MA1/a"


def test_an_asset_goes_before_a_file_of_its_name() -> None:
    line = Line("MA1", "menu", 1, None, {"welcome.wav": "trunx/audio/0a"})
    assert line.sound("welcome.wav") == "trunx/audio/0a"
    assert line.sound("welcome") == "trunx/MA1/welcome"
