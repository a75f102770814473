"""`python -m tests.bench`: measures, prints a table and the targets; `--quick` for a short look.

Servers take turns within each round, so that a busy neighbour disturbs all of them alike, and the best round
of each counts.
"""

import argparse
import json
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.bench import report
from tests.bench.measure import Held, Load, Served, Tools, serving
from tests.bench.servers import KINDS

CONCURRENT = (50, 500)


@dataclass(frozen=True, slots=True)
class Size:
    """How long and how often is measured; times in seconds."""

    rounds: int
    seconds: float
    held: int
    beside: float
    steady: float


FULL = Size(rounds=3, seconds=1.5, held=10_000, beside=5, steady=60)
QUICK = Size(rounds=2, seconds=0.8, held=2_000, beside=1, steady=5)


def throughput(tools: Tools, kinds: list[str], size: Size) -> dict[str, dict[int, list[Load]]]:
    """All servers in turn at each number of concurrent calls, as often as there are rounds."""
    runs: dict[str, dict[int, list[Load]]] = {kind: {n: [] for n in CONCURRENT} for kind in kinds}
    with ExitStack() as stack:
        servers = {kind: stack.enter_context(serving(tools, kind)) for kind in kinds}
        for server in servers.values():
            server.load("-c", "10", "-s", "0.2")
        for round_ in range(size.rounds):
            for concurrent in CONCURRENT:
                for kind, server in servers.items():
                    note(f"round {round_ + 1} of {size.rounds}: {kind} at {concurrent}")
                    load = server.load("-c", str(concurrent), "-s", str(size.seconds), "-w", "0.2")
                    runs[kind][concurrent].append(load)
    return runs


def note(text: str) -> None:
    """Tells a person at a terminal how far it is."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}\r")


def main() -> None:
    arguments = _arguments()
    size = QUICK if arguments.quick else FULL
    kinds = [kind for kind in KINDS if not arguments.only or kind in arguments.only]
    with Tools.built() as tools:
        figures = report.Figures(runs=throughput(tools, ["ceiling", *kinds], size))
        for kind in kinds:
            with serving(tools, kind) as server:
                note(f"{kind}: {size.held} calls waiting")
                server.load("-c", "10", "-n", "50")
                figures.held[kind] = server.hold(size.held, "-r", "50", "-s", str(size.beside))
    report.show(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(figures), indent=1), "utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short look; the figures are rough")
    parser.add_argument("--only", type=lambda names: names.split(","), default=[], help=",".join(KINDS))
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    arguments = parser.parse_args()
    if unknown := set(arguments.only) - set(KINDS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    return arguments


if __name__ == "__main__":
    main()
