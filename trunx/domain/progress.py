"""What is known of a call from the facts told of it, in whatever order they come.

A call's facts come over several ways (AMI events, our AGI session, the API, the rebuilding after a crash),
each late or twice. So nothing here asks which came first: times take the earliest, reasons the one that knows
more, and the state is read off from both. Any order of the same facts therefore ends in the same call, and no
state is ever left for an earlier one; `failed` comes before `completed`, for the news that a call had been
answered may be the last to arrive.
"""

from dataclasses import dataclass
from datetime import datetime

from trunx.domain.call import Call, EndReason, Status


@dataclass(frozen=True, slots=True)
class Ringing:
    """The callee's telephone rings (SIP 180 or 183)."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Answered:
    """The call is up."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Ended:
    """The channel is gone. `reason` is told by whoever of ours knows it (the walk, the one that watches
    `maxDuration`); without it the causes speak, and of an answered call the other side has hung up.
    """

    at: datetime
    q850: int | None = None
    sip: int | None = None
    reason: EndReason | None = None


@dataclass(frozen=True, slots=True)
class DialFailed:
    """Nothing came of the dialling. Who is told only "no answer" says TIMEOUT: if it rang, that is made
    NO_ANSWER here.
    """

    at: datetime
    reason: EndReason


@dataclass(frozen=True, slots=True)
class Canceled:
    """Somebody asked us to end the call, ringing or answered. Not for a call that has ended."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Blocked:
    """The gate said no; the call was never dialled."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Lost:
    """The channel is not there any more, and nobody saw its end."""

    at: datetime


Fact = Ringing | Answered | Ended | DialFailed | Canceled | Blocked | Lost

# From who knows least to who knows most. Where the two parties stand depends on which of them is us.
_UNANSWERED = (
    EndReason.LOST,
    EndReason.TIMEOUT,
    EndReason.NO_ANSWER,
    EndReason.UNREACHABLE,
    EndReason.REJECTED,
    EndReason.BUSY,
)
_OF_OURS = (
    EndReason.TRANSFER_UNAVAILABLE,
    EndReason.STEP_LIMIT,
    EndReason.EXHAUSTED,
    EndReason.UNASSIGNED,
    EndReason.HANGUP,
    EndReason.AGENT_LEFT,
    EndReason.MACHINE,
    EndReason.MAX_DURATION,
    EndReason.SUPPRESS_ANONYMOUS,
    EndReason.SUPPRESSED,
    EndReason.ERROR,
    EndReason.CANCELED,
)


def _ranks(they: EndReason, we: EndReason) -> dict[EndReason, int]:
    # CANCELED becomes `we` when the call was answered: nothing stands between them, or order would matter.
    order = (*_UNANSWERED, they, *_OF_OURS, we, EndReason.TRANSFERRED, EndReason.BLOCKED)
    return {reason: rank for rank, reason in enumerate(order)}


_INBOUND = EndReason.HANGUP_CALLER, EndReason.HANGUP_CALLEE
_OUTBOUND = EndReason.HANGUP_CALLEE, EndReason.HANGUP_CALLER
_RANKS = {_INBOUND: _ranks(*_INBOUND), _OUTBOUND: _ranks(*_OUTBOUND)}
_STATES = {state: rank for rank, state in enumerate(Status)} | {Status.FAILED: 3, Status.COMPLETED: 4}

# What a cause says of a call that was not answered. The numbers are of ITU-T Q.850, table 1; Asterisk's own
# list is include/asterisk/causes.h. 0, 16, 31 and 127 are left out: they say that it is over, and not why.
_Q850 = {
    17: EndReason.BUSY,
    19: EndReason.NO_ANSWER,
    # 18 is neither ringing nor answer; chan_pjsip makes it of 408, also of its own when nobody replies.
    **dict.fromkeys((18, 102), EndReason.TIMEOUT),
    **dict.fromkeys((21, 24, 29, 50, 52, 53, 54, 55, 57, 65, 69, 79, 87), EndReason.REJECTED),
    **dict.fromkeys((1, 2, 3, 4, 5, 20, 22, 23, 25, 26, 27, 28), EndReason.UNREACHABLE),
    **dict.fromkeys((34, 38, 39, 40, 41, 42, 44, 46, 47, 49, 58, 63, 66, 88), EndReason.UNREACHABLE),
}
# The same of SIP's answers (RFC 3261, section 21), in line with RFC 3398, section 8.2.6.1. Those that are not
# listed count by their class; 487 is only the echo of a CANCEL.
_SIP = {
    **dict.fromkeys((408, 504), EndReason.TIMEOUT),
    480: EndReason.NO_ANSWER,
    **dict.fromkeys((486, 600), EndReason.BUSY),
    **dict.fromkeys((400, 404, 409, 410, 414, 416, 420, 481, 482, 483, 484, 485, 604), EndReason.UNREACHABLE),
    487: None,
}
_SIP_CLASS = {
    3: EndReason.UNREACHABLE,  # moved, and Asterisk did not follow
    4: EndReason.REJECTED,
    5: EndReason.UNREACHABLE,
    6: EndReason.REJECTED,
}


def advance(call: Call, fact: Fact) -> Call | None:
    """`call` with `fact` known too; None when that tells nothing new.

    Times stay in their order: none is before `created_at`, and none after `ended_at`.
    """
    at = max(fact.at, call.created_at)
    ringing, answered, ended, reason = call.ringing_at, call.answered_at, call.ended_at, call.end_reason
    q850, sip = call.q850_cause, call.sip_cause
    if isinstance(fact, Ringing):
        ringing = _earlier(ringing, at)
    elif isinstance(fact, Answered):
        answered = _earlier(answered, at)
    else:
        ended = _earlier(ended, at)
        reason = _better(call, _reason(call, fact))
        if isinstance(fact, Ended):
            # One channel has one cause; of two that contradict each other either is as good.
            q850, sip = _greater(q850, fact.q850), _greater(sip, fact.sip)
    if answered is not None:
        answered = _earlier(answered, ended)
    if ringing is not None:
        ringing = _earlier(_earlier(ringing, answered), ended)
    if reason is not None:
        reason = _as_it_went(call, reason, rang=ringing is not None, spoke=answered is not None)
    status = _status(ringing, answered, ended)
    moved = call._replace(
        status=status if _STATES[status] > _STATES[call.status] else call.status,
        ringing_at=ringing,
        answered_at=answered,
        ended_at=ended,
        end_reason=reason,
        q850_cause=q850,
        sip_cause=sip,
    )
    return None if moved == call else moved


def cause(q850: int | None, sip: int | None) -> EndReason:
    """Why a call was not answered; TIMEOUT when the causes do not say.

    SIP's answer is asked first: Asterisk makes its cause from it, and several of one.
    """
    by_sip = None if sip is None else _SIP.get(sip, _SIP_CLASS.get(sip // 100))
    by_q850 = None if q850 is None else _Q850.get(q850)
    return by_sip or by_q850 or EndReason.TIMEOUT


def _parties(call: Call) -> tuple[EndReason, EndReason]:
    """What it is called when they hang up, and when we do."""
    return _INBOUND if call.direction == "inbound" else _OUTBOUND


def _reason(call: Call, fact: Ended | DialFailed | Canceled | Blocked | Lost) -> EndReason:
    match fact:
        case Ended(reason=None) if call.direction == "inbound":
            return EndReason.HANGUP_CALLER
        case Ended(reason=None):
            return cause(fact.q850, fact.sip)
        case Ended(reason=EndReason() as reason) | DialFailed(reason=reason):
            return reason
        case Canceled():
            return EndReason.CANCELED
        case Blocked():
            return EndReason.BLOCKED
        case _:
            return EndReason.LOST


def _as_it_went(call: Call, reason: EndReason, *, rang: bool, spoke: bool) -> EndReason:
    """`reason` in the light of how far the call came.

    Who knew more before does so afterwards: only so is it no matter whether that light comes early or late.
    """
    they, we = _parties(call)
    if spoke and reason is EndReason.CANCELED:
        return we
    if spoke and reason in _UNANSWERED and reason is not EndReason.LOST:
        return they
    if rang and reason is EndReason.TIMEOUT:
        return EndReason.NO_ANSWER
    return reason


def _status(ringing: datetime | None, answered: datetime | None, ended: datetime | None) -> Status:
    if ended is not None:
        return Status.FAILED if answered is None else Status.COMPLETED
    if answered is not None:
        return Status.ANSWERED
    return Status.INITIATED if ringing is None else Status.RINGING


def _better(call: Call, reason: EndReason) -> EndReason:
    return max(call.end_reason or reason, reason, key=_RANKS[_parties(call)].__getitem__)


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    if one is None or other is None:
        return one or other
    return min(one, other)


def _greater(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)
