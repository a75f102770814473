"""The whole engine behind a real socket: SQLite, Valkey, a folder of sounds, and Asterisk's side scripted."""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
import pytest_asyncio

from agi import Server
from agi.caller import Caller, Dialling, Happening, Playing, Ring, Waiting
from sounds import ENGINE
from trunx.adapters.cache.published import Published
from trunx.adapters.cache.redis import open_redis
from trunx.adapters.cache.valkey import open_valkey
from trunx.adapters.hosts.sound_folder import SoundFolder
from trunx.adapters.store.accounts import Accounts
from trunx.adapters.store.calls import Calls
from trunx.adapters.store.database import Database
from trunx.adapters.store.dids import Dids
from trunx.adapters.store.ivrs import Ivrs
from trunx.adapters.store.journal import Journal
from trunx.adapters.store.recorder import Recorder
from trunx.adapters.store.suppressions import Suppressions
from trunx.domain.call import Call, Event, Step
from trunx.domain.records import CallFilter, Page
from trunx.domain.sound import sound_name
from trunx.engine import ports
from trunx.engine.inbound import Inbound
from trunx.engine.opt_out import OptOuts
from trunx.engine.transferring import Transfers

DID = "+19495551234"
CALLER = "+12125550123"
MENU_SECONDS = 4.0

Kind = TypeVar("Kind", bound=Happening)


class Phone:
    """A caller. `does` answers the waits in turn: a key, `.` for silence, `!` for hanging up; `during` does
    the same while a sound plays, by the sound's name, and `talking` in one Dial after the other. With `speed`
    0 neither sounds nor waits take time.
    """

    def __init__(
        self,
        ring: Ring,
        seconds: Callable[[str], float | None],
        *,
        does: str = "",
        during: Mapping[str, str] | None = None,
        talking: str = "",
        ahead: str = "",
        speed: float = 0,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.happened: list[Happening] = []
        self.ended_by = ""
        self.over = asyncio.Event()
        self.caller = Caller(ring, seconds, self._observe, variables or {}, speed)
        self.watch: Callable[[Happening], None] = lambda _: None
        self._does = list(does)
        self._talking = list(talking)
        self._during = {sound: list(acts) for sound, acts in (during or {}).items()}
        self._queue: asyncio.Queue[Happening] = asyncio.Queue()
        for key in ahead:
            self.caller.press(key)

    @property
    def sounds(self) -> list[str]:
        """What was played, missing sounds included."""
        return [happening.sound for happening in self.happened if isinstance(happening, Playing)]

    @property
    def heard(self) -> list[str]:
        """What could be played."""
        return [
            happening.sound
            for happening in self.happened
            if isinstance(happening, Playing) and happening.seconds is not None
        ]

    async def call(self, port: int) -> str:
        """Stays until the call has ended; by whom."""
        self.ended_by = await self.caller.call("127.0.0.1", port)
        self.over.set()
        return self.ended_by

    async def until(self, kind: type[Kind]) -> Kind:
        """Waits for the next happening of this kind."""
        while True:
            happening = await self._queue.get()
            if isinstance(happening, kind):
                return happening

    def drop(self) -> None:
        """Asterisk's side of the connection vanishes."""
        assert self.caller._writer is not None
        self.caller._writer.transport.abort()

    def _observe(self, happening: Happening) -> None:
        self.happened.append(happening)
        self._queue.put_nowait(happening)
        self.watch(happening)
        if isinstance(happening, Waiting):
            self._act(self._does)
        elif isinstance(happening, Playing):
            self._act(self._during.get(happening.sound, []))
        elif isinstance(happening, Dialling):
            self._act(self._talking)

    def _act(self, acts: list[str]) -> None:
        act = acts.pop(0) if acts else "."
        if act == "!":
            self.caller.hang_up()
        elif act != ".":
            self.caller.press(act)


@dataclass(frozen=True)
class Kept:
    """What the database has of a call. `events` are those of which its row and its steps say nothing."""

    call: Call
    steps: Sequence[Step]
    events: Sequence[Event]

    @property
    def way(self) -> list[str]:
        """Node and how it was left, with the key: `welcome key 1`."""
        return [f"{step.node} {step.left} {step.key or ''}".strip() for step in self.steps]


@dataclass
class Engine:
    """An account with its IVRs, and the server that calls reach."""

    folder: Path
    account: str
    database: Database
    ivrs: Ivrs
    dids: Dids
    lines: Published
    recorder: Recorder
    suppressions: Suppressions
    journal: Journal
    sounds: SoundFolder
    opt_outs: OptOuts
    server: Server

    async def publish(self, document: dict[str, Any], did: str = DID) -> None:
        """Saves the IVR and puts it behind `did`, staging a prompt for every audio but `missing.wav`."""
        for node in document["nodes"].values():
            for name in ("audio", "invalid_audio", "timeout_audio"):
                if node.get(name) not in (None, "missing.wav"):
                    self.stage(node[name])
        await self.ivrs.create(self.account, document["id"], document)
        await self.ivrs.assign(self.account, document["id"], did)
        await self.lines.publish([did])

    async def change(self, document: dict[str, Any]) -> None:
        """The next version of an IVR that is published."""
        ivr = await self.ivrs.change(self.account, document["id"], lambda _: document)
        await self.lines.publish(ivr.dids)

    def stage(self, audio: str, seconds: float = MENU_SECONDS) -> None:
        """Gives Asterisk a sound for `audio` of the account."""
        self.put(self.sound(audio), bytes(round(seconds * 8_000)))

    def put(self, sound: str, data: bytes) -> None:
        """Gives Asterisk a sound, without the care for power cuts that staging takes."""
        path = self.sounds.root / f"{sound}.ulaw"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.sounds._known.pop(sound, None)

    def sound(self, audio: str) -> str:
        """What Asterisk calls `audio` of the account."""
        return sound_name(self.account, audio)

    def phone(self, ring: Ring | None = None, **does: Any) -> Phone:
        """A caller of `DID` with the number `CALLER`, unless `ring` says otherwise."""
        return Phone(ring or Ring(DID, CALLER, uniqueid="1700000000.7"), self.seconds, **does)

    def seconds(self, sound: str) -> float | None:
        """How long Asterisk plays `sound`; nothing at all is played in no time."""
        return self.sounds.seconds(sound) if sound else 0.0

    async def dial(self, ring: Ring | None = None, **does: Any) -> Phone:
        """A whole call."""
        phone = self.phone(ring, **does)
        await phone.call(self.server.port)
        return phone

    async def kept(self) -> Kept:
        """The call that was kept last."""
        return (await self.all_kept(most=1))[0]

    async def all_kept(self, most: int = 100) -> list[Kept]:
        """All calls, the newest first, once everything is written."""
        await self.recorder.flush()
        calls = Calls(self.database)
        found = await calls.page(self.account, CallFilter(), Page(most))
        return [
            Kept(
                call,
                await calls.steps(self.account, call.id),
                [
                    event
                    for event in await calls.events(self.account, call.id)
                    if event.type in {"audio.failed", "call.redirected"}
                ],
            )
            for call in found.rows
        ]

    async def converse(self, ring: Ring, replies: Mapping[str, str]) -> list[str]:
        """A call word by word: what the engine says, each line answered by the first of `replies` that it
        begins with, by `200 result=0` when there is none. An empty reply closes the connection.
        """
        said: list[str] = []
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        try:
            writer.write(ring.greeting("127.0.0.1", self.server.port))
            while line := (await reader.readline()).decode().rstrip("\n"):
                said.append(line)
                begun = (reply for start, reply in replies.items() if line.startswith(start))
                reply = next(begun, "200 result=0")
                if not reply:
                    break
                writer.write(reply.encode("latin-1") + b"\n")
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
        return said

    def listed(self) -> list[tuple[str, str, str | None]]:
        """The do-not-call list as it is on disk now: account, number, call."""
        with sqlite3.connect(self.folder / "trunx.db") as connection:
            rows = connection.execute('SELECT account, number, "call" FROM suppressions').fetchall()
        connection.close()
        return rows

    @asynccontextmanager
    async def serving(
        self,
        *,
        suppressions: ports.Suppressions | None = None,
        lines: ports.Lines | None = None,
        sounds: ports.Sounds | None = None,
        transfers: Transfers | None = None,
    ) -> AsyncIterator[Server]:
        """A server of its own, with these parts in place of the usual ones; `dial` goes to it."""
        opt_outs = OptOuts(suppressions or self.suppressions, self.journal)
        inbound = Inbound(
            lines or self.lines,
            opt_outs,
            self.recorder,
            sounds or self.sounds,
            "US",
            transfers=transfers or Transfers(),
        )
        async with Server(inbound, port=0) as server:
            usual = self.server, self.opt_outs
            self.server, self.opt_outs = server, opt_outs
            try:
                yield server
            finally:
                await opt_outs.drain()
                self.server, self.opt_outs = usual


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def valkey(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The socket of one Valkey for all tests."""
    async with open_valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server.place


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A database to copy, and the account in it: to make one takes longer than a call."""
    path = tmp_path_factory.mktemp("template") / "trunx.db"
    async with Database.open(f"sqlite:///{path}") as database:
        account = await Accounts(database).create("Ada")
    return path, account.id


@pytest.fixture
async def engine(tmp_path: Path, valkey: str, template: tuple[Path, str]) -> AsyncIterator[Engine]:
    """An engine with its own prompts staged and no IVR yet."""
    path, account = template
    shutil.copy(path, tmp_path / "trunx.db")
    async with (
        Database.open(f"sqlite:///{tmp_path}/trunx.db") as database,
        open_redis(f"unix://{valkey}") as cache,
        Published(database, cache.client) as lines,
        Recorder(database, server="tests") as recorder,
    ):
        await cache.client.flushall()
        healing = asyncio.create_task(lines.heal())
        suppressions, sounds = Suppressions(database), SoundFolder(tmp_path / "sounds")
        journal = Journal(tmp_path / "suppressions.journal")
        opt_outs = OptOuts(suppressions, journal)
        async with Server(Inbound(lines, opt_outs, recorder, sounds, "US"), port=0) as server:
            made = Engine(
                folder=tmp_path,
                account=account,
                database=database,
                ivrs=Ivrs(database),
                dids=Dids(database),
                lines=lines,
                recorder=recorder,
                suppressions=suppressions,
                journal=journal,
                sounds=sounds,
                opt_outs=opt_outs,
                server=server,
            )
            for prompt in ENGINE.values():
                made.put(prompt.sound, prompt.path.read_bytes())
            made.put("beep", bytes(800))
            yield made
        healing.cancel()
        with suppress(asyncio.CancelledError):
            await healing
