"""What an account's log tells: the types of its events, and the form in which the outside gets one.

The stream, the lists and the webhooks' bodies all carry the same JSON, which is made here alone.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from trunx.domain.call import Event


class EventType(StrEnum):
    """The stable names of what can be told."""

    CALL_INITIATED = "call.initiated"  # it is kept; a call that comes in begins with its answer
    CALL_RINGING = "call.ringing"
    CALL_ANSWERED = "call.answered"
    CALL_COMPLETED = "call.completed"  # it had been answered, and is over
    CALL_FAILED = "call.failed"  # it is over, and nobody had answered
    CALL_MACHINE = "call.machine"  # who answered: a human, a machine, or nobody knows
    CALL_REDIRECTED = "call.redirected"  # somebody took it out of our tree; it goes on elsewhere
    IVR_STEP = "ivr.step"  # a node was left
    IVR_COMPLETED = "ivr.completed"  # the walk through a tree is over
    TALK_CREATED = "talk.created"  # an AI agent is on its way into a call
    TALK_JOINED = "talk.joined"  # the agent hears the caller
    TALK_ENDED = "talk.ended"  # the agent has left, or the caller has left it
    TALK_FAILED = "talk.failed"  # the agent never came
    TALK_TRANSCRIBED = "talk.transcribed"  # what was said is known, and why it ended
    SUPPRESSION_ADDED = "suppression.added"
    AUDIO_FAILED = "audio.failed"  # an audio could not be made, or not be played in a call
    ACTION_STARTED = "action.started"  # something is done to a live call by request
    ACTION_COMPLETED = "action.completed"  # it was done
    ACTION_FAILED = "action.failed"  # it was not, or not wholly
    RECORDING_READY = "recording.ready"  # a recording can be listened to
    RECORDING_FAILED = "recording.failed"  # there is nothing to listen to, and never will be
    WEBHOOK_DISABLED = "webhook.disabled"  # it has failed for so long that nothing is sent any more


def as_json(event: Event, public_url: str = "") -> dict[str, Any]:
    """An event of the log as the outside sees it; `public_url` is where users reach the API.

    `id` names the fact and is the same in each delivery; `seq` counts the account's events from 1 without a
    gap, in the order in which they became true for us; `at` is when the fact happened; `call` is null where
    there is none; `data` depends on `type`. Where it names recordings each has the `url` that opens its file
    with the account's key: a link that needs none would lie in the receiver's logs.
    """
    data = dict(event.data)
    if "recordings" in data:
        data["recordings"] = [
            one | {"url": f"{public_url}/api/recordings/{one['id']}/file"} for one in data["recordings"]
        ]
    return {
        "id": event.id,
        "seq": event.seq,
        "account": event.account,
        "call": event.call,
        "type": event.type,
        "at": rfc3339(event.at),
        "data": data,
    }


def rfc3339(moment: datetime) -> str:
    """UTC with milliseconds: `2026-03-09T15:30:00.000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
