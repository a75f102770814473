"""`trunx calls` and `trunx call show`: the calls that are live, and the life of one."""

import re
from pathlib import Path

from tests.cli.command import CALLER, DID, run, serving


def test_a_call_while_it_is_live_and_afterwards(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        none = run(tmp_path, "calls", "--once", env=server.env())
        assert (none.returncode, "0 live calls" in none.stdout) == (0, True), none.stderr
        with server.live_call() as phone:
            live = run(tmp_path, "calls", "--once", env=server.env())
            assert "1 live call" in live.stdout
            (row,) = [line for line in live.stdout.splitlines() if DID in line]
            cells = [cell.strip() for cell in row.split("│")]
            name = cells[1]
            assert [*cells[3:7], cells[8]] == ["inbound", CALLER, DID, "answered", "qualify-business"]
            assert phone.stdin is not None
            phone.stdin.write("9\n")
            phone.stdin.flush()
            phone.wait(30)
        told = run(tmp_path, "call", "show", name, env=server.env())
        assert told.returncode == 0, told.stderr
        head, state, *lines = told.stdout.splitlines()
        assert head == f"{name}  inbound, {CALLER} to {DID}"
        assert state == "completed, suppressed"
        moments = [re.sub(r" +", " ", line).split(" ", 2)[2] for line in lines]
        assert [moment.split(" ")[:2] for moment in moments] == [
            ["state", "initiated"],
            ["state", "answered"],
            ["step", "entered"],
            ["step", "left"],
            ["step", "entered"],
            ["step", "left"],
            ["state", "completed"],
        ]
        assert all(re.match(r"[0-9:]{8}\.[0-9]{3}Z +\+[0-9]+\.[0-9]{3}s ", line) for line in lines), lines
        assert "node=welcome" in moments[3]
        assert "key=9" in moments[3]
        by_public_name = run(tmp_path, "call", "show", "CA" + name.replace("-", ""), env=server.env())
        assert by_public_name.stdout == told.stdout
        unknown = run(tmp_path, "call", "show", "nobody", env=server.env())
        assert (unknown.returncode, "there is no call nobody" in unknown.stderr) == (1, True)


def test_a_number_is_still_called_and_both_are_explained(tmp_path: Path) -> None:
    helped = run(tmp_path, "call", "--help").stdout
    assert "Usage: trunx call" in helped
    assert all(word in helped for word in ("DID", "--press", "--hangup-at", "trunx call show ID"))
    assert "ID" in run(tmp_path, "call", "show", "--help").stdout
    nothing = run(tmp_path, "call")
    assert nothing.returncode == 2
    unreached = run(tmp_path, "call", "--press", "1", DID)
    assert unreached.returncode != 0
    assert "TRUNX_AGI_PORT is 0" in unreached.stderr
