"""Turns at an endpoint, on both engines: what is handed out, what comes of it, and whose turn it is."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from trunx.adapters.store.database import Database
from trunx.adapters.store.log import append
from trunx.adapters.store.outbox import CLAIM, Outbox
from trunx.adapters.store.tables import events, now, webhooks
from trunx.adapters.store.webhooks import Webhooks
from trunx.domain.call import Event
from trunx.domain.errors import InvalidCursorError, NotFoundError
from trunx.domain.records import Page
from trunx.domain.webhook import (
    FAILING_MOST,
    REST,
    RETRIES,
    DeliveryStatus,
    Outcome,
    Parcel,
    Turn,
    Webhook,
    new_secret,
    new_webhook_id,
    next_wait,
)
from trunx.engine import log_ports


async def tell(database: Database, account: str, *calls: str | None) -> None:
    told = [Event(account, call, "ivr.step", datetime.now(UTC), {"n": "ä"}) for call in calls]
    async with database.writing() as connection:
        await append(connection, told)


async def hooked(database: Database, account: str, **fields: Any) -> Webhook:
    webhook = Webhook(
        id=new_webhook_id(),
        account=account,
        url="https://example.com/",
        types=(),
        label=None,
        enabled=True,
        secret=new_secret(),
        created_at=now(),
    )
    webhook = replace(webhook, **fields)
    port: log_ports.Webhooks = Webhooks(database)
    await port.create(webhook)
    return webhook


def said(answer: int | None) -> Outcome:
    return Outcome(now(), answer, None if answer else "nobody there", 12)


class Work:
    """A process at one endpoint."""

    def __init__(self, database: Database, webhook: Webhook, owner: str = "here") -> None:
        self._box: log_ports.Outbox = Outbox(database)
        self._of = webhook.id, owner

    async def turn(
        self, *settled: tuple[Parcel, Outcome], busy: tuple[int, ...] = (), most: int = 100
    ) -> Turn | None:
        return await self._box.turn(*self._of, settled, busy, most)

    async def seqs(self, *settled: tuple[Parcel, Outcome], **rest: Any) -> list[int]:
        turn = await self.turn(*settled, **rest)
        assert turn is not None
        return [parcel.seq for parcel in turn.parcels]

    async def due(self) -> bool:
        return self._of[0] in (await self._box.due(self._of[1])).webhooks


async def test_events_become_deliveries_in_their_order(database: Database, account: str, other: str) -> None:
    await tell(database, account, "c0")
    webhook = await hooked(database, account, types=("ivr.step", "call.failed"))
    work = Work(database, webhook)
    assert not await work.due()
    await tell(database, account, "c1", None, "c2")
    await tell(database, other, "c3")
    assert await work.due()
    turn = await work.turn()
    assert turn is not None
    assert turn.webhook == webhook
    assert [(parcel.seq, parcel.event.call, parcel.attempts) for parcel in turn.parcels] == [
        (2, "c1", 0),
        (3, None, 0),
        (4, "c2", 0),
    ]
    assert turn.parcels[0].event.data == {"n": "ä"}
    assert await work.seqs(busy=(2, 3)) == [4]
    assert await work.seqs(busy=(2, 3), most=2) == []
    assert await work.seqs(*((parcel, said(200)) for parcel in turn.parcels)) == []
    assert not await work.due()


async def test_what_failed_holds_up_its_call_and_no_other(database: Database, account: str) -> None:
    work = Work(database, await hooked(database, account))
    await tell(database, account, "c1", "c2", "c1", None, None)
    turn = await work.turn()
    assert turn is not None
    one, two, _, four, _ = turn.parcels
    # One was taken: the endpoint lives, and all that is not held up goes on.
    assert await work.seqs((one, said(500)), (two, said(204)), (four, said(None))) == [5]
    store = Webhooks(database)
    rows = (await store.deliveries(account, turn.webhook.id, None, Page(10))).rows
    assert [(row.seq, row.status.value, row.attempts) for row in rows] == [
        (5, "waiting", 0),
        (4, "waiting", 1),
        (3, "waiting", 0),
        (2, "delivered", 1),
        (1, "waiting", 1),
    ]
    assert rows[1].problem == "nobody there"
    due = await Outbox(database).due("here")
    assert rows[-1].next_at is not None
    assert due.next_at is None or due.next_at <= rows[-1].next_at


async def test_an_endpoint_that_takes_nothing_rests(database: Database, account: str) -> None:
    work = Work(database, await hooked(database, account))
    await tell(database, account, "c1", "c2", "c3")
    turn = await work.turn()
    assert turn is not None
    assert await work.seqs((turn.parcels[0], said(None))) == []
    assert not await work.due()
    due = await Outbox(database).due("here")
    assert due.next_at is not None
    assert timedelta(0) < due.next_at - datetime.now(UTC) <= REST
    assert await work.seqs() == [2]  # one, to see whether it is back
    assert await work.seqs((turn.parcels[1], said(200))) == [3]


async def test_one_process_at_a_time_works_at_an_endpoint(database: Database, account: str) -> None:
    webhook = await hooked(database, account)
    here, there = Work(database, webhook), Work(database, webhook, "there")
    await tell(database, account, "c1")
    turn = await here.turn()
    assert turn is not None
    assert not await there.due()
    assert await there.turn() is None
    assert await here.due()  # also when it was started again
    async with database.writing() as connection:
        await connection.execute(update(webhooks).values(owned_until=now() - timedelta(milliseconds=1)))
    assert await there.due()
    assert await there.seqs() == [1]
    assert await here.turn((turn.parcels[0], said(200))) is None  # what came of it is kept all the same
    assert await there.seqs() == []
    assert await here.turn() is not None  # given back
    assert timedelta(seconds=20) < CLAIM


async def test_a_turn_that_is_told_twice_counts_once(database: Database, account: str) -> None:
    webhook = await hooked(database, account)
    work = Work(database, webhook)
    await tell(database, account, "c1")
    turn = await work.turn()
    assert turn is not None
    for _ in range(3):
        await work.turn((turn.parcels[0], said(500)))
    (row,) = (await Webhooks(database).deliveries(account, webhook.id, None, Page(10))).rows
    assert row.attempts == 1


async def test_a_long_failure_disables(database: Database, account: str) -> None:
    webhook = await hooked(database, account)
    work = Work(database, webhook)
    await tell(database, account, "c1", "c2")
    turn = await work.turn()
    assert turn is not None
    async with database.writing() as connection:
        long_ago = now() - FAILING_MOST - timedelta(minutes=1)
        await connection.execute(update(webhooks).values(failing_since=long_ago))
    # Time alone disables nothing: there may have been nothing to send.
    assert await work.seqs(busy=(turn.parcels[0].seq,)) == []
    assert (await Webhooks(database).get(account, webhook.id)).enabled
    assert await work.turn((turn.parcels[1], said(500))) is None
    kept = await Webhooks(database).get(account, webhook.id)
    assert (kept.enabled, kept.disabled_because is not None) == (False, True)
    assert not await work.due()
    async with database.reading() as connection:
        types = (await connection.execute(select(events.c.type).order_by(events.c.seq))).scalars().all()
    assert types == ["ivr.step", "ivr.step", "webhook.disabled"]
    # Enabled again it begins with what is new; the rest is sent when it is asked for.
    await Webhooks(database).change(account, webhook.id, {"enabled": True})
    await tell(database, account, "c3")
    assert await work.seqs() == [4]
    assert await Webhooks(database).redeliver(account, webhook.id, 2, 4) == 3
    assert await work.seqs() == [2, 3, 4]


async def test_the_store_keeps_to_its_account(database: Database, account: str, other: str) -> None:
    store = Webhooks(database)
    hooks = [await hooked(database, account, label=str(n)) for n in range(3)]
    page = await store.page(account, Page(2))
    rest = await store.page(account, Page(2, page.next))
    assert {hook.id for hook in (*page.rows, *rest.rows)} == {hook.id for hook in hooks}
    changed = await store.change(account, hooks[0].id, {"types": ["ivr.step"], "label": None})
    assert changed == replace(hooks[0], types=("ivr.step",), label=None)
    with pytest.raises(InvalidCursorError):
        await store.deliveries(account, hooks[0].id, None, Page(2, "-1"))
    for refused in (
        store.get(other, hooks[0].id),
        store.change(other, hooks[0].id, {}),
        store.delete(other, hooks[0].id),
        store.deliveries(other, hooks[0].id, DeliveryStatus.DEAD, Page(1)),
        store.send_again(other, hooks[0].id, 1),
        store.redeliver(other, hooks[0].id, 1, 2),
    ):
        with pytest.raises(NotFoundError):
            await refused
    await tell(database, account, "c1")
    await Work(database, hooks[0]).turn()
    await store.delete(account, hooks[0].id)
    assert await Work(database, hooks[0]).turn() is None


def test_retries_fill_a_day_and_then_end() -> None:
    for chance, least, most in ((0.0, 18, 20), (0.5, 23, 24), (1.0, 27, 29)):
        waits = [next_wait(attempt, chance) for attempt in range(1, len(RETRIES) + 1)]
        total = sum((wait for wait in waits if wait is not None), timedelta())
        assert timedelta(hours=least) <= total <= timedelta(hours=most)
    assert next_wait(len(RETRIES) + 1, 0.5) is None
