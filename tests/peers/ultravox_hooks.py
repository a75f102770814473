"""The stand-in's webhooks: signed as Ultravox signs, and late, doubled, out of order or forged by switch."""

import asyncio
import hmac
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp


def signed(body: bytes, secrets: Sequence[str], at: str) -> dict[str, str]:
    """The headers of a delivery: a digest for each secret, of the body and then the timestamp."""
    digests = [hmac.new(secret.encode(), body + at.encode(), "sha256").hexdigest() for secret in secrets]
    return {
        "Content-Type": "application/json",
        "X-Ultravox-Webhook-Timestamp": at,
        "X-Ultravox-Webhook-Signature": ",".join(digests),
    }


@dataclass(frozen=True, slots=True)
class Delivered:
    """One try of one delivery, as it went; `status` is None when there was no answer."""

    url: str
    event: str
    call: str
    headers: Mapping[str, str]
    body: bytes
    status: int | None


@dataclass
class Hooks:
    """Everything may be changed while it runs.

    Attributes:
        registered: the webhooks of the account, as the API shows them.
        copies: how often each delivery is made.
        delay: seconds before each.
        reorder: `call.joined` of a call comes after its `call.ended`.
        forged: signed with a secret that nobody has.
        age: how old the timestamps are.
        naive: the timestamps have no offset.
        retries, wait: after an answer that is not 2xx; the wait doubles each time (Ultravox: 10, 30 s).
        signs_retries_anew: whether a retry has a timestamp of its own; what Ultravox does is not known.
    """

    registered: dict[str, dict[str, Any]] = field(default_factory=dict)
    copies: int = 1
    delay: float = 0.0
    reorder: bool = False
    forged: bool = False
    age: timedelta = timedelta()
    naive: bool = False
    retries: int = 10
    wait: float = 0.05
    signs_retries_anew: bool = True
    tries: list[Delivered] = field(default_factory=list)
    _session: aiohttp.ClientSession | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _ended: dict[str, asyncio.Event] = field(default_factory=dict)

    def fire(self, event: str, call: Mapping[str, Any], callbacks: Mapping[str, Any]) -> None:
        """Has an event of a call delivered to whoever wants it. `callbacks` are the call's, with secrets."""
        body = json.dumps({"event": event, "call": call}).encode()
        targets = [
            (hook["url"], hook["secrets"])
            for hook in self.registered.values()
            if event in hook["events"] and hook.get("agentId") in (None, call.get("agentId"))
        ]
        if (callback := callbacks.get(event.removeprefix("call."))) is not None:
            targets.append((callback["url"], callback.get("secrets", [])))
        for url, secrets in targets:
            for _ in range(self.copies):
                task = asyncio.create_task(self._deliver(url, secrets, event, call["callId"], body))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def settled(self, within: float = 10.0) -> None:
        """Returns when nothing is on its way any more."""
        async with asyncio.timeout(within):
            while self._tasks:
                await asyncio.wait(self._tasks)

    async def close(self) -> None:
        for task in (tasks := list(self._tasks)):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _deliver(self, url: str, secrets: Sequence[str], event: str, call: str, body: bytes) -> None:
        ended = self._ended.setdefault(call, asyncio.Event())
        if self.reorder and event == "call.joined":
            await ended.wait()
        await asyncio.sleep(self.delay)
        headers = self._headers(body, secrets)
        for attempt in range(self.retries + 1):
            if attempt:
                await asyncio.sleep(self.wait * 2 ** (attempt - 1))
                if self.signs_retries_anew:
                    headers = self._headers(body, secrets)
            status = await self._posted(url, headers, body)
            self.tries.append(Delivered(url, event, call, headers, body, status))
            if event == "call.ended":
                ended.set()
            if status is not None and 200 <= status < 300:
                return

    def _headers(self, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
        moment = datetime.now(UTC) - self.age
        at = (moment.replace(tzinfo=None) if self.naive else moment).isoformat()
        return signed(body, ["nobody has this secret"] if self.forged else secrets, at)

    async def _posted(self, url: str, headers: Mapping[str, str], body: bytes) -> int | None:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        with suppress(aiohttp.ClientError, TimeoutError):
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                return answer.status
        return None
