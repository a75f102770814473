"""The way to Redis by URL. One try and short waits: whoever asks has the database to fall back on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from trunx.domain.records import PartState

_STATE_DEADLINE = 1.5

# What a command can raise when Redis is not there, answers nonsense, or answers too late.
FAILURES = (RedisError, OSError, TimeoutError)


class RedisServer:
    """A Redis (or Valkey) server: its client, and how it is. `place` says where, without the password."""

    def __init__(self, client: Redis, place: str) -> None:
        self.client = client
        self.place = place

    async def state(self) -> PartState:
        """`degraded` when it is away: calls and the API go on from the database."""
        try:
            async with asyncio.timeout(_STATE_DEADLINE):
                await self.client.ping()
        except FAILURES as error:
            problem = str(error) or "no answer in time"
            return PartState("redis", "degraded", f"{self.place}: {problem}; calls read the database instead")
        return PartState("redis", "ok", self.place)


@asynccontextmanager
async def open_redis(url: str) -> AsyncIterator[RedisServer]:
    """The server at `url` (`redis://`, `rediss://`, `unix://`); connects at the first command.

    Raises:
        ValueError: the URL is not one of these.
    """
    try:
        client: Redis = Redis.from_url(
            url,
            socket_connect_timeout=1.0,
            # No timeout of its own: it sends under `asyncio.wait_for`, which before Python 3.12 now and then
            # swallows a cancellation. Whoever sends a command sets its deadline around it.
            socket_timeout=None,
            # Its own retries would take seconds, and would hide from us that the server was away.
            retry=Retry(NoBackoff(), 0),
            client_name="trunx",
        )
    except ValueError:
        raise ValueError("not a Redis URL: redis://host:6379/0, rediss://... or unix:///path") from None
    target = urlsplit(url)
    place = (
        target.path if target.scheme == "unix" else f"{target.hostname or 'localhost'}:{target.port or 6379}"
    )
    try:
        yield RedisServer(client, place)
    finally:
        await client.aclose()
