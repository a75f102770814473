"""A DID's health: what it is made of, when it rests, and which DID is picked."""

import random
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunx.domain.health import (
    RESTED,
    TIRED,
    WARM_UP,
    WARM_UP_CALLS,
    Candidate,
    Counts,
    Standing,
    State,
    Use,
    allowance,
    assess,
    explain,
    health,
    pick,
)
from trunx.domain.presence import Nearness

NOW = datetime(2026, 3, 9, 15, 30, tzinfo=UTC)
TO = "+14155551234"
NEW, GOOD, BAD = Use(), Use(Counts(200, 80, 4, 4)), Use(Counts(200, 6, 5, 120, 1))
BETWEEN = Use(Counts(100, 10, 3, 30))


@st.composite
def counts(draw: st.DrawFn, most: int = 400) -> Counts:
    dialled = draw(st.integers(0, most))
    answered = draw(st.integers(0, dialled))
    return Counts(
        dialled,
        answered,
        draw(st.integers(0, answered)),
        draw(st.integers(0, dialled - answered)),
        draw(st.integers(0, answered)),
    )


USES = st.builds(Use, counts(), counts())
STANDINGS = st.builds(
    Standing,
    st.sampled_from(State),
    st.integers(0, 30 * 24).map(lambda hours: NOW - timedelta(hours=hours)),
    st.integers(0, 100),
)


def test_a_new_did_is_well_and_a_bad_one_is_not() -> None:
    assert (health(NEW), health(GOOD), health(BAD)) == (79, 95, 18)


def test_each_part_is_explained() -> None:
    parts = {part.name: part for part in explain(Use(Counts(80, 10, 5, 30, 2), Counts(80, 40)))}
    assert list(parts) == ["answered", "short", "failed", "suppressed", "trend"]
    assert [part.most for part in parts.values()] == [40, 20, 20, 10, 10]
    answered = parts["answered"]
    assert answered.share == pytest.approx((10 + 0.3 * 30) / (80 + 30))
    assert answered.points == pytest.approx(40 * answered.share / 0.4)
    assert answered.calls == 80
    assert parts["short"].share == pytest.approx((5 + 0.15 * 9) / (10 + 9))
    assert parts["failed"].share == pytest.approx((30 + 0.1 * 30) / (80 + 30))
    assert parts["suppressed"].share == pytest.approx((2 + 0.02 * 9) / (10 + 9))
    assert parts["trend"].share == pytest.approx(answered.share / ((40 + 0.3 * 30) / (80 + 30)))


@given(USES)
def test_the_parts_add_up(use: Use) -> None:
    parts = explain(use)
    assert all(0 <= part.points <= part.most for part in parts)
    assert sum(part.most for part in parts) == 100
    assert health(use) == round(sum(part.points for part in parts))
    assert 0 <= health(use) <= 100


@given(counts(20))
def test_twenty_calls_do_not_condemn(few: Counts) -> None:
    assert health(Use(few)) >= TIRED


@given(USES)
def test_worse_calls_are_never_better(use: Use) -> None:
    now = use.recent
    worse = []
    if now.answered > now.short:
        worse.append(now._replace(short=now.short + 1))
    if now.answered > now.suppressed:
        worse.append(now._replace(suppressed=now.suppressed + 1))
    if now.dialled - now.answered > now.failed:
        worse.append(now._replace(failed=now.failed + 1))
    worse.append(now._replace(dialled=now.dialled + 1, failed=now.failed + 1))
    for recent in worse:
        assert health(use._replace(recent=recent)) <= health(use)


def test_from_new_to_ready() -> None:
    standing = assess(None, NEW, NOW)
    assert standing == Standing(State.WARMING, NOW, 79)
    calls = [allowance(standing, NOW + timedelta(days=days)) for days in range(3)]
    assert calls == [WARM_UP_CALLS, 2 * WARM_UP_CALLS, 3 * WARM_UP_CALLS]
    assert assess(standing, GOOD, NOW + timedelta(days=13)).state is State.WARMING
    ready = assess(standing, GOOD, NOW + WARM_UP)
    assert ready == Standing(State.READY, NOW + WARM_UP, 95)
    assert allowance(ready, NOW + WARM_UP) is None


def test_a_tired_did_rests_and_begins_slowly_again() -> None:
    ready = Standing(State.READY, NOW - timedelta(days=90), 90)
    resting = assess(ready, BAD, NOW)
    assert resting == Standing(State.RESTING, NOW, 18)
    assert allowance(resting, NOW) == 0
    soon, later = NOW + timedelta(days=1), NOW + timedelta(days=2)
    assert assess(resting, NEW, soon).state is State.RESTING, "its rest is not over"
    assert assess(resting, BETWEEN, later).state is State.RESTING, "it is not well enough"
    assert assess(resting, NEW, later) == Standing(State.WARMING, later, 79)
    assert allowance(assess(resting, NEW, later), later) == WARM_UP_CALLS


@given(STANDINGS, st.lists(USES, max_size=8))
def test_between_the_two_marks_nothing_changes(standing: Standing, uses: list[Use]) -> None:
    for use in uses:
        became = assess(standing, use, NOW)
        assert became.health == health(use)
        if TIRED <= became.health < RESTED:
            assert State.RESTING not in {became.state, standing.state} or became.state is standing.state
        assert (became.state is standing.state) == (became.since == standing.since) or became.since == NOW
        standing = became


def candidate(did: str, value: int = 90, today: int = 0, state: State = State.READY) -> Candidate:
    return Candidate(did, Standing(state, NOW - timedelta(days=1), value), today)


def order(*candidates: Candidate) -> list[str]:
    return [choice.did for choice in pick(TO, candidates, NOW)]


NEAR, OVERLAY, STATE, FAR = "+14155550001", "+16285550001", "+19495550001", "+12125550001"


def test_of_those_as_well_the_nearest_calls() -> None:
    dids = [FAR, STATE, NEAR, OVERLAY, "+442079460000"]
    assert order(*map(candidate, dids)) == [NEAR, OVERLAY, STATE, FAR, "+442079460000"]


def test_health_counts_more_than_nearness_when_it_is_bad() -> None:
    assert order(candidate(NEAR, 45), candidate(STATE, 90)) == [STATE, NEAR]
    assert order(candidate(NEAR, 75), candidate(STATE, 90)) == [NEAR, STATE]


def test_of_equals_the_least_used_today_calls() -> None:
    second = "+14155550002"
    assert order(candidate(NEAR, 90, 7), candidate(second, 91, 6)) == [second, NEAR]
    assert order(candidate(NEAR, 97, 6), candidate(second, 91, 7)) == [NEAR, second]


def test_who_rests_or_has_used_up_the_day_comes_last() -> None:
    second, third = "+14155550002", "+14155550003"
    choices = pick(
        TO,
        [
            candidate(NEAR, 60, state=State.RESTING),
            candidate(second, 90, today=2 * WARM_UP_CALLS, state=State.WARMING),
            candidate(third, 90, today=2 * WARM_UP_CALLS - 1, state=State.WARMING),
            candidate(FAR, 50),
        ],
        NOW,
    )
    assert [(choice.did, choice.usable) for choice in choices] == [
        (third, True),
        (FAR, True),
        (second, False),
        (NEAR, False),
    ]
    assert choices[0][2:] == (120, 90, Nearness.AREA, 2 * WARM_UP_CALLS - 1)
    assert pick(TO, [], NOW) == []


CANDIDATES = st.lists(
    st.builds(
        Candidate,
        st.sampled_from([NEAR, OVERLAY, STATE, FAR]).flatmap(
            lambda did: st.integers(0, 9_999).map(lambda line: f"{did[:8]}{line:04}")
        ),
        STANDINGS,
        st.integers(0, 60),
    ),
    unique_by=lambda one: one.did,
    max_size=30,
)


@given(CANDIDATES, st.integers(1, 12), st.randoms(use_true_random=False))
def test_the_pick_is_the_start_of_one_order(
    candidates: list[Candidate], most: int, shuffled: random.Random
) -> None:
    every = pick(TO, candidates, NOW, most=100)
    assert sorted(choice.did for choice in every) == sorted(candidate.did for candidate in candidates)
    marks = [(not one.usable, -one.score, one.today, one.did) for one in every]
    assert marks == sorted(marks)
    shuffled.shuffle(candidates)
    assert pick(TO, candidates, NOW, most) == every[:most]


def test_ten_thousand_dids() -> None:
    """Milliseconds of this thread's work; what else runs on the machine does not count."""
    areas = random.Random(1)
    candidates = [
        candidate(
            f"+1{areas.choice(['415', '628', '212', '646', '713', '303'])}555{line:04}", line % 100, line % 50
        )
        for line in range(10_000)
    ]
    pick(TO, candidates, NOW)
    took = []
    for _ in range(20):
        begun = time.thread_time()
        pick(TO, candidates, NOW)
        took.append(time.thread_time() - begun)
    print(f"\npicked among 10,000 DIDs in {min(took) * 1_000:.1f} ms")
    assert min(took) < 0.05
