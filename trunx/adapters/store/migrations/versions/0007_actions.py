"""What is done to live calls by request."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TEXT

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_STARTED = "state = 'started'"


def _name(column: str, *constraints: sa.ForeignKey) -> sa.Column[str]:
    kind = sa.Text().with_variant(TEXT(collation="C"), "postgresql")
    return sa.Column(column, kind, *constraints, nullable=False)


def _text(column: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(column, sa.Text, nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "actions",
        _name("id"),
        _name("call"),
        _name("account", sa.ForeignKey("accounts.id")),
        _text("kind"),
        _text("state"),
        _text("asked"),
        _text("result", nullable=True),
        _text("problem", nullable=True),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("actions_call", "actions", ["call", "created_at", "id"])
    started = sa.text(_STARTED)
    op.create_index("actions_started", "actions", ["call"], sqlite_where=started, postgresql_where=started)
