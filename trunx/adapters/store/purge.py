"""Old events go out of the accounts' logs, and with them what was sent of them; few at a time, so that nobody
waits for it.

A log only ever loses its beginning, up to the first event that is young, or that an endpoint is still to get:
what is left has no gap, and its oldest `seq` says all that a reader must know.
"""

import asyncio
import math
from collections.abc import Mapping
from datetime import timedelta
from itertools import takewhile
from typing import NoReturn

import structlog
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from trunx.adapters.store.database import Database
from trunx.adapters.store.tables import deliveries, event_heads, events, now, webhooks
from trunx.domain.errors import UnavailableError
from trunx.domain.webhook import DeliveryStatus

EVERY = 3600.0  # seconds between two looks
BATCH = 500  # events of one transaction, a few milliseconds of the database's time
_PAUSE = 0.1  # seconds in which others have the database to themselves

_log = structlog.get_logger()


class Purge:
    """Removes events that are older than `keep`."""

    def __init__(self, database: Database, keep: timedelta) -> None:
        self._database = database
        self._keep = keep

    async def run(self) -> NoReturn:
        """Now and every hour, until it is cancelled."""
        while True:
            try:
                if removed := await self.once():
                    _log.info("old events are removed", events=removed)
            except UnavailableError as error:
                _log.warning("old events stay for now", error=str(error))
            await asyncio.sleep(EVERY)

    async def once(self) -> int:
        """Removes all that is old; how many events that were. Raises `UnavailableError`."""
        async with self._database.reading() as connection:
            accounts = (await connection.execute(select(event_heads.c.account))).scalars().all()
        removed = 0
        for account in accounts:
            while batch := await self._batch(account):
                removed += batch
                await asyncio.sleep(_PAUSE)
        return removed

    async def _batch(self, account: str) -> int:
        oldest = select(events.c.seq, events.c.at).where(events.c.account == account)
        oldest = oldest.order_by(events.c.seq).limit(BATCH)
        before = now() - self._keep
        async with self._database.reading() as connection:
            rows = (await connection.execute(oldest)).all()
            old = [row.seq for row in takewhile(lambda row: row.at < before, rows)]
        if not old:
            return 0
        async with self._database.writing() as connection:
            hooks = await _told(connection, account)
            last = min(old[-1], await _sent(connection, hooks))
            sent = deliveries.c.webhook.in_(list(hooks)), deliveries.c.seq <= last
            await connection.execute(delete(deliveries).where(*sent))
            gone = delete(events).where(events.c.account == account, events.c.seq <= last)
            return (await connection.execute(gone)).rowcount


async def _told(connection: AsyncConnection, account: str) -> dict[str, int | None]:
    """The account's endpoints, locked, and up to which event each was told; None: it is disabled."""
    query = select(webhooks.c.id, webhooks.c.enabled, webhooks.c.told).where(webhooks.c.account == account)
    rows = await connection.execute(query.order_by(webhooks.c.id).with_for_update())
    return {row.id: row.told if row.enabled else None for row in rows}


async def _sent(connection: AsyncConnection, hooks: Mapping[str, int | None]) -> float:
    """Up to which event nothing is left to send."""
    told = {hook: seq for hook, seq in hooks.items() if seq is not None}
    waiting = select(func.min(deliveries.c.seq)).where(
        deliveries.c.webhook.in_(list(told)), deliveries.c.status == DeliveryStatus.WAITING.value
    )
    first: int | None = (await connection.execute(waiting)).scalar() if told else None
    return min(told.values(), default=math.inf) if first is None else min(*told.values(), first - 1)
