"""How many calls there are and how fast they are dialled, shared by all processes through Redis.

A lease is one call's place in its account and in its trunk. It lives for `ttl` seconds and is renewed for as
long as the call lives, so that what a crash leaves behind comes free by itself. One script looks and takes,
by Redis' own clock; who is refused leaves no trace. A Redis that was emptied learns from the next renewal
what lives.
"""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any, cast

from trunx.adapters.cache.redis import FAILURES, RedisServer
from trunx.domain.errors import UnavailableError
from trunx.domain.gate import Capacity, Full
from trunx.domain.records import Lease

__all__ = ["TTL", "Lease", "Leases"]

TTL = 30.0
"""Seconds until a lease that nobody renews is given back."""
_DEADLINE = 1.0  # seconds for one exchange with Redis
_PORTION = 500  # leases renewed in one exchange: Redis does nothing else meanwhile

# Keys: outbound, inbound and dialled, of the account and then of the trunk. Each is a set sorted by the time
# (in milliseconds) when a call's place comes free, or when it was dialled. A second is any second: the window
# slides.
_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local id, ttl, keep = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1'
for side = 0, 3, 3 do
  redis.call('ZREMRANGEBYSCORE', KEYS[side + 1], '-inf', now)
  redis.call('ZREMRANGEBYSCORE', KEYS[side + 2], '-inf', now)
  redis.call('ZREMRANGEBYSCORE', KEYS[side + 3], '-inf', now - 1000)
end
local held = redis.call('ZSCORE', KEYS[1], id) and redis.call('ZSCORE', KEYS[4], id)
if not held then
  for side = 0, 3, 3 do
    local at_once, for_inbound = tonumber(ARGV[side + 5]), tonumber(ARGV[side + 6])
    local outbound = redis.call('ZCARD', KEYS[side + 1])
    local all = outbound + redis.call('ZCARD', KEYS[side + 2])
    if outbound >= at_once - for_inbound then
      return {side, 'at_once', outbound, at_once - for_inbound, -1}
    elseif all >= at_once then
      return {side, 'at_once', all, at_once, -1}
    end
  end
  for side = 0, 3, 3 do
    local per_second = tonumber(ARGV[side + 4])
    local dialled = redis.call('ZCARD', KEYS[side + 3])
    if dialled >= per_second then
      local place = dialled - per_second
      local leaves = redis.call('ZRANGE', KEYS[side + 3], place, place, 'WITHSCORES')[2] + 1000
      return {side, 'per_second', dialled, per_second, leaves - now}
    end
  end
end
if keep then
  for side = 0, 3, 3 do
    redis.call('ZADD', KEYS[side + 1], now + ttl, id)
    redis.call('PEXPIRE', KEYS[side + 1], ttl)
    if not held then
      redis.call('ZADD', KEYS[side + 3], now, id)
      redis.call('PEXPIRE', KEYS[side + 3], 1000)
    end
  end
end
return {}
"""

# Keys: two sets for each call.
_RENEW = """
local time = redis.call('TIME')
local until_then = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[1]
for place, key in ipairs(KEYS) do
  redis.call('ZADD', key, until_then, ARGV[math.floor((place + 1) / 2) + 1])
  redis.call('PEXPIRE', key, ARGV[1])
end
"""


class Leases:
    """Takes, renews and gives back. Each method raises `UnavailableError` when Redis does not answer; a place
    that was taken nevertheless comes free after `ttl` seconds.
    """

    def __init__(self, server: RedisServer, ttl: float = TTL) -> None:
        self._client = server.client
        self._ttl = round(ttl * 1000)
        self._take_script = self._client.register_script(_TAKE)
        self._renew_script = self._client.register_script(_RENEW)

    async def take(self, lease: Lease, of_account: Capacity, of_trunk: Capacity) -> Full | None:
        """None: the place is taken, for a call that is dialled now. Else what was full, and nothing is taken.

        Who asks again for a call that has its place is not counted twice.
        """
        return await self._ask(lease, of_account, of_trunk, keep=True)

    async def look(self, account: str, trunk: str, of_account: Capacity, of_trunk: Capacity) -> Full | None:
        """What `take` would say to one more call, without taking."""
        return await self._ask(Lease("", account, trunk), of_account, of_trunk, keep=False)

    async def renew(self, leases: Iterable[Lease]) -> None:
        """Counts calls that live for `ttl` seconds more, whatever the limits: outbound ones, also those whose
        place had come free, and inbound ones, which have no other way in.
        """
        living = list(leases)
        for start in range(0, len(living), _PORTION):
            portion = living[start : start + _PORTION]
            keys = [key for lease in portion for key in _places(lease)]
            ids = [lease.id for lease in portion]
            await _in_time(self._renew_script(keys=keys, args=[self._ttl, *ids]))

    async def release(self, *leases: Lease) -> None:
        """The calls have ended. The second in which one was dialled stays counted."""
        async with self._client.pipeline(transaction=False) as pipe:
            for lease in leases:
                for key in _places(lease):
                    pipe.zrem(key, lease.id)
            await _in_time(pipe.execute())

    async def _ask(
        self, lease: Lease, of_account: Capacity, of_trunk: Capacity, *, keep: bool
    ) -> Full | None:
        keys, limits = [], []
        for side, capacity in ((f"account:{lease.account}", of_account), (f"trunk:{lease.trunk}", of_trunk)):
            keys += [f"trunx:lease:{kind}:{side}" for kind in ("out", "in", "second")]
            limits += [capacity.per_second, capacity.at_once, capacity.for_inbound]
        answer = await _in_time(self._take_script(keys=keys, args=[lease.id, self._ttl, int(keep), *limits]))
        if not answer:
            return None
        side, limit, used, most, wait = answer
        scope = "account" if side == 0 else "trunk"
        return Full(scope, limit.decode(), used, most, None if wait < 0 else wait / 1000)


def _places(lease: Lease) -> tuple[str, str]:
    kind = "out" if lease.outbound else "in"
    return f"trunx:lease:{kind}:account:{lease.account}", f"trunx:lease:{kind}:trunk:{lease.trunk}"


async def _in_time(command: Awaitable[Any]) -> list[Any]:
    try:
        async with asyncio.timeout(_DEADLINE):
            return cast(list[Any], await command)
    except FAILURES as error:
        raise UnavailableError(f"limits: {str(error) or 'no answer in time'}") from error
