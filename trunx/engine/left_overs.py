"""Nothing stays behind at the AI vendor's: what is made there is noted before, and what is left is deleted.

The vendor takes no idempotency key, so a request whose answer was lost may have made something whose id
nobody knows. Its name is unique, and noted until a row has its id; what is found later is deleted.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import NoReturn

import structlog

from trunx.domain.agent import VendorError, VendorKind
from trunx.domain.errors import UnavailableError
from trunx.engine import agent_ports
from trunx.engine.agent_ports import VendorAgents

SWEEP_EVERY = 60.0
MAKING_MOST = timedelta(minutes=5)
"""Whoever makes something has come to an end by then, and so has the vendor."""

_log = structlog.get_logger(__name__)


class LeftOvers:
    """`rows` is where they are noted."""

    def __init__(self, rows: agent_ports.LeftOvers, vendor: VendorAgents) -> None:
        self._rows = rows
        self._vendor = vendor

    @asynccontextmanager
    async def noted(self, kind: VendorKind, name: str) -> AsyncIterator[None]:
        """For the block in which something of this name is made, and written down with its id."""
        mine = await self._rows.expect(kind, name)
        try:
            yield
        except VendorError as error:
            if mine and error.trouble != "unknown":
                await self._clear(name)
            raise
        if mine:
            await self._clear(name)

    async def remove(self, kind: VendorKind, vendor_id: str) -> None:
        """Deletes what is noted as left over; when the vendor does not do it now, a sweep will."""
        try:
            await self._delete(kind, vendor_id)
        except VendorError as error:
            _log.warning("deleted here, but not at the AI vendor's yet", kind=kind, problem=error.sentence)

    async def sweep_for_ever(self) -> NoReturn:
        """Deletes what is left over, now and then."""
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            try:
                await self.sweep()
            except UnavailableError:
                pass  # the database tells of itself
            except VendorError as error:
                if error.trouble != "off":
                    _log.warning("some things stay at the AI vendor's for now", problem=error.sentence)

    async def sweep(self, age: timedelta = MAKING_MOST) -> None:
        """Deletes what is left over, and of what was to be made, `age` ago or more, what no row knows.

        Raises:
            VendorError: the vendor does nothing just now.
        """
        for kind, name in await self._rows.expected(datetime.now(UTC) - age):
            found = await self._vendor.find(kind, name)
            for vendor_id in set(found) - await self._rows.standing(found):
                await self._delete(kind, vendor_id)
            await self._rows.cleared(name)
        for kind, vendor_id in await self._rows.due():
            try:
                await self._delete(kind, vendor_id)
            except VendorError as error:
                if error.trouble != "invalid":
                    raise
                _log.warning(
                    "the AI vendor refuses to delete", kind=kind, id=vendor_id, problem=error.sentence
                )

    async def _delete(self, kind: VendorKind, vendor_id: str) -> None:
        match kind:
            case "agent":
                await self._vendor.delete_agent(vendor_id)
            case "tool":
                await self._vendor.delete_tool(vendor_id)
            case "corpus":
                await self._vendor.delete_corpus(vendor_id)
        await self._clear(vendor_id)

    async def _clear(self, named: str) -> None:
        # A note that stays is harmless: a sweep looks before it deletes, and deletes what is gone once more.
        with suppress(UnavailableError):
            await self._rows.cleared(named)
