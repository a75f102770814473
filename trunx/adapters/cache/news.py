"""Who waits for an account's log hears at once that there is more, also of what another process wrote.

A transaction that writes events notes their accounts on its connection; as the connection goes back to the
pool, after the commit, the bells of this process ring, and Redis carries the news to the others. All of that
is a convenience: whoever waits also looks by itself now and then.
"""

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

import structlog
from redis.asyncio import Redis
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection

from trunx.adapters.cache.redis import FAILURES
from trunx.adapters.store.database import Database

_CHANNEL = "trunx:news"
_KEY = "trunx.told"
_ANY = ""  # the name under which one listens to all accounts
_DEADLINE = 1.0  # seconds for one message to Redis
_GATHER = 0.02  # seconds that further news wait for each other before Redis is told
_AGAIN = 1.0  # seconds until the next try to hear Redis

_log = structlog.get_logger()


def tell(connection: AsyncConnection, accounts: Iterable[str]) -> None:
    """Notes that the transaction has news of `accounts`, to be told when it has ended."""
    (connection.sync_connection or _never()).info.setdefault(_KEY, set()).update(accounts)


def _never() -> Any:
    raise RuntimeError("the connection is not open")


class Bell:
    """Fulfils the port of the same name."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self, seconds: float) -> None:
        """Returns when it has rung since the last time, or after `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        self._rung.clear()


class News:
    """Used as a context manager, which owns the connection to Redis' channel."""

    def __init__(self, database: Database, redis: Redis) -> None:
        self._pool = database.engine.sync_engine
        self._redis = redis
        self._name = secrets.token_hex(8)
        self._bells: defaultdict[str, set[Bell]] = defaultdict(set)
        self._to_tell: set[str] = set()
        self._told = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        event.listen(self._pool, "checkin", self._checked_in)
        self._tasks = [
            asyncio.create_task(self._tell_others(), name="news out"),
            asyncio.create_task(self._hear_others(), name="news in"),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        event.remove(self._pool, "checkin", self._checked_in)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @contextmanager
    def listening(self, account: str = _ANY) -> Iterator[Bell]:
        """A bell for the news of `account`, or of all; it rings also for what came before the first wait."""
        bell = Bell()
        self._bells[account].add(bell)
        try:
            yield bell
        finally:
            self._bells[account].discard(bell)
            if not self._bells[account]:
                del self._bells[account]

    def _checked_in(self, _connection: object, record: Any) -> None:
        accounts = record.info.pop(_KEY, None)
        if accounts:
            self._ring(accounts)
            self._to_tell |= accounts
            self._told.set()

    def _ring(self, accounts: Iterable[str]) -> None:
        for account in (*accounts, _ANY):
            for bell in self._bells.get(account, ()):
                bell.ring()

    async def _tell_others(self) -> None:
        while True:
            await self._told.wait()
            self._told.clear()
            accounts, self._to_tell = self._to_tell, set()
            with suppress(*FAILURES):  # who does not hear of it looks by itself
                async with asyncio.timeout(_DEADLINE):
                    await self._redis.publish(_CHANNEL, " ".join((self._name, *accounts)))
            await asyncio.sleep(_GATHER)

    async def _hear_others(self) -> None:
        while True:
            with suppress(*FAILURES):
                async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(_CHANNEL)
                    async for message in channel.listen():
                        sender, *accounts = message["data"].decode().split()
                        if sender != self._name:
                            self._ring(accounts)
            await asyncio.sleep(_AGAIN)
