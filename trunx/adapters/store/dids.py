"""DIDs in the database. One that was given up keeps its row, without an account, for its revision's sake."""

from typing import Any

from sqlalchemy import Row, Select, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from trunx.adapters.store.agents import hold
from trunx.adapters.store.database import Database
from trunx.adapters.store.paging import page_of, rows
from trunx.adapters.store.revisions import next_revision
from trunx.adapters.store.tables import dids, ivrs, now
from trunx.domain.errors import ExistsError, NotFoundError, OwnedByAnotherError
from trunx.domain.records import Did, Page, Rows


class Dids:
    """Fulfils the port of the same name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, account: str, did: str, ivr_id: str | None, label: str | None, agent: str | None = None
    ) -> Did:
        async with self._database.writing() as connection:
            revision = await next_revision(connection)
            uid = None if ivr_id is None else await ivr_uid(connection, account, ivr_id)
            if agent is not None:
                await hold(connection, account, agent)
            owner = (await connection.execute(select(dids.c.account).where(dids.c.did == did))).scalar()
            if owner is not None:
                raise ExistsError(did) if owner == account else OwnedByAnotherError(did)
            await register(
                self._database,
                connection,
                did,
                account=account,
                ivr=uid,
                agent=agent,
                label=label,
                revision=revision,
            )
            return await _did(connection, account, did)

    async def change(self, account: str, did: str, fields: dict[str, str | None]) -> Did:
        async with self._database.writing() as connection:
            values: dict[str, Any] = {"revision": await next_revision(connection)}
            await _did(connection, account, did)
            if "ivr" in fields:
                ivr_id = fields["ivr"]
                values["ivr"] = None if ivr_id is None else await ivr_uid(connection, account, ivr_id)
            if (agent := fields.get("agent")) is not None:
                await hold(connection, account, agent)
            values |= {name: fields[name] for name in ("agent", "label") if name in fields}
            await connection.execute(update(dids).where(dids.c.did == did).values(values))
            return await _did(connection, account, did)

    async def get(self, account: str, did: str) -> Did:
        async with self._database.reading() as connection:
            return await _did(connection, account, did)

    async def page(self, account: str, page: Page) -> Rows[Did]:
        query = page_of(_owned(account), page, dids.c.created_at, dids.c.did)
        async with self._database.reading() as connection:
            found = [_read(row) for row in await connection.execute(query)]
        return rows(found, page, lambda did: (did.created_at, did.did))

    async def delete(self, account: str, did: str) -> None:
        async with self._database.writing() as connection:
            revision = await next_revision(connection)
            given_up = await connection.execute(
                update(dids)
                .where(dids.c.did == did, dids.c.account == account)
                .values(account=None, ivr=None, agent=None, label=None, revision=revision)
            )
            if given_up.rowcount == 0:
                raise NotFoundError("did")


async def ivr_uid(connection: AsyncConnection, account: str, ivr_id: str) -> str:
    """The uid of the account's IVR. Raises `NotFoundError` with "ivr"."""
    query = select(ivrs.c.uid).where(ivrs.c.account == account, ivrs.c.id == ivr_id)
    uid = (await connection.execute(query)).scalar_one_or_none()
    if uid is None:
        raise NotFoundError("ivr")
    return str(uid)


async def register(
    database: Database,
    connection: AsyncConnection,
    did: str,
    *,
    account: str,
    ivr: str | None,
    agent: str | None = None,
    label: str | None = None,
    revision: int,
) -> None:
    """Gives `account` a number that nobody has (the caller has seen to that, after `next_revision`)."""
    values: dict[str, Any] = {"account": account, "ivr": ivr, "agent": agent, "label": label}
    values |= {"created_at": now(), "revision": revision}
    row = database.insert(dids).values(did=did, **values)
    await connection.execute(row.on_conflict_do_update(index_elements=[dids.c.did], set_=values))


def _owned(account: str) -> Select[Any]:
    return (
        select(dids, ivrs.c.id.label("ivr_id"))
        .outerjoin_from(dids, ivrs, ivrs.c.uid == dids.c.ivr)
        .where(dids.c.account == account)
    )


async def _did(connection: AsyncConnection, account: str, did: str) -> Did:
    row = (await connection.execute(_owned(account).where(dids.c.did == did))).first()
    if row is None:
        raise NotFoundError("did")
    return _read(row)


def _read(row: Row[Any]) -> Did:
    return Did(
        did=row.did,
        account=row.account,
        ivr=row.ivr_id,
        agent=row.agent,
        label=row.label,
        created_at=row.created_at,
    )
