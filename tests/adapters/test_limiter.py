"""The limiter: peaks stay under the ceiling, also between samples, and nothing else changes."""

import numpy as np
import pytest
import soxr

from tests.adapters.recordings import Signal, sine, speech
from trunx.adapters.studio.limiter import limited, true_peaks

RATE = 16_000


def _between(signal: Signal) -> float:
    """The true peak as another interpolator sees it, at eight times the rate."""
    return float(np.abs(soxr.resample(signal, RATE, 8 * RATE, quality="VHQ")).max())


def test_a_peak_between_samples_is_seen() -> None:
    at_45_degrees = np.sin(np.pi / 2 * np.arange(1_000) + np.pi / 4).astype(np.float32)
    assert np.abs(at_45_degrees).max() == pytest.approx(0.7071, abs=1e-4)
    assert true_peaks(at_45_degrees)[100:-100] == pytest.approx(1.0, abs=0.01)


def test_the_pieces_do_not_show() -> None:
    signal = speech(6, RATE)
    whole, part = true_peaks(signal), true_peaks(signal[20_000:70_000])
    assert part[100:-100] == pytest.approx(whole[20_100:69_900], abs=1e-6)


@pytest.mark.parametrize("gain", [2.0, 8.0])
def test_speech_is_brought_under_the_ceiling(gain: float) -> None:
    signal = speech(10, RATE) * np.float32(gain)
    result = limited(signal, true_peaks(signal), RATE, 0.5)
    assert _between(result) < 0.5 * 1.03


def test_a_lone_peak_changes_its_neighbourhood_only_and_softly() -> None:
    signal = sine(200, 4, RATE, 0.3)
    signal[32_000] = 1.0
    result = limited(signal, true_peaks(signal), RATE, 0.5)
    assert np.abs(result).max() <= 0.5
    reach = int(0.016 * RATE) + 8
    assert np.array_equal(result[: 32_000 - reach], signal[: 32_000 - reach])
    assert np.array_equal(result[32_000 + reach :], signal[32_000 + reach :])
    sounding = np.abs(signal) > 0.02
    gains = result[sounding] / signal[sounding]
    assert np.abs(np.diff(gains)).max() < 0.02


def test_what_is_under_the_ceiling_is_left_as_it_is() -> None:
    signal = speech(3, RATE)
    assert np.array_equal(limited(signal, true_peaks(signal), RATE, 0.9), signal)


@pytest.mark.parametrize("length", [0, 1, 2, 30])
def test_very_short_sounds(length: int) -> None:
    signal = np.full(length, 0.9, np.float32)
    result = limited(signal, true_peaks(signal), RATE, 0.5)
    assert len(result) == length
    assert (np.abs(result) <= 0.5).all()
