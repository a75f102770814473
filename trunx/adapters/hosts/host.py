"""The hosts that Asterisk runs on: how they are named, and what staging needs of each.

A sound's place on a host is made of the sound's own name, which only we make up: nothing that a user wrote
becomes part of a path there.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

ENDINGS = (".ulaw", ".alaw", ".sln16")
"""What Asterisk plays; the `.wav` and the words are for people, and stay in our own folder."""

SHELVES = ("trunx/audio", "trunx/engine")
"""The folders of staged sounds, below Asterisk's own."""

_SOUND = re.compile(r"trunx/(?:audio/[0-9a-f]{32}|engine/[a-z-]+)")
_PORT = 22

PART = ".part"
"""Ending of a file that is being written."""
PART_LIFE = 3600.0
"""Seconds after which a half-written file can only be what another process left when it crashed."""


class HostError(Exception):
    """A host did not do what it should. The message says why and what to do, and shows no secret."""


class UnreachableError(HostError):
    """The host cannot be talked to: nothing else need be tried there just now."""


class Host(Protocol):
    """A folder that Asterisk plays sounds from. Every method raises `HostError`, after a while at the latest.

    `place` is the URL without user and password: how the host is called in rows, answers and log lines.
    """

    place: str

    async def connect(self) -> int:
        """Sees that the host can be talked to. Another number than last time says that the connection is a
        new one, and that what was seen before need not be there any more.
        """

    async def files(self) -> Mapping[str, int]:
        """The files of staged sounds (`trunx/audio/....ulaw`) with their sizes in bytes. Deletes half-written
        ones that nobody goes on writing.
        """

    async def bring(self, sound: str, files: Mapping[Path, int], *, anew: bool) -> None:
        """Puts copies of our `files` (with their sizes) beside each other as `sound`, each whole at once. One
        that is there with the right size is left alone, unless all are to be brought `anew`.

        Raises:
            OSError: one of our own files cannot be read.
        """

    async def take(self, sound: str) -> None:
        """Deletes the sound's files."""

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Address:
    """Where a host's sounds folder is. `host` is None when this machine sees the folder itself."""

    path: str
    host: str | None = None
    port: int = _PORT
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @property
    def place(self) -> str:
        """The URL without user and password."""
        if self.host is None:
            return f"file://{self.path}"
        name = f"[{self.host}]" if ":" in self.host else self.host
        return f"sftp://{name}{'' if self.port == _PORT else f':{self.port}'}{self.path}"


def parse(url: str) -> Address:
    """The address in `file:///path` or `sftp://user@host:port/path`; what URLs do not allow in it, a user,
    password or path writes as `%XX`.

    Raises:
        ValueError: it is none; the message says what is wrong, and shows no secret.
    """
    if "?" in url or "#" in url:
        raise ValueError("? and # have to be written as %3F and %23")
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise ValueError("not a URL: its port or its host cannot be read") from None
    if parts.scheme not in ("file", "sftp"):
        # What stands before the colon may be all there is of a mistyped secret.
        raise ValueError(
            "a URL begins with file:// or sftp://, as in sftp://user@host/var/lib/asterisk/sounds"
        )
    path = unquote(parts.path).rstrip("/")
    if parts.scheme == "file" and parts.netloc not in ("", "localhost"):
        raise ValueError("the path of a file URL is absolute and has three slashes before it: file:///path")
    if parts.scheme == "sftp" and not parts.hostname:
        raise ValueError("a host is missing: sftp://user@host/path")
    if not path.startswith("/") or path.startswith("/~") or ".." in path.split("/"):
        raise ValueError("an absolute path is needed, of Asterisk's sounds folder: /var/lib/asterisk/sounds")
    if "\0" in path or "\n" in path:
        raise ValueError("the path has a character that no path can have")
    if parts.scheme == "file":
        return Address(path)
    return Address(
        path,
        parts.hostname,
        _PORT if port is None else port,
        unquote(parts.username) if parts.username else None,
        unquote(parts.password) if parts.password else None,
    )


def checked(sound: str) -> str:
    """`sound`, which is a name that we gave.

    Raises:
        ValueError: it is not, and must not become a path.
    """
    if not _SOUND.fullmatch(sound):
        raise ValueError(f"{sound!r} is not the name of a sound that can be staged")
    return sound
