"""Our own folder of sounds and the database's list of them, filled as the library fills them; and the staging
of what is in it.
"""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import delete

from sounds import ENGINE
from tests.peers.ssh import SshPeer
from trunx.adapters.hosts.sound_folder import SoundFolder
from trunx.adapters.hosts.staging import Staging
from trunx.adapters.store.database import Database
from trunx.adapters.store.tables import now, sounds
from trunx.domain.audio import StagingState

SIZES = {".ulaw": 40_000, ".alaw": 40_000, ".sln16": 120_000, ".wav": 120_044}
PROMPTS = sorted(f"{prompt.sound}.ulaw" for prompt in ENGINE.values())


class SoundStore:
    """Sounds are random bytes, and so of random names."""

    def __init__(self, root: Path, database: Database) -> None:
        self.own = SoundFolder(root)
        self._database = database

    async def open(self) -> None:
        """Puts the engine's prompts in, as a start does."""
        for prompt in ENGINE.values():
            await self.own.stage(prompt.sound, ".ulaw", prompt.path.read_bytes(), prompt.words)

    async def make(self, *, scale: int = 1) -> str:
        """A new sound that an audio points to; a `scale` of 10 is about 2 MB."""
        sound = f"trunx/audio/{secrets.token_hex(16)}"
        await self.make_files(sound, scale=scale)
        await self.note(sound)
        return sound

    async def make_files(self, sound: str, *, scale: int = 1) -> None:
        for ending, size in SIZES.items():
            await self.own.stage(sound, ending, os.urandom(size * scale))

    async def note(self, sound: str) -> None:
        async with self._database.writing() as connection:
            await connection.execute(
                sounds.insert().values(name=sound, ms=5000, warnings="[]", created_at=now())
            )

    async def drop(self, sound: str) -> None:
        """The last audio went, and nobody can be playing it."""
        async with self._database.writing() as connection:
            await connection.execute(delete(sounds).where(sounds.c.name == sound))

    def files(self, sound: str) -> list[str]:
        """Those that a host gets."""
        return [sound + ending for ending in (".alaw", ".sln16", ".ulaw")]

    def is_on(self, folder: Path, *names: str) -> bool:
        """Whether `folder` has the same bytes in all of the sounds' files."""
        return all(
            (folder / file).is_file() and (folder / file).read_bytes() == (self.own.root / file).read_bytes()
            for sound in names
            for file in self.files(sound)
        )


def found(folder: Path) -> list[str]:
    """All files below a sounds folder, the hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


class StagingOpener:
    """Opens `Staging` to some hosts, with `run` beside it when asked."""

    def __init__(self, store: SoundStore, database: Database) -> None:
        self._store = store
        self._database = database

    @asynccontextmanager
    async def __call__(
        self, *hosts: SshPeer | str, running: bool = False, patience: float = 5.0
    ) -> AsyncIterator[Staging]:
        peers = [host for host in hosts if isinstance(host, SshPeer)]
        known = self._store.own.root.parent / "known_hosts"
        known.write_text("".join(peer.known_hosts.read_text() for peer in peers if peer.known_hosts.exists()))
        async with Staging(
            self._database,
            self._store.own,
            [host.url if isinstance(host, SshPeer) else host for host in hosts],
            known_hosts=known,
            keys=[peer.key for peer in peers],
            patience=patience,
        ) as staging:
            if not running:
                yield staging
                return
            run = asyncio.create_task(staging.run())
            try:
                yield staging
            finally:
                run.cancel()
                await asyncio.gather(run, return_exceptions=True)
                assert run.cancelled()


async def until_state(staging: Staging, state: str, said: str = "", deadline: float = 10.0) -> None:
    async with asyncio.timeout(deadline):
        while (told := await staging.state()).state != state or said not in told.detail:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def problem_with(staging: Staging, sound: str, place: str) -> str:
    told = next(each for each in (await staging.states([sound]))[sound] if each.host == place)
    assert told.state is StagingState.PENDING
    return told.problem or ""
