"""A call that we place: what was asked for, and what the news of its channel mean for it.

The channel has the call's own `id`. Facts of a channel carry neither time nor party, so each is read against
the call as it is when it is written down.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from trunx.domain import channel as switch
from trunx.domain.agent import Brief
from trunx.domain.call import Call, EndReason
from trunx.domain.gate import Facts, Verdict
from trunx.domain.progress import Answered, DialFailed, Ended, Fact, Ringing

RING_SECONDS = 60
LONGEST_RING = 600
MAX_SECONDS = 4 * 3600
"""How long a call may last when nobody says how long."""
LONGEST_CALL = 24 * 3600

_OURS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[78][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A call that somebody asks for; numbers in E.164, `to_number` perhaps a short one that the gate refuses,
    `from_number` perhaps `auto`: whichever DID is best.

    Attributes:
        send_digits: keys to press for the callee once it answers; `w` waits half a second.
        ivr: the IVR that the callee walks; None: the call is held.
        hold: Asterisk's class of music while it is held; None: silence.
        queue_seconds: how long it may wait for an Asterisk that is out of reach; None: not at all.
        ai: who talks to the callee; None: nobody does.
        transfer_of: the call whose caller the callee is to be connected with; None: nobody's.
    """

    from_number: str
    to_number: str
    ring_seconds: int = RING_SECONDS
    max_seconds: int = MAX_SECONDS
    metadata: Mapping[str, str] = field(default_factory=dict)
    send_digits: str | None = None
    machine_detection: bool = False
    record: bool = False
    ivr: str | None = None
    hold: str | None = None
    queue_seconds: int | None = None
    ai: Brief | None = None
    transfer_of: str | None = None


@dataclass(frozen=True, slots=True)
class Dial:
    """What was asked for with a call that we place, as it is kept.

    Attributes:
        dialled_at: set once, by the one who then dials; None: nobody has been dialled.
        server: the Asterisk that dials, as `host:port`. Whoever is connected to it knows what became of it.
        verdict: what the gate said, each time it was asked: see `judged`.
        ai: who talks to the callee once it answers; None: nobody does.
        transfer_of: the call whose caller the callee is connected with; None: nobody's.
    """

    call: str
    account: str
    trunk: str
    ring_seconds: int
    max_seconds: int
    metadata: Mapping[str, str]
    send_digits: str | None
    machine_detection: bool
    record: bool
    ivr: str | None
    hold: str | None
    queue_until: datetime | None
    dialled_at: datetime | None
    server: str
    verdict: Sequence[Mapping[str, Any]]
    ai: Brief | None = None
    transfer_of: str | None = None


Reading: TypeAlias = Callable[[Call, Dial | None], Fact | None]
"""What a piece of news means for a call as it is; the dial is None for one that came in."""

Judge: TypeAlias = Callable[[Call, Facts], Verdict]
"""The gate, asked inside the transaction that lets a call be dialled."""


def is_ours(channel: str) -> bool:
    """Whether a channel was made by us: no Uniqueid that Asterisk makes looks like an `id` of ours."""
    return _OURS.fullmatch(channel) is not None


def keyed_call_id(account: str, key: str) -> str:
    """The `id` that a request with this Idempotency-Key gives its call, whenever it is asked again.

    So that a retry finds the call also when we died before its answer was kept (UUID version 8, RFC 9562).
    """
    made = hashlib.sha256(f"{account}\0{key}".encode("utf-8", "surrogatepass")).hexdigest()
    variant = "89ab"[int(made[15], 16) & 3]
    return f"{made[:8]}-{made[8:12]}-8{made[12:15]}-{variant}{made[16:19]}-{made[19:31]}"


def judged(at: datetime, when: str, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """The gate's verdicts as they are kept; `when` is `accept` or `dial`."""
    said = [
        {
            "allowed": verdict.allowed,
            "rule": verdict.rule,
            "code": verdict.code,
            "sentence": verdict.sentence,
            "inputs": dict(verdict.inputs),
        }
        for verdict in verdicts
    ]
    return {"at": at.isoformat(), "when": when, "verdicts": said}


def read(fact: switch.ChannelRinging | switch.ChannelUp | switch.ChannelEnded, at: datetime) -> Reading:
    """How the news of a channel, heard at `at`, is to be read."""

    def reading(call: Call, dial: Dial | None) -> Fact:
        match fact:
            case switch.ChannelRinging():
                return Ringing(at)
            case switch.ChannelUp():
                return Answered(at)
            case switch.ChannelEnded():
                return Ended(at, fact.cause or None, fact.sip, _by_us(call, dial, at, fact))

    return reading


def dial_failed(fact: switch.OriginateEnded, at: datetime) -> Reading:
    """The dialling came to nothing. Where there was a channel its own end says more, and comes a moment
    sooner or later: this is to be asked after that, and then says nothing of a call that has ended.
    """
    reasons = {1: EndReason.TIMEOUT, 3: EndReason.TIMEOUT, 5: EndReason.BUSY}
    reason = reasons.get(fact.reason, EndReason.UNREACHABLE)
    return lambda call, _: None if call.ended_at is not None else DialFailed(at, reason)


def _by_us(call: Call, dial: Dial | None, at: datetime, fact: switch.ChannelEnded) -> EndReason | None:
    """Why a call was ended from our side, when nobody has said so before it was done."""
    if fact.by_far_end or call.end_reason is not None:
        return None
    if call.answered_at is None:
        # 19 is what Asterisk says when the time is over, whether it rang or not.
        return EndReason.TIMEOUT if fact.cause == 19 and call.ringing_at is None else None
    if dial is not None and at - call.answered_at >= timedelta(seconds=dial.max_seconds - 1):
        return EndReason.MAX_DURATION  # Asterisk's own clock
    return EndReason.HANGUP_CALLEE if call.direction == "inbound" else EndReason.HANGUP_CALLER
