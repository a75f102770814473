"""Puts the parts together, starts them, and ends them in the opposite order. Only here are they named."""

import gc
import resource
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version

import structlog
from aiohttp import web

import agi
from trunx import demo
from trunx.acting import acting
from trunx.adapters.cache.news import News
from trunx.adapters.cache.published import Published
from trunx.adapters.cache.redis import RedisServer, open_redis
from trunx.adapters.cache.valkey import open_valkey
from trunx.adapters.internet.post import Post
from trunx.adapters.store.accounts import Accounts
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
from trunx.ai import ai_agents
from trunx.background import at_work
from trunx.calling import calling
from trunx.domain.account import new_secret
from trunx.domain.errors import UnavailableError
from trunx.engine.delivery import Deliverer
from trunx.engine.inbound import Inbound
from trunx.engine.metrics import CALLS_LIVE, CALLS_REFUSED
from trunx.engine.opt_out import OptOuts
from trunx.engine.ports import Lines
from trunx.engine.transferring import Transfers
from trunx.recording import recording, recordings
from trunx.settings import PREFIX, Settings
from trunx.sounding import Sounding, end_lost, sounding
from trunx.start import data_folder, port, setting
from trunx.web.application import create_application
from trunx.web.ports import Ports
from trunx.web.uploads import Limits

log = structlog.get_logger(__name__)


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
    with data_folder(settings):
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    _raise_file_limit()
    async with AsyncExitStack() as stack:
        with setting(f"{PREFIX}DATABASE_URL"):
            database = await stack.enter_async_context(Database.open(settings.database()))
        with data_folder(settings), setting(f"{PREFIX}REDIS_URL"):
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
        sound = await stack.enter_async_context(sounding(settings, database, lines))
        accounts, ivrs = Accounts(database), Ivrs(database)
        purge = Purge(database, timedelta(days=settings.events_days))
        for work in (lines.heal(), journal.replay_for_ever(suppressions), deliverer.run(), purge.run()):
            await stack.enter_async_context(at_work(work))
        ai = await stack.enter_async_context(ai_agents(settings, database, cache))
        transfers = Transfers(talking=ai.talking, agents=ai.rows)
        inbound = Inbound(lines, opt_outs, recorder, sound.folders, settings.region, transfers=transfers)
        with data_folder(settings):
            kept = recordings(settings, database, public_url)
        calls_out = await stack.enter_async_context(
            calling(settings, database, cache, inbound, ai.talking, recordings=kept, post=post)
        )
        recorded = await stack.enter_async_context(recording(settings, database, kept, calls_out.desk))
        acts = await stack.enter_async_context(acting(settings, database, sound.library, calls_out))
        with port("AGI", settings.agi_host, settings.agi_port):
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
        await end_lost(sound)
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
        with port("HTTP", settings.http_host, settings.http_port):
            http_url = await stack.enter_async_context(_api(ports, settings))
        # After the ports: a start that fails must not have made a key that nobody saw.
        new_key = await _first_start(settings, accounts, ivrs, lines, sound)
        _without_pauses()
        log.info(
            "ready", api=http_url, agi=f"agi://{settings.agi_host}:{calls.port}", data=str(settings.data_dir)
        )
        yield Running(calls, lines, accounts, http_url, new_key)


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


async def _first_start(
    settings: Settings, accounts: Accounts, ivrs: Ivrs, lines: Published, sound: Sounding
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
