"""The way to the database: SQLite or PostgreSQL by URL, with a deadline on everything.

`reading()` and `writing()` are the only doors, and the one place where a database that cannot be reached, is
locked or is too slow becomes `UnavailableError`. The first use brings the tables up to date, so that a
database that was down when we started is used as soon as it is there.
"""

import asyncio
import fcntl
import logging
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import structlog
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Dialect, Table, event, make_url, text
from sqlalchemy import exc as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from trunx.domain.errors import UnavailableError
from trunx.domain.records import PartState

DEADLINE = 5.0  # seconds for one transaction, waiting for a connection included
# SQLite waits this long for another process's lock, PostgreSQL for a statement: less than the deadline, so
# that the engine itself ends the wait and the connection stays good.
_ENGINE_PATIENCE = 4.0
_MIGRATION_DEADLINE = 60.0
_STATE_DEADLINE = 1.5
# Fewer than there are connections: who writes, and has others wait for that, finds one however many read.
_READERS = {"sqlite": 5, "postgresql": 8}
_MIGRATION_LOCK = 0x7472756E78  # "trunx", our key among the server's advisory locks

# SQLSTATE classes (PostgreSQL's manual, appendix A): feature not supported, cardinality violation, data
# exception, integrity constraint violation, syntax error or access rule violation.
_STATEMENT_CLASSES = frozenset({"0A", "21", "22", "23", "42"})

_log = structlog.get_logger()


class SchemaError(UnavailableError):
    """The tables were made by a newer trunx than this one."""


class Database:
    """An engine with its pool. `place` says where the database is, without the password."""

    def __init__(self, engine: AsyncEngine, place: str) -> None:
        self.place = place
        self.engine = engine
        self._writer = engine.execution_options(writes=True)
        self._is_sqlite = engine.dialect.name == "sqlite"
        # SQLite has one writer at a time: ours queue here, in turn, and not in its polling of the lock.
        self._turn = asyncio.Lock()
        self._reader = asyncio.Semaphore(_READERS[engine.dialect.name])
        self._migration = asyncio.Lock()
        self._migrated = False
        self._reachable = True

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[Self]:
        """Makes ready for `url` (`sqlite:///file`, `postgresql://...`), and connects to nothing yet.

        Raises:
            ValueError: the URL is not one of these, or has an option that is not understood.
        """
        target = _target(url)
        engine = _sqlite(target) if target.get_backend_name() == "sqlite" else _postgresql(target)
        try:
            yield cls(engine, _place(target))
        finally:
            await engine.dispose()

    @property
    def dialect(self) -> Dialect:
        """SQLAlchemy's word for the engine's SQL."""
        return self.engine.dialect

    @asynccontextmanager
    async def reading(self, deadline: float = DEADLINE) -> AsyncIterator[AsyncConnection]:
        """A transaction that reads. Raises `UnavailableError`, after `deadline` seconds at the latest."""
        with self._failures():
            async with asyncio.timeout(deadline):
                await self._ready()
                async with self._reader, self.engine.begin() as connection:
                    yield connection

    @asynccontextmanager
    async def writing(self, deadline: float = DEADLINE) -> AsyncIterator[AsyncConnection]:
        """A transaction that writes: committed on leaving, undone by any exception.

        Raises `UnavailableError`; then it may still have been committed.
        """
        with self._failures():
            async with asyncio.timeout(deadline), AsyncExitStack() as stack:
                await self._ready()
                if self._is_sqlite:
                    await stack.enter_async_context(self._turn)
                yield await stack.enter_async_context(self._writer.begin())

    def insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """An INSERT that knows ON CONFLICT, which the two engines write alike and SQLAlchemy keeps apart."""
        return sqlite.insert(table) if self._is_sqlite else postgresql.insert(table)

    async def migrate(self) -> None:
        """Brings the tables to what this version needs; two processes that do it at once take turns.

        Raises:
            UnavailableError: the database cannot be reached.
            SchemaError: it was made by a newer trunx.
        """
        with self._failures():
            async with asyncio.timeout(_MIGRATION_DEADLINE):
                await self._ready()

    async def state(self) -> PartState:
        """Whether the database answers, as a part of the server."""
        try:
            async with self.reading(_STATE_DEADLINE) as connection:
                await connection.execute(text("SELECT 1"))
        except UnavailableError as error:
            return PartState("database", "down", str(error))
        return PartState("database", "ok", self.place)

    async def _ready(self) -> None:
        if self._migrated:
            return
        async with self._migration:
            if self._migrated:
                return
            if self._is_sqlite:
                await asyncio.to_thread(_make_file, Path(self.engine.url.database or ""))
            async with self._writer.begin() as connection:
                if not self._is_sqlite:
                    await connection.execute(text("SET LOCAL statement_timeout = 0"))
                    await connection.execute(
                        text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK}
                    )
                await connection.run_sync(_upgrade)
            self._migrated = True

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except sa.DBAPIError as error:
            if _is_of_the_statement(error):
                raise
            raise self._unavailable(str(error.orig)) from error
        except (sa.TimeoutError, TimeoutError) as error:
            raise self._unavailable("no answer in time") from error
        except OSError as error:
            raise self._unavailable(str(error)) from error
        if not self._reachable:
            self._reachable = True
            _log.info("the database answers again", place=self.place)

    def _unavailable(self, problem: str) -> UnavailableError:
        # The asyncpg dialect puts the driver's class before the server's words.
        problem = problem.rpartition(">: ")[2].split("\n", 1)[0]
        if self._reachable:
            self._reachable = False
            _log.error(
                "the database cannot be used: calls go on with what is cached, the API answers 503; "
                "see that it runs, has room on its disk, and that the URL's user may use it",
                place=self.place,
                problem=problem,
            )
        return UnavailableError(f"the database ({self.place}) cannot be used: {problem}")


def _target(url: str) -> URL:
    """`url` with the driver we use, and PostgreSQL's own options under the names that the driver knows."""
    try:
        target = make_url(url)
    except sa.ArgumentError:
        raise ValueError(
            "not a database URL: sqlite:///file or postgresql://user:password@host/name"
        ) from None
    kind = target.drivername.partition("+")[0]
    if kind == "sqlite" and target.database not in (None, "", ":memory:"):
        return target.set(drivername="sqlite+aiosqlite")
    if kind not in ("postgresql", "postgres"):
        raise ValueError(
            f"{kind} is not supported here: sqlite:///file or postgresql://user:password@host/name"
        )
    query = dict(target.query)
    query.pop("channel_binding", None)  # hosted services add it; the driver has no such option
    if "sslmode" in query:
        query["ssl"] = query.pop("sslmode")
    unknown = sorted(set(query) - {"ssl", "host", "port"})
    if unknown:
        raise ValueError(f"options that are not understood in the database URL: {', '.join(unknown)}")
    return target.set(drivername="postgresql+asyncpg", query=query)


def _place(target: URL) -> str:
    if target.get_backend_name() == "sqlite":
        return f"SQLite {target.database}"
    host = target.host or target.query.get("host") or "localhost"
    return f"PostgreSQL {target.database or ''} at {host}" + (f":{target.port}" if target.port else "")


class _Connection(sqlite3.Connection):
    """One that leaves no lock behind: whoever is cancelled in the middle of a transaction has it closed, and
    SQLite puts that off for as long as anybody holds a cursor (sqlite3_close_v2).
    """

    def close(self) -> None:
        if self.in_transaction:
            self.rollback()
        super().close()


def _sqlite(target: URL) -> AsyncEngine:
    engine = create_async_engine(
        target,
        # No isolation level: the module's own BEGIN comes too late for a transaction that reads before it
        # writes; ours is sent by the listener below.
        connect_args={"isolation_level": None, "timeout": _ENGINE_PATIENCE, "factory": _Connection},
        pool_size=6,
        # The same connection again: what another one writes empties its page cache, and it must be warm.
        pool_use_lifo=True,
        max_overflow=0,
        pool_timeout=DEADLINE,
        hide_parameters=True,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous = FULL")  # a commit survives a power cut
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begun(connection: Connection) -> None:
        options = connection.get_execution_options()
        if options.get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("writes") else "BEGIN")

    return engine


def _make_file(path: Path) -> None:
    """The file and its folder, for our user alone, in the write-ahead mode that lets readers go on.

    Raises:
        OSError: it cannot be made.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(path.with_name(f".{path.name}.lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        # Processes that start at once take turns: a second change to write-ahead mode at the same moment
        # fails at once, without SQLite's usual wait.
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Never opened when it is there: closing it would drop the locks of this process's own connections
        # (sqlite.org/howtocorrupt.html, 2.2).
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with closing(sqlite3.connect(path, timeout=_ENGINE_PATIENCE)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.Error as error:
        raise OSError(str(error)) from error
    finally:
        os.close(lock)


def _postgresql(target: URL) -> AsyncEngine:
    patience = str(round(_ENGINE_PATIENCE * 1000))
    return create_async_engine(
        target,
        connect_args={
            "timeout": 3.0,
            "server_settings": {
                "application_name": "trunx",
                "statement_timeout": patience,
                "idle_in_transaction_session_timeout": "15000",
            },
        },
        pool_size=8,
        max_overflow=4,
        pool_timeout=DEADLINE,
        pool_pre_ping=True,  # a restarted server costs a ping, not somebody's request
        hide_parameters=True,
    )


def _is_of_the_statement(error: sa.DBAPIError) -> bool:
    """Whether the database works and refuses what it was asked; then waiting would not help."""
    if error.connection_invalidated:
        return False
    # The asyncpg dialect has no class of its own for bad data, so the SQLSTATE's class tells.
    state = getattr(error.orig, "sqlstate", None) or ""
    kinds = sa.IntegrityError | sa.ProgrammingError | sa.DataError
    return isinstance(error, kinds) or state[:2] in _STATEMENT_CLASSES


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", "trunx.adapters.store:migrations")
    config.attributes["connection"] = connection
    logging.getLogger("alembic").setLevel(
        logging.WARNING
    )  # its notes at every start tell an operator nothing
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise SchemaError(
            f"the tables are not ours to change ({error}): this database was made by a newer trunx"
        ) from error
