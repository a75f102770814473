"""HTTP to Ultravox: the key, the deadlines, and what is asked again.

The fact to know: its API takes no idempotency key, so only what changes nothing or deletes is sent again.
What else may have been done when no answer came is `unknown`, and for who asked to find out.
"""

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal, Self

import structlog
from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    TCPConnector,
)
from yarl import URL

from trunx.adapters.ultravox.answers import problem, problem_of
from trunx.domain.agent import VendorError

ADDRESS = "https://api.ultravox.ai"

_TRIES = 3
_PAGES = 200
_PAGE_SIZE = 100  # what the most is, is not documented
_MOST_BYTES = 8 << 20
_IDLE = 30.0  # seconds that a connection is kept: a call that begins saves its handshake
_REPEATABLE = {"GET", "DELETE"}
_DONE_NOTHING = (ClientConnectorError, ConnectionTimeoutError)
"""There was no connection, so nothing was asked for."""

_log = structlog.get_logger(__name__)

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Seconds.

    Attributes:
        connect: for the connection.
        total: for one request.
        creation: for one that makes a call: somebody is waiting.
        lookup: for finding out what became of one whose answer was lost.
        upload: for the bytes of a document.
        wait: the longest pause between two tries, whatever the vendor asks for.
        backoff: the shortest.
        state: for one look at the account.
        keep: how long that look is good for.
    """

    connect: float = 5.0
    total: float = 10.0
    creation: float = 5.0
    lookup: float = 2.5
    upload: float = 60.0
    wait: float = 5.0
    backoff: float = 0.3
    state: float = 1.5
    keep: float = 15.0


class Client:
    """One account's way to the vendor. Every method raises `VendorError`."""

    def __init__(self, session: ClientSession, address: URL, key: str, deadlines: Deadlines) -> None:
        self._session = session
        self._address = address
        self._headers = {"X-API-Key": key}
        self._hidden = {key}
        self.deadlines = deadlines

    @classmethod
    @asynccontextmanager
    async def open(
        cls, key: str, address: str | None = None, *, deadlines: Deadlines | None = None
    ) -> AsyncIterator[Self]:
        """`address` is the vendor's own when not given.

        Raises:
            ValueError: the key cannot be a header's value, or `address` is none; never shows the key.
        """
        if not re.fullmatch(r"[!-~]+", key):
            raise ValueError("an API key is one word of plain characters")
        url = URL(address or ADDRESS)
        if url.scheme not in {"https", "http"} or not url.host:
            raise ValueError("not an address: https://host or http://host:port")
        limits = deadlines or Deadlines()
        session = ClientSession(
            connector=TCPConnector(limit=0, keepalive_timeout=_IDLE),
            timeout=ClientTimeout(total=limits.total, sock_connect=limits.connect),
            cookie_jar=DummyCookieJar(),
            trust_env=False,
            headers={"User-Agent": "trunx/1"},
        )
        async with session:
            yield cls(session, url, key, limits)

    def hide(self, *secrets: str) -> None:
        """Has these left out wherever the vendor's words are shown."""
        self._hidden.update(secrets)

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """One thing. Asked again when the vendor is busy or cannot be reached."""
        return await self._repeated("GET", self._url(path, query))

    async def delete(self, path: str) -> None:
        """What is gone already is deleted."""
        try:
            await self._repeated("DELETE", self._url(path))
        except VendorError as error:
            if error.trouble != "missing":
                raise

    async def send(
        self,
        method: Literal["POST", "PUT", "PATCH"],
        path: str,
        body: Any,
        *,
        within: float | None = None,
        secret: str = "",
    ) -> dict[str, Any]:
        """Once. `unknown`: it may have been done. `secret` is one of this request alone."""
        return await self._once(method, self._url(path), body, within=within, secret=secret)

    async def look(
        self, path: str, query: Mapping[str, str] | None = None, *, within: float | None = None
    ) -> dict[str, Any]:
        """As `get`, but once."""
        return await self._once("GET", self._url(path, query), within=within)

    async def pages(self, path: str, query: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """All of a list. A page that is on another host is not asked for: the key would go there."""
        url = self._url(path, {**(query or {}), "pageSize": str(_PAGE_SIZE)})
        results: list[dict[str, Any]] = []
        for _ in range(_PAGES):
            page = await self._repeated("GET", url)
            found = page.get("results")
            results += [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
            following = page.get("next")
            if not isinstance(following, str) or not following:
                return results
            url = self._same_host(following)
        raise problem("unavailable", "its list has no end")

    async def upload(self, url: str, mime: str, content: bytes) -> None:
        """To the storage behind the vendor, which must not see the key."""
        limit = ClientTimeout(total=self.deadlines.upload, sock_connect=self.deadlines.connect)
        try:
            async with self._session.put(
                URL(url, encoded=True),
                data=BytesIO(content),  # bytes are sent in one go, and hold up the event loop
                headers={"Content-Type": mime},
                allow_redirects=False,
                timeout=limit,
            ) as answer:
                if not 200 <= answer.status < 300:
                    raise problem("unavailable", f"its storage answers HTTP {answer.status}")
        except (ClientError, OSError, ValueError) as error:
            raise problem("unavailable", f"its storage: {type(error).__name__}") from None

    def _url(self, path: str, query: Mapping[str, str] | None = None) -> URL:
        url = URL(str(self._address).rstrip("/") + path, encoded=True)
        return url.with_query(query) if query else url

    def _same_host(self, page: str) -> URL:
        try:
            url = URL(page, encoded=True)
            is_ours = url.origin() == self._address.origin()
        except ValueError:
            is_ours = False
        if not is_ours:
            raise problem("unavailable", "its list goes on at another host")
        return url

    async def _repeated(self, method: Method, url: URL) -> dict[str, Any]:
        for tries in range(1, _TRIES):
            try:
                return await self._once(method, url)
            except VendorError as error:
                pause = self._pause(error, tries)
                if pause is None:
                    raise
                _log.info("Ultravox is asked again", path=url.path, problem=error.sentence, pause=pause)
            await asyncio.sleep(pause)
        return await self._once(method, url)

    def _pause(self, error: VendorError, tries: int) -> float | None:
        """Seconds until the next try; None: it would not help, or the vendor wants more time than we have."""
        if error.trouble not in {"busy", "unavailable"}:
            return None
        if error.retry_after is not None and error.retry_after > self.deadlines.wait:
            return None
        # Spread, so that those who failed together do not return together.
        pause: float = self.deadlines.backoff * 2**tries * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        return max(pause, error.retry_after or 0.0)

    async def _once(
        self, method: Method, url: URL, body: Any = None, *, within: float | None = None, secret: str = ""
    ) -> dict[str, Any]:
        """One request and its answer, an object; that of an answer without a body is empty."""
        lost: Literal["unavailable", "unknown"] = "unavailable" if method in _REPEATABLE else "unknown"
        limit = ClientTimeout(
            total=self.deadlines.total if within is None else within, sock_connect=self.deadlines.connect
        )
        try:
            async with self._session.request(
                method,
                url,
                headers=self._headers,
                json=body,
                allow_redirects=False,
                timeout=limit,
            ) as answer:
                status, headers, content = answer.status, answer.headers, await _read(answer.content)
        except _DONE_NOTHING as error:
            raise problem("unavailable", type(error).__name__) from None
        except TimeoutError:
            raise problem(lost, "no answer in time") from None
        except (ClientError, OSError, ValueError) as error:
            raise problem(lost, type(error).__name__) from None
        if 200 <= status < 300:
            return _parsed(content, lost)
        refusal = problem_of(status, headers, content, {*self._hidden, secret})
        # A 503 that names a time is the vendor's word that it has no place; any other 5xx may be anybody's.
        is_word = status == 503 and refusal.retry_after is not None
        if status >= 500 and lost == "unknown" and not is_word:
            raise problem("unknown", f"HTTP {status}")
        raise refusal


async def _read(content: Any) -> bytes:
    whole = bytearray()
    async for chunk in content.iter_any():
        whole += chunk
        if len(whole) > _MOST_BYTES:
            raise ValueError("too long")
    return bytes(whole)


def _parsed(content: bytes, lost: Literal["unavailable", "unknown"]) -> dict[str, Any]:
    if not content:
        return {}
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        raise problem(lost, "its answer cannot be read") from None
    if not isinstance(body, dict):
        raise problem(lost, "its answer cannot be read")
    return body
