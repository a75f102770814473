"""`trunx accounts`: what accounts may dial, for whoever may read the server's settings.

Not a part of the API: a stolen key must not be able to raise its own limits.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import time

from rich.table import Table

from trunx.adapters.store.account_limits import AccountLimits
from trunx.adapters.store.accounts import Accounts
from trunx.cli.terminal import StopError, opened, out, quiet, read_settings
from trunx.domain.gate import Hours, Limits
from trunx.domain.number import is_country
from trunx.domain.sip import is_listable
from trunx.settings import Settings

_ANY = "any"
_NONE = "none"


def limits(
    account: str | None,
    *,
    countries: str | None,
    hours: str | None,
    sip_uris: str | None,
    numbers: dict[str, int | None],
) -> None:
    """Changes the limits that are given, and shows all of them. `numbers`: by their names in `Limits` and
    `Capacity`; None leaves one as it is.
    """
    quiet()

    def change(kept: Limits) -> Limits:
        given = {name: number for name, number in numbers.items() if number is not None}
        attempts = given.pop("attempts_per_day", kept.attempts_per_day)
        try:
            capacity = replace(kept.capacity, **given)
        except ValueError as error:
            raise StopError(str(error), 2) from None
        return Limits(
            countries=kept.countries if countries is None else _countries(countries),
            attempts_per_day=attempts,
            hours=kept.hours if hours is None else _hours(hours),
            capacity=capacity,
            sip_uris=kept.sip_uris if sip_uris is None else _sip_uris(sip_uris),
        )

    _show(*asyncio.run(_changed(read_settings(), account, change)))


async def _changed(
    settings: Settings, account: str | None, change: Callable[[Limits], Limits]
) -> tuple[str, Limits]:
    async with opened(settings) as database:
        known = {one.id: one.name for one in await Accounts(database).list_accounts()}
        if account is None and len(known) == 1:
            (account,) = known
        if account is None or account not in known:
            names = ", ".join(f"{name} ({called})" for name, called in known.items()) or "none yet"
            raise StopError(f"name an account with --account; there are: {names}")
        store = AccountLimits(database)
        before = await store.get(account)
        after = change(before)
        if after != before:
            await store.put(account, after)
        return account, after


def _countries(written: str) -> frozenset[str] | None:
    if written == _ANY:
        return None
    countries = frozenset(part.strip().upper() for part in written.split(",") if part.strip())
    unknown = sorted(country for country in countries if not is_country(country))
    if unknown:
        raise StopError(f"--countries takes ISO 3166 codes by comma, or {_ANY}: {', '.join(unknown)}?", 2)
    return countries


def _hours(written: str) -> Hours | None:
    if written == _ANY:
        return None
    try:
        opens, closes = (time.fromisoformat(part.strip()) for part in written.split("-"))
        return Hours(opens, closes)
    except ValueError:
        raise StopError(f"--hours is like 08:00-21:00, or {_ANY}", 2) from None


def _sip_uris(written: str) -> frozenset[str]:
    if written == _NONE:
        return frozenset()
    uris = [part.strip() for part in written.split(",") if part.strip()]
    odd = [uri for uri in uris if not is_listable(uri)]
    if odd or not uris:
        raise StopError(f"--sip-uri takes sip:user@host or sip:*@host by comma, or {_NONE}: {odd}?", 2)
    return frozenset(uris)


def _show(account: str, limits: Limits) -> None:
    capacity, hours = limits.capacity, limits.hours
    table = Table("limit", f"of account {account}")
    for name, value in (
        (
            "countries",
            "those of its DIDs" if limits.countries is None else ", ".join(sorted(limits.countries)),
        ),
        ("attempts", f"{limits.attempts_per_day} for each number in 24 hours"),
        ("hours", "any" if hours is None else f"{hours.opens:%H:%M}-{hours.closes:%H:%M}, where it rings"),
        ("per second", str(capacity.per_second)),
        ("sip uris", ", ".join(sorted(limits.sip_uris)) or "none"),
        ("at once", f"{capacity.at_once}, of which {capacity.for_inbound} are kept for inbound calls"),
    ):
        table.add_row(name, value)
    out.print(table)
