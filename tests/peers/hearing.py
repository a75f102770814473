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
_PIECE = round(0.2 * RATE)


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


def find(
    prompt: Audio, heard: Audio, at_least: float = 0.6, head: float | None = None, slip: float = 0.0
) -> list[Found]:
    """Every place at which the prompt was heard, in order of time.

    Args:
        prompt: what to look for; silence at either end of it does not matter.
        heard: where to look.
        at_least: the score from which on a place counts.
        head: match only so many seconds from the prompt's first sound: finds prompts that a key cut off later
            than that.
        slip: match it in pieces of 0.2 s, each of which may come so many seconds too soon or too late. A gap
            of one frame in the middle, which an ear hardly notices, leaves two halves of which either alone
            fits: a whole prompt is then half as alike (0.5), its pieces still are (0.85 and more; another
            sentence's, 0.65 at most, unless it says the same word).
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
    scores = _in_pieces(wanted, heard.astype(np.float64), round(slip * RATE))
    places: list[Found] = []
    while True:
        best = int(np.argmax(scores))
        score = float(scores[best])
        if score <= 0 or score < at_least:
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


def _in_pieces(
    wanted: npt.NDArray[np.float64], heard: npt.NDArray[np.float64], slip: int
) -> npt.NDArray[np.float64]:
    """The scores of `wanted` as one piece or, if its pieces may slip by so many samples, the mean of theirs;
    the first piece says where it begins.
    """
    if not slip or len(wanted) < 2 * _PIECE:
        return _scores(wanted, heard)
    places = len(heard) - len(wanted) + 1
    begins = range(0, len(wanted) - _PIECE + 1, _PIECE)
    total = _scores(wanted[:_PIECE], heard)[:places]
    for begin in begins[1:]:
        around = _highest(np.pad(_scores(wanted[begin : begin + _PIECE], heard), slip), 2 * slip + 1)
        total += around[begin : begin + places]
    return total / len(begins)


def _highest(scores: npt.NDArray[np.float64], width: int) -> npt.NDArray[np.float64]:
    """For each place the highest of it and those after it, `width` in all."""
    covered = 1
    while covered < width:
        step = min(covered, width - covered)
        scores = np.maximum(scores[:-step], scores[step:])
        covered += step
    return scores


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
