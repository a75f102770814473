"""`POST /hooks/ultravox`: the vendor's own news of its calls, which carry a signature and no key of ours.

The fact to know: whatever is answered with 2xx is never told again, anything else up to ten times more. So
news of calls that are not ours are accepted, and news that cannot be written down now are not.
"""

import asyncio
from datetime import UTC, datetime, timedelta

import structlog
from aiohttp import web

from trunx.domain.errors import NotFoundError
from trunx.domain.vendor_hook import UnreadableError, UntrustedError, event_of, verify
from trunx.web.bodies import BODY_SECONDS
from trunx.web.ports import Ai
from trunx.web.problems import BODY_TIMEOUT, INVALID_REQUEST, Kind, ProblemError

PATH = "/hooks/ultravox"
UNTRUSTED = Kind(401, "untrusted-news", "These are no news of Ultravox, or no fresh ones")
UNREADABLE = Kind(400, "unreadable-news", "This is no event of a call")

_log = structlog.get_logger(__name__)


def routes(ai: Ai) -> list[web.RouteDef]:
    """The route; it is for Ultravox, and stands in no reference."""

    async def hear(request: web.Request) -> web.Response:
        return await _heard(request, ai)

    return [web.post(PATH, hear)]


async def _heard(request: web.Request, ai: Ai) -> web.Response:
    body = await _body(request)
    told = request.headers.get
    try:
        verify(
            body,
            timestamp=told("X-Ultravox-Webhook-Timestamp", ""),
            signature=told("X-Ultravox-Webhook-Signature", ""),
            secrets=ai.secrets,
            now=datetime.now(UTC),
            window=timedelta(seconds=ai.window),
        )
    except UntrustedError as error:
        _log.warning("news of Ultravox are not believed", problem=str(error))
        raise ProblemError(UNTRUSTED, str(error)) from None
    try:
        event, call = event_of(body)
    except UnreadableError as error:
        raise ProblemError(UNREADABLE, str(error)) from None
    try:
        talk = None if ai.truth is None else await ai.truth.hear(call)
    except NotFoundError:
        talk = None
    if talk is None:
        _log.warning("Ultravox tells of a call that is not ours", news=event, ultravox=call.id)
    else:
        _log.info("Ultravox tells", news=event, call=talk.call, talk=talk.id, state=talk.state.value)
    return web.Response(status=204)


async def _body(request: web.Request) -> bytes:
    """What was sent, byte for byte. aiohttp ends one that is too long with 413."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except (web.RequestPayloadError, ConnectionError):
        raise ProblemError(INVALID_REQUEST, "the body breaks off") from None
    except TimeoutError:
        raise ProblemError(BODY_TIMEOUT, "it was not complete in time") from None
