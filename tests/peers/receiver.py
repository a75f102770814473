"""The other end of webhooks: it checks every signature as Standard Webhooks says, and remembers."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook

Behaviour = Callable[[dict[str, Any]], Awaitable[web.StreamResponse]]


async def thanks(_body: dict[str, Any]) -> web.StreamResponse:
    """What a receiver says that is well."""
    return web.Response(status=204)


class Receiver:
    """`got` has the bodies that were taken, in order; `tried` all, also those that `behave` refused.

    `secret` is the key that the signatures are checked with.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.secret = ""
        self.behave: Behaviour = thanks
        self.got: list[dict[str, Any]] = []
        self.tried: list[dict[str, Any]] = []
        self.at_once = self.most_at_once = 0
        self._changed = asyncio.Condition()

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator["Receiver"]:
        """A receiver on a free port."""
        receiver = cls("")
        application = web.Application()
        application.router.add_post("/{tail:.*}", receiver._take)
        # A client that has given up is no request any more.
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
            yield receiver
        finally:
            await runner.cleanup()

    @property
    def types(self) -> list[str]:
        """The types of what was taken."""
        return [body["type"] for body in self.got]

    async def until(self, is_so: Callable[[], bool], within: float = 10.0) -> None:
        """Waits for what requests make true."""
        async with asyncio.timeout(within), self._changed:
            await self._changed.wait_for(is_so)

    async def _take(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        Webhook(self.secret).verify(text, dict(request.headers))
        body = json.loads(text)
        assert request.headers["webhook-id"] == body["data"]["id"]
        self.tried.append(body)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            answer = await self.behave(body)
        finally:
            self.at_once -= 1
        if 200 <= answer.status < 300:
            self.got.append(body)
        async with self._changed:
            self._changed.notify_all()
        return answer
