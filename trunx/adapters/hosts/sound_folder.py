"""Folders of sounds, our own and those of Asterisk that we see: what is in them, and how long each plays.

A file is written beside its place and renamed over it, so that a half-written prompt cannot be heard. Beside
each sound its words may stand in a `.txt`, for people and for the simulator.
"""

import asyncio
import os
import tempfile
import wave
from pathlib import Path
from time import monotonic
from urllib.parse import unquote, urlsplit

from trunx.domain.records import PartState

# Bytes a second of Asterisk's headerless formats (format_pcm.c, format_sln.c, format_g722.c, format_gsm.c).
_RATES = {".ulaw": 8_000, ".alaw": 8_000, ".g722": 8_000, ".sln": 16_000, ".sln16": 32_000, ".gsm": 1_650}
_BELIEVED = 60.0
"""Seconds for which a length is believed without looking again: a call should not wait for a disk."""


class SoundFolder:
    """One folder of sounds. `root` is Asterisk's `sounds` folder (astdatadir/sounds)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[str, tuple[float, float]] = {}

    @classmethod
    def at(cls, url: str) -> "SoundFolder":
        """The folder of a `file:///...` URL.

        Raises:
            ValueError: the URL is of another kind.
        """
        parts = urlsplit(url)
        if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise ValueError(f"a folder on this machine is needed, as file:///path, and not {url!r}")
        return cls(Path(unquote(parts.path)))

    def seconds(self, sound: str) -> float | None:
        """How long `sound` (`trunx/...`, no extension) plays; None when it is not there."""
        known = self._known.get(sound)
        if known is not None and known[0] > monotonic():
            return known[1]
        length = self._measured(self.root / sound)
        if length is None:
            self._known.pop(sound, None)
        else:
            self._known[sound] = (monotonic() + _BELIEVED, length)
        return length

    def words(self, sound: str) -> str | None:
        """What is said in `sound`, when that was written beside it."""
        try:
            return self._file(sound, ".txt").read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return None

    async def stage(self, sound: str, ending: str, data: bytes, words: str | None = None) -> None:
        """Puts `data` where Asterisk plays it as `sound`; nothing is written when it is there already.

        Raises:
            OSError: the folder cannot be written.
        """
        await asyncio.to_thread(self._write, self._file(sound, ending), data)
        if words is not None:
            await self.note(sound, words)
        self._known.pop(sound, None)

    async def note(self, sound: str, words: str) -> None:
        """Writes beside `sound` what is said in it.

        Raises:
            OSError: the folder cannot be written.
        """
        await asyncio.to_thread(self._write, self._file(sound, ".txt"), (words + "\n").encode())

    async def state(self) -> PartState:
        """Whether sounds can be staged."""
        writable = await asyncio.to_thread(lambda: self.root.is_dir() and os.access(self.root, os.W_OK))
        if writable:
            return PartState("sounds", "ok", str(self.root))
        return PartState(
            "sounds", "down", f"{self.root} is no folder that can be written: see TRUNX_SOUNDS_URL"
        )

    def _file(self, sound: str, ending: str) -> Path:
        return self.root / (sound + ending)

    def _measured(self, path: Path) -> float | None:
        for ending, rate in _RATES.items():
            try:
                return float((path.parent / (path.name + ending)).stat().st_size / rate)
            except OSError:
                continue
        try:
            with wave.open(str(path.parent / (path.name + ".wav"))) as file:
                return float(file.getnframes() / file.getframerate())
        except (OSError, EOFError, wave.Error):
            return None

    @staticmethod
    def _write(path: Path, data: bytes) -> None:
        try:
            if path.read_bytes() == data:
                return
        except OSError:
            pass  # it is not there yet
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(beside).chmod(0o644)  # Asterisk runs as another user
            Path(beside).rename(path)
        except BaseException:  # an interrupt too: what is half written must not stay in Asterisk's folder
            Path(beside).unlink(missing_ok=True)
            raise


class SoundFolders:
    """Several folders as one: the first that has a sound tells of it."""

    def __init__(self, *folders: SoundFolder) -> None:
        self._folders = folders

    def seconds(self, sound: str) -> float | None:
        """How long `sound` plays; None when it is in none of them."""
        return next(
            (length for folder in self._folders if (length := folder.seconds(sound)) is not None), None
        )
