"""What is needed of the outside for recordings; the rules of `ports.py` hold here too."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from trunx.domain.call import Call
from trunx.domain.channel import LiveChannel
from trunx.domain.recording import Kept, Recording, RecordingFilter, RecordingState
from trunx.domain.records import Page, Rows


class RecordingRows(Protocol):
    """Recordings as they are kept. A change that comes too late (see `BEFORE`) changes nothing, and says so;
    what became of a recording is told in the account's log by the same transaction. Who is deleted exists
    for `claim` and `states` alone.
    """

    async def add(self, recording: Recording) -> None:
        """Raises `ExistsError`: its call is being recorded already."""

    async def get(self, recording_id: str, account: str | None = None) -> Recording:
        """Raises `NotFoundError`; also when it belongs to another account than the one named."""

    async def page(self, account: str, which: RecordingFilter, page: Page) -> Rows[Recording]:
        """By when they began, the newest first. Raises `InvalidCursorError`."""

    async def of_calls(self, account: str, calls: Collection[str]) -> Mapping[str, Sequence[Recording]]:
        """Each call's, in the order in which they began; none for a call without any."""

    async def live(self) -> Sequence[tuple[Recording, datetime | None]]:
        """All that Asterisk writes, as far as we know; and when their calls ended, if they have."""

    async def pause(self, recording_id: str, *, paused: bool) -> bool:
        """Silence is recorded now, or the call again. False: it had stopped."""

    async def stop(self, recording_id: str, at: datetime, kept: timedelta) -> Recording | None:
        """It has stopped, and is to be fetched now; None: it had stopped before."""

    async def ready(self, recording: Recording, kept: Kept) -> bool:
        """It can be listened to. False: it was deleted meanwhile."""

    async def fail(self, recording_id: str, problem: str, at: datetime, kept: timedelta) -> bool:
        """There is nothing to listen to, and never will be."""

    async def delete(self, account: str, recording_id: str) -> Recording:
        """Nobody sees it any more. Raises `NotFoundError`, `StillRecordedError`."""

    async def expire(self) -> int:
        """Deletes all whose time has come; how many."""

    async def claim(self, server: str, limit: int, until: datetime) -> Sequence[Recording]:
        """What is to be fetched, or deleted here, now: nobody else gets it before `until`."""

    async def release(self, server: str) -> None:
        """What an earlier run of this process was working on may be claimed at once."""

    async def later(self, recording_id: str, at: datetime, problem: str | None) -> None:
        """Nothing came of it this time: it may be claimed at `at`."""

    async def forget(self, recording_id: str) -> None:
        """A deleted one has left no file anywhere."""

    async def states(self, ids: Collection[str]) -> Mapping[str, RecordingState]:
        """How those of them are that exist."""

    async def placed(self, ids: Collection[str]) -> Sequence[Call]:
        """Those calls among them that we placed and that have ended."""


class Secrets(Protocol):
    """The server's own secrets, the same in all processes; made when they are first asked for."""

    async def secret(self, name: str) -> bytes:
        """32 random bytes."""


class Monitored(Protocol):
    """Asterisk's monitor folder. Names are those of `Recording.files`."""

    place: str
    """Its URL, without user and password."""

    async def names(self) -> Collection[str]:
        """The files in the folder of recordings, by their last name; none when there is no such folder."""

    async def fetch(self, file: str, target: Path) -> None:
        """Brings a file that does not grow any more to `target`, whole at once; goes on with what an earlier
        try has left beside it.

        Raises:
            NotFoundError: there is no such file.
            OSError: ours cannot be written.
        """

    async def remove(self, file: str) -> None:
        """Deletes a file, if it is there."""


class Finishing(Protocol):
    """Makes what is kept of what Asterisk has written."""

    async def finish(
        self, recording: Recording, sources: Sequence[Path], target: Path, *, torn: bool
    ) -> Kept:
        """Writes the sound of `sources` (one for each channel) to `target`. `torn`: also when Asterisk has
        not closed its files, which it never does when it dies.

        Raises:
            UnusableSoundError: it cannot be done; code `torn` when only that is why.
        """


class Monitor(Protocol):
    """Asterisk, which records."""

    async def stop(self, recording: Recording) -> None:
        """Orders it to stop; returns when it has, or does so no more. Raises `UnavailableError`."""

    async def ended(self, recording: Recording, *, is_full: bool) -> None:
        """Is told of one that has ended by itself: with its channel, or (`is_full`) as long as it may get."""


class Channels(Protocol):
    """Asterisk, which knows its channels."""

    async def channels(self) -> Sequence[LiveChannel]:
        """Every channel that exists."""
