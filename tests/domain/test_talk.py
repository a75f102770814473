"""What news make of a talk: in any order, however often, the same in the end, and never a step back."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from trunx.domain.talk import (
    News,
    Talk,
    TalkState,
    VendorCall,
    created,
    due,
    ended,
    failed,
    given_up,
    is_final,
    joined,
    new_token,
    seen,
    settled,
)

AT = datetime(2026, 3, 9, 15, 30, tzinfo=UTC)
WANTED = Talk("talk-1", "call-1", "MA1", None, "t0", TalkState.WANTED, AT, 300)


def after(seconds: float) -> datetime:
    return AT + timedelta(seconds=seconds)


def vendor(joined: float | None = None, ended: float | None = None, reason: str | None = None) -> VendorCall:
    return VendorCall(
        id="uv-1",
        request="talk-1",
        created_at=AT,
        joined_at=None if joined is None else after(joined),
        ended_at=None if ended is None else after(ended),
        end_reason=reason,
    )


def told(talk: Talk, *news: News) -> Talk:
    for one in news:
        talk = one(talk)
    return talk


MADE, UP, OVER = seen(vendor()), seen(vendor(2)), seen(vendor(2, 142.4, "hangup"))


def test_the_vendors_word_makes_a_talk() -> None:
    talk = told(WANTED, created("uv-1"), MADE)
    assert (talk.state, talk.vendor_call) == (TalkState.CREATED, "uv-1")
    talk = told(talk, UP)
    assert (talk.state, talk.joined_at) == (TalkState.JOINED, after(2))
    talk = told(talk, OVER)
    assert (talk.state, talk.end_reason, talk.seconds, talk.settled) == (
        *(TalkState.ENDED, "hangup", 140, False),
    )
    talk = told(talk, settled("Agent: Hi."))
    assert (talk.transcript, talk.settled) == ("Agent: Hi.", True)


@given(st.permutations([MADE, UP, OVER, MADE, UP, OVER, created("uv-1"), joined(after(2))]))
def test_the_order_does_not_matter(news: list[News]) -> None:
    assert told(WANTED, *news) == told(WANTED, MADE, UP, OVER)


NEWS: list[Callable[[], News]] = [
    lambda: MADE,
    lambda: UP,
    lambda: OVER,
    lambda: seen(vendor(None, 31, "unjoined")),
    lambda: created("uv-1"),
    lambda: joined(after(3)),
    lambda: ended(after(60), "agent_hangup"),
    lambda: failed(after(20), "busy"),
    lambda: failed(after(20), "off", certain=True),
    lambda: settled("Agent: Hi."),
    lambda: given_up(after(999), "unknown"),
]


@given(st.lists(st.sampled_from(NEWS), max_size=12))
def test_a_talk_only_moves_forward(news: list[Callable[[], News]]) -> None:
    order, talk = list(TalkState), WANTED
    for one in news:
        changed = told(talk, one())
        assert order.index(changed.state) >= order.index(talk.state)
        assert not is_final(talk) or changed.state is talk.state
        assert not talk.settled or changed == talk
        assert not changed.settled or is_final(changed)
        assert told(changed, one()) == changed
        talk = changed


def test_our_end_comes_before_the_vendors() -> None:
    talk = told(WANTED, created("uv-1"), ended(after(60), "hangup"))
    assert (talk.state, talk.seconds) == (TalkState.ENDED, None)
    talk = told(talk, UP)
    assert (talk.state, talk.joined_at, talk.seconds) == (TalkState.ENDED, after(2), 58)
    talk = told(talk, seen(vendor(2, 61, "agent_hangup")))
    assert (talk.ended_at, talk.end_reason, talk.seconds) == (after(61), "agent_hangup", 59)


def test_an_agent_that_never_came() -> None:
    talk = told(WANTED, MADE, seen(vendor(None, 31, "unjoined")))
    assert (talk.state, talk.end_reason, talk.joined_at) == (TalkState.FAILED, "unjoined", None)
    talk = told(WANTED, failed(after(20), "timeout"))
    assert (talk.state, talk.settled) == (TalkState.FAILED, False)
    late = told(talk, UP)
    assert (late.state, late.vendor_call, late.end_reason) == (TalkState.FAILED, "uv-1", "timeout")


def test_a_refusal_that_is_certain_leaves_nothing_to_ask_about() -> None:
    assert told(WANTED, failed(AT, "busy", certain=True)).settled
    assert not told(WANTED, created("uv-1"), failed(AT, "busy", certain=True)).settled
    assert told(WANTED, UP, failed(AT, "busy")).state is TalkState.ENDED


def test_a_talk_of_which_nothing_more_will_be_known() -> None:
    assert told(WANTED, given_up(after(999), "lost")).state is TalkState.FAILED
    talk = told(WANTED, UP, given_up(after(999), "lost"))
    assert (talk.state, talk.end_reason, talk.settled) == (TalkState.ENDED, "lost", True)
    over = told(WANTED, OVER, given_up(after(999), "lost"))
    assert (over.ended_at, over.end_reason, over.settled) == (after(142.4), "hangup", True)


def test_moments_are_as_precise_as_they_are_kept() -> None:
    precise = replace(vendor(), joined_at=AT.replace(microsecond=123_456))
    assert told(WANTED, seen(precise)).joined_at == AT.replace(microsecond=123_000)


def test_when_the_vendor_is_asked() -> None:
    assert due(told(WANTED, OVER), AT) < due(told(WANTED, MADE), AT) < due(WANTED, AT)


def test_a_token_is_a_sip_user_that_nobody_guesses() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(token.isalnum() and len(token) == 33 for token in tokens)
