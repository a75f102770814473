"""Whether a number may be dialled: every rule there is, in the order in which they are asked.

Pure: who asks has gathered the facts, so that the same answer can be given at the request, again right before
the dialling, and without a call at all. What is not known to be allowed is refused.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberType, shortnumberinfo, timezone
from phonenumbers.tzdata import TIMEZONE_DATA

from trunx.domain.sip import is_listed, is_sip_uri

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_SHORT = re.compile(r"\+?[0-9]{1,6}")

ALLOWED = "allowed"
"""The code of a verdict that lets the call through."""


@dataclass(frozen=True, slots=True)
class Hours:
    """Local times of a day between which a telephone may ring, `closes` not included.

    The default is what United States law has for sales calls (47 CFR 64.1200(c)(1)).
    """

    opens: time = time(8)
    closes: time = time(21)

    def __post_init__(self) -> None:
        if self.opens >= self.closes:
            raise ValueError("hours open before they close")


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many calls an account, or a trunk, carries.

    `per_second`: dialled in any second; `at_once`: outbound and inbound together. The last `for_inbound` of
    these are not for us to dial with. Inbound calls count and are never refused.
    """

    per_second: int
    at_once: int
    for_inbound: int = 0

    def __post_init__(self) -> None:
        if self.per_second < 1 or not 0 <= self.for_inbound < self.at_once:
            raise ValueError("a capacity lets at least one call a second, and one at once, be dialled")


@dataclass(frozen=True, slots=True)
class Limits:
    """What an account may do. `countries`: ISO 3166 alpha-2; None: those of its DIDs. `hours`: None: any.

    `sip_uris`: whom it may call by SIP (`sip:user@host`, `sip:*@host`); those are not asked for the rest.
    """

    countries: frozenset[str] | None = None
    attempts_per_day: int = 10
    hours: Hours | None = None
    capacity: Capacity = Capacity(per_second=5, at_once=50, for_inbound=10)
    sip_uris: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Question:
    """May `from_number` (E.164) call `to_number` (E.164, or a SIP URI) at `at` (with its zone)?"""

    from_number: str
    to_number: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Full:
    """A lease that was not to be had. `scope` is `account` or `trunk`, `limit` is `per_second` or `at_once`.

    `used` of `most` are taken; `retry_after` is in seconds, None where it depends on calls that end.
    """

    scope: str
    limit: str
    used: int
    most: int
    retry_after: float | None


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules ask for.

    `home`: the countries of the account's DIDs (`countries`); `attempts`: how often the account has dialled
    the number in the 24 hours before, this call not counted; `full`: what the leases said.
    """

    limits: Limits
    home: frozenset[str]
    owns_from: bool
    suppressed: bool
    attempts: int
    full: Full | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule says. `code` is stable (`allowed` or why not); `inputs` is JSON: what it looked at."""

    allowed: bool
    rule: str
    code: str
    sentence: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    retry_after: float | None = None


class _Destination(NamedTuple):
    """`country` is None and `kind` UNKNOWN when nobody can have the number; `001` is no country's network."""

    country: str | None
    kind: int
    zones: tuple[str, ...]


# Whoever is called there is paid for it: 070 in the United Kingdom (personal) and 076 (pagers) too.
_COSTLY = (
    PhoneNumberType.PREMIUM_RATE,
    PhoneNumberType.SHARED_COST,
    PhoneNumberType.PERSONAL_NUMBER,
    PhoneNumberType.PAGER,
)


def judge(question: Question, facts: Facts) -> Verdict:
    """The first rule's verdict that refuses, else one that allows."""
    for rule in _rules(question):
        verdict = rule(question, facts)
        if not verdict.allowed:
            return verdict
    return Verdict(True, "all", ALLOWED, f"{question.from_number} may call {question.to_number}.")


def examine(question: Question, facts: Facts) -> list[Verdict]:
    """Every rule's verdict, in their order."""
    return [rule(question, facts) for rule in _rules(question)]


def countries(numbers: Iterable[str]) -> frozenset[str]:
    """Where `numbers` (E.164) are at home, for `Facts.home`. 50 us a number, nothing the second time."""
    return frozenset(country for number in numbers if (country := _destination(number).country) is not None)


def _suppression(question: Question, facts: Facts) -> Verdict:
    inputs = {"to": question.to_number, "suppressed": facts.suppressed}
    if facts.suppressed:
        return _no("suppression", "suppressed", f"{question.to_number} asked not to be called.", inputs)
    return _yes("suppression", f"{question.to_number} is not on the suppression list.", inputs)


def _from(question: Question, facts: Facts) -> Verdict:
    inputs = {"from": question.from_number, "owned": facts.owns_from}
    if not facts.owns_from:
        return _no("from", "from-not-owned", f"{question.from_number} is not a DID of this account.", inputs)
    return _yes("from", f"{question.from_number} is a DID of this account.", inputs)


def _number(question: Question, facts: Facts) -> Verdict:
    number = question.to_number
    kind = _destination(number).kind
    inputs = {"to": number, "type": PhoneNumberType.to_string(kind).lower().replace("_", "-")}
    if kind in _COSTLY or _is_costly_in_north_america(number):
        return _no("number", "premium-number", f"Who calls {number} pays for more than the call.", inputs)
    if kind != PhoneNumberType.UNKNOWN:
        return _yes("number", f"{number} is an ordinary number.", inputs)
    if _is_emergency(number, facts.home):
        return _no("number", "emergency-number", f"{number} reaches an emergency service.", inputs)
    if _SHORT.fullmatch(number):
        return _no("number", "short-number", f"{number} is a short number, not one of a subscriber.", inputs)
    return _no("number", "number-invalid", f"No numbering plan has {number}.", inputs)


def _sip_uri(question: Question, facts: Facts) -> Verdict:
    uri = question.to_number
    inputs = {"to": uri, "listed": sorted(facts.limits.sip_uris)}
    if not is_sip_uri(uri) or not is_listed(uri, facts.limits.sip_uris):
        return _no("sip-uri", "sip-uri-not-allowed", f"{uri} is not on this account's list.", inputs)
    return _yes("sip-uri", f"This account may call {uri}.", inputs)


def _country(question: Question, facts: Facts) -> Verdict:
    allowed = facts.home if facts.limits.countries is None else facts.limits.countries
    country = _destination(question.to_number).country
    inputs = {"country": country, "allowed": sorted(allowed)}
    if country not in allowed:
        place = f"{country} is" if country else "Where it is, is"
        sentence = f"{place} not among the countries that this account may call."
        return _no("country", "country-not-allowed", sentence, inputs)
    return _yes("country", f"This account may call {country}.", inputs)


def _attempts(question: Question, facts: Facts) -> Verdict:
    most = facts.limits.attempts_per_day
    inputs = {"to": question.to_number, "attempts": facts.attempts, "most": most}
    said = f"{question.to_number} was called {facts.attempts} times in 24 hours, {most} are allowed."
    if facts.attempts >= most:
        return _no("attempts", "too-many-attempts", said, inputs)
    return _yes("attempts", said, inputs)


def _hours(question: Question, facts: Facts) -> Verdict:
    hours = facts.limits.hours
    if hours is None:
        return _yes("hours", "This account may call at any hour.", {})
    window = {"opens": hours.opens.isoformat("minutes"), "closes": hours.closes.isoformat("minutes")}
    zones = _zones(question.to_number)
    times = {zone.key: question.at.astimezone(zone).time() for zone in zones}
    told = {zone: local.isoformat("minutes") for zone, local in times.items()}
    if not zones:
        sentence = f"Nobody can say what time it is where {question.to_number} rings."
        return _no("hours", "outside-hours", sentence, {**window, "times": told})
    closed = [zone for zone, local in times.items() if not hours.opens <= local < hours.closes]
    if closed:
        sentence = (
            f"It is {told[closed[0]]} in {closed[0]}, where {question.to_number} may ring; calls are made "
        )
        sentence += f"from {window['opens']} to {window['closes']}."
        return _no("hours", "outside-hours", sentence, {**window, "times": {z: told[z] for z in closed}})
    return _yes(
        "hours",
        f"Where {question.to_number} may ring, it is neither early nor late.",
        {**window, "times": told},
    )


def _capacity(_question: Question, facts: Facts) -> Verdict:
    full = facts.full
    if full is None:
        return _yes("capacity", "There is room for one more call.", {})
    inputs = {"scope": full.scope, "limit": full.limit, "used": full.used, "most": full.most}
    if full.limit == "per_second":
        code, what = "too-many-calls-per-second", "calls in this second"
    else:
        code, what = "too-many-calls", "calls at once"
    sentence = f"The {full.scope} has {full.used} {what}, and may not dial with {full.most} or more."
    return _no("capacity", code, sentence, inputs, full.retry_after)


_Rules = tuple[Callable[[Question, Facts], Verdict], ...]

_OF_NUMBERS: _Rules = (
    _suppression,
    _from,
    _number,
    _country,
    _attempts,
    _hours,
    _capacity,  # last: who is refused by another rule takes nobody's place
)

# Who is called by SIP has no number to ask the others about; the operator has named each.
_OF_SIP_URIS: _Rules = (_from, _sip_uri, _capacity)


def _rules(question: Question) -> _Rules:
    return _OF_SIP_URIS if question.to_number.startswith("sip:") else _OF_NUMBERS


def _yes(rule: str, sentence: str, inputs: Mapping[str, Any]) -> Verdict:
    return Verdict(True, rule, ALLOWED, sentence, inputs)


def _no(
    rule: str, code: str, sentence: str, inputs: Mapping[str, Any], retry_after: float | None = None
) -> Verdict:
    return Verdict(False, rule, code, sentence, inputs, retry_after)


@lru_cache(maxsize=65_536)
def _destination(number: str) -> _Destination:
    # What the library would understand is not what would be dialled: spaces, letters, `;ext=`, other digits.
    parsed = _parsed(number) if _E164.fullmatch(number) else None
    if parsed is None:
        return _Destination(None, PhoneNumberType.UNKNOWN, ())
    zones = _zones_of_areas().get(number[1:5]) or timezone.time_zones_for_number(parsed)
    return _Destination(
        phonenumbers.region_code_for_number(parsed), phonenumbers.number_type(parsed), tuple(zones)
    )


@lru_cache(maxsize=1)
def _zones_of_areas() -> Mapping[str, Iterable[str]]:
    """All zones of each North American area (`1850`: two of Florida). Its exchanges have one each, but a
    number may have been ported, and most are of mobile telephones.
    """
    areas: dict[str, set[str]] = {}
    for prefix, zones in TIMEZONE_DATA.items():
        if len(prefix) >= 4 and prefix.startswith("1"):
            areas.setdefault(prefix[:4], set()).update(zones)
    return {area: sorted(zones) for area, zones in areas.items()}


def _parsed(number: str) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(number, None)
    except phonenumbers.NumberParseException:
        return None


def _zones(number: str) -> list[ZoneInfo]:
    """All zones the number may be in; none as soon as one of them is not known here."""
    try:
        return [ZoneInfo(zone) for zone in _destination(number).zones]
    except (ZoneInfoNotFoundError, ValueError):  # Etc/Unknown, where a number has no place
        return []


def _is_emergency(number: str, home: frozenset[str]) -> bool:
    """Whether `number`, which nobody has, reaches help: as it is, or with a country code before it."""
    if any(shortnumberinfo.connects_to_emergency_number(number, region) for region in home):
        return True
    parsed = _parsed(number) if number.startswith("+") else None
    return parsed is not None and any(
        shortnumberinfo.is_emergency_number(str(parsed.national_number), region)
        for region in phonenumbers.region_codes_for_country_code(parsed.country_code or 0)
    )


def _is_costly_in_north_america(number: str) -> bool:
    """The exchange 976 of any area is for paid lines, and 555-1212 is directory assistance (NANPA)."""
    return len(number) == 12 and number.startswith("+1") and (number[5:8] == "976" or number[5:] == "5551212")
