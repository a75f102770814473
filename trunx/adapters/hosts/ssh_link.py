"""The SSH connection to a host: made when it is needed, kept, and made anew when it was lost.

The host's key is always checked against known_hosts, which is read again for each connection, so that a key
that was added counts at once. What asyncssh says of a refused login names the user, and is not passed on.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh

from trunx.adapters.hosts.host import Address, HostError, UnreachableError

CONNECTING = 10.0  # seconds until a connection is there, with keys exchanged and the login done
COMMAND = 15.0  # seconds for an answer, and for each 128 KB of a file: 9 KB/s is too slow
KEEPALIVE = 15  # seconds of silence after which the host is asked whether it lives; three times
CLOSING = 2.0  # seconds that the end of something may take: nobody needs it any more
CHUNK = 128 * 1024  # encrypted in one go, on the event loop

_KINDS = (
    *("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    *("rsa-sha2-512", "rsa-sha2-256"),
)

_COMPARE = (
    "compare its fingerprint, which `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` shows there, and run"
)

# After one of these the connection is of no use: the host closed it, or does not answer in time.
LOST = (
    asyncssh.DisconnectError,
    asyncssh.ChannelOpenError,
    asyncssh.SFTPNoConnection,
    asyncssh.SFTPConnectionLost,
    asyncssh.SFTPBadMessage,
    ConnectionError,
    TimeoutError,
)


@dataclass(frozen=True, slots=True)
class _Link:
    """A connection with its login done."""

    connection: asyncssh.SSHClientConnection
    sftp: asyncssh.SFTPClient


class _Witness(asyncssh.SSHClient):
    """Sees the key of a host that is not trusted, to name it; trusts nobody."""

    seen: asyncssh.SSHKey | None = None

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:  # noqa: ARG002
        self.seen = key
        return False


class SshLink:
    """`keys` are private keys' files, beside those of the agent (`SSH_AUTH_SOCK`); without them asyncssh
    takes `~/.ssh/id_*`. What SFTP itself refuses is told by its own errors.
    """

    def __init__(self, address: Address, known_hosts: Path, keys: Sequence[Path]) -> None:
        asyncssh.set_log_level("WARNING")  # it would name users
        self._address = address
        self._known_hosts = known_hosts
        self._keys = [str(key) for key in keys]
        self._link: _Link | None = None
        self._opening: asyncio.Task[_Link] | None = None
        self._era = 0

    async def connect(self) -> int:
        """The number of the connection, another one whenever it was made anew. Raises `UnreachableError`."""
        await self._linked()
        return self._era

    @asynccontextmanager
    async def talking(self) -> AsyncIterator[asyncssh.SFTPClient]:
        """The connection for as long as the block; one that is lost in it raises `UnreachableError`."""
        link = await self._linked()
        try:
            yield link.sftp
        except LOST as error:
            link.connection.abort()
            if self._link is link:
                self._link = None
            raise UnreachableError(f"the connection was lost: {words(error)}") from error

    async def close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            with suppress(asyncio.CancelledError, HostError):
                await self._opening
        if self._link is not None:
            self._link.connection.abort()
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSING):
                    await self._link.connection.wait_closed()
            self._link = None

    async def _linked(self) -> _Link:
        if self._link is not None and not self._link.connection.is_closed():
            return self._link
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(self._opened)
        # Those who come meanwhile share the attempt, and one that stops waiting does not end it.
        return await asyncio.shield(self._opening)

    def _opened(self, opening: asyncio.Task[_Link]) -> None:
        self._opening = None
        if not opening.cancelled() and opening.exception() is None:
            self._link = opening.result()
            self._era += 1

    async def _open(self) -> _Link:
        witness = _Witness()
        address = self._address
        try:
            async with asyncio.timeout(CONNECTING):
                known = await asyncio.to_thread(self._read_known_hosts)
                connection = await asyncssh.connect(
                    address.host or "",
                    address.port,
                    client_factory=lambda: witness,
                    username=address.user if address.user is not None else (),
                    password=address.password,
                    client_keys=self._keys or (),
                    known_hosts=known,
                    server_host_key_algs=self._kinds(known),
                    config=None,  # an option there could send us to another host, or ask for less
                    keepalive_interval=KEEPALIVE,
                )
                try:
                    return _Link(connection, await connection.start_sftp_client())
                except BaseException:  # cancelled or late, too: nobody else knows of the connection
                    connection.abort()
                    raise
        except asyncssh.HostKeyNotVerifiable as error:
            raise UnreachableError(self._distrust(known, witness.seen, str(error))) from error
        except asyncssh.PermissionDenied as error:
            raise UnreachableError(
                "the host refuses our login: see that our public key is in the user's authorized_keys there, "
                "or that the URL's user and password are right"
            ) from error
        except TimeoutError as error:
            raise UnreachableError(f"no answer within {CONNECTING:.0f} s") from error
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise UnreachableError(f"{where}{error.strerror or error}") from error
        except (asyncssh.Error, ValueError) as error:
            raise UnreachableError(words(error)) from error

    def _read_known_hosts(self) -> asyncssh.SSHKnownHosts:
        try:
            return asyncssh.read_known_hosts(str(self._known_hosts))
        except FileNotFoundError:
            return asyncssh.import_known_hosts("")

    def _known_keys(self, known: asyncssh.SSHKnownHosts) -> Sequence[Sequence[Any]]:
        """Keys of the host, and whatever else could vouch for it."""
        port = self._address.port
        return known.match(self._address.host or "", "", None if port == asyncssh.DEFAULT_PORT else port)

    def _kinds(self, known: asyncssh.SSHKnownHosts) -> Sequence[str]:
        """The kinds of keys to ask the host for: those that we know of it, and then all the others, so that a
        host that has none of the former shows its key, too, and can be told to have changed.
        """
        keys, *others = self._known_keys(known)
        if any(others):
            return ()  # certificates: asyncssh knows what to ask for
        kinds = [kind.decode() for key in keys for kind in key.sig_algorithms]
        return [*kinds, *(kind for kind in _KINDS if kind not in kinds)]

    def _distrust(self, known: asyncssh.SSHKnownHosts, seen: asyncssh.SSHKey | None, problem: str) -> str:
        """What to do about a host whose key is not the one we know."""
        host, port = self._address.host or "", self._address.port
        name = host if port == asyncssh.DEFAULT_PORT else f"[{host}]:{port}"
        shown = f" ({seen.get_fingerprint()})" if seen is not None else ""
        add = f"ssh-keyscan -p {port} {host} >> {self._known_hosts}"
        if "revoked" in problem:
            return f"the key of this host{shown} is marked as revoked in {self._known_hosts}"
        if any(self._known_keys(known)):
            return (
                f"the key of this host{shown} is another than in {self._known_hosts}: it was installed "
                f"anew, or somebody stands between us. If it was installed anew, {_COMPARE}: "
                f"ssh-keygen -f {self._known_hosts} -R '{name}' && {add}"
            )
        return f"the key of this host{shown} is not in {self._known_hosts}: {_COMPARE}: {add}"


def words(error: BaseException) -> str:
    """What went wrong; time-outs say nothing of themselves."""
    return str(error) or "no answer in time"
