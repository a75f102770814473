"""An answer that goes on: written piece by piece at the client's own pace, until one of us leaves."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog
from aiohttp import web

from trunx.domain.errors import UnavailableError
from trunx.web.request_log import HEADER, request_id

PATIENCE = 30.0  # seconds in which a client must have taken a piece

CLOSING = web.AppKey("closing", asyncio.Event)
"""Set when the server ends: streams end then, and clients come back to another process."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StreamAnswer:
    """`begin` makes what is sent, given the request's `Last-Event-ID` (empty without one); it may raise
    `ProblemError` instead.
    """

    begin: Callable[[str], Awaitable[AsyncIterator[bytes]]]
    media_type: str


def prepare(application: web.Application) -> None:
    """Lets the application's streams end with it."""
    application[CLOSING] = asyncio.Event()

    async def close(application: web.Application) -> None:
        application[CLOSING].set()

    application.on_shutdown.append(close)


async def response(request: web.Request, answer: StreamAnswer) -> web.StreamResponse:
    """Sends the stream; returns when it has ended."""
    headers = {
        "Content-Type": answer.media_type,
        "Cache-Control": "no-store",
        "X-Accel-Buffering": "no",  # nginx would hold events back until there are many
        HEADER: request_id(),
    }
    if request.method == "HEAD":
        return web.Response(headers=headers)
    pieces = await answer.begin(request.headers.get("Last-Event-ID", ""))
    sent = web.StreamResponse(headers=headers)
    await sent.prepare(request)
    sending = asyncio.create_task(_send(sent, pieces))
    closing = asyncio.create_task(request.app[CLOSING].wait())
    try:
        await asyncio.wait({sending, closing}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sending, closing):
            task.cancel()
        await asyncio.gather(sending, closing, return_exceptions=True)
    return sent


async def _send(sent: web.StreamResponse, pieces: AsyncIterator[bytes]) -> None:
    # The client comes back and goes on where it was, whatever ended the stream.
    with suppress(ConnectionError, TimeoutError):
        try:
            async for piece in pieces:
                async with asyncio.timeout(PATIENCE):
                    await sent.write(piece)
        except UnavailableError as error:
            _log.warning("a stream is ended", error=str(error))
