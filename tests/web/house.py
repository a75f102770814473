"""The API as tests use it: the real adapters behind a real server on a free port, and an HTTP client."""

import asyncio
import io
import itertools
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from aiohttp import web
from yarl import URL

from tests import secrecy
from tests.peers.ami_stub import AmiStub, ami_stub
from tests.peers.elevenlabs import KEY
from tests.peers.names import Names
from tests.peers.ultravox import UltravoxPeer
from tests.web.placing import placing, transfers
from trunx.acting import acts as acting_on
from trunx.adapters.ami.ami import Pace
from trunx.adapters.ami.desk import Desk
from trunx.adapters.cache.news import News
from trunx.adapters.cache.published import Published
from trunx.adapters.cache.redis import RedisServer
from trunx.adapters.cache.talk_places import TalkPlaces
from trunx.adapters.cache.valkey import open_valkey
from trunx.adapters.hosts.sound_folder import SoundFolder
from trunx.adapters.hosts.staging import Staging
from trunx.adapters.internet.post import Post
from trunx.adapters.store.accounts import Accounts
from trunx.adapters.store.actions import Actions
from trunx.adapters.store.agents import Agents
from trunx.adapters.store.audios import Audios
from trunx.adapters.store.calls import Calls
from trunx.adapters.store.database import Database
from trunx.adapters.store.dials import Dials
from trunx.adapters.store.dids import Dids
from trunx.adapters.store.idempotency import IdempotencyKeys
from trunx.adapters.store.ivrs import Ivrs
from trunx.adapters.store.knowledge import KnowledgeBases
from trunx.adapters.store.left_overs import LeftOvers as LeftOverRows
from trunx.adapters.store.log import Log
from trunx.adapters.store.recorder import Recorder
from trunx.adapters.store.recordings import Recordings as RecordingRows
from trunx.adapters.store.recordings import Secrets
from trunx.adapters.store.standings import Standings
from trunx.adapters.store.suppressions import Suppressions
from trunx.adapters.store.talks import Talks
from trunx.adapters.store.tools import Tools as ToolRows
from trunx.adapters.store.webhooks import Webhooks
from trunx.adapters.studio.studio import Studio
from trunx.adapters.ultravox.agents import UltravoxAgents
from trunx.adapters.ultravox.calls import UltravoxCalls
from trunx.adapters.ultravox.client import Client as UltravoxClient
from trunx.adapters.ultravox.client import Deadlines as UltravoxDeadlines
from trunx.adapters.ultravox.reach import SipReach
from trunx.adapters.voices.elevenlabs import Deadlines, ElevenLabs
from trunx.adapters.voices.local import LocalVoice
from trunx.domain.account import new_secret
from trunx.engine.actions.record import Record
from trunx.engine.agents import Roster
from trunx.engine.incoming import Incoming
from trunx.engine.knowledge import Bookshelf
from trunx.engine.left_overs import LeftOvers
from trunx.engine.library import Library
from trunx.engine.picking import Picking
from trunx.engine.ports import Voices
from trunx.engine.recordings import Recordings
from trunx.engine.talk_truth import TalkTruth
from trunx.engine.tools import Tools
from trunx.web.application import create_application
from trunx.web.ports import Ai, Ports
from trunx.web.uploads import Limits

PUBLIC_URL = "https://trunx.example.com"
UPLOADS = Limits(2_000_000, 10)
HURRIED = Deadlines(speech=4.0, silence=1.0, voices=2.0, backoff=0.01)
REACH = SipReach("pbx.example.com:5060;transport=udp", secrecy.SIP_USER, secrecy.SIP_PASSWORD)
NAMES = {"example.com": ["93.184.215.14"], "inside.example.com": ["93.184.215.14", "10.0.0.1"]}
# The tests share the processors with others: a second without a word says nothing.
PATIENT = Pace(silence=30.0)
T = TypeVar("T")
JSON = "application/json"
PROBLEM = "application/problem+json"
_numbers = itertools.count(19_495_550_000)


def new_did() -> str:
    """A number that no other test has: a DID belongs to one account in the whole server."""
    return f"+{next(_numbers)}"


def audio_form(content: bytes, filename: str, **fields: str) -> aiohttp.FormData:
    """An upload as browsers and `curl -F` send it."""
    form = aiohttp.FormData()
    for name, value in fields.items():
        form.add_field(name, value)
    form.add_field("file", content, filename=filename)
    return form


@dataclass(frozen=True, slots=True)
class Got:
    """An answer: its JSON (or sound, or text)."""

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
        if body is not None and not isinstance(body, aiohttp.FormData):
            sent.setdefault("Content-Type", JSON)
        plain = isinstance(body, str | bytes | io.IOBase | aiohttp.FormData | AsyncIterator)
        data = body if body is None or plain else json.dumps(body)
        url = URL(self.url + path, encoded=True)
        async with self._session.request(
            method, url, data=data, headers=sent, allow_redirects=False
        ) as answer:
            got = await answer.read()
            if answer.content_type.startswith("audio/"):
                return Got(answer.status, answer.headers.copy(), got)
            is_json = answer.content_type in {JSON, PROBLEM} and got
            return Got(answer.status, answer.headers.copy(), json.loads(got) if is_json else got.decode())

    async def get(self, path: str) -> Got:
        return await self.ask("GET", path)

    async def post(self, path: str, body: Any, **headers: str) -> Got:
        return await self.ask("POST", path, body, **headers)

    async def upload(self, content: bytes, filename: str = "a.wav", **fields: str) -> Got:
        """Sends a file, and fields beside it."""
        return await self.ask("POST", "/audio/upload", audio_form(content, filename, **fields))

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
    folder: Path
    asterisk: AmiStub
    ultravox: UltravoxPeer
    vendor: UltravoxCalls

    @property
    def incoming(self) -> list[Path]:
        """Files that are on their way."""
        return list((self.folder / "incoming").iterdir())

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


def stores(database: Database) -> dict[str, Any]:
    """The ports that are rows in `database`."""
    return {
        "ivrs": Ivrs(database),
        "dids": Dids(database),
        "suppressions": Suppressions(database),
        "calls": Calls(database),
        "accounts": Accounts(database),
        "idempotency": IdempotencyKeys(database),
        "audios": Audios(database, server="web-tests"),
        "webhooks": Webhooks(database),
        "action_rows": Actions(database),
    }


@asynccontextmanager
async def open_voices(studio: Studio, vendor: str | None) -> AsyncIterator[Voices]:
    """The voice on this machine, or a hurried ElevenLabs at the URL `vendor`."""
    if vendor is None:
        yield LocalVoice(studio.speak_local)
        return
    async with ElevenLabs(KEY, vendor, deadlines=HURRIED) as voices:
        yield voices


@asynccontextmanager
async def in_one_task(opening: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
    """Opens and closes in one task: what is inside has task groups, and fixtures end in another task."""
    opened: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    done = asyncio.Event()

    async def keep() -> None:
        async with opening as inside:
            opened.set_result(inside)
            await done.wait()

    keeping = asyncio.create_task(keep())

    def failed(task: asyncio.Task[None]) -> None:
        if not opened.done():
            opened.set_exception(task.exception() or EOFError("it closed before it was open"))

    keeping.add_done_callback(failed)
    yield await opened
    done.set()
    await keeping


def recordings(database: Database, folder: Path) -> Recordings:
    """Recordings; nobody fetches them."""
    folder.mkdir()
    return Recordings(
        RecordingRows(database),
        Secrets(database),
        folder=folder,
        life=timedelta(days=30),
        public_url=PUBLIC_URL,
    )


@dataclass(frozen=True, slots=True)
class Agency:
    """All that is about AI agents, at a vendor of its own. Nobody looks after talks but a test that does."""

    peer: UltravoxPeer
    vendor: UltravoxCalls
    ports: dict[str, Any]


@asynccontextmanager
async def agency(database: Database, cache: RedisServer) -> AsyncIterator[Agency]:
    async with (
        UltravoxPeer.running() as peer,
        UltravoxClient.open(peer.key, peer.url, deadlines=UltravoxDeadlines(backoff=0.01)) as client,
    ):
        vendor, calls = UltravoxAgents(client), UltravoxCalls(client, REACH)
        left_overs = LeftOvers(LeftOverRows(database), vendor)
        tools = Tools(ToolRows(database), vendor, left_overs)
        knowledge = Bookshelf(KnowledgeBases(database), vendor, left_overs)
        roster = Roster(Agents(database), vendor, left_overs, tools=tools, knowledge=knowledge)
        talks = Talks(database)
        truth = TalkTruth(talks=talks, calls=Calls(database), vendor=calls, places=TalkPlaces(cache, 5))
        door = Ai(off=None, talks=talks, truth=truth, secrets=secrecy.WEBHOOK_SECRETS)
        yield Agency(peer, calls, {"ai": door, "agents": roster, "tools": tools, "knowledge": knowledge})


@asynccontextmanager
async def open_house(
    folder: Path, uploads: Limits = UPLOADS, vendor: str | None = None
) -> AsyncIterator[House]:
    """Everything, in `folder`. The voice is the local one, or ElevenLabs' at the URL `vendor`."""
    sounds = SoundFolder(folder / "sounds")
    sounds.root.mkdir()
    incoming = Incoming(folder / "incoming")
    incoming.make()
    async with (
        Database.open(f"sqlite:///{folder}/trunx.db") as database,
        open_valkey(folder / "run") as valkey,
        Published(database, valkey.client) as lines,
        News(database, valkey.client) as news,
        Post.open(private=False, resolver=Names(NAMES)) as post,
        Recorder(database, server="web-tests") as recorder,
        Studio(sounds.root, 1) as studio,
        Staging(database, sounds) as staging,
        open_voices(studio, vendor) as voices,
        Library(
            audios=Audios(database, server="web-tests"),
            studio=studio,
            voices=voices,
            staging=staging,
            lines=lines,
            words=sounds,
            incoming=incoming,
        ) as library,
        ami_stub() as asterisk,
        Desk(asterisk.url, pace=PATIENT) as switch,
        acting_on(database, library, switch, private=False) as acts,
        agency(database, valkey) as ai,
        aiohttp.ClientSession() as session,
    ):
        await switch.wait_connected(5)
        picking = Picking(Standings(database))
        outbound = placing(database, valkey, switch, picking)
        kept = recordings(database, folder / "recordings")
        ports = Ports(
            **stores(database),
            **ai.ports,
            outbound=outbound,
            picking=picking,
            log=Log(database, news),
            post=post,
            recordings=kept,
            record=Record(
                actions=Actions(database),
                recordings=kept,
                dials=Dials(database, server="web-tests"),
                desk=switch,
                file_seconds=0.3,
            ),
            transfers=transfers(database, valkey, outbound, switch, post),
            keys=acts.keys,
            sounding=acts.sounding,
            lines=lines,
            sounds=sounds,
            library=library,
            studio=studio,
            voices=voices,
            staging=staging,
            incoming=incoming,
            uploads=uploads,
            parts=[database, valkey],
            public_url=PUBLIC_URL,
            version="0.1.0",
        )
        healing = asyncio.create_task(lines.heal())
        try:
            async with serving(create_application(ports)) as url:
                accounts = Accounts(database)
                yield House(
                    *(url, ports, lines, recorder, sounds, session, accounts, folder, asterisk),
                    *(ai.peer, ai.vendor),
                )
        finally:
            healing.cancel()
            await asyncio.gather(healing, return_exceptions=True)
            await outbound.close()
            await picking.close()
