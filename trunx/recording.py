"""Puts together what keeps recordings; `app.py` puts it into the whole."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from trunx.adapters.ami.desk import Desk
from trunx.adapters.hosts.monitored import MonitorFolder
from trunx.adapters.store.actions import Actions
from trunx.adapters.store.database import Database
from trunx.adapters.store.dials import Dials
from trunx.adapters.store.recordings import Recordings as Rows
from trunx.adapters.store.recordings import Secrets
from trunx.adapters.studio.recordings import Finishing
from trunx.background import at_work
from trunx.engine.actions.record import Record
from trunx.engine.recording_keeper import Keeper
from trunx.engine.recordings import Recordings
from trunx.settings import PREFIX, Settings, SettingsError


@dataclass(frozen=True, slots=True)
class Recording:
    """What records live calls, and what keeps it, which tells how it is."""

    record: Record
    keeper: Keeper


def recordings(settings: Settings, database: Database, public_url: str) -> Recordings:
    """Raises `OSError`: the data folder cannot be written."""
    folder = _folder(settings)
    folder.mkdir(mode=0o700, exist_ok=True)
    return Recordings(
        Rows(database), Secrets(database), folder=folder, life=_life(settings), public_url=public_url
    )


@asynccontextmanager
async def recording(
    settings: Settings, database: Database, recordings: Recordings, desk: Desk | None
) -> AsyncIterator[Recording]:
    """Raises `SettingsError`."""
    try:
        host = MonitorFolder(settings.recordings(), settings.ssh_known_hosts, settings.ssh_keys)
    except ValueError as error:
        raise SettingsError(f"{PREFIX}RECORDINGS_URL: {error}") from None
    dials = Dials(database, server=settings.server_name)
    record = Record(actions=Actions(database), recordings=recordings, dials=dials, desk=desk)
    async with host, Finishing() as studio:
        keeper = Keeper(
            rows=Rows(database),
            host=host,
            studio=studio,
            folder=_folder(settings),
            woken=recordings.woken,
            switch=desk,
            monitor=None if desk is None else record,
            life=_life(settings),
            server=settings.server_name,
        )
        async with at_work(keeper.run()):
            yield Recording(record, keeper)


def _folder(settings: Settings) -> Path:
    return settings.data_dir.resolve() / "recordings"


def _life(settings: Settings) -> timedelta:
    return timedelta(days=settings.recording_days)
