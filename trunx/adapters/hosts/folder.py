"""A host whose sounds folder this machine sees itself: its own, or one that is mounted.

A mount may hang for ever, and then nothing ends the thread that waits for it: each folder has two threads of
its own, so that the rest of the server keeps its threads.
"""

import asyncio
import errno
import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from trunx.adapters.hosts.host import ENDINGS, PART, PART_LIFE, SHELVES, Address, HostError, UnreachableError

DEADLINE = 30.0  # seconds for a sound, or for a look at all of them

_Result = TypeVar("_Result")


class FolderHost:
    """Fulfils `Host`. Folders that are missing are made."""

    def __init__(self, address: Address) -> None:
        self.place = address.place
        self._root = Path(address.path)
        self._threads = ThreadPoolExecutor(2, "sounds")

    async def connect(self) -> int:
        await self._do(self._look)
        return 0

    async def files(self) -> Mapping[str, int]:
        return await self._do(lambda: listing(self._root))

    async def bring(self, sound: str, files: Mapping[Path, int], *, anew: bool) -> None:
        folder = (self._root / sound).parent

        def copy() -> None:
            _make(folder)
            for source, size in files.items():
                _copy(source, size, folder / source.name, anew=anew)

        await self._do(copy)

    async def take(self, sound: str) -> None:
        path = self._root / sound

        def delete() -> None:
            for ending in ENDINGS:
                path.with_name(path.name + ending).unlink(missing_ok=True)

        await self._do(delete)

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _look(self) -> None:
        _make(self._root)
        if not os.access(self._root, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self._root))

    async def _do(self, work: Callable[[], _Result]) -> _Result:
        try:
            async with asyncio.timeout(DEADLINE):
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except TimeoutError:
            raise UnreachableError(
                f"the folder did not answer within {DEADLINE:.0f} s: is it a mount whose server is away?"
            ) from None
        except OSError as error:
            raise HostError(
                f"{error.filename or self._root}: {error.strerror}: our user needs to write there"
            ) from error


def listing(root: Path) -> dict[str, int]:
    """The files of staged sounds below `root`, as `Host.files` tells them."""
    found = {}
    for shelf in SHELVES:
        with suppress(FileNotFoundError), os.scandir(root / shelf) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # other processes move and delete files too
                    status = entry.stat()
                    if not entry.name.startswith("."):
                        found[f"{shelf}/{entry.name}"] = status.st_size
                    elif entry.name.endswith(PART) and status.st_mtime < time.time() - PART_LIFE:
                        Path(entry.path).unlink()
    return found


def _make(folder: Path) -> None:
    """Makes a folder that Asterisk's user can read, whatever our umask is."""
    if not folder.is_dir():
        _make(folder.parent)
        with suppress(FileExistsError):  # made at the same moment; anything else is told by what follows
            folder.mkdir()
            folder.chmod(0o755)


def _copy(source: Path, size: int, target: Path, *, anew: bool) -> None:
    with suppress(FileNotFoundError):
        if not anew and target.stat().st_size == size:
            return
    part = target.with_name(f".{target.name}.{secrets.token_hex(8)}{PART}")
    try:
        with source.open("rb") as ours, part.open("xb") as theirs:
            shutil.copyfileobj(ours, theirs)
            theirs.flush()
            os.fchmod(theirs.fileno(), 0o644)  # Asterisk runs as another user
            os.fsync(theirs.fileno())
        part.replace(target)
    except BaseException:  # an interrupt too: half a file must not stay on the host
        part.unlink(missing_ok=True)
        raise
