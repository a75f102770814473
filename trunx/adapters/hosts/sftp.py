"""A host that is reached by SFTP: one connection, kept, on which several files go at once.

The host's key is always checked against known_hosts, which is read again for each connection, so that a key
that was added counts at once. What asyncssh says of a refused login names the user, and is not passed on.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import asyncssh
import structlog

from trunx.adapters.hosts.host import ENDINGS, PART, PART_LIFE, SHELVES, Address, HostError, UnreachableError

CONNECTING = 10.0  # seconds until a connection is there, with keys exchanged and the login done
COMMAND = 15.0  # seconds for an answer, and for each 128 KB of a file: 9 KB/s is too slow
LISTING = 60.0  # seconds for a look at all files: 100,000 of them on a slow link
KEEPALIVE = 15  # seconds of silence after which the host is asked whether it lives; three times
_CLOSING = 2.0  # seconds that the end of something may take: nobody needs it any more
_CHUNK = 128 * 1024  # encrypted in one go, on the event loop

_KINDS = (
    *("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    *("rsa-sha2-512", "rsa-sha2-256"),
)

_COMPARE = (
    "compare its fingerprint, which `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` shows there, and run"
)

_log = structlog.get_logger()

# After one of these the connection is of no use: the host closed it, or does not answer in time.
_LOST = (
    asyncssh.DisconnectError,
    asyncssh.ChannelOpenError,
    asyncssh.SFTPNoConnection,
    asyncssh.SFTPConnectionLost,
    asyncssh.SFTPBadMessage,
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


class SftpHost:
    """Fulfils `Host`. `keys` are private keys' files, beside those of the agent (`SSH_AUTH_SOCK`); without
    them asyncssh takes `~/.ssh/id_*`.
    """

    def __init__(self, address: Address, known_hosts: Path, keys: Sequence[Path]) -> None:
        asyncssh.set_log_level("WARNING")  # it would name users
        self.place = address.place
        self._address = address
        self._known_hosts = known_hosts
        self._keys = [str(key) for key in keys]
        self._link: _Link | None = None
        self._opening: asyncio.Task[_Link] | None = None
        self._era = 0
        # By this our half-written files are told from those that another process is writing.
        self._token = secrets.token_hex(4)
        self._writing: set[str] = set()
        self._told_of_gap = False

    async def connect(self) -> int:
        await self._linked()
        return self._era

    async def files(self) -> Mapping[str, int]:
        found: dict[str, int] = {}
        async with self._talking() as sftp, asyncio.timeout(LISTING):
            for shelf in SHELVES:
                folder = self._path(shelf)
                left = []
                with suppress(asyncssh.SFTPNoSuchFile):
                    async for entry in sftp.scandir(folder):
                        name, size = str(entry.filename), entry.attrs.size
                        if not name.startswith("."):
                            found[f"{shelf}/{name}"] = -1 if size is None else size
                        elif name.endswith(PART) and self._is_left(name, entry.attrs.mtime):
                            left.append(f"{folder}/{name}")
                for path in left:
                    with suppress(asyncssh.SFTPNoSuchFile):
                        await sftp.remove(path)
        return found

    async def bring(self, sound: str, files: Mapping[Path, int], *, anew: bool) -> None:
        folder = str(PurePosixPath(self._path(sound)).parent)
        async with self._talking() as sftp:
            # Not a task group: its error would be a group of errors, and a lost connection gives one to each.
            results = await asyncio.gather(
                *(
                    self._put(sftp, source, size, f"{folder}/{source.name}", anew=anew)
                    for source, size in files.items()
                ),
                return_exceptions=True,
            )
            for result in results:
                if result is not None:
                    raise result

    async def take(self, sound: str) -> None:
        async with self._talking() as sftp:
            for ending in ENDINGS:
                async with asyncio.timeout(COMMAND):
                    with suppress(asyncssh.SFTPNoSuchFile):
                        await sftp.remove(self._path(sound + ending))

    async def close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            with suppress(asyncio.CancelledError, HostError):
                await self._opening
        if self._link is not None:
            self._link.connection.abort()
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSING):
                    await self._link.connection.wait_closed()
            self._link = None

    def _path(self, name: str) -> str:
        return f"{self._address.path}/{name}"

    def _is_left(self, name: str, changed: int | None) -> bool:
        if f".{self._token}-" in name:
            return name not in self._writing
        return changed is not None and changed < time.time() - PART_LIFE

    # --- the connection

    @asynccontextmanager
    async def _talking(self) -> AsyncIterator[asyncssh.SFTPClient]:
        link = await self._linked()
        try:
            yield link.sftp
        except _LOST as error:
            link.connection.abort()
            if self._link is link:
                self._link = None
            raise UnreachableError(f"the connection was lost: {_words(error)}") from error
        except asyncssh.SFTPPermissionDenied as error:
            raise HostError(
                f"we must not write to {self._address.path}: give that folder to the user that we log in as"
            ) from error
        except asyncssh.Error as error:
            raise HostError(
                f"{self._address.path} did not take a file ({_words(error)}): is there room on that disk?"
            ) from error

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
            raise UnreachableError(_words(error)) from error

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

    # --- one file

    async def _put(
        self, sftp: asyncssh.SFTPClient, source: Path, size: int, target: str, *, anew: bool
    ) -> None:
        if not anew and await _size(sftp, target) == size:
            return
        folder, _, name = target.rpartition("/")
        beside = f".{name}.{self._token}-{secrets.token_hex(4)}{PART}"
        part = f"{folder}/{beside}"
        self._writing.add(beside)
        try:
            await self._write(sftp, source, part, size)
            await self._rename(sftp, part, target)
        except _LOST:
            raise  # what is left there goes when we are back
        except (asyncssh.Error, HostError, OSError):
            with suppress(asyncssh.Error):
                async with asyncio.timeout(COMMAND):
                    await sftp.remove(part)
            raise
        finally:
            self._writing.discard(beside)

    async def _write(self, sftp: asyncssh.SFTPClient, source: Path, part: str, size: int) -> None:
        with await asyncio.to_thread(source.open, "rb") as ours:
            try:
                async with asyncio.timeout(COMMAND):
                    theirs = await sftp.open(part, "xb")
            except asyncssh.SFTPNoSuchFile:
                async with asyncio.timeout(COMMAND):
                    await _make(sftp, PurePosixPath(part).parent)
                    theirs = await sftp.open(part, "xb")
            try:
                while chunk := await asyncio.to_thread(ours.read, _CHUNK):
                    async with asyncio.timeout(COMMAND):
                        await theirs.write(chunk)
                async with asyncio.timeout(COMMAND):
                    await theirs.setstat(asyncssh.SFTPAttrs(permissions=0o644))  # Asterisk is another user
                    # Not every server can. A host that loses power is looked through when it is back, anyway.
                    with suppress(asyncssh.SFTPOpUnsupported):
                        await theirs.fsync()
            finally:
                with suppress(TimeoutError, asyncssh.Error):  # what failed before is what counts
                    async with asyncio.timeout(_CLOSING):
                        await theirs.close()
        written = await _size(sftp, part)
        if written != size:
            raise HostError(f"{written} of {size} bytes arrived: is the host's disk full?")

    async def _rename(self, sftp: asyncssh.SFTPClient, part: str, target: str) -> None:
        async with asyncio.timeout(COMMAND):
            try:
                await sftp.posix_rename(part, target)
            except asyncssh.SFTPOpUnsupported:
                if not self._told_of_gap:
                    self._told_of_gap = True
                    _log.warning(
                        "this host's SFTP server cannot rename over a file (posix-rename@openssh.com): "
                        "a sound that is replaced is away for a moment",
                        host=self.place,
                    )
            else:
                return
            with suppress(asyncssh.SFTPNoSuchFile):
                await sftp.remove(target)
            await sftp.rename(part, target)


async def _size(sftp: asyncssh.SFTPClient, path: str) -> int | None:
    async with asyncio.timeout(COMMAND):
        with suppress(asyncssh.SFTPNoSuchFile):
            return (await sftp.stat(path)).size
    return None


async def _make(sftp: asyncssh.SFTPClient, folder: PurePosixPath) -> None:
    """Makes a folder that Asterisk's user can read, whatever the host's umask is."""
    if not await sftp.isdir(str(folder)):
        await _make(sftp, folder.parent)
        # Made at the same moment by another file on its way; anything else is told by what follows.
        with suppress(asyncssh.SFTPFailure, asyncssh.SFTPFileAlreadyExists):
            await sftp.mkdir(str(folder))
            await sftp.chmod(str(folder), 0o755)


def _words(error: BaseException) -> str:
    return str(error) or "no answer in time"
