"""A real PostgreSQL of our own: a temporary cluster on a unix socket and a free loopback port, ended with us.

PostgreSQL refuses to run as root; then the system's `postgres` user runs it, as Debian's package makes one.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

BINARIES = "/usr/lib/postgresql"  # Debian and Ubuntu: one folder a major version
_START_DEADLINE = 20.0


class Postgres:
    """A cluster that can be stopped and started; `url(name)` is what `TRUNX_DATABASE_URL` takes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self._programs = _programs()
        self._server: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Iterator[Self]:
        """A new cluster, gone afterwards."""
        folder = Path(tempfile.mkdtemp(prefix="trunx-postgres-"))
        cluster = cls(folder)
        try:
            cluster.make()
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
            shutil.rmtree(folder, ignore_errors=True)

    def make(self) -> None:
        """An empty cluster that trusts whoever connects and does not wait for the disk."""
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        self._run(
            "initdb",
            "--auth=trust",
            "--username=postgres",
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
        )

    def start(self) -> None:
        """Starts the server and returns when it answers."""
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.folder,
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": 60,
            "shared_buffers": "16MB",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                self._command("postgres", "-D", str(self.folder / "data"), *options),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        deadline = time.monotonic() + _START_DEADLINE
        while not self._answers():
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "log").read_text())
            time.sleep(0.02)  # it tells nobody when it listens

    def stop(self) -> None:
        """Ends the server at once, and the connections to it."""
        if self._server is not None and self._server.poll() is None:
            # PostgreSQL's immediate shutdown; setpriv replaces itself by the server (exec), which so gets it.
            self._server.send_signal(signal.SIGQUIT)
            self._server.wait(_START_DEADLINE)
        self._server = None

    def create(self, name: str) -> str:
        """A new empty database; its URL."""
        self._run(
            "createdb", "-h", str(self.folder), "-p", str(self.port), "-U", "postgres", name, cluster=False
        )
        return self.url(name)

    def url(self, name: str) -> str:
        return f"postgresql://postgres:s3cret@127.0.0.1:{self.port}/{name}"

    def _answers(self) -> bool:
        probe = self._command("pg_isready", "-q", "-h", str(self.folder), "-p", str(self.port))
        return subprocess.run(probe, check=False).returncode == 0

    def _run(self, program: str, *arguments: str, cluster: bool = True) -> None:
        where = ["-D", str(self.folder / "data")] if cluster else []
        done = subprocess.run(
            self._command(program, *where, *arguments), check=False, capture_output=True, cwd=self.folder
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program}: {done.stderr.decode()}")

    def _command(self, program: str, *arguments: str) -> Sequence[str]:
        command = [str(self._programs / program), *arguments]
        if os.geteuid() != 0:
            return command
        return [
            "setpriv",
            "--reuid=postgres",
            "--regid=postgres",
            "--init-groups",
            "--pdeathsig=QUIT",
            *command,
        ]


def _programs() -> Path:
    found = sorted(Path(BINARIES).glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise RuntimeError(f"no PostgreSQL under {BINARIES}: apt-get install postgresql")
    return found[-1].parent


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
