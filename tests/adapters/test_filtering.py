"""The filters against the recurrence that defines them, sample by sample."""

import numpy as np
import pytest

from tests.adapters.recordings import Signal, noise
from trunx.adapters.studio.filtering import Section, filtered, high_pass
from trunx.adapters.studio.loudness import _weighting


def _recurred(signal: Signal, sections: list[Section]) -> list[float]:
    values = [float(value) for value in signal]
    for b0, b1, b2, a1, a2 in sections:
        x1 = x2 = y1 = y2 = 0.0
        made = []
        for x in values:
            y = b0 * x + b1 * x1 + b2 * x2 - a1 * y1 - a2 * y2
            x1, x2, y1, y2 = x, x1, y, y1
            made.append(y)
        values = made
    return values


@pytest.mark.parametrize("rate", [8_000, 48_000])
@pytest.mark.parametrize("length", [1, 1_000, 57_344, 57_345, 130_000])
def test_pieces_join_into_what_the_recurrence_gives(rate: int, length: int) -> None:
    signal = noise(length / rate, rate)[:length] + np.float32(0.2)
    sections = [*_weighting(rate), high_pass(20, 0.5**0.5, rate)]
    result = np.full(len(signal), np.nan)
    for start, piece in filtered(signal, sections):
        result[start : start + len(piece)] = piece
    # At 48 kHz the pieces begin 0.17 s early, and the lowest filter has come down to -90 dB.
    assert result == pytest.approx(_recurred(signal, sections), abs=1e-5)


def test_nothing_has_no_pieces() -> None:
    assert list(filtered(np.zeros(0, np.float32), _weighting(8_000))) == []
