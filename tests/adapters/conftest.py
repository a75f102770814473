"""A fresh database for each test, on SQLite and on PostgreSQL, and real Valkey and SSH servers."""

import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

import trunx.adapters.store.action_tables
import trunx.adapters.store.agent_tables
import trunx.adapters.store.recording_tables  # noqa: F401 - its tables belong to the metadata
from tests.adapters.sound_store import SoundStore, StagingOpener
from tests.adapters.valkey_peer import ValkeyPeer
from tests.peers.postgres import Postgres
from tests.peers.ssh import AsyncSsh, OpenSsh, SshPeer, started
from trunx.adapters.store.accounts import Accounts
from trunx.adapters.store.database import Database
from trunx.adapters.store.standings import did_standings
from trunx.adapters.store.tables import revisions

_names = (f"t{number}" for number in itertools.count())


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with Postgres.running() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def _stoppable() -> Iterator[Postgres]:
    with Postgres.running() as cluster:
        yield cluster


@pytest.fixture
def stoppable(_stoppable: Postgres) -> Iterator[Postgres]:
    """A server of its own for tests that stop it; it runs when the test begins and when it has ended."""
    yield _stoppable
    _stoppable.stop()
    _stoppable.start()


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def new_url(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A database that nobody has opened yet."""
    if engine == "sqlite":
        return f"sqlite:///{tmp_path}/data/trunx.db"
    cluster: Postgres = request.getfixturevalue("postgres")
    return cluster.create(next(_names))


@pytest.fixture(scope="session")
def shared_url(postgres: Postgres) -> str:
    """Emptied for each test, which is quicker than a new one: that is several hundred files."""
    return postgres.create("shared")


@pytest.fixture
async def database(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    if engine == "sqlite":
        url = f"sqlite:///{tmp_path}/data/trunx.db"
    else:
        url = request.getfixturevalue("shared_url")
    async with Database.open(url) as opened:
        if engine == "postgresql":
            async with opened.writing() as connection:
                # The table that stands apart from the others knows them all.
                for table in reversed(did_standings.metadata.sorted_tables):
                    if table is not revisions:
                        await connection.execute(table.delete())
                await connection.execute(update(revisions).values(value=0))
        yield opened


@pytest.fixture
async def account(database: Database) -> str:
    return (await Accounts(database).create("Ada")).id


@pytest.fixture
async def other(database: Database) -> str:
    return (await Accounts(database).create("Grace")).id


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[ValkeyPeer]:
    peer = ValkeyPeer(tmp_path / "valkey")
    peer.start()
    yield peer
    peer.kill()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/data/trunx.db"


@pytest.fixture
async def sqlite(sqlite_url: str) -> AsyncIterator[Database]:
    """For what does not depend on the engine."""
    async with Database.open(sqlite_url) as opened:
        yield opened


@pytest.fixture
async def account_of_sqlite(sqlite: Database) -> str:
    return (await Accounts(sqlite).create("Ada")).id


@pytest.fixture
async def store(sqlite: Database, tmp_path: Path) -> SoundStore:
    """Our own folder of sounds, and the rows that belong to it."""
    store = SoundStore(tmp_path / "own", sqlite)
    await store.open()
    return store


@pytest.fixture
def staging_to(store: SoundStore, sqlite: Database) -> StagingOpener:
    return StagingOpener(store, sqlite)


@pytest.fixture(params=["asyncssh", "openssh"])
async def peer(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SshPeer]:
    """A host with an SSH server, of either kind."""
    async with started(AsyncSsh(tmp_path) if request.param == "asyncssh" else OpenSsh(tmp_path)) as peer:
        yield peer
