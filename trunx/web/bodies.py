"""From what a client sent to a model: everything wrong with it is named at once, each fault with its place.

The place is a JSON pointer into what the client wrote; pydantic's own names for places hold more than that.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from trunx.domain.ivr import pointer
from trunx.domain.strict_json import JsonError, loads
from trunx.web.models import NUMBER_ERROR
from trunx.web.problems import (
    BODY_TIMEOUT,
    BODY_TOO_LARGE,
    INVALID_BODY,
    INVALID_JSON,
    INVALID_PATH,
    INVALID_QUERY,
    INVALID_REQUEST,
    NOT_JSON,
    Fault,
    Kind,
    ProblemError,
)

MAX_BODY_BYTES = 1024 * 1024
BODY_SECONDS = 30.0
# Above this a body is read in a thread: 10,000 numbers take half a second, and calls share our event loop.
_THREAD_BYTES = 16 * 1024

Model = TypeVar("Model", bound=BaseModel)


async def read(request: web.Request, model: type[Model]) -> Model:
    """The body of `request` as a `model`.

    Raises:
        ProblemError: it is not JSON, too large, too slow, or not what `model` describes.
    """
    if request.content_type != "application/json":
        raise ProblemError(NOT_JSON, "send the body with Content-Type: application/json")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            text = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise ProblemError(BODY_TOO_LARGE, f"at most {MAX_BODY_BYTES:,} bytes are accepted") from None
    except (web.RequestPayloadError, ConnectionError):
        raise ProblemError(INVALID_REQUEST, "the body breaks off, or is not packed as it says") from None
    except TimeoutError:
        raise ProblemError(BODY_TIMEOUT, f"it was not complete after {BODY_SECONDS:.0f} seconds") from None
    if len(text) > _THREAD_BYTES:
        return await asyncio.to_thread(_parsed, text, model)
    return _parsed(text, model)


def _parsed(text: bytes, model: type[Model]) -> Model:
    try:
        data = loads(text)
    except JsonError as error:
        if _is_json(text):
            fault = Fault(pointer=pointer(*map(str, error.place)), message=str(error))
            raise ProblemError(INVALID_BODY, _told([fault]), errors=[fault]) from None
        raise ProblemError(INVALID_JSON, str(error)) from None
    return validated(data, model)


def _is_json(text: bytes) -> bool:
    """Whether anybody would call `text` JSON, though it is not accepted here (a key that stands twice)."""
    try:
        json.loads(text.decode())
    except (ValueError, RecursionError):
        return False
    return True


def validated(data: Any, model: type[Model]) -> Model:
    """`data` as a `model`; raises `ProblemError` 422 with a JSON pointer to each fault."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        faults = [
            Fault(pointer=pointer(*_place(one["loc"], data, one["type"])), message=_message(one, "field"))
            for one in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise ProblemError(INVALID_BODY, _told(faults), errors=faults) from None


def query(request: web.Request, model: type[Model]) -> Model:
    """The query parameters of `request` as a `model`; raises `ProblemError` 422."""
    faults = [
        Fault(parameter=name, message="this parameter stands more than once")
        for name in dict.fromkeys(request.query)
        if len(request.query.getall(name)) > 1
    ]
    if faults:
        raise ProblemError(INVALID_QUERY, _told(faults), errors=faults)
    try:
        return model.model_validate_strings(dict(request.query))
    except ValidationError as error:
        faults = _parameter_faults(error)
        raise ProblemError(INVALID_QUERY, _told(faults), errors=faults) from None


def path(given: Mapping[str, str], model: type[Model], absent: Kind) -> Model:
    """The variable parts of a path as a `model`.

    Raises:
        ProblemError: 422 for what should be a telephone number and is none; `absent`, which is what a name
            that nothing has is answered with, for a name that nothing can have.
    """
    try:
        return model.model_validate_strings(dict(given))
    except ValidationError as error:
        if any(one["type"] == NUMBER_ERROR for one in error.errors(include_url=False)):
            faults = _parameter_faults(error)
            raise ProblemError(INVALID_PATH, _told(faults), errors=faults) from None
        raise ProblemError(absent, "nothing can have this name") from None


def _parameter_faults(error: ValidationError) -> list[Fault]:
    return [
        Fault(parameter=str(one["loc"][0]), message=_message(one, "parameter"))
        for one in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def _message(error: Mapping[str, Any], thing: str) -> str:
    match error["type"]:
        case "missing":
            return f"this {thing} is required"
        case "extra_forbidden":
            return f"there is no such {thing}"
        case _:
            return str(error["msg"])


def _told(faults: list[Fault]) -> str:
    first = faults[0]
    place = first.parameter or first.pointer or "the whole"
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{place}: {first.message}{more}"


def _place(loc: tuple[int | str, ...], data: Any, kind: str) -> Iterator[str]:
    """The parts of `loc` that lead somewhere in `data`: between them stand names of union members, and after
    them a mark for faults of a key; a missing field is the one part that is not there.
    """
    here = data
    for at, part in enumerate(loc):
        try:
            here = here[part]
        except (KeyError, IndexError, TypeError):
            if kind != "missing" or at < len(loc) - 1:
                continue
        yield str(part)
