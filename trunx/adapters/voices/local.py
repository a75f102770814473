"""The voice that needs no key and no network: hibari-tts, which is installed with us and speaks English.

Its front end passes over what it does not know without a word: the `*` of "press *", an emoji, a whole
Chinese sentence. So what it can say is written down here, as measured with hibari-tts 0.2.1, and the rest is
refused by name. The model runs in the studio's worker; this process never imports it.
"""

import json
import os
import re
import textwrap
import unicodedata
from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from trunx.domain.audio import Speech, SpeechError, UnusableSoundError, VoiceInfo
from trunx.domain.records import PartState
from trunx.domain.speech import SPOKEN_CHARACTERS, check_text, prepared, speech_key

PROVIDER = "local"

_PACKAGE = "hibari"
_MODEL = f"hibari-tts {version('hibari-tts')}"
_FORMAT = "wav"
_MOST_CHARACTERS = 5_000
"""As read: a text of digits grows when they are written out, and no prompt may last ten minutes."""

_LETTERS = set(
    "ÀÁÂÃÄÅÆÇÉÊÌÍÎÏÑÒÓÔÕÖØÚÜÞßàáâãäåæçèéêëìíîïðñòóôõöøùúûüýþÿ"
    "ĀāĂăąĆćČčĎďĐđĒēĖėęěĞğģīıķļŁłńņňŌōŏőŒœŘřŚśŞşŠšţťūŭŮůŰųŵźŻżŽž"
)
_SAID = set("#%&+/<=>@^~§©°±¶¼½¾\u00d7÷№²³µ→¢")
_PAUSES = set("!?.,;:-\u2013\u2014\u2015…'\"()[]{}«»¡¿|•·®™ \n")
"""A listener does not expect to hear them."""
_CURRENCY = re.compile(r"[$£€¥₹](?! ?[0-9])")
"""It says a currency only in front of an amount."""
_LONG_WORD = re.compile(r"[^\W\d_]{25,}")
"""A word that is not in its lexicon is read from its first 24 letters; the others are dropped."""
_LONGEST_BREATH = 300
"""Characters. Without a stop a sentence is one input, and memory grows with its square: 2,500 took 1 GB."""
_STOP = re.compile(r"(?<=[.!?…,;:—]) ")
_MARKS = range(0x300, 0x370)


class LocalVoice:
    """Fulfils `Voices` and `Part`. `speak(words, voice, target)` writes a sound file in another process; it
    raises `UnusableSoundError` when there was nothing that could be said.
    """

    def __init__(self, speak: Callable[[str, str, Path], Awaitable[None]]) -> None:
        self._speak = speak
        self._voices = _installed()

    async def plan(self, text: str, voice: str | None) -> Speech:
        """As `Voices`. For a voice that is not here (an id of ElevenLabs, say) the default one speaks."""
        check_text(text, SPOKEN_CHARACTERS)
        words = "".join(map(_plain, prepared(text, "en")))
        if missing := _unspeakable(words):
            named = ", ".join(missing)
            raise _refused("text-unspeakable", f"the local voice cannot say {named}: put it in English words")
        if len(words) > _MOST_CHARACTERS:
            raise _refused(
                "text-too-long", f"the text has {len(words)} characters as read, of {_MOST_CHARACTERS}"
            )
        words = _with_breath(words)
        default = next(info.id for info in self._voices if info.is_default)
        wanted = (voice or default).casefold()
        speaker = next((info.id for info in self._voices if info.id.casefold() == wanted), default)
        key = speech_key(
            provider=PROVIDER, model=_MODEL, voice=speaker, words=words, settings={}, form=_FORMAT
        )
        return Speech(PROVIDER, speaker, words, key, {"model": _MODEL, "format": _FORMAT})

    async def speak(self, speech: Speech, target: Path) -> Speech:
        """As `Voices`."""
        try:
            await self._speak(speech.words, speech.voice, target)
        except UnusableSoundError as error:
            raise _refused("text-unspeakable", str(error)) from None
        return speech

    async def voices(self) -> Sequence[VoiceInfo]:
        """Those that are on this machine."""
        return self._voices

    async def state(self) -> PartState:
        """It is always there."""
        names = ", ".join(info.name for info in self._voices)
        return PartState("speech", "ok", f"{_MODEL}, voice {names}: English, on this machine")


def _installed() -> tuple[VoiceInfo, ...]:
    """The voices of the package, and those that were put into `HIBARI_HOME`: none is ever downloaded.

    The list is read from the package's folder, because importing the package loads numpy and more.
    """
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"the package {_PACKAGE} has no folder")
    listed = json.loads((Path(spec.origin).parent / "assets" / "voices.json").read_text("utf-8"))
    added = os.environ.get("HIBARI_HOME")
    return tuple(
        VoiceInfo(name, name, PROVIDER, voice["language"], is_default=bool(voice.get("bundled")))
        for name, voice in listed.items()
        if voice.get("bundled") or (added and (Path(added) / voice["file"]).is_file())
    )


def _plain(character: str) -> str:
    """The letter without an accent that the voice does not know."""
    if ord(character) in _MARKS:
        return ""
    if character in _LETTERS or not character.isalpha():
        return character
    base = unicodedata.normalize("NFD", character)[0]
    return base if base.isascii() else character


def _unspeakable(words: str) -> list[str]:
    """What the voice would pass over, as a reader can find it; at most a few."""
    can = _LETTERS | _SAID | _PAUSES | set("$£€¥₹")
    unknown = dict.fromkeys(
        character
        for character in words
        if character not in can and not (character.isascii() and character.isalnum())
    )
    shown = [_named(character) for character in unknown]
    shown += [f"{sign[0]} without an amount behind it" for sign in _CURRENCY.finditer(words)]
    shown += [f"the word {word[0][:40]}... of {len(word[0])} letters" for word in _LONG_WORD.finditer(words)]
    return shown[:5] + (["..."] if len(shown) > 5 else [])


def _named(character: str) -> str:
    name = unicodedata.name(character, "")
    visible = f"{character} " if character.isprintable() else ""
    return f"{visible}(U+{ord(character):04X}{', ' + name if name else ''})"


def _with_breath(words: str) -> str:
    """Breaks a stretch without any stop into lines: each line is a sentence to the voice."""
    return "\n".join(
        " ".join(
            stretch if len(stretch) <= _LONGEST_BREATH else "\n".join(textwrap.wrap(stretch, _LONGEST_BREATH))
            for stretch in _STOP.split(line)
        )
        for line in words.split("\n")
    )


def _refused(code: str, message: str) -> SpeechError:
    return SpeechError(code, message, is_request=True, field="text")
