"""That a breach would be seen: each is put into a round that was well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from tests.chaos.found import Found

_TYPES = ("call.initiated", "call.answered", "ivr.step", "call.completed")


def _event(call: str, seq: int, kind: str) -> dict[str, Any]:
    data = {"endReason": "hangup-callee"} if kind == "call.completed" else {}
    return {"id": f"{call}:{kind}", "call": call, "seq": seq, "type": kind, "data": data}


@pytest.fixture
def found() -> Found:
    """Two calls that went well, and one that a fault has kept from being dialled."""
    listed = {
        call: [_event(call, seq, kind) for seq, kind in enumerate(_TYPES, first)]
        for call, first in (("a", 1), ("b", 5))
    }
    listed["c"] = [_event("c", 9, "call.initiated"), _event("c", 10, "call.failed")]
    listed["c"][-1]["data"] = {"endReason": "lost"}
    log = [event for events in listed.values() for event in events]
    row = {"status": "completed", "endReason": "hangup-callee", "endedAt": "then", "dialledAt": 1}
    lost = row | {"status": "failed", "endReason": "lost"}
    return Found(
        requests=["+1", "+2", "+3"],
        placed={"+1": "a", "+2": "b"},
        rows=[{"id": "a", "to": "+1"} | row, {"id": "b", "to": "+2"} | row, {"id": "c", "to": "+3"} | lost],
        invites={"+1": 1, "+2": 1},
        log=log,
        got=[*log[:2], *log[:3], *log[3:]],  # some came again
        listed=deepcopy(listed),
        live=(0, 0),
        seconds=1.0,
        at_once=2,
        faults=Counter(kills=1),
    )


def _set(found: Found, place: int, **values: Any) -> None:
    found.rows[place].update(values)  # type: ignore[attr-defined]


def test_a_round_that_was_well(found: Found) -> None:
    assert found.breaches() == []
    counts = found.counts()
    assert (counts["accepted"], counts["invites"], counts["undialled"]) == (3, 2, "lost:1")
    assert (counts["log"], counts["receiver"], counts["again"], counts["disorder"]) == (10, 10, 2, 0)


@pytest.mark.parametrize(
    "breach",
    [
        lambda found: found.invites.update({"+1": 2}),
        lambda found: found.invites.update({"+4": 1}),
        lambda found: found.placed.update({"+9": "z"}),
        lambda found: found.rows.append(dict(found.rows[0])),
        lambda found: found.invites.pop("+1"),
        lambda found: _set(found, 2, dialledAt=None),
        lambda found: setattr(found, "faults", Counter()),
        lambda found: setattr(found, "live", (1, 0)),
        lambda found: setattr(found, "live", (0, 1)),
        lambda found: _set(found, 0, endedAt=None),
        lambda found: _set(found, 0, endReason="busy"),
        lambda found: _set(found, 0, status="failed"),
        lambda found: found.got.pop(),
        lambda found: found.got.insert(0, found.got[-1]),
        lambda found: found.got.append(found.got[0] | {"seq": 77}),
        lambda found: found.log.pop(4),
        lambda found: found.listed["a"].reverse(),
        lambda found: found.listed["a"].pop(),
    ],
)
def test_a_breach_is_seen(found: Found, breach: Callable[[Found], object]) -> None:
    breach(found)
    assert found.breaches()
