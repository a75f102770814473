"""Accounts, IVRs, DIDs, suppressions, calls: the foundation."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TEXT

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_LIVE = "status NOT IN ('completed', 'failed')"


def _name(column: str, *constraints: sa.ForeignKey, nullable: bool = False) -> sa.Column[str]:
    kind = sa.Text().with_variant(TEXT(collation="C"), "postgresql")
    return sa.Column(column, kind, *constraints, nullable=nullable)


def _text(column: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(column, sa.Text, nullable=nullable)


def _moment(column: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(column, sa.BigInteger, nullable=nullable)


def _integer(column: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(column, sa.Integer, nullable=nullable)


def upgrade() -> None:
    _access()
    _trees()
    _calls()


def _access() -> None:
    op.create_table(
        "accounts",
        _name("id"),
        _text("name"),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "keys",
        _name("id"),
        _name("account", sa.ForeignKey("accounts.id")),
        _text("name"),
        _name("fingerprint"),
        _text("shown"),
        _moment("created_at"),
        _moment("revoked_at", nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("fingerprint", name="keys_fingerprint"),
    )
    op.create_table(
        "idempotency",
        _name("account", sa.ForeignKey("accounts.id")),
        _name("key"),
        _text("request_hash"),
        _integer("status", nullable=True),
        sa.Column("body", sa.LargeBinary, nullable=True),
        _moment("expires_at"),
        sa.PrimaryKeyConstraint("account", "key"),
    )
    op.create_index("idempotency_expiry", "idempotency", ["expires_at"])


def _trees() -> None:
    op.create_table(
        "ivrs",
        _name("uid"),
        _name("account", sa.ForeignKey("accounts.id")),
        _name("id"),
        _integer("version"),
        _moment("created_at"),
        _moment("updated_at"),
        sa.PrimaryKeyConstraint("uid"),
        sa.UniqueConstraint("account", "id", name="ivrs_account_id"),
    )
    op.create_index("ivrs_newest", "ivrs", ["account", "created_at", "id"])
    op.create_table(
        "ivr_versions",
        _name("ivr", sa.ForeignKey("ivrs.uid", ondelete="CASCADE")),
        _integer("version"),
        _text("document"),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("ivr", "version"),
    )
    op.create_table(
        "dids",
        _name("did"),
        _name("account", sa.ForeignKey("accounts.id"), nullable=True),
        _name("ivr", sa.ForeignKey("ivrs.uid"), nullable=True),
        _text("label", nullable=True),
        _moment("created_at"),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("did"),
    )
    op.create_index("dids_newest", "dids", ["account", "created_at", "did"])
    op.create_index("dids_ivr", "dids", ["ivr"])
    op.create_index("dids_revision", "dids", ["revision", "did"])
    revisions = op.create_table(
        "revisions",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(revisions, [{"id": 1, "value": 0}])


def _calls() -> None:
    op.create_table(
        "suppressions",
        _name("account", sa.ForeignKey("accounts.id")),
        _name("number"),
        _text("source"),
        _text("reason", nullable=True),
        _text("call", nullable=True),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("account", "number"),
    )
    op.create_index("suppressions_newest", "suppressions", ["account", "created_at", "number"])
    op.create_table(
        "calls",
        _name("id"),
        _text("call_id"),
        _name("account"),
        _text("direction"),
        _text("from_number"),
        _text("to_number"),
        _text("status"),
        _moment("created_at"),
        _moment("answered_at", nullable=True),
        _moment("ended_at", nullable=True),
        _text("end_reason", nullable=True),
        _text("ivr", nullable=True),
        _integer("ivr_version", nullable=True),
        _text("agi_uniqueid", nullable=True),
        _text("channel", nullable=True),
        _text("server"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("calls_newest", "calls", ["account", "created_at", "id"])
    op.create_index(
        "calls_live", "calls", ["server"], sqlite_where=sa.text(_LIVE), postgresql_where=sa.text(_LIVE)
    )
    op.create_table(
        "steps",
        _name("call"),
        _integer("number"),
        _text("node"),
        _text("kind"),
        _moment("entered_at"),
        _moment("left_at"),
        _text("left"),
        _text("key", nullable=True),
        _integer("prompt_ms"),
        sa.Column("fallback", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("call", "number"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "events",
        _name("id"),
        _name("account"),
        _name("call"),
        _text("type"),
        _moment("at"),
        _text("data"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("events_call", "events", ["call", "at", "id"])
