"""`trunx call` against one running server: what is shown, what is recorded, and the exit codes."""

import os
import pty
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import CALLER, DID, TRUNX, Serving, environment, run, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running


def _in_order(said: str, *parts: str) -> None:
    at = 0
    for part in parts:
        assert part in said[at:], f"{part!r} is not in the rest of:\n{said}"
        at = said.index(part, at) + len(part)


def test_one_and_one_walks_to_the_transfer(server: Serving) -> None:
    done = server.call(DID, "--press", "1,1")
    assert done.returncode == 0, done.stderr
    _in_order(
        done.stdout,
        "answered",
        "welcome  waits for a key",
        '"Thank you for calling.',
        "key 1",
        "has_business  waits for a key",
        "key 1",
        "transfer_ai  transfer",
        "trunx/engine/unavailable",
        "the server hung up",
        "outcome  transfer-unavailable, 3 steps",
    )
    found = re.search(r"call id  (\S+)", done.stdout)
    assert found, done.stdout
    status, row = server.get(f"/api/voice/{found[1]}", server.key)
    assert (status, row["from"], row["to"]) == (200, CALLER, DID)


def test_nine_puts_the_caller_on_the_list(server: Serving) -> None:
    done = server.call(DID, "--press", "9", "--from", "+12025550199")
    _in_order(done.stdout, "welcome", "key 9", "dnc  suppress", "outcome  suppressed, 2 steps")
    assert server.get("/suppression/+12025550199", server.key)[0] == 200


def test_a_wrong_key_and_then_silence_use_the_attempts_up(server: Serving) -> None:
    done = server.call(DID, "--press", "7")
    assert done.returncode == 0
    _in_order(
        done.stdout,
        "key 7, which this menu does not have",
        "trunx/engine/invalid",
        "waits 5 s for a key",
        "no key",
        "trunx/engine/no-input",
        "no key",
        "no key",
        "attempts used up",
        "trunx/engine/goodbye",
        "outcome  exhausted, 4 steps",
    )


def test_keys_come_from_a_pipe(server: Serving) -> None:
    done = server.call(DID, stdin="1\n2\n")
    _in_order(done.stdout, "key 1", "key 2", "unqualified  hangup", "outcome  hangup, 3 steps")


def test_the_terminal_is_a_keypad(server: Serving) -> None:
    child, terminal = pty.fork()
    if child == 0:
        os.execve(TRUNX, [TRUNX, "call", DID], server.env(TRUNX="") | {"COLUMNS": "160", "TERM": "dumb"})
    said = b""
    try:
        for mark, key in ((b"4  5  6", b""), (b"Thank you", b"1"), (b"If you are", b"h"), (b"call id", b"")):
            while mark not in said:
                said += os.read(terminal, 4096)
            os.write(terminal, key)
    finally:
        _, status = os.waitpid(child, 0)
        os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0
    _in_order(said.decode(), "key 1", "has_business", "the caller hung up", "outcome  hangup-caller, 2 steps")


def test_control_c_hangs_up(server: Serving) -> None:
    with server.live_call("--press", "") as call:
        call.send_signal(signal.SIGINT)
        said, _ = call.communicate(timeout=30)
    assert call.returncode == 0, said
    assert "outcome  hangup-caller, 1 step," in said


def test_hanging_up_at_a_moment(server: Serving) -> None:
    done = server.call(DID, "--press", "1", "--hangup-at", "3.2")
    assert done.returncode == 0
    _in_order(done.stdout, "has_business", "the caller hung up", "outcome  hangup-caller, 2 steps")


def test_a_number_that_nobody_owns(server: Serving) -> None:
    done = server.call("+19495550000", "--press", "1")
    assert done.returncode == 0
    _in_order(
        done.stdout, "No account owns +19495550000", "trunx/engine/not-in-service", "the server hung up"
    )


def test_no_server(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        done = run(tmp_path, "call", DID, "--press", "1", env=environment(tmp_path, agi_port=port))
    assert done.returncode == 1
    assert done.stderr.startswith(f"trunx: no server at 127.0.0.1:{port}: start it with")
    mistyped = run(tmp_path, "call", DID, "--press", "11")
    assert (mistyped.returncode, "--press: '11' is not one key" in mistyped.stderr) == (2, True)
