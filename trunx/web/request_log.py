"""Around every request: its id, its line in the log, and an answer whatever happens.

The log knows the path's template and the account, never a header, a query or a body.
"""

import re
import secrets
import time
from typing import Any

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import Histogram

from trunx.domain.errors import UnavailableError
from trunx.web.problems import (
    BODY_TOO_LARGE,
    INTERNAL,
    INVALID_REQUEST,
    MEDIA_TYPE,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    UNAVAILABLE,
    ProblemError,
)

HEADER = "X-Request-Id"
_ACCEPTED_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_RETRY_SECONDS = "5"
# nginx's number for a client that left; nobody receives it, the log does.
_CLIENT_LEFT = 499

_log = structlog.get_logger(__name__)
_seconds = Histogram(
    "trunx_http_request_seconds", "Time to answer an API request.", ["method", "path", "status"]
)


def request_id() -> str:
    """The id of the request that is being answered."""
    return str(structlog.contextvars.get_contextvars()["request_id"])


def request_log(public_url: str, quiet: frozenset[str]) -> Middleware:
    """The outermost middleware; `quiet` holds the paths (templates) whose lines are for debugging only."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get(HEADER, "")
        name = given if _ACCEPTED_ID.fullmatch(given) else secrets.token_hex(16)
        resource = request.match_info.route.resource
        path = resource.canonical if resource is not None else "-"
        # Both names are taken off at the end: one connection's task answers many requests.
        with structlog.contextvars.bound_contextvars(request_id=name, account=None):
            started = time.perf_counter()
            status = _CLIENT_LEFT
            try:
                response = await _answered(request, handler, public_url)
                response.headers[HEADER] = name
                response.headers["Server"] = "trunx"
                status = response.status
            finally:
                seconds = time.perf_counter() - started
                method = request.method if resource is not None else "-"
                _seconds.labels(method, path, status).observe(seconds)
                level = "debug" if path in quiet and status < 500 else "info"
                getattr(_log, level)(
                    "request", method=method, path=path, status=status, ms=round(seconds * 1000, 1)
                )
            return response

    return middleware


async def _answered(request: web.Request, handler: Handler, public_url: str) -> web.StreamResponse:
    try:
        return await handler(request)
    except ProblemError as problem:
        return _response(problem, public_url)
    except web.HTTPException as error:
        return _response(_of_http(error), public_url)
    except UnavailableError as error:
        _log.warning("store-unavailable", error=str(error))
        return _response(
            ProblemError(UNAVAILABLE, "try again shortly", headers={"Retry-After": _RETRY_SECONDS}),
            public_url,
        )
    except Exception:  # noqa: BLE001 - the last resort: whatever is wrong with us, the client gets an answer
        _log.exception("request-failed")
        return _response(
            ProblemError(INTERNAL, "the log has the details under this X-Request-Id"), public_url
        )


def _response(problem: ProblemError, public_url: str) -> web.Response:
    return web.Response(
        status=problem.kind.status,
        body=problem.body(public_url, request_id()),
        content_type=MEDIA_TYPE,
        headers=problem.headers,
    )


def _of_http(error: web.HTTPException) -> ProblemError:
    """What aiohttp itself refuses, in our words."""
    headers: dict[str, Any] = {}
    match error:
        case web.HTTPNotFound():
            kind, detail = NOT_FOUND, "the paths are listed at /docs"
        case web.HTTPMethodNotAllowed():
            kind, headers = METHOD_NOT_ALLOWED, {"Allow": error.headers["Allow"]}
            detail = f"it takes {headers['Allow']}"
        case web.HTTPRequestEntityTooLarge():
            kind, detail = BODY_TOO_LARGE, "send less"
        case _:
            kind, detail = INVALID_REQUEST, error.reason
    return ProblemError(kind, detail, headers=headers)
