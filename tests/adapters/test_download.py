"""Sound files that users name: taken from the internet only, and never more or longer than is right."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from tests.peers.names import Names
from trunx.adapters.internet.download import Download
from trunx.domain.download import DownloadError, DownloadProblem, Seen

SOUND = bytes(range(256)) * 40


class Site:
    """A web site on this machine; `asked` has the paths, in order, and the headers of the last request."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.headers: dict[str, str] = {}
        self.answer: web.StreamResponse = web.Response(body=SOUND, content_type="audio/mpeg")
        self.moved: dict[str, str] = {}
        self.port = 0
        self.stall = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        self.headers = dict(request.headers)
        if request.path in self.moved:
            raise web.HTTPFound(self.moved[request.path])
        if request.path == "/slow":
            response = web.StreamResponse(headers={"Content-Type": "audio/wav"})
            await response.prepare(request)
            await response.write(b"RIFF")
            await self.stall.wait()
            return response
        if request.path == "/endless":
            response = web.StreamResponse(headers={"Content-Type": "audio/wav"})
            await response.prepare(request)
            while True:
                await response.write(b"x" * 65_536)
        if request.path == "/cut":
            response = web.StreamResponse(headers={"Content-Type": "audio/wav", "Content-Length": "1000"})
            await response.prepare(request)
            await response.write(b"RIFF")
            assert request.transport is not None
            request.transport.abort()
            return response
        if self.headers.get("If-None-Match") == '"v1"':
            return web.Response(status=304)
        return self.answer


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    here = Site()
    application = web.Application()
    application.router.add_get("/{tail:.*}", here.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        listening = web.TCPSite(runner, "127.0.0.1", 0)
        await listening.start()
        here.port = runner.addresses[0][1]
        yield here
    finally:
        here.stall.set()
        await runner.cleanup()


async def problem(download: Download, url: str, target: Path) -> DownloadProblem:
    with pytest.raises(DownloadError) as refused:
        await download.fetch(url, target)
    assert "127.0.0.1" not in refused.value.sentence or refused.value.problem is DownloadProblem.ADDRESS
    return refused.value.problem


async def test_a_file_arrives_as_it_is_and_is_known_again(tmp_path: Path) -> None:
    target = tmp_path / "file"
    async with site() as here, Download.open(private=True) as download:
        here.answer = web.Response(
            body=SOUND, headers={"Content-Type": "audio/mpeg; x=y", "ETag": '"v1"', "Last-Modified": "Sat"}
        )
        url = f"http://127.0.0.1:{here.port}/music.mp3?a=b"
        seen = await download.fetch(url, target)
        assert seen == Seen('"v1"', "Sat")
        assert target.read_bytes() == SOUND
        assert here.headers["Accept-Encoding"] == "identity"
        target.unlink()
        assert await download.fetch(url, target, seen) is None
        assert not target.exists()
        assert here.headers["If-Modified-Since"] == "Sat"


async def test_redirects_are_followed_and_counted(tmp_path: Path) -> None:
    async with site() as here, Download.open(private=True) as download:
        here.moved = {
            "/a": "/b",
            "/b": f"http://127.0.0.1:{here.port}/c",
            "/round": "/round",
            "/off": "ftp://x/",
        }
        root = f"http://127.0.0.1:{here.port}"
        await download.fetch(root + "/a", tmp_path / "file")
        assert here.asked == ["/a", "/b", "/c"]
        assert await problem(download, root + "/round", tmp_path / "f") is DownloadProblem.REDIRECTS
        assert here.asked.count("/round") == 6
        assert await problem(download, root + "/off", tmp_path / "f") is DownloadProblem.ADDRESS


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:{port}/x", "http://[::1]:{port}/x", "http://localhost:{port}/x"]
)
async def test_a_redirect_into_our_own_network_is_not_followed(tmp_path: Path, target: str) -> None:
    # The first hop is a name that the test's own name server lets through, the second one is written out.
    async with site() as here:
        names = Names({"music.example.com": ["127.0.0.1"]})
        async with Download.open(private=True, resolver=names) as open_download:
            here.moved = {"/a": target.format(port=here.port)}
            await open_download.fetch(f"http://music.example.com:{here.port}/ok", tmp_path / "file")
        before = len(here.asked)
        async with Download.open(private=False, resolver=names) as download:
            download_private_hop = f"http://music.example.com:{here.port}/a"
            assert await problem(download, download_private_hop, tmp_path / "f") is DownloadProblem.ADDRESS
            assert await problem(download, here.moved["/a"], tmp_path / "f") is DownloadProblem.ADDRESS
        assert len(here.asked) == before, "nobody was connected to"


async def test_a_name_that_moves_into_our_own_network_is_refused(tmp_path: Path) -> None:
    async with site() as here:
        names = Names({"music.example.com": ["93.184.215.14"]})
        async with Download.open(private=False, resolver=names, deadline=0.3) as download:
            url = f"http://music.example.com:{here.port}/x"
            # The first answer of the name server was of the internet; nobody answers there in the test.
            assert await problem(download, url, tmp_path / "f") in {
                DownloadProblem.TOO_SLOW,
                DownloadProblem.FAILED,
            }
        names.table["music.example.com"] = ["127.0.0.1"]
        async with Download.open(private=False, resolver=names) as download:
            assert await problem(download, url, tmp_path / "f") is DownloadProblem.ADDRESS
        assert here.asked == []


async def test_what_is_no_sound_file_is_not_taken(tmp_path: Path) -> None:
    async with site() as here, Download.open(private=True, deadline=2.0, most_bytes=100_000) as download:
        root = f"http://127.0.0.1:{here.port}"
        target = tmp_path / "file"
        assert await problem(download, root + "/slow", target) is DownloadProblem.TOO_SLOW
        assert await problem(download, root + "/endless", target) is DownloadProblem.TOO_LARGE
        assert await problem(download, root + "/cut", target) is DownloadProblem.FAILED
        here.answer = web.Response(text="<html>", content_type="text/html")
        assert await problem(download, root + "/page", target) is DownloadProblem.TYPE
        here.answer = web.Response(body=b"x" * 100_001, content_type="audio/wav")
        assert await problem(download, root + "/large", target) is DownloadProblem.TOO_LARGE
        here.answer = web.Response(status=404)
        assert await problem(download, root + "/gone", target) is DownloadProblem.STATUS
        here.answer = web.Response(
            body=SOUND, headers={"Content-Type": "audio/wav", "Content-Encoding": "gzip"}
        )
        assert await problem(download, root + "/packed", target) is DownloadProblem.TYPE
