"""The installed command in subprocesses: servers on free ports with their own data, and calls to them."""

import http.client
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests import secrecy
from trunx.settings import variable

TRUNX = str(Path(sys.executable).with_name("trunx"))
DID = "+19495551234"
CALLER = "+12025550123"


_SETTINGS = ("TRUNX_", "ELEVENLABS_", "ULTRAVOX_")


def environment(folder: Path, **settings: object) -> dict[str, str]:
    """The tests' own environment with nothing of trunx in it but `settings` (`agi_port=0`)."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
    given = {variable(name): str(value) for name, value in settings.items()}
    return (
        clean
        | {"TRUNX_DATA_DIR": str(folder / "data"), "TRUNX_HTTP_PORT": "0", "TRUNX_AGI_PORT": "0"}
        | given
    )


def run(
    folder: Path, *arguments: str, stdin: str = "", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The command to its end."""
    return subprocess.run(
        [TRUNX, *arguments],
        cwd=folder,
        env=env or environment(folder),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def read_until(stream: IO[str] | None, mark: str) -> str:
    """What came up to the end of the line that holds `mark`."""
    assert stream is not None
    lines = []
    for line in stream:
        lines.append(line)
        if mark in line:
            return "".join(lines)
    raise AssertionError(f"the program ended before it said {mark!r}: {''.join(lines)}")


@dataclass
class Serving:
    """A running `trunx serve`; `said` is what it announced."""

    process: subprocess.Popen[str]
    folder: Path
    said: str
    http_port: int
    agi_port: int

    @property
    def key(self) -> str:
        """The key that was announced as new."""
        found = re.search(r"key  (tk_live_[0-9a-f]+)", self.said)
        assert found, self.said
        return found[1]

    def env(self, **settings: object) -> dict[str, str]:
        """What another terminal needs to meet this server."""
        return environment(self.folder, http_port=self.http_port, agi_port=self.agi_port, **settings)

    def get(self, path: str, key: str) -> tuple[int, Any]:
        """Status and JSON of a GET."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=10)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def call(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """A simulated call to its end, at 20 times the speed."""
        return run(self.folder, "call", *arguments, "--speed", "20", stdin=stdin, env=self.env())

    @contextmanager
    def live_call(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """A call whose caller hears the welcome; keys go to its stdin."""
        command = [TRUNX, "call", DID, "--speed", "3", *arguments]
        with _started(command, self.folder, self.env(), stderr=subprocess.STDOUT) as process:
            read_until(process.stdout, "Thank you")
            yield process

    def takes_calls(self) -> bool:
        """Whether the FastAGI port is open."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.agi_port)) == 0

    def end(self, number: int) -> int:
        """Sends a signal and waits; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(30)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()


@contextmanager
def serving(folder: Path, **settings: object) -> Iterator[Serving]:
    """A server on free ports with the demo IVR, ended with the block."""
    env = environment(folder, demo=1, **settings)
    try:
        with (
            (folder / "log").open("a") as log,
            _started([TRUNX, "serve"], folder, env, stderr=log) as process,
        ):
            said = read_until(process.stdout, "trunx dialplan")
            api = re.search(r"API  http://\S+:([0-9]+) ", said)
            agi = re.search(r"AGI\(agi://\S+:([0-9]+)/inbound\)", said)
            assert api, said
            assert agi, said
            yield Serving(process, folder, said, int(api[1]), int(agi[1]))
    finally:
        secrecy.heard((folder / "log").read_text())


@contextmanager
def _started(
    command: list[str], folder: Path, env: dict[str, str], stderr: IO[str] | int
) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        command,
        cwd=folder,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()
