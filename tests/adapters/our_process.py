"""One of our processes, as far as it looks calls up: its own connections, memory and healing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.adapters.valkey_peer import ValkeyPeer
from tests.adapters.waiting import until
from trunx.adapters.cache.published import Published
from trunx.adapters.cache.redis import open_redis
from trunx.adapters.store.database import Database


@asynccontextmanager
async def our_process(
    database: Database, valkey: ValkeyPeer, *, heal: bool = True
) -> AsyncIterator[Published]:
    """Ready to be asked; without `heal` it reads the database, as one does that has just begun."""
    async with open_redis(valkey.url) as server, Published(database, server.client) as lines:
        healing = asyncio.create_task(lines.heal()) if heal else None
        try:
            if healing is not None:
                await until(lambda: lines.healthy)
            yield lines
        finally:
            if healing is not None:
                healing.cancel()
                await asyncio.gather(healing, return_exceptions=True)
