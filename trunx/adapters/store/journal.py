"""Opt-outs that the database could not take: a file of JSON lines, on the disk before `write` returns.

Replaying moves the file aside under a second name, brings its entries to the database, and only then deletes
it. A crash at any moment leaves one of the two names, and adding an entry twice changes nothing. Locks on
files keep writers and replays apart, because several processes may share the data folder.
"""

import asyncio
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.exc import SQLAlchemyError

from trunx.adapters.store.suppressions import Suppressions
from trunx.domain.errors import UnavailableError
from trunx.domain.records import Suppression

REPLAY_EVERY = 3.0  # seconds between two tries to bring the entries home
_BATCH = 1_000

_log = structlog.get_logger()
_entry = TypeAdapter(Suppression)


class Journal:
    """Fulfils the port of the same name. `path` is the file, made at the first write.

    Beside it stand `<path>.replaying` while entries are brought home, and `<path>.damaged` with lines that
    nothing could be made of.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._replaying = path.with_name(path.name + ".replaying")
        self._damaged = path.with_name(path.name + ".damaged")
        # Held in the thread that touches the file: a cancelled `write` goes on there.
        self._turn = path.with_name(f".{path.name}.turn")
        self._replay = path.with_name(f".{path.name}.replay")

    @property
    def waiting(self) -> bool:
        """Whether entries wait for the database."""
        return self._path.exists() or self._replaying.exists()

    async def write(self, entry: Suppression) -> None:
        """On the disk when this returns; a cancelled write is still carried out. Raises `OSError`."""
        line = _entry.dump_json(entry)
        writing = asyncio.get_running_loop().run_in_executor(None, self._append, self._path, line)
        await asyncio.shield(writing)  # a cancellation would withdraw what no thread has begun yet
        _log.warning("an opt-out is kept on disk until the database is back", call=entry.call)

    async def replay_for_ever(self, suppressions: Suppressions) -> None:
        """`replay` now and every few seconds."""
        while True:
            try:
                await self.replay(suppressions)
            except UnavailableError:
                pass  # the database has logged it
            except OSError as error:
                _log.exception("opt-outs on disk cannot be brought to the database", problem=str(error))
            await asyncio.sleep(REPLAY_EVERY)

    async def replay(self, suppressions: Suppressions) -> int:
        """Brings all entries to the database, in their order; how many there were.

        Raises:
            UnavailableError: the database is still away, and all entries are kept.
            OSError: the file cannot be read or moved.
        """
        brought = 0
        if not self.waiting:
            return brought
        with suppress(BlockingIOError), _locked(self._replay, fcntl.LOCK_EX | fcntl.LOCK_NB):
            # Twice when a former run ended in the middle: first its file, then what was written since.
            while lines := await asyncio.to_thread(self._aside):
                entries = await self._read(lines)
                for start in range(0, len(entries), _BATCH):
                    await self._add(suppressions, entries[start : start + _BATCH])
                await asyncio.to_thread(self._forget)
                brought += len(entries)
        if brought:
            _log.info("opt-outs that were kept on disk are in the database", entries=brought)
        return brought

    def _append(self, path: Path, line: bytes) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(self._turn):
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                size = os.fstat(descriptor).st_size
                # A power cut may have torn the last line: the next one must not be glued to it.
                is_torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
                written = (b"\n" if is_torn else b"") + line + b"\n"
                while written:
                    written = written[os.write(descriptor, written) :]
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            # Every time: who made the file may have been killed before its name was on the disk.
            _sync_folder(path.parent)

    def _aside(self) -> list[bytes]:
        """The lines to replay, in a file that nobody appends to."""
        with _locked(self._turn):
            if not self._replaying.exists():
                if not self._path.exists():
                    return []
                self._path.rename(self._replaying)
                _sync_folder(self._path.parent)
            # A file without a whole line is replayed too: it has to go.
            return self._replaying.read_bytes().split(b"\n")

    def _forget(self) -> None:
        with _locked(self._turn):
            self._replaying.unlink()
            _sync_folder(self._path.parent)

    async def _read(self, lines: Sequence[bytes]) -> list[Suppression]:
        entries = []
        for line in lines:
            try:
                if line:
                    entries.append(_entry.validate_json(line))
            except ValidationError:
                await self._keep_aside(line, "torn, or not ours")
        return entries

    async def _add(self, suppressions: Suppressions, entries: Sequence[Suppression]) -> None:
        try:
            await suppressions.add(entries)
        except (SQLAlchemyError, ValueError) as error:
            # One entry that the database refuses must not hold up all the others.
            if len(entries) == 1:
                await self._keep_aside(_entry.dump_json(entries[0]), str(error))
                return
            for entry in entries:
                await self._add(suppressions, [entry])

    async def _keep_aside(self, line: bytes, problem: str) -> None:
        await asyncio.to_thread(self._append, self._damaged, line)
        _log.error(
            "an opt-out on disk cannot be brought to the database: read the file and add the number by hand",
            file=str(self._damaged),
            problem=problem,
        )


@contextmanager
def _locked(path: Path, how: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Holds the lock of a file. Raises `BlockingIOError` when `how` says not to wait for it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """A new name in a folder survives a power cut only once the folder itself is written."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
