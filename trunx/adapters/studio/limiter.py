"""Keeps the peaks of a sound under a ceiling, also those between the samples (true peaks, BS.1770-4 annex 2).

It looks ahead: the gain is already down when the peak comes, and back two hundredths of a second later, which
is too short to be heard as pumping. Where no peak is near, not a bit is changed.
"""

import numpy as np
import soxr
from numpy.typing import NDArray

Signal = NDArray[np.float32]

_TIMES = 4  # the rate at which peaks are looked for
_CHUNK = 32_768  # samples: what is worked on stays in the processor's cache
_HALF_SECONDS = 0.008
"""The gain is held down this long before and after a peak, and takes as long to come and to go."""


def true_peaks(signal: Signal) -> Signal:
    """For each sample the highest magnitude from one neighbour to the other."""
    peaks = np.abs(signal)
    stream = soxr.ResampleStream(1, _TIMES, 1, dtype="float32", quality="HQ")
    rest: Signal = np.zeros(0, np.float32)
    found = []
    for start in range(0, len(signal), _CHUNK):
        last = start + _CHUNK >= len(signal)
        finer = np.abs(np.concatenate([rest, stream.resample_chunk(signal[start : start + _CHUNK], last)]))
        whole = len(finer) // _TIMES * _TIMES
        found.append(np.maximum.reduce([finer[phase:whole:_TIMES] for phase in range(_TIMES)]))
        rest = finer[whole:]
    between = np.concatenate(found)[: len(signal)] if found else rest
    # What lies between two samples counts for both.
    np.maximum(peaks[: len(between)], between, out=peaks[: len(between)])
    after = peaks[1 : len(between) + 1]
    np.maximum(after, between[: len(after)], out=after)
    return peaks


def limited(signal: Signal, peaks: Signal, rate: int, ceiling: float) -> Signal:
    """A copy of `signal`, with its true `peaks` brought under `ceiling` (a magnitude)."""
    result = signal.copy()
    half = int(_HALF_SECONDS * rate) // 2 * 2
    reach = 2 * half
    for start in range(0, len(signal), _CHUNK):
        first, last = max(0, start - reach), start + _CHUNK + reach
        near = peaks[first:last]
        if near.max() <= ceiling:
            continue
        needed: Signal = np.pad(np.float32(ceiling) / np.maximum(near, ceiling), reach, mode="edge")
        held = _lowest(needed, reach + 1)
        # A mean over what it was held for: never above what is needed.
        gain = np.convolve(held, _triangle(half), mode="valid")
        here = result[start : start + _CHUNK]
        here *= gain[start - first :][: len(here)]
    return result


def _lowest(values: Signal, window: int) -> Signal:
    """The least of each `window` values in a row, by windows that double."""
    size = 1
    while 2 * size <= window:
        values = np.minimum(values[:-size], values[size:])
        size *= 2
    rest = window - size
    return np.minimum(values[:-rest], values[rest:]) if rest else values


def _triangle(half: int) -> Signal:
    taps = np.concatenate([np.arange(1, half + 2), np.arange(half, 0, -1)])
    mean: Signal = (taps / taps.sum()).astype(np.float32)
    return mean
