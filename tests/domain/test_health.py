"""A DID's health: what it is made of, when it rests, and which DID is picked."""

import random
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunx.domain.health import (
    NEWEST_CALLS,
    REST,
    RESTED,
    TIRED,
    WARM_UP,
    WARM_UP_CALLS,
    Board,
    Choice,
    Kept,
    Seen,
    Standing,
    State,
    Use,
    assess,
    explain,
    health,
    turned,
)
from trunx.domain.presence import Nearness

NOW = datetime(2026, 3, 9, 15, 30, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=90)
TO, DID = "+14155551234", "+14155550001"
UNUSED, GOOD, BAD = Use(), Use(60, 25, 1, 0, 0, 20, 9), Use(60, 3, 3, 35, 1, 20, 1)
BETWEEN = Use(60, 0, 0, 0, 0, 20, 0)


@st.composite
def uses(draw: st.DrawFn, most: int = 60) -> Use:
    calls = draw(st.integers(0, most))
    answered = draw(st.integers(0, calls))
    newest = min(calls, NEWEST_CALLS)
    return Use(
        calls,
        answered,
        short=draw(st.integers(0, answered)),
        rejected=draw(st.integers(0, calls - answered)),
        suppressed=draw(st.integers(0, answered)),
        newest=newest,
        newest_answered=draw(st.integers(max(0, answered - (calls - newest)), min(newest, answered))),
    )


def seen(use: Use = UNUSED, kept: Kept | None = None, registered_at: datetime = LONG_AGO) -> Seen:
    return Seen(DID, registered_at, kept, use, 0)


def test_a_did_without_calls_is_well_and_a_bad_one_is_not() -> None:
    assert (health(UNUSED), health(GOOD), health(BETWEEN), health(BAD)) == (82, 95, 58, 38)


def test_each_part_is_explained() -> None:
    parts = {part.name: part for part in explain(Use(50, 10, 5, 20, 2, 20, 2))}
    assert [(part.name, part.most) for part in parts.values()] == [
        ("answered", 50),
        ("short", 10),
        ("failed", 20),
        ("suppressed", 10),
        ("trend", 10),
    ]
    shares = {name: part.share for name, part in parts.items()}
    assert shares == pytest.approx(
        {
            "answered": (10 + 0.3 * 30) / (50 + 30),
            "short": (5 + 0.15 * 9) / (10 + 9),
            "failed": (20 + 0.05 * 30) / (50 + 30),
            "suppressed": (2 + 0.02 * 9) / (10 + 9),
            "trend": (2 + 9) / (20 + 30) / ((8 + 9) / (30 + 30)),
        }
    )
    points = {name: part.points for name, part in parts.items()}
    assert points == pytest.approx(
        {
            "answered": 50 * shares["answered"] / 0.4,
            "short": 10 * (1 - shares["short"] / 0.5),
            "failed": 20 * (1 - shares["failed"] / 0.5),
            "suppressed": 10 * (1 - shares["suppressed"] / 0.2),
            "trend": 10 * shares["trend"],
        }
    )
    assert parts["answered"].sentence == "10 of 50 calls were answered"


@given(uses())
def test_the_parts_add_up(use: Use) -> None:
    parts = explain(use)
    assert all(0 <= part.points <= part.most for part in parts)
    assert sum(part.most for part in parts) == 100
    assert health(use) == round(sum(part.points for part in parts))


@given(uses(20))
def test_twenty_calls_do_not_condemn(few: Use) -> None:
    assert health(few) >= TIRED


@given(uses())
def test_worse_calls_are_never_better(use: Use) -> None:
    worse = [use._replace(calls=use.calls + 1, rejected=use.rejected + 1, newest=use.newest + 1)]
    if use.answered > use.short:
        worse.append(use._replace(short=use.short + 1))
    if use.answered > use.suppressed:
        worse.append(use._replace(suppressed=use.suppressed + 1))
    if use.calls - use.answered > use.rejected:
        worse.append(use._replace(rejected=use.rejected + 1))
    assert all(health(one) <= health(use) for one in worse)


def test_a_new_did_warms_up() -> None:
    ages = [0, 1, 2, WARM_UP.days - 1, WARM_UP.days]
    stood = [assess(seen(registered_at=NOW - timedelta(days=age)), NOW) for age in ages]
    assert [one.enough for one in stood] == [20, 40, 60, 14 * WARM_UP_CALLS, None]
    assert [one.state for one in stood] == [State.WARMING] * 4 + [State.READY]
    assert stood[0] == Standing(State.WARMING, NOW, 82, WARM_UP_CALLS)


def test_a_tired_did_rests_and_begins_slowly_again() -> None:
    tired = assess(seen(BAD), NOW)
    assert tired == Standing(State.RESTING, NOW, 38, 0)
    kept = Kept(State.RESTING, NOW)
    later = NOW + REST
    assert assess(seen(GOOD, kept), later - timedelta(seconds=1)) == Standing(State.RESTING, NOW, 95, 0)
    assert assess(seen(BETWEEN, kept), later) == Standing(State.RESTING, NOW, 58, 0), "not well enough"
    assert assess(seen(BETWEEN), later).state is State.READY, "but well enough for one that does not rest"
    back = assess(seen(UNUSED, kept), later)
    assert back == Standing(State.WARMING, later, 82, WARM_UP_CALLS)
    kept = Kept(State.WARMING, later)
    assert assess(seen(GOOD, kept), later + timedelta(days=1)).enough == 2 * WARM_UP_CALLS
    assert assess(seen(GOOD, kept), later + WARM_UP).state is State.READY


def test_only_the_turns_are_remembered() -> None:
    resting, warming = Kept(State.RESTING, LONG_AGO), Kept(State.WARMING, LONG_AGO)
    turns = [
        (seen(GOOD), False),
        (seen(BAD), True),
        (seen(BAD, resting), False),
        (seen(GOOD, resting), True),
        (seen(GOOD, warming), False),
        (seen(BAD, warming), True),
    ]
    assert [turned(one, assess(one, NOW)) for one, _ in turns] == [turn for _, turn in turns]


@given(st.lists(st.tuples(uses(), st.integers(0, 72)), max_size=12))
def test_between_the_two_marks_nobody_turns(lately: list[tuple[Use, int]]) -> None:
    kept, now = None, NOW
    for use, hours in lately:
        now += timedelta(hours=hours)
        one = seen(use, kept)
        standing = assess(one, now)
        assert standing.health == health(use)
        if turned(one, standing):
            assert not TIRED <= standing.health < RESTED
            assert standing.since == now
            kept = Kept(standing.state, standing.since)


Marks = tuple[str, int, int, State]
NEAR, OVERLAY, STATE, FAR, ABROAD = (
    *("+14155550001", "+16285550001", "+19495550001", "+12125550001"),
    "+442079460000",
)


def dids(marks: Iterable[Marks]) -> Board:
    """DIDs with these numbers, healths, calls today, and states."""
    enough = {State.READY: None, State.WARMING: 40, State.RESTING: 0}
    return Board(
        (Seen(did, LONG_AGO, None, UNUSED, today), Standing(state, LONG_AGO, value, enough[state]))
        for did, value, today, state in marks
    )


def order(*marks: tuple[str, int, int]) -> list[str]:
    board = dids((*mark, State.READY) for mark in marks)
    return [choice.did for choice in board.pick(TO, 10)]


def test_of_those_as_well_the_nearest_calls() -> None:
    assert order(*((did, 90, 0) for did in (FAR, STATE, ABROAD, NEAR, OVERLAY))) == [
        *(NEAR, OVERLAY, STATE, FAR, ABROAD)
    ]


def test_health_counts_more_than_nearness_when_it_is_bad() -> None:
    assert order((NEAR, 55, 0), (STATE, 90, 0)) == [STATE, NEAR]
    assert order((NEAR, 75, 0), (STATE, 90, 0)) == [NEAR, STATE]


def test_of_equals_the_least_used_today_calls() -> None:
    second = "+14155550002"
    assert order((NEAR, 90, 7), (second, 91, 6)) == [second, NEAR]
    assert order((NEAR, 97, 6), (second, 91, 7)) == [NEAR, second]


def test_who_has_used_up_the_day_comes_late_and_who_rests_last() -> None:
    second, third = "+14155550002", "+14155550003"
    board = dids(
        [
            (NEAR, 60, 0, State.RESTING),
            (second, 90, 40, State.WARMING),
            (third, 90, 39, State.WARMING),
            (FAR, 50, 900, State.READY),
        ]
    )
    choices = board.pick(TO, 10)
    assert [(one.did, one.usable) for one in choices] == [
        (third, True),
        (FAR, True),
        (second, True),
        (NEAR, False),
    ]
    assert choices[0] == Choice(
        third, True, 120, Nearness.AREA, Standing(State.WARMING, LONG_AGO, 90, 40), 39
    )
    board.called(third)
    assert [one.did for one in board.pick(TO, 2)] == [FAR, second]
    assert dids([]).pick(TO, 10) == []


def test_calls_go_round() -> None:
    board = dids((f"+141555500{line:02}", 90, 0, State.READY) for line in range(10))
    made = []
    for _ in range(30):
        (best,) = board.pick(TO)
        board.called(best.did)
        made.append(best.did)
    assert [made.count(did) for did in set(made)] == [3] * 10


MARKS = st.lists(
    st.tuples(
        st.sampled_from([NEAR, OVERLAY, STATE, FAR]).flatmap(
            lambda did: st.integers(0, 9_999).map(lambda line: f"{did[:8]}{line:04}")
        ),
        st.integers(0, 100),
        st.integers(0, 60),
        st.sampled_from(State),
    ),
    unique_by=lambda one: one[0],
    max_size=30,
)


@given(MARKS, st.integers(1, 12), st.randoms(use_true_random=False), st.integers(0, 20))
def test_the_pick_is_the_start_of_one_order(
    marks: list[Marks], most: int, chance: random.Random, calls: int
) -> None:
    board = dids(marks)
    made = chance.choices(marks, k=calls) if marks else []
    for did, *_ in made:
        board.called(did)
    every = board.pick(TO, 100)
    assert sorted(choice.did for choice in every) == sorted(mark[0] for mark in marks)

    def rank(choice: Choice) -> tuple[bool, bool, int, int, str]:
        enough = choice.standing.enough
        return (
            not choice.usable,
            enough is not None and choice.today >= enough,
            *(-choice.score, choice.today, choice.did),
        )

    assert every == sorted(every, key=rank)
    assert sum(choice.today for choice in every) == sum(mark[2] for mark in marks) + len(made)
    assert board.pick(TO, most) == every[:most]


def test_ten_thousand_dids() -> None:
    """Milliseconds of this thread's work; what else runs on the machine does not count."""
    areas = random.Random(1)
    codes = [str(code) for code in range(201, 990)]
    board = dids(
        (f"+1{areas.choice(codes)}555{line:04}", line % 100, line % 50, State.READY) for line in range(10_000)
    )
    took = []
    for _ in range(20):
        begun = time.thread_time()
        board.called(board.pick(TO)[0].did)
        took.append(time.thread_time() - begun)
    print(f"\npicked among 10,000 DIDs in {min(took) * 1_000:.2f} ms")
    assert min(took) < 0.005
