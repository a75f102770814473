"""The gate: each rule says no for its own reason, and what is let through has passed them all."""

import json
import re
from dataclasses import asdict, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberType, timezone

from trunx.domain.gate import (
    ALLOWED,
    Capacity,
    Facts,
    Full,
    Hours,
    Limits,
    Question,
    countries,
    examine,
    judge,
)

NOON = datetime(2026, 3, 9, 19, 0, tzinfo=UTC)  # in Los Angeles
FROM, TO = "+14155559876", "+14155551234"
FINE = Facts(limits=Limits(), home=frozenset({"US"}), owns_from=True, suppressed=False, attempts=0)
RULES = ["suppression", "from", "number", "country", "attempts", "hours", "capacity"]


def ask(to: str = TO, at: datetime = NOON, **facts: Any) -> str:
    return judge(Question(FROM, to, at), replace(FINE, **facts)).code


def test_an_ordinary_call_is_allowed() -> None:
    verdict = judge(Question(FROM, TO, NOON), FINE)
    assert (verdict.allowed, verdict.rule, verdict.code) == (True, "all", ALLOWED)
    assert verdict.sentence == "+14155559876 may call +14155551234."


def test_every_rule_can_be_looked_at() -> None:
    assert [verdict.rule for verdict in examine(Question(FROM, TO, NOON), FINE)] == RULES


def test_suppression() -> None:
    verdict = judge(Question(FROM, TO, NOON), replace(FINE, suppressed=True))
    assert (verdict.allowed, verdict.rule, verdict.code) == (False, "suppression", "suppressed")
    assert verdict.inputs == {"to": TO, "suppressed": True}
    assert verdict.sentence == "+14155551234 asked not to be called."


class TestASipUri:
    URI = "sip:desk@pbx.example.com;transport=tcp"

    def judged(self, to: str = URI, **facts: Any) -> tuple[str, str]:
        limits = Limits(hours=Hours(), sip_uris=frozenset({"sip:*@pbx.example.com"}))
        midnight = datetime(2026, 3, 9, 7, 0, tzinfo=UTC)
        verdict = judge(Question(FROM, to, midnight), replace(FINE, limits=limits, **facts))
        return verdict.rule, verdict.code

    def test_is_allowed_by_the_list_alone(self) -> None:
        """It has neither a country nor an hour."""
        assert self.judged() == ("all", ALLOWED)
        assert self.judged(home=frozenset(), attempts=1_000) == ("all", ALLOWED)

    @pytest.mark.parametrize(
        "to", ["sip:desk@example.com", "sip:desk@pbx.example.com,60", "sip:*@pbx.example.com", "sip:"]
    )
    def test_is_refused_otherwise(self, to: str) -> None:
        assert self.judged(to) == ("sip-uri", "sip-uri-not-allowed")

    def test_shows_a_number_of_ours_and_takes_a_place(self) -> None:
        assert self.judged(owns_from=False) == ("from", "from-not-owned")
        assert self.judged(full=Full("account", "at_once", 5, 5, None)) == ("capacity", "too-many-calls")

    def test_nobody_is_allowed_any_unless_told(self) -> None:
        verdicts = examine(Question(FROM, self.URI, NOON), FINE)
        assert [verdict.rule for verdict in verdicts if not verdict.allowed] == ["sip-uri"]


def test_from_must_be_ours() -> None:
    verdict = judge(Question(FROM, TO, NOON), replace(FINE, owns_from=False))
    assert (verdict.rule, verdict.code) == ("from", "from-not-owned")


@pytest.mark.parametrize(
    ("to", "code"),
    [
        (TO, ALLOWED),
        ("+18005551234", ALLOWED),  # free for who calls
        ("+19005551234", "premium-number"),
        ("+12129761234", "premium-number"),
        ("+12125551212", "premium-number"),
        ("+15005551234", "premium-number"),
        ("+447012345678", "premium-number"),
        ("+449098790000", "premium-number"),
        ("+979123456789", "premium-number"),
        ("911", "emergency-number"),
        ("112", "emergency-number"),
        ("+1911", "emergency-number"),
        ("+44999", "emergency-number"),
        ("+49112", "emergency-number"),
        ("211", "short-number"),
        ("88888", "short-number"),
        ("+119", "short-number"),
        ("+19115551234", "number-invalid"),
        ("+15551234567", "number-invalid"),
        ("+999123456789", "number-invalid"),
        ("anonymous", "number-invalid"),
        ("", "number-invalid"),
        # Nothing but a number is dialled, whatever a parser makes of it.
        ("14155551234", "number-invalid"),
        ("+1 415 555 1234", "number-invalid"),
        ("+14155551234;ext=5", "number-invalid"),
        ("+14155551234&PJSIP/19005551234", "number-invalid"),
        ("+14155551234\n", "number-invalid"),
        ("+1415555CATS", "number-invalid"),
        ("+1\u0664\u0661\u06655551234", "number-invalid"),
        ("+442079460000", "country-not-allowed"),
        ("+18095551234", "country-not-allowed"),  # one of the Caribbean numbers that ring back dearly
        ("+881612345678", "country-not-allowed"),  # a satellite telephone
    ],
)
def test_destinations(to: str, code: str) -> None:
    assert ask(to) == code


def test_countries_are_those_of_the_dids_unless_they_are_named() -> None:
    assert countries(["+14155559876", "+14165551234", "+442079460000", "911"]) == {"US", "CA", "GB"}
    assert ask("+442079460000", home=frozenset({"US", "GB"})) == ALLOWED
    assert ask("+442079460000", limits=Limits(countries=frozenset({"GB"}))) == ALLOWED
    verdict = judge(Question(FROM, TO, NOON), replace(FINE, limits=Limits(countries=frozenset({"GB", "FR"}))))
    assert verdict.code == "country-not-allowed"
    assert verdict.inputs == {"country": "US", "allowed": ["FR", "GB"]}
    assert ask(home=frozenset()) == "country-not-allowed"


def test_attempts_of_a_day() -> None:
    three = Limits(attempts_per_day=3)
    assert ask(limits=three, attempts=2) == ALLOWED
    verdict = judge(Question(FROM, TO, NOON), replace(FINE, limits=three, attempts=3))
    assert (verdict.rule, verdict.code) == ("attempts", "too-many-attempts")
    assert verdict.inputs == {"to": TO, "attempts": 3, "most": 3}


HOURS = Limits(hours=Hours())


@pytest.mark.parametrize(
    ("to", "local", "zone", "allowed"),
    [
        (TO, "08:00", "America/Los_Angeles", True),
        (TO, "07:59", "America/Los_Angeles", False),
        (TO, "20:59", "America/Los_Angeles", True),
        (TO, "21:00", "America/Los_Angeles", False),
        # Half past eight in New York is half past five in California; the other way round it is night.
        ("+12125551234", "20:30", "America/New_York", True),
        ("+12125551234", "20:30", "America/Los_Angeles", False),
        # An area of two zones (Florida's west): it must be day in both.
        ("+18505551234", "20:30", "America/Chicago", False),
        ("+18505551234", "08:30", "America/New_York", False),
        ("+18505551234", "12:00", "America/New_York", True),
        ("+34612345678", "08:30", "Europe/Madrid", False),  # and half past seven on the Canaries
        ("+34612345678", "09:00", "Europe/Madrid", True),
        # A free number may ring anywhere from Guam to Newfoundland.
        ("+18005551234", "12:00", "America/New_York", False),
    ],
)
def test_hours_are_the_callee_s(to: str, local: str, zone: str, allowed: bool) -> None:
    at = datetime.combine(NOON.date(), time.fromisoformat(local), ZoneInfo(zone))
    home = frozenset({"US", "ES"})
    assert ask(to, at, home=home) == ALLOWED, "they are off unless they are asked for"
    assert ask(to, at, home=home, limits=HOURS) == (ALLOWED if allowed else "outside-hours")


def test_hours_follow_the_clocks_that_are_put_forward() -> None:
    """Los Angeles, 8 March 2026: 15:30 UTC is half past eight there, and half past seven the day before."""
    assert ask(at=datetime(2026, 3, 8, 15, 30, tzinfo=UTC), limits=HOURS) == ALLOWED
    assert ask(at=datetime(2026, 3, 7, 15, 30, tzinfo=UTC), limits=HOURS) == "outside-hours"


def test_where_the_time_is_not_known_nobody_is_called() -> None:
    limits = Limits(countries=frozenset({"001"}), hours=Hours())
    assert ask("+881612345678", limits=replace(limits, hours=None)) == ALLOWED
    assert ask("+881612345678", limits=limits) == "outside-hours"


def test_the_verdict_tells_the_time() -> None:
    at = datetime(2026, 3, 9, 10, 5, tzinfo=UTC)
    verdict = judge(Question(FROM, TO, at), replace(FINE, limits=HOURS))
    assert verdict.inputs == {"opens": "08:00", "closes": "21:00", "times": {"America/Los_Angeles": "03:05"}}
    assert verdict.sentence.startswith("It is 03:05 in America/Los_Angeles, ")


def test_capacity() -> None:
    full = Full("trunk", "per_second", 10, 10, 0.25)
    verdict = judge(Question(FROM, TO, NOON), replace(FINE, full=full))
    assert (verdict.rule, verdict.code, verdict.retry_after) == (
        "capacity",
        "too-many-calls-per-second",
        0.25,
    )
    assert verdict.inputs == {"scope": "trunk", "limit": "per_second", "used": 10, "most": 10}
    assert ask(full=Full("account", "at_once", 40, 40, None)) == "too-many-calls"


@pytest.mark.parametrize("capacity", [(0, 1, 0), (1, 0, 0), (1, 5, 5), (1, 5, -1)])
def test_capacities_that_make_no_sense(capacity: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="capacity"):
        Capacity(*capacity)


def test_hours_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="open before"):
        Hours(time(21), time(8))


FULL = st.builds(
    Full,
    st.sampled_from(["account", "trunk"]),
    st.sampled_from(["per_second", "at_once"]),
    st.integers(0, 99),
    st.integers(1, 99),
    st.none() | st.floats(0, 1),
)
PLACES = st.frozensets(st.sampled_from(["US", "CA", "GB", "DE", "JP", "001"]))
LIMITS = st.builds(Limits, st.none() | PLACES, st.integers(0, 3), st.none() | st.just(Hours()))
FACTS = st.builds(
    Facts, LIMITS, PLACES, st.booleans(), st.booleans(), st.integers(0, 3), st.none() | st.none() | FULL
)
MOMENTS = st.integers(0, 365 * 24 * 60).map(lambda minutes: NOON + timedelta(minutes=minutes))
NUMBERS = st.one_of(
    st.integers(2_000_000_000, 9_999_999_999).map("+1{}".format),
    st.from_regex(r"\+(44|49|81|881)[1-9][0-9]{5,9}", fullmatch=True),
    st.sampled_from([TO, "+442079460000", "+4930123456", "+81312345678", "+18005551234"]),
    st.from_regex(r"\+?[0-9]{0,7}", fullmatch=True),
    st.text(max_size=20),
)


@given(NUMBERS, MOMENTS, FACTS)
def test_what_is_let_through_breaks_no_rule(to: str, at: datetime, facts: Facts) -> None:
    question = Question(FROM, to, at)
    verdict, every = judge(question, facts), examine(question, facts)
    assert [one.rule for one in every] == RULES
    refusals = [one for one in every if not one.allowed]
    assert verdict.allowed == (not refusals)
    assert verdict.allowed == (verdict.code == ALLOWED)
    if refusals:
        assert verdict == refusals[0]
        return
    assert facts.owns_from
    assert not facts.suppressed
    assert facts.attempts < facts.limits.attempts_per_day
    assert facts.full is None
    assert re.fullmatch(r"\+[1-9][0-9]{6,14}", to, re.ASCII)
    number = phonenumbers.parse(to)
    assert phonenumbers.is_valid_number(number)
    assert phonenumbers.number_type(number) != PhoneNumberType.PREMIUM_RATE
    allowed = facts.home if facts.limits.countries is None else facts.limits.countries
    assert phonenumbers.region_code_for_number(number) in allowed
    if facts.limits.hours is not None:
        for zone in timezone.time_zones_for_number(number):
            assert 8 <= at.astimezone(ZoneInfo(zone)).hour < 21


@given(NUMBERS, MOMENTS, FACTS)
def test_verdicts_are_json_with_a_sentence(to: str, at: datetime, facts: Facts) -> None:
    for verdict in (judge(Question(FROM, to, at), facts), *examine(Question(FROM, to, at), facts)):
        assert json.loads(json.dumps(asdict(verdict))) == asdict(verdict)
        assert verdict.sentence.endswith(".")


@given(NUMBERS, MOMENTS, FACTS)
def test_to_know_more_against_a_call_never_allows_it(to: str, at: datetime, facts: Facts) -> None:
    if not judge(Question(FROM, to, at), facts).allowed:
        worse = [
            replace(facts, suppressed=True),
            replace(facts, owns_from=False),
            replace(facts, attempts=facts.attempts + 1),
            replace(facts, limits=replace(facts.limits, hours=Hours())),
            replace(facts, limits=replace(facts.limits, countries=frozenset())),
        ]
        assert not any(judge(Question(FROM, to, at), one).allowed for one in worse)


def test_every_zone_of_the_numbers_has_a_clock_here() -> None:
    """Python takes them from the operating system, or from the package tzdata."""
    numbers = [phonenumbers.example_number(region) for region in phonenumbers.SUPPORTED_REGIONS]
    zones = {zone for number in numbers if number for zone in timezone.time_zones_for_number(number)}
    assert len(zones) > 150
    for zone in zones - {"Etc/Unknown"}:
        assert ZoneInfo(zone).utcoffset(NOON) is not None
