"""The local voice: who speaks, what is refused, and that the model says what we let through."""

import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hibari import Hibari
from hypothesis import given
from hypothesis import strategies as st

from trunx.adapters.voices import local as local_voice
from trunx.adapters.voices.local import LocalVoice
from trunx.domain.audio import SpeechError, UnusableSoundError, VoiceInfo

CONTRACT = (
    "Thank you for calling. Press 1 if you are a business owner. Press 9 to be added to our do not call list."
)


SPEAKABLE = sorted(
    {*"abcxyzABC0123456789*$£€¥ ", *local_voice._LETTERS, *local_voice._SAID, *local_voice._PAUSES}
)


@pytest.fixture(scope="module")
def model() -> Any:
    return Hibari()


async def nothing(words: str, voice: str, target: Path) -> None:
    """Says nothing, and well."""


async def refused(text: str) -> SpeechError:
    with pytest.raises(SpeechError) as error:
        await LocalVoice(nothing).plan(text, None)
    assert error.value.is_request
    assert error.value.field == "text"
    return error.value


async def test_words_and_voice_go_to_the_worker(tmp_path: Path) -> None:
    asked = []

    async def speak(words: str, voice: str, target: Path) -> None:
        asked.append((words, voice, target))

    voice = LocalVoice(speak)
    speech = await voice.plan("Call 949-555-1234.", None)
    assert await voice.speak(speech, tmp_path / "a.wav") == speech
    words = "Call nine four nine, five five five, one two three four."
    assert asked == [(words, "heart", tmp_path / "a.wav")]
    assert (speech.provider, speech.voice, speech.words) == ("local", "heart", words)
    assert speech.settings["model"].startswith("hibari-tts ")


@pytest.mark.parametrize("voice", [None, "", "heart", "Heart", "rachel", "EXAVITQu4vr4xnSDxMaL", "emma"])
async def test_a_voice_that_is_not_here_is_replaced(voice: str | None) -> None:
    plans = [await LocalVoice(nothing).plan(CONTRACT, asked) for asked in (voice, "heart")]
    assert plans[0] == plans[1]
    assert plans[0].voice == "heart"


async def test_the_voices_are_those_on_this_machine() -> None:
    voices = await LocalVoice(nothing).voices()
    assert voices == (VoiceInfo("heart", "heart", "local", "en-US", is_default=True),)


async def test_a_voice_that_was_brought_here_can_be_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bf_emma.int8.onnx").touch()
    monkeypatch.setenv("HIBARI_HOME", str(tmp_path))
    voice = LocalVoice(nothing)
    assert [(info.id, info.language, info.is_default) for info in await voice.voices()] == [
        ("heart", "en-US", True),
        ("emma", "en-GB", False),
    ]
    british, american = await voice.plan("Hello.", "Emma"), await voice.plan("Hello.", None)
    assert (british.voice, american.voice) == ("emma", "heart")
    assert british.key != american.key


async def test_it_is_always_there() -> None:
    state = await LocalVoice(nothing).state()
    assert (state.name, state.state) == ("speech", "ok")
    assert "heart" in state.detail


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("你好", "你 (U+4F60"),
        ("Hello привет", "п (U+043F, CYRILLIC SMALL LETTER PE)"),
        ("Hello 😀", "😀 (U+1F600, GRINNING FACE)"),
        ("Hello مرحبا", "U+0645"),
        ("a √ b", "√ (U+221A"),
        ("**Hello**", "* (U+002A"),
        ("snake_case", "_ (U+005F"),
        ("back\\slash", "\\ (U+005C"),
        ("٣ apples", "U+0663"),
        ("it costs 5 €", "€ without an amount"),
        ("a" * 25, "of 25 letters"),
    ],
)
async def test_what_it_cannot_say_is_named(text: str, named: str) -> None:
    error = await refused(text)
    assert error.code == "text-unspeakable"
    assert named in str(error)


async def test_only_some_of_many_are_named() -> None:
    assert str(await refused("你好世界和平 hello")).count("U+") == 5


@pytest.mark.parametrize(
    ("text", "code"),
    [("", "text-empty"), ("<speak>a</speak>", "text-has-markup"), ("1" * 2_500, "text-too-long")],
)
async def test_what_nobody_may_say(text: str, code: str) -> None:
    assert (await refused(text)).code == code


async def test_what_the_model_finds_nothing_in_is_the_texts_fault(tmp_path: Path) -> None:
    async def speak(_words: str, _voice: str, _target: Path) -> None:
        raise UnusableSoundError("empty", "there is nothing in it")

    voice = LocalVoice(speak)
    with pytest.raises(SpeechError) as error:
        await voice.speak(await voice.plan("Hello.", None), tmp_path / "a.wav")
    assert (error.value.code, error.value.is_request, error.value.field) == ("text-unspeakable", True, "text")


def test_the_server_does_not_load_the_model() -> None:
    code = (
        "import sys; from trunx.adapters.voices.local import LocalVoice; LocalVoice(None);"
        "print(sorted({'hibari', 'numpy', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# What the model does with what we let through


async def heard(model: Any, text: str) -> str:
    """The phonemes that the model would speak."""
    speech = await LocalVoice(nothing).plan(text, None)
    phonemes = "|".join(model.phonemize(speech.words))
    assert set(phonemes) - {"|"} <= set(model.vocab), text
    return phonemes


@pytest.mark.parametrize("letter", sorted(local_voice._LETTERS))
async def test_each_letter_is_said(model: Any, letter: str) -> None:
    assert await heard(model, f"{letter}!") not in {"", "!"}
    assert await heard(model, f"pa{letter}{letter}to")


@pytest.mark.parametrize("sign", sorted(local_voice._SAID))
async def test_each_sign_is_said(model: Any, sign: str) -> None:
    alone = await heard(model, f"go {sign} go")
    assert len(alone) > len(await heard(model, "go go")) + 1


async def test_a_letter_with_a_strange_accent_is_said_without_it() -> None:
    speech = await LocalVoice(nothing).plan("Ṫhế x̂ İstanbul", None)
    assert speech.words == "The x Istanbul"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("press * or #", "press star or pound"),
        ("$5.99", "five dollars and ninety nine cents"),
        ("at 9:30 am", "at nine thirty A.M."),
        ("10%", "ten percent"),
        ("in 2026", "in twenty twenty six"),
        ("the 1st", "the first"),
        ("24/7", "twenty four seven"),
        ("ext. 204", "extension two zero four"),
        ("room 007", "room zero zero seven"),
        ("Press 1,2 or 3", "Press one, two or three"),
    ],
)
async def test_it_reads_as_people_do(model: Any, text: str, words: str) -> None:
    assert await heard(model, text) == "|".join(model.phonemize(words))


@given(st.text(st.sampled_from(SPEAKABLE), min_size=1, max_size=80))
async def test_nothing_we_let_through_breaks_the_model(model: Any, text: str) -> None:
    try:
        speech = await LocalVoice(nothing).plan(text, None)
    except SpeechError:
        return
    model.phonemize(speech.words)  # it raised TypeError for a dotted capital I


async def test_a_breathless_text_is_broken_up_between_its_words(model: Any) -> None:
    text = ("business " * 277).strip()
    speech = await LocalVoice(nothing).plan(text, None)
    assert speech.words.split() == text.split()
    assert max(map(len, speech.words.split("\n"))) <= 300
    assert max(map(len, model.phonemize(speech.words))) <= 400
    kept = "One, two; three. " * 100
    assert (await LocalVoice(nothing).plan(kept, None)).words == kept.strip()


async def test_the_contracts_sentence_is_spoken(model: Any, tmp_path: Path) -> None:
    async def speak(words: str, _voice: str, target: Path) -> None:
        model.save(words, str(target), seed=0)

    voice = LocalVoice(speak)
    target = tmp_path / "a.wav"
    await voice.speak(await voice.plan(CONTRACT, "rachel"), target)
    with wave.open(str(target)) as file:
        seconds = file.getnframes() / file.getframerate()
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert 5.0 < seconds < 9.0
    assert np.abs(samples).max() > 5_000
