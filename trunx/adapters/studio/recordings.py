"""The studio's part for recordings: one worker process of its own, so that a talk of four hours, which takes
minutes, holds up nobody who waits for speech.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from trunx.adapters.studio.jobs import Finish, Finished
from trunx.adapters.studio.pool import RefusedError, WorkerLostError, Workers
from trunx.domain.audio import UnusableSoundError
from trunx.domain.errors import UnavailableError
from trunx.domain.recording import Kept, Recording

DEADLINE = 600.0  # seconds; four hours of two channels take five minutes of a slow machine


class Finishing:
    """Fulfils the port of the same name."""

    def __init__(self) -> None:
        self._workers = Workers(1)

    async def __aenter__(self) -> Self:
        await self._workers.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._workers.__aexit__(*exc)

    async def finish(
        self, recording: Recording, sources: Sequence[Path], target: Path, *, torn: bool
    ) -> Kept:
        job = Finish(
            sources=tuple(sources),
            target=target,
            format=recording.format,
            trim_silence=recording.trim_silence,
            most_seconds=recording.max_seconds,
            torn=torn,
        )
        try:
            finished = Finished.model_validate(await self._workers.run(job, DEADLINE))
        except RefusedError as error:
            raise UnusableSoundError(error.code, str(error)) from None
        except WorkerLostError as error:
            raise UnavailableError(f"a recording could not be worked on: {error}") from None
        return Kept(finished.ms, finished.bytes)
