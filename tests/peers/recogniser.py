"""Says which words are in what a caller heard: pocketsphinx with the English model in its package, offline.

The model was made of speech at 16 kHz, and misses `s`, `f` and `th` in a call at 8 kHz: measured on our
welcome, it finds all words of the recording at 16 kHz, and 0.70 to 0.83 of them at 8 kHz; of another prompt's
words 0.4 at most. So more than half of the words (`MOST`) tells one sentence from another, if it is long: a
prompt of two seconds is too short to be known by its words.
"""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import soxr
from pocketsphinx import Decoder

from tests.peers.hearing import RATE, Audio

MOST = 0.5
"""Share of a sentence's words from which on a call at 8 kHz is taken to have said it."""

_MODEL_RATE = 16_000
_HISS = 0.0015
"""The model must not see digital silence where a call has nothing, above 4 kHz; tried: 0.0002 to 0.003."""
_LANGUAGE_WEIGHT = 5.0  # the default of 6.5 trusts the guesses of its language model more than what it hears
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def recalled(text: str, heard: Audio, rate: int = RATE) -> float:
    """The share of the words of `text` that were recognised, in their order, from 0 to 1."""
    wanted, found = words(text), recognised(heard, rate)
    longest = [0] * (len(found) + 1)  # the longest common subsequence with the first words of `found`
    for word in wanted:
        before = longest[:]
        for place, other in enumerate(found):
            longest[place + 1] = (
                before[place] + 1 if word == other else max(longest[place], before[place + 1])
            )
    return longest[-1] / len(wanted)


def recognised(heard: Audio, rate: int = RATE) -> list[str]:
    """The words in it."""
    full = soxr.resample(heard, rate, _MODEL_RATE, quality="VHQ")
    if rate < _MODEL_RATE:
        full = full + np.random.default_rng(1).normal(0, _HISS, len(full))
    decoder = _decoder()
    decoder.start_utt()
    decoder.process_raw((np.clip(3 * full, -1, 1) * 32_767).astype("<i2").tobytes(), full_utt=True)
    decoder.end_utt()
    found = decoder.hyp()
    return words(found.hypstr) if found else []


def words(text: str) -> list[str]:
    """The words of a text, digits as words."""
    return re.findall("[a-z']+", re.sub("[0-9]", lambda digit: f" {_DIGITS[int(digit[0])]} ", text.lower()))


@cache
def _decoder() -> Decoder:
    return Decoder(samprate=_MODEL_RATE, lw=_LANGUAGE_WEIGHT, loglevel="FATAL")
