"""A small round of `tests.chaos`: what `make chaos` does ten times, on another day and with more calls."""

from __future__ import annotations

import random
from pathlib import Path

import dialplan
from tests.chaos.round import Plan, one_round
from tests.chaos.stage import Numbers, staged

PLAN = Plan(
    seed=4, calls=40, later=10, seconds=6.0, kills=1, cuts=1, freezes=0, restarts=1, lasts=(3, 8), rings=4
)


async def test_a_round_of_chaos(tmp_path: Path) -> None:
    """1. Forty calls are placed at once, and ten more meanwhile. 2. Our process is killed, the connection to
    the manager interface is cut, and Asterisk is restarted. 3. Nobody was dialled twice, everybody once but
    for an order that was on its way in that moment; nothing lives on; and the webhook was told of everything
    in order.
    """
    async with staged(dialplan.render()) as stage:
        found = await one_round(PLAN, stage, Numbers(random.Random(4)), tmp_path / "data")
    assert found.breaches() == []
    assert (found.faults["kills"], found.faults["cuts"], found.faults["restarts"]) == (1, 1, 1)
    assert found.at_once > 10, found.counts()
    assert len(found.rows) == len(found.requests) == 50
