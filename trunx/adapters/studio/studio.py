"""The studio: sounds made of files, by worker processes, into our own folder of sounds.

A sound is made in a folder of its own and renamed into place when all of it is there, so that a job which
fails, at whatever moment, leaves nothing behind.
"""

import asyncio
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import structlog

from trunx.adapters.studio.jobs import Encode, Master, Mastered, Speak
from trunx.adapters.studio.pool import RefusedError, WorkerLostError, Workers
from trunx.domain.audio import Sound, SoundWarning, UnusableSoundError
from trunx.domain.errors import NotFoundError, UnavailableError
from trunx.domain.sound import FOLDER

ENDINGS = (".ulaw", ".alaw", ".sln16", ".wav")
"""The files of a sound that Asterisk or a browser plays; `.mp3` comes beside them when it is asked for."""

_SCRATCH = ".studio-"
_ABANDONED = 3_600.0  # seconds: no job takes so long
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that is taken of a file, and the seconds that one job may take."""

    bytes: int = 25 * 1024 * 1024
    seconds: float = 600.0
    deadline: float = 60.0


class Studio:
    """Fulfils the port `Studio`, and lends its processes to the local voice."""

    def __init__(self, folder: Path, workers: int, limits: Limits | None = None) -> None:
        self._workers = Workers(workers)
        self._folder = folder.absolute()
        self._limits = limits or Limits()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._sweep)
        await self._workers.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._workers.__aexit__(*exc)

    async def master(self, source: Path) -> Sound:
        """See the port.

        Raises:
            UnusableSoundError: the file cannot become a sound.
            UnavailableError: the folder cannot be written, or no worker be started.
        """
        async with self._scratch() as scratch:
            job = Master(
                source=source,
                scratch=scratch,
                most_bytes=self._limits.bytes,
                most_seconds=self._limits.seconds,
            )
            try:
                done = await self._workers.run(job, self._limits.deadline)
            except RefusedError as error:
                raise UnusableSoundError(error.code, str(error)) from None
            except WorkerLostError as error:
                raise UnusableSoundError(
                    "damaged", f"The file cannot be worked on ({error}): export it again, in another format."
                ) from None
            mastered = Mastered.model_validate(done)
            name = f"{FOLDER}/audio/{mastered.hash}"
            await self._keep(scratch, name, ENDINGS)
        warnings = tuple(SoundWarning(each.code, each.message) for each in mastered.warnings)
        return Sound(name, mastered.ms, warnings)

    async def encoded(self, sound: str, kind: str) -> Path:
        """See the port. `kind`: `wav`, `mp3` or `ulaw`.

        Raises:
            NotFoundError: the sound's files are gone.
            UnavailableError: the MP3 cannot be made.
        """
        path = self._folder / f"{sound}.{kind}"
        if await asyncio.to_thread(path.is_file):
            return path
        wav = self._folder / f"{sound}.wav"
        if kind != "mp3" or not await asyncio.to_thread(wav.is_file):
            raise NotFoundError
        async with self._scratch() as scratch:
            job = Encode(source=wav, target=scratch / "sound.mp3")
            try:
                await self._workers.run(job, self._limits.deadline)
            except (RefusedError, WorkerLostError) as error:
                raise UnavailableError(f"no MP3 can be made of {sound}: {error}") from None
            await self._keep(scratch, sound, (".mp3",))
        return path

    async def speak_local(self, words: str, voice: str, target: Path) -> None:
        """Says `words` with a voice of hibari-tts into `target`, a WAV.

        Raises:
            UnusableSoundError: code `unspeakable`, there is nothing that the voice could say.
            UnavailableError: the voice failed, or took too long.
        """
        try:
            await self._workers.run(Speak(words=words, voice=voice, target=target), self._limits.deadline)
        except RefusedError as error:
            raise UnusableSoundError(error.code, str(error)) from None
        except WorkerLostError as error:
            raise UnavailableError(f"the local voice failed: {error}") from None

    @asynccontextmanager
    async def _scratch(self) -> AsyncIterator[Path]:
        """A name for a folder of one job, which makes it; it is gone after the block."""
        folder = self._folder / (_SCRATCH + secrets.token_hex(8))
        try:
            yield folder
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _keep(self, scratch: Path, sound: str, endings: tuple[str, ...]) -> None:
        try:
            await asyncio.to_thread(_rename, scratch, self._folder / sound, endings)
        except OSError as error:
            raise UnavailableError(f"the folder of sounds cannot be written: {error}") from None

    def _sweep(self) -> None:
        """Removes what a process that was killed left; another one's running job is younger."""
        for folder in self._folder.glob(_SCRATCH + "*"):
            if folder.stat().st_mtime < time.time() - _ABANDONED:
                _log.info("an abandoned job's files are removed", folder=str(folder))
                shutil.rmtree(folder, ignore_errors=True)


def _rename(scratch: Path, sound: Path, endings: tuple[str, ...]) -> None:
    sound.parent.mkdir(parents=True, exist_ok=True)
    for ending in endings:
        made = scratch / f"sound{ending}"
        made.chmod(0o644)  # Asterisk runs as another user
        _to_disk(made)
        made.rename(sound.with_name(sound.name + ending))
    _to_disk(sound.parent)


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
