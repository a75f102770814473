"""Claims on Idempotency-Keys, on both engines."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from trunx.adapters.store.database import Database
from trunx.adapters.store.idempotency import IdempotencyKeys
from trunx.adapters.store.tables import idempotency, now
from trunx.domain.idempotency import Answer, Claimed, InProgress, OtherBody
from trunx.engine import ports


@pytest.fixture
def keys(database: Database) -> ports.IdempotencyKeys:
    return IdempotencyKeys(database)


async def _age(database: Database, by: timedelta) -> None:
    async with database.writing() as connection:
        expires = (await connection.execute(select(idempotency.c.expires_at))).scalar_one()
        await connection.execute(update(idempotency).values(expires_at=expires - by))


async def test_a_request_is_carried_out_once(keys: ports.IdempotencyKeys, account: str, other: str) -> None:
    assert await keys.claim(account, "k", "hash") == Claimed()
    assert await keys.claim(account, "k", "hash") == InProgress()
    assert await keys.claim(account, "k", "other") == OtherBody()
    answer = Answer(201, b'{"id": "\xc3\xa4"}\x00')
    await keys.keep(account, "k", answer)
    assert await keys.claim(account, "k", "hash") == answer
    assert await keys.claim(account, "k", "other") == OtherBody()
    assert await keys.claim(other, "k", "hash") == Claimed()


async def test_a_request_that_failed_may_be_repeated(keys: ports.IdempotencyKeys, account: str) -> None:
    await keys.claim(account, "k", "hash")
    await keys.forget(account, "k")
    assert await keys.claim(account, "k", "other") == Claimed()


async def test_of_many_at_once_one_is_carried_out(keys: ports.IdempotencyKeys, account: str) -> None:
    claims = await asyncio.gather(*(keys.claim(account, "k", "hash") for _ in range(8)))
    assert sorted(type(claim).__name__ for claim in claims) == ["Claimed"] + ["InProgress"] * 7


async def test_a_claim_lapses_after_a_minute(
    keys: ports.IdempotencyKeys, database: Database, account: str
) -> None:
    await keys.claim(account, "k", "hash")
    await _age(database, timedelta(seconds=50))
    assert await keys.claim(account, "k", "hash") == InProgress()
    await _age(database, timedelta(seconds=11))
    assert await keys.claim(account, "k", "other") == Claimed()


async def test_an_answer_is_kept_for_a_day(
    keys: ports.IdempotencyKeys, database: Database, account: str
) -> None:
    await keys.claim(account, "k", "hash")
    await keys.keep(account, "k", Answer(201, b"{}"))
    await _age(database, timedelta(hours=23, minutes=59))
    assert await keys.claim(account, "k", "hash") == Answer(201, b"{}")
    await _age(database, timedelta(minutes=2))
    assert await keys.claim(account, "k", "hash") == Claimed()


async def test_what_has_expired_is_swept_out(database: Database, account: str) -> None:
    keys = IdempotencyKeys(database)
    await keys.claim(account, "old", "hash")
    await _age(database, timedelta(minutes=2))
    keys._swept = now() - timedelta(minutes=11)
    await keys.claim(account, "new", "hash")
    async with database.reading() as connection:
        assert (await connection.execute(select(idempotency.c.key))).scalars().all() == ["new"]
