"""A fresh database for each test, on SQLite and on PostgreSQL, and a real Valkey."""

import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.peers.postgres import Postgres
from trunx.adapters.accounts import Accounts
from trunx.adapters.database import Database

_names = (f"t{number}" for number in itertools.count())


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with Postgres.running() as cluster:
        yield cluster


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    if engine == "sqlite":
        return f"sqlite:///{tmp_path}/data/trunx.db"
    cluster: Postgres = request.getfixturevalue("postgres")
    return cluster.create(next(_names))


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    async with Database.open(url) as opened:
        yield opened


@pytest.fixture
async def account(database: Database) -> str:
    return (await Accounts(database).create("Ada")).id
