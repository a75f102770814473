"""Says which prompts are in what a caller heard, and when each began, to the sample.

A prompt is found by normalised cross-correlation: the score is 1 for the same sound at any loudness, near 0
for another sound or for silence. Times are seconds from the beginning of the recording, which is the moment
of the answer.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile

Audio = npt.NDArray[np.float32]
"""Samples from -1 to 1 at 8,000 a second."""

RATE = 8000
FRAME = RATE // 50
QUIET = 0.005  # -46 dBFS: above the noise of an idle codec, far below speech


class Found(NamedTuple):
    """One place of a prompt: where its first sample is, even if that one is silent, and how sure that is."""

    at: float
    score: float


class Silence(NamedTuple):
    """A stretch without sound."""

    at: float
    seconds: float


def _ulaw_values() -> Audio:
    """The 256 code words of G.711 µ-law: sign, three bits of exponent, four of mantissa, all inverted."""
    word = ~np.arange(256, dtype=np.uint8)
    exponent = (word >> 4 & 7).astype(np.int32)
    size = ((word & 15).astype(np.int32) * 2 + 33 << exponent) - 33
    return (np.where(word & 128, -size, size) / 8192).astype(np.float32)


_ULAW = _ulaw_values()


def decode_ulaw(words: bytes) -> Audio:
    """µ-law bytes as samples."""
    return _ULAW[np.frombuffer(words, np.uint8)]


def load_ulaw(path: Path) -> Audio:
    """A headerless `.ulaw` file, as Asterisk plays and writes them."""
    return decode_ulaw(path.read_bytes())


def load_gsm(path: Path) -> Audio:
    """A headerless `.gsm` file, as Asterisk's core sounds are."""
    samples, _ = soundfile.read(
        path, dtype="float32", format="RAW", subtype="GSM610", samplerate=RATE, channels=1
    )
    return np.asarray(samples, np.float32)


def find(prompt: Audio, heard: Audio, at_least: float = 0.6, head: float | None = None) -> list[Found]:
    """Every place at which the prompt was heard, in order of time.

    Args:
        prompt: what to look for; silence at either end of it does not matter.
        heard: where to look.
        at_least: the score from which on a place counts.
        head: match only so many seconds from the prompt's first sound: finds prompts that a key cut off later
            than that.
    """
    sounding = np.flatnonzero(np.abs(prompt) > QUIET)
    if not sounding.size:
        raise ValueError("the prompt is silent")
    first, past = int(sounding[0]), int(sounding[-1]) + 1
    if head is not None:
        past = min(past, first + round(head * RATE))
    wanted = prompt[first:past].astype(np.float64)
    if len(heard) < len(wanted):
        return []
    scores = _scores(wanted, heard.astype(np.float64))
    places: list[Found] = []
    while True:
        best = int(np.argmax(scores))
        score = float(scores[best])
        if score < at_least:
            return sorted(places)
        places.append(Found((best - first) / RATE, score))
        # The same prompt cannot begin again while it is heard; steady tones are alike at many shifts.
        scores[max(0, best - len(wanted) + 1) : best + len(wanted)] = 0


def first(prompt: Audio, heard: Audio, at_least: float = 0.6, head: float | None = None) -> float:
    """When the prompt first began, in seconds.

    Raises:
        AssertionError: it was not heard.
    """
    places = find(prompt, heard, at_least, head)
    assert places, f"the prompt ({len(prompt) / RATE:.2f} s) is not in the {len(heard) / RATE:.2f} s heard"
    return places[0].at


def silences(heard: Audio, at_least: float = 0.1) -> list[Silence]:
    """The stretches of whole 20 ms frames without sound, of at least so many seconds."""
    frames = heard[: len(heard) // FRAME * FRAME].reshape(-1, FRAME)
    quiet = np.abs(frames).max(axis=1, initial=0) < QUIET
    edges = np.flatnonzero(np.diff(np.concatenate(([False], quiet, [False])).astype(np.int8)))
    stretches = (Silence(begin / 50, (end - begin) / 50) for begin, end in edges.reshape(-1, 2).tolist())
    return [stretch for stretch in stretches if stretch.seconds >= at_least]


def longest_silence(heard: Audio) -> Silence:
    """The longest stretch without sound; of no seconds when there is none."""
    return max(silences(heard, 0.0), key=lambda stretch: stretch.seconds, default=Silence(0.0, 0.0))


def _scores(wanted: npt.NDArray[np.float64], heard: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """For each place at which `wanted` fits into `heard`, how alike the two are there (cosine)."""
    size = 1 << (len(heard) + len(wanted) - 2).bit_length()
    product = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(wanted, size)), size)
    places = len(heard) - len(wanted) + 1
    energy = np.concatenate(([0.0], np.cumsum(heard * heard)))
    there = energy[len(wanted) :] - energy[:places]
    own = float(np.sum(wanted * wanted))
    # Where there is next to nothing (30 dB below the prompt) rounding noise would pass for likeness.
    return np.where(there > own * 1e-3, product[:places] / np.sqrt(np.maximum(there, 1e-12) * own), 0.0)
