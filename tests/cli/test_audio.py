"""`trunx audio sync`: every sound on every Asterisk, and what is said of those that cannot be reached."""

from pathlib import Path

from sounds import ENGINE
from tests.cli.command import run, serving


def test_without_hosts_there_is_nothing_to_copy(tmp_path: Path) -> None:
    done = run(tmp_path, "audio", "sync")
    assert done.returncode == 0
    assert done.stdout == (
        f"TRUNX_SOUNDS_URL is not set: Asterisk plays from {tmp_path}/data/sounds, and nothing is copied.\n"
    )


def test_a_host_that_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        done = run(tmp_path, "audio", "sync", env=server.env(sounds_url="ftp://host/sounds"))
    assert done.returncode == 2
    assert "TRUNX_SOUNDS_URL: " in done.stderr


def test_a_new_host_gets_every_sound_and_one_that_is_down_is_named(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    with serving(tmp_path, sounds_url=one.as_uri()) as server:
        assert len(list((one / "trunx" / "audio").glob("*.ulaw"))) == 3
        assert {path.stem for path in (one / "trunx" / "engine").glob("*.ulaw")} == set(ENGINE)
        # The second is a file where a folder should be.
        two.touch()
        both = server.env(sounds_url=f"{one.as_uri()},{two.as_uri()}")
        done = run(tmp_path, "audio", "sync", env=both)
        assert done.returncode == 1
        first, second = done.stdout.splitlines()
        assert first == f"{one.as_uri()}: 0 brought, 0 removed, 0 missing"
        assert second.startswith(f"{two.as_uri()}: 0 brought, 0 removed, 11 missing: ")
        two.unlink()
        done = run(tmp_path, "audio", "sync", env=both)
        assert done.stdout.splitlines()[1] == f"{two.as_uri()}: 11 brought, 0 removed, 0 missing"
        assert done.returncode == 0
        checked = run(tmp_path, "check", env=both)
        assert checked.returncode == 0, checked.stdout
        for host in (one, two):
            assert f"{host.as_uri()}: 17 files, with the engine's 8 prompts" in checked.stdout
    assert len(list((two / "trunx" / "audio").iterdir())) == 9
