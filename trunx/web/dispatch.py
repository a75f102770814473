"""One way for every request: whose it is, what it says, the handler, the answer.

A request that changes something is carried through once it has begun: a client that leaves in between must
not leave a change unpublished or an Idempotency-Key claimed.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

import structlog
from aiohttp import web

from trunx.domain.errors import InvalidCursorError
from trunx.domain.idempotency import Answer
from trunx.web import bodies, files, idempotency, streams, uploads
from trunx.web.auth import authenticate
from trunx.web.files import FileAnswer
from trunx.web.models import RequestQuery
from trunx.web.operation import Asked, Operation, Reply
from trunx.web.ports import Ports
from trunx.web.problems import INVALID_QUERY, MEDIA_TYPE, Fault, ProblemError
from trunx.web.request_log import request_id
from trunx.web.streams import StreamAnswer

T = TypeVar("T")
_Answers = Answer | FileAnswer | StreamAnswer | web.Response

_SAFE = frozenset({"GET", "HEAD"})
_log = structlog.get_logger(__name__)


class Unbroken:
    """Runs work to its end, even when the one who waits for it is cancelled."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns or raises."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_tell)
            raise

    async def close(self) -> None:
        """Waits for all that is being worked on."""
        while self._tasks:
            await asyncio.wait(self._tasks)


def _tell(task: asyncio.Task[Any]) -> None:
    """Nobody waits for this task any more: the log is the only place where its failure can be heard."""
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, ProblemError):
        _log.error("request-failed-unheard", exc_info=error)


class Dispatch:
    """Answers the requests of one operation."""

    def __init__(self, operation: Operation, ports: Ports, unbroken: Unbroken) -> None:
        self._operation = operation
        self._ports = ports
        self._unbroken = unbroken

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The handler's answer to `request`; raises `ProblemError`."""
        operation, account = self._operation, ""
        is_linked = operation.signed and "signature" in request.query
        if not operation.open and not is_linked:
            account = (await authenticate(request, self._ports.accounts)).id
            structlog.contextvars.bind_contextvars(account=account)
        key = idempotency.key_of(request) if operation.idempotent else None
        reads = await self._read(request)
        if request.method in _SAFE:
            answer = await self._handle(account, reads)
            if isinstance(answer, StreamAnswer):
                return await streams.response(request, answer)
            return await self._plain(request, answer)
        return await self._unbroken.run(self._changed(request, account, key, reads))

    async def _read(self, request: web.Request) -> dict[str, Any]:
        models = self._operation.reads
        reads: dict[str, Any] = {}
        if "path" in models:
            reads["path"] = bodies.path(request.match_info, models["path"], self._operation.absent)
        # Without a model of its own an operation takes no query parameter, and says so.
        query = bodies.query(request, models.get("query", RequestQuery))
        if "query" in models:
            reads["query"] = query
        if "body" in models:
            reads["body"] = await bodies.read(request, models["body"])
        if "form" in models:
            reads["form"] = await uploads.read(
                request, models["form"], self._ports.incoming, self._ports.uploads
            )
        return reads

    async def _changed(
        self, request: web.Request, account: str, key: str | None, reads: Mapping[str, Any]
    ) -> web.Response:
        try:
            if key is None:
                return await self._plain(request, await self._handle(account, reads))
            return await self._once(request, account, key, reads)
        finally:
            if "form" in reads:
                uploads.discard(reads["form"])

    async def _plain(self, request: web.Request, answer: _Answers) -> web.Response:
        match answer:
            case Answer():
                return _response(answer, "application/json")
            case FileAnswer():
                return await files.response(request, answer)
            case StreamAnswer():
                raise TypeError(f"{self._operation.id} changes something: it cannot answer with a stream")
            case _:
                return answer

    async def _once(
        self, request: web.Request, account: str, key: str, reads: Mapping[str, Any]
    ) -> web.Response:
        async def work() -> Answer:
            try:
                answer = await self._handle(account, reads, key)
            except ProblemError as problem:
                if problem.kind.status >= 500 or problem.kind.status == 429:
                    raise  # it says when to ask again, and would be told the same until the key lapses
                return Answer(problem.kind.status, problem.body(self._ports.public_url, request_id()))
            if not isinstance(answer, Answer):
                raise TypeError(f"{self._operation.id} answers nothing that could be kept")
            return answer

        body = uploads.digest(reads["form"]) if "form" in reads else await request.read()
        digest = idempotency.request_hash(request, body)
        settled = await idempotency.once(self._ports.idempotency, account, key, digest, work)
        refused = settled.answer.status >= 400
        response = _response(settled.answer, MEDIA_TYPE if refused else "application/json")
        if settled.replayed:
            response.headers[idempotency.REPLAYED] = "true"
        return response

    async def _handle(self, account: str, reads: Mapping[str, Any], key: str | None = None) -> _Answers:
        operation = self._operation
        try:
            reply = await operation.handler(Asked(self._ports, account, key), **reads)
        except InvalidCursorError:
            fault = Fault(parameter="cursor", message="this is no cursor of this list")
            raise ProblemError(
                INVALID_QUERY, "begin the list again, without a cursor", errors=[fault]
            ) from None
        if not isinstance(reply, Reply):
            return reply
        if type(reply.body) is not operation.answers.get(reply.status):
            raise TypeError(
                f"{operation.id} does not declare {reply.status} with {type(reply.body).__name__}"
            )
        return Answer(reply.status, reply.body.model_dump_json(by_alias=True, exclude_unset=True).encode())


def _response(answer: Answer, media_type: str) -> web.Response:
    return web.Response(status=answer.status, body=answer.body, content_type=media_type)
