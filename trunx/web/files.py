"""A file as an answer: the whole, a part of it (`Range`), or only that it is unchanged (`If-None-Match`).

aiohttp's own FileResponse makes its ETag of the time at which the file was written, which is another one on
each server; ours names the content. RFC 9110, sections 13 and 14, says what each header means.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

from trunx.web.problems import Kind, ProblemError

RANGE_NOT_SATISFIABLE = Kind(416, "range-not-satisfiable", "The file has no such part")
_CHUNK = 256 * 1024
_ONE_RANGE = re.compile(r"bytes=\s*(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """A file to be sent. `etag` (without its quotes) names the content, `name` is what a browser saves."""

    path: Path
    media_type: str
    etag: str
    name: str


async def response(request: web.Request, answer: FileAnswer) -> web.Response:
    """What `request` gets of the file.

    Raises:
        ProblemError: 416, the file has no such part.
        FileNotFoundError: the file is gone.
    """
    size = (await asyncio.to_thread(answer.path.stat)).st_size
    headers = {
        "ETag": f'"{answer.etag}"',
        # The asset may be deleted, and its URL is for the one who has the key: ask again each time.
        "Cache-Control": "private, no-cache",
        "Accept-Ranges": "bytes",
        "Content-Disposition": _disposition(answer.name),
        "X-Content-Type-Options": "nosniff",
    }
    if _is_known(request.headers, answer.etag):
        return web.Response(status=304, headers=headers)
    part = _part(request.headers, answer.etag, size)
    if part is None:
        body = _Slice(answer.path, 0, size, answer.media_type)
        return web.Response(body=body, headers=headers)
    start, length = part
    headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{size}"
    return web.Response(
        status=206, body=_Slice(answer.path, start, length, answer.media_type), headers=headers
    )


class _Slice(Payload):
    """`length` bytes of a file from `start` on, read in a thread while they are sent."""

    def __init__(self, path: Path, start: int, length: int, media_type: str) -> None:
        super().__init__(path, content_type=media_type)
        self._path = path
        self._start = start
        self._size = length

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002 - aiohttp's
        """Sound is no text."""
        raise TypeError("a file is sent, not read")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Sends it."""
        left = self._size or 0
        file = await asyncio.to_thread(self._path.open, "rb")
        try:
            await asyncio.to_thread(file.seek, self._start)
            while left and (data := await asyncio.to_thread(file.read, min(_CHUNK, left))):
                left -= len(data)
                await writer.write(data)
        finally:
            file.close()


def _is_known(headers: Mapping[str, str], etag: str) -> bool:
    """Whether the client has this content already (weak comparison, section 13.1.2)."""
    known = [one.strip().removeprefix("W/") for one in headers.get("If-None-Match", "").split(",")]
    return "*" in known or f'"{etag}"' in known


def _part(headers: Mapping[str, str], etag: str, size: int) -> tuple[int, int] | None:
    """Where the part asked for begins and how long it is; None when the whole is to be sent.

    Several parts at once, another unit and what cannot be read may all be answered with the whole.
    """
    # A part of other content than what the client has would be of no use to it (section 13.1.5).
    if headers.get("If-Range", f'"{etag}"').strip() != f'"{etag}"':
        return None
    asked = _ONE_RANGE.fullmatch(headers.get("Range", ""))
    if asked is None:
        return None
    first, last, suffix = asked.groups()
    if suffix is not None:
        start, end = max(size - int(suffix), 0), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < int(first):
            return None
    if start >= end:
        raise ProblemError(
            RANGE_NOT_SATISFIABLE,
            f"it has {size:,} bytes",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return start, end - start


def _disposition(name: str) -> str:
    """`inline`, with a name for those who save it: in ASCII for old programs, and as it is (RFC 6266)."""
    plain = re.sub(r"[^A-Za-z0-9._ -]", "_", name)
    return f"inline; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
