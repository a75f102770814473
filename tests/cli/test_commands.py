"""The commands that need no call: `check`, `keys`, `ivr check`, `dialplan`, and the program's own options."""

import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.cli.command import environment, run, serving
from trunx.demo import TREE

ROOT = Path(__file__).parents[2]


def test_version_and_help(tmp_path: Path) -> None:
    assert run(tmp_path, "--version").stdout == f"trunx {version('trunx')}\n"
    helped = run(tmp_path, "--help")
    assert all(word in helped.stdout for word in ("serve", "check", "call", "dialplan", "keys", "ivr"))
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, trunx.cli; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not {"sqlalchemy", "aiohttp", "pydantic", "redis"} & set(loaded)


def test_check_tells_what_is_down_and_what_to_do(tmp_path: Path) -> None:
    before = run(tmp_path, "check", env=environment(tmp_path, http_port=1, agi_port=1, htp_port=3))
    assert before.returncode == 1
    rows = {cells[1]: cells[2] for line in before.stdout.splitlines() if len(cells := _cells(line)) > 4}
    assert rows["database"] == rows["sounds"] == rows["FastAGI"] == rows["API"] == "down"
    assert "TRUNX_HTP_PORT is not a setting: did you mean TRUNX_HTTP_PORT?" in before.stdout
    assert not (tmp_path / "data").exists()
    with serving(tmp_path) as server:
        running = run(tmp_path, "check", env=server.env())
    assert running.returncode == 0, running.stdout
    assert "│ down" not in running.stdout
    rows = {cells[1]: cells[2] for line in running.stdout.splitlines() if len(cells := _cells(line)) > 4}
    assert rows["transfers"] == "odd", "the demo's tree transfers to an agent, and there is none"
    broken = run(tmp_path, "check", env=environment(tmp_path, region="?"))
    assert (broken.returncode, "TRUNX_REGION" in broken.stdout) == (1, True)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("│")]


def test_the_life_of_a_key(tmp_path: Path) -> None:
    none = run(tmp_path, "keys", "list")
    assert (none.returncode, "there is no database" in none.stderr) == (1, True)
    with serving(tmp_path) as server:
        made = run(tmp_path, "keys", "create", "--name", "laptop")
        secret = made.stdout.strip()
        assert re.fullmatch(r"tk_live_[0-9a-f]{48}", secret)
        assert server.get("/ivr", secret)[0] == 200
        found = re.search(r"key_[0-9a-f]+", made.stderr)
        assert found
        listed = run(tmp_path, "keys", "list").stdout
        assert found[0] in listed
        assert "laptop" in listed
        assert secret not in listed
        assert run(tmp_path, "keys", "revoke", found[0]).returncode == 0
        assert server.get("/ivr", secret)[0] == 401
    assert run(tmp_path, "keys", "revoke", "key_nobody").returncode == 1


def test_keys_of_several_accounts(tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert run(tmp_path, "keys", "create", "--new-account", name).returncode == 0
    unclear = run(tmp_path, "keys", "create")
    assert unclear.returncode == 1
    account = re.search(r"(MA[0-9a-f]{20}) \(two\)", unclear.stderr)
    assert account
    assert run(tmp_path, "keys", "create", "--account", account[1]).returncode == 0
    assert run(tmp_path, "keys", "create", "--account", "MAnobody").returncode == 1


def test_the_contracts_document_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "tree.json").write_text(json.dumps(TREE))
    accepted = run(tmp_path, "ivr", "check", "tree.json")
    assert accepted.returncode == 0
    assert accepted.stdout == "qualify-business: 5 nodes, a call enters at 'welcome'. It can be saved.\n"


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("{", "error  (the document): "),
        ('{"id": "a", "id": "b", "nodes": {}}', "the key 'id' stands twice"),
        ('{"id": "a", "nodes": {"x": {"action": "fly"}}}', "error  /nodes/x/action: "),
        ('{"id": "a", "nodes": {"x": {"audio": "a", "gather": {"1": "y"}}}}', "error  /nodes/x/gather/1: "),
        ('{"id": "a", "nodes": {"x": {"action": "hangup", "gather": {}}}}', "error  /nodes/x: "),
    ],
)
def test_errors_stop_a_document(tmp_path: Path, document: str, said: str) -> None:
    refused = run(tmp_path, "ivr", "check", "-", stdin=document)
    assert refused.returncode == 1
    assert said in refused.stdout
    assert "cannot be saved" in refused.stderr


def test_warnings_do_not_stop_a_document(tmp_path: Path) -> None:
    document = '{"id": "a", "nodes": {"x": {"action": "hangup"}, "y": {"action": "suppress"}}}'
    accepted = run(tmp_path, "ivr", "check", "-", stdin=document)
    assert accepted.returncode == 0
    assert "warning  unreachable-node: no call can reach node 'y'" in accepted.stdout
    assert run(tmp_path, "ivr", "check", "nowhere.json").returncode == 2


def test_the_dialplan_is_the_sample_by_default(tmp_path: Path) -> None:
    plain = {name: value for name, value in environment(tmp_path).items() if not name.startswith("TRUNX_")}
    printed = run(tmp_path, "dialplan", env=plain)
    assert printed.stdout == (ROOT / "extensions.conf.sample").read_text()
    assert printed.stderr == ""


def test_the_dialplan_of_other_places(tmp_path: Path) -> None:
    set_up = run(tmp_path, "dialplan", env=environment(tmp_path, agi_host="0.0.0.0", agi_port=4999))
    assert "AGI(agi://127.0.0.1:4999/inbound)" in set_up.stdout
    assert "--host" in set_up.stderr
    given = run(tmp_path, "dialplan", "--host", "::1", "--port", "5000", "--context", "from-carrier")
    assert "AGI(agi://[::1]:5000/inbound)" in given.stdout
    assert "[from-carrier]" in given.stdout
    assert "AGI(hagi://trunx.example/inbound)" in run(tmp_path, "dialplan", "--hagi", "trunx.example").stdout
    for wrong in (["--port", "0"], ["--host", "a;b"], ["--hagi", "x", "--port", "1"]):
        refused = run(tmp_path, "dialplan", *wrong)
        assert (refused.returncode, refused.stdout) == (2, "")


def test_what_an_account_may_dial(tmp_path: Path) -> None:
    with serving(tmp_path):
        assert "5" in run(tmp_path, "accounts", "limits").stdout
        words = ("--countries", "us,DE", "--hours", "08:00-21:00", "--per-second", "7", "--attempts", "3")
        changed = run(tmp_path, "accounts", "limits", *words).stdout
        for shown in ("DE, US", "08:00-21:00", "3 for each number", "│ 7"):
            assert shown in changed
        again = run(tmp_path, "accounts", "limits", "--countries", "any", "--at-once", "60").stdout
        for shown in ("those of its DIDs", "08:00-21:00", "60, of which 10"):
            assert shown in again
        uris = "sip:desk@pbx.example.com, sip:*@10.0.0.1:5070"
        assert (
            "sip:*@10.0.0.1:5070, sip:desk@" in run(tmp_path, "accounts", "limits", "--sip-uri", uris).stdout
        )
        assert "sip:desk" not in run(tmp_path, "accounts", "limits", "--sip-uri", "none").stdout
        for wrong in (
            ("--countries", "UK"),
            ("--hours", "9"),
            ("--at-once", "5"),
            ("--account", "MA1"),
            ("--sip-uri", "pbx.example.com"),
            ("--sip-uri", "sip:*@*"),
            ("--sip-uri", ""),
        ):
            refused = run(tmp_path, "accounts", "limits", *wrong)
            assert (refused.returncode != 0, refused.stdout) == (True, ""), wrong
