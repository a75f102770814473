"""Real SSH servers with SFTP on loopback: asyncssh's own in this process, and OpenSSH's sshd as a child.

Both serve this machine's file system to the user that runs the tests, know one client key, and can be killed
in the middle of a transfer and started again on their port.
"""

import asyncio
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncssh

_START_DEADLINE = 10.0
PRIVILEGE_SEPARATION = Path("/run/sshd")  # where Debian's sshd insists on an empty folder, when root runs it


class SshPeer:
    """What both have in common. Sounds go to `folder`; a client needs `known_hosts` and `key`."""

    def __init__(self, place: Path, name: str) -> None:
        self.home = place / name
        self.home.mkdir(parents=True)
        self.folder = self.home / "sounds"
        self.folder.mkdir()
        self.known_hosts = self.home / "known_hosts"
        self.key = self.home / "client"
        self.host_key = self.home / "host"
        self.authorized = self.home / "authorized_keys"
        self.port = 0
        client = asyncssh.generate_private_key("ssh-ed25519")
        client.write_private_key(self.key)
        client.write_public_key(self.authorized)
        self.new_host_key()

    @property
    def url(self) -> str:
        return f"sftp://{getpass.getuser()}@127.0.0.1:{self.port}{self.folder}"

    @property
    def place(self) -> str:
        return f"sftp://127.0.0.1:{self.port}{self.folder}"

    def new_host_key(self, kind: str = "ssh-ed25519") -> None:
        """As of a machine that was installed anew; counts from the next start."""
        self.host_key.unlink(missing_ok=True)
        asyncssh.generate_private_key(kind).write_private_key(self.host_key)
        self.host_key.chmod(0o600)  # sshd reads no other

    def trust(self) -> None:
        """Writes known_hosts, as ssh-keyscan would."""
        public = asyncssh.read_private_key(self.host_key).export_public_key().decode()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {public}")

    def wipe(self) -> None:
        """As of an Asterisk that was built anew."""
        shutil.rmtree(self.folder)

    async def start(self) -> None:
        raise NotImplementedError

    async def kill(self) -> None:
        raise NotImplementedError


class OpenSsh(SshPeer):
    """Debian's sshd, with a second host key (RSA), as hosts have. `sftp` are options of its SFTP server."""

    def __init__(self, place: Path, name: str = "openssh", sftp: str = "") -> None:
        super().__init__(place, name)
        self.port = _free_port()
        self._sftp = sftp
        self._other_key = self.home / "host_rsa"
        asyncssh.generate_private_key("ssh-rsa", key_size=2048).write_private_key(self._other_key)
        self._other_key.chmod(0o600)
        self._server: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        self._server = self._spawned()
        async with asyncio.timeout(_START_DEADLINE):
            while not await self._answers():
                assert self._server.poll() is None, self.log()
                await asyncio.sleep(0.01)

    def trust_other_key(self) -> None:
        """As of an operator who wrote only the RSA key down."""
        public = asyncssh.read_private_key(self._other_key).export_public_key().decode()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {public}")

    def log(self) -> str:
        """What it said."""
        return (self.home / "log").read_text()

    def _spawned(self) -> subprocess.Popen[bytes]:
        if os.geteuid() == 0:
            PRIVILEGE_SEPARATION.mkdir(exist_ok=True, mode=0o755)
        config = self.home / "sshd_config"
        config.write_text(
            f"ListenAddress 127.0.0.1:{self.port}\nPidFile none\nUsePAM no\n"
            f"HostKey {self.host_key}\nHostKey {self._other_key}\n"
            f"AuthorizedKeysFile {self.authorized}\nStrictModes no\nPasswordAuthentication no\n"
            f"KbdInteractiveAuthentication no\nSubsystem sftp internal-sftp {self._sftp}\n"
        )
        with (self.home / "log").open("ab") as log:
            # By its whole path, as it insists on: it starts itself anew for each connection.
            return subprocess.Popen(
                [_sshd(), "-D", "-e", "-f", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def kill(self) -> None:
        """Ends it and its connections, which are processes of their own, as a power cut does."""
        if self._server is not None:
            self._server.send_signal(signal.SIGSTOP)  # no new ones meanwhile
            for child in _descendants(self._server.pid):
                os.kill(child, signal.SIGKILL)
            self._server.kill()
            self._server.wait(_START_DEADLINE)
            self._server = None

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        greeting = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return greeting.startswith(b"SSH-2.0")


class AsyncSsh(SshPeer):
    """asyncssh's server, in this process. `can_replace` is whether it knows posix-rename@openssh.com; with a
    `password` that is what it asks for, too.
    """

    def __init__(
        self, place: Path, name: str = "asyncssh", *, can_replace: bool = True, password: str | None = None
    ) -> None:
        super().__init__(place, name)
        self.can_replace = can_replace
        self.password = password
        self.logins = 0
        self.written: list[str] = []
        self._listening: asyncssh.SSHAcceptor | None = None
        self._connections: set[asyncssh.SSHServerConnection] = set()

    async def start(self) -> None:
        peer = self

        class Server(asyncssh.SSHServer):
            def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
                self.connection = conn
                peer._connections.add(conn)

            def connection_lost(self, _: Exception | None) -> None:
                peer._connections.discard(self.connection)

            def password_auth_supported(self) -> bool:
                return peer.password is not None

            def validate_password(self, _username: str, password: str) -> bool:
                return password == peer.password

            def auth_completed(self) -> None:
                peer.logins += 1

        class Sftp(asyncssh.SFTPServer):
            def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
                if pflags & asyncssh.FXF_WRITE:
                    peer.written.append(path.decode())
                return super().open(path, pflags, attrs)

            def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
                if not peer.can_replace:
                    raise asyncssh.SFTPOpUnsupported("posix-rename")
                super().posix_rename(oldpath, newpath)

        self._listening = await asyncssh.listen(
            "127.0.0.1",
            self.port,
            server_factory=Server,
            server_host_keys=[str(self.host_key)],
            authorized_client_keys=str(self.authorized),
            sftp_factory=Sftp,
            reuse_address=True,
        )
        self.port = self._listening.get_port()

    async def kill(self) -> None:
        """Closes its port and drops its connections without a word."""
        if self._listening is not None:
            self._listening.close()
            for connection in list(self._connections):
                connection.abort()
                await connection.wait_closed()
            await self._listening.wait_closed()
            self._listening = None


class DeafHost:
    """A port that takes connections and never says a word."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]

    def close(self) -> None:
        self._socket.close()


def _listens(place: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(place) == 0


def _sshd() -> str:
    found = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if found is None:
        raise RuntimeError("no sshd: apt-get install openssh-server")
    return found


def _descendants(process: int) -> Iterator[int]:
    for child in Path(f"/proc/{process}/task/{process}/children").read_text().split():
        yield from _descendants(int(child))
        yield int(child)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def ssh_agent(folder: Path, key: Path) -> Iterator[str]:
    """An agent that knows `key`; its socket, as `SSH_AUTH_SOCK` names it."""
    place = str(folder / "agent")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", place], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _START_DEADLINE
        while not _listens(place):
            assert time.monotonic() < deadline
            time.sleep(0.01)  # it tells nobody when it listens
        key.chmod(0o600)
        environment = {**os.environ, "SSH_AUTH_SOCK": place}
        subprocess.run(["ssh-add", "-q", str(key)], check=True, env=environment, stdin=subprocess.DEVNULL)
        yield place
    finally:
        agent.kill()
        agent.wait(_START_DEADLINE)


@asynccontextmanager
async def started(peer: SshPeer) -> AsyncIterator[SshPeer]:
    await peer.start()
    peer.trust()
    try:
        yield peer
    finally:
        await peer.kill()
