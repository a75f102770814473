"""Asterisk's monitor folder, seen and by real SSH servers: files come whole, or not at all."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.adapters.waiting import until
from tests.peers.ssh import AsyncSsh, DeafHost, OpenSsh, SshPeer, started
from trunx.adapters.hosts.monitored import MonitorFolder
from trunx.domain.errors import NotFoundError, UnavailableError
from trunx.engine.recording_ports import Monitored

FILE = "trunx/calls/01a1ff30-181c-705c-9b74-49720d4949e5.wav"
NAME = FILE.rpartition("/")[2]
CONTENT = os.urandom(3_000_017)


@asynccontextmanager
async def monitor(place: SshPeer | Path) -> AsyncIterator[Monitored]:
    if isinstance(place, Path):
        folder = MonitorFolder(place.as_uri(), Path("nowhere"))
    else:
        folder = MonitorFolder(place.url, place.known_hosts, [place.key])
    async with folder as opened:
        yield opened


@pytest.fixture(params=["seen", "asyncssh", "openssh"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SshPeer | Path]:
    """A folder that this machine sees, and one on each kind of SSH server."""
    if request.param == "seen":
        (tmp_path / "monitor").mkdir()
        yield tmp_path / "monitor"
        return
    async with started(AsyncSsh(tmp_path) if request.param == "asyncssh" else OpenSsh(tmp_path)) as peer:
        yield peer


def put(place: SshPeer | Path, content: bytes = CONTENT, name: str = FILE) -> Path:
    file = (place if isinstance(place, Path) else place.folder) / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def found(folder: Path, beginning: str) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith(beginning))


async def test_a_file_comes_whole_and_goes(place: SshPeer | Path, tmp_path: Path) -> None:
    file, target = put(place), tmp_path / "here.wav"
    async with monitor(place) as host:
        assert await host.names() == [NAME]
        await host.fetch(FILE, target)
        assert target.read_bytes() == CONTENT
        assert found(tmp_path, "here") == ["here.wav"]
        await host.remove(FILE)
        await host.remove(FILE)
        assert not file.exists()
        assert await host.names() == []


async def test_what_was_brought_before_is_not_brought_again(place: SshPeer | Path, tmp_path: Path) -> None:
    put(place)
    target, part = tmp_path / "here.wav", tmp_path / "here.wav.part"
    part.write_bytes(b"x" * 1_000_000)  # not what is there: so it can be told apart
    async with monitor(place) as host:
        await host.fetch(FILE, target)
        assert target.read_bytes() == b"x" * 1_000_000 + CONTENT[1_000_000:]
        part.write_bytes(b"x" * (len(CONTENT) + 1))
        await host.fetch(FILE, target)
        assert target.read_bytes() == CONTENT


async def test_an_empty_file_is_a_file(place: SshPeer | Path, tmp_path: Path) -> None:
    put(place, b"")
    async with monitor(place) as host:
        await host.fetch(FILE, tmp_path / "here.wav")
    assert (tmp_path / "here.wav").read_bytes() == b""


async def test_no_file_is_not_no_folder(place: SshPeer | Path, tmp_path: Path) -> None:
    async with monitor(place) as host:
        assert await host.names() == []
        with pytest.raises(UnavailableError, match=r"no folder .*/trunx/calls: Asterisk has"):
            await host.fetch(FILE, tmp_path / "here.wav")
        put(place).unlink()
        with pytest.raises(NotFoundError):
            await host.fetch(FILE, tmp_path / "here.wav")
    assert found(tmp_path, "here") == []


async def test_a_full_disk_of_ours_is_no_fault_of_the_host(place: SshPeer | Path, tmp_path: Path) -> None:
    put(place)
    (tmp_path / "here.wav.part").symlink_to("/dev/full")
    async with monitor(place) as host:
        with pytest.raises(OSError, match="No space left"):
            await host.fetch(FILE, tmp_path / "here.wav")


async def test_what_cannot_be_read_or_deleted_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "monitor"
    file = put(folder)
    file.unlink()
    file.mkdir()
    async with monitor(folder) as host:
        with pytest.raises(UnavailableError, match="our user needs to read and delete there"):
            await host.fetch(FILE, tmp_path / "here.wav")
        with pytest.raises(UnavailableError, match="our user needs to read and delete there"):
            await host.remove(FILE)


async def test_a_host_killed_in_the_middle_is_gone_on_with(peer: SshPeer, tmp_path: Path) -> None:
    content = os.urandom(40_000_000)
    put(peer, content)
    target, part = tmp_path / "here.wav", tmp_path / "here.wav.part"
    async with monitor(peer) as host:
        fetching = asyncio.create_task(host.fetch(FILE, target))
        await until(lambda: part.exists() and part.stat().st_size > 1_000_000)
        await peer.kill()
        with pytest.raises(UnavailableError, match="lost"):
            await fetching
        had = part.stat().st_size
        assert 1_000_000 < had < len(content)
        assert not target.exists()
        with pytest.raises(UnavailableError, match=r"Connect call failed"):
            await host.fetch(FILE, target)
        assert part.stat().st_size == had
        await peer.start()
        await host.fetch(FILE, target)
    assert target.read_bytes() == content


async def test_a_host_whose_key_is_another_is_not_asked(peer: SshPeer, tmp_path: Path) -> None:
    put(peer)
    peer.known_hosts.write_text("")
    async with monitor(peer) as host:
        with pytest.raises(UnavailableError, match=r"is not in .*known_hosts") as caught:
            await host.fetch(FILE, tmp_path / "here.wav")
    assert peer.place in str(caught.value)


async def test_no_secret_is_told() -> None:
    deaf = DeafHost()
    deaf.close()
    url = f"sftp://ada:geheim@127.0.0.1:{deaf.port}/var/spool/asterisk/monitor"
    async with MonitorFolder(url, Path("nowhere")) as host:
        assert host.place == f"sftp://127.0.0.1:{deaf.port}/var/spool/asterisk/monitor"
        with pytest.raises(UnavailableError) as caught:
            await host.names()
    assert "geheim" not in str(caught.value)
    assert "ada" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://host/monitor", "sftp:///monitor", "file://monitor", "/monitor"])
def test_what_is_no_url_of_a_folder_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|host|path"):
        MonitorFolder(url, Path("nowhere"))
