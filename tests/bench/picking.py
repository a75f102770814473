"""How long it takes to pick among 10,000 DIDs that have all made calls, from the row on; SQLite, one process.

`await measure()` returns `Picked`.
"""

import random
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from trunx.adapters.store.accounts import Accounts
from trunx.adapters.store.database import Database
from trunx.adapters.store.standings import Standings
from trunx.adapters.store.tables import milliseconds, now
from trunx.engine.picking import AUTO, Picking

AREAS = [str(code) for code in range(201, 990)]
_ENDS = [("completed", "hangup-callee"), ("failed", "no-answer"), ("failed", "busy"), ("failed", "rejected")]


@dataclass(frozen=True, slots=True)
class Picked:
    """Milliseconds of the clock. `first` reads all DIDs and calls, which then happens aside once a minute;
    `p50` and `p99` are of the `picks` that follow, to numbers everywhere.
    """

    dids: int
    calls: int
    picks: int
    first: float
    p50: float
    p99: float


async def measure(dids: int = 10_000, calls_each: int = 20, picks: int = 1_000) -> Picked:
    """An account with `dids` numbers all over North America, each with `calls_each` calls of a week."""
    chance = random.Random(1)
    numbers = [f"+1{chance.choice(AREAS)}555{line:04}" for line in range(dids)]
    with tempfile.TemporaryDirectory(prefix="trunx-bench-") as folder:
        path = Path(folder) / "trunx.db"
        async with Database.open(f"sqlite:///{path}") as database:
            account = (await Accounts(database).create("bench")).id
            _fill(path, account, numbers, calls_each)
            picking = Picking(Standings(database))
            took = []
            for _ in range(picks + 1):
                to = f"+1{chance.choice(AREAS)}5550199"
                begun = time.perf_counter()
                await picking.caller(account, AUTO, to)
                took.append(1e3 * (time.perf_counter() - begun))
            await picking.close()
    first, *rest = took
    rest.sort()
    return Picked(dids, dids * calls_each, picks, first, rest[picks // 2], rest[-1 - picks // 100])


def _fill(path: Path, account: str, dids: list[str], calls_each: int) -> None:
    at = now() - timedelta(days=6)
    with closing(sqlite3.connect(path)) as database, database:
        database.executemany(
            "INSERT INTO dids (did, account, created_at, revision) VALUES (?, ?, ?, 1)",
            ((did, account, milliseconds(at)) for did in dids),
        )
        database.executemany(
            "INSERT INTO calls (id, call_id, account, direction, from_number, to_number, status, "
            "created_at, answered_at, ended_at, end_reason, server) "
            "VALUES (?, ?, ?, 'outbound', ?, ?, ?, ?, ?, ?, ?, '')",
            _calls(account, dids, calls_each, at),
        )


def _calls(account: str, dids: list[str], calls_each: int, since: datetime) -> Iterator[tuple[object, ...]]:
    """In the order of time, as they are dialled: a DID's calls stand far from each other."""
    chance = random.Random(2)
    for turn in range(calls_each):
        for place, did in enumerate(dids):
            at = milliseconds(since) + (turn * len(dids) + place) * 5 * 86_400_000 // (calls_each * len(dids))
            status, reason = chance.choice(_ENDS)
            answered = at + 9_000 if status == "completed" else None
            name = f"{at:012x}-{turn}-{place}"
            to = f"+1{chance.choice(AREAS)}555{chance.randrange(10_000):04}"
            ended = at + chance.randrange(10_000, 90_000)
            yield name, name, account, did, to, status, at, answered, ended, reason
