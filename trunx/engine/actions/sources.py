"""Where sounds come from that are played in live calls: a file of the internet, or a text."""

from collections import OrderedDict
from pathlib import Path
from typing import Protocol

from trunx.domain.audio import Sound, Speech, SpeechError, UnusableSoundError
from trunx.domain.download import DownloadError, Seen
from trunx.engine.actions.frame import ActionFailedError
from trunx.engine.incoming import passing
from trunx.engine.library import Library

_MOST_KNOWN = 512  # files of which we know what they became
_LOCAL = "local"  # the provider whose voices speak English only
_NOTHING = Seen()


class Downloads(Protocol):
    """The internet."""

    async def fetch(self, url: str, target: Path, known: Seen = ...) -> Seen | None:
        """See `adapters.internet.download`. Raises `DownloadError`."""


class Files:
    """Sounds made of files that users name by URLs; a file is made a sound once, as long as its server says
    that it is the same.
    """

    def __init__(self, downloads: Downloads, library: Library) -> None:
        self._downloads = downloads
        self._library = library
        self._known: OrderedDict[str, tuple[Seen, Sound]] = OrderedDict()

    async def sound(self, url: str) -> Sound:
        """On every Asterisk. Raises `ActionFailedError`, with the code of what is wrong with the file."""
        seen, known = self._known.get(url, (_NOTHING, None))
        if known is not None and not await self._library.still_has(known):
            seen, known = _NOTHING, None
        with passing(self._library.incoming.path()) as file:
            try:
                now = await self._downloads.fetch(url, file, seen)
                if now is None and known is not None:
                    return known
                sound = await self._library.sound_of(file)
            except DownloadError as error:
                raise ActionFailedError(error.problem.value, {"detail": error.sentence}) from None
            except UnusableSoundError as error:
                raise ActionFailedError(error.code, {"detail": str(error)}) from None
        if now is not None and now != _NOTHING:
            self._known[url] = now, sound
            self._known.move_to_end(url)
            if len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)
        return sound


class Speeches:
    """Sounds made of texts, by the voice that comes closest to what was asked for."""

    def __init__(self, library: Library) -> None:
        self._library = library

    async def sound(self, text: str, voice: str, language: str) -> tuple[Sound, Speech]:
        """On every Asterisk, and who says it: a voice that is not here is replaced by the configured one.

        Raises `ActionFailedError`, with the code of what is wrong with the text, or with the voices.
        """
        try:
            try:
                sound, speech = await self._library.speech(text, voice)
            except SpeechError as error:
                if error.code != "voice-not-found":
                    raise
                sound, speech = await self._library.speech(text, None)
        except SpeechError as error:
            raise ActionFailedError(error.code, {"detail": str(error)}) from None
        if speech.provider == _LOCAL and not language.casefold().startswith("en"):
            raise ActionFailedError("language-unavailable", {"detail": f"no voice here speaks {language}"})
        return sound, speech
