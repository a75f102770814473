"""Sounds on every host that Asterisk runs on, brought there from our own folder.

Without hosts our own folder is the one that Asterisk plays from, and there is nothing to bring. A host that
is down costs nobody else anything: each has its own pauses, and is caught up when it is back.
"""

import asyncio
from collections.abc import Collection, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Self

from trunx.adapters.hosts.folder import FolderHost
from trunx.adapters.hosts.host import Address, Host, checked, parse
from trunx.adapters.hosts.sftp import SftpHost
from trunx.adapters.hosts.sound_folder import SoundFolder
from trunx.adapters.hosts.staged import StagedSounds
from trunx.adapters.hosts.supply import Progress, Supply, Synced
from trunx.adapters.store.database import Database
from trunx.domain.audio import Staged, StagingState
from trunx.domain.errors import UnavailableError
from trunx.domain.records import PartState

KNOWN_HOSTS = Path("~/.ssh/known_hosts")
_LOCAL = "local"


class Staging:
    """Fulfils the port of the same name; used as a context manager, which owns the connections.

    `run` must go beside it: it brings what `stage` could not, and takes away what `remove` was told of.
    `urls` are as `hosts.parse` takes them, `keys` private keys' files for SFTP beside those of the agent.

    Raises:
        ValueError: a URL cannot be used, or two name the same folder.
    """

    def __init__(
        self,
        database: Database,
        own: SoundFolder,
        urls: Sequence[str] = (),
        *,
        known_hosts: Path | None = None,
        keys: Sequence[Path] = (),
        patience: float = 5.0,
    ) -> None:
        addresses = [parse(url) for url in urls]
        places = [address.place for address in addresses]
        twice = next((place for place in places if places.count(place) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice} is named twice")
        if own.root.resolve() in (Path(each.path).resolve() for each in addresses if each.host is None):
            raise ValueError(
                f"{own.root} is our own folder of sounds: it is played from when no host is named"
            )
        self._own = own
        self._rows = StagedSounds(database)
        self._patience = patience
        known = (known_hosts or KNOWN_HOSTS).expanduser()
        private = [key.expanduser() for key in keys]
        self._supplies = [Supply(_host(each, known, private), self._rows, own.root) for each in addresses]
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(supply.close() for supply in self._supplies))

    async def stage(self, sound: str) -> None:
        """See the port. Raises `ValueError`: the name is none that we gave."""
        checked(sound)
        tasks = [self._start(supply.bring(sound)) for supply in self._supplies]
        if tasks:
            await asyncio.wait(tasks, timeout=self._patience)  # what takes longer goes on

    async def states(self, sounds: Collection[str]) -> Mapping[str, Sequence[Staged]]:
        if not self._supplies:
            return {sound: [Staged(_LOCAL, StagingState.STAGED)] for sound in sounds}
        noted = await self._rows.states([supply.place for supply in self._supplies], sounds)
        return {
            sound: [
                noted[sound].get(supply.place) or Staged(supply.place, StagingState.PENDING, supply.problem)
                for supply in self._supplies
            ]
            for sound in sounds
        }

    async def remove(self, sound: str) -> None:
        """Deletes the files of a sound that the database has forgotten, on the hosts within moments; leaves
        alone one that it knows (again).

        Raises:
            ValueError: the name is none that we gave.
            UnavailableError: the database cannot be asked, or our own files cannot be deleted.
        """
        checked(sound)
        if await self._rows.knows(sound):
            return
        try:
            await asyncio.to_thread(_delete, self._own.root / sound)
        except OSError as error:
            raise UnavailableError(f"{error.filename}: {error.strerror}") from error
        for supply in self._supplies:
            supply.wake()

    async def run(self) -> None:
        """For ever, when there are hosts: keeps all of them supplied."""
        async with asyncio.TaskGroup() as group:
            for supply in self._supplies:
                group.create_task(supply.run())

    async def sync(self, progress: Progress) -> Mapping[str, Synced]:
        """Looks through all hosts at once and brings what they lack; what was done, by the host's place.

        All is well when none of them tells a problem or misses a sound.
        """
        done = await asyncio.gather(*(supply.sync(progress) for supply in self._supplies))
        return {supply.place: each for supply, each in zip(self._supplies, done, strict=True)}

    async def state(self) -> PartState:
        """How the hosts were when they were last spoken to. Never `down` for a host: calls and API go on."""
        own = await self._own.state()
        if not self._supplies or own.state != "ok":
            return own
        behind = [trouble for supply in self._supplies if (trouble := _trouble(supply)) is not None]
        if behind:
            return PartState(own.name, "degraded", "; ".join(behind))
        return PartState(own.name, "ok", ", ".join(supply.place for supply in self._supplies))

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _host(address: Address, known_hosts: Path, keys: Sequence[Path]) -> Host:
    return FolderHost(address) if address.host is None else SftpHost(address, known_hosts, keys)


def _trouble(supply: Supply) -> str | None:
    if not supply.looked and supply.problem is None:
        return f"{supply.place}: not looked at yet"
    lacking = f"{supply.lacking} sounds missing" if supply.lacking else None
    told = ", ".join(part for part in (lacking, supply.problem) if part is not None)
    return f"{supply.place}: {told}" if told else None


def _delete(path: Path) -> None:
    for file in path.parent.glob(f"{path.name}.*"):
        file.unlink(missing_ok=True)
