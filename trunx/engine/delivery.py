"""Brings the log's events to the webhooks: at least once, a call's in their order, and none waits for the
endpoint of another.

Each endpoint that has something to do is a task of its own, with its own limit of requests at once; it ends
when nothing is left to do. Everything it knows is in the outbox, so it may be killed at any moment.
"""

import asyncio
import random
from collections import deque
from datetime import UTC, datetime
from functools import partial
from typing import NoReturn

import structlog

from trunx.domain.errors import UnavailableError
from trunx.domain.log import as_json, rfc3339
from trunx.domain.strict_json import dumps
from trunx.domain.webhook import Outcome, Parcel, Webhook
from trunx.engine.log_ports import Bell, News, Outbox, Post
from trunx.engine.metrics import WEBHOOK_REQUESTS

AT_ONCE = 16  # requests to one endpoint
WINDOW = 128  # events that an endpoint has in hand
POLL = 5.0  # seconds until a deliverer looks by itself
GATHER = 0.05  # seconds that results wait for others before they are written, and between two looks
_TURN = 10.0  # seconds until an endpoint says again that it is at work, much less than `outbox.CLAIM`
_AGAIN = 1.0  # seconds until the database is asked again

_log = structlog.get_logger(__name__)


def body_of(parcel: Parcel, public_url: str) -> str:
    """What is sent: Standard Webhooks' three fields, of which `data` is the event as the API shows it."""
    event = parcel.event
    return dumps({"type": event.type, "timestamp": rfc3339(event.at), "data": as_json(event, public_url)})


class Deliverer:
    """`owner` names this process among those that share the database, also when it is started again;
    `public_url` is where users reach the API.
    """

    def __init__(self, outbox: Outbox, post: Post, news: News, *, owner: str, public_url: str = "") -> None:
        self.outbox = outbox
        self.post = post
        self.owner = owner
        self.public_url = public_url
        self._news = news
        self._endpoints: dict[str, _Endpoint] = {}

    async def run(self) -> NoReturn:
        """Until it is cancelled; requests that are under way are then given up, and made again later."""
        try:
            with self._news.listening() as bell:
                while True:
                    pause = await self._look(bell)
                    await asyncio.sleep(min(pause, GATHER))  # what is told meanwhile is one look
                    await bell.wait(max(0.0, pause - GATHER))
        finally:
            tasks = [endpoint.task for endpoint in self._endpoints.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self, bell: Bell) -> float:
        """Starts and wakes endpoints; the seconds until one is due."""
        try:
            due = await self.outbox.due(self.owner)
        except UnavailableError:
            return POLL * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
        for webhook in due.webhooks:
            endpoint = self._endpoints.get(webhook)
            if endpoint is None:
                self._endpoints[webhook] = endpoint = _Endpoint(self, webhook)
                endpoint.task.add_done_callback(partial(self._ended, webhook, bell))
            endpoint.news.set()
        if due.next_at is None:
            return POLL
        return min(POLL, max(0.0, (due.next_at - datetime.now(UTC)).total_seconds()) + 0.001)

    def _ended(self, webhook: str, bell: Bell, task: asyncio.Task[None]) -> None:
        del self._endpoints[webhook]
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            _log.error("the deliveries to a webhook were broken off", webhook=webhook, exc_info=error)
        else:
            bell.ring()  # its last turn may have set another time


class _Endpoint:
    """What one webhook has in hand."""

    def __init__(self, deliverer: Deliverer, webhook: str) -> None:
        self._deliverer = deliverer
        self._id = webhook
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._lanes: dict[str, deque[Parcel]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy: set[int] = set()
        self._settled: list[tuple[Parcel, Outcome]] = []
        self.news = asyncio.Event()
        self.task = asyncio.create_task(self._run(), name=f"webhook {webhook}")

    async def _run(self) -> None:
        try:
            while await self._turn():
                await self._something()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _turn(self) -> bool:
        """Tells what came of requests and takes what is next; whether there is anything in hand."""
        self.news.clear()
        settled = self._settled[:]
        done = {parcel.seq for parcel, _ in settled}
        outbox, owner = self._deliverer.outbox, self._deliverer.owner
        try:
            turn = await outbox.turn(self._id, owner, settled, self._busy - done, WINDOW)
        except UnavailableError:
            await asyncio.sleep(_AGAIN)
            self.news.set()
            return bool(self._busy)
        del self._settled[: len(settled)]
        self._busy -= done
        if turn is None:
            return False
        for parcel in turn.parcels:
            self._take(turn.webhook, parcel)
        return bool(self._busy)

    def _take(self, webhook: Webhook, parcel: Parcel) -> None:
        """Into the lane of its call, behind what went before."""
        self._busy.add(parcel.seq)
        name = parcel.event.call or str(parcel.seq)
        lane = self._lanes.get(name)
        if lane is not None:
            lane.append(parcel)
            return
        self._lanes[name] = deque([parcel])
        task = asyncio.create_task(self._send(webhook, name))
        self._tasks.add(task)
        task.add_done_callback(self._sent)

    async def _send(self, webhook: Webhook, name: str) -> None:
        lane = self._lanes[name]
        try:
            while lane:
                async with self._slots:
                    outcome = await self._posted(webhook, lane[0])
                self._settled.append((lane.popleft(), outcome))
                self.news.set()
                if not outcome.is_taken:
                    break  # the rest of the call has to wait for it
        finally:
            self._busy.difference_update(parcel.seq for parcel in lane)
            del self._lanes[name]

    async def _posted(self, webhook: Webhook, parcel: Parcel) -> Outcome:
        secrets = webhook.secrets_at(datetime.now(UTC))
        body = body_of(parcel, self._deliverer.public_url)
        outcome = await self._deliverer.post.send(webhook.url, parcel.event.id or "", secrets, body)
        WEBHOOK_REQUESTS[parcel.status_after(outcome)].inc()
        return outcome

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a webhook's request was broken off by a fault of ours", exc_info=error)
            self.task.cancel()  # to begin again, but not at once

    async def _something(self) -> None:
        """Waits for results, or for more to send."""
        try:
            async with asyncio.timeout(_TURN):
                await self.news.wait()
        except TimeoutError:
            return
        if self._tasks:
            await asyncio.sleep(GATHER)  # results come together
