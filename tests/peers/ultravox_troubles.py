"""What can befall a request to the stand-in for Ultravox, before or after it was done."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from enum import Enum, auto
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Trouble(Enum):
    """The first group is answered instead of doing what was asked for; the second is done, and then..."""

    UNAUTHORIZED_401 = auto()
    PAYMENT_402 = auto()
    FORBIDDEN_403 = auto()
    TOO_MANY_429 = auto()  # Retry-After: the peer's `retry_after`
    TOO_MANY_429_DATE = auto()  # the same as an HTTP date
    TOO_MANY_429_BARE = auto()  # no Retry-After
    INVALID_422 = auto()
    NO_COMPUTE_503 = auto()  # Retry-After: the peer's `retry_after`
    ERROR_500 = auto()
    HTML_502 = auto()
    HTML_200 = auto()
    REDIRECT_307 = auto()
    STALL = auto()  # no answer until the peer ends
    CUT = auto()
    # Done:
    CUT_AFTER = auto()
    STALL_AFTER = auto()
    ERROR_AFTER_500 = auto()
    GARBLED_AFTER = auto()  # success with a body that is no JSON
    FOREIGN_NEXT = auto()  # the page's `next` is on another host
    STRANGE = auto()  # fields that nobody knows, and values that no enum has


AFTER = {
    *(Trouble.CUT_AFTER, Trouble.STALL_AFTER, Trouble.ERROR_AFTER_500, Trouble.GARBLED_AFTER),
    *(Trouble.FOREIGN_NEXT, Trouble.STRANGE),
}
_PLAIN = {
    Trouble.UNAUTHORIZED_401: (401, "Invalid API key."),
    Trouble.PAYMENT_402: (402, "Your account has no remaining balance."),
    Trouble.FORBIDDEN_403: (403, "You do not have permission to perform this action."),
    Trouble.TOO_MANY_429: (429, "Request was throttled."),
    Trouble.TOO_MANY_429_DATE: (429, "Request was throttled."),
    Trouble.TOO_MANY_429_BARE: (429, "Request was throttled."),
    Trouble.INVALID_422: (422, "Unprocessable."),
    Trouble.NO_COMPUTE_503: (503, "No capacity is available."),
    Trouble.ERROR_500: (500, "Internal server error."),
    Trouble.ERROR_AFTER_500: (500, "Internal server error."),
}
_HTML = "<html><body><h1>502 Bad Gateway</h1></body></html>"
ELSEWHERE = "http://127.0.0.2:9/api/calls?cursor=abc"


async def befallen(
    request: web.Request, handler: Handler, trouble: Trouble, *, retry_after: int, ending: asyncio.Event
) -> web.StreamResponse:
    """The answer to a request that `trouble` befalls."""
    done = await handler(request) if trouble in AFTER else None
    match trouble:
        case Trouble.CUT | Trouble.CUT_AFTER:
            if request.transport is not None:
                request.transport.close()
            return web.Response()
        case Trouble.STALL | Trouble.STALL_AFTER:
            await ending.wait()
            return web.Response(status=503)
        case Trouble.HTML_502 | Trouble.HTML_200:
            status = 200 if trouble is Trouble.HTML_200 else 502
            return web.Response(status=status, text=_HTML, content_type="text/html")
        case Trouble.REDIRECT_307:
            return web.Response(status=307, headers={"Location": ELSEWHERE})
        case Trouble.GARBLED_AFTER:
            return web.Response(
                status=done.status if done else 200, text="{", content_type="application/json"
            )
        case Trouble.FOREIGN_NEXT | Trouble.STRANGE:
            return _changed(done, trouble)
    status, detail = _PLAIN[trouble]
    answer = web.json_response({"detail": detail}, status=status)
    if trouble in {Trouble.TOO_MANY_429, Trouble.NO_COMPUTE_503}:
        answer.headers["Retry-After"] = str(retry_after)
    if trouble is Trouble.TOO_MANY_429_DATE:
        moment = datetime.now(UTC) + timedelta(seconds=retry_after)
        answer.headers["Retry-After"] = format_datetime(moment, usegmt=True)
    return answer


def _changed(done: web.StreamResponse | None, trouble: Trouble) -> web.Response:
    if not isinstance(done, web.Response) or done.text is None:
        raise TypeError("nothing to change in this answer")
    body = json.loads(done.text)
    changed = {**body, "next": ELSEWHERE} if trouble is Trouble.FOREIGN_NEXT else strange(body)
    return web.json_response(changed, status=done.status)


def strange(body: Any) -> Any:
    """The same with unknown fields, and every enum's value replaced by one of next year."""
    match body:
        case dict():
            known = {key: _renamed(key, strange(value)) for key, value in body.items()}
            return {"fieldOfNextYear": {"deep": [1, None]}, **known}
        case list():
            return [strange(item) for item in body]
        case _:
            return body


def _renamed(key: str, value: Any) -> Any:
    enums = {"billingStatus", "initialOutputMedium", "terminationReason", "endReason", "status", "role"}
    return "OF_NEXT_YEAR" if key in enums and isinstance(value, str) else value
