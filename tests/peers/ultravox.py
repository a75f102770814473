"""A stand-in for Ultravox: its API as far as anybody needs it, what it refuses, and its faults by switch.

It has no voice: whoever plays its SIP side takes `on_outgoing`, then calls `join` and `end`. Try it with
`python -m tests.peers.ultravox --port 8089 --key ANY`, or with `-- trunx serve` behind it.
"""

import argparse
import asyncio
import base64
import hmac
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from yarl import URL

from tests.peers.ultravox_calls import Calls, OnCall
from tests.peers.ultravox_checks import RefusedError, agent_call, context, direct_call
from tests.peers.ultravox_hooks import Hooks
from tests.peers.ultravox_routes import Answer, Rows, body_of, gone, made, shown, table_of
from tests.peers.ultravox_things import Things, one, remove
from tests.peers.ultravox_troubles import Handler, Trouble, befallen

KEY = "abcdEFGH.0123456789abcdefghijklmnopqrstuv"
CREATES_CALL = r"POST .*/calls$"
"""For `befall` and `asked`: the two requests that make a call."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that came with the right key. `body` is JSON, or None."""

    method: str
    path: str
    query: dict[str, str]
    body: Any

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class UltravoxPeer:
    """One account. Everything may be changed while it runs.

    Attributes:
        cap: calls at once; one more is 429. None: no limit.
        page_size: the most results on a page, whatever is asked for.
        retry_after: seconds that a 429 or 503 names.
        uploads: the headers of each request to the storage behind `presignedUrl`.
    """

    url: str = ""
    key: str = KEY
    cap: int | None = None
    page_size: int = 100
    retry_after: int = 0
    hooks: Hooks = field(default_factory=Hooks)
    things: Things = field(default_factory=Things)
    requests: list[Asked] = field(default_factory=list)
    refused_keys: list[str] = field(default_factory=list)
    uploads: list[dict[str, str]] = field(default_factory=list)
    _calls: Calls = field(init=False)
    _troubles: list[tuple[re.Pattern[str], Trouble]] = field(default_factory=list)
    _always: list[tuple[re.Pattern[str], Trouble]] = field(default_factory=list)
    _ending: asyncio.Event = field(default_factory=asyncio.Event)
    _arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    def __post_init__(self) -> None:
        self._calls = Calls(self.hooks)

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        *,
        port: int = 0,
        key: str = KEY,
        on_outgoing: OnCall | None = None,
        on_over: OnCall | None = None,
    ) -> AsyncIterator["UltravoxPeer"]:
        """The server, on the loopback, until the block ends.

        `on_outgoing(call)` is to dial `call["medium"]["sip"]["outgoing"]`, which has the password here;
        `on_over(call)` to hang up what still stands.
        """
        peer = cls(key=key)
        peer.control.on_outgoing, peer.control.on_over = on_outgoing, on_over
        app = web.Application(middlewares=[peer._door, peer._befalling, _refusing], client_max_size=16 << 20)
        app.add_routes(peer._routes())
        runner = web.AppRunner(app, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            peer.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield peer
        finally:
            peer._ending.set()
            await runner.cleanup()
            await peer.hooks.close()
            await peer._calls.close()

    # What tests do

    @property
    def control(self) -> Calls:
        """The calls' own switches: `pace`, `lag`, `on_outgoing`, and what was asked for."""
        return self._calls

    @property
    def calls(self) -> dict[str, dict[str, Any]]:
        """Every call that was made, by id, as the API shows it."""
        return self._calls.shown

    async def join(self, call: str) -> None:
        await self._calls.join(call)

    async def end(self, call: str, reason: str = "hangup", sip: str = "NORMAL") -> None:
        await self._calls.end(call, reason, sip)

    def say(self, call: str, role: str, text: str, **more: Any) -> None:
        self._calls.say(call, role, text, **more)

    def befall(self, *troubles: Trouble, on: str = "") -> None:
        """The next requests whose `METHOD /path` has the pattern `on`, one after the other."""
        self._troubles += [(re.compile(on), trouble) for trouble in troubles]

    def always(self, trouble: Trouble | None, on: str = "") -> None:
        """Every such request; None: no request any more, also of those that `befall` named."""
        if trouble is None:
            self._always, self._troubles = [], []
        else:
            self._always.append((re.compile(on), trouble))

    def asked(self, on: str) -> list[Asked]:
        """The requests so far whose `METHOD /path` has the pattern."""
        return [request for request in self.requests if re.search(on, request.line)]

    async def awaited(self, on: str, count: int = 1, within: float = 5.0) -> list[Asked]:
        """The same, when there are so many."""
        async with asyncio.timeout(within), self._arrived:
            await self._arrived.wait_for(lambda: len(self.asked(on)) >= count)
        return self.asked(on)

    # Doors

    @web.middleware
    async def _door(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/storage/"):
            return await handler(request)
        given = request.headers.get("X-API-Key", "")
        if not hmac.compare_digest(given.encode(), self.key.encode()):
            self.refused_keys.append(given)
            return web.json_response({"detail": "Invalid API key."}, status=401)
        try:
            body = await body_of(request)
        except ValueError:
            return web.json_response({"detail": "JSON parse error"}, status=400)
        async with self._arrived:
            self.requests.append(Asked(request.method, request.path, dict(request.query), body))
            self._arrived.notify_all()
        return await handler(request)

    @web.middleware
    async def _befalling(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        line = f"{request.method} {request.path}"
        for number, (pattern, trouble) in enumerate([*self._troubles, *self._always]):
            if pattern.search(line):
                if number < len(self._troubles):
                    del self._troubles[number]
                return await befallen(
                    request, handler, trouble, retry_after=self.retry_after, ending=self._ending
                )
        return await handler(request)

    def _routes(self) -> Sequence[web.RouteDef]:
        calls, call = self._calls, "/api/calls/{call}"
        ours: list[tuple[str, str, Answer]] = [
            ("POST", "/api/agents/{agent}/calls", self._agent_call),
            ("GET", "/api/agents/{agent}/calls", self._page(self._calls_of_agent)),
            ("GET", "/api/calls", self._page(self._listed_calls)),
            ("POST", "/api/calls", self._direct_call),
            ("GET", call, shown(lambda r, _: calls.one(r.match_info["call"]))),
            ("DELETE", call, gone(lambda r, _: calls.delete(r.match_info["call"]))),
            ("GET", call + "/messages", self._page(self._messages)),
            ("POST", call + "/send_data_message", self._data_message),
            ("PUT", "/storage/{document}", self._upload),
            ("GET", "/api/webhooks", self._page(lambda _: [*self.hooks.registered.values()])),
            ("POST", "/api/webhooks", made(self._register_hook)),
            ("DELETE", "/api/webhooks/{hook}", gone(self._forget_hook)),
            ("GET", "/api/accounts/me", shown(lambda *_: self._account())),
        ]
        table = ours + table_of(self.things, self._page)
        return [web.route(method, path, handler) for method, path, handler in table]

    # Calls

    async def _agent_call(self, request: web.Request) -> web.Response:
        agent = one(self.things.agents, request.match_info["agent"], "Agent")
        body = await body_of(request)
        agent_call(body, voices=self.things.voices)
        context(agent["callTemplate"] or {}, body.get("templateContext", {}))
        return await self._new_call(body, agent)

    async def _direct_call(self, request: web.Request) -> web.Response:
        things, body = self.things, await body_of(request)
        direct_call(body, voices=things.voices, models=things.models, tools=things.tool_names)
        return await self._new_call(body, None)

    async def _new_call(self, body: dict[str, Any], agent: dict[str, Any] | None) -> web.Response:
        if self.cap is not None and len(self._calls.live) >= self.cap:
            answer = web.json_response({"detail": "Too many concurrent calls."}, status=429)
            answer.headers["Retry-After"] = str(self.retry_after)
            return answer
        return web.json_response(await self._calls.create(body, agent), status=201)

    def _calls_of_agent(self, request: web.Request) -> list[dict[str, Any]]:
        one(self.things.agents, request.match_info["agent"], "Agent")
        return self._calls.listed({}, [request.match_info["agent"]])

    def _listed_calls(self, request: web.Request) -> list[dict[str, Any]]:
        wanted = {
            key.removeprefix("metadata."): value
            for key, value in request.query.items()
            if key.startswith("metadata.")
        }
        return self._calls.listed(wanted, request.query.getall("agentIds", []))

    def _messages(self, request: web.Request) -> list[dict[str, Any]]:
        return self._calls.transcript(request.match_info["call"], request.query.get("mode", "last_stage"))

    async def _data_message(self, request: web.Request) -> web.Response:
        await self._calls.take(request.match_info["call"], await body_of(request))
        return web.Response(status=204)

    # The rest of the account

    async def _upload(self, request: web.Request) -> web.Response:
        """The storage: it takes the bytes of the type that was announced, and knows no keys."""
        document = self.things.documents.get(request.match_info["document"])
        self.uploads.append(dict(request.headers))
        signed = "X-Amz-Signature" in request.query and "X-API-Key" not in request.headers
        if document is None or not signed or request.content_type != document["mime"]:
            return web.Response(status=403, text="<Error><Code>SignatureDoesNotMatch</Code></Error>")
        document["content"] = await request.read()
        return web.Response()

    def _register_hook(self, _request: web.Request, body: Any) -> dict[str, Any]:
        row = self.things.webhook(body)
        self.hooks.registered[row["webhookId"]] = row
        return row

    def _forget_hook(self, request: web.Request, _body: Any) -> None:
        remove(self.hooks.registered, request.match_info["hook"], "Webhook")

    def _account(self) -> dict[str, Any]:
        return {
            "accountId": "0acc0000-1111-4222-8333-444455556666",
            "name": "stand-in",
            "activeCalls": len(self._calls.live),
            "allowedConcurrentCalls": self.cap,
            "subscriptionTier": "FREE",
            "freeTimeRemaining": "1800s",
        }

    def _page(self, rows: Rows, search: str | None = None) -> Answer:
        """A list's page; `search` is the field that the query of this name is looked for in."""

        async def answer(request: web.Request) -> web.Response:
            found = rows(request)
            wanted = request.query.get("search", "").lower()
            if search is not None and wanted:
                found = [row for row in found if wanted in row[search].lower()]
            size = min(int(request.query.get("pageSize", self.page_size)), self.page_size)
            start = 0
            if cursor := request.query.get("cursor"):
                start = int(base64.urlsafe_b64decode(cursor))
            token = base64.urlsafe_b64encode(str(start + size).encode()).decode()
            url = URL(self.url).join(request.rel_url) % {"cursor": token}
            body: dict[str, Any] = {"next": str(url) if start + size < len(found) else None, "previous": None}
            body |= {"results": found[start : start + size], "total": len(found)}
            return web.json_response(body)

        return answer


@web.middleware
async def _refusing(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except RefusedError as refused:
        return web.json_response({"detail": refused.detail}, status=refused.status)


async def _demonstrate(port: int, key: str, command: Sequence[str]) -> int:
    """Runs, and the command with it, until one of both is ended; the command's exit status."""
    over = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    async with UltravoxPeer.running(port=port, key=key) as peer:
        print(
            f"This is a stand-in for Ultravox at {peer.url}, not Ultravox: it keeps agents and takes calls,\n"
            "but nobody speaks, and every call ends as `unjoined`. Set ULTRAVOX_API_KEY for the real one.",
            flush=True,
        )
        if not command:
            await over.wait()
            return 0
        ours = {"ULTRAVOX_API_KEY": key, "TRUNX_ULTRAVOX_URL": peer.url}
        sip = os.environ.get("TRUNX_ULTRAVOX_SIP", "sip:stand-in:nobody@127.0.0.1:5060")
        process = await asyncio.create_subprocess_exec(
            *command, env=os.environ | ours | {"TRUNX_ULTRAVOX_SIP": sip}, process_group=0
        )
        waits = {asyncio.create_task(over.wait()), asyncio.create_task(process.wait())}
        _, left = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()
        if process.returncode is None:
            process.terminate()
        return await process.wait()


def _main() -> int:
    parser = argparse.ArgumentParser(description="A stand-in for Ultravox, to try trunx without a key.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", default=KEY)
    parser.add_argument("command", nargs="*", help="run this with settings that lead here: -- trunx serve")
    given = parser.parse_args()
    return asyncio.run(_demonstrate(given.port, given.key, given.command))


if __name__ == "__main__":
    sys.exit(_main())
