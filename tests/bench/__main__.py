"""`python -m tests.bench`: measures, prints a table and the targets; `--quick` for a short look.

Servers take turns within each round, so that a busy neighbour disturbs all of them alike, and the best round
of each counts.
"""

import argparse
import asyncio
import json
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench import actions, audio, outbound
from tests.bench.measure import Load, Tools, serving
from tests.bench.real import Comparison, compare
from tests.bench.report import Figures, show
from tests.bench.servers import KINDS

CONCURRENT = (50, 500)

REAL = "real"
"""The part of the benchmark that needs an Asterisk."""

AUDIO = "audio"
"""The part that makes sounds."""

OUTBOUND = "outbound"
"""The part that places calls, and tells of them; it needs an Asterisk too."""

ACTIONS = "actions"
"""The part that acts on live calls; it needs an Asterisk too."""
ALL = [*KINDS, REAL, AUDIO, OUTBOUND, ACTIONS]

STEADY_RATE = 500
"""New calls a second; with prompts that take a second in all, so many are live at a time."""

PROMPTS_MS = "20,0,400,180,0"
"""How long Asterisk takes for ANSWER, GET VARIABLE, GET DATA (twice), STREAM FILE, HANGUP."""


@dataclass(frozen=True, slots=True)
class Size:
    """How long and how often is measured; times in seconds."""

    rounds: int
    seconds: float
    held: int
    beside: float
    steady: float
    singles: int
    crowds: int


FULL = Size(rounds=5, seconds=0.8, held=10_000, beside=5, steady=60, singles=9, crowds=2)
QUICK = Size(rounds=3, seconds=0.6, held=2_000, beside=1, steady=5, singles=3, crowds=1)


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


def steady(tools: Tools, size: Size) -> tuple[Load, Load]:
    """The engine under the load of prompts that play, and the floor, on the same processor at the same time.

    The floor's longest turnaround is what the machine does to anybody.
    """
    with serving(tools, "engine") as engine, serving(tools, "floor") as floor:
        options = ("-d", PROMPTS_MS, "-w", "2", "-s", str(size.steady))
        both = engine.begin("-r", str(STEADY_RATE), *options), floor.begin("-r", "50", *options)
        engines, floors = (finish() for finish in both)
        return engines, floors


def real_calls(tools: Tools, size: Size) -> Comparison | str:
    """The comparison on a real Asterisk, or why there is none."""
    try:
        return asyncio.run(compare(tools, singles=size.singles, crowds=size.crowds, at_once=50))
    except (RuntimeError, OSError) as error:
        return str(error)


def placed_calls(size: outbound.Size) -> outbound.Outbound | str:
    """What placing calls takes, or why it was not measured."""
    try:
        return asyncio.run(outbound.measure(size))
    except (RuntimeError, OSError) as error:
        return str(error)


def acted_upon(size: actions.Size) -> actions.Actions | str:
    """What acting on live calls takes, or why it was not measured."""
    try:
        return asyncio.run(actions.measure(size))
    except (RuntimeError, OSError) as error:
        return str(error)


def note(text: str) -> None:
    """Tells a person at a terminal how far it is."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}\r")


def main() -> None:
    """Measures what the arguments ask for, and prints it."""
    arguments = _arguments()
    size = QUICK if arguments.quick else FULL
    parts = arguments.only or ALL
    kinds = [kind for kind in KINDS if kind in parts]
    figures = Figures()
    with Tools.built() as tools:
        if kinds:
            figures.runs = throughput(tools, ["ceiling", *kinds], size)
        for kind in kinds:
            with serving(tools, kind) as server:
                note(f"{kind}: {size.held} calls waiting")
                server.load("-c", "10", "-n", "50")
                figures.held[kind] = server.hold(size.held, "-r", "50", "-s", str(size.beside))
        if "engine" in kinds:
            note(f"engine: {STEADY_RATE} calls at a time for {size.steady:.0f} s")
            figures.steady = steady(tools, size)
        if REAL in parts:
            note("calls on a real Asterisk")
            figures.real = real_calls(tools, size)
    if AUDIO in parts:
        note("speech, uploads, and calls beside them")
        figures.audio = audio.measure(audio.QUICK if arguments.quick else audio.FULL)
    if OUTBOUND in parts:
        note("calls that are placed, their events, and which DID calls")
        figures.outbound = placed_calls(outbound.QUICK if arguments.quick else outbound.FULL)
    if ACTIONS in parts:
        note("actions on live calls")
        figures.actions = acted_upon(actions.QUICK if arguments.quick else actions.FULL)
    note("")
    show(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(figures), indent=1), "utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short look; the figures are rough")
    parser.add_argument("--only", type=lambda names: names.split(","), default=[], help=",".join(ALL))
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    arguments = parser.parse_args()
    if unknown := set(arguments.only) - {*ALL}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    return arguments


if __name__ == "__main__":
    main()
