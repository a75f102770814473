"""Events reach the webhooks: once when all is well, again when it is not, a call's in their order."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import REGISTRY
from sqlalchemy import update

from tests.peers.receiver import Receiver, thanks
from trunx.adapters.cache.news import News
from trunx.adapters.cache.valkey import open_valkey
from trunx.adapters.internet.post import Post
from trunx.adapters.store.accounts import Accounts
from trunx.adapters.store.database import Database
from trunx.adapters.store.log import append
from trunx.adapters.store.outbox import Outbox
from trunx.adapters.store.tables import deliveries, now, webhooks
from trunx.adapters.store.webhooks import Webhooks
from trunx.domain import webhook as rules
from trunx.domain.call import Event
from trunx.domain.records import Page
from trunx.domain.webhook import DeliveryStatus, Webhook, new_secret, new_webhook_id
from trunx.engine.delivery import AT_ONCE, POLL, WINDOW, Deliverer

_ALL = Page(200)


class Sending:
    """A deliverer at work on a database of its own."""

    def __init__(self, database: Database, account: str, news: News) -> None:
        self.database = database
        self.account = account
        self.news = news
        self.store = Webhooks(database)
        self._count = 0

    @asynccontextmanager
    async def working(self, owner: str = "here", deadline: float = 2.0) -> AsyncIterator[None]:
        async with Post.open(private=True, deadline=deadline) as post:
            task = asyncio.create_task(Deliverer(Outbox(self.database), post, self.news, owner=owner).run())
            try:
                yield
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def hook(self, receiver: Receiver, *types: str) -> str:
        receiver.secret = new_secret()
        webhook = Webhook(
            id=new_webhook_id(),
            account=self.account,
            url=receiver.url,
            types=types,
            label=None,
            enabled=True,
            secret=receiver.secret,
            created_at=now(),
        )
        await self.store.create(webhook)
        return webhook.id

    async def tell(self, *what: tuple[str | None, str]) -> None:
        """Events, each a call (or none) and a type."""
        told = []
        for call, type_ in what:
            self._count += 1
            told.append(Event(self.account, call, type_, datetime.now(UTC), {"n": self._count}))
        async with self.database.writing() as connection:
            await append(connection, told)

    async def sent(self, hook: str, status: DeliveryStatus | None = None) -> list[Any]:
        return list((await self.store.deliveries(self.account, hook, status, _ALL)).rows)

    async def until(self, hook: str, is_so: Callable[[list[Any]], bool]) -> list[Any]:
        """The deliveries of `hook` once they are so."""
        async with asyncio.timeout(20):
            while not is_so(found := await self.sent(hook)):  # noqa: ASYNC110 - rows have no event
                await asyncio.sleep(0.01)
        return found

    async def hurry(self, hook: str) -> None:
        """Lets the time pass until the next try."""
        async with self.database.writing() as connection:
            due = deliveries.c.webhook == hook, deliveries.c.status == "waiting"
            await connection.execute(update(deliveries).where(*due).values(next_at=now()))
            await connection.execute(update(webhooks).where(webhooks.c.id == hook).values(due_at=now()))
        for bell in self.news._bells[""]:
            bell.ring()


def _tried(times: int, rows: list[Any]) -> bool:
    return bool(rows) and rows[0].attempts >= times


def _has(receiver: Receiver, bodies: int) -> bool:
    return len(receiver.got) >= bodies


def _all_settled(rows: list[Any]) -> bool:
    return DeliveryStatus.WAITING not in {row.status for row in rows}


def _all_delivered(rows: list[Any]) -> bool:
    return {row.status for row in rows} == {DeliveryStatus.DELIVERED}


@pytest.fixture
async def sending(tmp_path: Path) -> AsyncIterator[Sending]:
    async with (
        Database.open(f"sqlite:///{tmp_path}/trunx.db") as database,
        open_valkey(tmp_path / "run") as valkey,
        News(database, valkey.client) as news,
    ):
        yield Sending(database, (await Accounts(database).create("Ada")).id, news)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver.open() as opened:
        yield opened


async def test_an_event_is_sent_signed_and_at_once(sending: Sending, receiver: Receiver) -> None:
    hook = await sending.hook(receiver)
    async with sending.working():
        begun = asyncio.get_running_loop().time()
        await sending.tell(("c1", "call.answered"))
        await receiver.until(lambda: len(receiver.got) == 1)
        assert asyncio.get_running_loop().time() - begun < 1.0
        (body,) = receiver.got
        assert body.keys() == {"type", "timestamp", "data"}
        assert body["data"].keys() == {"id", "seq", "account", "call", "type", "at", "data"}
        assert (body["type"], body["timestamp"]) == (body["data"]["type"], body["data"]["at"])
        assert (body["data"]["seq"], body["data"]["call"]) == (1, "c1")
        (delivery,) = await sending.until(hook, lambda rows: rows[0].status is DeliveryStatus.DELIVERED)
    assert (delivery.attempts, delivery.last.answer, delivery.next_at) == (1, 204, None)


async def test_only_the_wanted_types_come(sending: Sending, receiver: Receiver) -> None:
    await sending.tell(("c0", "call.completed"))  # before there was a webhook
    await sending.hook(receiver, "call.completed")
    async with sending.working():
        await sending.tell(("c1", "call.answered"), ("c1", "call.completed"), (None, "suppression.added"))
        await sending.tell(("c2", "call.completed"))
        await receiver.until(lambda: len(receiver.got) == 2)
    assert [body["data"]["seq"] for body in receiver.got] == [3, 5]


async def test_what_failed_comes_again_and_the_rest_of_its_call_after_it(
    sending: Sending, receiver: Receiver
) -> None:
    hook = await sending.hook(receiver)

    async def refuse_first(body: dict[str, Any]) -> web.StreamResponse:
        return web.Response(status=500) if body["data"]["data"]["n"] == 1 else await thanks(body)

    receiver.behave = refuse_first
    async with sending.working():
        await sending.tell(("c1", "call.answered"), ("c2", "call.answered"), ("c1", "call.completed"))
        await receiver.until(lambda: len(receiver.got) == 1 and len(receiver.tried) == 2)
        await sending.tell(("c1", "ivr.step"), ("c2", "call.completed"))
        await receiver.until(lambda: len(receiver.got) == 2)
        assert [body["data"]["call"] for body in receiver.got] == ["c2", "c2"]
        failed = (await sending.until(hook, lambda rows: rows[-1].attempts > 0))[-1]
        assert (failed.status, failed.last.answer) == (DeliveryStatus.WAITING, 500)
        wait = failed.next_at - failed.last.at
        assert timedelta(seconds=4) <= wait <= timedelta(seconds=6)
        receiver.behave = thanks
        await sending.hurry(hook)
        await receiver.until(lambda: len(receiver.got) == 5)
    of_c1 = [body["data"]["seq"] for body in receiver.got if body["data"]["call"] == "c1"]
    assert of_c1 == sorted(of_c1)
    assert (
        receiver.tried[0]["data"]["id"]
        == next(b for b in receiver.got if b["data"]["seq"] == 1)["data"]["id"]
    )


async def test_after_the_last_try_it_is_dead_and_the_rest_goes_on(
    sending: Sending, receiver: Receiver
) -> None:
    hook = await sending.hook(receiver)

    async def refuse(_body: dict[str, Any]) -> web.StreamResponse:
        return web.Response(status=410)

    def counted(outcome: str) -> float:
        return REGISTRY.get_sample_value("trunx_webhook_requests_total", {"outcome": outcome}) or 0

    receiver.behave = refuse
    waiting, given_up = counted("waiting"), counted("dead")
    async with sending.working():
        await sending.tell(("c1", "call.answered"))
        for tries in range(1, len(rules.RETRIES) + 2):
            await sending.until(hook, partial(_tried, tries))
            await sending.hurry(hook)
        (dead,) = await sending.sent(hook, DeliveryStatus.DEAD)
        assert (dead.attempts, dead.next_at, dead.last.answer) == (11, None, 410)
        assert (counted("waiting") - waiting, counted("dead") - given_up) == (10, 1)
        receiver.behave = thanks
        await sending.tell(("c1", "call.completed"))
        await sending.hurry(hook)
        await receiver.until(lambda: receiver.types == ["call.completed"])
        # What somebody asks for does not wait until the deliverer looks by itself.
        await sending.until(hook, _all_settled)
        await sending.store.send_again(sending.account, hook, dead.seq)
        await receiver.until(lambda: receiver.types == ["call.completed", "call.answered"], POLL / 2)
        await sending.until(hook, _all_settled)
        assert await sending.store.redeliver(sending.account, hook, 1, 2) == 2
        await receiver.until(lambda: _has(receiver, 4), POLL / 2)


async def test_a_dead_and_a_slow_endpoint_delay_nobody_else(sending: Sending, receiver: Receiver) -> None:
    async with Receiver.open() as slow, Receiver.open() as refusing:
        never = asyncio.Event()

        async def wait(_body: dict[str, Any]) -> web.StreamResponse:
            await never.wait()
            return web.Response()

        async def refuse(_body: dict[str, Any]) -> web.StreamResponse:
            return web.Response(status=503)

        slow.behave, refusing.behave = wait, refuse
        slow_hook, refusing_hook = await sending.hook(slow), await sending.hook(refusing)
        await sending.hook(receiver)
        async with sending.working(deadline=0.5):
            begun = asyncio.get_running_loop().time()
            for first in range(0, 300, 100):
                await sending.tell(*((f"c{n}", "call.answered") for n in range(first, first + 100)))
            await receiver.until(lambda: len(receiver.got) == 300)
            took = asyncio.get_running_loop().time() - begun
            await sending.until(slow_hook, lambda rows: rows[-1].attempts > 0)
        never.set()
        assert took < 5.0
        assert slow.most_at_once == AT_ONCE
        assert (await sending.sent(slow_hook))[-1].last.problem == "no answer in time"
        # One that takes nothing is tried with one event at a time.
        assert len(refusing.tried) < WINDOW + 10
        assert (await sending.store.get(sending.account, refusing_hook)).failing_since is not None


async def test_an_endpoint_that_takes_nothing_for_days_is_disabled_and_told(
    sending: Sending, receiver: Receiver
) -> None:
    other = await sending.hook(receiver, "webhook.disabled")
    async with Receiver.open() as refusing:

        async def refuse(_body: dict[str, Any]) -> web.StreamResponse:
            return web.Response(status=500)

        refusing.behave = refuse
        hook = await sending.hook(refusing)
        async with sending.database.writing() as connection:
            long_ago = now() - rules.FAILING_MOST
            failing = update(webhooks).where(webhooks.c.id == hook).values(failing_since=long_ago)
            await connection.execute(failing)
        async with sending.working():
            await sending.tell(("c1", "call.answered"), ("c2", "call.answered"))
            await receiver.until(lambda: len(receiver.got) == 1)
    assert receiver.got[0]["data"]["data"]["webhook"] == hook
    kept = await sending.store.get(sending.account, hook)
    assert not kept.enabled
    assert kept.disabled_because is not None
    assert {each.status for each in await sending.sent(hook)} == {DeliveryStatus.DEAD}
    assert (await sending.store.get(sending.account, other)).enabled


async def test_two_secrets_sign_while_one_is_changed(sending: Sending, receiver: Receiver) -> None:
    hook = await sending.hook(receiver)
    former = receiver.secret
    fields = {
        "secret": new_secret(),
        "former_secret": former,
        "former_until": datetime.now(UTC) + timedelta(hours=1),
    }
    changed = await sending.store.change(sending.account, hook, fields)
    async with sending.working():
        await sending.tell(("c1", "call.answered"))
        await receiver.until(lambda: len(receiver.got) == 1)
        receiver.secret = changed.secret
        await sending.tell(("c2", "call.answered"))
        await receiver.until(lambda: len(receiver.got) == 2)
    expired = replace(changed, former_until=datetime.now(UTC))
    assert expired.secrets_at(datetime.now(UTC)) == (changed.secret,)


@pytest.mark.parametrize("answer", ["redirect", "huge", "broken"])
async def test_answers_that_are_odd(sending: Sending, receiver: Receiver, answer: str) -> None:
    followed: list[dict[str, Any]] = []

    async def odd(body: dict[str, Any]) -> web.StreamResponse:
        if followed:
            raise AssertionError("a redirect was followed")
        if answer == "redirect":
            followed.append(body)
            return web.Response(status=307, headers={"Location": receiver.url})
        if answer == "huge":
            return web.Response(body=b"x" * 50_000_000)
        raise ConnectionAbortedError

    receiver.behave = odd
    hook = await sending.hook(receiver)
    async with sending.working():
        await sending.tell(("c1", "call.answered"))
        rows = await sending.until(hook, partial(_tried, 1))
    expected = {
        "redirect": (DeliveryStatus.WAITING, 307),
        "huge": (DeliveryStatus.DELIVERED, 200),
        "broken": (DeliveryStatus.WAITING, 500),
    }
    assert (rows[0].status, rows[0].last.answer) == expected[answer]


async def test_nobody_is_there(sending: Sending, receiver: Receiver) -> None:
    receiver.url = "http://127.0.0.1:1/hook"
    hook = await sending.hook(receiver)
    async with sending.working():
        await sending.tell(("c1", "call.answered"))
        rows = await sending.until(hook, partial(_tried, 1))
    assert rows[0].last.answer is None
    assert "127.0.0.1:1" not in (rows[0].last.problem or "") or "Connect" in rows[0].last.problem


async def test_two_processes_share_the_endpoints(sending: Sending, receiver: Receiver) -> None:
    hook = await sending.hook(receiver)
    async with sending.working("here"), sending.working("there"):
        for first in range(0, 200, 20):
            await sending.tell(*((f"c{n % 7}", "ivr.step") for n in range(first, first + 20)))
        await receiver.until(lambda: len(receiver.got) >= 200)
        await sending.until(hook, _all_delivered)
    assert len(receiver.got) == 200  # none twice
    for call in range(7):
        seqs = [body["data"]["seq"] for body in receiver.got if body["data"]["call"] == f"c{call}"]
        assert seqs == sorted(seqs)


_PROGRAM = """
import asyncio, sys
from trunx.adapters.store.database import Database
from trunx.adapters.cache.news import News
from trunx.adapters.store.outbox import Outbox
from trunx.adapters.internet.post import Post
from trunx.adapters.cache.redis import open_redis
from trunx.engine.delivery import Deliverer
async def main():
    async with (Database.open(sys.argv[1]) as database, open_redis(sys.argv[2]) as redis,
                News(database, redis.client) as news, Post.open(private=True) as post):
        print("ready", flush=True)
        await Deliverer(Outbox(database), post, news, owner="child").run()
asyncio.run(main())
"""


async def test_a_process_that_is_killed_loses_nothing(
    sending: Sending, receiver: Receiver, tmp_path: Path
) -> None:
    hook = await sending.hook(receiver)
    await sending.tell(*((f"c{n % 10}", "ivr.step") for n in range(400)))
    for kills in range(5):
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _PROGRAM, f"sqlite:///{tmp_path}/trunx.db", "redis://127.0.0.1:1"),
            stdout=PIPE,
        )
        assert child.stdout is not None
        assert await child.stdout.readline() == b"ready\n"
        enough = min(400, len(receiver.got) + 50 + 10 * kills)
        await receiver.until(partial(_has, receiver, enough))
        os.kill(child.pid, signal.SIGKILL)
        await child.wait()
    async with sending.working("child"):
        await sending.until(hook, _all_delivered)
    seen = [body["data"]["seq"] for body in receiver.got]
    assert set(seen) == set(range(1, 401))
    for call in range(10):
        firsts = list(
            dict.fromkeys(body["data"]["seq"] for body in receiver.got if body["data"]["call"] == f"c{call}")
        )
        assert firsts == sorted(firsts)
