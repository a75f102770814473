"""`Idempotency-Key`: a request that is sent again, because its answer was lost, is answered and not repeated.

What the handler answered is kept, 4xx as well; a 5xx is forgotten, so that the client may try again.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog
from aiohttp import web

from trunx.domain.errors import UnavailableError
from trunx.domain.idempotency import Answer, Claimed, InProgress, OtherBody
from trunx.engine.ports import IdempotencyKeys
from trunx.web.problems import Kind, ProblemError

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
PATTERN = r"^[!-~]([ -~]{0,253}[!-~])?$"

INVALID_IDEMPOTENCY_KEY = Kind(400, "invalid-idempotency-key", "The Idempotency-Key cannot be accepted")
IN_PROGRESS = Kind(
    409, "request-in-progress", "The first request with this Idempotency-Key is being worked on"
)
REUSED = Kind(422, "idempotency-key-reused", "The Idempotency-Key was used for another request")
PROBLEMS = (INVALID_IDEMPOTENCY_KEY, IN_PROGRESS, REUSED)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Settled:
    """The answer to a request with a key; `replayed` when it is the one given before."""

    answer: Answer
    replayed: bool


def key_of(request: web.Request) -> str | None:
    """The request's key, if it has one; raises `ProblemError` 400 for one that cannot be stored."""
    key = request.headers.get(HEADER)
    if key is not None and not re.fullmatch(PATTERN, key):
        raise ProblemError(INVALID_IDEMPOTENCY_KEY, "it has 1 to 255 printable ASCII characters")
    return key


def request_hash(request: web.Request, body: bytes) -> str:
    """What tells one request from another: method, path and body (or a digest of it)."""
    head = f"{request.method} {request.path}\n".encode("utf-8", "surrogatepass")
    return hashlib.sha256(head + body).hexdigest()


async def once(
    keys: IdempotencyKeys, account: str, key: str, request: str, work: Callable[[], Awaitable[Answer]]
) -> Settled:
    """The answer of `work`, or the one that it gave when `key` was first used for this `request` (a hash).

    Raises:
        ProblemError: the key is in use, for another request or by one that is still being worked on.
    """
    match await keys.claim(account, key, request):
        case Answer() as kept:
            return Settled(kept, replayed=True)
        case InProgress():
            raise ProblemError(IN_PROGRESS, "ask again in a moment", headers={"Retry-After": "1"})
        case OtherBody():
            raise ProblemError(REUSED, "use a new key for a new request")
        case Claimed():
            pass
    try:
        answer = await work()
    except BaseException:  # whatever ended the work, cancelling too: the key must be free for the next try
        # A store that is down keeps the claim, which then lapses by itself after a minute.
        with suppress(UnavailableError):
            await keys.forget(account, key)
        raise
    try:
        await keys.keep(account, key, answer)
    except UnavailableError:
        # The work is done, and that is what the client must hear.
        _log.warning("idempotency-answer-lost", account=account)
    return Settled(answer, replayed=False)
