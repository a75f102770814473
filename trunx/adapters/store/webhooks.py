"""Webhooks as their owners see them: endpoints, what was sent to them, and sending it again."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Integer, Row, Select, Text, bindparam, delete, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from trunx.adapters.cache.news import tell
from trunx.adapters.store.database import Database
from trunx.adapters.store.paging import page_of, rows
from trunx.adapters.store.tables import Moment, Name, deliveries, event_heads, events, now, webhooks
from trunx.domain.errors import InvalidCursorError, NotFoundError
from trunx.domain.records import Page, Rows
from trunx.domain.webhook import Delivery, DeliveryStatus, Outcome, Webhook

_OURS = {"told", "due_at", "owner", "owned_until"}
SHOWN = [column for column in webhooks.columns if column.name not in _OURS]


class Webhooks:
    """Fulfils the port of the same name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, webhook: Webhook) -> None:
        async with self._database.writing() as connection:
            await connection.execute(
                webhooks.insert().values(
                    id=webhook.id,
                    account=webhook.account,
                    url=webhook.url,
                    types=json.dumps(webhook.types),
                    label=webhook.label,
                    enabled=webhook.enabled,
                    secret=webhook.secret,
                    created_at=webhook.created_at,
                    told=await head(connection, webhook.account),
                )
            )

    async def get(self, account: str, webhook_id: str) -> Webhook:
        async with self._database.reading() as connection:
            return await _webhook(connection, account, webhook_id)

    async def page(self, account: str, page: Page) -> Rows[Webhook]:
        query = select(*SHOWN).where(webhooks.c.account == account)
        query = page_of(query, page, webhooks.c.created_at, webhooks.c.id)
        async with self._database.reading() as connection:
            found = [read_webhook(row) for row in await connection.execute(query)]
        return rows(found, page, lambda webhook: (webhook.created_at, webhook.id))

    async def change(self, account: str, webhook_id: str, fields: Mapping[str, Any]) -> Webhook:
        values = dict(fields)
        if "types" in values:
            values["types"] = json.dumps(values["types"])
        async with self._database.writing() as connection:
            was = await _webhook(connection, account, webhook_id, lock=True)
            if values.get("enabled") and not was.enabled:
                # What happened meanwhile is not sent by itself: it may be a great deal, and no news any more.
                values |= {
                    "disabled_because": None,
                    "failing_since": None,
                    "told": await head(connection, account),
                }
            elif values.get("enabled") is False and was.enabled:
                values |= {"disabled_because": "asked for", "due_at": None}
                await bury(connection, webhook_id, "the webhook was disabled")
            if values:
                await connection.execute(update(webhooks).where(webhooks.c.id == webhook_id).values(values))
            return await _webhook(connection, account, webhook_id)

    async def delete(self, account: str, webhook_id: str) -> None:
        which = webhooks.c.id == webhook_id, webhooks.c.account == account
        async with self._database.writing() as connection:
            if (await connection.execute(delete(webhooks).where(*which))).rowcount == 0:
                raise NotFoundError(webhook_id)

    async def deliveries(
        self, account: str, webhook_id: str, status: DeliveryStatus | None, page: Page
    ) -> Rows[Delivery]:
        query = _DELIVERIES.where(deliveries.c.webhook == webhook_id)
        if status is not None:
            query = query.where(deliveries.c.status == status)
        if page.cursor is not None:
            query = query.where(deliveries.c.seq < _place(page.cursor))
        query = query.order_by(deliveries.c.seq.desc()).limit(page.limit + 1)
        async with self._database.reading() as connection:
            await _webhook(connection, account, webhook_id)
            found = [_delivery(row) for row in await connection.execute(query)]
        kept = found[: page.limit]
        return Rows(kept, str(kept[-1].seq) if len(found) > page.limit else None)

    async def send_again(self, account: str, webhook_id: str, seq: int) -> Delivery:
        which = deliveries.c.webhook == webhook_id, deliveries.c.seq == seq
        async with self._database.writing() as connection:
            await _webhook(connection, account, webhook_id, lock=True)
            moment = now()
            again = update(deliveries).where(*which).values(_again(moment))
            if (await connection.execute(again)).rowcount == 0:
                raise NotFoundError("delivery")
            await connection.execute(_DUE, {"which": webhook_id, "moment": moment})
            tell(connection, [account])
            return _delivery((await connection.execute(_DELIVERIES.where(*which))).one())

    async def redeliver(self, account: str, webhook_id: str, first: int, last: int) -> int:
        async with self._database.writing() as connection:
            webhook = await _webhook(connection, account, webhook_id, lock=True)
            moment = now()
            wanted = events_for(webhook, first, last, moment)
            row = self._database.insert(deliveries).from_select(DELIVERY, wanted)
            sent = row.on_conflict_do_update(
                index_elements=[deliveries.c.webhook, deliveries.c.seq], set_=_again(moment)
            )
            count = (await connection.execute(sent)).rowcount
            await connection.execute(_DUE, {"which": webhook_id, "moment": moment})
            tell(connection, [account])
            return count


DELIVERY = ("webhook", "seq", "call", "status", "attempts", "created_at", "next_at")
"""The columns of a new delivery, as `events_for` fills them."""

_DELIVERIES: Select[Any] = select(deliveries, events.c.id.label("event"), events.c.type).select_from(
    deliveries.join(webhooks, webhooks.c.id == deliveries.c.webhook).join(
        events, (events.c.account == webhooks.c.account) & (events.c.seq == deliveries.c.seq)
    )
)

_DUE = (
    update(webhooks)
    .where(webhooks.c.id == bindparam("which", type_=Name))
    .values(due_at=bindparam("moment", type_=Moment))
)


def events_for(webhook: Webhook, first: int, last: int, moment: datetime) -> Select[Any]:
    """The events from `first` to `last` that the webhook wants, as new deliveries."""
    wanted = select(
        literal(webhook.id, Name),
        events.c.seq,
        events.c.call,
        literal(DeliveryStatus.WAITING.value, Text),
        literal(0, Integer),
        literal(moment, Moment),
        literal(moment, Moment),
    ).where(events.c.account == webhook.account, events.c.seq.between(first, last))
    return wanted.where(events.c.type.in_(webhook.types)) if webhook.types else wanted


async def bury(connection: AsyncConnection, webhook_id: str, problem: str) -> None:
    """Gives up all that waits."""
    waiting = deliveries.c.webhook == webhook_id, deliveries.c.status == DeliveryStatus.WAITING
    dead = {"status": DeliveryStatus.DEAD.value, "next_at": None, "problem": problem}
    await connection.execute(update(deliveries).where(*waiting).values(dead))


async def head(connection: AsyncConnection, account: str) -> int:
    """The account's last event."""
    query = select(event_heads.c.seq).where(event_heads.c.account == account)
    return (await connection.execute(query)).scalar() or 0


def read_webhook(row: Row[Any]) -> Webhook:
    """A webhook from its row, of which more may be there."""
    fields = {column.name: getattr(row, column.name) for column in SHOWN}
    return Webhook(**fields | {"types": tuple(json.loads(row.types))})


async def _webhook(
    connection: AsyncConnection, account: str, webhook_id: str, *, lock: bool = False
) -> Webhook:
    query = select(*SHOWN).where(webhooks.c.id == webhook_id, webhooks.c.account == account)
    row = (await connection.execute(query.with_for_update() if lock else query)).first()
    if row is None:
        raise NotFoundError("webhook")
    return read_webhook(row)


def _again(moment: datetime) -> dict[str, Any]:
    return {"status": DeliveryStatus.WAITING.value, "attempts": 0, "next_at": moment}


def _place(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 16):
        raise InvalidCursorError("this cursor was not made by this list")
    return int(cursor)


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        seq=row.seq,
        event=row.event,
        type=row.type,
        call=row.call,
        status=DeliveryStatus(row.status),
        attempts=row.attempts,
        created_at=row.created_at,
        next_at=row.next_at,
        problem=row.problem,
        last=None if row.tried_at is None else Outcome(row.tried_at, row.answer, row.problem, row.ms),
    )
