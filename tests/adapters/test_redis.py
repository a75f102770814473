"""The way to Redis, against a real server."""

import asyncio

import pytest

from tests.adapters.valkey_peer import ValkeyPeer
from trunx.adapters.cache.redis import FAILURES, open_redis
from trunx.engine.ports import Part


async def test_it_says_how_it_is(valkey: ValkeyPeer) -> None:
    async with open_redis(valkey.url) as server:
        part: Part = server
        assert (await part.state()).state == "ok"
        valkey.kill()
        assert (await part.state()).state == "degraded"
        valkey.start()
        assert (await part.state()).state == "ok"


async def test_a_server_that_is_away_is_not_waited_for(valkey: ValkeyPeer) -> None:
    async with open_redis(valkey.url) as server:
        await server.client.ping()
        valkey.kill()
        with pytest.raises(FAILURES):
            await server.client.ping()


async def test_a_cancellation_is_never_lost(valkey: ValkeyPeer) -> None:
    async with open_redis(valkey.url) as server:
        for ticks in range(60):
            command = asyncio.create_task(server.state())
            for _ in range(ticks % 6):
                await asyncio.sleep(0)
            if command.cancel():
                with pytest.raises(asyncio.CancelledError):
                    await command


async def test_passwords_are_told_to_nobody() -> None:
    async with open_redis("redis://user:s3cret@127.0.0.1:1/0") as server:
        state = await server.state()
        assert state.detail.startswith("127.0.0.1:1: ")
        assert "s3cret" not in state.detail
    with pytest.raises(ValueError, match="not a Redis URL") as caught:
        async with open_redis("http://user:s3cret@h"):
            pass
    assert "s3cret" not in str(caught.value)
