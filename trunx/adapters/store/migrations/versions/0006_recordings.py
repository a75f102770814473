"""Recordings, and the server's own secrets."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TEXT

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_LIVE = "state = 'recording'"
_DUE = "next_at IS NOT NULL"


def _name(column: str, *constraints: sa.ForeignKey, nullable: bool = False) -> sa.Column[str]:
    kind = sa.Text().with_variant(TEXT(collation="C"), "postgresql")
    return sa.Column(column, kind, *constraints, nullable=nullable)


def _text(column: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(column, sa.Text, nullable=nullable)


def _large(column: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(column, sa.BigInteger, nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "recordings",
        _name("id"),
        _name("account", sa.ForeignKey("accounts.id")),
        _name("call"),
        _name("channel"),
        _text("format"),
        _text("channels"),
        sa.Column("trim_silence", sa.Boolean, nullable=False),
        sa.Column("max_seconds", sa.Integer, nullable=False),
        _text("state"),
        _large("started_at"),
        _large("stopped_at", nullable=True),
        _large("expires_at", nullable=True),
        _large("ms", nullable=True),
        _large("bytes", nullable=True),
        _text("problem", nullable=True),
        _name("server", nullable=True),
        sa.Column("tries", sa.Integer, nullable=False),
        _large("next_at", nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("recordings_newest", "recordings", ["account", "started_at", "id"])
    op.create_index("recordings_call", "recordings", ["call"])
    op.create_index("recordings_expiry", "recordings", ["expires_at"])
    live, due = sa.text(_LIVE), sa.text(_DUE)
    op.create_index(
        "recordings_live", "recordings", ["call"], unique=True, sqlite_where=live, postgresql_where=live
    )
    op.create_index("recordings_due", "recordings", ["next_at"], sqlite_where=due, postgresql_where=due)
    op.create_table(
        "secrets",
        _name("name"),
        sa.Column("value", sa.LargeBinary, nullable=False),
        _large("created_at"),
        sa.PrimaryKeyConstraint("name"),
    )
