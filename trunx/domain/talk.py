"""A talk: one connection of a call to an AI voice agent, from the wish to the transcript.

The fact to know: a talk's `id` is also the `requestId` in the vendor's metadata, so a request whose answer
was lost is looked up, never made twice; its `token` is the SIP user that the vendor dials, a secret.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

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
