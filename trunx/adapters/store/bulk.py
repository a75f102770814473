"""Many rows in few statements, so that a batch costs the event loop and the database little.

A driver's `executemany` runs Python for every row, in a thread that fights the event loop for the
interpreter. SQLite gets one statement with all values instead, a third of the cost of taking JSON apart.
PostgreSQL, whose driver would have to learn the parameters of each length, gets all rows as one JSON text.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from pydantic_core import to_json
from sqlalchemy import BigInteger, Boolean, Column, Dialect, Integer, Table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from trunx.adapters.store.tables import Moment, milliseconds

_MOST = 1_000  # rows of one statement for SQLite, which takes 32,766 parameters


class Bulk:
    """An INSERT of any number of records, whose fields are called like the table's columns.

    `conflict` is what follows ON CONFLICT; `given` are columns whose value is told to `write`, not a field.
    """

    def __init__(self, dialect: Dialect, table: Table, conflict: str, *given: str) -> None:
        quote = dialect.identifier_preparer.quote
        columns = [column for column in table.columns if column.name not in given]
        columns += [table.columns[name] for name in given]
        self._fields = attrgetter(*(column.name for column in columns[: len(columns) - len(given)]))
        names = ", ".join(quote(column.name) for column in columns)
        self._head = f"INSERT INTO {quote(table.name)} ({names}) "
        self._tail = f" ON CONFLICT {conflict}"
        self._marks = f"({', '.join('?' * len(columns))})"
        self._width = len(columns)
        self._moments = [place for place, column in enumerate(columns) if isinstance(column.type, Moment)]
        self._is_sqlite = dialect.name == "sqlite"
        values = ", ".join(_taken(column, f"value ->> {place}") for place, column in enumerate(columns))
        source = "jsonb_array_elements(CAST(:rows AS jsonb)) AS row(value)"
        select = f"SELECT {values} FROM {source}"  # noqa: S608 - names of our own tables
        self._all_at_once = text(self._head + select + self._tail)

    async def write(self, connection: AsyncConnection, records: Sequence[Any], *given: str) -> int:
        """Inserts `records`; how many rows that made. Raises `ValueError`: a text that UTF-8 cannot hold."""
        if not self._is_sqlite:
            rows = [self._fields(record) + given for record in records]
            document = to_json(rows, temporal_mode="milliseconds").decode()
            return (await connection.execute(self._all_at_once, {"rows": document})).rowcount
        made = 0
        for start in range(0, len(records), _MOST):
            portion = records[start : start + _MOST]
            marks = ", ".join([self._marks] * len(portion))
            statement = f"{self._head}VALUES {marks}{self._tail}"
            made += (await connection.exec_driver_sql(statement, self._flat(portion, given))).rowcount
        return made

    def _flat(self, records: Sequence[Any], given: tuple[str, ...]) -> tuple[Any, ...]:
        """The values of all rows, one behind the other. Runs on the event loop, and so by column."""
        flat: list[Any] = []
        for record in records:
            flat += self._fields(record)
            flat += given
        for column in self._moments:
            for place in range(column, len(flat), self._width):
                if flat[place] is not None:
                    flat[place] = milliseconds(flat[place])
        return tuple(flat)


def _taken(column: Column[Any], value: str) -> str:
    """PostgreSQL's expression for a value out of the JSON."""
    match column.type:
        case Moment():
            # With a fraction of a millisecond, which is cut off here as `tables.milliseconds` does.
            return f"CAST(trunc(CAST({value} AS numeric)) AS bigint)"
        case Boolean():
            return f"CAST({value} AS boolean)"
        case Integer() | BigInteger():
            return f"CAST({value} AS bigint)"
        case _:
            return value
