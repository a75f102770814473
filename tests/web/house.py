"""The API as tests use it: the real adapters behind a real server on a free port, and an HTTP client."""

import asyncio
import io
import itertools
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from trunx.adapters.accounts import Accounts
from trunx.adapters.calls import Calls
from trunx.adapters.database import Database
from trunx.adapters.dids import Dids
from trunx.adapters.idempotency import IdempotencyKeys
from trunx.adapters.ivrs import Ivrs
from trunx.adapters.published import Published
from trunx.adapters.recorder import Recorder
from trunx.adapters.sound_folder import SoundFolder
from trunx.adapters.suppressions import Suppressions
from trunx.adapters.valkey import open_valkey
from trunx.domain.account import new_secret
from trunx.engine.ports import Part
from trunx.web.application import create_application
from trunx.web.ports import Ports

JSON = "application/json"
PROBLEM = "application/problem+json"
_numbers = itertools.count(19_495_550_000)


def new_did() -> str:
    """A number that no other test has: a DID belongs to one account in the whole server."""
    return f"+{next(_numbers)}"


@dataclass(frozen=True, slots=True)
class Got:
    """An answer: its JSON (or text, when it is none)."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def code(self) -> str:
        """Of a problem."""
        assert self.headers["Content-Type"] == PROBLEM, self
        assert self.body["status"] == self.status
        return str(self.body["code"])

    @property
    def pointers(self) -> list[str]:
        """Where the problem is."""
        return [error["pointer"] for error in self.body["errors"]]


class Client:
    """A user with a key (or without, when `secret` is empty)."""

    def __init__(self, session: aiohttp.ClientSession, url: str, account: str, secret: str) -> None:
        self._session = session
        self.url = url
        self.account = account
        self.secret = secret

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Got:
        """Sends `path` as it is written; `body` is text as it is, anything else as JSON."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.secret:
            sent.setdefault("Authorization", f"Bearer {self.secret}")
        if body is not None:
            sent.setdefault("Content-Type", JSON)
        data = body if body is None or isinstance(body, str | bytes | io.IOBase) else json.dumps(body)
        url = URL(self.url + path, encoded=True)
        async with self._session.request(
            method, url, data=data, headers=sent, allow_redirects=False
        ) as answer:
            text = await answer.text()
            is_json = answer.content_type in {JSON, PROBLEM} and text
            return Got(answer.status, answer.headers.copy(), json.loads(text) if is_json else text)

    async def get(self, path: str) -> Got:
        return await self.ask("GET", path)

    async def post(self, path: str, body: Any, **headers: str) -> Got:
        return await self.ask("POST", path, body, **headers)

    async def patch(self, path: str, body: Any) -> Got:
        return await self.ask("PATCH", path, body)

    async def delete(self, path: str) -> Got:
        return await self.ask("DELETE", path)


@dataclass(frozen=True, slots=True)
class House:
    """A running server, and what is behind it."""

    url: str
    ports: Ports
    lines: Published
    recorder: Recorder
    sounds: SoundFolder
    session: aiohttp.ClientSession
    accounts: Accounts

    async def client(self, name: str) -> Client:
        """A user with a new account."""
        account = await self.accounts.create(name)
        secret = new_secret()
        await self.accounts.create_key(account.id, "test", secret)
        return Client(self.session, self.url, account.id, secret)


@asynccontextmanager
async def serving(application: web.Application, *, cancel: bool = False) -> AsyncIterator[str]:
    """Serves `application` on a free port; its URL. `cancel`: a client that leaves cancels its handler."""
    runner = web.AppRunner(application, access_log=None, handler_cancellation=cancel)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


def ports_over(
    database: Database, lines: Published, sounds: SoundFolder, parts: Sequence[Part] = ()
) -> Ports:
    """The ports as `trunx serve` fills them."""
    return Ports(
        ivrs=Ivrs(database),
        dids=Dids(database),
        suppressions=Suppressions(database),
        calls=Calls(database),
        accounts=Accounts(database),
        idempotency=IdempotencyKeys(database),
        lines=lines,
        sounds=sounds,
        parts=parts,
        public_url="https://trunx.example.com",
        version="0.1.0",
    )


@asynccontextmanager
async def open_house(folder: Path) -> AsyncIterator[House]:
    """Everything, in `folder`."""
    async with (
        Database.open(f"sqlite:///{folder}/trunx.db") as database,
        open_valkey(folder / "run") as valkey,
        Published(database, valkey.client) as lines,
        Recorder(database, server="web-tests") as recorder,
        aiohttp.ClientSession() as session,
    ):
        sounds = SoundFolder(folder / "sounds")
        ports = ports_over(database, lines, sounds, [database, valkey])
        healing = asyncio.create_task(lines.heal())
        try:
            async with serving(create_application(ports)) as url:
                yield House(url, ports, lines, recorder, sounds, session, Accounts(database))
        finally:
            healing.cancel()
            await asyncio.gather(healing, return_exceptions=True)
