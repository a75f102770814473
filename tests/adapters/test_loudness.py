"""Loudness against what BS.1770-4 and EBU Tech 3341 (which counts two channels) say of known signals."""

import math

import numpy as np
import pytest

from tests.adapters.recordings import noise, sine
from trunx.adapters.studio.loudness import Loudness, _weighting


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_a_full_scale_sine_of_997_hz_reads_minus_three(rate: int) -> None:
    assert Loudness(sine(997, 5, rate, 1.0), rate).integrated() == pytest.approx(-3.01, abs=0.05)


def test_at_48_khz_the_filters_are_those_of_the_standard() -> None:
    shelf, high_pass = _weighting(48_000)
    assert shelf == pytest.approx(
        [1.53512485958697, -2.69169618940638, 1.19839281085285, -1.69065929318241, 0.73248077421585], abs=1e-7
    )
    assert high_pass[3:] == pytest.approx([-1.99004745483398, 0.99007225036621], abs=1e-7)


@pytest.mark.parametrize("level", [-23.0, -33.0])
def test_a_sine_reads_its_level(level: float) -> None:
    """Tech 3341, cases 1 and 2: as they count two equal channels, one of them is 3.01 LU quieter."""
    signal = sine(1_000, 20, 48_000, 10 ** (level / 20))
    assert Loudness(signal, 48_000).integrated() == pytest.approx(level - 3.01, abs=0.1)


def test_what_is_ten_lu_quieter_does_not_count() -> None:
    """Tech 3341, case 3: 10 s at -36, 60 s at -23, 10 s at -36."""
    quiet, loud = sine(1_000, 10, 48_000, 10 ** (-36 / 20)), sine(1_000, 60, 48_000, 10 ** (-23 / 20))
    both = np.concatenate([quiet, loud, quiet])
    assert Loudness(both, 48_000).integrated() == pytest.approx(-26.01, abs=0.1)


def test_silence_does_not_count() -> None:
    """Tech 3341, case 4: -72 is under the absolute gate."""
    parts = [sine(1_000, 10, 48_000, 10 ** (level / 20)) for level in (-72, -36, -23, -23, -23, -36, -72)]
    assert Loudness(np.concatenate(parts), 48_000).integrated() == pytest.approx(-26.01, abs=0.1)


def test_a_gain_is_worked_out_and_not_measured_again() -> None:
    signal = np.concatenate([noise(2, 16_000, 1e-4), noise(3, 16_000, 1e-3), noise(1, 16_000, 0.02)])
    for gain in (-10.0, 0.0, 25.0):
        louder = signal * np.float32(10 ** (gain / 20))
        assert Loudness(signal, 16_000).integrated(gain) == pytest.approx(
            Loudness(louder, 16_000).integrated(), abs=0.001
        )


def test_the_length_of_the_pieces_does_not_matter() -> None:
    signal = noise(40, 16_000)  # more than one piece
    whole = Loudness(signal, 16_000).integrated()
    assert whole == pytest.approx(Loudness(signal[: 16_000 * 10], 16_000).integrated(), abs=0.1)


@pytest.mark.parametrize("seconds", [0.05, 0.2, 0.39])
def test_less_than_a_block_is_one_block(seconds: float) -> None:
    assert Loudness(sine(997, seconds, 8_000, 1.0), 8_000).integrated() == pytest.approx(-3.0, abs=0.3)


@pytest.mark.parametrize("samples", [0, 1, 80_000])
def test_silence_has_no_loudness(samples: int) -> None:
    assert Loudness(np.zeros(samples, np.float32), 8_000).integrated() == -math.inf
