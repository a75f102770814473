"""Each thing that a listener may dislike is told of the sound that has it, and of no other."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soxr

from tests.adapters.recordings import Signal, noise, sine, speech, written
from trunx.adapters.studio.jobs import Master
from trunx.adapters.studio.mastering import master

RATE = 16_000


def _warnings(tmp_path: Path, samples: Signal, rate: int = RATE, subtype: str = "PCM_16") -> dict[str, str]:
    source = written(tmp_path / "upload.wav", samples, rate, subtype=subtype)
    job = Master(source=source, scratch=tmp_path / "made", most_bytes=50_000_000, most_seconds=600)
    return {warned.code: warned.message for warned in master(job).warnings}


def _telephone() -> Signal:
    return np.asarray(soxr.resample(soxr.resample(speech(5, RATE), RATE, 8_000), 8_000, RATE), np.float32)


def _music() -> Signal:
    """Chords that never pause."""
    chords = [
        sum(sine(base * step, 1, RATE, 0.1) for step in (1, 1.25, 1.5, 2, 4, 12)) for base in (220, 262, 330)
    ]
    return np.concatenate(chords * 2).astype(np.float32)


@pytest.mark.parametrize("gain", [0.3, 1.0, 2.4])
def test_a_clean_voice_passes(gain: float, tmp_path: Path) -> None:
    assert _warnings(tmp_path, speech(8, RATE) * np.float32(gain)) == {}


def test_a_voice_at_44_khz_in_a_quiet_office_passes(tmp_path: Path) -> None:
    assert _warnings(tmp_path, speech(8, 44_100) + noise(8, 44_100, 0.0008), 44_100) == {}


def test_music_is_not_noise(tmp_path: Path) -> None:
    assert "noisy" not in _warnings(tmp_path, _music())


FAULTS = {
    "clipped": lambda: np.clip(speech(6, RATE) * np.float32(8), -1, 1),
    "too-quiet": lambda: speech(6, RATE) * np.float32(0.04),
    "nearly-silent": lambda: speech(6, RATE) * np.float32(0.006),
    "too-long": lambda: speech(70, RATE),
    "noisy": lambda: speech(6, RATE) + noise(6, RATE, 0.015),
    "narrow-band": _telephone,
}


@pytest.mark.parametrize("code", FAULTS)
def test_a_fault_is_told_with_a_figure(code: str, tmp_path: Path) -> None:
    found = _warnings(tmp_path, FAULTS[code](), subtype="FLOAT")
    assert set(found) == {code}
    assert re.search(r"\d", found[code])


def test_two_words_in_half_a_minute_are_nearly_silent(tmp_path: Path) -> None:
    silent = np.zeros(28 * RATE, np.float32)
    found = _warnings(tmp_path, np.concatenate([speech(1, RATE), silent, speech(1, RATE)]))
    assert set(found) == {"nearly-silent"}
    assert "s is more than silence" in found["nearly-silent"]


def test_a_telephone_recording_at_its_own_rate_is_narrow_too(tmp_path: Path) -> None:
    assert set(_warnings(tmp_path, speech(5, 8_000), 8_000)) == {"narrow-band"}


@pytest.mark.parametrize("subtype", ["PCM_U8", "ULAW", "PCM_24", "FLOAT"])
def test_cut_tops_are_seen_in_every_depth(subtype: str, tmp_path: Path) -> None:
    loud = np.clip(speech(6, RATE) * np.float32(8), -1, 1)
    assert "clipped" in _warnings(tmp_path, loud, subtype=subtype)


@pytest.mark.parametrize("full", [speech, lambda seconds, rate: sine(300, seconds, rate)])
def test_full_scale_is_not_clipped(full: Callable[[float, int], Signal], tmp_path: Path) -> None:
    signal = full(6, RATE)
    assert "clipped" not in _warnings(tmp_path, signal / np.abs(signal).max())
