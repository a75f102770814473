"""What each account may dial, kept as JSON that names only what was set: the rest is what everybody may."""

import json
from datetime import time
from typing import Any

from sqlalchemy import select

from trunx.adapters.store.database import Database
from trunx.adapters.store.tables import account_limits
from trunx.domain.gate import Capacity, Hours, Limits


class AccountLimits:
    """The limits of all accounts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, account: str) -> Limits:
        """An account's limits; everybody's where none were set."""
        query = select(account_limits.c.limits).where(account_limits.c.account == account)
        async with self._database.reading() as connection:
            return read_limits((await connection.execute(query)).scalar_one_or_none())

    async def put(self, account: str, limits: Limits) -> None:
        """Sets all of an account's limits."""
        row = self._database.insert(account_limits).values(
            account=account, limits=json.dumps(_written(limits))
        )
        async with self._database.writing() as connection:
            await connection.execute(
                row.on_conflict_do_update(
                    index_elements=[account_limits.c.account], set_={"limits": row.excluded.limits}
                )
            )


def read_limits(kept: str | None) -> Limits:
    """Of an account's row, if it has one."""
    return Limits() if kept is None else _read(json.loads(kept))


def _written(limits: Limits) -> dict[str, Any]:
    hours = limits.hours
    return {
        "countries": None if limits.countries is None else sorted(limits.countries),
        "attempts_per_day": limits.attempts_per_day,
        "hours": None if hours is None else [hours.opens.isoformat(), hours.closes.isoformat()],
        "per_second": limits.capacity.per_second,
        "at_once": limits.capacity.at_once,
        "for_inbound": limits.capacity.for_inbound,
        "sip_uris": sorted(limits.sip_uris),
    }


def _read(kept: dict[str, Any]) -> Limits:
    usual = Limits()
    hours, allowed = kept.get("hours"), kept.get("countries")
    return Limits(
        countries=None if allowed is None else frozenset(allowed),
        attempts_per_day=kept.get("attempts_per_day", usual.attempts_per_day),
        hours=None if hours is None else Hours(*(time.fromisoformat(one) for one in hours)),
        capacity=Capacity(
            per_second=kept.get("per_second", usual.capacity.per_second),
            at_once=kept.get("at_once", usual.capacity.at_once),
            for_inbound=kept.get("for_inbound", usual.capacity.for_inbound),
        ),
        sip_uris=frozenset(kept.get("sip_uris", ())),
    )
