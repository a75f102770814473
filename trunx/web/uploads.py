"""From multipart/form-data to a model: files go to disk while they arrive, under a limit of size and of time.

RFC 7578. Whatever is wrong with it ends the request, and leaves no file behind.
"""

import asyncio
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO, TypeVar

from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import BaseModel, InstanceOf, WithJsonSchema

from trunx.domain.errors import UnavailableError
from trunx.domain.ivr import pointer
from trunx.engine.incoming import Incoming
from trunx.web.bodies import validated
from trunx.web.problems import (
    BODY_TIMEOUT,
    INVALID_BODY,
    INVALID_REQUEST,
    NOT_A_FORM,
    Fault,
    Kind,
    ProblemError,
)

FILE_TOO_LARGE = Kind(413, "too-large", "The file is too large")

_CHUNK = 64 * 1024  # taken apart on the event loop: of twenty uploads at once, each may hold it a moment
_TEXT_BYTES = 4 * 1024
_LONGEST_NAME = 200
# Boundaries, headers and texts beside the file.
_AROUND = 64 * 1024

Form = TypeVar("Form", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a file may be, and how many seconds it may take to arrive."""

    size: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Received:
    """A file on disk; `filename` is the user's, and never part of a path. `digest` is that of its bytes."""

    path: Path
    filename: str
    digest: str


UploadedFile = Annotated[
    InstanceOf[Received],
    WithJsonSchema({"type": "string", "format": "binary", "contentMediaType": "application/octet-stream"}),
]


async def read(request: web.Request, model: type[Form], incoming: Incoming, limits: Limits) -> Form:
    """The form of `request` as a `model`; its files are there until `discard`.

    Raises:
        ProblemError: it is no form, too large, too slow, or not what `model` describes.
    """
    if request.content_type != "multipart/form-data":
        raise ProblemError(NOT_A_FORM, "send the form with Content-Type: multipart/form-data")
    if (request.content_length or 0) > limits.size + _AROUND:
        raise _too_large("", limits)
    found: dict[str, Any] = {}
    try:
        await _receive_in_time(request, model, found, incoming, limits)
        return validated(found, model)
    except BaseException:  # a client that leaves, too: nobody else knows of the files
        discard(found)
        raise


def discard(form: BaseModel | dict[str, Any]) -> None:
    """Removes the files that came with a form, where nobody took them."""
    for value in dict(form).values():
        if isinstance(value, Received):
            value.path.unlink(missing_ok=True)


def digest(form: BaseModel) -> bytes:
    """What tells one form from another: its fields, and the content of its files."""
    parts = [
        f"{name}:{value.filename!r}:{value.digest}" if isinstance(value, Received) else f"{name}:{value!r}"
        for name, value in form
    ]
    return "\n".join(parts).encode()


async def _receive_in_time(
    request: web.Request, model: type[BaseModel], found: dict[str, Any], incoming: Incoming, limits: Limits
) -> None:
    try:
        async with asyncio.timeout(limits.seconds):
            await _receive(await request.multipart(), model, found, incoming, limits)
    except TimeoutError:
        raise ProblemError(BODY_TIMEOUT, f"it was not complete after {limits.seconds:.0f} seconds") from None
    except (web.RequestPayloadError, ConnectionError):
        raise ProblemError(INVALID_REQUEST, "the body breaks off, or is not packed as it says") from None
    except OSError as error:
        raise UnavailableError(f"what arrives cannot be written: {error}") from None
    # What aiohttp's reader raises over a form that is none.
    except (ValueError, AssertionError, RuntimeError, HttpProcessingError) as error:
        raise ProblemError(INVALID_REQUEST, f"the form cannot be read: {error}") from None


async def _receive(
    form: MultipartReader, model: type[BaseModel], found: dict[str, Any], incoming: Incoming, limits: Limits
) -> None:
    while (part := await form.next()) is not None:
        if not isinstance(part, BodyPartReader) or not part.name:
            raise ProblemError(INVALID_REQUEST, "a part of the form has no name, or holds other parts")
        name = part.name
        if name not in model.model_fields:
            raise _fault(name, "there is no such field")
        if name in found:
            raise _fault(name, "this field stands more than once")
        if part.headers.get("Content-Transfer-Encoding", "binary").lower() not in {"binary", "8bit", "7bit"}:
            raise _fault(name, "send it as it is, without a Content-Transfer-Encoding")
        is_file = part.filename is not None
        if is_file != (model.model_fields[name].annotation is Received):
            raise _fault(name, "this is no file" if is_file else "this is a file: send it with its filename")
        found[name] = await (_file(part, name, incoming, limits) if is_file else _text(part, name))


async def _text(part: BodyPartReader, name: str) -> str:
    data = b""
    while chunk := await part.read_chunk(_CHUNK):
        data += chunk
        if len(data) > _TEXT_BYTES:
            raise _fault(name, f"at most {_TEXT_BYTES:,} bytes are accepted")
    try:
        return _storable(data.decode("utf-8"), name)
    except UnicodeDecodeError:
        raise _fault(name, "this is not UTF-8") from None


async def _file(part: BodyPartReader, name: str, incoming: Incoming, limits: Limits) -> Received:
    # Some send the whole path; only its last part is the file's name (RFC 7578, section 4.2).
    filename = _storable((part.filename or "").replace("\\", "/").rpartition("/")[2], name)
    if not filename.strip() or len(filename) > _LONGEST_NAME:
        raise _fault(name, f"its filename has 1 to {_LONGEST_NAME} characters")
    path = incoming.path()
    try:
        return Received(path, filename, await _written(part, path, name, limits))
    except BaseException:  # a client that leaves, too: half a file is nobody's
        path.unlink(missing_ok=True)
        raise


async def _written(part: BodyPartReader, path: Path, name: str, limits: Limits) -> str:
    """Brings a file to disk; the digest of its bytes."""
    hashed = hashlib.sha256()
    size = 0
    with path.open("xb") as file:
        while chunk := await part.read_chunk(_CHUNK):
            size += len(chunk)
            if size > limits.size:
                raise _too_large(f"/{name}", limits)
            await asyncio.to_thread(_append, file, hashed, chunk)
    return hashed.hexdigest()


def _append(file: BinaryIO, hashed: "hashlib._Hash", chunk: bytes) -> None:
    """In a thread: to hash a large file chunk by chunk would hold calls up at each."""
    hashed.update(chunk)
    file.write(chunk)


def _storable(text: str, name: str) -> str:
    """`text`, when it is one line that every store can hold."""
    if any(char < " " or char == "\x7f" or "\ud800" <= char <= "\udfff" for char in text):
        raise _fault(name, "it holds a control character, or is not UTF-8")
    return text


def _too_large(place: str, limits: Limits) -> ProblemError:
    message = f"at most {limits.size:,} bytes are accepted"
    return ProblemError(
        FILE_TOO_LARGE, message, errors=[Fault(pointer=place, message=message)] if place else ()
    )


def _fault(name: str, message: str) -> ProblemError:
    place = pointer(name)
    return ProblemError(INVALID_BODY, f"{place}: {message}", errors=[Fault(pointer=place, message=message)])
