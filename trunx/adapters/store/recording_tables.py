"""The tables of recordings, and of the server's own secrets; `tables.py` has the others, and says how values
are stored.

A recording refers to no call: it is kept whatever became of that. `next_at` is when somebody is to work on it
next; who takes it on moves that to a moment at which he will be done, or dead.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    false,
    text,
)

from trunx.adapters.store.tables import Moment, Name, metadata

_LIVE = "state = 'recording'"
_DUE = "next_at IS NOT NULL"

recordings = Table(
    "recordings",
    metadata,
    Column("id", Name, primary_key=True),
    Column("account", Name, ForeignKey("accounts.id"), nullable=False),
    Column("call", Name, nullable=False),
    Column("channel", Name, nullable=False),
    Column("format", Text, nullable=False),
    Column("channels", Text, nullable=False),
    Column("trim_silence", Boolean, nullable=False),
    Column("max_seconds", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("paused", Boolean, nullable=False, server_default=false()),
    Column("started_at", Moment, nullable=False),
    Column("stopped_at", Moment),
    Column("expires_at", Moment),
    Column("ms", BigInteger),
    Column("bytes", BigInteger),
    Column("problem", Text),
    Column("server", Name),
    Column("tries", Integer, nullable=False),
    Column("next_at", Moment),
    Index("recordings_newest", "account", "started_at", "id"),
    Index("recordings_call", "call"),
    Index("recordings_expiry", "expires_at"),
    # A call has one live recording at most: who begins a second one is told so by this.
    Index("recordings_live", "call", unique=True, sqlite_where=text(_LIVE), postgresql_where=text(_LIVE)),
    Index("recordings_due", "next_at", sqlite_where=text(_DUE), postgresql_where=text(_DUE)),
)

# Made by the first who needs one, and then the same in all processes.
secrets = Table(
    "secrets",
    metadata,
    Column("name", Name, primary_key=True),
    Column("value", LargeBinary, nullable=False),
    Column("created_at", Moment, nullable=False),
)
