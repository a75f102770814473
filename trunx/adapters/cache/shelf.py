"""The layout of the cache in Redis, and the only commands that touch it.

    trunx:did:<e164>            a pointer: JSON of `Published`; replaced only by one of a newer revision
    trunx:tree:<uid>:<version>  an IVR's document, JSON; never changes
    trunx:tide                  a revision: all changes up to it have been brought here

The tide is what makes the cache checkable: Redis that came back empty has none, Redis that came back with an
older state has a lower one than was seen before, and both are caught up by publishing what came after it.
One Redis, not a cluster: a call's read has all its keys in one command.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from redis.asyncio import Redis

from trunx.domain.records import Published

READ_DEADLINE = 0.25  # seconds that a caller waits for the cache
WRITE_DEADLINE = 1.0
_TIDE = "trunx:tide"
_REPLACED_KEPT = 86_400  # seconds that a replaced tree stays: who has read the old pointer fetches it yet

# KEYS are pointers, ARGV the new ones in the same order. A tree that no longer stands behind the number is
# given an end; where it still stands behind another, a miss brings it back from the database.
_PUT = f"""
for i, key in ipairs(KEYS) do
  local new, standing = cjson.decode(ARGV[i]), redis.call('GET', key)
  local readable, old = pcall(cjson.decode, standing or '')
  if not readable or type(old) ~= 'table' then old = {{}} end
  if new.revision > (tonumber(old.revision) or -1) then
    redis.call('SET', key, ARGV[i])
    if type(old.uid) == 'string' and (old.uid ~= new.uid or old.version ~= new.version) then
      redis.call('EXPIRE', 'trunx:tree:' .. old.uid .. ':' .. old.version, {_REPLACED_KEPT})
    end
  end
end
"""

# Raises the tide from ARGV[1] (or from what others have raised it to) to ARGV[2]. When it fell in between,
# what was published since may have gone with it: nothing is raised.
_RAISE = """
local tide = tonumber(redis.call('GET', KEYS[1])) or 0
if tide < tonumber(ARGV[1]) then return 0 end
if tide < tonumber(ARGV[2]) or tide == 0 then redis.call('SET', KEYS[1], ARGV[2]) end
return 1
"""


@dataclass(frozen=True, slots=True)
class Read:
    """What was found: the tide (None: none), and for each DID its pointer as it was written, or None."""

    tide: int | None
    pointers: Sequence[bytes | None]


def encode(published: Published) -> bytes:
    """A pointer as it is kept; equal ones are equal to the byte."""
    fields: dict[str, Any] = {
        "revision": published.revision,
        "account": published.account,
        "uid": published.uid,
        "ivr": published.ivr,
        "version": published.version,
    }
    if published.sounds:
        fields["sounds"] = dict(sorted(published.sounds.items()))
    return json.dumps(fields, separators=(",", ":")).encode()


def decode(did: str, pointer: bytes) -> Published:
    """What `encode` wrote. Raises `ValueError` for anything else."""
    try:
        return Published(did=did, **json.loads(pointer))
    except (TypeError, ValueError) as error:
        raise ValueError(f"not a pointer of ours: {pointer[:100]!r}") from error


class Shelf:
    """The cache's commands; each raises one of `redis.FAILURES`, a wait that is too long included."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    async def read(self, dids: Sequence[str]) -> Read:
        """The tide and the pointers of `dids`: one command."""
        async with asyncio.timeout(READ_DEADLINE):
            found: list[Any] = await self._client.mget(_TIDE, *(f"trunx:did:{did}" for did in dids))
        return Read(_number(found[0]), found[1:])

    async def document(self, uid: str, version: int) -> bytes | None:
        """A document, JSON."""
        async with asyncio.timeout(READ_DEADLINE):
            found: Any = await self._client.get(f"trunx:tree:{uid}:{version}")
        return cast(bytes | None, found)

    async def put(self, published: Sequence[Published], documents: dict[tuple[str, int], str]) -> None:
        """Documents first, then the pointers to them; a pointer that is not newer changes nothing."""
        keys = [f"trunx:did:{pointer.did}" for pointer in published]
        async with asyncio.timeout(WRITE_DEADLINE), self._client.pipeline(transaction=False) as pipe:
            for (uid, version), document in documents.items():
                pipe.set(f"trunx:tree:{uid}:{version}", document)
            if keys:
                pipe.eval(_PUT, len(keys), *keys, *(encode(pointer) for pointer in published))
            await pipe.execute()

    async def raise_tide(self, base: int, revision: int) -> bool:
        """Notes that all changes after `base`, up to `revision`, are here; False when the tide fell below
        `base` meanwhile.
        """
        async with asyncio.timeout(WRITE_DEADLINE):
            return bool(await self._client.eval(_RAISE, 1, _TIDE, str(base), str(revision)))

    async def clear(self) -> None:
        """Removes everything of ours, the tide first."""
        await self._client.unlink(_TIDE)
        for pattern in ("trunx:did:*", "trunx:tree:*"):
            cursor = -1
            while cursor:
                async with asyncio.timeout(WRITE_DEADLINE):
                    cursor, keys = await self._client.scan(max(cursor, 0), match=pattern, count=1_000)
                    if keys:
                        await self._client.unlink(*keys)


def _number(written: bytes | None) -> int | None:
    try:
        return None if written is None else int(written)
    except ValueError:
        return None
