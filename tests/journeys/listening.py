"""What a caller was told, as a list of prompts; and spoken audio for trees, made of Asterisk's own sounds."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from sounds import DEMO, ENGINE
from tests.peers.asterisk import Asterisk
from tests.peers.hearing import QUIET, RATE, Audio, find, load_gsm, load_ulaw
from trunx.domain.sound import sound_name

HEAD = 0.4
"""Seconds of a prompt by which it is first looked for; several of ours begin with the same words."""
_ALIKE = 0.85
_STEP = 0.1
_LATE = 0.2
_HEAD_OF_REST = 0.3


class Told(NamedTuple):
    """One prompt in what a caller heard: when it began, and how many seconds of it were heard."""

    at: float
    prompt: str
    seconds: float

    @property
    def end(self) -> float:
        """When it ended, or was cut off."""
        return self.at + self.seconds


def seconds(audio: Audio) -> float:
    """How long it plays."""
    return len(audio) / RATE


@cache
def shipped() -> Mapping[str, Audio]:
    """The engine's own prompts and those of the demo tree, by their names."""
    return {prompt.name: load_ulaw(prompt.path) for shelf in (ENGINE, DEMO) for prompt in shelf.values()}


def told(heard: Audio, *more: Mapping[str, Audio]) -> list[Told]:
    """Every prompt that was heard, whole or cut off, in order of time.

    Args:
        heard: what the caller heard.
        more: audio of trees, beside what we ship, by name.
    """
    prompts: dict[str, Audio] = dict(shipped())
    for some in more:
        prompts.update(some)
    places = sorted(
        _follow(name, prompt, heard, place.at)
        for name, prompt in prompts.items()
        for place in find(prompt, heard, 0.9, HEAD)
    )
    # Prompts that begin alike are found at one place: the one that goes on alike is it. And one may hold
    # another (a menu says "1" twice): what lies within a prompt is a part of it.
    single: list[Told] = []
    for place in places:
        if single and place.at - single[-1].at < HEAD / 2:
            single[-1] = max(single[-1], place, key=lambda one: one.seconds)
        elif not single or place.at > single[-1].end - HEAD / 2:
            single.append(place)
    return single


def names(prompts: list[Told]) -> list[str]:
    """Only which, in order."""
    return [one.prompt for one in prompts]


def is_exactly(prompt: Audio, heard: Audio, at: float) -> bool:
    """Whether the samples of some second of the prompt, which began at `at`, are those that were heard.

    They are when the file's own bytes were sent, and they are in no other recording, however alike. Not all
    need be: on a busy machine a packet may come late.
    """
    begin = round(at * RATE)
    return any(
        np.array_equal(prompt[along : along + RATE], heard[begin + along : begin + along + RATE])
        for along in range(max(0, -begin), len(prompt) - RATE, RATE)
    )


def _follow(name: str, prompt: Audio, heard: Audio, at: float) -> Told:
    """How far the prompt that began there was heard.

    On a busy machine a packet comes late now and then, and what follows is heard that much later.
    """
    begin, step = round(at * RATE), round(_STEP * RATE)
    along = max(0, -begin)  # its silent beginning may lie before the answer
    while along < len(prompt):
        here, there = prompt[along : along + step], heard[begin + along : begin + along + step]
        common = min(len(here), len(there))
        if not common:
            break
        if not _alike(here[:common], there[:common]):
            late = _lateness(prompt[along + step :], heard[begin + along + step :])
            if late is None:
                break
            begin += late
        along += common
    return Told(at, name, along / RATE)


def _lateness(rest: Audio, heard: Audio) -> int | None:
    """By how many samples the rest of a prompt is heard late; None when it is not heard."""
    sounding = np.flatnonzero(np.abs(rest) > QUIET)
    if not sounding.size:
        return None
    window = heard[: int(sounding[0]) + round((_HEAD_OF_REST + _LATE) * RATE)]
    found = find(rest, window, _ALIKE, _HEAD_OF_REST)
    return max(0, round(found[0].at * RATE)) if found else None


def _alike(here: Audio, there: Audio) -> bool:
    own, other = float(np.dot(here, here)), float(np.dot(there, there))
    quiet = len(here) * QUIET**2
    if own < quiet:
        return other < 4 * quiet  # a pause within the prompt
    return float(np.dot(here, there)) > _ALIKE * float(np.sqrt(own * other))


class Shelf:
    """Audio of one account on the pbx, made of its core sounds: `say("menu", "digits/4", "digits/2")`.

    Attributes:
        audio: what was made, by name.
    """

    def __init__(self, pbx: Asterisk, account: str) -> None:
        self._core = pbx.sounds / "en"
        self._sounds = pbx.sounds
        self._account = account
        self.audio: dict[str, Audio] = {}

    def path(self, name: str, ending: str) -> Path:
        """The file that Asterisk plays for the audio of that name."""
        path = self._sounds / (sound_name(self._account, name) + ending)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def say(self, name: str, *core: str) -> str:
        """Puts core sounds together to one audio, and returns the name that a node gives it.

        GSM frames have 20 ms each and nothing about the file, so files are put together as they are.
        """
        path = self.path(name, ".gsm")
        path.write_bytes(b"".join((self._core / f"{one}.gsm").read_bytes() for one in core))
        self.audio[name] = load_gsm(path)
        return f"{name}.wav"

    def wav(self, *core: str) -> bytes:
        """Core sounds put together to one file, to be uploaded."""
        file = io.BytesIO()
        samples = np.concatenate([load_gsm(self._core / f"{one}.gsm") for one in core])
        soundfile.write(file, samples, RATE, format="WAV")
        return file.getvalue()

    def digits(self, name: str, number: str) -> str:
        """An audio that says the digits."""
        return self.say(name, *(f"digits/{digit}" for digit in number))
