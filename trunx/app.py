"""Puts the parts together, starts them, and ends them in the opposite order. Only here are they named."""

import asyncio
import gc
import os
import resource
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from typing import Protocol

import structlog
from aiohttp import web

import agi
from sounds import ENGINE
from trunx import demo
from trunx.acting import acting
from trunx.adapters.cache.news import News
from trunx.adapters.cache.published import Published
from trunx.adapters.cache.redis import RedisServer, open_redis
from trunx.adapters.cache.valkey import open_valkey
from trunx.adapters.hosts.sound_folder import SoundFolder, SoundFolders
from trunx.adapters.hosts.staging import Staging
from trunx.adapters.internet.post import Post
from trunx.adapters.store.accounts import Accounts
from trunx.adapters.store.audios import Audios
from trunx.adapters.store.calls import Calls
from trunx.adapters.store.database import Database
from trunx.adapters.store.dids import Dids
from trunx.adapters.store.idempotency import IdempotencyKeys
from trunx.adapters.store.ivrs import Ivrs
from trunx.adapters.store.journal import Journal
from trunx.adapters.store.log import Log
from trunx.adapters.store.outbox import Outbox
from trunx.adapters.store.purge import Purge
from trunx.adapters.store.recorder import Recorder
from trunx.adapters.store.suppressions import Suppressions
from trunx.adapters.store.webhooks import Webhooks
from trunx.adapters.studio.studio import Limits as StudioLimits
from trunx.adapters.studio.studio import Studio
from trunx.adapters.voices.local import LocalVoice
from trunx.ai import ai_agents
from trunx.background import at_work
from trunx.calling import calling
from trunx.domain.account import new_secret
from trunx.domain.errors import UnavailableError
from trunx.engine.delivery import Deliverer
from trunx.engine.inbound import Inbound
from trunx.engine.incoming import Incoming
from trunx.engine.library import Library
from trunx.engine.metrics import CALLS_LIVE, CALLS_REFUSED
from trunx.engine.opt_out import OptOuts
from trunx.engine.ports import Lines, Part, Voices
from trunx.engine.transferring import Transfers
from trunx.recording import recording, recordings
from trunx.settings import PREFIX, Settings, SettingsError
from trunx.web.application import create_application
from trunx.web.ports import Ports
from trunx.web.uploads import Limits

log = structlog.get_logger(__name__)


class StartError(Exception):
    """The server cannot start; the message says why, and which setting to change."""


@dataclass(frozen=True, slots=True)
class Running:
    """A started server. `new_key` is the first account's key when this start made it: shown once, never kept.

    `calls` is the FastAGI server, to be drained before the rest ends; `lines` is what it looks calls up in.
    """

    calls: agi.Server
    lines: Lines
    accounts: Accounts
    http_url: str
    new_key: str | None


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Running]:
    """The whole server, until the block ends.

    Raises:
        StartError: a port is taken, or the data folder cannot be written.
        SettingsError: a URL is of a kind that is not supported.
        ValkeyError: the embedded server does not start.
    """
    with _data_folder(settings):
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    _raise_file_limit()
    async with AsyncExitStack() as stack:
        with _setting("DATABASE_URL"):
            database = await stack.enter_async_context(Database.open(settings.database()))
        with _data_folder(settings), _setting("REDIS_URL"):
            cache = await stack.enter_async_context(_cache(settings))
        news = await stack.enter_async_context(News(database, cache.client))
        post = await stack.enter_async_context(Post.open(private=settings.webhook_private))
        public_url = (settings.public_url or _url(settings.http_host, settings.http_port)).rstrip("/")
        deliverer = Deliverer(Outbox(database), post, news, owner=settings.server_name, public_url=public_url)
        lines = await stack.enter_async_context(Published(database, cache.client))
        recorder = await stack.enter_async_context(Recorder(database, server=settings.server_name))
        suppressions, journal = Suppressions(database), Journal(settings.data_dir / "suppressions.journal")
        opt_outs = OptOuts(suppressions, journal)
        stack.push_async_callback(opt_outs.drain)
        sound = await stack.enter_async_context(_sound(settings, database, lines))
        accounts, ivrs = Accounts(database), Ivrs(database)
        purge = Purge(database, timedelta(days=settings.events_days))
        for work in (lines.heal(), journal.replay_for_ever(suppressions), deliverer.run(), purge.run()):
            await stack.enter_async_context(at_work(work))
        ai = await stack.enter_async_context(ai_agents(settings, database, cache))
        transfers = Transfers(talking=ai.talking, agents=ai.rows)
        inbound = Inbound(lines, opt_outs, recorder, sound.folders, settings.region, transfers=transfers)
        with _data_folder(settings):
            kept = recordings(settings, database, public_url)
        calls_out = await stack.enter_async_context(
            calling(settings, database, cache, inbound, ai.talking, recordings=kept, post=post)
        )
        recorded = await stack.enter_async_context(recording(settings, database, kept, calls_out.desk))
        acts = await stack.enter_async_context(acting(settings, database, sound.library, calls_out))
        with _port("AGI", settings.agi_host, settings.agi_port):
            calls = await stack.enter_async_context(
                agi.Server(
                    calls_out.inbound,
                    host=settings.agi_host,
                    port=settings.agi_port,
                    limits=agi.Limits(sessions=settings.agi_sessions),
                    allow=settings.agi_allow,
                )
            )
        if calls_out.truth is None:
            recorder.end_lost()
        else:
            await stack.enter_async_context(at_work(calls_out.truth.run()))
            await stack.enter_async_context(at_work(calls_out.call_transfers.run()))
        for chore in ai.chores:
            await stack.enter_async_context(at_work(chore()))
        await _end_lost(sound)
        CALLS_LIVE.set_function(lambda: calls.sessions)
        CALLS_REFUSED.set_function(lambda: calls.refused)
        ports = Ports(
            ivrs=ivrs,
            dids=Dids(database),
            suppressions=suppressions,
            calls=Calls(database),
            accounts=accounts,
            idempotency=IdempotencyKeys(database),
            lines=lines,
            sounds=sound.folders,
            library=sound.library,
            audios=sound.audios,
            studio=sound.studio,
            voices=sound.voices,
            staging=sound.staging,
            incoming=sound.incoming,
            uploads=Limits(settings.upload_bytes, settings.upload_seconds),
            outbound=calls_out.outbound,
            ai=ai.door,
            agents=ai.roster,
            tools=ai.tools,
            knowledge=ai.knowledge,
            picking=calls_out.picking,
            log=Log(database, news),
            webhooks=Webhooks(database),
            post=post,
            recordings=kept,
            record=recorded.record,
            action_rows=acts.rows,
            keys=acts.keys,
            sounding=acts.sounding,
            transfers=calls_out.call_transfers,
            parts=(
                *(database, cache, sound.staging, sound.voices),
                *(ai.part, calls_out.part, recorded.keeper),
            ),
            public_url=public_url,
            version=version("trunx"),
        )
        with _port("HTTP", settings.http_host, settings.http_port):
            http_url = await stack.enter_async_context(_api(ports, settings))
        # After the ports: a start that fails must not have made a key that nobody saw.
        new_key = await _first_start(settings, accounts, ivrs, lines, sound)
        _without_pauses()
        log.info(
            "ready", api=http_url, agi=f"agi://{settings.agi_host}:{calls.port}", data=str(settings.data_dir)
        )
        yield Running(calls, lines, accounts, http_url, new_key)


@contextmanager
def _data_folder(settings: Settings) -> Iterator[None]:
    """Says which setting names a folder that cannot be written."""
    try:
        yield
    except OSError as error:
        raise StartError(
            f"the data folder {settings.data_dir} cannot be written ({error.strerror}): "
            f"name another with {PREFIX}DATA_DIR"
        ) from error


@contextmanager
def _setting(name: str) -> Iterator[None]:
    """Says which setting an adapter refuses."""
    try:
        yield
    except ValueError as error:
        raise SettingsError(f"{PREFIX}{name}: {error}") from None


@contextmanager
def _port(name: str, host: str, port: int) -> Iterator[None]:
    """Says which setting names a port that cannot be had."""
    try:
        yield
    except OSError as error:
        # asyncio's own sentence repeats the address; resolving a name has negative numbers of its own.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise StartError(
            f"cannot listen on {host}:{port} ({reason}): "
            f"choose another with {PREFIX}{name}_PORT or {PREFIX}{name}_HOST, or end what listens there"
        ) from error


@asynccontextmanager
async def _cache(settings: Settings) -> AsyncIterator[RedisServer]:
    url = settings.redis_url
    opened = open_redis(url.get_secret_value()) if url is not None else open_valkey(settings.data_dir / "run")
    async with opened as server:
        yield server


@asynccontextmanager
async def _api(ports: Ports, settings: Settings) -> AsyncIterator[str]:
    runner = web.AppRunner(create_application(ports), handle_signals=False)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.http_host, settings.http_port)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield _url(host, port)
    finally:
        await runner.cleanup()


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Provider(Voices, Part, Protocol):
    """A provider of speech that can tell how it is."""


@dataclass(frozen=True, slots=True)
class _Sound:
    """All that makes, keeps and brings sound. `folders` are those that we see, our own first."""

    audios: Audios
    studio: Studio
    voices: Provider
    staging: Staging
    library: Library
    incoming: Incoming
    folders: SoundFolders


@asynccontextmanager
async def _sound(settings: Settings, database: Database, lines: Lines) -> AsyncIterator[_Sound]:
    own = SoundFolder(settings.sounds())
    incoming = Incoming(settings.data_dir.resolve() / "incoming")
    with _data_folder(settings):
        own.root.mkdir(exist_ok=True)
        incoming.make()
    with _setting("SOUNDS_URL"):
        staging = Staging(
            database,
            own,
            settings.sounds_url,
            known_hosts=settings.ssh_known_hosts,
            keys=settings.ssh_keys,
        )
    seen = [SoundFolder.at(url) for url in settings.sounds_url if url.startswith("file:")]
    audios = Audios(database, server=settings.server_name)
    limits = StudioLimits(bytes=settings.upload_bytes, seconds=settings.audio_seconds)
    async with (
        Studio(own.root, settings.studio_workers, limits) as studio,
        provider(settings, studio) as voices,
        staging,
        Library(
            audios=audios,
            studio=studio,
            voices=voices,
            staging=staging,
            lines=lines,
            words=own,
            incoming=incoming,
        ) as library,
        AsyncExitStack() as stack,
    ):
        await _stage_prompts(own, staging)
        for work in (staging.run(), library.sweep_for_ever()):
            await stack.enter_async_context(at_work(work))
        yield _Sound(audios, studio, voices, staging, library, incoming, SoundFolders(own, *seen))


@asynccontextmanager
async def provider(settings: Settings, studio: Studio) -> AsyncIterator[Provider]:
    """The voices that the settings name: ElevenLabs' with a key, else those on this machine.

    Raises:
        SettingsError: one of the settings cannot be used.
    """
    key = settings.elevenlabs_api_key
    if key is None:
        yield LocalVoice(studio.speak_local)
        return
    # Its SDK takes a second to load, which nobody else need wait for.
    from trunx.adapters.voices.elevenlabs import VOICE, ElevenLabs  # noqa: PLC0415

    try:
        vendor = ElevenLabs(
            key.get_secret_value(),
            settings.elevenlabs_url,
            model=settings.elevenlabs_model,
            default_voice=settings.elevenlabs_voice or VOICE,
            fallback_voice=settings.elevenlabs_fallback,
            aliases=settings.elevenlabs_aliases,
            concurrency=settings.elevenlabs_concurrency,
        )
    except ValueError as error:
        raise SettingsError(f"ELEVENLABS_API_KEY or {PREFIX}ELEVENLABS_URL: {error}") from None
    async with vendor:
        yield vendor


async def _stage_prompts(own: SoundFolder, staging: Staging) -> None:
    """The engine's own prompts, so that Asterisk can speak even when we cannot."""
    try:
        for prompt in ENGINE.values():
            await own.stage(prompt.sound, ".ulaw", prompt.path.read_bytes(), prompt.words)
    except OSError as error:
        log.exception(
            "the engine's prompts cannot be staged; callers hear beeps instead",
            folder=str(own.root),
            error=str(error),
        )
    await asyncio.gather(*(staging.stage(prompt.sound) for prompt in ENGINE.values()))


async def _end_lost(sound: _Sound) -> None:
    """What an earlier run of this server was in the middle of."""
    sound.incoming.clear()
    try:
        await sound.audios.end_lost()
    except UnavailableError as error:
        log.warning("audio that was being made stays as it is until the next start", error=str(error))


async def _first_start(
    settings: Settings, accounts: Accounts, ivrs: Ivrs, lines: Published, sound: _Sound
) -> str | None:
    """Makes the first account when there is none; its key, when it was made and not given."""
    try:
        if await accounts.list_accounts():
            return None
        account = await accounts.create("first")
        secret = settings.api_key.get_secret_value() if settings.api_key is not None else new_secret()
        await accounts.create_key(account.id, "first", secret)
        if settings.demo:
            await demo.load(account.id, ivrs, lines, sound.library, sound.incoming)
    except UnavailableError as error:
        log.warning(
            "nothing can be said of the accounts: start again when the database is up", error=str(error)
        )
        return None
    return None if settings.api_key is not None else secret


def _without_pauses() -> None:
    # What lives now lives for ever: the collector need not look at it again in the middle of calls.
    # A call makes a hundred containers and no cycles: by default it would run after every seventh.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    # A call must not wait 5 ms, the default, until the database's thread lets go of the interpreter.
    sys.setswitchinterval(0.0005)


def _raise_file_limit() -> None:
    """Each call is an open file: as many as the system lets us have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
