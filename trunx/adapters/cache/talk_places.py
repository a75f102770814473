"""How many talks with AI agents an account has at once, shared by all processes through Redis.

A place lives for `ttl` seconds and is renewed for as long as the talk lives, like the leases of calls, so
that what a crash leaves behind comes free by itself.
"""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any

from trunx.adapters.cache.redis import FAILURES, RedisServer
from trunx.domain.errors import UnavailableError
from trunx.domain.records import TalkLease

TTL = 60.0
"""Seconds until a place that nobody renews is given back."""
_DEADLINE = 1.0  # seconds for one exchange with Redis

# The key is a set sorted by the time (in milliseconds) when a place comes free.
_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then
  return 0
end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""

_RENEW = """
local time = redis.call('TIME')
local until_then = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[1]
for place, key in ipairs(KEYS) do
  redis.call('ZADD', key, until_then, ARGV[place + 1])
  redis.call('PEXPIRE', key, ARGV[1])
end
"""


class TalkPlaces:
    """Fulfils the port of the same name; `most` talks at once are an account's."""

    def __init__(self, server: RedisServer, most: int, ttl: float = TTL) -> None:
        self._client = server.client
        self._most = most
        self._ttl = round(ttl * 1000)
        self._take_script = self._client.register_script(_TAKE)
        self._renew_script = self._client.register_script(_RENEW)

    async def take(self, account: str, talk_id: str) -> bool:
        args: list[str | int] = [talk_id, self._ttl, self._most]
        return bool(await _in_time(self._take_script(keys=[_key(account)], args=args)))

    async def renew(self, places: Iterable[TalkLease]) -> None:
        living = list(places)
        if living:
            keys = [_key(place.account) for place in living]
            args: list[str | int] = [self._ttl, *(place.id for place in living)]
            await _in_time(self._renew_script(keys=keys, args=args))

    async def release(self, account: str, talk_id: str) -> None:
        await _in_time(self._client.zrem(_key(account), talk_id))


def _key(account: str) -> str:
    return f"trunx:talks:account:{account}"


async def _in_time(command: Awaitable[Any]) -> Any:
    try:
        async with asyncio.timeout(_DEADLINE):
            return await command
    except FAILURES as error:
        raise UnavailableError(f"talks at once: {str(error) or 'no answer in time'}") from error
