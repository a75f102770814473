"""Any tree and any habit, over a real socket: every call ends, by us or by the caller, and is kept whole."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.domain.samples import KEYS, documents
from tests.engine.conftest import Engine
from trunx.domain.call import EndReason, Left, Status
from trunx.domain.errors import NotFoundError

_OURS = {
    EndReason.HANGUP,
    EndReason.SUPPRESSED,
    EndReason.TRANSFER_UNAVAILABLE,
    EndReason.EXHAUSTED,
    EndReason.STEP_LIMIT,
}


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=documents(), does=st.text(KEYS + ".!", max_size=30), ahead=st.text(KEYS, max_size=5))
async def test_every_call_ends_and_is_kept(
    engine: Engine, document: dict[str, Any], does: str, ahead: str
) -> None:
    try:
        await engine.change(document)
    except NotFoundError:
        await engine.publish(document)
    phone = await engine.dial(does=does, ahead=ahead)

    kept = await engine.kept()
    assert kept.call.status is Status.COMPLETED
    assert phone.ended_by == ("caller" if kept.call.end_reason is EndReason.HANGUP_CALLER else "server")
    if phone.ended_by == "server":
        assert kept.call.end_reason in _OURS
    assert [step.number for step in kept.steps] == list(range(1, len(kept.steps) + 1))
    assert kept.steps[0].node == document.get("start", next(iter(document["nodes"])))
    for step in kept.steps:
        assert (step.kind == "gather") == ("gather" in document["nodes"][step.node])
        if step.left in (Left.KEY, Left.INVALID):
            valid = step.key in document["nodes"][step.node]["gather"]
            assert valid == (step.left is Left.KEY)
    assert phone.caller.keys_lost == 0
    assert engine.server.sessions == 0
