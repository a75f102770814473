"""Prints what was measured, and each target of the issue with the figure that meets it or does not."""

from dataclasses import dataclass, field

from tests.bench.measure import Held, Load


@dataclass
class Figures:
    """Everything that one benchmark measured: runs by server and concurrent calls, waiting calls by server."""

    runs: dict[str, dict[int, list[Load]]] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)

    def rate(self, kind: str, concurrent: int) -> float:
        """Calls a second of the best round."""
        return max(load.calls_per_second for load in self.runs[kind][concurrent])

    def cpu(self, kind: str, concurrent: int) -> float:
        """Microseconds of CPU a call, of the best round."""
        return min(load.cpu_us for load in self.runs[kind][concurrent])


def show(figures: Figures) -> None:
    """Prints tables and targets."""
    print("six commands a call; best of the rounds; ratios by calls/s (by CPU a call)")
    print(
        f"{'':18}{'calls/s 50':>11}{'500':>8}{'CPU us 50':>11}{'500':>7}{'B/waiting':>11}"
        f"{'of floor 50':>14}{'500':>13}{'x panoramisk 50':>18}{'500':>13}"
    )
    for kind in figures.runs:
        held = f"{figures.held[kind].bytes_each:,.0f}" if kind in figures.held else ""
        print(
            f"{kind:18}{figures.rate(kind, 50):11,.0f}{figures.rate(kind, 500):8,.0f}"
            f"{figures.cpu(kind, 50):11,.1f}{figures.cpu(kind, 500):7,.1f}{held:>11}"
            f"{_ratio(figures, kind, 'floor', 50):>14}{_ratio(figures, kind, 'floor', 500):>13}"
            f"{_ratio(figures, kind, 'panoramisk', 50):>18}{_ratio(figures, kind, 'panoramisk', 500):>13}"
        )


def _ratio(figures: Figures, kind: str, other: str, concurrent: int) -> str:
    if other not in figures.runs:
        return ""
    rate = figures.rate(kind, concurrent) / figures.rate(other, concurrent)
    return f"{rate:.2f} ({figures.cpu(other, concurrent) / figures.cpu(kind, concurrent):.2f})"
