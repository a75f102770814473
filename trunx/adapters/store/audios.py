"""The accounts' audio in the database, and which sounds exist.

A sound that no audio points to has `unused_since`. It may go when it has been unused for a while, and when no
call is live that began before: calls play what they were told of as they began.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Row, Select, bindparam, delete, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from trunx.adapters.store.database import Database
from trunx.adapters.store.log import append
from trunx.adapters.store.meaning import IS_PLAYABLE, NAMED_BY, meant
from trunx.adapters.store.paging import page_of, rows
from trunx.adapters.store.revisions import next_revision
from trunx.adapters.store.tables import LIVE, Name, audios, calls, dids, ivr_audio, ivrs, now, sounds, spoken
from trunx.adapters.store.together import Together
from trunx.domain.audio import Audio, AudioStatus, Failure, Sound, SoundWarning, Source, Use
from trunx.domain.call import Event
from trunx.domain.errors import NotFoundError
from trunx.domain.log import EventType
from trunx.domain.records import Page, Rows
from trunx.domain.strict_json import dumps

UNUSED_KEPT = timedelta(seconds=60)
"""How long a sound stays unused before it may go: for whoever is about to use it, and for calls that begin
while the cache does not know yet.
"""

LONGEST_CALL = timedelta(hours=24)
"""A call that seems to be live for longer is one whose end nobody saw."""

_PORTION = 500  # names asked for at once, which holds up the event loop for some milliseconds

_INTERRUPTED = Failure("interrupted", "the server was stopped while it made this audio: make it again")

_log = structlog.get_logger()


class Audios:
    """Fulfils the port of the same name. `server` names this process, as the recorder's does."""

    def __init__(self, database: Database, *, server: str) -> None:
        self._database = database
        self._server = server
        self._keeping = Together(database, self._keep)

    async def add(self, audio: Audio) -> None:
        identity = {
            "id": audio.id,
            "account": audio.account,
            "created_at": audio.created_at,
            "server": self._server,
        }
        async with self._database.writing() as connection:
            revision = await next_revision(connection)
            if audio.sound is not None:
                await self._note(connection, [audio.sound], unused_since=None)
            await connection.execute(audios.insert().values(_values(audio) | identity))
            await _renewed(connection, audio, revision)

    async def settle(self, audio: Audio) -> Sequence[str]:
        settled = update(audios).where(audios.c.id == audio.id, audios.c.account == audio.account)
        async with self._database.writing() as connection:
            revision = await next_revision(connection)
            if audio.sound is not None:
                await self._note(connection, [audio.sound], unused_since=None)
            if (await connection.execute(settled.values(_values(audio)))).rowcount == 0:
                raise NotFoundError("audio")
            renewed = await _renewed(connection, audio, revision)
            if audio.failure is not None:
                await append(connection, [_failed(audio.account, audio.id, audio.name, audio.failure)])
            return renewed

    async def get(self, account: str, audio_id: str) -> Audio:
        async with self._database.reading() as connection:
            return await _audio(connection, account, audio_id)

    async def page(self, account: str, page: Page) -> Rows[Audio]:
        query = page_of(_all().where(audios.c.account == account), page, audios.c.created_at, audios.c.id)
        async with self._database.reading() as connection:
            found = [_read(row) for row in await connection.execute(query)]
        return rows(found, page, lambda each: (each.created_at, each.id))

    async def delete(self, account: str, audio_id: str) -> Sequence[str]:
        async with self._database.writing() as connection:
            revision = await next_revision(connection)
            deleted = await _audio(connection, account, audio_id)
            await connection.execute(delete(audios).where(audios.c.id == audio_id))
            if deleted.sound is not None:
                name = deleted.sound.name
                others = select(audios.c.id).where(audios.c.sound == name).exists()
                await connection.execute(
                    update(sounds).where(sounds.c.name == name, ~others).values(unused_since=now())
                )
            return await _renewed(connection, deleted, revision)

    async def uses(self, account: str, audio_ids: Collection[str]) -> Mapping[str, Sequence[Use]]:
        found: dict[str, list[Use]] = {audio_id: [] for audio_id in audio_ids}
        asked = select(*NAMED_BY).where(audios.c.account == account, audios.c.id.in_(found), IS_PLAYABLE)
        async with self._database.reading() as connection:
            names = {name for row in await connection.execute(asked) for name in row if name is not None}
            which = {"account": account, "names": list(names), "ids": list(found)}
            for audio_id, *use in await connection.execute(_USES, which):
                found[audio_id].append(Use(*use))
        return found

    async def unknown(self, account: str, names: Collection[str]) -> set[str]:
        asked, known = list(names), set[str]()
        async with self._database.reading() as connection:
            for start in range(0, len(asked), _PORTION):
                portion = asked[start : start + _PORTION]
                named = or_(*(column.in_(portion) for column in NAMED_BY))
                query = select(*NAMED_BY).where(audios.c.account == account, named, IS_PLAYABLE)
                known.update(*await connection.execute(query))
        return set(asked) - known

    async def end_lost(self) -> None:
        failed = {
            "status": AudioStatus.FAILED.value,
            "failure_code": _INTERRUPTED.code,
            "failure_message": _INTERRUPTED.message,
        }
        ended = update(audios).where(
            audios.c.server == self._server, audios.c.status == AudioStatus.PROCESSING
        )
        which = ended.values(failed).returning(audios.c.account, audios.c.id, audios.c.name)
        async with self._database.writing() as connection:
            lost = (await connection.execute(which)).all()
            await append(connection, [_failed(row.account, row.id, row.name, _INTERRUPTED) for row in lost])
        if lost:
            _log.warning(
                "audio that was being made when this server last ended is marked failed", audio=len(lost)
            )

    async def spoken(self, key: str) -> Sound | None:
        query = select(sounds).join(spoken, spoken.c.sound == sounds.c.name).where(spoken.c.key == key)
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).first()
        return None if row is None else _sound(row.name, row.ms, row.warnings)

    async def keep(self, sound: Sound, key: str | None = None) -> None:
        await self._keeping((sound, key))

    async def unused(self, limit: int) -> Sequence[str]:
        async with self._database.reading() as connection:
            droppable = sounds.c.unused_since < await _told_before(connection)
            query = select(sounds.c.name).where(droppable).order_by(sounds.c.unused_since).limit(limit)
            return (await connection.execute(query)).scalars().all()

    async def drop(self, sound: str) -> bool:
        async with self._database.writing() as connection:
            droppable = sounds.c.unused_since < await _told_before(connection)
            dropped = await connection.execute(delete(sounds).where(sounds.c.name == sound, droppable))
        return dropped.rowcount > 0

    async def _keep(
        self, connection: AsyncConnection, kept: Sequence[tuple[Sound, str | None]]
    ) -> Sequence[None]:
        # Whoever tells us again is about to use it: it must not be dropped before that.
        await self._note(connection, [sound for sound, _ in kept], unused_since=now())
        newest = {key: sound.name for sound, key in kept if key is not None}
        if newest:
            row = self._database.insert(spoken)
            said = row.on_conflict_do_update(
                index_elements=[spoken.c.key], set_={"sound": row.excluded.sound}
            )
            rows = [{"key": key, "sound": newest[key], "created_at": now()} for key in sorted(newest)]
            await connection.execute(said, rows)
        return [None] * len(kept)

    async def _note(
        self, connection: AsyncConnection, some: Collection[Sound], *, unused_since: datetime | None
    ) -> None:
        """Writes that the sounds exist; one that is in use stays so."""
        noted = self._database.insert(sounds).on_conflict_do_update(
            index_elements=[sounds.c.name],
            set_={"unused_since": unused_since},
            where=sounds.c.unused_since.is_not(None),
        )
        rows = [
            {
                "name": sound.name,
                "ms": sound.ms,
                "warnings": dumps([[warning.code, warning.message] for warning in sound.warnings]),
                "created_at": now(),
                "unused_since": unused_since,
            }
            # In one order, so that two processes do not wait for each other.
            for sound in sorted(some, key=lambda sound: sound.name)
        ]
        await connection.execute(noted, rows)


def _uses() -> Select[Any]:
    meanings = meant(
        (ivrs.c.account == bindparam("account", type_=Name))
        & ivr_audio.c.name.in_(bindparam("names", expanding=True))
    )
    return (
        select(meanings.c.audio, ivrs.c.id, ivr_audio.c.node, ivr_audio.c.field)
        .join(ivr_audio, (ivr_audio.c.ivr == meanings.c.ivr) & (ivr_audio.c.name == meanings.c.name))
        .join(ivrs, ivrs.c.uid == ivr_audio.c.ivr)
        .where(meanings.c.audio.in_(bindparam("ids", expanding=True)))
        .order_by(ivrs.c.id, ivr_audio.c.node, ivr_audio.c.field)
    )


_USES = _uses()  # put together once, which takes longer than the database


async def _told_before(connection: AsyncConnection) -> datetime:
    """No call that is live was told of a sound that has been unused since before this moment."""
    moment = now()
    live = calls.c.created_at > moment - LONGEST_CALL
    oldest = (await connection.execute(select(func.min(calls.c.created_at)).where(text(LIVE), live))).scalar()
    return min(moment, oldest or moment) - UNUSED_KEPT


async def _renewed(connection: AsyncConnection, changed: Audio, revision: int) -> Sequence[str]:
    """Gives `revision` to the DIDs whose trees name `changed`, if that can be heard; which they are."""
    if changed.status is not AudioStatus.READY:
        return []
    names = [name for name in (changed.id, changed.name, changed.filename) if name is not None]
    trees = (
        select(ivr_audio.c.ivr)
        .join(ivrs, ivrs.c.uid == ivr_audio.c.ivr)
        .where(ivrs.c.account == changed.account, ivr_audio.c.name.in_(names))
    )
    renewed = update(dids).where(dids.c.ivr.in_(trees)).values(revision=revision).returning(dids.c.did)
    return sorted((await connection.execute(renewed)).scalars())


def _failed(account: str, audio_id: str, name: str, failure: Failure) -> Event:
    told = {"audio": audio_id, "name": name, "code": failure.code, "message": failure.message}
    return Event(account, None, EventType.AUDIO_FAILED, now(), told, f"audio:{audio_id}:failed")


def _values(changed: Audio) -> dict[str, Any]:
    failure = changed.failure
    return {
        "name": changed.name,
        "source": changed.source.value,
        "status": changed.status.value,
        "text": changed.text,
        "provider": changed.provider,
        "voice": changed.voice,
        "filename": changed.filename,
        "sound": None if changed.sound is None else changed.sound.name,
        "failure_code": None if failure is None else failure.code,
        "failure_message": None if failure is None else failure.message,
    }


def _all() -> Select[Any]:
    return select(audios, sounds.c.ms, sounds.c.warnings).outerjoin_from(
        audios, sounds, sounds.c.name == audios.c.sound
    )


async def _audio(connection: AsyncConnection, account: str, audio_id: str) -> Audio:
    query = _all().where(audios.c.account == account, audios.c.id == audio_id)
    row = (await connection.execute(query)).first()
    if row is None:
        raise NotFoundError("audio")
    return _read(row)


def _read(row: Row[Any]) -> Audio:
    return Audio(
        id=row.id,
        account=row.account,
        name=row.name,
        source=Source(row.source),
        status=AudioStatus(row.status),
        created_at=row.created_at,
        text=row.text,
        provider=row.provider,
        voice=row.voice,
        filename=row.filename,
        sound=None if row.sound is None else _sound(row.sound, row.ms, row.warnings),
        failure=None if row.failure_code is None else Failure(row.failure_code, row.failure_message),
    )


def _sound(name: str, ms: int, warnings: str) -> Sound:
    return Sound(name, ms, tuple(SoundWarning(*warning) for warning in json.loads(warnings)))
