"""Asterisk's monitor folder, from which recordings are brought here: seen by this machine, or by SFTP.

Whoever fetches a file knows that it does not grow any more. What an earlier try has brought of it is
therefore right, and is gone on with.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, Self, TypeVar

import asyncssh

from dialplan.names import RECORDINGS
from trunx.adapters.hosts.host import PART, Address, HostError, parse
from trunx.adapters.hosts.ssh_link import CHUNK, CLOSING, COMMAND, SshLink, words
from trunx.domain.errors import NotFoundError, UnavailableError

DEADLINE = 30.0  # seconds for an answer of a folder that we see, and for each 128 KB of a file
LISTING = 60.0  # seconds for a look at all files

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class _Source:
    """An open file there. `read` gives what is at an offset, at most `CHUNK` bytes."""

    size: int
    read: Callable[[int], Awaitable[bytes]]


class _Folder(Protocol):
    """Either kind. Every method raises `HostError`, after a while at the latest."""

    async def names(self) -> Collection[str]: ...

    def opened(self, file: str) -> AbstractAsyncContextManager[_Source | None]:
        """None: there is no such file. Raises `HostError` also when the file's folder is not there."""

    async def remove(self, file: str) -> None: ...

    async def close(self) -> None: ...


class MonitorFolder:
    """Fulfils `Monitored`; used as a context manager, which owns the connection. `url` is as `hosts.parse`
    takes it; `keys` are private keys' files for SFTP, beside those of the agent.

    Raises:
        ValueError: the URL cannot be used.
    """

    def __init__(self, url: str, known_hosts: Path, keys: Sequence[Path] = ()) -> None:
        address = parse(url)
        self.place = address.place
        private = [key.expanduser() for key in keys]
        self._folder: _Folder = (
            _Seen(address) if address.host is None else _BySftp(address, known_hosts.expanduser(), private)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._folder.close()

    async def names(self) -> Collection[str]:
        try:
            return await self._folder.names()
        except HostError as error:
            raise self._unavailable(error) from error

    async def fetch(self, file: str, target: Path) -> None:
        try:
            async with self._folder.opened(file) as source:
                if source is None:
                    raise NotFoundError(file)
                await _brought(source, target)
        except HostError as error:
            raise self._unavailable(error) from error

    async def remove(self, file: str) -> None:
        try:
            await self._folder.remove(file)
        except HostError as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: HostError) -> UnavailableError:
        return UnavailableError(f"{self.place}: {error}")


async def _brought(source: _Source, target: Path) -> None:
    part = target.with_name(target.name + PART)
    ours = await asyncio.to_thread(part.open, "ab")
    try:
        done = ours.tell()
        if done > source.size:  # it is another file than the one that was begun
            done = await asyncio.to_thread(ours.truncate, 0)
        while done < source.size:
            piece = await source.read(done)
            if not piece:
                raise HostError(f"the file has {done} of the {source.size} bytes that it had a moment ago")
            await asyncio.to_thread(ours.write, piece)
            done += len(piece)
        await asyncio.to_thread(_to_disk, ours)
    finally:
        ours.close()
    await asyncio.to_thread(part.replace, target)


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


class _Seen:
    """A folder of this machine, or a mount: nothing ends a thread that waits for a dead one, so it has its
    own.
    """

    def __init__(self, address: Address) -> None:
        self._root = Path(address.path)
        self._threads = ThreadPoolExecutor(2, "recordings")

    async def names(self) -> Collection[str]:
        def listed() -> list[str]:
            with suppress(FileNotFoundError):
                return [path.name for path in (self._root / RECORDINGS).iterdir()]
            return []

        return await self._do(listed)

    @asynccontextmanager
    async def opened(self, file: str) -> AsyncIterator[_Source | None]:
        path = self._root / file

        def found() -> BinaryIO | None:
            try:
                return path.open("rb")
            except FileNotFoundError:
                if not path.parent.is_dir():
                    raise _no_folder(str(path.parent)) from None
                return None

        theirs = await self._do(found)
        if theirs is None:
            yield None
            return
        try:
            size = await self._do(lambda: os.fstat(theirs.fileno()).st_size)

            async def read(at: int) -> bytes:
                return await self._do(lambda: os.pread(theirs.fileno(), CHUNK, at))

            yield _Source(size, read)
        finally:
            theirs.close()

    async def remove(self, file: str) -> None:
        await self._do(lambda: (self._root / file).unlink(missing_ok=True))

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _do(self, work: Callable[[], _Result]) -> _Result:
        try:
            async with asyncio.timeout(DEADLINE):
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except TimeoutError:
            raise HostError(
                f"no answer within {DEADLINE:.0f} s: is it a mount whose server is away?"
            ) from None
        except OSError as error:
            raise HostError(
                f"{error.filename or self._root}: {error.strerror}: our user needs to read and delete there"
            ) from error


class _BySftp:
    """A folder of another host."""

    def __init__(self, address: Address, known_hosts: Path, keys: Sequence[Path]) -> None:
        self._root = address.path
        self._link = SshLink(address, known_hosts, keys)

    async def names(self) -> Collection[str]:
        async with self._talking() as sftp, asyncio.timeout(LISTING):
            with suppress(asyncssh.SFTPNoSuchFile):
                entries = sftp.scandir(f"{self._root}/{RECORDINGS}")
                return [name async for entry in entries if (name := str(entry.filename)) not in {".", ".."}]
            return []

    @asynccontextmanager
    async def opened(self, file: str) -> AsyncIterator[_Source | None]:
        path = f"{self._root}/{file}"
        async with self._talking() as sftp:
            try:
                async with asyncio.timeout(COMMAND):
                    theirs = await sftp.open(path, "rb")
            except asyncssh.SFTPNoSuchFile:
                async with asyncio.timeout(COMMAND):
                    folder = path.rpartition("/")[0]
                    if not await sftp.isdir(folder):
                        raise _no_folder(folder) from None
                yield None
                return
            try:
                async with asyncio.timeout(COMMAND):
                    size = (await theirs.stat()).size or 0

                async def read(at: int) -> bytes:
                    async with asyncio.timeout(COMMAND):
                        piece = await theirs.read(CHUNK, at)
                    return piece if isinstance(piece, bytes) else piece.encode()

                yield _Source(size, read)
            finally:
                with suppress(TimeoutError, asyncssh.Error):  # what failed before is what counts
                    async with asyncio.timeout(CLOSING):
                        await theirs.close()

    async def remove(self, file: str) -> None:
        async with self._talking() as sftp, asyncio.timeout(COMMAND):
            with suppress(asyncssh.SFTPNoSuchFile):
                await sftp.remove(f"{self._root}/{file}")

    async def close(self) -> None:
        await self._link.close()

    @asynccontextmanager
    async def _talking(self) -> AsyncIterator[asyncssh.SFTPClient]:
        try:
            async with self._link.talking() as sftp:
                yield sftp
        except asyncssh.Error as error:
            raise HostError(
                f"{words(error)}: the user that we log in as needs to read and delete there"
            ) from error


def _no_folder(folder: str) -> HostError:
    return HostError(
        f"there is no folder {folder}: Asterisk has recorded nothing yet, or its monitor folder is another"
    )
