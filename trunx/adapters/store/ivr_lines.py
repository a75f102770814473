"""IVRs that are walked without a number of ours before them: by those whom we have called.

They are read from the database: a call that we place is slow enough, and need not go on without one.
"""

import structlog
from pydantic import ValidationError
from sqlalchemy import select

from trunx.adapters.store.database import Database
from trunx.adapters.store.meaning import meant
from trunx.adapters.store.tables import ivr_audio, ivr_versions, ivrs
from trunx.domain.document import IvrDocument
from trunx.domain.errors import NotFoundError
from trunx.domain.ivr import InvalidTreeError, build
from trunx.domain.records import Line

_log = structlog.get_logger()


class IvrLines:
    """Fulfils the port of the same name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def version(self, account: str, ivr: str) -> int:
        query = select(ivrs.c.version).where(ivrs.c.account == account, ivrs.c.id == ivr)
        async with self._database.reading() as connection:
            version = (await connection.execute(query)).scalar_one_or_none()
        if version is None:
            raise NotFoundError(ivr)
        return int(version)

    async def line(self, account: str, ivr: str, version: int) -> Line:
        query = (
            select(ivrs.c.uid, ivr_versions.c.document)
            .join(ivr_versions, ivr_versions.c.ivr == ivrs.c.uid)
            .where(ivrs.c.account == account, ivrs.c.id == ivr, ivr_versions.c.version == version)
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).first()
            if row is None:
                raise NotFoundError(ivr)
            played = meant(ivr_audio.c.ivr == row.uid)
            named = await connection.execute(
                select(played.c.name, played.c.sound).where(played.c.sound.is_not(None))
            )
            sounds = {one.name: one.sound for one in named}
        try:
            tree = build(IvrDocument.model_validate_json(row.document))
        except (ValidationError, InvalidTreeError) as error:
            _log.exception(
                "a stored IVR is no tree by today's rules", ivr=ivr, version=version, problem=str(error)[:500]
            )
            tree = None
        return Line(account, ivr, version, tree, sounds)
