"""AI agents, what they are given, and their talks."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TEXT

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_DEFAULT = '"default"'
_OPEN = "NOT settled"


def _name(column: str, *constraints: sa.ForeignKey, nullable: bool = False) -> sa.Column[str]:
    kind = sa.Text().with_variant(TEXT(collation="C"), "postgresql")
    return sa.Column(column, kind, *constraints, nullable=nullable)


def _text(column: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(column, sa.Text, nullable=nullable)


def _moment(column: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(column, sa.BigInteger, nullable=nullable)


def _integer(column: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(column, sa.Integer, nullable=nullable)


def _flag(column: str) -> sa.Column[bool]:
    return sa.Column(column, sa.Boolean, nullable=False)


def upgrade() -> None:
    op.add_column("dials", _text("ai", nullable=True))
    op.add_column("dids", _name("agent", nullable=True))
    op.create_table(
        "agents",
        _name("id"),
        _name("account", sa.ForeignKey("accounts.id")),
        _text("name"),
        _text("prompt"),
        _text("voice", nullable=True),
        _text("first_message", nullable=True),
        _text("language"),
        _text("tools"),
        _text("knowledge"),
        _integer("max_seconds"),
        _flag("default"),
        _text("vendor_id", nullable=True),
        _moment("created_at"),
        _moment("updated_at"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("agents_newest", "agents", ["account", "created_at", "id"])
    op.create_index(
        "agents_default",
        "agents",
        ["account"],
        unique=True,
        sqlite_where=sa.text(_DEFAULT),
        postgresql_where=sa.text(_DEFAULT),
    )
    op.create_table(
        "tools",
        _name("id"),
        _name("account", sa.ForeignKey("accounts.id")),
        _text("definition"),
        _text("vendor_id", nullable=True),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("tools_newest", "tools", ["account", "created_at", "id"])
    op.create_table(
        "knowledge",
        _name("id"),
        _name("account", sa.ForeignKey("accounts.id")),
        _text("name"),
        _text("description", nullable=True),
        _text("vendor_id", nullable=True),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("knowledge_newest", "knowledge", ["account", "created_at", "id"])
    op.create_table(
        "vendor_leftovers",
        _text("kind"),
        _name("vendor_id"),
        _moment("noted_at"),
        sa.PrimaryKeyConstraint("vendor_id"),
    )
    _talks()


def _talks() -> None:
    op.create_table(
        "talks",
        _name("id"),
        _name("call"),
        _name("account"),
        _name("agent", nullable=True),
        _text("token"),
        _text("state"),
        _moment("created_at"),
        _integer("max_seconds"),
        _name("vendor_call", nullable=True),
        _moment("joined_at", nullable=True),
        _moment("ended_at", nullable=True),
        _text("end_reason", nullable=True),
        _text("transcript", nullable=True),
        _integer("seconds", nullable=True),
        _flag("settled"),
        _moment("due_at"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("talks_call", "talks", ["call", "created_at", "id"])
    op.create_index("talks_vendor", "talks", ["vendor_call"])
    op.create_index(
        "talks_open",
        "talks",
        ["due_at"],
        sqlite_where=sa.text(_OPEN),
        postgresql_where=sa.text(_OPEN),
    )
