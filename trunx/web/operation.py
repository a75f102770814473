"""What the API can do, declared once: routes, checks and the reference (OpenAPI) are made of the same lines.

A handler says by its parameters what it reads: `path`, `query`, and `body` (JSON) or `form` (with files),
each a pydantic model.
"""

import inspect
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web
from pydantic import BaseModel

from trunx.web import files, idempotency, problems, uploads
from trunx.web.files import FileAnswer
from trunx.web.ports import Ports
from trunx.web.problems import Kind
from trunx.web.streams import StreamAnswer


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks (an account's id; empty where no key is needed), and what can be asked to answer.

    `key` is the request's Idempotency-Key, for what outlives its answer.
    """

    ports: Ports
    account: str
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer in JSON."""

    status: int
    body: BaseModel


@dataclass(frozen=True, slots=True)
class Sends:
    """A file is sent, as one of these media types; `Range` and `If-None-Match` are obeyed."""

    media_types: tuple[str, ...]


_READS = ("path", "query", "body", "form")
_BODY = (
    problems.INVALID_REQUEST,
    problems.BODY_TIMEOUT,
    problems.INVALID_BODY,
)

Handler = Callable[..., Awaitable[Reply | FileAnswer | StreamAnswer | web.Response]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path.

    `answers` says for each status what is in the body: a model, a file, or text of a media type. The
    handler's docstring is the description in the reference. `open` needs no key; `signed` needs none with a
    `signature` in its query, which the handler then checks; `idempotent` takes an Idempotency-Key.
    """

    method: str
    path: str
    handler: Handler
    answers: Mapping[int, type[BaseModel] | Sends | str]
    problems: tuple[Kind, ...] = ()
    open: bool = False
    signed: bool = False
    idempotent: bool = False
    reads: Mapping[str, type[BaseModel]] = field(init=False)

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(self.handler)
        object.__setattr__(self, "reads", {name: hints[name] for name in _READS if name in hints})

    @property
    def id(self) -> str:
        """The `operationId`: the handler's name in camel case."""
        first, *rest = self.handler.__name__.split("_")
        return first + "".join(word.capitalize() for word in rest)

    @property
    def summary(self) -> str:
        """The first line of the handler's docstring."""
        return (inspect.getdoc(self.handler) or "").partition("\n")[0].rstrip(".")

    @property
    def description(self) -> str:
        """The rest of the handler's docstring."""
        return (inspect.getdoc(self.handler) or "").partition("\n")[2].strip()

    @property
    def absent(self) -> Kind:
        """What is answered when the path names nothing."""
        return next(kind for kind in self.problems if kind.status == 404)

    @property
    def all_problems(self) -> tuple[Kind, ...]:
        """Every kind of problem this operation can answer."""
        found = [problems.INVALID_QUERY, problems.INTERNAL, *self.problems]
        if not self.open:
            found += [problems.INVALID_KEY, problems.UNAVAILABLE]
        if "path" in self.reads:
            found.append(problems.INVALID_PATH)
        if "body" in self.reads:
            found += [*_BODY, problems.INVALID_JSON, problems.BODY_TOO_LARGE, problems.NOT_JSON]
        if "form" in self.reads:
            found += [*_BODY, uploads.FILE_TOO_LARGE, problems.NOT_A_FORM]
        if any(isinstance(answer, Sends) for answer in self.answers.values()):
            found.append(files.RANGE_NOT_SATISFIABLE)
        if self.idempotent:
            found += idempotency.PROBLEMS
        return tuple(sorted(found, key=lambda kind: (kind.status, kind.code)))
