"""The journal: an opt-out that was written is never lost, whoever dies when."""

import asyncio
import stat
import sys
from asyncio.subprocess import PIPE
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.adapters.waiting import until
from trunx.adapters.store.database import Database
from trunx.adapters.store.journal import Journal
from trunx.adapters.store.suppressions import Suppressions
from trunx.domain.errors import UnavailableError
from trunx.domain.records import Page, Suppression
from trunx.engine import ports

_START = datetime(2026, 5, 17, 12, 30, 15, 123_000, tzinfo=UTC)


def _entry(account: str, number: int) -> Suppression:
    return Suppression(account, f"+1949{number:07}", "ivr", 'pressed 9: "ä"\n', "call-1", _START)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "suppressions.journal"


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _move_aside(path: Path) -> None:
    path.rename(path.with_name(path.name + ".replaying"))


async def _numbers(suppressions: Suppressions, account: str) -> set[str]:
    return {entry.number for entry in (await suppressions.page(account, Page(10_000))).rows}


async def test_entries_come_home(database: Database, account: str, path: Path) -> None:
    journal, suppressions = Journal(path), Suppressions(database)
    port: ports.Journal = journal
    assert await journal.replay(suppressions) == 0
    await asyncio.gather(*(port.write(_entry(account, number)) for number in range(30)))
    assert journal.waiting
    assert await journal.replay(suppressions) == 30
    assert not journal.waiting
    assert await suppressions.get(account, _entry(account, 7).number) == _entry(account, 7)
    assert list(path.parent.glob("suppressions*")) == []


async def test_entries_wait_while_the_database_is_away(path: Path) -> None:
    journal = Journal(path)
    await journal.write(_entry("MA1", 1))
    async with Database.open("postgresql://nobody@127.0.0.1:1/nowhere") as away:
        for _ in range(2):
            with pytest.raises(UnavailableError):
                await journal.replay(Suppressions(away))
            await journal.write(_entry("MA1", 2))
    assert journal.waiting
    assert _mode(path) == 0o600


async def test_processes_that_share_the_file_lose_nothing(
    sqlite: Database, account_of_sqlite: str, path: Path
) -> None:
    suppressions = Suppressions(sqlite)
    one, two = Journal(path), Journal(path)

    async def keep_writing(journal: Journal, start: int) -> None:
        for number in range(start, start + 30):
            await journal.write(_entry(account_of_sqlite, number))

    async def keep_replaying(journal: Journal) -> None:
        for _ in range(20):
            await journal.replay(suppressions)

    await asyncio.gather(
        keep_writing(one, 0), keep_writing(two, 30), keep_replaying(one), keep_replaying(two)
    )
    await one.replay(suppressions)
    assert len(await _numbers(suppressions, account_of_sqlite)) == 60


async def test_a_torn_line_and_a_refused_entry_are_kept_aside(
    sqlite: Database, account_of_sqlite: str, path: Path
) -> None:
    journal, suppressions = Journal(path), Suppressions(sqlite)
    await journal.write(_entry(account_of_sqlite, 1))
    with path.open("ab") as file:
        file.write(b'{"account":"MA')
    await journal.write(_entry("MA-nobody", 2))
    await journal.write(_entry(account_of_sqlite, 3))
    with capture_logs() as logs:
        await journal.replay(suppressions)
    assert await _numbers(suppressions, account_of_sqlite) == {"+19490000001", "+19490000003"}
    damaged = path.with_name(path.name + ".damaged").read_bytes()
    assert damaged.startswith(b'{"account":"MA\n')
    assert b"MA-nobody" in damaged
    assert [line["log_level"] for line in logs] == ["error", "error", "info"]


async def test_a_replay_that_was_cut_off_is_taken_up(
    sqlite: Database, account_of_sqlite: str, path: Path
) -> None:
    journal, suppressions = Journal(path), Suppressions(sqlite)
    await journal.write(_entry(account_of_sqlite, 1))
    _move_aside(path)
    await suppressions.add([_entry(account_of_sqlite, 1)])
    await journal.write(_entry(account_of_sqlite, 2))
    assert await journal.replay(suppressions) == 2
    assert await _numbers(suppressions, account_of_sqlite) == {"+19490000001", "+19490000002"}
    assert not journal.waiting


async def test_a_cancelled_write_is_still_carried_out(
    sqlite: Database, account_of_sqlite: str, path: Path
) -> None:
    journal, suppressions = Journal(path), Suppressions(sqlite)
    write = asyncio.create_task(journal.write(_entry(account_of_sqlite, 1)))
    await asyncio.sleep(0)
    write.cancel()
    with pytest.raises(asyncio.CancelledError):
        await write
    await until(path.exists)
    await journal.replay(suppressions)
    assert await _numbers(suppressions, account_of_sqlite) == {"+19490000001"}


async def test_the_loop_brings_entries_home(sqlite: Database, account_of_sqlite: str, path: Path) -> None:
    journal, suppressions = Journal(path), Suppressions(sqlite)
    await journal.write(_entry(account_of_sqlite, 1))
    loop = asyncio.create_task(journal.replay_for_ever(suppressions))
    await until(lambda: not journal.waiting)
    loop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loop
    assert await _numbers(suppressions, account_of_sqlite) == {"+19490000001"}


async def test_a_process_killed_while_it_writes_loses_nothing_it_confirmed(
    sqlite: Database, account_of_sqlite: str, path: Path
) -> None:
    program = f"""
import asyncio, datetime
from pathlib import Path
from trunx.adapters.store.journal import Journal
from trunx.domain.records import Suppression
async def main():
    journal = Journal(Path({str(path)!r}))
    moment = datetime.datetime.now(datetime.UTC)
    for number in range(1_000_000):
        phone = f"+1949{{number:07}}"
        await journal.write(Suppression({account_of_sqlite!r}, phone, "ivr", None, None, moment))
        print(phone, flush=True)
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=PIPE)
    assert process.stdout is not None
    confirmed = set()
    async for line in process.stdout:
        if line.startswith(b"+"):
            confirmed.add(line.decode().strip())
        if len(confirmed) == 40:
            process.kill()
    await process.wait()
    suppressions = Suppressions(sqlite)
    assert await Journal(path).replay(suppressions) >= 40
    assert confirmed <= await _numbers(suppressions, account_of_sqlite)
