"""Puts together what keeps recordings; `app.py` puts it into the whole."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from trunx.adapters.hosts.monitored import MonitorFolder
from trunx.adapters.store.database import Database
from trunx.adapters.store.recordings import Recordings as Rows
from trunx.adapters.store.recordings import Secrets
from trunx.adapters.studio.recordings import Finishing
from trunx.engine.ports import Switch
from trunx.engine.recording_keeper import Keeper
from trunx.engine.recordings import Recordings
from trunx.settings import PREFIX, Settings, SettingsError


@dataclass(frozen=True, slots=True)
class Recording:
    """What others use of it, and what is to run."""

    recordings: Recordings
    keeper: Keeper


@asynccontextmanager
async def recording(
    settings: Settings, database: Database, switch: Switch | None, public_url: str
) -> AsyncIterator[Recording]:
    """Raises `SettingsError`; `OSError`: the data folder cannot be written."""
    folder = settings.data_dir.resolve() / "recordings"
    folder.mkdir(mode=0o700, exist_ok=True)
    try:
        host = MonitorFolder(settings.recordings(), settings.ssh_known_hosts, settings.ssh_keys)
    except ValueError as error:
        raise SettingsError(f"{PREFIX}RECORDINGS_URL: {error}") from None
    rows, life = Rows(database), timedelta(days=settings.recording_days)
    recordings = Recordings(rows, Secrets(database), folder=folder, life=life, public_url=public_url)
    async with host, Finishing() as studio:
        keeper = Keeper(
            rows=rows,
            host=host,
            studio=studio,
            folder=folder,
            woken=recordings.woken,
            switch=switch,
            monitor=None,
            life=life,
            server=settings.server_name,
        )
        yield Recording(recordings, keeper)
