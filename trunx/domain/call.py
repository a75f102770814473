"""A call and its steps, as they are kept: one row a call, one row a visited node."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple


class Status(StrEnum):
    """The contract's states, which only move forward: `completed` was answered, `failed` never was."""

    INITIATED = "initiated"
    RINGING = "ringing"
    ANSWERED = "answered"
    COMPLETED = "completed"
    FAILED = "failed"


class EndReason(StrEnum):
    """Why a call ended."""

    HANGUP_CALLER = "hangup-caller"  # the caller left
    HANGUP = "hangup"  # a hangup node
    SUPPRESSED = "suppressed"  # a suppress node
    SUPPRESS_ANONYMOUS = "suppress-anonymous"  # a suppress node, and no number that could be listed
    TRANSFER_UNAVAILABLE = "transfer-unavailable"  # a transfer that could not be made
    EXHAUSTED = "exhausted"  # attempts used up
    STEP_LIMIT = "step-limit"  # the walk took too many steps
    UNASSIGNED = "unassigned"  # the number has no IVR
    LOST = "lost"  # our process ended before the call did
    ERROR = "error"  # our own fault, told in the log
    HANGUP_CALLEE = "hangup-callee"  # the one who was called left
    MAX_DURATION = "max-duration"  # the longest time that was asked for has passed
    BUSY = "busy"  # the callee speaks on another line
    NO_ANSWER = "no-answer"  # it rang, and nobody answered
    REJECTED = "rejected"  # the callee, or the carrier for us, said no
    UNREACHABLE = "unreachable"  # no such number, or no way to it
    TIMEOUT = "timeout"  # nobody said anything, not even that it rings
    CANCELED = "canceled"  # we were asked to end it before it was answered
    BLOCKED = "blocked"  # the gate said no
    AGENT_LEFT = "agent-hangup"  # the AI agent ended it
    MACHINE = "machine"  # an answering machine took a call that was meant for a person
    TRANSFERRED = "transferred"  # by request: the one we spoke to goes on talking to somebody else


class Left(StrEnum):
    """How a node was left."""

    KEY = "key"
    INVALID = "invalid"
    TIMEOUT = "timeout"
    HANGUP = "hangup"
    DONE = "done"  # an action that was carried out; a transfer: they have talked, and the other side has left
    BUSY = "busy"  # a transfer: the line was busy
    NO_ANSWER = "no-answer"  # a transfer: nobody answered in time
    BLOCKED = "blocked"  # a transfer: the gate said no, and nobody was called
    FAILED = "failed"  # a transfer: nobody could be reached


class Call(NamedTuple):
    """One call. `id` is the name used everywhere; `agi_uniqueid` is Asterisk's own for an inbound call."""

    id: str
    call_id: str
    account: str
    direction: str
    from_number: str
    to_number: str
    status: Status
    created_at: datetime
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    end_reason: EndReason | None = None
    ivr: str | None = None
    ivr_version: int | None = None
    agi_uniqueid: str | None = None
    channel: str | None = None
    ringing_at: datetime | None = None
    q850_cause: int | None = None  # ITU-T Q.850, what Asterisk calls a hangup cause
    sip_cause: int | None = None  # the final answer to our INVITE (RFC 3261, section 21)
    provider: str | None = None  # the trunk that carries it; None: Asterisk took the call itself
    machine: str | None = None  # who answered, where that was asked: `human`, `machine` or `unknown`
    machine_cause: str | None = None  # why Asterisk's AMD thinks so


@dataclass(frozen=True, slots=True)
class Party:
    """A call, for those who connect it with somebody else.

    `ours` is our number; `theirs` that of whom we speak to: the caller, or the callee of a call we placed.
    """

    call: str
    account: str
    direction: str
    ours: str
    theirs: str
    ivr: str | None
    metadata: Mapping[str, str] = field(default_factory=dict)


class Step(NamedTuple):
    """One visit of a node; `number` counts from 1 in a call.

    `prompt_ms`: how much of its own prompt was heard, not of what was said before it (an upper bound where
    the prompt's length is not known); `fallback`: the engine's own was played instead.
    """

    call: str
    number: int
    node: str
    kind: str
    entered_at: datetime
    left_at: datetime
    left: Left
    key: str | None
    prompt_ms: int
    fallback: bool


@dataclass(frozen=True, slots=True)
class Event:
    """A fact worth telling, in an account's log: `type` is stable (`audio.failed`), `data` is JSON.

    `id` is the same whenever the same fact is told again, and begins with `<call>:` where there is a call;
    without one the log makes it. `seq` counts the account's events from 1: the log gives it.
    """

    account: str
    call: str | None
    type: str
    at: datetime
    data: Mapping[str, Any]
    id: str | None = None
    seq: int | None = None


def new_call_id() -> str:
    """A call's `id`: a UUID that begins with the time (version 7, RFC 9562, section 5.7).

    Rows of one hour then stand side by side in the database's index; random ids touch a page each.
    """
    moment, random = f"{time.time_ns() // 1_000_000:012x}", os.urandom(10).hex()
    variant = "89ab"[int(random[3], 16) & 3]
    return f"{moment[:8]}-{moment[8:]}-7{random[:3]}-{variant}{random[4:7]}-{random[7:19]}"


def public_call_id(call: str) -> str:
    """The contract's `callId` of a call: `CA` and the 32 hex digits of its `id`."""
    return "CA" + call.replace("-", "")
