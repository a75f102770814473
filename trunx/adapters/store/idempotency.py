"""Answers to requests that came with an Idempotency-Key, in the database, so that all processes know them."""

from datetime import timedelta

from sqlalchemy import ColumnElement, delete, select, update

from trunx.adapters.store.database import Database
from trunx.adapters.store.tables import idempotency, now
from trunx.domain.idempotency import Answer, Claim, Claimed, InProgress, OtherBody

_ANSWER_KEPT = timedelta(hours=24)
_CLAIM_KEPT = timedelta(minutes=1)
_SWEEP_EVERY = timedelta(minutes=10)


class IdempotencyKeys:
    """Fulfils the port of the same name. What has expired is swept out by a claim every ten minutes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._swept = now()

    async def claim(self, account: str, key: str, request_hash: str) -> Claim:
        await self._sweep()
        moment = now()
        claim = {
            "request_hash": request_hash,
            "status": None,
            "body": None,
            "expires_at": moment + _CLAIM_KEPT,
        }
        row = self._database.insert(idempotency).values(account=account, key=key, **claim)
        # One statement: of two claims at once, the second waits for the first and then finds it standing.
        takes = row.on_conflict_do_update(
            index_elements=[idempotency.c.account, idempotency.c.key],
            set_=claim,
            where=idempotency.c.expires_at <= moment,
        ).returning(idempotency.c.key)
        async with self._database.writing() as connection:
            if (await connection.execute(takes)).first() is not None:
                held = None
            else:
                held = (await connection.execute(select(idempotency).where(*_is(account, key)))).one()
        if held is None:
            return Claimed()
        if held.request_hash != request_hash:
            return OtherBody()
        return InProgress() if held.status is None else Answer(held.status, held.body)

    async def keep(self, account: str, key: str, answer: Answer) -> None:
        settled = {"status": answer.status, "body": answer.body, "expires_at": now() + _ANSWER_KEPT}
        async with self._database.writing() as connection:
            await connection.execute(update(idempotency).where(*_is(account, key)).values(settled))

    async def forget(self, account: str, key: str) -> None:
        async with self._database.writing() as connection:
            await connection.execute(delete(idempotency).where(*_is(account, key)))

    async def _sweep(self) -> None:
        moment = now()
        if moment - self._swept < _SWEEP_EVERY:
            return
        self._swept = moment
        async with self._database.writing() as connection:
            await connection.execute(delete(idempotency).where(idempotency.c.expires_at <= moment))


def _is(account: str, key: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return idempotency.c.account == account, idempotency.c.key == key
