"""Prints what was measured, and each target of the issue with the figure that meets it or does not."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median

from tests.bench.actions import Actions
from tests.bench.audio import Audio, Beside
from tests.bench.measure import Held, Load, processors
from tests.bench.outbound import AT_ONCE, RATE, Outbound
from tests.bench.real import FRAME_MS, Comparison
from tests.bench.watched import Lateness


@dataclass
class Figures:
    """Everything that one benchmark measured.

    Attributes:
        runs: throughput by server and concurrent calls.
        held: waiting calls by server.
        steady: the engine under a steady load, and the floor beside it.
        real: calls on a real Asterisk, or why there are none.
        audio: speech and uploads, with calls beside them.
        outbound: calls that were placed, or why there are none.
        actions: what was done to live calls, or why nothing was.
    """

    runs: dict[str, dict[int, list[Load]]] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    steady: tuple[Load, Load] | None = None
    real: Comparison | str | None = None
    audio: Audio | None = None
    outbound: Outbound | str | None = None
    actions: Actions | str | None = None

    def rate(self, kind: str, concurrent: int) -> float:
        """Calls a second of the best round."""
        return max(load.calls_per_second for load in self.runs[kind][concurrent])

    def cpu(self, kind: str, concurrent: int) -> float:
        """Microseconds of CPU a call, of the best round."""
        return min(load.cpu_us for load in self.runs[kind][concurrent])

    def ratios(self, kind: str, other: str, concurrent: int) -> tuple[float, float]:
        """How many times as fast as `other`: by calls a second, and by CPU a call."""
        return (
            self.rate(kind, concurrent) / self.rate(other, concurrent),
            self.cpu(other, concurrent) / self.cpu(kind, concurrent),
        )


@dataclass(frozen=True, slots=True)
class Target:
    """One promise of the issue: what, the figure, and whether it was kept."""

    what: str
    figure: str
    verdict: str


def show(figures: Figures) -> None:
    """Prints the tables and the targets."""
    if figures.runs:
        _show_throughput(figures)
    if isinstance(figures.real, Comparison):
        _show_real(figures.real)
    if figures.audio is not None:
        _show_audio(figures.audio)
    if isinstance(figures.outbound, Outbound):
        _show_outbound(figures.outbound)
    elif figures.outbound is not None:
        print(f"Calls that are placed were not measured: {figures.outbound}\n")
    if isinstance(figures.actions, Actions):
        _show_actions(figures.actions)
    elif figures.actions is not None:
        print(f"Actions on live calls were not measured: {figures.actions}\n")
    for target in targets(figures):
        print(f"{target.verdict:15}{target.what:77}{target.figure}")


def _show_throughput(figures: Figures) -> None:
    print("Six commands a call; the best of the rounds; ratios by calls/s (by CPU a call).\n")
    print(
        f"{'server':18}{'calls/s 50':>11}{'500':>8}{'CPU us 50':>11}{'500':>7}{'B/waiting':>11}"
        f"{'of floor 50':>14}{'500':>13}{'x panoramisk 50':>18}{'500':>13}"
    )
    for kind in figures.runs:
        held = f"{figures.held[kind].bytes_each:,.0f}" if kind in figures.held else ""
        print(
            f"{kind:18}{figures.rate(kind, 50):11,.0f}{figures.rate(kind, 500):8,.0f}"
            f"{figures.cpu(kind, 50):11,.1f}{figures.cpu(kind, 500):7,.1f}{held:>11}"
            f"{_shown(figures, kind, 'floor', 50):>14}{_shown(figures, kind, 'floor', 500):>13}"
            f"{_shown(figures, kind, 'panoramisk', 50):>18}{_shown(figures, kind, 'panoramisk', 500):>13}"
        )
    loads = [load for by in figures.runs.values() for runs in by.values() for load in runs]
    generator = min(load.generator_cpu_us for load in loads)
    server, driver = processors()
    print(
        f"\nServers on processor {server}, the generator on {driver}, at {generator:.0f} us of CPU a call: "
        f"its limit is {1e6 / generator:,.0f} calls/s; ceiling is\na canned server in C. "
        f"Calls: {sum(load.calls for load in loads):,}, failed: {sum(load.failed for load in loads)}."
    )
    if "floor" in figures.runs:
        floor = [load for runs in figures.runs["floor"].values() for load in runs]
        waited = 1000 * sum(load.waited_ms for load in floor)
        ran = sum(load.cpu_us * load.calls for load in floor)
        print(
            f"Others took {waited / (waited + ran):.0%} of the floor's processor; much of it makes calls/s "
            "and latencies\nfigures of the machine, and leaves CPU a call to compare by."
        )
    if "engine" in figures.runs:
        print("engine: the rows and steps of all its calls were found in its database.")
    print()


def _show_real(real: Comparison) -> None:
    print("Real Asterisk: ms between the beginnings of the two prompts, and from the answer to the first.")
    for way, single in real.single.items():
        crowd = real.crowd[way]
        begins = sorted(call.begin for call in single), sorted(call.begin for call in crowd)
        print(
            f"  {way:8} one at a time ({len(single)}): median {real.median_between(way):.1f}, "
            f"from the answer {median(begins[0]):.1f};  {real.at_once} at once ({len(crowd)}): "
            f"99th percentile {real.p99_between(way):.1f}, from the answer {median(begins[1]):.1f}"
        )
    print()


def _show_audio(audio: Audio) -> None:
    spoken, beside = audio.spoken, audio.beside
    print(
        f"Audio: seconds from a text of {median(spoken.plays):.1f} s to the answer, when the next call plays "
        "it from Asterisk's folder (local voice):"
    )
    for when, seconds in (("after a start", spoken.cold), ("later", spoken.warm)):
        print(
            f"  {when:14} median {median(seconds):.2f}, {min(seconds):.2f} to {max(seconds):.2f} "
            f"of {len(seconds)}"
        )
    if not isinstance(audio.studio, str):
        print(
            "  Seconds of audio that one core makes into sounds in a second (by the clock), and sox with it:"
        )
        for kind, contest in audio.studio.items():
            ours, sox = contest.ours, contest.sox
            print(
                f"  {kind:14} {ours.by_cpu:.0f} ({ours.by_clock:.0f}), sox {sox.by_cpu:.0f} "
                f"({sox.by_clock:.0f}): {contest.ratio:.2f} times as fast by CPU"
            )
    made = 60 * beside.minutes * beside.files
    print(
        f"  {beside.files} files of {beside.minutes:g} minutes, sent at once, were sounds on Asterisk after "
        f"{beside.took:.0f} s ({made / beside.took:.0f} s of audio in a second),\n"
        f"  with {beside.calls} calls at all times; {beside.ended} ended well, {beside.lost} did not."
    )
    for what, late in (("calls alone", beside.calm), ("calls and files", beside.busy)):
        print(
            f"  event loop, {what}, {late.seconds:.0f} s: late by {late.p99:.1f} ms (p99), "
            f"{late.longest:.1f} (longest), {late.over_20} times over 20;\n    in one of them it ran "
            f"{late.ran:.1f} and waited for a processor {late.waited:.1f} at most."
        )
    print()


def _show_outbound(outbound: Outbound) -> None:
    waited, picked = sorted(outbound.waited_ms), outbound.picked
    accepted, invites = outbound.dialled
    print("Calls that are placed, on two real Asterisks that share the machine with the server:")
    print(
        f"  {outbound.accepted:.0f} requests a second are accepted, {AT_ONCE} at once, each dialled and "
        f"busy; {outbound.cpu_ms:.1f} ms of CPU each."
    )
    print(
        f"  From the request to the INVITE's arrival, {RATE} calls a second, {outbound.talking} of them up: "
        f"median {median(waited):.0f} ms,\n    p99 {waited[-1 - len(waited) // 100]:.0f}, longest "
        f"{waited[-1]:.0f} of {len(waited)}. {accepted} requests were accepted, {invites} INVITEs came."
    )
    print(
        f"  {outbound.delivered:.0f} events a second are taken by one webhook, of {outbound.events} waiting."
    )
    print(
        f"  Among {picked.dids:,} DIDs with {picked.calls:,} calls one is picked in {picked.p50:.2f} ms "
        f"(median), {picked.p99:.2f} (p99) of {picked.picks:,};\n"
        f"    the first pick, which reads all of them, takes {picked.first:.0f} ms.\n"
    )


def _show_actions(actions: Actions) -> None:
    print(
        f"Actions, {actions.calls} calls up: ms from the request to the first of it that the far side has, "
        "on two real\nAsterisks that share the machine with the server:"
    )
    for what, unsorted in actions.waited_ms.items():
        waited = sorted(unsorted)
        print(
            f"  {what:18} median {median(waited):.0f}, p99 {waited[-1 - len(waited) // 100]:.0f}, longest "
            f"{waited[-1]:.0f} of {len(waited)}"
        )
    print()


def targets(figures: Figures) -> Iterator[Target]:
    """The issue's promises about what was measured."""
    for kind, other, at_least in (
        ("agi", "floor", {50: 0.75, 500: 0.75}),
        ("agi-asyncio", "panoramisk", {50: 2.0, 500: 2.0}),
        ("engine", "floor", {50: 0.35, 500: 0.35}),
        ("engine", "panoramisk", {50: 1.5, 500: 2.0}),
    ):
        if kind in figures.runs and other in figures.runs:
            for concurrent, wanted in at_least.items():
                yield _throughput(figures, kind, other, concurrent, wanted)
    for kind, at_most in (("agi", 7 * 1024), ("engine", 10 * 1024)):
        if kind in figures.held:
            held = figures.held[kind]
            what = f"{kind}: at most {at_most:,} bytes per waiting call ({held.calls:,} waiting)"
            yield _at_most(what, held.bytes_each, at_most, f"{held.bytes_each:,.0f}")
    if "engine" in figures.held:
        held = figures.held["engine"]
        yield _at_most(
            f"engine: a new call is answered in under 20 ms, {held.calls:,} waiting (p99)",
            held.answered.p99_us,
            20_000,
            f"p50 {_ms(held.answered.p50_us)}, p99 {_ms(held.answered.p99_us)}, "
            f"longest {_ms(held.answered.max_us)} of {held.answered.count} calls",
        )
    if figures.steady is not None:
        yield from _steady(*figures.steady)
    if isinstance(figures.real, Comparison):
        yield from _real(figures.real)
    elif figures.real is not None:
        yield Target("real Asterisk: as quick as native dialplan", figures.real, "NOT MEASURED")
    yield from _audio(figures.audio)


def _throughput(figures: Figures, kind: str, other: str, concurrent: int, wanted: float) -> Target:
    by_rate, by_cpu = figures.ratios(kind, other, concurrent)
    match by_rate >= wanted, by_cpu >= wanted:
        case True, True:
            verdict = "met"
        case False, True:
            verdict = "met by CPU"
        case True, False:
            verdict = "met by calls/s"
        case _:
            verdict = "NOT MET"
    what = f"{kind}: at least {wanted} times {other} at {concurrent} concurrent calls"
    return Target(what, f"{by_rate:.2f} by calls/s, {by_cpu:.2f} by CPU a call", verdict)


def _steady(engine: Load, floor: Load) -> Iterator[Target]:
    seen, beside = engine.turnaround, floor.turnaround
    yield _at_most(
        "engine: turnaround p99 under 5 ms with 500 calls live",
        seen.p99_us,
        5_000,
        f"p50 {_ms(seen.p50_us)}, p99 {_ms(seen.p99_us)} of {seen.count} commands",
    )
    seconds = engine.calls / engine.calls_per_second
    yield _at_most(
        f"engine: no pause over 50 ms in {seconds:.0f} s",
        seen.max_us,
        50_000,
        f"longest {_ms(seen.max_us)} ({seen.over_50_ms} commands over 50 ms); the floor beside it "
        f"{_ms(beside.max_us)} ({beside.over_50_ms}); waited {engine.waited_ms:.0f} ms for the processor",
    )


def _real(real: Comparison) -> Iterator[Target]:
    """A figure of ours below native's is no merit and no fault: only what a caller waits longer counts."""
    single = real.median_between("engine") - real.median_between("native")
    crowd = real.p99_between("engine") - real.p99_between("native")
    for what, more, frames in (
        ("real Asterisk: equal to native dialplan to the frame, median of one call", single, 1),
        (f"real Asterisk: within two frames, 99th percentile of {real.at_once} at once", crowd, 2),
    ):
        yield _at_most(what, more, frames * FRAME_MS, f"{more:+.1f} ms, {more / FRAME_MS:+.2f} frames")


def _audio(audio: Audio | None) -> Iterator[Target]:
    if audio is None:
        return
    if isinstance(audio.studio, str):
        yield Target("audio: a core's seconds of audio a second beside sox's", audio.studio, "NOT MEASURED")
    yield _unheld(audio.beside)


def _unheld(beside: Beside) -> Target:
    """Met by CPU: what was longer than 20 ms was no work of the loop's, and is seen without files as well."""
    busy, calm = beside.busy, beside.calm

    def told(late: Lateness) -> str:
        return f"{late.longest:.1f} ms (ran {late.ran:.1f})"

    verdict = "met" if busy.longest < 20 else "met by CPU" if busy.ran < 20 else "NOT MET"
    what = f"audio: no event-loop stall of 20 ms, {beside.files} files beside {beside.calls} calls"
    return Target(what, f"longest {told(busy)}; without files {told(calm)}", verdict)


def _at_most(what: str, value: float, limit: float, figure: str) -> Target:
    return Target(what, figure, "met" if value <= limit else "NOT MET")


def _shown(figures: Figures, kind: str, other: str, concurrent: int) -> str:
    if other not in figures.runs:
        return ""
    by_rate, by_cpu = figures.ratios(kind, other, concurrent)
    return f"{by_rate:.2f} ({by_cpu:.2f})"


def _ms(microseconds: float) -> str:
    return f"{microseconds / 1000:.1f} ms"
