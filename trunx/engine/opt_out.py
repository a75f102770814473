"""Opt-outs: what a caller asked for by a key is kept, whatever happens to the call, the database or us."""

import asyncio
from datetime import UTC, datetime

import structlog

from trunx.domain.records import Suppression
from trunx.engine.metrics import OPT_OUTS_JOURNALED
from trunx.engine.ports import Journal, Suppressions

log = structlog.get_logger(__name__)

_PATIENCE = 2.0
"""Seconds that a caller may wait in silence for the database; then the journal takes the entry."""


class OptOuts:
    """Puts callers on the do-not-call list. `drain` before the process ends."""

    def __init__(self, suppressions: Suppressions, journal: Journal) -> None:
        self._suppressions = suppressions
        self._journal = journal
        self._writing: set[asyncio.Task[None]] = set()

    async def add(self, account: str, number: str, call: str) -> None:
        """Returns when the entry is on disk. A caller who hangs up meanwhile does not undo it."""
        entry = Suppression(account, number, "ivr", None, call, datetime.now(UTC))
        writing = asyncio.get_running_loop().create_task(self._write(entry))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)
        await asyncio.shield(writing)

    async def drain(self) -> None:
        """Waits until everything that was begun is on disk."""
        if self._writing:
            await asyncio.wait(self._writing)

    async def _write(self, entry: Suppression) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._suppressions.add([entry])
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller has asked: it must not be lost
            OPT_OUTS_JOURNALED.inc()
            log.warning(
                "the database does not take an opt-out; it goes to the journal and is replayed",
                account=entry.account,
                call=entry.call,
                error=str(error) or type(error).__name__,
            )
            try:
                await self._journal.write(entry)
            except OSError as error:
                log.critical(
                    "AN OPT-OUT COULD NOT BE KEPT: add this number to the suppression list by hand",
                    account=entry.account,
                    number=entry.number,
                    call=entry.call,
                    error=str(error),
                )
