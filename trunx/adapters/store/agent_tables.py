"""The tables of agents and of their talks; `tables.py` has the others, and says how values are stored.

Lists, and what users write as JSON, are text. Nothing here refers to a call: what was said is kept whatever
became of it. A vendor's thing whose row is gone waits in `vendor_leftovers` until it is deleted there too.
"""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, PrimaryKeyConstraint, Table, Text

from trunx.adapters.store.tables import Moment, Name, metadata, some

# At most one agent of an account is its default: who makes another one so takes that from the former first.
agents = Table(
    "agents",
    metadata,
    Column("id", Name, primary_key=True),
    Column("account", Name, ForeignKey("accounts.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("prompt", Text, nullable=False),
    Column("voice", Text),
    Column("first_message", Text),
    Column("language", Text, nullable=False),
    Column("tools", Text, nullable=False),
    Column("knowledge", Text, nullable=False),
    Column("max_seconds", Integer, nullable=False),
    Column("default", Boolean, nullable=False),
    Column("vendor_id", Text),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Index("agents_newest", "account", "created_at", "id"),
    some("agents_default", '"default"', "account", unique=True),
)

tools = Table(
    "tools",
    metadata,
    Column("id", Name, primary_key=True),
    Column("account", Name, ForeignKey("accounts.id"), nullable=False),
    Column("definition", Text, nullable=False),
    Column("vendor_id", Text),
    Column("created_at", Moment, nullable=False),
    Index("tools_newest", "account", "created_at", "id"),
)

knowledge = Table(
    "knowledge",
    metadata,
    Column("id", Name, primary_key=True),
    Column("account", Name, ForeignKey("accounts.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text),
    Column("vendor_id", Text),
    Column("created_at", Moment, nullable=False),
    Index("knowledge_newest", "account", "created_at", "id"),
)

vendor_leftovers = Table(
    "vendor_leftovers",
    metadata,
    Column("kind", Text, nullable=False),
    Column("vendor_id", Name, nullable=False),
    Column("noted_at", Moment, nullable=False),
    PrimaryKeyConstraint("vendor_id"),
)

# `due_at` is when the vendor is to be asked about the talk.
talks = Table(
    "talks",
    metadata,
    Column("id", Name, primary_key=True),
    Column("call", Name, nullable=False),
    Column("account", Name, nullable=False),
    Column("agent", Name),
    Column("token", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("max_seconds", Integer, nullable=False),
    Column("vendor_call", Name),
    Column("joined_at", Moment),
    Column("ended_at", Moment),
    Column("end_reason", Text),
    Column("transcript", Text),
    Column("seconds", Integer),
    Column("settled", Boolean, nullable=False),
    Column("due_at", Moment, nullable=False),
    Index("talks_call", "call", "created_at", "id"),
    Index("talks_vendor", "vendor_call"),
    some("talks_open", "NOT settled", "due_at"),
)
