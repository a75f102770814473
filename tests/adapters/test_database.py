"""Opening, migrating, deadlines and failures, on both engines."""

import asyncio
import json
import os
import random
import socket
import sqlite3
import stat
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.exc import IntegrityError
from structlog.testing import capture_logs

import trunx.adapters.store.action_tables
import trunx.adapters.store.agent_tables
import trunx.adapters.store.recording_tables  # noqa: F401 - its tables belong to the metadata
from tests.adapters.shelf_of_audio import AudioShelf, sound
from tests.peers.postgres import Postgres
from trunx.adapters.store.accounts import Accounts
from trunx.adapters.store.database import Database, SchemaError
from trunx.adapters.store.tables import accounts, dids, ivr_audio, ivr_versions, ivrs, metadata, now
from trunx.adapters.store.truth import Truth
from trunx.domain.errors import UnavailableError
from trunx.engine.ports import Part

_ADA = accounts.insert().values(id="MA1", name="Ada", created_at=now())


async def test_migrations_build_the_tables_of_the_metadata(new_url: str) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))

    async with Database.open(new_url) as database, database.reading() as connection:
        assert await connection.run_sync(differences) == []


async def test_trees_of_before_there_was_audio(new_url: str) -> None:
    """What the newest versions name is found, of every IVR, in portions."""

    def upgrade(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", "trunx.adapters.store:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")

    def document(audio: str) -> str:
        menu = {"audio": audio, "gather": {"1": "bye"}, "timeout_audio": "Grüße.wav", "invalid_audio": None}
        nodes = {"menu": menu, "mute": {"action": "suppress"}, "bye": {"action": "hangup", "audio": audio}}
        return json.dumps({"id": "menu", "nodes": nodes}, ensure_ascii=False)

    moments = {"created_at": now(), "updated_at": now()}
    names = [f"menu{number:03}" for number in range(450)]
    if new_url.startswith("sqlite:///"):
        Path(new_url.removeprefix("sqlite:///")).parent.mkdir()
    async with Database.open(new_url) as database:
        async with database.engine.begin() as connection:
            await connection.run_sync(upgrade)
            await connection.execute(_ADA)
            await connection.execute(
                insert(ivrs),
                [{"uid": name, "account": "MA1", "id": name, "version": 2} | moments for name in names],
            )
            await connection.execute(
                insert(ivr_versions),
                [
                    {"ivr": name, "version": version, "document": document(audio), "created_at": now()}
                    for name in names
                    for version, audio in ((1, "old.wav"), (2, f"{name}.wav"))
                ],
            )
            did = {
                "did": "+19495551234",
                "account": "MA1",
                "ivr": "menu449",
                "created_at": now(),
                "revision": 1,
            }
            await connection.execute(insert(dids), [did])
        await database.migrate()
        made = await AudioShelf(database).ready("MA1", "menu449.wav")
        (published,) = await Truth(database).of(["+19495551234"])
        assert published.sounds == {"menu449.wav": sound(made.id).name}
        async with database.reading() as connection:
            found = (await connection.execute(select(ivr_audio).order_by(*ivr_audio.primary_key))).all()
    assert [tuple(row) for row in found] == [
        row
        for name in names
        for row in (
            (name, "bye", "audio", f"{name}.wav"),
            (name, "menu", "audio", f"{name}.wav"),
            (name, "menu", "timeout_audio", "Grüße.wav"),
        )
    ]


async def test_it_says_how_it_is(database: Database) -> None:
    part: Part = database
    state = await part.state()
    assert (state.name, state.state) == ("database", "ok")
    assert "s3cret" not in state.detail


async def test_two_processes_start_at_once(new_url: str) -> None:
    program = f"""
import asyncio
from trunx.adapters.store.database import Database
async def main():
    async with Database.open({new_url!r}) as database:
        print("at once", flush=True)
        input()
        await database.migrate()
        print((await database.state()).state)
asyncio.run(main())
"""
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdin=PIPE, stdout=PIPE)
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        await process.stdout.readline()
    ends = await asyncio.gather(*(process.communicate(b"\n") for process in processes))
    assert [output for output, _ in ends] == [b"ok\n"] * 2


async def test_a_failed_transaction_leaves_nothing(database: Database) -> None:
    async def twice() -> None:
        async with database.writing() as connection:
            await connection.execute(_ADA)
            await connection.execute(_ADA)

    with pytest.raises(IntegrityError):
        await twice()
    async with database.reading() as connection:
        assert (await connection.execute(select(accounts))).all() == []


async def test_writers_take_turns_and_lose_nothing(database: Database) -> None:
    await asyncio.gather(*(Accounts(database).create(str(number)) for number in range(40)))
    assert len(await Accounts(database).list_accounts()) == 40


async def test_who_writes_does_not_wait_for_those_who_read(database: Database) -> None:
    some, done = asyncio.Semaphore(0), asyncio.Event()

    async def read() -> None:
        async with database.reading():
            some.release()
            await done.wait()

    await database.migrate()
    readers = [asyncio.create_task(read()) for _ in range(30)]
    try:
        async with asyncio.timeout(3):
            for _ in range(5):  # the others have asked by then, before who writes
                await some.acquire()
            await Accounts(database).create("Ada")
    finally:
        done.set()
        await asyncio.gather(*readers)


async def test_a_transaction_that_takes_too_long_is_ended(database: Database) -> None:
    async def too_long() -> None:
        async with database.writing(0.1) as connection:
            await connection.execute(_ADA)
            await asyncio.Event().wait()

    await database.migrate()
    with pytest.raises(UnavailableError, match="no answer in time"):
        await too_long()
    assert await Accounts(database).list_accounts() == []
    await Accounts(database).create("the next one works")


async def test_cancelling_is_not_swallowed(database: Database) -> None:
    await database.migrate()
    entered = asyncio.Event()

    async def work() -> None:
        async with database.writing() as connection:
            await connection.execute(_ADA)
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await Accounts(database).list_accounts() == []


async def test_whoever_is_cancelled_leaves_no_lock(sqlite: Database) -> None:
    """At whichever moment of a transaction, also while its statement is still being worked on."""
    chance = random.Random(1)

    async def write(name: str) -> None:
        async with sqlite.writing() as connection:
            await connection.execute(accounts.insert().values(id=name, name="Ada", created_at=now()))
            await connection.execute(select(accounts))

    await sqlite.migrate()
    for number in range(150):
        writes = [asyncio.create_task(write(f"MA{number}-{one}")) for one in range(3)]
        await asyncio.sleep(chance.uniform(0, 0.012))
        for one in writes[:2]:
            one.cancel()
        async with asyncio.timeout(2):
            await asyncio.wait(writes)
        await writes[2]


async def test_a_newer_schema_is_refused(new_url: str) -> None:
    async with Database.open(new_url) as newer, newer.writing() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    async with Database.open(new_url) as older:
        with pytest.raises(SchemaError, match="newer trunx"):
            await older.migrate()
        assert (await older.state()).state == "down"


async def test_a_lock_held_by_another_process_is_told(sqlite_url: str, sqlite: Database) -> None:
    await sqlite.migrate()
    holder = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    assert await Accounts(sqlite).list_accounts() == []  # who reads does not wait
    asyncio.get_running_loop().call_later(0.5, holder.execute, "COMMIT")
    with pytest.raises(UnavailableError):
        async with sqlite.writing(0.2):
            pass
    holder.close()
    await Accounts(sqlite).create("goes again")


async def test_files_are_ours_alone(sqlite_url: str, sqlite: Database) -> None:
    await Accounts(sqlite).create("Ada")
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


async def test_sqlite_keeps_every_commit_and_reads_beside_a_writer(sqlite: Database) -> None:
    async with sqlite.writing() as writing, sqlite.reading() as reading:
        await writing.execute(_ADA)
        assert (await reading.execute(select(accounts))).all() == []
        assert (await reading.execute(text("PRAGMA journal_mode"))).scalar() == "wal"
        assert (await reading.execute(text("PRAGMA synchronous"))).scalar() == 2
        assert (await reading.execute(text("PRAGMA foreign_keys"))).scalar() == 1


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(os.urandom(10_000))
    async with Database.open(f"sqlite:///{tmp_path}/x.db") as database:
        assert "not a database" in (await database.state()).detail


async def test_a_postgresql_that_stops_and_comes_back(stoppable: Postgres) -> None:
    url = stoppable.create("database")
    stoppable.stop()
    async with Database.open(url) as database:
        with capture_logs() as logs:
            assert (await database.state()).state == "down"
            stoppable.start()
            await Accounts(database).create("Ada")
            stoppable.stop()
            with pytest.raises(UnavailableError) as caught:
                await Accounts(database).list_accounts()
            stoppable.start()
            assert len(await Accounts(database).list_accounts()) == 1
        assert [line["log_level"] for line in logs] == ["error", "info", "error", "info"]
        assert "s3cret" not in f"{caught.value!r} {caught.value.__cause__!r} {logs!r}"


async def test_a_server_that_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        async with Database.open(f"postgres://u:s3cret@127.0.0.1:{port}/x") as database:
            with pytest.raises(UnavailableError) as caught:
                async with database.reading(0.2):
                    pass
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("mysql://u:s3cret@h/d", "mysql is not supported"),
        ("s3cret", "not a database URL"),
        ("sqlite://", "not supported"),
        ("postgresql://u:s3cret@h/d?keepalives=1", "keepalives"),
    ],
)
async def test_urls_that_are_refused(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        async with Database.open(url):
            pass
    assert "s3cret" not in str(caught.value)


async def test_the_words_of_other_programs_in_a_url_are_understood(postgres: Postgres) -> None:
    url = postgres.create("words").replace("postgresql://", "postgres://")
    async with Database.open(url + "?sslmode=prefer&channel_binding=prefer") as database:
        assert (await database.state()).detail.startswith("PostgreSQL words at 127.0.0.1")
