"""`trunx call`: plays Asterisk to the running server, with a caller who is scripted or sits at the terminal.

Only the FastAGI port, the database and the folders of sounds on this machine are used, as the settings name
them: what is shown is what a real call would meet.
"""

import asyncio
import json
import signal
import sys
import uuid
from contextlib import ExitStack
from dataclasses import dataclass

from pydantic import ValidationError
from rich.text import Text

from agi import DisconnectedError
from agi.caller import Answered, Caller, Happening, Ring
from dialplan.names import AGI_PATH, VARIABLE_DID
from trunx.adapters.hosts.sound_folder import SoundFolder, SoundFolders
from trunx.adapters.store.calls import Calls
from trunx.adapters.store.database import Database
from trunx.adapters.store.truth import Truth
from trunx.cli.keypad import KEYS, PICTURE, keypad
from trunx.cli.story import Story
from trunx.cli.terminal import StopError, opened, out, program, quiet, read_settings
from trunx.domain.call import Call
from trunx.domain.document import IvrDocument
from trunx.domain.ivr import InvalidTreeError, build
from trunx.domain.number import e164
from trunx.domain.records import CallFilter, Line, Page
from trunx.engine.speaking import STOCK_BEEP
from trunx.settings import PREFIX, Settings, client_host

_INTO_THE_PROMPT = 1.0  # seconds of a prompt after which a scripted key is pressed
_BEEP_SECONDS = 0.3  # about; the file is Asterisk's own and not in our folder
_REACH_DEADLINE = 3.0
_ROW_DEADLINE = 3.0  # seconds; rows are written behind the call's back, some tenths later
_ROW_EVERY = 0.05
_DONE = {
    "server": "the server hung up",
    "caller": "the caller hung up",
    "lost": "the server left the call without a hangup: Asterisk goes on in the dialplan, which apologises",
}


@dataclass(frozen=True, slots=True)
class Script:
    """Who calls whom, and what the caller does; `keys` is None when the terminal is the keypad."""

    ring: Ring
    keys: list[str] | None
    hangup_at: float | None
    speed: float


def call(did: str, *, caller: str, press: str | None, hangup_at: float | None, speed: float) -> None:
    """One call from `caller` to `did`; exits 1 when the server is not reached or does not finish it."""
    keys = None if press is None else _script(press)
    settings = read_settings()
    if settings.agi_port == 0:
        raise StopError(f"{PREFIX}AGI_PORT is 0, any free port: give the one that the server printed", 2)
    quiet()
    ring = Ring(did, caller, script=AGI_PATH, uniqueid=f"simulated-{uuid.uuid4().hex}")
    try:
        by = asyncio.run(_call(settings, Script(ring, keys, hangup_at, speed)))
    except DisconnectedError:
        address = f"{client_host(settings.agi_host)}:{settings.agi_port}"
        raise StopError(f"no server at {address}: start it with `{program()} serve` or `make run`") from None
    if by == "lost":
        sys.exit(1)


def _script(press: str) -> list[str]:
    keys = [key.strip() for key in press.split(",") if key.strip()]
    for key in keys:
        if key not in KEYS or len(key) != 1:
            raise StopError(f"--press: {key!r} is not one key of {KEYS} (several are separated: 1,1)", 2)
    return keys


async def _call(settings: Settings, script: Script) -> str:
    host, port = client_host(settings.agi_host), settings.agi_port
    await _reach(host, port)
    ring = script.ring
    did = e164(ring.did, settings.region) or ring.did
    own = SoundFolder(settings.sounds())
    try:
        hosts = [SoundFolder.at(url) for url in settings.sounds_url if url.startswith("file:")]
    except ValueError as error:
        raise StopError(f"{PREFIX}SOUNDS_URL: {error}", 2) from None
    async with opened(settings) as database:
        line = await _behind(database, did)
        out.print(f"Calling {did} as {ring.caller}, simulated, through agi://{host}:{port}/{AGI_PATH}")
        if line is None:
            out.print(f"No account owns {did} in {database.place}: the tree cannot be shown.", style="yellow")
        elif line.tree is None:
            out.print(f"No IVR is assigned to {did}.", style="yellow")
        by = await _talk(host, port, script, line, own=own, seen=SoundFolders(own, *hosts))
        out.print(_DONE[by], style="bold" if by != "lost" else "bold red")
        if line is not None:
            await _tell_outcome(database, line.account, did, ring)
    return by


async def _reach(host: str, port: int) -> None:
    """Finds out that there is no server before anything else is looked at that a server would have made."""
    try:
        async with asyncio.timeout(_REACH_DEADLINE):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError) as error:
        raise DisconnectedError(str(error)) from error
    writer.close()


async def _behind(database: Database, did: str) -> Line | None:
    """What the server should find behind `did`."""
    truth = Truth(database)
    for found in await truth.of([did]):
        if found.account is None:
            return None
        if found.uid is None or found.version is None:
            return Line(found.account, None, None, None)
        version = (found.uid, found.version)
        document = (await truth.documents([version])).get(version)
        try:
            tree = None if document is None else build(IvrDocument.model_validate(json.loads(document)))
        except (ValidationError, InvalidTreeError):
            tree = None  # the server says so in its log
        return Line(found.account, found.ivr, found.version, tree, found.sounds)
    return None


async def _talk(
    host: str, port: int, script: Script, line: Line | None, *, own: SoundFolder, seen: SoundFolders
) -> str:
    """The call itself; by whom it was ended. Words are in our `own` folder, sounds in all that are `seen`."""
    loop = asyncio.get_running_loop()
    left, speed = list(script.keys or []), script.speed

    def press_next() -> None:
        if left:
            loop.call_later(_INTO_THE_PROMPT / speed, caller.press, left.pop(0))

    def observe(happening: Happening) -> None:
        if isinstance(happening, Answered) and script.hangup_at is not None:
            loop.call_later(script.hangup_at / speed, caller.hang_up)
        story.observe(happening)

    def seconds(sound: str) -> float | None:
        return _BEEP_SECONDS if sound == STOCK_BEEP else seen.seconds(sound)

    def interrupted() -> None:
        loop.remove_signal_handler(signal.SIGINT)  # a second one ends the command, whatever the server does
        caller.hang_up()

    story = Story(line, own.words, press_next, console=out, speed=speed)
    digits = "".join(char for char in script.ring.did if char in "0123456789+")
    caller = Caller(script.ring, seconds, observe, variables={VARIABLE_DID: digits}, speed=speed)
    with ExitStack() as stack:
        loop.add_signal_handler(signal.SIGINT, interrupted)
        stack.callback(loop.remove_signal_handler, signal.SIGINT)
        if script.keys is None:
            if out.is_terminal:
                out.print(PICTURE)
            stack.enter_context(keypad(caller.press, caller.hang_up))
        return await caller.call(host, port)


async def _tell_outcome(database: Database, account: str, did: str, ring: Ring) -> None:
    calls = Calls(database)
    try:
        async with asyncio.timeout(_ROW_DEADLINE):
            # The database tells nobody of new rows, so it is asked.
            while (row := await _ended(calls, account, did, ring.uniqueid)) is None:  # noqa: ASYNC110
                await asyncio.sleep(_ROW_EVERY)
            steps = await calls.steps(account, row.id)
    except TimeoutError:
        out.print("The call's row is not in the database yet.", style="yellow")
        return
    seconds = 0.0 if row.ended_at is None else (row.ended_at - row.created_at).total_seconds()
    count = f"{len(steps)} step{'' if len(steps) == 1 else 's'}"
    out.print(Text.assemble("outcome  ", (row.end_reason or "", "bold"), f", {count}, {seconds:.1f} s"))
    out.print(f"call id  {row.id}", soft_wrap=True)


async def _ended(calls: Calls, account: str, did: str, uniqueid: str) -> Call | None:
    """The row of our call, once it is closed."""
    newest = await calls.page(account, CallFilter(to_number=did), Page(limit=100))
    for row in newest.rows:
        if row.agi_uniqueid == uniqueid and row.ended_at is not None:
            return row
    return None
