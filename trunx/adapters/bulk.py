"""Many rows in one statement: they travel as one JSON text, and the engine takes it apart.

A driver's `executemany` runs Python for every row, in a thread that fights the event loop for the
interpreter; this leaves the work to SQLite's `json_each` and PostgreSQL's `jsonb_array_elements`. Each row is
an array and not an object, which costs SQLite a quarter less.
"""

from collections.abc import Iterable
from operator import attrgetter
from typing import Any

from pydantic_core import to_json
from sqlalchemy import BigInteger, Boolean, Column, Dialect, Integer, Table, text

from trunx.adapters.tables import Moment


class Bulk:
    """An INSERT of any number of records, whose fields are called like the table's columns.

    `conflict` is what follows ON CONFLICT; `given` are columns whose value is an SQL expression, not a field.
    """

    def __init__(self, dialect: Dialect, table: Table, conflict: str, **given: str) -> None:
        quote = dialect.identifier_preparer.quote
        fields = [column for column in table.columns if column.name not in given]
        self._fields = attrgetter(*(column.name for column in fields))
        kind = _sqlite if dialect.name == "sqlite" else _postgresql
        values = {column.name: kind(column, f"value ->> {place}") for place, column in enumerate(fields)}
        source = (
            "json_each(:rows)"
            if dialect.name == "sqlite"
            else "jsonb_array_elements(CAST(:rows AS jsonb)) AS row(value)"
        )
        names = [*values, *given]
        # WHERE true: without it SQLite reads ON as the beginning of a join's condition.
        self.statement = text(
            f"INSERT INTO {quote(table.name)} ({', '.join(quote(name) for name in names)}) "  # noqa: S608 - our own names
            f"SELECT {', '.join({**values, **given}.values())} FROM {source} WHERE true "
            f"ON CONFLICT {conflict}"
        )

    def rows(self, records: Iterable[Any]) -> str:
        """What the statement takes as `:rows`. Raises `ValueError` for a text that UTF-8 cannot hold."""
        return to_json([self._fields(record) for record in records], temporal_mode="milliseconds").decode()


def _sqlite(column: Column[Any], value: str) -> str:
    # Moments come with a fraction of a millisecond, which is cut off here as `tables.milliseconds` does.
    return f"CAST({value} AS INTEGER)" if isinstance(column.type, Moment) else value


def _postgresql(column: Column[Any], value: str) -> str:
    match column.type:
        case Moment():
            return f"CAST(trunc(CAST({value} AS numeric)) AS bigint)"
        case Boolean():
            return f"CAST({value} AS boolean)"
        case Integer() | BigInteger():
            return f"CAST({value} AS bigint)"
        case _:
            return value
