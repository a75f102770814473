"""Calls that we place, the account's log with its webhooks, and what the gate and the choice of DIDs keep."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TEXT

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_DIALLED = "direction = 'outbound'"
_WAITING = "status = 'waiting'"


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


def _some(name: str, table: str, columns: list[str], which: str) -> None:
    """An index of those rows only that `which` holds for."""
    op.create_index(name, table, columns, sqlite_where=sa.text(which), postgresql_where=sa.text(which))


def upgrade() -> None:
    _calls()
    _log()
    _webhooks()
    _gate()


def _calls() -> None:
    for column in (
        _text("provider", nullable=True),
        _moment("ringing_at", nullable=True),
        _integer("q850_cause", nullable=True),
        _integer("sip_cause", nullable=True),
        _text("machine", nullable=True),
        _text("machine_cause", nullable=True),
    ):
        op.add_column("calls", column)
    _some("calls_to", "calls", ["account", "to_number", "created_at"], _DIALLED)
    _some("calls_from", "calls", ["account", "from_number", "created_at"], _DIALLED)
    op.create_table(
        "dials",
        _name("call"),
        _name("account"),
        _text("trunk"),
        _integer("ring_seconds"),
        _integer("max_seconds", nullable=True),
        _text("metadata"),
        _text("send_digits", nullable=True),
        _flag("machine_detection"),
        _flag("record"),
        _text("ivr", nullable=True),
        _text("hold", nullable=True),
        _moment("queue_until", nullable=True),
        _moment("dialled_at", nullable=True),
        _text("server", nullable=True),
        _text("verdict", nullable=True),
        _moment("canceled_at", nullable=True),
        sa.PrimaryKeyConstraint("call"),
    )
    op.create_index("dials_account", "dials", ["account"])


def _log() -> None:
    """The events get their numbers in the order in which they happened, and the names of their calls."""
    op.execute("CREATE TEMPORARY TABLE events_before AS SELECT * FROM events")
    op.drop_table("events")
    op.create_table(
        "events",
        _name("account"),
        sa.Column("seq", sa.BigInteger, nullable=False),
        _name("id"),
        _name("call", nullable=True),
        _text("type"),
        _moment("at"),
        _text("data"),
        sa.PrimaryKeyConstraint("account", "seq"),
        sa.UniqueConstraint("id", name="events_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "event_heads",
        _name("account"),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("account"),
    )
    op.execute(
        "INSERT INTO events (account, seq, id, call, type, at, data) "
        "SELECT account, row_number() OVER (PARTITION BY account ORDER BY at, id), "
        "call || ':' || id, call, type, at, data FROM events_before"
    )
    op.execute("INSERT INTO event_heads (account, seq) SELECT account, max(seq) FROM events GROUP BY account")
    op.execute("DROP TABLE events_before")


def _webhooks() -> None:
    op.create_table(
        "webhooks",
        _name("id"),
        _name("account", sa.ForeignKey("accounts.id")),
        _text("url"),
        _text("types"),
        _text("label", nullable=True),
        _flag("enabled"),
        _text("disabled_because", nullable=True),
        _text("secret"),
        _text("former_secret", nullable=True),
        _moment("former_until", nullable=True),
        _moment("created_at"),
        _moment("failing_since", nullable=True),
        sa.Column("told", sa.BigInteger, nullable=False),
        _moment("due_at", nullable=True),
        _text("owner", nullable=True),
        _moment("owned_until", nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("webhooks_newest", "webhooks", ["account", "created_at", "id"])
    op.create_table(
        "deliveries",
        _name("webhook", sa.ForeignKey("webhooks.id", ondelete="CASCADE")),
        sa.Column("seq", sa.BigInteger, nullable=False),
        _name("call", nullable=True),
        _text("status"),
        _integer("attempts"),
        _moment("created_at"),
        _moment("next_at", nullable=True),
        _moment("tried_at", nullable=True),
        _integer("answer", nullable=True),
        _text("problem", nullable=True),
        _integer("ms", nullable=True),
        sa.PrimaryKeyConstraint("webhook", "seq"),
        sqlite_with_rowid=False,
    )
    _some("deliveries_waiting", "deliveries", ["webhook", "seq"], _WAITING)
    _some("deliveries_in_turn", "deliveries", ["webhook", "call", "seq"], _WAITING)


def _gate() -> None:
    op.create_table(
        "account_limits",
        _name("account", sa.ForeignKey("accounts.id")),
        _text("limits"),
        sa.PrimaryKeyConstraint("account"),
    )
