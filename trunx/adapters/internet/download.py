"""Fetches a sound file from the internet, with a limit on everything: its size, its time, its type, its hops.

A redirect is followed by us, so that the address of each hop is looked at before it is connected to.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self
from urllib.parse import urljoin, urlsplit

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from aiohttp.abc import AbstractResolver
from aiohttp.resolver import ThreadedResolver

from trunx.adapters.internet.names import Checked
from trunx.domain.address import RefusedAddressError, check_host, check_url
from trunx.domain.download import DownloadError, DownloadProblem, Seen

DEADLINE = 15.0  # seconds for the whole of it, all hops together
MOST_BYTES = 25 * 1024 * 1024
_CONNECT = 5.0
_HOPS = 5
_PIECE = 64 * 1024
_NOTHING = Seen()
_MOVED = frozenset({301, 302, 303, 307, 308})
# What servers call a file whose kind they do not know; the studio looks at the bytes in any case.
_UNKNOWN = frozenset({"application/octet-stream", "binary/octet-stream", "application/ogg"})


class Download:
    """Fetches files. `private`: also from addresses of our own network."""

    def __init__(self, session: ClientSession, *, private: bool, deadline: float, most_bytes: int) -> None:
        self._session = session
        self._private = private
        self._deadline = deadline
        self._most = most_bytes

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        *,
        private: bool,
        resolver: AbstractResolver | None = None,
        deadline: float = DEADLINE,
        most_bytes: int = MOST_BYTES,
    ) -> AsyncIterator[Self]:
        """`resolver` looks names up; the system's own when not given."""
        names = resolver or ThreadedResolver()
        session = ClientSession(
            connector=TCPConnector(resolver=names if private else Checked(names), limit=0, force_close=True),
            timeout=ClientTimeout(total=None, sock_connect=_CONNECT),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            headers={"User-Agent": "trunx-audio/1", "Accept": "audio/*", "Accept-Encoding": "identity"},
        )
        async with session:
            yield cls(session, private=private, deadline=deadline, most_bytes=most_bytes)

    async def fetch(self, url: str, target: Path, known: Seen = _NOTHING) -> Seen | None:
        """Writes what `url` names to `target`; None: it is still what is `known`, and nothing was written.

        Raises:
            DownloadError: there is no such file, or none that we take; `target` may have a part of it.
        """
        try:
            async with asyncio.timeout(self._deadline):
                return await self._fetched(url, target, known)
        except RefusedAddressError as error:
            raise DownloadError(DownloadProblem.ADDRESS, str(error)) from None
        except TimeoutError:
            raise DownloadError(
                DownloadProblem.TOO_SLOW, f"the file did not arrive within {self._deadline:g} seconds"
            ) from None
        except (ClientError, OSError, ValueError) as error:
            # The reason in full may tell what our network looks like.
            raise DownloadError(
                DownloadProblem.FAILED, f"the file cannot be fetched ({type(error).__name__})"
            ) from None

    async def _fetched(self, url: str, target: Path, known: Seen) -> Seen | None:
        asked = {"If-None-Match": known.etag, "If-Modified-Since": known.modified}
        headers = {name: value for name, value in asked.items() if value is not None}
        for _ in range(_HOPS + 1):
            self._check(url)
            async with self._session.get(url, headers=headers, allow_redirects=False) as answer:
                if answer.status in _MOVED and "Location" in answer.headers:
                    url = urljoin(url, answer.headers["Location"])
                    continue
                if answer.status == 304 and headers:
                    return None
                await self._take(answer, target)
                return Seen(answer.headers.get("ETag"), answer.headers.get("Last-Modified"))
        raise DownloadError(DownloadProblem.REDIRECTS, f"the URL redirects more than {_HOPS} times")

    def _check(self, url: str) -> None:
        check_url(url)
        if not self._private:
            check_host(urlsplit(url).hostname or "")  # aiohttp looks up no address written as such

    async def _take(self, answer: ClientResponse, target: Path) -> None:
        if answer.status != 200:
            raise DownloadError(DownloadProblem.STATUS, f"the server answered {answer.status}")
        kind = answer.content_type
        if not kind.startswith("audio/") and kind not in _UNKNOWN:
            raise DownloadError(DownloadProblem.TYPE, f"the server answered with {kind}, not with audio")
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise DownloadError(DownloadProblem.TYPE, "the server packed the file, which was not asked for")
        size = 0
        with target.open("wb") as file:
            async for piece in answer.content.iter_chunked(_PIECE):
                size += len(piece)
                if size > self._most or (answer.content_length or 0) > self._most:
                    raise DownloadError(
                        DownloadProblem.TOO_LARGE, f"the file is larger than {self._most:,} bytes"
                    )
                file.write(piece)
