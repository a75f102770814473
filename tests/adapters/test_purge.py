"""Old events go, on both engines: only the beginning of a log, and nothing that is still to be sent."""

import asyncio
from datetime import timedelta

from sqlalchemy import select, update

from trunx.adapters.store import purge
from trunx.adapters.store.database import Database
from trunx.adapters.store.log import append
from trunx.adapters.store.outbox import Outbox
from trunx.adapters.store.purge import Purge
from trunx.adapters.store.tables import deliveries, events, now, webhooks
from trunx.adapters.store.webhooks import Webhooks
from trunx.domain.call import Event
from trunx.domain.records import Page
from trunx.domain.webhook import DeliveryStatus, Outcome, Webhook, new_secret, new_webhook_id

DAY = timedelta(days=1)
KEEP = 30 * DAY


async def tell(database: Database, account: str, *ages: float) -> None:
    """An event for each age in days, in this order."""
    told = [Event(account, None, "ivr.step", now() - age * DAY, {"age": age}) for age in ages]
    async with database.writing() as connection:
        await append(connection, told)


async def kept(database: Database, account: str) -> list[int]:
    query = select(events.c.seq).where(events.c.account == account).order_by(events.c.seq)
    async with database.reading() as connection:
        return list((await connection.execute(query)).scalars())


async def hooked(database: Database, account: str) -> Webhook:
    """An endpoint that gets what is told from now on."""
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
    await Webhooks(database).create(webhook)
    return webhook


async def sent(database: Database, webhook: Webhook, *answers: int) -> None:
    """What is due is sent, and answered so."""
    outbox = Outbox(database)
    turn = await outbox.turn(webhook.id, "here", [], [], 100)
    assert turn is not None
    outcomes = [Outcome(now(), answer, None, 1) for answer in answers]
    await outbox.turn(webhook.id, "here", list(zip(turn.parcels, outcomes, strict=True)), [], 100)


async def status(database: Database, webhook: Webhook) -> dict[int, str]:
    rows = (await Webhooks(database).deliveries(webhook.account, webhook.id, None, Page(200))).rows
    return {row.seq: row.status.value for row in rows}


async def purged(database: Database) -> int:
    return await Purge(database, KEEP).once()


async def test_a_log_loses_its_old_beginning(database: Database, account: str, other: str) -> None:
    await tell(database, account, 90, 40, 31, 29, 45, 1)
    await tell(database, other, 31, 0)
    assert await purged(database) == 4
    assert await kept(database, account) == [4, 5, 6], "what is left has no gap"
    assert await kept(database, other) == [2]
    assert await purged(database) == 0


async def test_a_log_that_is_all_gone_counts_on(database: Database, account: str) -> None:
    await tell(database, account, 40, 40)
    assert await purged(database) == 2
    await tell(database, account, 0)
    assert await kept(database, account) == [3]


async def test_what_is_to_be_sent_stays_and_what_follows_it(database: Database, account: str) -> None:
    await tell(database, account, 50)
    webhook = await hooked(database, account)
    await tell(database, account, 45, 44, 43, 42)
    assert await purged(database) == 1, "nobody has looked at the rest for that endpoint"
    await sent(database, webhook, 200, 200, 500, 200)
    assert await purged(database) == 2
    assert await kept(database, account) == [4, 5]
    assert await status(database, webhook) == {4: "waiting", 5: "delivered"}

    async with database.writing() as connection:
        dead = {"status": DeliveryStatus.DEAD.value, "next_at": None}
        await connection.execute(update(deliveries).where(deliveries.c.seq == 4).values(dead))
    assert await purged(database) == 2
    assert await status(database, webhook) == {}


async def test_dead_letters_are_there_as_long_as_their_events(database: Database, account: str) -> None:
    webhook = await hooked(database, account)
    await tell(database, account, 29, 29)
    await sent(database, webhook, 500, 200)
    await Webhooks(database).change(account, webhook.id, {"enabled": False})
    assert await purged(database) == 0
    assert await status(database, webhook) == {1: "dead", 2: "delivered"}


async def test_an_endpoint_that_is_disabled_holds_up_nothing(database: Database, account: str) -> None:
    webhook = await hooked(database, account)
    await tell(database, account, 40, 40)
    await Webhooks(database).change(account, webhook.id, {"enabled": False})
    assert await purged(database) == 2
    await Webhooks(database).change(account, webhook.id, {"enabled": True})
    await tell(database, account, 0)
    await sent(database, webhook, 200)
    assert await status(database, webhook) == {3: "delivered"}


async def test_others_write_in_between(database: Database, account: str) -> None:
    count = 3 * purge.BATCH + 7
    webhook = await hooked(database, account)
    await tell(database, account, *[40] * count)
    async with database.writing() as connection:
        await connection.execute(update(webhooks).values(told=count))
    purging = asyncio.create_task(purged(database))
    written = 0
    while not purging.done():
        await tell(database, account, 0)
        written += 1
    assert purging.result() == count
    assert written > 3
    assert await kept(database, account) == list(range(count + 1, count + written + 1))
    assert await status(database, webhook) == {}
