"""`trunx serve`: runs the server until a signal, and tells a newcomer once what to do with it.

What is announced goes to standard output; the log goes to standard error.
"""

import asyncio
import os
import shlex
import sys
from collections.abc import Callable
from urllib.parse import urlsplit

import structlog
from rich.text import Text

from dialplan.names import AGI_PATH
from trunx import demo, logs
from trunx.adapters.cache.valkey import ValkeyError
from trunx.app import Running, running
from trunx.cli.terminal import StopError, out, program, read_settings
from trunx.domain.errors import UnavailableError
from trunx.settings import PREFIX, Settings, SettingsError, client_host, unknown
from trunx.start import StartError

_log = structlog.get_logger(__name__)

# What another terminal must be told too, so that its commands meet this server.
_SHARED = (
    *("data_dir", "http_host", "http_port", "agi_host", "agi_port"),
    *("database_url", "sounds_url", "region"),
)
_SECRET = ("database_url",)


def serve() -> None:
    """Until SIGTERM (live calls finish first) or SIGINT (at once)."""
    settings = read_settings()
    logs.configure(as_json=settings.log_json)
    for sentence in unknown():
        _log.warning(sentence)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(settings))
    except SettingsError as error:
        raise StopError(str(error), 2) from None
    except (StartError, ValkeyError) as error:
        raise StopError(str(error)) from None
    except KeyboardInterrupt:
        sys.exit(130)  # during the start; later SIGINT is an ordinary end


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - there is none for Windows and for some Pythons
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(settings: Settings) -> None:
    async with running(settings) as server:
        ended = asyncio.create_task(server.calls.serve_until_signal(settings.drain_seconds))
        await asyncio.sleep(0)  # signals are heard before anybody is told that we are ready
        await _announce(settings, server)
        await ended
        _log.info("no more calls; what was recorded is written, then this process ends")


async def _announce(settings: Settings, server: Running) -> None:
    parts = urlsplit(server.http_url)
    host = client_host(parts.hostname or "")
    url = f"http://[{host}]:{parts.port}" if ":" in host else f"http://{host}:{parts.port}"
    command = _environment(settings, server) + program()
    key, known = await _key(settings, server, command)
    has_demo = await _has_demo(server)
    agi = client_host(settings.agi_host)
    agi = f"[{agi}]" if ":" in agi else agi
    path = f"/ivr/{demo.TREE['id']}" if has_demo else "/ivr"

    _line("trunx is ready.", "bold green")
    _line()
    _line(f"  API  {url}    its reference is at {url}/docs")
    _line(f"  key  {known}")
    _line()
    _line("Three things to try in another terminal:", "bold")
    _line()
    _line("  Read the IVR through the API:" if has_demo else "  List your IVRs through the API:")
    _line(f"    curl -H {key} {url}{path}", "cyan")
    if has_demo:
        _line("  Call it, no telephone needed (without --press the terminal is the keypad):")
        _line(f"    {command} call {demo.DID} --press 1,1", "cyan")
    else:
        _line("  See what is reachable and what is off:")
        _line(f"    {command} check", "cyan")
    _line("  Give it real calls, with this line in Asterisk's dialplan; the command prints all of it:")
    _line(f"    AGI(agi://{agi}:{server.calls.port}/{AGI_PATH})", "cyan")
    _line(f"    {command} dialplan", "cyan")
    _line()


async def _key(settings: Settings, server: Running, command: str) -> tuple[str, str]:
    """The header for curl, in quotes for the shell, and what is known of the key."""
    if server.new_key is not None:
        return f"'Authorization: Bearer {server.new_key}'", f"{server.new_key}    shown once: keep it"
    yours = "'Authorization: Bearer YOUR_KEY'"
    lost = f"lost it? `{command} keys create` makes another"
    given = settings.api_key
    try:
        accounts = await server.accounts.list_accounts()
        is_ours = given is not None and await server.accounts.authenticate(given.get_secret_value())
    except UnavailableError:
        accounts, is_ours = (), None
    if not accounts:
        return yours, "none to tell while the database is down; a new database gets its key at the next start"
    if is_ours:
        return f'"Authorization: Bearer ${PREFIX}API_KEY"', f"the one you set in {PREFIX}API_KEY"
    if given is None:
        return yours, f"the one you were given at the first start ({lost})"
    return yours, f"the one of the first start; {PREFIX}API_KEY is another, and counts only then ({lost})"


async def _has_demo(server: Running) -> bool:
    try:
        line = await server.lines.find(demo.DID)
    except UnavailableError:
        return False
    return line is not None and line.ivr == demo.TREE["id"]


def _environment(settings: Settings, server: Running) -> str:
    """The variables that another terminal needs before the command."""
    words = []
    chosen = {"TRUNX_HTTP_PORT": urlsplit(server.http_url).port, "TRUNX_AGI_PORT": server.calls.port}
    for name in _SHARED:
        variable = (PREFIX + name).upper()
        value = os.environ.get(variable, "")
        if getattr(settings, name) == 0:  # any free port was asked for
            value = str(chosen[variable])
        if value:
            words.append(f"{variable}={'...' if name in _SECRET else shlex.quote(value)} ")
    return "".join(words)


def _line(text: str = "", style: str = "") -> None:
    out.print(Text(text, style), soft_wrap=True)
