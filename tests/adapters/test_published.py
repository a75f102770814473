"""What a call reads: at once after a change, from whichever store still answers, and never an older state."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from sqlalchemy import update

from tests.adapters.our_process import our_process
from tests.adapters.valkey_peer import ValkeyPeer
from tests.adapters.waiting import until
from tests.peers.postgres import Postgres
from trunx.adapters.cache.published import Published
from trunx.adapters.store.accounts import Accounts
from trunx.adapters.store.database import Database
from trunx.adapters.store.dids import Dids
from trunx.adapters.store.ivrs import Ivrs
from trunx.adapters.store.tables import ivr_versions
from trunx.domain.errors import UnavailableError
from trunx.domain.records import Line
from trunx.engine import ports

DID, SECOND = "+19495551234", "+19495550000"


def _document(language: str = "en") -> dict[str, Any]:
    return {"id": "menu", "nodes": {"bye": {"action": "hangup"}}, "language": language}


@pytest.fixture
async def ivrs(sqlite: Database, account_of_sqlite: str) -> Ivrs:
    """An account whose IVR `menu` stands behind `DID`."""
    ivrs = Ivrs(sqlite)
    await ivrs.create(account_of_sqlite, "menu", _document())
    await ivrs.assign(account_of_sqlite, "menu", DID)
    return ivrs


@pytest.fixture
async def lines(sqlite: Database, valkey: ValkeyPeer, ivrs: Ivrs) -> AsyncIterator[Published]:
    assert ivrs
    async with our_process(sqlite, valkey) as process:
        yield process


def _change_to(language: str, _: dict[str, Any]) -> dict[str, Any]:
    return _document(language)


def _language(line: Line | None) -> str | None:
    assert line is not None
    assert line.tree is not None
    return line.tree.language


@contextmanager
def _counted(valkey: ValkeyPeer, command: str) -> Iterator[list[int]]:
    """The list gets how often Redis carried out `command` in the block."""
    valkey.command("CONFIG", "RESETSTAT")
    found: list[int] = []
    yield found
    stats = valkey.command("INFO", "commandstats").decode()
    calls = [
        line.split("calls=")[1].split(",")[0]
        for line in stats.split()
        if line.startswith(f"cmdstat_{command}:")
    ]
    found.append(int(calls[0]) if calls else 0)


async def test_what_stands_behind_a_number(database: Database, account: str, valkey: ValkeyPeer) -> None:
    ivrs, dids = Ivrs(database), Dids(database)
    await ivrs.create(account, "menu", _document())
    async with our_process(database, valkey) as process:
        port: ports.Lines = process
        assert await port.find(DID) is None
        await dids.create(account, DID, None, None)
        await port.publish([DID])
        assert await port.find(DID) == Line(account, None, None, None)
        await dids.change(account, DID, {"ivr": "menu"})
        await port.publish([DID])
        line = await port.find(DID)
        assert line is not None
        assert (line.account, line.ivr, line.version, _language(line)) == (account, "menu", 1, "en")
        await dids.delete(account, DID)
        await port.publish([DID])
        assert await port.find(DID) is None


async def test_a_change_is_served_to_the_next_call_of_every_process(
    sqlite: Database, valkey: ValkeyPeer, lines: Published, ivrs: Ivrs, account_of_sqlite: str
) -> None:
    async with our_process(sqlite, valkey) as other:
        for number in range(20):
            language = f"en-x{number:02}"
            await ivrs.change(account_of_sqlite, "menu", partial(_change_to, language))
            await lines.publish([DID])
            assert _language(await other.find(DID)) == language
            assert _language(await lines.find(DID)) == language


async def test_changes_at_once_leave_the_newest(
    sqlite: Database, valkey: ValkeyPeer, lines: Published, ivrs: Ivrs, account_of_sqlite: str
) -> None:
    async def change(process: Published, language: str) -> None:
        await ivrs.change(account_of_sqlite, "menu", lambda _: _document(language))
        await process.publish([DID])

    async with our_process(sqlite, valkey) as other:
        await asyncio.gather(*(change((lines, other)[n % 2], f"en-x{n:02}") for n in range(20)))
        newest = (await ivrs.get(account_of_sqlite, "menu")).document["language"]
        assert [_language(await process.find(DID)) for process in (lines, other)] == [newest, newest]


async def test_calls_of_one_tick_are_one_round_trip(valkey: ValkeyPeer, lines: Published) -> None:
    await lines.find(DID)
    with _counted(valkey, "mget") as reads, _counted(valkey, "get") as documents:
        found = await asyncio.gather(*(lines.find(did) for did in [DID] * 50))
    assert {line.ivr for line in found if line is not None} == {"menu"}
    assert reads[0] <= 2  # a look of the healing may come between
    assert documents == [0]


async def test_a_version_is_fetched_and_parsed_once(sqlite: Database, valkey: ValkeyPeer, ivrs: Ivrs) -> None:
    assert ivrs

    async def call(process: Published, number: int) -> Line | None:
        for _ in range(number % 7):
            await asyncio.sleep(0)
        return await process.find(DID)

    async with our_process(sqlite, valkey) as process:
        with _counted(valkey, "get") as fetched:
            found = await asyncio.gather(*(call(process, number) for number in range(100)))
        assert fetched == [1]
        assert len({id(line.tree) for line in found if line is not None}) == 1


async def test_a_caller_who_leaves_takes_nobody_along(lines: Published) -> None:
    leaving, staying = (asyncio.create_task(lines.find(DID)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    assert _language(await staying) == "en"
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_redis_is_flushed(valkey: ValkeyPeer, lines: Published) -> None:
    for _ in range(3):
        valkey.command("FLUSHALL")
        assert _language(await lines.find(DID)) == "en"
        await until(lambda: lines.healthy)
        assert valkey.command("GET", f"trunx:did:{DID}") != b"$-1\r\n"


async def test_a_pointer_or_a_tree_that_is_missing_comes_back(
    sqlite: Database, valkey: ValkeyPeer, lines: Published
) -> None:
    valkey.command("DEL", f"trunx:did:{DID}")
    assert _language(await lines.find(DID)) == "en"
    await until(lambda: valkey.command("EXISTS", f"trunx:did:{DID}") == b":1\r\n")
    keys = valkey.command("KEYS", "trunx:tree:*").decode().split()
    valkey.command("DEL", keys[-1])
    async with our_process(sqlite, valkey) as other:
        assert _language(await other.find(DID)) == "en"
        assert valkey.command("EXISTS", keys[-1]) == b":1\r\n"


async def test_a_key_that_is_not_ours_is_mended(valkey: ValkeyPeer, lines: Published) -> None:
    valkey.command("SET", f"trunx:did:{DID}", "[nonsense")
    assert _language(await lines.find(DID)) == "en"
    await until(lambda: b"revision" in valkey.command("GET", f"trunx:did:{DID}"))


async def test_redis_is_killed_and_comes_back_empty(
    valkey: ValkeyPeer, lines: Published, ivrs: Ivrs, account_of_sqlite: str
) -> None:
    valkey.kill()
    assert _language(await lines.find(DID)) == "en"
    assert not lines.healthy
    await ivrs.change(account_of_sqlite, "menu", lambda _: _document("de"))
    await lines.publish([DID])
    assert _language(await lines.find(DID)) == "de"
    valkey.start()
    await until(lambda: lines.healthy)
    assert _language(await lines.find(DID)) == "de"


async def test_redis_comes_back_with_an_older_state(
    sqlite: Database, valkey: ValkeyPeer, lines: Published, ivrs: Ivrs, account_of_sqlite: str
) -> None:
    async with our_process(sqlite, valkey) as other:
        assert _language(await other.find(DID)) == "en"
        valkey.save()
        await ivrs.change(account_of_sqlite, "menu", lambda _: _document("de"))
        await lines.publish([DID])
        await until(lambda: b"2" in valkey.command("GET", "trunx:tide"))
        assert _language(await other.find(DID)) == "de"
        # Nobody calls while it is away: only the state itself tells that it went back.
        valkey.kill()
        valkey.start()
        for process in (other, lines):
            assert _language(await process.find(DID)) == "de"
        await until(lambda: lines.healthy and other.healthy)
        assert _language(await lines.find(DID)) == "de"


async def test_redis_hangs(valkey: ValkeyPeer, lines: Published) -> None:
    valkey.freeze()
    async with asyncio.timeout(1):
        found = await asyncio.gather(*(lines.find(DID) for _ in range(20)))
    assert {_language(line) for line in found} == {"en"}
    async with asyncio.timeout(0.2):  # known to hang: not waited for again
        await lines.find(DID)
    valkey.thaw()
    await until(lambda: lines.healthy)


async def test_a_publication_that_a_killed_process_left_undone_is_caught_up(
    valkey: ValkeyPeer, lines: Published, ivrs: Ivrs, account_of_sqlite: str
) -> None:
    await ivrs.assign(account_of_sqlite, "menu", SECOND)
    await ivrs.change(account_of_sqlite, "menu", lambda _: _document("de"))
    await until(lambda: valkey.command("EXISTS", f"trunx:did:{SECOND}") == b":1\r\n")
    assert _language(await lines.find(DID)) == "de"


async def test_a_database_that_was_put_back_is_the_truth(
    valkey: ValkeyPeer, lines: Published, ivrs: Ivrs, account_of_sqlite: str, tmp_path: Any
) -> None:
    for _ in range(5):
        await ivrs.assign(account_of_sqlite, "menu", SECOND)
    await lines.publish([SECOND])
    await until(lambda: b"6" in valkey.command("GET", "trunx:tide"))
    async with Database.open(f"sqlite:///{tmp_path}/new.db") as replaced:
        account = (await Accounts(replaced).create("Grace")).id
        await Ivrs(replaced).create(account, "menu", _document("de"))
        await Ivrs(replaced).assign(account, "menu", DID)
        async with our_process(replaced, valkey) as process:
            assert _language(await process.find(DID)) == "de"
            assert await process.find(SECOND) is None
            assert process.healthy


async def test_many_numbers_are_published_in_portions(
    sqlite: Database, valkey: ValkeyPeer, ivrs: Ivrs, account_of_sqlite: str
) -> None:
    dids = [f"+1949{number:07}" for number in range(1_201)]
    for did in dids[:3]:
        await ivrs.assign(account_of_sqlite, "menu", did)
    async with sqlite.writing() as connection:
        await connection.exec_driver_sql(
            "WITH RECURSIVE n(i) AS (SELECT 3 UNION ALL SELECT i + 1 FROM n WHERE i < 1200) "
            "INSERT INTO dids (did, account, ivr, created_at, revision) "
            "SELECT printf('+1949%07d', i), account, ivr, created_at, revision "
            f"FROM n, dids WHERE did = '{DID}'"
        )
    await ivrs.change(account_of_sqlite, "menu", lambda _: _document("de"))
    async with our_process(sqlite, valkey):
        assert valkey.command("DBSIZE") == b":1204\r\n"  # with DID itself, the tree and the tide
        await ivrs.change(account_of_sqlite, "menu", lambda _: _document("fr"))
    async with our_process(sqlite, valkey) as process:
        assert {_language(await process.find(did)) for did in dids} == {"fr"}


async def test_a_replaced_tree_leaves_the_cache_in_the_end(
    valkey: ValkeyPeer, lines: Published, ivrs: Ivrs, account_of_sqlite: str
) -> None:
    uid = (await ivrs.get(account_of_sqlite, "menu")).uid
    await ivrs.change(account_of_sqlite, "menu", lambda _: _document("de"))
    await lines.publish([DID])
    assert valkey.command("TTL", f"trunx:tree:{uid}:1") == b":86400\r\n"
    assert valkey.command("TTL", f"trunx:tree:{uid}:2") == b":-1\r\n"


async def test_a_stored_document_that_is_no_tree_today(
    sqlite: Database, valkey: ValkeyPeer, ivrs: Ivrs
) -> None:
    assert ivrs
    async with sqlite.writing() as connection:
        await connection.execute(update(ivr_versions).values(document='{"id": "menu", "nodes": {}}'))
    async with our_process(sqlite, valkey) as process:
        line = await process.find(DID)
        assert line is not None
        assert (line.ivr, line.tree) == ("menu", None)


async def test_a_pointer_to_a_deleted_ivr_is_looked_up_anew(
    sqlite: Database, valkey: ValkeyPeer, ivrs: Ivrs, account_of_sqlite: str
) -> None:
    async with our_process(sqlite, valkey, heal=False) as process:
        await process.publish([DID])
        await Dids(sqlite).change(account_of_sqlite, DID, {"ivr": None})
        await ivrs.delete(account_of_sqlite, "menu")
        keys = valkey.command("KEYS", "trunx:tree:*").decode().split()
        valkey.command("DEL", keys[-1])
        valkey.command("SET", "trunx:tide", "1")
        process._trusted = True
        assert await process.find(DID) == Line(account_of_sqlite, None, None, None)


async def test_the_database_is_away(valkey: ValkeyPeer, stoppable: Postgres) -> None:
    async with Database.open(stoppable.create("published")) as database:
        account = (await Accounts(database).create("Ada")).id
        await Ivrs(database).create(account, "menu", _document())
        for did in (DID, SECOND):
            await Ivrs(database).assign(account, "menu", did)
        async with (
            our_process(database, valkey) as process,
            our_process(database, valkey, heal=False) as young,
        ):
            assert _language(await process.find(DID)) == "en"
            stoppable.stop()
            # Redis has it all.
            assert _language(await process.find(SECOND)) == "en"
            # A process that could not check Redis yet still has nothing better.
            assert _language(await young.find(DID)) == "en"
            with pytest.raises(UnavailableError):
                await process.find("+19495550001")
            # Now only what was seen is left.
            valkey.kill()
            assert _language(await process.find(DID)) == "en"
            assert _language(await process.find(SECOND)) == "en"
            with pytest.raises(UnavailableError):
                await young.find(SECOND)
            await process.publish([DID])  # never raises
            stoppable.start()
            valkey.start()
            assert _language(await young.find(SECOND)) == "en"
            await until(lambda: process.healthy, 10)


async def test_leaving_ends_the_lookups_under_way(sqlite: Database, valkey: ValkeyPeer, ivrs: Ivrs) -> None:
    assert ivrs
    async with our_process(sqlite, valkey) as process:
        valkey.freeze()
        lookup = asyncio.create_task(process.find(DID))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    with pytest.raises(UnavailableError):
        await lookup
    valkey.thaw()
