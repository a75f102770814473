"""A call's states: the same facts end in the same call, in whatever order they are told."""

from datetime import UTC, datetime, timedelta
from functools import reduce
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunx.domain.call import Call, EndReason, Status
from trunx.domain.progress import (
    Answered,
    Blocked,
    Canceled,
    DialFailed,
    Ended,
    Fact,
    Lost,
    Ringing,
    advance,
    cause,
)

START = datetime(2026, 3, 9, 15, 30, tzinfo=UTC)
MOVES = {"status", "ringing_at", "answered_at", "ended_at", "end_reason", "q850_cause", "sip_cause"}
FORWARD = [Status.INITIATED, Status.RINGING, Status.ANSWERED, Status.FAILED, Status.COMPLETED]


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def new(direction: str = "outbound") -> Call:
    return Call(
        id="a1b2c3d4-e5f6-7890-abcd-ef1234567890",
        call_id="CAa1b2c3d4e5f67890abcdef1234567890",
        account="MA1",
        direction=direction,
        from_number="+14155559876",
        to_number="+14155551234",
        status=Status.INITIATED,
        created_at=START,
    )


def after(call: Call, *facts: Fact) -> Call:
    return reduce(lambda known, fact: advance(known, fact) or known, facts, call)


TIMES = st.integers(-5, 60).map(at)
CAUSES = st.none() | st.integers(0, 127)
ANSWERS = st.none() | st.sampled_from([200, 302, 400, 404, 408, 480, 486, 487, 499, 503, 504, 603])
TOLD = st.sampled_from(EndReason)
FACTS = st.one_of(
    st.builds(Ringing, TIMES),
    st.builds(Answered, TIMES),
    st.builds(Ended, TIMES, CAUSES, ANSWERS, st.none() | TOLD),
    st.builds(DialFailed, TIMES, TOLD),
    st.builds(Canceled, TIMES),
    st.builds(Blocked, TIMES),
    st.builds(Lost, TIMES),
)
DIRECTIONS = st.sampled_from(["inbound", "outbound"])


@given(DIRECTIONS, st.lists(FACTS, max_size=7), st.data())
def test_any_order_ends_in_the_same_call(direction: str, facts: list[Fact], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(facts))
    in_order = sorted(facts, key=lambda fact: fact.at)
    assert after(new(direction), *shuffled) == after(new(direction), *in_order)


@given(DIRECTIONS, st.lists(FACTS, max_size=7), st.data())
def test_a_fact_told_again_is_no_news(direction: str, facts: list[Fact], data: st.DataObject) -> None:
    call = after(new(direction), *facts)
    for fact in facts:
        assert advance(call, fact) is None
    again = data.draw(st.lists(st.sampled_from(facts))) if facts else []
    assert after(new(direction), *facts, *again) == call


@given(DIRECTIONS, st.lists(FACTS, max_size=8))
def test_it_only_moves_forward_and_all_that_it_shows_agrees(direction: str, facts: list[Fact]) -> None:
    call = new(direction)
    for fact in facts:
        moved = advance(call, fact) or call
        assert FORWARD.index(moved.status) >= FORWARD.index(call.status)
        over = moved.status in (Status.FAILED, Status.COMPLETED)
        assert over == (moved.ended_at is not None) == (moved.end_reason is not None)
        if moved.status in (Status.ANSWERED, Status.COMPLETED):
            assert moved.answered_at is not None
        times = [moved.created_at, moved.ringing_at, moved.answered_at, moved.ended_at]
        known = [time for time in times if time is not None]
        assert known == sorted(known)
        assert {field for field, value in moved._asdict().items() if value != getattr(call, field)} <= MOVES
        call = moved


@pytest.mark.parametrize(
    ("facts", "status", "reason"),
    [
        ([], "initiated", None),
        ([Ringing(at(1))], "ringing", None),
        ([Ringing(at(1)), Answered(at(5))], "answered", None),
        ([Answered(at(5))], "answered", None),
        ([Ringing(at(1)), Answered(at(5)), Ended(at(9), 16)], "completed", "hangup-callee"),
        ([Ringing(at(1)), Answered(at(5)), Canceled(at(9)), Ended(at(9), 16)], "completed", "hangup-caller"),
        (
            [Answered(at(5)), Ended(at(65), 16), Ended(at(65), reason=EndReason.MAX_DURATION)],
            "completed",
            "max-duration",
        ),
        ([Answered(at(5)), Ended(at(9), reason=EndReason.HANGUP), Ended(at(9), 16)], "completed", "hangup"),
        ([Ended(at(2), 17, 486)], "failed", "busy"),
        ([Ringing(at(1)), Ended(at(2), 21, 603)], "failed", "rejected"),
        ([DialFailed(at(2), EndReason.BUSY), Ended(at(2), 0)], "failed", "busy"),
        ([Ended(at(1), 34, 503)], "failed", "unreachable"),
        ([DialFailed(at(0), EndReason.UNREACHABLE)], "failed", "unreachable"),
        ([Ringing(at(1)), Ended(at(40), 19, 480)], "failed", "no-answer"),
        # Our own limit of the ringing: Asterisk says no more than that the time is up.
        ([Ringing(at(1)), Ended(at(60), 0), DialFailed(at(60), EndReason.TIMEOUT)], "failed", "no-answer"),
        ([Ended(at(60), 0), DialFailed(at(60), EndReason.TIMEOUT)], "failed", "timeout"),
        ([Ended(at(32), 18, 408)], "failed", "timeout"),
        ([Ringing(at(1)), Canceled(at(4)), Ended(at(4.1), 127, 487)], "failed", "canceled"),
        ([Canceled(at(4))], "failed", "canceled"),
        ([Blocked(at(0))], "failed", "blocked"),
        ([Lost(at(40))], "failed", "lost"),
        ([Answered(at(5)), Lost(at(40))], "completed", "lost"),
        # Found to be gone, and its end is told after all.
        ([Answered(at(5)), Lost(at(40)), Ended(at(9), 16)], "completed", "hangup-callee"),
        # The end overtook the answer.
        ([Ended(at(9), 16), Answered(at(5))], "completed", "hangup-callee"),
    ],
)
def test_outbound_calls(facts: list[Fact], status: str, reason: str | None) -> None:
    call = after(new(), *facts)
    assert (call.status, call.end_reason) == (status, reason)


@pytest.mark.parametrize(
    ("facts", "status", "reason"),
    [
        ([Ended(at(1), 16)], "failed", "hangup-caller"),
        ([Answered(at(1)), Ended(at(9), 16)], "completed", "hangup-caller"),
        # Our session ended early, and the caller went on elsewhere.
        ([Answered(at(1)), Ended(at(30), 16), Ended(at(30), 16)], "completed", "hangup-caller"),
        ([Answered(at(1)), Ended(at(9), 16), Ended(at(9), reason=EndReason.ERROR)], "completed", "error"),
        (
            [Answered(at(1)), Ended(at(9), reason=EndReason.SUPPRESSED), Ended(at(9), 16)],
            "completed",
            "suppressed",
        ),
        ([Answered(at(1)), Canceled(at(9)), Ended(at(9), 16)], "completed", "hangup-callee"),
        ([Answered(at(1)), Lost(at(9))], "completed", "lost"),
    ],
)
def test_inbound_calls(facts: list[Fact], status: str, reason: str) -> None:
    call = after(new("inbound"), *facts)
    assert (call.status, call.end_reason) == (status, reason)


def test_the_times_and_causes_are_kept() -> None:
    call = after(new(), Ended(at(50), 16, 200), Ringing(at(2)), Ringing(at(3)), Answered(at(5)), Lost(at(90)))
    assert (call.ringing_at, call.answered_at, call.ended_at) == (at(2), at(5), at(50))
    assert (call.q850_cause, call.sip_cause) == (16, 200)


def test_an_answer_in_the_moment_of_the_cancelling() -> None:
    call = after(new(), Canceled(at(4)), Answered(at(4.02)), Ended(at(4.1), 16))
    assert (call.status, call.end_reason) == (Status.COMPLETED, EndReason.HANGUP_CALLER)
    assert call.answered_at == call.ended_at == at(4)


@pytest.mark.parametrize(
    "facts", [*permutations([Answered(at(5)), Ended(at(9), reason=EndReason.TRANSFERRED), Canceled(at(9))])]
)
def test_a_transfer_in_the_moment_of_the_cancelling(facts: tuple[Fact, ...]) -> None:
    assert after(new(), *facts).end_reason == EndReason.TRANSFERRED


@pytest.mark.parametrize(
    ("q850", "sip", "reason"),
    [
        (17, None, "busy"),
        (19, None, "no-answer"),
        (18, None, "timeout"),
        (21, None, "rejected"),
        (1, None, "unreachable"),
        (20, None, "unreachable"),
        (None, 404, "unreachable"),
        (127, 404, "unreachable"),
        (127, 487, "timeout"),
        (19, 487, "no-answer"),
        (127, 499, "rejected"),
        (34, 599, "unreachable"),
        (127, 699, "rejected"),
        (None, 302, "unreachable"),
        (16, 200, "timeout"),
        (0, None, "timeout"),
        (None, None, "timeout"),
        (-1, 9999, "timeout"),
    ],
)
def test_causes(q850: int | None, sip: int | None, reason: str) -> None:
    assert cause(q850, sip) == reason


# RFC 3398, section 8.2.6.1: what an ISUP cause is as a SIP answer. Both must mean the same to us.
@pytest.mark.parametrize(
    ("q850", "sip"),
    [
        *((1, 404), (2, 404), (3, 404), (17, 486), (18, 408), (19, 480), (22, 410), (26, 404), (27, 502)),
        *((28, 484), (34, 503), (38, 503), (41, 503), (42, 503), (47, 503), (55, 403), (57, 403), (58, 503)),
        *((65, 488), (87, 403), (88, 503), (102, 504)),
    ],
)
def test_a_cause_and_its_sip_answer_mean_the_same(q850: int, sip: int) -> None:
    assert cause(q850, None) == cause(None, sip)
