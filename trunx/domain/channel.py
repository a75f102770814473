"""What Asterisk tells of its channels, and what it is asked to dial, in our words.

A channel is named by Asterisk's Uniqueid; for a call that we place it is the call's own `id`. Facts of one
channel may come in any order: Asterisk tells the end of the dialling and the end of the channel from two
threads, so either can be first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class ChannelRinging:
    """The far end rings."""

    channel: str


@dataclass(frozen=True, slots=True)
class ChannelUp:
    """The channel is answered."""

    channel: str


@dataclass(frozen=True, slots=True)
class ChannelEnded:
    """The channel is gone.

    Attributes:
        cause: Q.850 cause; 0 when Asterisk knows none (a hangup of ours that named none).
        sip: the SIP status by which the far end refused, or 408 when nobody answered the request at all;
            None after an answer, and when this side ended it.
        by_far_end: whether the far end ended it, rather than we, Asterisk or the dialplan.
    """

    channel: str
    cause: int
    sip: int | None
    by_far_end: bool


@dataclass(frozen=True, slots=True)
class OriginateEnded:
    """The dialling is over: answered, or not.

    Attributes:
        reason: Asterisk's: 4 answered, 3 not answered in time, 0 all else. Which else, the cause of
            `ChannelEnded` says; without a channel (no such endpoint, id in use) nothing else is ever told.
            1, 5 and 8 (no answer, busy, congestion) exist, but Asterisk 22 gives 0 for them.
    """

    channel: str
    answered: bool
    reason: int


@dataclass(frozen=True, slots=True)
class LinkUp:
    """Asterisk can be told and tells again; what happened before is to be asked (`channels`)."""


@dataclass(frozen=True, slots=True)
class LinkDown:
    """Asterisk is out of reach: what happens now will never be told."""


@dataclass(frozen=True, slots=True)
class FactsMissed:
    """Facts came faster than they were taken, and are gone; as after `LinkUp`, the truth is to be asked."""


Fact: TypeAlias = ChannelRinging | ChannelUp | ChannelEnded | OriginateEnded | LinkUp | LinkDown | FactsMissed


@dataclass(frozen=True, slots=True)
class LiveChannel:
    """A channel that exists.

    Attributes:
        name: Asterisk's changing name for it (`PJSIP/carrier-0000001a`).
        context: where it is in the dialplan; of one that we dial, until it is answered, the context of the
            trunk's own endpoint.
    """

    channel: str
    name: str
    up: bool
    context: str
    exten: str


@dataclass(frozen=True, slots=True)
class Originate:
    """A channel to make, and where in the dialplan it goes once answered.

    Attributes:
        channel: the id it shall have.
        dial: technology and address (`PJSIP/+14155550123@carrier`).
        ring_seconds: how long it may ring.
        from_number: who calls; empty for nobody.
        from_name: the caller's name as shown; any text on one line.
        variables: channel variables, set before it is dialled; any text on one line.
    """

    channel: str
    dial: str
    context: str
    exten: str
    ring_seconds: int
    from_number: str = ""
    from_name: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)


class AmiRefusedError(Exception):
    """Asterisk said no; the message is Asterisk's."""


class NoSuchChannelError(AmiRefusedError):
    """The channel does not exist, or no longer."""


class AmiUnknownError(Exception):
    """It was sent, and whether it was done is not known: find out, and never send it again."""
