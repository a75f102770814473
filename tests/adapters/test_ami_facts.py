"""Events as facts. The events are those that Asterisk 22.10 sent, shortened."""

import pytest

from trunx.adapters.ami.facts import Reading
from trunx.domain.channel import ChannelEnded, ChannelRinging, ChannelUp, Fact, OriginateEnded

Event = dict[str, str | list[str]]


def told(*events: Event) -> list[Fact]:
    """The facts of channel `c` that these events, in this order, make."""
    reading = Reading()
    facts = [reading.fact({"Uniqueid": "c", **event}) for event in events]
    return [fact for fact in facts if fact is not None]


@pytest.mark.parametrize(
    ("event", "fact"),
    [
        ({"Event": "Newstate", "ChannelState": "5"}, ChannelRinging("c")),
        ({"Event": "Newstate", "ChannelState": "6"}, ChannelUp("c")),
        ({"Event": "Hangup", "Cause": "16"}, ChannelEnded("c", 16, None, by_far_end=False)),
        ({"Event": "OriginateResponse", "Reason": "4"}, OriginateEnded("c", answered=True, reason=4)),
        ({"Event": "OriginateResponse", "Reason": "3"}, OriginateEnded("c", answered=False, reason=3)),
        ({"Event": "OriginateResponse", "Reason": "0"}, OriginateEnded("c", answered=False, reason=0)),
    ],
)
def test_one_event(event: Event, fact: Fact) -> None:
    assert told(event) == [fact]


@pytest.mark.parametrize(
    "event",
    [
        {"Event": "Newstate", "ChannelState": "4"},  # a caller's channel
        {"Event": "Newstate"},
        {"Event": "Newchannel", "ChannelState": "5"},
        {"Event": "HangupRequest", "Cause": "16"},
        {"Event": "Hangup", "Uniqueid": ""},
        {},
    ],
)
def test_what_is_no_fact(event: Event) -> None:
    assert told(event) == []


def test_who_ended_the_channel() -> None:
    """The TechCause of a Hangup alone is Asterisk's own translation of the cause, which nobody said."""
    request: Event = {"Event": "HangupRequest", "Cause": "17", "TechCause": "486"}
    hangup: Event = {"Event": "Hangup", "Cause": "17", "TechCause": "486"}
    assert told(request, hangup) == [ChannelEnded("c", 17, 486, by_far_end=True)]
    assert told({"Event": "HangupRequest", "Cause": "16"}, {"Event": "Hangup", "Cause": "16"}) == [
        ChannelEnded("c", 16, None, by_far_end=True)
    ]
    assert told({"Event": "Hangup", "Cause": "19", "TechCause": "480"}) == [
        ChannelEnded("c", 19, None, by_far_end=False)
    ]
    assert told(request | {"Uniqueid": "other"}, hangup) == [ChannelEnded("c", 17, None, by_far_end=False)]


def test_what_is_no_number_is_none() -> None:
    assert (
        told({"Event": "Hangup", "Cause": "²"}, {"Event": "Hangup"})
        == [ChannelEnded("c", 0, None, by_far_end=False)] * 2
    )
    assert told({"Event": "Hangup", "Cause": ["17", "16"]}) == [ChannelEnded("c", 17, None, by_far_end=False)]
