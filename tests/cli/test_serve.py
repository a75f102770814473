"""`trunx serve` as an operator meets it: starts, announcements, refusals, and the two ways to end."""

import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.cli.command import CALLER, DID, environment, run, serving


def test_what_the_first_start_announces_can_be_pasted(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        status, ivr = server.get("/ivr/qualify-business", server.key)
        assert (status, ivr["dids"]) == (200, [DID])
        curl, call = (
            next(line for line in server.said.splitlines() if word in line)
            for word in ("curl", "--press 1,1")
        )
        assert f"-H 'Authorization: Bearer {server.key}' http://127.0.0.1:{server.http_port}/ivr/" in curl
        pasted = subprocess.run(
            ["sh", "-c", f"{call} --speed 20"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert pasted.returncode == 0, pasted.stderr
        assert "transfer-unavailable, 3 steps" in pasted.stdout
        assert server.end(signal.SIGINT) == 0


def test_a_second_start_keeps_the_data_and_shows_no_key(tmp_path: Path) -> None:
    with serving(tmp_path) as first:
        key = first.key
        assert first.end(signal.SIGTERM) == 0
    with serving(tmp_path) as second:
        assert "the one you were given at the first start" in second.said
        assert key not in second.said
        assert second.get(f"/dids/{DID}", key)[0] == 200
    with serving(tmp_path, api_key="another") as third:
        assert "counts only then" in third.said


def test_a_key_of_ones_own_is_used_and_not_shown(tmp_path: Path) -> None:
    with serving(tmp_path, api_key="tk_live_chosen") as server:
        assert "the one you set in TRUNX_API_KEY" in server.said
        assert "tk_live_chosen" not in server.said + server.log
        assert server.get("/ivr", "tk_live_chosen")[0] == 200


def test_a_taken_port_is_named_and_costs_no_key(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for which in ("agi_port", "http_port"):
            refused = run(tmp_path, "serve", env=environment(tmp_path, **{which: port}))
            assert refused.returncode == 1
            assert f"127.0.0.1:{port} (Address already in use)" in refused.stderr
            assert f"TRUNX_{which.upper()}" in refused.stderr
            assert "Traceback" not in refused.stderr
            assert refused.stdout == ""
    with serving(tmp_path) as server:
        assert server.get("/ivr", server.key)[0] == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("agi_port", "many"),
        ("agi_allow", "10.0.0.0/99"),
        ("database_url", "mysql://host/name"),
        ("redis_url", "host"),
        ("sounds_url", "ftp://host/sounds"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(tmp_path: Path, name: str, value: str) -> None:
    refused = run(tmp_path, "serve", env=environment(tmp_path, **{name: value}))
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"trunx: TRUNX_{name.upper()}: ")
    assert refused.stderr.count("\n") == 1


def test_a_file_of_settings_that_is_no_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "trunx.toml").write_text("agi_port = \n")
    refused = run(tmp_path, "serve")
    assert refused.returncode == 2
    assert refused.stderr.startswith("trunx: trunx.toml: ")


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    refused = run(tmp_path, "serve")
    assert refused.returncode == 1
    assert "TRUNX_DATA_DIR" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_sigterm_lets_the_live_call_finish_while_the_api_answers(tmp_path: Path) -> None:
    with serving(tmp_path) as server, server.live_call() as call:
        server.process.send_signal(signal.SIGTERM)
        while server.takes_calls():
            pass
        assert server.get("/healthz", "")[0] == 200
        said, _ = call.communicate("1\n1\n", timeout=30)
        assert call.returncode == 0, said
        assert "outcome  transfer-unavailable, 3 steps" in said
        assert server.process.wait(30) == 0
        assert "reason=transfer-unavailable" in server.log


def test_a_drain_ends_at_its_deadline(tmp_path: Path) -> None:
    with serving(tmp_path, drain_seconds=0.1) as server, server.live_call() as call:
        assert server.end(signal.SIGTERM) == 0
        said, _ = call.communicate(timeout=30)
        assert call.returncode == 1
        assert "the server left the call" in said
        assert "outcome  lost, 1 step" in said


def test_sigint_ends_at_once(tmp_path: Path) -> None:
    with serving(tmp_path) as server, server.live_call() as call:
        assert server.end(signal.SIGINT) == 0
        said, _ = call.communicate(timeout=30)
        assert call.returncode == 1
        assert "outcome  lost, 1 step" in said
        assert f"caller={CALLER}" in server.log
