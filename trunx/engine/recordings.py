"""Recordings as those see them who start, stop, list, open and delete them.

Whoever starts one writes its row first (`begin`) and then gives Asterisk the order; whoever stops one gives
the order first and then says so (`stopped`). What comes after is the keeper's (`recording_keeper.py`).
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from trunx.domain import signed_link
from trunx.domain.call import Call
from trunx.domain.errors import ExistsError
from trunx.domain.recording import Recording, RecordingFilter, RecordingState, whole
from trunx.domain.records import Page, Rows
from trunx.engine.recording_ports import RecordingRows, Secrets

_SECRET = "recordings"  # noqa: S105 - its name

log = structlog.get_logger(__name__)


class Recordings:
    """Use-cases of recordings. `folder` has the files that are kept, for as long as `life`; `public_url` is
    where users reach the API.
    """

    def __init__(
        self, rows: RecordingRows, secrets: Secrets, *, folder: Path, life: timedelta, public_url: str
    ) -> None:
        self._rows = rows
        self._secrets = secrets
        self._folder = folder
        self._life = life
        self._public_url = public_url
        self._key: bytes | None = None
        self.woken = asyncio.Event()
        """Set when there is something to do for the keeper."""

    # --- for those who start and stop them

    async def begin(self, recording: Recording) -> None:
        """Keeps a new recording (`domain.recording.begun`); then Asterisk may be ordered to record.

        Raises:
            ExistsError: the call is being recorded already.
        """
        await self._rows.add(recording)
        log.info("a recording begins", call=recording.call, recording=recording.id)

    async def adopt(self, call: Call, max_seconds: int) -> None:
        """Keeps the recording that the dialplan has begun of a call which we placed with `record`, and which
        may last so long. Nothing happens when it is kept already.
        """
        with suppress(ExistsError):
            await self.begin(whole(call, max_seconds))

    async def never_began(self, recording: Recording, problem: str) -> None:
        """Asterisk did not take the order to record; `problem` is a sentence for the account."""
        await self._rows.fail(recording.id, problem, datetime.now(UTC), self._life)

    async def paused(self, recording: Recording, *, paused: bool) -> bool:
        """Asterisk writes silence now, or the call again. False: it has stopped."""
        return await self._rows.pause(recording.id, paused=paused)

    async def stopped(self, recording: Recording) -> Recording | None:
        """Asterisk records no more; as it is then. None: somebody else has said so before.

        Its file is on its way from now on, and `recording.ready` or `recording.failed` follows.
        """
        stopped = await self._rows.stop(recording.id, datetime.now(UTC), self._life)
        if stopped is not None:
            log.info("a recording has ended", call=stopped.call, recording=stopped.id)
            self.woken.set()
        return stopped

    async def live(self, account: str, call: str) -> Recording | None:
        """The recording that is being made of a call."""
        of_call = await self.of_call(account, call)
        return next((one for one in of_call if one.state is RecordingState.RECORDING), None)

    # --- for those who listen

    async def get(self, account: str, recording_id: str) -> Recording:
        """Raises `NotFoundError`."""
        return await self._rows.get(recording_id, account)

    async def of_calls(self, account: str, calls: Collection[str]) -> Mapping[str, Sequence[Recording]]:
        """Each call's recordings, in the order in which they began; none for a call without any."""
        return await self._rows.of_calls(account, calls)

    async def of_call(self, account: str, call: str) -> Sequence[Recording]:
        """The same of one call."""
        return (await self.of_calls(account, [call])).get(call, ())

    async def page(self, account: str, which: RecordingFilter, page: Page) -> Rows[Recording]:
        """Raises `InvalidCursorError`."""
        return await self._rows.page(account, which, page)

    async def delete(self, account: str, recording_id: str) -> None:
        """Deletes it, here and on Asterisk's host. Raises `NotFoundError`, `StillRecordedError`."""
        await self._rows.delete(account, recording_id)
        self.woken.set()

    def path(self, recording: Recording) -> Path:
        """Where its file is, if it was kept by this process."""
        return self._folder / recording.name

    async def link(self, recording: Recording) -> str:
        """A URL that opens the file without a key, for 24 hours."""
        expires = int((datetime.now(UTC) + signed_link.LIFE).timestamp())
        signature = signed_link.signature(await self._secret(), recording.id, expires)
        where = f"{self._public_url}/api/recordings/{recording.id}/file"
        return f"{where}?expires={expires}&signature={signature}"

    async def linked(self, recording_id: str, expires: int, signature: str) -> Recording:
        """What a link opens. Raises `LinkError`, `NotFoundError`."""
        signed_link.check(await self._secret(), recording_id, expires, signature, datetime.now(UTC))
        return await self._rows.get(recording_id)

    async def _secret(self) -> bytes:
        if self._key is None:
            self._key = await self._secrets.secret(_SECRET)
        return self._key
