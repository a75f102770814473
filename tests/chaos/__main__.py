"""`python -m tests.chaos`: rounds of chaos, a line for each, and whether all is as it must be."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from contextlib import redirect_stderr
from pathlib import Path

import dialplan
from tests.chaos.round import Plan, one_round
from tests.chaos.stage import Numbers, staged

_SHOWN = 20


async def main(rounds: int, calls: int, freezes: int, seed: int, folder: Path) -> bool:
    """Whether all rounds were as they must be."""
    is_well = True
    numbers = Numbers(random.Random(seed))
    async with staged(dialplan.render()) as stage:
        for number in range(1, rounds + 1):
            plan = Plan(seed=seed + number, calls=calls, later=calls // 10, freezes=freezes)
            place = folder / f"round-{number}"
            place.mkdir()
            with (place / "log.jsonl").open("w") as log, redirect_stderr(log):
                found = await one_round(plan, stage, numbers, place / "data")
            breaches = found.breaches()
            is_well = is_well and not breaches
            counts = found.counts()
            if number == 1:
                print("round", *counts, "verdict", sep=" | ", flush=True)
            print(number, *counts.values(), "breach" if breaches else "well", sep=" | ", flush=True)
            for breach in breaches[:_SHOWN]:
                print(f"    {breach}", flush=True)
            if len(breaches) > _SHOWN:
                print(f"    and {len(breaches) - _SHOWN} more", flush=True)
    return is_well


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--calls", type=int, default=200, help="at once; a tenth more comes during faults")
    parser.add_argument("--freezes", type=int, default=1, help="of the manager connection, in each round")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="keeps each round's database and log there")
    asked = parser.parse_args()
    kept = asked.folder or Path(tempfile.mkdtemp(prefix="trunx-chaos-"))
    kept.mkdir(parents=True, exist_ok=True)
    print(f"databases and logs: {kept}", flush=True)
    sys.exit(0 if asyncio.run(main(asked.rounds, asked.calls, asked.freezes, asked.seed, kept)) else 1)
