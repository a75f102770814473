"""The engine, and how late its event loop was: `python -m tests.bench.watched FOLDER`.

A task that wants to run every millisecond notes how late it came. The first line printed tells the ports,
each line on standard input is answered with what was seen since the last; it ends with its input.
"""

import asyncio
import json
import os
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvloop

from trunx import app, logs, settings

_EVERY = 0.001
_NOTED = 0.002
"""Seconds from which on a lateness is worth a look: timers count whole milliseconds."""


@dataclass(frozen=True, slots=True)
class Lateness:
    """A stretch of `seconds`, in which the task ran `looks` times; the rest in milliseconds.

    `ran` is the most that the loop's thread computed in one lateness; `waited` the most that it was ready to
    and others had its processor. What is neither is a wait for the disk or for Python's lock.
    """

    seconds: float
    looks: int
    p99: float
    longest: float
    ran: float
    waited: float
    over_20: int


class Watch:
    """Notes how late the loop of this thread is."""

    def __init__(self) -> None:
        # Nanoseconds on a processor and waiting for one, and turns (Linux, Documentation/scheduler/).
        self._schedstat = os.open(f"/proc/self/task/{threading.get_native_id()}/schedstat", os.O_RDONLY)
        self._since, self._late = time.perf_counter(), list[float]()
        self._ran = self._waited = 0.0

    async def run(self) -> None:
        """For ever."""
        ran, waited = self._used()
        while True:
            due = time.perf_counter() + _EVERY
            await asyncio.sleep(_EVERY)
            late = time.perf_counter() - due
            self._late.append(late)
            before, (ran, waited) = (ran, waited), self._used()
            if late > _NOTED:
                self._ran = max(self._ran, ran - before[0])
                self._waited = max(self._waited, waited - before[1])

    def tell(self) -> Lateness:
        """What was seen since the last time."""
        late = sorted(self._late) or [0.0]
        seen = Lateness(
            seconds=time.perf_counter() - self._since,
            looks=len(late),
            p99=1e3 * late[-1 - len(late) // 100],
            longest=1e3 * late[-1],
            ran=1e3 * self._ran,
            waited=1e3 * self._waited,
            over_20=sum(one > 0.020 for one in late),
        )
        self._since, self._late = time.perf_counter(), []
        self._ran = self._waited = 0.0
        return seen

    def _used(self) -> tuple[float, float]:
        ran, waited, _ = os.pread(self._schedstat, 100, 0).split()
        return int(ran) / 1e9, int(waited) / 1e9


async def _serve(folder: Path) -> None:
    chosen = settings.load(data_dir=folder, http_port=0, agi_port=0, log_json=True, demo=True)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    watch = Watch()

    def asked() -> None:
        data = os.read(0, 100)
        for _ in data:
            _say(asdict(watch.tell()))
        if not data:
            loop.remove_reader(0)
            ended.set()

    async with app.running(chosen) as running:
        watching = asyncio.create_task(watch.run())
        loop.add_reader(0, asked)
        _say({"url": running.http_url, "agi_port": running.calls.port})
        await ended.wait()
        watching.cancel()


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main(folder: Path) -> None:
    """Serves until standard input ends."""
    logs.configure(as_json=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(folder))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
