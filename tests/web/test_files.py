"""A file as an answer: what of it is sent, and when nothing need be."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from yarl import URL

from tests.web.house import serving
from trunx.web.files import FileAnswer, response
from trunx.web.request_log import request_log

CONTENT = bytes(range(256)) * 3000
SIZE = len(CONTENT)


@pytest_asyncio.fixture(loop_scope="session")
async def url(tmp_path: Path) -> AsyncIterator[str]:
    """A server with one file."""
    path = tmp_path / "sound"
    path.write_bytes(CONTENT)

    async def answer(request: web.Request) -> web.Response:
        return await response(request, FileAnswer(path, "audio/wav", "abc-wav", 'Grüße "1"/2.wav'))

    application = web.Application(middlewares=[request_log("http://here", frozenset())])
    application.router.add_get("/file", answer)
    async with serving(application) as served:
        yield served + "/file"


async def ask(url: str, method: str = "GET", **headers: str) -> tuple[int, Mapping[str, str], bytes]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with aiohttp.ClientSession() as session, session.request(method, url, headers=sent) as got:
        return got.status, got.headers.copy(), await got.read()


async def test_the_whole(url: str) -> None:
    status, headers, body = await ask(url)
    assert (status, body) == (200, CONTENT)
    assert headers["Content-Type"] == "audio/wav"
    assert headers["Content-Length"] == str(SIZE)
    assert headers["ETag"] == '"abc-wav"'
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["X-Request-Id"]


async def test_a_name_is_told_to_old_and_new_programs(url: str) -> None:
    _, headers, _ = await ask(url)
    assert headers["Content-Disposition"] == (
        "inline; filename=\"Gr__e _1__2.wav\"; filename*=UTF-8''Gr%C3%BC%C3%9Fe%20%221%22%2F2.wav"
    )


async def test_head_tells_the_size_and_sends_nothing(url: str) -> None:
    status, headers, body = await ask(url, "HEAD")
    assert (status, body, headers["Content-Length"]) == (200, b"", str(SIZE))


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, SIZE),
        ("bytes=100-299", 100, 300),
        ("bytes=300000-600000", 300_000, 600_001),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
        (f"bytes=5-{SIZE * 9}", 5, SIZE),
        ("bytes=-7", SIZE - 7, SIZE),
        (f"bytes=-{SIZE * 9}", 0, SIZE),
    ],
)
async def test_a_part(url: str, asked: str, start: int, end: int) -> None:
    status, headers, body = await ask(url, Range=asked)
    assert (status, headers["Content-Range"]) == (206, f"bytes {start}-{end - 1}/{SIZE}")
    assert body == CONTENT[start:end]
    assert headers["Content-Length"] == str(end - start)
    status, headers, body = await ask(url, "HEAD", Range=asked)
    assert (status, body, headers["Content-Length"]) == (206, b"", str(end - start))


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", f"bytes={SIZE + 5}-{SIZE + 9}", "bytes=-0"])
async def test_a_part_that_is_not_there(url: str, asked: str) -> None:
    status, headers, _ = await ask(url, Range=asked)
    assert (status, headers["Content-Range"]) == (416, f"bytes */{SIZE}")
    assert headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "asked", ["bytes=5-2", "bytes=0-1,5-6", "items=0-1", "bytes=", "bytes=a-b", "bytes=--1", "1-2"]
)
async def test_a_range_that_means_nothing_is_the_whole(url: str, asked: str) -> None:
    status, _, body = await ask(url, Range=asked)
    assert (status, body) == (200, CONTENT)


@pytest.mark.parametrize("known", ['"abc-wav"', '"x", W/"abc-wav"', "*"])
async def test_what_is_known_is_not_sent_again(url: str, known: str) -> None:
    status, headers, body = await ask(url, If_None_Match=known, Range="bytes=0-1")
    assert (status, body, headers["ETag"]) == (304, b"", '"abc-wav"')
    assert (await ask(url, If_None_Match='"abc-mp3"'))[0] == 200


async def test_a_part_of_other_content_is_of_no_use(url: str) -> None:
    assert (await ask(url, Range="bytes=0-1", If_Range='"abc-wav"'))[0] == 206
    for other in ('"abc-mp3"', 'W/"abc-wav"', "Sat, 21 Nov 2026 10:00:00 GMT"):
        assert (await ask(url, Range="bytes=0-1", If_Range=other))[0] == 200


async def test_a_listener_who_leaves_is_no_fault(url: str) -> None:
    parts = URL(url)
    _, writer = await asyncio.open_connection(parts.host, parts.port)
    writer.write(b"GET /file HTTP/1.1\r\nHost: here\r\n\r\n")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await ask(url))[0] == 200
