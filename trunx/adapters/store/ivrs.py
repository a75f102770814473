"""IVRs and their versions in the database; a change reaches every DID behind the IVR in one transaction."""

import json
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Row, Select, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from trunx.adapters.store.bulk import Bulk
from trunx.adapters.store.database import Database
from trunx.adapters.store.dids import ivr_uid, register
from trunx.adapters.store.paging import page_of, rows
from trunx.adapters.store.revisions import next_revision
from trunx.adapters.store.tables import dids, ivr_audio, ivr_versions, ivrs, now
from trunx.domain.errors import AssignedError, ExistsError, NotFoundError, OwnedByAnotherError
from trunx.domain.ivr import references
from trunx.domain.records import Ivr, Page, Rows
from trunx.domain.strict_json import dumps


class Ivrs:
    """Fulfils the port of the same name."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._references = Bulk(database.dialect, ivr_audio, "DO NOTHING", "ivr")

    async def create(self, account: str, ivr_id: str, document: dict[str, Any]) -> Ivr:
        uid, moment = uuid.uuid4().hex, now()
        row = self._database.insert(ivrs).values(
            uid=uid, account=account, id=ivr_id, version=1, created_at=moment, updated_at=moment
        )
        async with self._database.writing() as connection:
            if (await connection.execute(row.on_conflict_do_nothing())).rowcount == 0:
                raise ExistsError(ivr_id)
            await connection.execute(
                ivr_versions.insert().values(ivr=uid, version=1, document=dumps(document), created_at=moment)
            )
            await self._references.write(connection, references(document), uid)
        return Ivr(uid, account, ivr_id, 1, document, moment, moment, ())

    async def change(
        self, account: str, ivr_id: str, change: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> Ivr:
        async with self._database.writing() as connection:
            revision = await next_revision(connection)
            before = await _ivr(connection, account, ivr_id)
            document, version, moment = change(before.document), before.version + 1, now()
            await connection.execute(
                ivr_versions.insert().values(
                    ivr=before.uid, version=version, document=dumps(document), created_at=moment
                )
            )
            await connection.execute(
                update(ivrs).where(ivrs.c.uid == before.uid).values(version=version, updated_at=moment)
            )
            await connection.execute(ivr_audio.delete().where(ivr_audio.c.ivr == before.uid))
            await self._references.write(connection, references(document), before.uid)
            await connection.execute(update(dids).where(dids.c.ivr == before.uid).values(revision=revision))
        return Ivr(before.uid, account, ivr_id, version, document, before.created_at, moment, before.dids)

    async def get(self, account: str, ivr_id: str) -> Ivr:
        async with self._database.reading() as connection:
            return await _ivr(connection, account, ivr_id)

    async def page(self, account: str, page: Page) -> Rows[Ivr]:
        query = page_of(_newest().where(ivrs.c.account == account), page, ivrs.c.created_at, ivrs.c.id)
        async with self._database.reading() as connection:
            found = await _with_dids(connection, (await connection.execute(query)).all())
        return rows(found, page, lambda ivr: (ivr.created_at, ivr.id))

    async def delete(self, account: str, ivr_id: str) -> None:
        async with self._database.writing() as connection:
            await next_revision(connection)
            ivr = await _ivr(connection, account, ivr_id)
            if ivr.dids:
                raise AssignedError(ivr.dids)
            await connection.execute(ivrs.delete().where(ivrs.c.uid == ivr.uid))

    async def assign(self, account: str, ivr_id: str, did: str) -> str | None:
        async with self._database.writing() as connection:
            revision = await next_revision(connection)
            uid = await ivr_uid(connection, account, ivr_id)
            held = (
                await connection.execute(
                    select(dids.c.account, ivrs.c.id)
                    .outerjoin_from(dids, ivrs, ivrs.c.uid == dids.c.ivr)
                    .where(dids.c.did == did)
                )
            ).first()
            if held is not None and held.account == account:
                await connection.execute(
                    update(dids).where(dids.c.did == did).values(ivr=uid, revision=revision)
                )
                return str(held.id) if held.id is not None else None
            if held is not None and held.account is not None:
                raise OwnedByAnotherError(did)
            await register(self._database, connection, did, account=account, ivr=uid, revision=revision)
            return None


def _newest() -> Select[Any]:
    return select(ivrs, ivr_versions.c.document).join(
        ivr_versions, (ivr_versions.c.ivr == ivrs.c.uid) & (ivr_versions.c.version == ivrs.c.version)
    )


async def _ivr(connection: AsyncConnection, account: str, ivr_id: str) -> Ivr:
    query = _newest().where(ivrs.c.account == account, ivrs.c.id == ivr_id)
    found = await _with_dids(connection, (await connection.execute(query)).all())
    if not found:
        raise NotFoundError("ivr")
    return found[0]


async def _with_dids(connection: AsyncConnection, found: Iterable[Row[Any]]) -> list[Ivr]:
    found = list(found)
    behind: defaultdict[str, list[str]] = defaultdict(list)
    if found:
        query = select(dids.c.ivr, dids.c.did).where(dids.c.ivr.in_([row.uid for row in found]))
        for uid, did in await connection.execute(query.order_by(dids.c.did)):
            behind[uid].append(did)
    return [
        Ivr(
            uid=row.uid,
            account=row.account,
            id=row.id,
            version=row.version,
            document=json.loads(row.document),
            created_at=row.created_at,
            updated_at=row.updated_at,
            dids=tuple(behind[row.uid]),
        )
        for row in found
    ]
