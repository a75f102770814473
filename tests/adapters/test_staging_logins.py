"""Whom a host lets in, and which hosts we trust."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncssh
import pytest
from structlog.testing import capture_logs

from tests.peers.ssh import AsyncSsh, OpenSsh, SshPeer, ssh_agent
from trunx.adapters.hosts.host import UnreachableError, parse
from trunx.adapters.hosts.sftp import SftpHost


@pytest.fixture(params=["asyncssh", "openssh"])
async def peer(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SshPeer]:
    peer = AsyncSsh(tmp_path) if request.param == "asyncssh" else OpenSsh(tmp_path)
    await peer.start()
    peer.trust()
    yield peer
    await peer.kill()


@asynccontextmanager
async def _host(peer: SshPeer, *keys: Path, url: str = "") -> AsyncIterator[SftpHost]:
    host = SftpHost(parse(url or peer.url), peer.known_hosts, keys)
    yield host
    await host.close()


async def _refusal(peer: SshPeer, *keys: Path, url: str = "") -> str:
    async with _host(peer, *keys, url=url) as host:
        with pytest.raises(UnreachableError) as refusal:
            await host.connect()
        return str(refusal.value)


async def test_a_key_file_lets_us_in_once(peer: SshPeer) -> None:
    async with _host(peer, peer.key) as host:
        assert await host.connect() == await host.connect() == 1
        assert await host.files() == {}


async def test_a_new_connection_has_another_number(peer: SshPeer) -> None:
    async with _host(peer, peer.key) as host:
        first = await host.connect()
        await peer.kill()
        await peer.start()
        assert await host.connect() > first
        assert await host.files() == {}


async def test_the_agents_key_lets_us_in(
    peer: SshPeer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ssh_agent(tmp_path, peer.key) as agent:
        monkeypatch.setenv("SSH_AUTH_SOCK", agent)
        async with _host(peer) as host:
            await host.connect()


async def test_a_password_in_the_url_lets_us_in(tmp_path: Path) -> None:
    peer = AsyncSsh(tmp_path, password="s3c/r@t")
    await peer.start()
    peer.trust()
    url = f"sftp://grace:s3c%2Fr%40t@127.0.0.1:{peer.port}{peer.folder}"
    async with _host(peer, url=url) as host:
        await host.connect()
        assert host.place == peer.place
    await peer.kill()


async def test_a_refused_login_names_neither_user_nor_password(peer: SshPeer) -> None:
    asyncssh.generate_private_key("ssh-ed25519").write_public_key(peer.authorized)
    await peer.kill()
    await peer.start()
    with capture_logs() as lines:
        problem = await _refusal(
            peer, peer.key, url=f"sftp://grace:s3cret@127.0.0.1:{peer.port}{peer.folder}"
        )
    assert "refuses our login" in problem
    assert "grace" not in problem + str(lines)
    assert "s3cret" not in problem + str(lines)


async def test_a_key_file_that_is_not_there_is_named(peer: SshPeer, tmp_path: Path) -> None:
    assert str(tmp_path / "absent") in await _refusal(peer, tmp_path / "absent")


async def test_an_encrypted_key_file_is_named_as_the_problem(peer: SshPeer, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(locked, "pkcs8-pem", passphrase="s3cret")
    assert "assphrase" in await _refusal(peer, locked)


async def test_an_unknown_key_is_refused_with_the_command_to_run(peer: SshPeer) -> None:
    peer.known_hosts.unlink()
    problem = await _refusal(peer, peer.key)
    assert "SHA256:" in problem
    assert problem.endswith(f"ssh-keyscan -p {peer.port} 127.0.0.1 >> {peer.known_hosts}")
    # What the operator then does counts at once.
    async with _host(peer, peer.key) as host:
        with pytest.raises(UnreachableError):
            await host.connect()
        peer.trust()
        await host.connect()


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256"])
async def test_a_changed_key_is_refused(peer: SshPeer, kind: str) -> None:
    await peer.kill()
    peer.new_host_key(kind)
    await peer.start()
    problem = await _refusal(peer, peer.key)
    assert "somebody stands between us" in problem
    assert f"-R '[127.0.0.1]:{peer.port}' && ssh-keyscan" in problem


async def test_a_revoked_key_is_refused(peer: SshPeer) -> None:
    peer.known_hosts.write_text(f"@revoked {peer.known_hosts.read_text()}")
    assert "revoked" in await _refusal(peer, peer.key)


async def test_a_host_is_known_by_any_of_its_keys(tmp_path: Path) -> None:
    peer = OpenSsh(tmp_path)
    await peer.start()
    peer.trust_other_key()
    async with _host(peer, peer.key) as host:
        await host.connect()
    await peer.kill()


async def test_known_hosts_that_cannot_be_read_are_named(peer: SshPeer) -> None:
    peer.known_hosts.unlink()
    peer.known_hosts.mkdir()
    assert str(peer.known_hosts) in await _refusal(peer, peer.key)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("file:///var/lib/asterisk/sounds/", "file:///var/lib/asterisk/sounds"),
        ("file://localhost/a%20b", "file:///a b"),
        ("sftp://pbx/sounds", "sftp://pbx/sounds"),
        ("sftp://grace:s3cret@PBX:22/sounds/", "sftp://pbx/sounds"),
        ("sftp://grace@[::1]:2222/sounds", "sftp://[::1]:2222/sounds"),
    ],
)
def test_a_place_shows_no_secret(url: str, place: str) -> None:
    assert parse(url).place == place
    assert "grace" not in repr(parse(url))
    assert "s3cret" not in repr(parse(url))


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("ftp://grace:s3cret@pbx/sounds", "begins with file:// or sftp://"),
        ("/var/lib/asterisk/sounds", "begins with file:// or sftp://"),
        ("file://sounds/here", "three slashes"),
        ("file:sounds", "absolute path"),
        ("sftp:///sounds", "a host is missing"),
        ("sftp://grace:s3cret@pbx", "absolute path"),
        ("sftp://pbx/", "absolute path"),
        ("sftp://pbx/~/sounds", "absolute path"),
        ("sftp://pbx/a/../b", "absolute path"),
        ("sftp://pbx:s3cret/sounds", "port"),
        ("sftp://pbx:99999/sounds", "port"),
        ("sftp://grace:s3#cret@pbx/sounds", "%23"),
        ("sftp://pbx/a%00b", "no path can have"),
    ],
)
def test_a_url_that_cannot_be_used_says_why(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as refusal:
        parse(url)
    assert "s3" not in str(refusal.value)
