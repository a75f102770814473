"""A call's names, and the words that the API shows of it."""

import re
import uuid

from trunx.domain.call import EndReason, Left, Status, new_call_id, public_call_id


def test_a_call_has_a_uuid_and_the_contract_s_name_for_it() -> None:
    call = new_call_id()
    assert str(uuid.UUID(call)) == call
    assert call != new_call_id()
    assert re.fullmatch(r"CA[0-9a-f]{32}", public_call_id(call))
    assert uuid.UUID(public_call_id(call)[2:]) == uuid.UUID(call)


def test_words_are_stable() -> None:
    """They are stored, and users compare with them."""
    assert [*Status] == ["initiated", "ringing", "answered", "completed", "failed"]
    assert [*Left] == [
        "key",
        "invalid",
        "timeout",
        "hangup",
        "done",
        "busy",
        "no-answer",
        "blocked",
        "failed",
    ]
    assert [*EndReason] == [
        "hangup-caller",
        "hangup",
        "suppressed",
        "suppress-anonymous",
        "transfer-unavailable",
        "exhausted",
        "step-limit",
        "unassigned",
        "lost",
        "error",
        "hangup-callee",
        "max-duration",
        "busy",
        "no-answer",
        "rejected",
        "unreachable",
        "timeout",
        "canceled",
        "blocked",
        "agent-hangup",
        "machine",
        "transferred",
    ]
