"""The pages of the documentation, and what happens when their commands are typed.

In a command only the address and the key are changed, where `.venv` is, and what stands for an id.
"""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import secrecy
from tests.cli.command import Serving, environment, read_until

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
KEY = "tk_live_" + "5" * 48


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a page, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def table(page: str, head: str) -> list[list[str]]:
    """The cells of the table whose head begins with `head`, row by row."""
    rows = page[page.index(f"| {head} |") :].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in row.removeprefix("|").removesuffix("|").split("|")] for row in rows]


@contextmanager
def make_run(folder: Path, **settings: object) -> Iterator[Serving]:
    """The server as `make run` starts it; what it installs first is taken for installed."""
    command = ["make", "--no-print-directory", "--old-file=.venv/installed", f"BIN={BIN}", "run"]
    env = environment(folder, api_key=KEY, **settings)
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        ) as process,
    ):
        try:
            said = read_until(process.stdout, "trunx dialplan")
            ports = re.findall(r"(?:API  http|AGI\(agi)://127\.0\.0\.1:([0-9]+)", said)
            yield Serving(process, folder, said, *map(int, ports))
        finally:
            os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does: make and the server
            process.wait(30)
            secrecy.heard((folder / "log").read_text())


def paste(
    server: Serving, commands: str, folder: Path | None = None, *, env: Mapping[str, str] | None = None
) -> str:
    """What a shell prints for `commands` of a page, typed in another terminal than the server's."""
    url = f"http://127.0.0.1:{server.http_port}"
    typed = re.sub(r"https://api\.trunx\.io|http://127\.0\.0\.1:8080", url, commands)
    typed = typed.replace("tk_live_...", KEY).replace(".venv/bin/", f"{BIN}/")
    typed = re.sub(r"(trunx call .*)", r"\1 --speed 20", typed)  # the caller's seconds pass faster
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", typed],
        cwd=folder or server.folder,
        env=server.env(key=KEY) | {"KEY": KEY} | dict(env or {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, (typed, done.stdout, done.stderr)
    return done.stdout


def answered(server: Serving, curl: str) -> tuple[int, Any]:
    """Status and JSON of what a curl gets."""
    printed = paste(server, "curl() { command curl -w '\\n%{http_code}' \"$@\"; }\n" + curl)
    body, _, status = printed.rpartition("\n")
    return int(status), json.loads(body)


def ask(server: Serving, method: str, path: str, body: object = None) -> tuple[int, Any]:
    """Status and JSON of a request that stands on no page."""
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=10)
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()
