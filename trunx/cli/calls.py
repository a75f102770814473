"""`trunx calls` and `trunx call show`: what calls do, for whoever may read the server's settings.

Both read the database, as the server writes it: no key is needed, and calls of all accounts are shown.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from trunx.adapters.store.actions import Actions
from trunx.adapters.store.calls import Calls
from trunx.adapters.store.database import Database
from trunx.adapters.store.dials import Dials
from trunx.adapters.store.recordings import Recordings
from trunx.adapters.store.talks import Talks
from trunx.cli.terminal import StopError, opened, out, quiet, read_settings
from trunx.domain.call import Call, Status
from trunx.domain.errors import NotFoundError
from trunx.domain.timeline import Kind, Life, Moment, timeline
from trunx.settings import Settings

_EVERY = 1.0  # seconds between two looks
_MOST = 100  # calls in the table
_STYLES = {
    Kind.STATE: "bold",
    Kind.VERDICT: "magenta",
    Kind.STEP: "green",
    Kind.TALK: "cyan",
    Kind.ACTION: "bold yellow",
    Kind.RECORDING: "blue",
    Kind.EVENT: "dim",
}


def watch(*, once: bool) -> None:
    """The live calls, until Ctrl-C; `once`: as they are now."""
    quiet()
    settings = read_settings()
    try:
        asyncio.run(_watch(settings, once=once))
    except KeyboardInterrupt:
        return


def show(call_id: str) -> None:
    """One call's life; `call_id` is its `id`, or its `callId`."""
    quiet()
    life = asyncio.run(_life(read_settings(), _id(call_id)))
    call = life.call
    out.print(f"{call.id}  {call.direction}, {call.from_number} to {call.to_number}", soft_wrap=True)
    reason = "" if call.end_reason is None else f", {call.end_reason.value}"
    out.print(Text.assemble((call.status.value, "bold"), reason))
    for moment in timeline(life):
        out.print(_line(moment), soft_wrap=True)


async def _watch(settings: Settings, *, once: bool) -> None:
    async with opened(settings) as database:
        calls = Calls(database)
        if once:
            out.print(_table(await calls.live(_MOST)))
            return
        with Live(console=out, screen=out.is_terminal, auto_refresh=False) as shown:
            while True:
                hint = Text(f"{datetime.now(UTC):%H:%M:%S}Z, Ctrl-C ends it", "dim")
                shown.update(Group(_table(await calls.live(_MOST)), hint), refresh=True)
                await asyncio.sleep(_EVERY)


async def _life(settings: Settings, call_id: str) -> Life:
    async with opened(settings) as database:
        try:
            call, dial = await Dials(database, server=settings.server_name).of_channel(call_id)
        except NotFoundError:
            raise StopError(f"there is no call {call_id}: `trunx calls` names those that are live") from None
        return await _read(database, call, () if dial is None else dial.verdict)


async def _read(database: Database, call: Call, verdicts: Sequence[Mapping[str, Any]]) -> Life:
    calls, account = Calls(database), call.account
    return Life(
        call=call,
        steps=await calls.steps(account, call.id),
        events=await calls.events(account, call.id),
        actions=await Actions(database).of_call(account, call.id),
        verdicts=verdicts,
        talks=(await Talks(database).of_calls([call.id])).get(call.id, ()),
        recordings=(await Recordings(database).of_calls(account, [call.id])).get(call.id, ()),
    )


def _id(written: str) -> str:
    """The call's `id`: a `callId` is the same without its dashes."""
    digits = written.removeprefix("CA")
    if digits == written or len(digits) != 32:
        return written
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _table(calls: Sequence[Call]) -> Table:
    columns = "call", "account", "direction", "from", "to", "status", "for", "ivr"
    table = Table(*columns, title=f"{len(calls)} live call{'' if len(calls) == 1 else 's'}")
    now = datetime.now(UTC)
    for call in calls:
        seconds = int((now - (call.answered_at or call.created_at)).total_seconds())
        style = "bold green" if call.status is Status.ANSWERED else ""
        since = f"{seconds // 60}:{seconds % 60:02}"
        table.add_row(
            call.id,
            call.account,
            call.direction,
            call.from_number,
            call.to_number,
            Text(call.status.value, style),
            since,
            call.ivr or "",
        )
    return table


def _line(moment: Moment) -> Text:
    said = " ".join(f"{name}={_value(value)}" for name, value in moment.data.items())
    stamp = f"{moment.at:%H:%M:%S}.{moment.at.microsecond // 1000:03}Z {moment.ms / 1000:+9.3f}s  "
    what = f"{moment.kind.value + ' ' + moment.what:24}"
    return Text.assemble((stamp, "dim"), (what, _STYLES[moment.kind]), f" {said}")


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
