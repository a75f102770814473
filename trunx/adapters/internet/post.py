"""Sends webhooks: one signed POST, with a limit on everything, and to no address that is not the internet's.

A name is looked up by us, its addresses are checked, and the connection goes to exactly these: a name that
leads elsewhere a moment later leads nowhere. Redirects are not followed, for the same reason.
"""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Self
from urllib.parse import urlsplit

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)
from aiohttp.abc import AbstractResolver
from aiohttp.resolver import ThreadedResolver
from standardwebhooks import Webhook

from trunx.adapters.internet.names import Checked
from trunx.adapters.store.tables import now
from trunx.domain.address import RefusedAddressError, check_host, check_url
from trunx.domain.webhook import Outcome

DEADLINE = 15.0  # seconds for the whole of one request
_CONNECT = 5.0  # seconds of it for the connection
_LOOKUP = 3.0  # seconds to look a name up when a URL is registered
_IDLE = 4.0  # seconds that a connection is kept; many servers close theirs after five
_MOST_READ = 4_096  # bytes of an answer that are read, so that the connection can be used again


class Post:
    """Fulfils the port of the same name. `private`: also to addresses of our own network."""

    def __init__(self, session: ClientSession, resolver: AbstractResolver, *, private: bool) -> None:
        self._session = session
        self._resolver = resolver
        self._private = private

    @classmethod
    @asynccontextmanager
    async def open(
        cls, *, private: bool, resolver: AbstractResolver | None = None, deadline: float = DEADLINE
    ) -> AsyncIterator[Self]:
        """`resolver` looks names up; the system's own when not given."""
        names = resolver or ThreadedResolver()
        if not private:
            names = Checked(names)
        # No limit over all: each endpoint has its own, and the dead ones must not use up everybody's.
        connector = TCPConnector(resolver=names, limit=0, ttl_dns_cache=10, keepalive_timeout=_IDLE)
        session = ClientSession(
            connector=connector,
            timeout=ClientTimeout(total=deadline, sock_connect=_CONNECT),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            headers={"User-Agent": "trunx-webhooks/1", "Content-Type": "application/json"},
        )
        async with session:
            yield cls(session, names, private=private)

    async def check(self, url: str) -> None:
        check_url(url)
        if self._private:
            return
        host = urlsplit(url).hostname or ""
        check_host(host)
        try:
            async with asyncio.timeout(_LOOKUP):
                await self._resolver.resolve(host, 0, socket.AF_UNSPEC)
        except (OSError, TimeoutError):
            return  # a name may come to be; what it then leads to is looked at before each request

    async def send(self, url: str, event: str, secrets: Sequence[str], body: str) -> Outcome:
        at, started = now(), time.perf_counter()
        answer, problem = None, None
        try:
            if not self._private:
                check_host(urlsplit(url).hostname or "")  # aiohttp looks up no address written as such
            answer = await self._posted(url, _headers(event, secrets, body), body)
        except RefusedAddressError as error:
            problem = str(error)
        except TimeoutError:
            problem = "no answer in time"
        except (ClientError, OSError, ValueError) as error:
            problem = _told(error)
        return Outcome(at, answer, problem, round((time.perf_counter() - started) * 1000))

    async def _posted(self, url: str, headers: dict[str, str], body: str) -> int:
        async with self._session.post(
            url, data=body.encode(), headers=headers, allow_redirects=False
        ) as answer:
            # More than this is of no interest, and closes the connection.
            if len(await answer.content.read(_MOST_READ)) == _MOST_READ or not answer.content.at_eof():
                answer.close()
            return answer.status


def _headers(event: str, secrets: Sequence[str], body: str) -> dict[str, str]:
    moment = datetime.now(UTC)
    named = {"webhook-id": event, "webhook-timestamp": str(int(moment.timestamp()))}
    signatures = " ".join(Webhook(secret).sign(event, moment, body) for secret in secrets)
    return named | ({"webhook-signature": signatures} if signatures else {})


def _told(error: Exception) -> str:
    """The problem in a line, without the URL, whose path and query may hold a secret."""
    reason = error.os_error if isinstance(error, ClientConnectorError) else error
    return f"{type(error).__name__}: {reason}"[:300]
