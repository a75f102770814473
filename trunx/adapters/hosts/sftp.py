"""A host that is reached by SFTP: several files go at once on the one connection that `ssh_link.py` keeps."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path, PurePosixPath

import asyncssh
import structlog

from trunx.adapters.hosts.host import ENDINGS, PART, PART_LIFE, SHELVES, Address, HostError
from trunx.adapters.hosts.ssh_link import CHUNK, CLOSING, COMMAND, LOST, SshLink, words

LISTING = 60.0  # seconds for a look at all files: 100,000 of them on a slow link

_log = structlog.get_logger()


class SftpHost:
    """Fulfils `Host`. `keys` are private keys' files, beside those of the agent (`SSH_AUTH_SOCK`); without
    them asyncssh takes `~/.ssh/id_*`.
    """

    def __init__(self, address: Address, known_hosts: Path, keys: Sequence[Path]) -> None:
        self.place = address.place
        self._address = address
        self._link = SshLink(address, known_hosts, keys)
        # By this our half-written files are told from those that another process is writing.
        self._token = secrets.token_hex(4)
        self._writing: set[str] = set()
        self._told_of_gap = False

    async def connect(self) -> int:
        return await self._link.connect()

    async def files(self) -> Mapping[str, int]:
        found: dict[str, int] = {}
        async with self._talking() as sftp, asyncio.timeout(LISTING):
            for shelf in SHELVES:
                folder = self._path(shelf)
                left = []
                with suppress(asyncssh.SFTPNoSuchFile):
                    async for entry in sftp.scandir(folder):
                        name, size = str(entry.filename), entry.attrs.size
                        if not name.startswith("."):
                            found[f"{shelf}/{name}"] = -1 if size is None else size
                        elif name.endswith(PART) and self._is_left(name, entry.attrs.mtime):
                            left.append(f"{folder}/{name}")
                for path in left:
                    with suppress(asyncssh.SFTPNoSuchFile):
                        await sftp.remove(path)
        return found

    async def bring(self, sound: str, files: Mapping[Path, int], *, anew: bool) -> None:
        folder = str(PurePosixPath(self._path(sound)).parent)
        async with self._talking() as sftp:
            # Not a task group: its error would be a group of errors, and a lost connection gives one to each.
            results = await asyncio.gather(
                *(
                    self._put(sftp, source, size, f"{folder}/{source.name}", anew=anew)
                    for source, size in files.items()
                ),
                return_exceptions=True,
            )
            for result in results:
                if result is not None:
                    raise result

    async def take(self, sound: str) -> None:
        async with self._talking() as sftp:
            for ending in ENDINGS:
                async with asyncio.timeout(COMMAND):
                    with suppress(asyncssh.SFTPNoSuchFile):
                        await sftp.remove(self._path(sound + ending))

    async def close(self) -> None:
        await self._link.close()

    def _path(self, name: str) -> str:
        return f"{self._address.path}/{name}"

    def _is_left(self, name: str, changed: int | None) -> bool:
        if f".{self._token}-" in name:
            return name not in self._writing
        return changed is not None and changed < time.time() - PART_LIFE

    @asynccontextmanager
    async def _talking(self) -> AsyncIterator[asyncssh.SFTPClient]:
        try:
            async with self._link.talking() as sftp:
                yield sftp
        except asyncssh.SFTPPermissionDenied as error:
            raise HostError(
                f"we must not write to {self._address.path}: give that folder to the user that we log in as"
            ) from error
        except asyncssh.Error as error:
            raise HostError(
                f"{self._address.path} did not take a file ({words(error)}): is there room on that disk?"
            ) from error

    # --- one file

    async def _put(
        self, sftp: asyncssh.SFTPClient, source: Path, size: int, target: str, *, anew: bool
    ) -> None:
        if not anew and await _size(sftp, target) == size:
            return
        folder, _, name = target.rpartition("/")
        beside = f".{name}.{self._token}-{secrets.token_hex(4)}{PART}"
        part = f"{folder}/{beside}"
        self._writing.add(beside)
        try:
            await self._write(sftp, source, part, size)
            await self._rename(sftp, part, target)
        except LOST:
            raise  # what is left there goes when we are back
        except (asyncssh.Error, HostError, OSError):
            with suppress(asyncssh.Error):
                async with asyncio.timeout(COMMAND):
                    await sftp.remove(part)
            raise
        finally:
            self._writing.discard(beside)

    async def _write(self, sftp: asyncssh.SFTPClient, source: Path, part: str, size: int) -> None:
        with await asyncio.to_thread(source.open, "rb") as ours:
            try:
                async with asyncio.timeout(COMMAND):
                    theirs = await sftp.open(part, "xb")
            except asyncssh.SFTPNoSuchFile:
                async with asyncio.timeout(COMMAND):
                    await _make(sftp, PurePosixPath(part).parent)
                    theirs = await sftp.open(part, "xb")
            try:
                while chunk := await asyncio.to_thread(ours.read, CHUNK):
                    async with asyncio.timeout(COMMAND):
                        await theirs.write(chunk)
                async with asyncio.timeout(COMMAND):
                    await theirs.setstat(asyncssh.SFTPAttrs(permissions=0o644))  # Asterisk is another user
                    # Not every server can. A host that loses power is looked through when it is back, anyway.
                    with suppress(asyncssh.SFTPOpUnsupported):
                        await theirs.fsync()
            finally:
                with suppress(TimeoutError, asyncssh.Error):  # what failed before is what counts
                    async with asyncio.timeout(CLOSING):
                        await theirs.close()
        written = await _size(sftp, part)
        if written != size:
            raise HostError(f"{written} of {size} bytes arrived: is the host's disk full?")

    async def _rename(self, sftp: asyncssh.SFTPClient, part: str, target: str) -> None:
        async with asyncio.timeout(COMMAND):
            try:
                await sftp.posix_rename(part, target)
            except asyncssh.SFTPOpUnsupported:
                if not self._told_of_gap:
                    self._told_of_gap = True
                    _log.warning(
                        "this host's SFTP server cannot rename over a file (posix-rename@openssh.com): "
                        "a sound that is replaced is away for a moment",
                        host=self.place,
                    )
            else:
                return
            with suppress(asyncssh.SFTPNoSuchFile):
                await sftp.remove(target)
            await sftp.rename(part, target)


async def _size(sftp: asyncssh.SFTPClient, path: str) -> int | None:
    async with asyncio.timeout(COMMAND):
        with suppress(asyncssh.SFTPNoSuchFile):
            return (await sftp.stat(path)).size
    return None


async def _make(sftp: asyncssh.SFTPClient, folder: PurePosixPath) -> None:
    """Makes a folder that Asterisk's user can read, whatever the host's umask is."""
    if not await sftp.isdir(str(folder)):
        await _make(sftp, folder.parent)
        # Made at the same moment by another file on its way; anything else is told by what follows.
        with suppress(asyncssh.SFTPFailure, asyncssh.SFTPFileAlreadyExists):
            await sftp.mkdir(str(folder))
            await sftp.chmod(str(folder), 0o755)
