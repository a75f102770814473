"""A real browser without a screen, which plays a sound and tells what it heard."""

import asyncio
import json
import shutil
import tempfile
from typing import Any

from aiohttp import web

# Without these it looks for its maker's servers at every start.
_QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_PATIENCE = 60.0
# `decodeAudioData` fails for what an <audio> element cannot play; for the rest it has length and samples.
_PAGE = """<!doctype html><script>
const tell = told => fetch("/told", {method: "POST", body: JSON.stringify(told)});
fetch("/sound").then(got => got.arrayBuffer())
  .then(bytes => new OfflineAudioContext(1, 16000, 16000).decodeAudioData(bytes))
  .then(sound => tell({seconds: sound.duration,
                       peak: sound.getChannelData(0).reduce((most, at) => Math.max(most, Math.abs(at)), 0)}),
        error => tell({error: String(error)}));
</script>"""


async def played(sound: bytes, media_type: str) -> dict[str, Any]:
    """`seconds` and `peak` of the sound as the browser decodes it, or its `error`.

    Raises:
        AssertionError: there is no chromium, or it fails.
    """
    program = shutil.which("chromium") or shutil.which("google-chrome")
    assert program is not None, "chromium is needed: make ready installs it"
    told: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=_PAGE, content_type="text/html")

    async def file(_: web.Request) -> web.Response:
        return web.Response(body=sound, content_type=media_type)

    async def tell(request: web.Request) -> web.Response:
        told.set_result(json.loads(await request.text()))
        return web.Response()

    application = web.Application()
    application.add_routes([web.get("/", page), web.get("/sound", file), web.post("/told", tell)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        with tempfile.TemporaryDirectory(prefix="trunx-browser-", ignore_cleanup_errors=True) as folder:
            browser = await asyncio.create_subprocess_exec(
                program,
                *_QUIET,
                f"--user-data-dir={folder}",
                "--remote-debugging-port=0",  # keeps it open; nobody connects
                f"http://127.0.0.1:{port}/",
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
            ended = asyncio.ensure_future(browser.wait())
            try:
                either: list[asyncio.Future[Any]] = [told, ended]
                await asyncio.wait(either, timeout=_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
                assert told.done(), f"the browser has told nothing; its exit status: {browser.returncode}"
                return told.result()
            finally:
                if browser.returncode is None:
                    browser.terminate()
                await ended
    finally:
        await runner.cleanup()
