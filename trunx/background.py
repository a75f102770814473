"""Work that goes on for as long as the server does.

The fact to know: a server without one of its parts looks healthy and is not, so the first of them that dies
takes the server with it, in the orderly way, and whoever supervises it starts it again.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog

log = structlog.get_logger(__name__)


@asynccontextmanager
async def at_work(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """`work` is done until the block ends. What it died of before is raised there."""
    task = asyncio.create_task(work)
    task.add_done_callback(_over)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _over(task: asyncio.Task[None]) -> None:
    if task.cancelled() or (error := task.exception()) is None:
        return
    log.critical(
        "a part of the server has died, and the server ends: start it again",
        part=getattr(task.get_coro(), "__qualname__", task.get_name()),
        exc_info=error,
    )
    signal.raise_signal(signal.SIGTERM)
