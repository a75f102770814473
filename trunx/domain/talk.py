"""A talk: one connection of a call to an AI voice agent, from the wish to the transcript.

The fact to know: a talk's `id` is also the `requestId` in the vendor's metadata, so a request whose answer
was lost is looked up, never made twice; its `token` is the SIP user that the vendor dials, a secret.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeAlias

from trunx.domain.agent import PromptBrief


class TalkState(StrEnum):
    """What is known of a talk; it only moves forward."""

    WANTED = "wanted"  # kept; whether the vendor has made its call is not known
    CREATED = "created"  # the vendor has made its call, and dials us
    JOINED = "joined"  # the vendor hears the caller
    ENDED = "ended"  # the vendor's call is over
    FAILED = "failed"  # there never was a vendor's call, or it never reached us


@dataclass(frozen=True, slots=True)
class Talk:
    """One talk of one call, as it is kept.

    Attributes:
        agent: our agent's id; None for one that a prompt described.
        vendor_call: the vendor's id of its call, once it is known.
        end_reason: the vendor's word (`hangup`, `agent_hangup`, `timeout`, `unjoined`, ...), or for a talk
            that failed the code of what went wrong.
        transcript: `Agent: ...` and `User: ...`, a line each; None until it is final.
        seconds: from `joined_at` to `ended_at`.
        settled: nothing more is to be learned from the vendor.
    """

    id: str
    call: str
    account: str
    agent: str | None
    token: str
    state: TalkState
    created_at: datetime
    max_seconds: int
    vendor_call: str | None = None
    joined_at: datetime | None = None
    ended_at: datetime | None = None
    end_reason: str | None = None
    transcript: str | None = None
    seconds: int | None = None
    settled: bool = False


@dataclass(frozen=True, slots=True)
class TalkRequest:
    """What the vendor is asked for: to dial `token` at our Asterisk, and to talk to who is waiting there.

    Attributes:
        who: the vendor's agent id, or the description that the call itself has.
        facts: what the agent is told of the call: `caller`, `did`, `ivr`, `path`, `direction`, ...
        metadata: the call's own, strings only; the adapter adds `requestId` and `callId`.
        join_seconds: how long the vendor may let our side ring.
    """

    id: str
    call: str
    token: str
    who: str | PromptBrief
    facts: Mapping[str, str]
    metadata: Mapping[str, str]
    max_seconds: int
    join_seconds: int = 30


@dataclass(frozen=True, slots=True)
class VendorCall:
    """The vendor's call as it is now. `ended` may be set while the transcript is not final."""

    id: str
    request: str | None
    created_at: datetime | None
    joined_at: datetime | None
    ended_at: datetime | None
    end_reason: str | None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)


def new_token() -> str:
    """A SIP user that cannot be guessed: 128 random bits, hex."""
    return "t" + secrets.token_hex(16)


News: TypeAlias = Callable[[Talk], Talk]
"""What is new of a talk: what it makes of one as it is kept.

News come from our channels, from the vendor's webhooks and from its API: twice, late, and in any order. The
vendor's word on times and reasons replaces our own until the talk is settled; a final state stays.
"""

_FINAL = (TalkState.ENDED, TalkState.FAILED)
_STEPS = tuple(TalkState)

_LATER = {
    TalkState.WANTED: timedelta(seconds=20),
    TalkState.CREATED: timedelta(seconds=10),
    TalkState.JOINED: timedelta(seconds=15),
    TalkState.ENDED: timedelta(seconds=2),
    TalkState.FAILED: timedelta(seconds=5),
}


def is_final(talk: Talk) -> bool:
    """Whether nobody talks any more, though the vendor may not have said all yet."""
    return talk.state in _FINAL


def due(talk: Talk, now: datetime) -> datetime:
    """When the vendor is to be asked about a talk of which something was heard `now`."""
    return now + _LATER[talk.state]


def created(vendor_call: str) -> News:
    """The vendor has made its call."""
    return lambda talk: _changed(talk, TalkState.CREATED, vendor_call=talk.vendor_call or vendor_call)


def joined(at: datetime) -> News:
    """The vendor hears the caller."""
    return lambda talk: _changed(talk, TalkState.JOINED, joined_at=talk.joined_at or at)


def ended(at: datetime, reason: str | None = None) -> News:
    """The talk is over; `reason` is ours, until the vendor's own is known."""

    def news(talk: Talk) -> Talk:
        if is_final(talk):
            return talk
        return _changed(talk, TalkState.ENDED, ended_at=at, end_reason=reason)

    return news


def failed(at: datetime, code: str, *, certain: bool = False) -> News:
    """It came to nothing. `certain`: the vendor has no call of it; else that is still to be looked at."""

    def news(talk: Talk) -> Talk:
        if is_final(talk):
            return talk
        state = TalkState.ENDED if talk.state is TalkState.JOINED else TalkState.FAILED
        made = _changed(talk, state, ended_at=at, end_reason=code)
        return replace(made, settled=True) if certain and made.vendor_call is None else made

    return news


def seen(vendor: VendorCall) -> News:
    """All that the vendor's call says, whenever it said it."""

    def news(talk: Talk) -> Talk:
        at, over = _whole(vendor.joined_at), _whole(vendor.ended_at)
        state = TalkState.JOINED if at else TalkState.CREATED
        if over is not None:
            state = TalkState.ENDED if at or talk.joined_at else TalkState.FAILED
        said: dict[str, Any] = {"vendor_call": talk.vendor_call or vendor.id}
        if talk.state is not TalkState.FAILED:
            said |= {"joined_at": at or talk.joined_at, "ended_at": over or talk.ended_at}
            said["end_reason"] = vendor.end_reason or talk.end_reason
        return _changed(talk, state, **said)

    return news


def settled(transcript: str | None) -> News:
    """Nothing more is to be learned of a talk that is over; None: nothing was said, or nobody knows it."""

    def news(talk: Talk) -> Talk:
        if talk.settled or not is_final(talk):
            return talk
        return replace(talk, transcript=transcript, settled=True)

    return news


def given_up(at: datetime, code: str) -> News:
    """Nobody will ever learn what became of it."""

    def news(talk: Talk) -> Talk:
        return talk if talk.settled else replace(failed(at, code)(talk), settled=True)

    return news


def _changed(talk: Talk, state: TalkState, **said: Any) -> Talk:
    """The talk with what was said, in `state` if that is a step forward."""
    if talk.settled:
        return talk
    if is_final(talk) or _STEPS.index(state) < _STEPS.index(talk.state):
        state = talk.state
    changed = replace(talk, state=state, **said)
    begin, end = changed.joined_at, changed.ended_at
    if begin is None or end is None:
        return changed
    return replace(changed, seconds=max(0, round((end - begin).total_seconds())))


def _whole(moment: datetime | None) -> datetime | None:
    """As precisely as it is kept."""
    return moment and moment.replace(microsecond=moment.microsecond // 1000 * 1000)
