"""Filters of second order over long signals: what `scipy.signal.sosfilt` does, without its second of imports.

They are applied to spectra, piece by piece; a piece begins early enough for all that came before to have died
away (to -100 dB within 0.2 s for a high pass at 20 Hz).
"""

import math
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Section: TypeAlias = Sequence[float]
"""b0, b1, b2, a1, a2; a0 is 1."""

_SIZE = 65_536
_EARLY = 8_192


def high_pass(hertz: float, quality: float, rate: int) -> Section:
    """Passes what is above `hertz`; its gain up there is one, but for a tenth of a decibel at 8 kHz."""
    tangent = math.tan(math.pi * hertz / rate)
    damping = tangent / quality
    norm = 1 + damping + tangent**2
    return 1.0, -2.0, 1.0, 2 * (tangent**2 - 1) / norm, (1 - damping + tangent**2) / norm


def filtered(
    signal: NDArray[np.float32], sections: Sequence[Section]
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The pieces of the result in their order, and where each begins."""
    delay = np.exp(-2j * np.pi * np.arange(_SIZE // 2 + 1) / _SIZE)
    response: NDArray[np.complexfloating] = np.ones(len(delay), np.complex128)
    for b0, b1, b2, a1, a2 in sections:
        response *= (b0 + delay * (b1 + delay * b2)) / (1 + delay * (a1 + delay * a2))
    response = response.astype(np.complex64)  # half the work, and its errors are at -140 dB
    piece = np.zeros(_SIZE, np.float32)
    for start in range(0, len(signal), _SIZE - _EARLY):
        source = signal[max(0, start - _EARLY) : start + _SIZE - _EARLY]
        first = max(0, _EARLY - start)
        piece[:first] = 0
        piece[first : first + len(source)] = source
        piece[first + len(source) :] = 0
        result = np.fft.irfft(np.fft.rfft(piece) * response, _SIZE)
        yield start, result[_EARLY : first + len(source)].astype(np.float32, copy=False)
