"""Real files of sound, and what a caller hears of the sounds made of them."""

from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr
from hibari import Hibari
from numpy.typing import NDArray

Signal = NDArray[np.float32]

WORDS = (
    "Thank you for calling. Please listen, as our menu has changed. For sales, press one. "
    "For support, press two. Fifty-six thin thieves thought that they thrilled the throne. "
    "Our office is open from nine to five. "
)


@cache
def speech(seconds: float, rate: int) -> Signal:
    """A real voice (24 kHz) at 0.4 of full scale; callers must not write to it."""
    words = _voice()(WORDS, seed=0)
    enough = np.tile(words, 1 + int(seconds * 24_000) // len(words))[: int(seconds * 24_000)]
    spoken: Signal = soxr.resample(enough, 24_000, rate, quality="VHQ").astype(np.float32)
    spoken *= np.float32(0.4) / np.abs(spoken).max()
    spoken.flags.writeable = False
    return spoken


@cache
def _voice() -> Hibari:
    return Hibari()


def sine(hertz: float, seconds: float, rate: int, amplitude: float = 0.5) -> Signal:
    time = np.arange(int(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def noise(seconds: float, rate: int, amplitude: float = 0.1) -> Signal:
    random = np.random.default_rng(1).standard_normal(int(seconds * rate), np.float32)
    return random * np.float32(amplitude)


def written(path: Path, samples: NDArray[np.floating], rate: int, **how: str) -> Path:
    sf.write(path, samples, rate, **how)
    return path


def heard(ulaw: Path) -> Signal:
    """A `.ulaw` file as libsndfile, which is not ours, decodes it."""
    samples, _ = sf.read(ulaw, dtype="float32", samplerate=8_000, channels=1, format="RAW", subtype="ULAW")
    return np.asarray(samples, np.float32)


def decibels(magnitude: float) -> float:
    return float(20 * np.log10(magnitude))


def third_octaves(signal: Signal, rate: int, low: float = 200, high: float = 3_100) -> NDArray[np.float64]:
    """Power in each third of an octave between two frequencies, in dB, where their mean is 0."""
    size = rate // 10
    frames = np.lib.stride_tricks.sliding_window_view(signal, size)[:: size // 4] * np.hanning(size)
    power = np.square(np.abs(np.fft.rfft(frames))).mean(axis=0)
    hertz = np.arange(len(power)) * rate / size
    edges = low * 2 ** (np.arange(int(3 * np.log2(high / low)) + 1) / 3)
    bands = [power[(hertz >= a) & (hertz < b)].sum() for a, b in pairwise(edges)]
    levels = 10 * np.log10(np.array(bands))
    return np.asarray(levels - levels.mean())
