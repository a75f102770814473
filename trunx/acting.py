"""Puts together what plays, speaks and presses keys in live calls; `app.py` puts it into the whole."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from dialplan.names import AGI_PATH_ACTION
from trunx.adapters.internet.download import Download
from trunx.adapters.store.actions import Actions
from trunx.adapters.store.calls import Calls
from trunx.adapters.store.database import Database
from trunx.background import at_work
from trunx.calling import Calling
from trunx.engine.action_ports import Desk
from trunx.engine.actions.frame import Frame
from trunx.engine.actions.interlude import Companion
from trunx.engine.actions.keys import Keys
from trunx.engine.actions.sound import Sounding
from trunx.engine.actions.sources import Files, Speeches
from trunx.engine.library import Library
from trunx.settings import Settings


@dataclass(frozen=True, slots=True)
class Acting:
    """What is asked for by request, and the session of who plays in talks."""

    rows: Actions
    keys: Keys
    sounding: Sounding
    companion: Companion


@asynccontextmanager
async def acting(
    settings: Settings, database: Database, library: Library, calls: Calling
) -> AsyncIterator[Acting]:
    """Has `calls` handle the companions too."""
    async with acts(database, library, calls.desk, private=settings.webhook_private) as whole:
        calls.inbound.scripts[AGI_PATH_ACTION] = whole.companion
        yield whole


@asynccontextmanager
async def acts(
    database: Database, library: Library, desk: Desk | None, *, private: bool
) -> AsyncIterator[Acting]:
    """`private`: files may come from addresses of our own network."""
    rows = Actions(database)
    frame = Frame(rows, desk)
    async with Download.open(private=private) as downloads, at_work(frame.sweep_for_ever()):
        sounding = Sounding(frame, Calls(database), Files(downloads, library), Speeches(library))
        try:
            yield Acting(rows, Keys(frame), sounding, Companion(frame))
        finally:
            await frame.close()
