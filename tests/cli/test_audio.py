"""`trunx audio sync`: every sound on every Asterisk, and what is said of those that cannot be reached."""

import asyncio
from pathlib import Path

from sounds import ENGINE
from tests.cli.command import environment, run, serving
from tests.peers.ssh import AsyncSsh, started


def _all(files: int) -> str:
    """How a host is told that has these files of audio, and the engine's own prompts."""
    return f"{files + len(ENGINE)} files, the engine's {len(ENGINE)} prompts too,"


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
        assert second.startswith(f"{two.as_uri()}: 0 brought, 0 removed, {3 + len(ENGINE)} missing: ")
        two.unlink()
        done = run(tmp_path, "audio", "sync", env=both)
        assert (
            done.stdout.splitlines()[1] == f"{two.as_uri()}: {3 + len(ENGINE)} brought, 0 removed, 0 missing"
        )
        assert done.returncode == 0
        checked = run(tmp_path, "check", env=both)
        assert checked.returncode == 0, checked.stdout
        assert checked.stdout.count(_all(9)) == 2
    assert len(list((two / "trunx" / "audio").iterdir())) == 9


async def test_a_host_that_is_reached_by_ssh(tmp_path: Path) -> None:
    async with started(AsyncSsh(tmp_path)) as host:
        settings = {"sounds_url": host.url, "ssh_known_hosts": host.known_hosts, "ssh_keys": host.key}

        def go() -> None:
            with serving(tmp_path, **settings) as server:
                assert len(list((host.folder / "trunx" / "audio").iterdir())) == 9
                checked = run(tmp_path, "check", env=server.env(**settings))
                assert _all(9) + " on " in checked.stdout
                assert checked.returncode == 0
            # Without the server, which would bring them too.
            host.wipe()
            host.folder.mkdir()
            offline = environment(tmp_path, **settings)
            done = run(tmp_path, "audio", "sync", env=offline)
            assert (done.returncode, done.stdout.count("0 missing")) == (0, 1), done.stdout
            assert len(list((host.folder / "trunx" / "audio").iterdir())) == 9
            assert len(list((host.folder / "trunx" / "engine").iterdir())) == len(ENGINE)
            host.known_hosts.write_text("")
            distrusted = run(tmp_path, "audio", "sync", env=offline)
            assert distrusted.returncode == 1
            assert distrusted.stdout.startswith(f"{host.place}: 0 brought, 0 removed, 0 missing: ")

        await asyncio.to_thread(go)
