"""The shipped prompts: manifest and files agree, and each is fit for a telephone."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

import sounds
from sounds import DEMO, ENGINE, EngineName, Prompt

FOLDER = Path(sounds.__file__).parent
RATE = 8_000
PROMPTS = [*ENGINE.values(), *DEMO.values()]

each_prompt = pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: prompt.sound)


def decode_ulaw(code: bytes) -> NDArray[np.float64]:
    """Decodes by the table of G.711: written apart from the encoder, so that the two check each other."""
    bits = 0xFF - np.frombuffer(code, np.uint8).astype(np.int64)
    magnitude = ((bits % 16) * 2 + 33) * 2 ** (bits // 16 % 8) - 33
    return np.where(bits >= 128, -magnitude, magnitude) / 8_192


def frame_levels(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gives the level of each 10 ms in dBFS."""
    frames = signal[: len(signal) // 80 * 80].reshape(-1, 80)
    return np.asarray(10 * np.log10(np.mean(frames**2, axis=1) + 1e-12))


def entries() -> Iterator[tuple[str, dict[str, object]]]:
    """Walks the manifest as it is written."""
    for shelf, items in json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8")).items():
        for item in items:
            yield shelf, item


def test_the_engine_names_are_the_manifests() -> None:
    assert set(ENGINE) == set(get_args(EngineName)) == {str(e["name"]) for s, e in entries() if s == "engine"}


def test_the_demo_has_the_contracts_three_prompts_and_its_words() -> None:
    assert set(DEMO) == {"welcome", "business_check", "not_qualified"}
    assert DEMO["welcome"].words == (
        "Thank you for calling. Press 1 if you are a business owner. "
        "Press 9 to be added to our do not call list."
    )


def test_every_file_is_in_the_manifest() -> None:
    assert {prompt.path for prompt in PROMPTS} == set(FOLDER.glob("*/*.ulaw"))


def test_names_are_asterisks() -> None:
    assert ENGINE["menu-missing"].sound == "trunx/engine/menu-missing"
    assert DEMO["welcome"].sound == "trunx/demo/welcome"


@pytest.mark.parametrize("entry", [entry for _, entry in entries()], ids=lambda entry: str(entry["name"]))
def test_voice_and_licence_are_told(entry: dict[str, object]) -> None:
    assert set(entry) == {"name", "words", "voice", "licence", "seconds"}
    assert entry["voice"]
    assert entry["licence"] == "Apache-2.0"


@each_prompt
def test_seconds_are_the_bytes(prompt: Prompt) -> None:
    assert prompt.seconds == pytest.approx(prompt.path.stat().st_size / RATE, abs=0.001)


@each_prompt
def test_level(prompt: Prompt) -> None:
    signal = decode_ulaw(prompt.path.read_bytes())
    levels = frame_levels(signal)
    speech = levels[levels > levels.max() - 45]
    loudness = 10 * np.log10(np.mean(10 ** (speech / 10)))
    assert loudness == pytest.approx(-20.0, abs=1.0)
    assert 20 * np.log10(np.abs(signal).max()) < -3.0
    assert abs(signal.mean()) < 0.001


@each_prompt
def test_silence_at_the_ends(prompt: Prompt) -> None:
    signal = decode_ulaw(prompt.path.read_bytes())
    levels = frame_levels(signal)
    (speech,) = np.nonzero(levels > levels.max() - 45)
    assert 8 <= speech[0] <= 16  # frames of 10 ms
    assert 8 <= len(levels) - 1 - speech[-1] <= 16
    assert np.abs(signal[[0, -1]]).max() < 0.001  # no click


@each_prompt
def test_nothing_lies_at_the_band_edge(prompt: Prompt) -> None:
    power = np.abs(np.fft.rfft(decode_ulaw(prompt.path.read_bytes()))) ** 2
    hertz = np.fft.rfftfreq(2 * (len(power) - 1), 1 / RATE)
    edge = power[hertz > 3_900].sum() / power.sum()
    assert 10 * np.log10(edge) < -35


@each_prompt
def test_pace_is_that_of_a_speaker(prompt: Prompt) -> None:
    assert 1.5 < len(prompt.words.split()) / prompt.seconds < 4.5
