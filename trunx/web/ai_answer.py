"""What a call tells of the AI agents that have talked in it."""

from collections.abc import Sequence

from pydantic import Field

from trunx.domain.call import Call
from trunx.domain.talk import Talk, TalkState
from trunx.web.models import AnswerBody


class AiAnswer(AnswerBody):
    """The talk with an AI agent; of several in one call the last one's state, and what all of them said."""

    status: TalkState = Field(
        description="`wanted`, `created` (the agent is on its way), `joined` (it talks), `ended`, or "
        "`failed`: it never came."
    )
    transcript: str | None = Field(
        description="What was said, a line each: `Agent: ...`, `User: ...`. Known a moment after the end."
    )
    duration: int = Field(description="Seconds that the agent was there; 0 until it has left.")
    end_reason: str | None = Field(
        description="Ultravox' word (`hangup`: the other side left; `agent_hangup`, `timeout`, ...), or why "
        "there was no talk."
    )


def ai_answer(call: Call, talks: Sequence[Talk]) -> AiAnswer:
    """What is known now; without any talk, why the agent had none."""
    if not talks:
        over = call.ended_at is not None
        status = TalkState.FAILED if over else TalkState.WANTED
        return AiAnswer(status=status, transcript=None, duration=0, end_reason=call.end_reason)
    said = [talk.transcript for talk in talks if talk.transcript is not None]
    return AiAnswer(
        status=talks[-1].state,
        transcript="\n".join(said) if said else None,
        duration=sum(talk.seconds or 0 for talk in talks),
        end_reason=talks[-1].end_reason,
    )
