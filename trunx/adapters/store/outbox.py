"""What is on its way to webhooks: the log's events become deliveries, and one process at a time works at each
endpoint.

All of it is in the database, so that a process which is killed leaves nothing behind but a claim that lapses.
A call's events go to an endpoint in their order: none is handed out while an earlier one waits for its next
try.
"""

import random
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, bindparam, cast, func, null, or_, select, union_all, update
from sqlalchemy.ext.asyncio import AsyncConnection

from trunx.adapters.store.database import Database
from trunx.adapters.store.log import append, read
from trunx.adapters.store.tables import Moment, Name, deliveries, event_heads, events, now, webhooks
from trunx.adapters.store.webhooks import DELIVERY, bury, events_for, head, read_webhook
from trunx.domain.call import Event
from trunx.domain.log import EventType
from trunx.domain.webhook import (
    FAILING_MOST,
    REST,
    DeliveryStatus,
    Due,
    Outcome,
    Parcel,
    Turn,
    Webhook,
    next_wait,
)

CLAIM = timedelta(seconds=30)
"""How long an endpoint stays a process's own after its last turn; more than one request can take."""
_AT_ONCE = 1_000  # events that become deliveries in one turn

_WAITING = deliveries.c.status == DeliveryStatus.WAITING.value
_earlier = deliveries.alias()
_BLOCKED = (
    select(_earlier.c.seq)
    .where(
        _earlier.c.webhook == deliveries.c.webhook,
        _earlier.c.call == deliveries.c.call,
        _earlier.c.status == DeliveryStatus.WAITING.value,
        _earlier.c.seq < deliveries.c.seq,
        _earlier.c.next_at > bindparam("moment", type_=Moment),
    )
    .exists()
)
# Those that have something to do, and in a row without a name when the next one will have.
_DUE = union_all(
    select(webhooks.c.id, cast(null(), Moment).label("next_at"))
    .select_from(webhooks.join(event_heads, event_heads.c.account == webhooks.c.account, isouter=True))
    .where(
        webhooks.c.enabled,
        or_(
            webhooks.c.owner.is_(None),
            webhooks.c.owner == bindparam("owner"),
            webhooks.c.owned_until < bindparam("moment", type_=Moment),
        ),
        or_(event_heads.c.seq > webhooks.c.told, webhooks.c.due_at <= bindparam("moment", type_=Moment)),
    ),
    select(cast(null(), Name), func.min(webhooks.c.due_at)).where(
        webhooks.c.enabled, webhooks.c.due_at > bindparam("moment", type_=Moment)
    ),
)
_TRIED = (
    update(deliveries)
    .where(
        deliveries.c.webhook == bindparam("of"),
        deliveries.c.seq == bindparam("which"),
        deliveries.c.attempts == bindparam("before"),
        _WAITING,
    )
    .values(
        status=bindparam("status"),
        attempts=bindparam("before") + 1,
        next_at=bindparam("next_at", type_=Moment),
        tried_at=bindparam("tried_at", type_=Moment),
        answer=bindparam("answer"),
        problem=bindparam("problem"),
        ms=bindparam("ms"),
    )
)


class Outbox:
    """Fulfils the port of the same name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(self, owner: str) -> Due:
        async with self._database.reading() as connection:
            found = (await connection.execute(_DUE, {"owner": owner, "moment": now()})).all()
        ready = [row.id for row in found if row.id is not None]
        return Due(ready, next((row.next_at for row in found if row.id is None), None))

    async def turn(
        self,
        webhook_id: str,
        owner: str,
        settled: Sequence[tuple[Parcel, Outcome]],
        busy: Collection[int],
        most: int,
    ) -> Turn | None:
        async with self._database.writing() as connection:
            moment = now()
            query = select(webhooks).where(webhooks.c.id == webhook_id).with_for_update()
            row = (await connection.execute(query)).first()
            if row is None:
                return None
            if settled:
                await _settle(connection, webhook_id, settled)
            if not row.enabled or (row.owner not in (None, owner) and row.owned_until > moment):
                return None
            webhook = read_webhook(row)
            failing_since = _failing_since(webhook, settled)
            if settled and failing_since is not None and moment - failing_since > FAILING_MOST:
                await _disable(connection, webhook, failing_since)
                return None
            told = await self._tell(connection, webhook, row.told, moment)
            rests = failing_since is not None and bool(settled)
            room = (1 if failing_since is not None else most) - len(busy)
            parcels = [] if rests or room <= 0 else await _parcels(connection, webhook_id, busy, room, moment)
            claimed = bool(parcels or busy)
            due_at = moment + REST if rests else await _due_at(connection, webhook_id, moment, parcels)
            values = {
                "told": told,
                "failing_since": failing_since,
                "due_at": due_at,
                "owner": owner if claimed else None,
                "owned_until": moment + CLAIM if claimed else None,
            }
            await connection.execute(update(webhooks).where(webhooks.c.id == webhook_id).values(values))
            return Turn(webhook, parcels)

    async def _tell(self, connection: AsyncConnection, webhook: Webhook, told: int, moment: datetime) -> int:
        """Makes deliveries of the events after `told`; the last that was looked at."""
        last = min(await head(connection, webhook.account), told + _AT_ONCE)
        if last <= told:
            return told
        row = self._database.insert(deliveries).from_select(
            DELIVERY, events_for(webhook, told + 1, last, moment)
        )
        await connection.execute(row.on_conflict_do_nothing())
        return last


async def _settle(
    connection: AsyncConnection, webhook_id: str, settled: Sequence[tuple[Parcel, Outcome]]
) -> None:
    await connection.execute(_TRIED, [_tried(webhook_id, *one) for one in settled])


def _tried(webhook_id: str, parcel: Parcel, outcome: Outcome) -> dict[str, Any]:
    wait = None if outcome.is_taken else next_wait(parcel.attempts + 1, random.random())  # noqa: S311 - jitter
    return {
        "of": webhook_id,
        "which": parcel.seq,
        "before": parcel.attempts,
        "status": parcel.status_after(outcome).value,
        "next_at": None if wait is None else outcome.at + wait,
        "tried_at": outcome.at,
        "answer": outcome.answer,
        "problem": outcome.problem,
        "ms": outcome.ms,
    }


def _failing_since(webhook: Webhook, settled: Sequence[tuple[Parcel, Outcome]]) -> datetime | None:
    if any(outcome.is_taken for _, outcome in settled):
        return None
    return webhook.failing_since or min((outcome.at for _, outcome in settled), default=None)


async def _disable(connection: AsyncConnection, webhook: Webhook, since: datetime) -> None:
    because = f"nothing was delivered since {since:%Y-%m-%d %H:%M} UTC"
    values = {"enabled": False, "disabled_because": because, "due_at": None, "owner": None}
    await connection.execute(update(webhooks).where(webhooks.c.id == webhook.id).values(values))
    await bury(connection, webhook.id, "the webhook was disabled")
    told = {"webhook": webhook.id, "url": webhook.url, "reason": because}
    await append(connection, [Event(webhook.account, None, EventType.WEBHOOK_DISABLED, now(), told)])


async def _parcels(
    connection: AsyncConnection, webhook_id: str, busy: Collection[int], most: int, moment: datetime
) -> list[Parcel]:
    of_event = (events.c.account == webhooks.c.account) & (events.c.seq == deliveries.c.seq)
    query = (
        select(events, deliveries.c.attempts)
        .select_from(deliveries.join(webhooks, webhooks.c.id == deliveries.c.webhook).join(events, of_event))
        .where(deliveries.c.webhook == webhook_id, _WAITING, deliveries.c.next_at <= moment, ~_BLOCKED)
        .order_by(deliveries.c.seq)
        .limit(most + len(busy))
    )
    found = await connection.execute(query, {"moment": moment})
    return [_parcel(row) for row in found if row.seq not in busy][:most]


def _parcel(row: Row[Any]) -> Parcel:
    fields = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping
    attempts = fields.pop("attempts")
    return Parcel(read(fields), row.seq, attempts)


async def _due_at(
    connection: AsyncConnection, webhook_id: str, moment: datetime, parcels: Sequence[Parcel]
) -> datetime | None:
    if parcels:
        return moment  # there may be more, and these are not sent before it is known that they are
    query = select(func.min(deliveries.c.next_at)).where(
        deliveries.c.webhook == webhook_id, _WAITING, ~_BLOCKED
    )
    found: datetime | None = (await connection.execute(query, {"moment": moment})).scalar()
    return found
