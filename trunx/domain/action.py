"""What is done to a live call by request: play, speak, record, transfer, press keys.

The fact to know: an action is kept before it is begun, and is told in events how it went. Nothing of it is in
the memory of one process: the session that has the call finds its action by the id in a channel variable.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from trunx.domain.call import Call


class NotInProgressError(Exception):
    """The call is not answered, or is over: `call` is how it stands."""

    def __init__(self, call: Call) -> None:
        super().__init__(call.status)
        self.call = call


class ActionKind(StrEnum):
    """What is done."""

    PLAY = "play"
    SPEAK = "speak"
    RECORD = "record"
    TRANSFER = "transfer"
    DTMF = "dtmf"


class ActionState(StrEnum):
    """How far an action is; it only moves forward."""

    STARTED = "started"
    COMPLETED = "completed"
    FAILED = "failed"


class Leg(StrEnum):
    """Who hears it, where two are connected: who called or was called first, the other one, or both."""

    CALLER = "caller"
    CALLEE = "callee"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Action:
    """One action on one call, as it is kept.

    Attributes:
        asked: the request, as JSON.
        result: what came of it (`stoppedBy`, `played`, `call`, ...), as JSON.
        problem: a stable code, where it failed.
    """

    id: str
    call: str
    account: str
    kind: ActionKind
    state: ActionState
    asked: Mapping[str, Any]
    created_at: datetime
    ended_at: datetime | None = None
    result: Mapping[str, Any] | None = None
    problem: str | None = None
