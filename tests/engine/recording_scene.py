"""What recordings are tested with: a real database, folder and studio; Asterisk as folder and channels."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text, update

from tests.adapters.monitor_files import as_asterisk, samples
from tests.adapters.recordings import speech
from trunx.adapters.hosts.monitored import MonitorFolder
from trunx.adapters.store.accounts import Accounts
from trunx.adapters.store.database import Database
from trunx.adapters.store.recorder import Recorder
from trunx.adapters.store.recording_tables import recordings
from trunx.adapters.store.recordings import Recordings as Rows
from trunx.adapters.store.recordings import Secrets
from trunx.adapters.store.tables import now
from trunx.adapters.studio.recordings import Finishing
from trunx.domain.call import Call, Status, new_call_id, public_call_id
from trunx.domain.channel import LiveChannel
from trunx.domain.errors import UnavailableError
from trunx.domain.recording import Recording, RecordingState, begun
from trunx.engine.recording_keeper import Keeper
from trunx.engine.recordings import Recordings

LIFE = timedelta(days=30)
SOUND = samples(speech(2, 8_000))
CHANNEL = "1700000000.7"


@dataclass
class Pbx:
    """Asterisk as far as recordings need it: the channels it has, and what it was told to stop."""

    present: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    ended_full: dict[str, bool] = field(default_factory=dict)
    is_away: bool = False

    async def channels(self) -> list[LiveChannel]:
        if self.is_away:
            raise UnavailableError("Asterisk is away")
        return [LiveChannel(name, f"PJSIP/{name}", up=True, context="c", exten="e") for name in self.present]

    async def stop(self, recording: Recording) -> None:
        self.stopped.append(recording.id)

    async def ended(self, recording: Recording, *, is_full: bool) -> None:
        self.ended_full[recording.id] = is_full


@dataclass
class Scene:
    """One server, its database, and Asterisk's folder."""

    database: Database
    rows: Rows
    recordings: Recordings
    account: str
    monitor: Path
    own: Path
    pbx: Pbx
    url: str
    key: Path | None = None
    known_hosts: Path = Path("nowhere")

    def call(self, **fields: Any) -> Call:
        identity = new_call_id()
        standing: dict[str, Any] = {
            "id": identity,
            "call_id": public_call_id(identity),
            "account": self.account,
            "direction": "outbound",
            "from_number": "+19495550100",
            "to_number": "+14155550123",
            "status": Status.ANSWERED,
            "created_at": now(),
            "answered_at": now(),
        }
        return Call(**standing | fields)

    async def write(self, *some: Call) -> None:
        async with Recorder(self.database, server="tests") as recorder:
            for one in some:
                recorder.call(one)
            await recorder.flush()

    async def begin(self, **how: Any) -> Recording:
        """As a call's action does."""
        recording = begun(how.pop("call", None) or self.call(), CHANNEL, how.pop("at", None) or now(), **how)
        await self.recordings.begin(recording)
        return recording

    def record(self, recording: Recording, *, closed: bool = True) -> list[Path]:
        """As Asterisk does."""
        (self.monitor / "trunx/calls").mkdir(parents=True, exist_ok=True)
        return [as_asterisk(self.monitor / file, SOUND, closed=closed) for file in recording.files]

    async def state(self, recording: Recording) -> RecordingState | None:
        return (await self.rows.states([recording.id])).get(recording.id)

    async def until(self, recording: Recording, state: RecordingState | None, deadline: float = 15) -> None:
        async def reached() -> bool:
            return await self.state(recording) is state

        await sooner_or_later(reached, deadline)

    async def until_tried(self, recording: Recording, times: int) -> Recording:
        """Waits until somebody has begun to fetch it so often."""

        async def tried() -> bool:
            return (await self.rows.get(recording.id)).tries >= times

        await sooner_or_later(tried)
        return await self.rows.get(recording.id)

    async def age(self, recording: Recording, **values: Any) -> None:
        """Puts times of its row back."""
        async with self.database.writing() as connection:
            own = update(recordings).where(recordings.c.id == recording.id)
            await connection.execute(own.values(**values))

    async def told(self) -> list[str]:
        async with self.database.reading() as connection:
            query = text("SELECT type FROM events WHERE type LIKE 'recording.%' ORDER BY seq")
            return list((await connection.execute(query)).scalars())

    @asynccontextmanager
    async def keeper(self, *, runs: bool = True) -> AsyncIterator[Keeper]:
        """A process that keeps recordings."""
        keys = [self.key] if self.key else []
        async with MonitorFolder(self.url, self.known_hosts, keys) as host, Finishing() as studio:
            keeper = Keeper(
                rows=self.rows,
                host=host,
                studio=studio,
                folder=self.own,
                woken=self.recordings.woken,
                switch=self.pbx,
                monitor=self.pbx,
                life=LIFE,
                server="one",
            )
            if not runs:
                yield keeper
                return
            running = asyncio.create_task(keeper.run())
            try:
                yield keeper
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
                assert running.cancelled()


@asynccontextmanager
async def opened_scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """A server that nobody has used yet."""
    own, monitor = tmp_path / "recordings", tmp_path / "monitor"
    own.mkdir()
    monitor.mkdir()
    async with Database.open(f"sqlite:///{tmp_path}/trunx.db") as database:
        rows = Rows(database)
        account = (await Accounts(database).create("Ada")).id
        recordings = Recordings(
            rows, Secrets(database), folder=own, life=LIFE, public_url="https://trunx.example.com"
        )
        pbx = Pbx([CHANNEL])
        yield Scene(database, rows, recordings, account, monitor, own, pbx, monitor.as_uri())


def left(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


async def sooner_or_later(is_so: Callable[[], Awaitable[bool]], deadline: float = 15) -> None:
    """Waits for what has no event of its own."""
    async with asyncio.timeout(deadline):
        while not await is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
