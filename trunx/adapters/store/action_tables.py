"""The table of what is done to live calls by request; `tables.py` has the others, and says how values are
stored.

An action refers to no call: it is kept whatever became of that. `asked` and `result` are JSON.
"""

from sqlalchemy import Column, ForeignKey, Index, Table, Text

from trunx.adapters.store.tables import Moment, Name, metadata, some

STARTED = "state = 'started'"

actions = Table(
    "actions",
    metadata,
    Column("id", Name, primary_key=True),
    Column("call", Name, nullable=False),
    Column("account", Name, ForeignKey("accounts.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("asked", Text, nullable=False),
    Column("result", Text),
    Column("problem", Text),
    Column("created_at", Moment, nullable=False),
    Column("ended_at", Moment),
    Index("actions_call", "call", "created_at", "id"),
    some("actions_started", STARTED, "call"),
)
