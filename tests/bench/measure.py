"""Runs one measured server and the load generator, each on a processor of its own, and reads what they used.

CPU seconds of the server per call is the figure to trust on a busy machine: no generator and no neighbour can
limit it. A server's CPU and memory are those of its whole process; CPU includes its children (Valkey).
"""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

STEPS = 3
"""Nodes of a call through the demo tree: two menus and the transfer."""

_ROWS = "SELECT count(*), coalesce(sum(status = 'completed'), 0), (SELECT count(*) FROM steps) FROM calls"
_HERE = Path(__file__).parent
_PATIENCE = 30.0
"""Seconds that a server may take to start."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Times of one kind in microseconds."""

    count: int
    p50_us: int
    p99_us: int
    max_us: int
    over_50_ms: int


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of the generator saw; `load.c` says what each means."""

    calls: int
    failed: int
    calls_per_second: float
    turnaround: Spread
    answered: Spread
    generator_cpu_share: float
    generator_late_us: int
    cpu_us: float
    """CPU of the server per call, microseconds."""
    generator_cpu_us: float
    """CPU of the generator per call, microseconds."""
    waited_ms: float
    """How long the server was ready to run while others had its processor, all threads together."""


@dataclass(frozen=True, slots=True)
class Held:
    """What many waiting calls cost, and how a new call fares beside them."""

    calls: int
    bytes_each: float
    answered: Spread
    turnaround: Spread


@dataclass
class Tools:
    """The compiled programs."""

    folder: Path
    compiler: str = field(default_factory=lambda: os.environ.get("CC", "cc"))

    def __post_init__(self) -> None:
        for name in ("load", "ceiling"):
            subprocess.run(
                [self.compiler, "-O2", "-o", str(self.folder / name), str(_HERE / f"{name}.c")], check=True
            )

    @classmethod
    @contextmanager
    def built(cls) -> Iterator[Self]:
        """Compiles them to a folder that is gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="trunx-bench-") as folder:
            yield cls(Path(folder))


def processors() -> tuple[int, int]:
    """The server's processor and the generator's; the same one where there is no second."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


class Served:
    """A running server; made by `serving`.

    Attributes:
        folder: its data folder.
    """

    def __init__(self, process: subprocess.Popen[str], tools: Tools, folder: Path) -> None:
        self._process = process
        self._tools = tools
        self.folder = folder
        self._completed = self._abandoned = 0
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("the server did not start; its own words are on stderr")
        self.port = int(line)

    def load(self, *options: str) -> Load:
        """Runs the generator against it."""
        return self.begin(*options)()

    def begin(self, *options: str) -> Callable[[], Load]:
        """Starts the generator; what is returned waits for its end."""
        before, generator = self._used(), self._generator(options)

        def finish() -> Load:
            seen = self._seen(generator)
            self._settled()
            cpu, waited = (after - earlier for after, earlier in zip(self._used(), before, strict=True))
            return Load(
                calls=seen["calls"],
                failed=seen["failed"],
                calls_per_second=seen["calls_per_second"],
                turnaround=Spread(**seen["turnaround"]),
                answered=Spread(**seen["answered"]),
                generator_cpu_share=seen["generator_cpu_share"],
                generator_late_us=seen["generator_late_us"],
                cpu_us=1e6 * cpu / max(1, seen["calls"] + seen["failed"]),
                generator_cpu_us=1e6 * seen["generator_cpu_share"] / max(1.0, seen["calls_per_second"]),
                waited_ms=1e3 * waited,
            )

        return finish

    def hold(self, calls: int, *options: str) -> Held:
        """Leaves so many calls waiting for a key, and then places new ones beside them."""
        memory = self._memory()
        generator = self._generator(["-H", str(calls), *options])
        assert generator.stdin is not None
        assert generator.stdout is not None
        if generator.stdout.readline() != "held\n":
            raise RuntimeError("the calls could not all be brought to wait")
        self._settled(waiting=calls)
        bytes_each = (self._memory() - memory) / calls
        generator.stdin.write("\n")
        generator.stdin.flush()
        seen = self._seen(generator)
        if seen["failed"]:
            raise RuntimeError(f"{seen['failed']} calls failed beside those that wait")
        self._abandoned += calls
        self._settled()
        return Held(calls, bytes_each, Spread(**seen["answered"]), Spread(**seen["turnaround"]))

    def _settled(self, waiting: int = 0) -> None:
        """Returns when the rows and steps of all calls are in the engine's database; others have none.

        Raises:
            RuntimeError: they are not, and have stopped coming.
        """
        file = self.folder / "trunx.db"
        if not file.exists():
            return
        ended = self._completed + self._abandoned
        wanted = (ended + waiting, ended, self._completed * STEPS + self._abandoned)
        deadline = time.monotonic() + _PATIENCE
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            while (there := database.execute(_ROWS).fetchone()) != wanted:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"calls, ended ones, steps: {there} in the database, not {wanted}")
                time.sleep(0.02)  # another process writes: there is nothing to wait on but the rows

    def _generator(self, options: Sequence[str]) -> subprocess.Popen[str]:
        program = [str(self._tools.folder / "load"), "-p", str(self.port), *options]
        return subprocess.Popen(
            _pinned(processors()[1], program), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def _seen(self, generator: subprocess.Popen[str]) -> dict[str, Any]:
        printed, _ = generator.communicate()
        if not printed:
            raise RuntimeError("the load generator failed; its own words are on stderr")
        seen: dict[str, Any] = json.loads(printed)
        self._completed += seen["calls"]
        return seen

    def _used(self) -> tuple[float, float]:
        """Seconds on a processor, and seconds ready but without one, of the process and its children."""
        cpu = waited = 0.0
        for pid in _family(self._process.pid):
            # The clock of another process (clock_getcpuclockid(3)); /proc's own counts in steps of 10 ms.
            cpu += time.clock_gettime((~pid << 3) | 2)
            for schedstat in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                waited += int(schedstat.read_text().split()[1]) / 1e9
        return cpu, waited

    def _memory(self) -> int:
        """Resident bytes of the server's own process."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def serving(tools: Tools, kind: str, *, sounds: str | None = None) -> Iterator[Served]:
    """Starts a server of `tests.bench.servers`, or the canned one in C (`ceiling`), on its processor.

    With `sounds`, the URL of an Asterisk's sounds folder, it works for that one, on any processor.
    """
    program = (
        [str(tools.folder / "ceiling")]
        if kind == "ceiling"
        else [sys.executable, "-m", "tests.bench.servers", kind]
    )
    with tempfile.TemporaryDirectory(prefix="trunx-bench-") as folder:
        process = subprocess.Popen(
            [*program, folder] if sounds else _pinned(processors()[0], [*program, folder]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_HERE.parents[1],
            env=os.environ | ({"TRUNX_SOUNDS_URL": sounds} if sounds else {}),
        )
        try:
            yield Served(process, tools, Path(folder))
        finally:
            process.communicate()  # closes its standard input, which ends it


def _pinned(processor: int, program: list[str]) -> list[str]:
    return ["taskset", "-c", str(processor), *program]


def _family(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from _family(int(child))
