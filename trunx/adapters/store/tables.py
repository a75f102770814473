"""The tables, once for both engines; `migrations/` builds them, and a test holds the two equal.

Moments are stored as milliseconds since 1970 (UTC) and names in byte order, so that SQLite and PostgreSQL
sort alike. Columns are called like the fields of the domain's records, by which `bulk.py` finds them.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import TEXT

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Moment(TypeDecorator[datetime]):
    """An aware datetime, kept as whole milliseconds since 1970."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        return None if value is None else milliseconds(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else EPOCH + int(value) * _MILLISECOND


def milliseconds(moment: datetime) -> int:
    """`moment` as it is stored: what is finer than a millisecond is cut off."""
    return (moment - EPOCH) // _MILLISECOND


def now() -> datetime:
    """The present moment as precisely as it is stored, so that what a write returns is what a read finds."""
    return EPOCH + milliseconds(datetime.now(UTC)) * _MILLISECOND


# In byte order on PostgreSQL too, whatever the database's own collation is (SQLite knows no other).
Name = Text().with_variant(TEXT(collation="C"), "postgresql")

LIVE = "status NOT IN ('completed', 'failed')"
_DIALLED = "direction = 'outbound'"
_WAITING = "status = 'waiting'"

metadata = MetaData()


def some(name: str, which: str, *columns: str, unique: bool = False) -> Index:
    """An index of those rows only that `which` holds for."""
    return Index(name, *columns, unique=unique, sqlite_where=text(which), postgresql_where=text(which))


accounts = Table(
    "accounts",
    metadata,
    Column("id", Name, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Name, primary_key=True),
    Column("account", Name, ForeignKey("accounts.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("fingerprint", Name, nullable=False),
    Column("shown", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("revoked_at", Moment),
    UniqueConstraint("fingerprint", name="keys_fingerprint"),
)

ivrs = Table(
    "ivrs",
    metadata,
    Column("uid", Name, primary_key=True),
    Column("account", Name, ForeignKey("accounts.id"), nullable=False),
    Column("id", Name, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    UniqueConstraint("account", "id", name="ivrs_account_id"),
    Index("ivrs_newest", "account", "created_at", "id"),
)

ivr_versions = Table(
    "ivr_versions",
    metadata,
    Column("ivr", Name, ForeignKey("ivrs.uid", ondelete="CASCADE"), nullable=False),
    Column("version", Integer, nullable=False),
    # Text, not JSON: the order in which the user wrote the nodes means something.
    Column("document", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    PrimaryKeyConstraint("ivr", "version"),
)

# A number that was given up keeps its row with neither account nor IVR: its revision is what tells a late
# writer to the cache that it is late.
dids = Table(
    "dids",
    metadata,
    Column("did", Name, primary_key=True),
    Column("account", Name, ForeignKey("accounts.id")),
    Column("ivr", Name, ForeignKey("ivrs.uid")),
    Column("agent", Name),
    Column("label", Text),
    Column("created_at", Moment, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Index("dids_newest", "account", "created_at", "did"),
    Index("dids_ivr", "ivr"),
    Index("dids_revision", "revision", "did"),
)

# One row; who raises it holds it until the commit, so that revisions become visible in their order.
revisions = Table(
    "revisions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("value", BigInteger, nullable=False),
)

suppressions = Table(
    "suppressions",
    metadata,
    Column("account", Name, ForeignKey("accounts.id"), nullable=False),
    Column("number", Name, nullable=False),
    Column("source", Text, nullable=False),
    Column("reason", Text),
    Column("call", Text),
    Column("created_at", Moment, nullable=False),
    PrimaryKeyConstraint("account", "number"),
    Index("suppressions_newest", "account", "created_at", "number"),
)

# Calls, steps and events refer to nothing: what a call did is kept whatever became of its IVR, and the
# recorder writes in bulk, where one bad reference must not stop the others.
calls = Table(
    "calls",
    metadata,
    Column("id", Name, primary_key=True),
    Column("call_id", Text, nullable=False),
    Column("account", Name, nullable=False),
    Column("direction", Text, nullable=False),
    Column("from_number", Text, nullable=False),
    Column("to_number", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("answered_at", Moment),
    Column("ended_at", Moment),
    Column("end_reason", Text),
    Column("ivr", Text),
    Column("ivr_version", Integer),
    Column("agi_uniqueid", Text),
    Column("channel", Text),
    Column("server", Text, nullable=False),
    # Who carried it; NULL of a call that came in: Asterisk itself.
    Column("provider", Text),
    Column("ringing_at", Moment),
    Column("q850_cause", Integer),
    Column("sip_cause", Integer),
    Column("machine", Text),
    Column("machine_cause", Text),
    Index("calls_newest", "account", "created_at", "id"),
    some("calls_live", LIVE, "server"),
    # Of the calls that we placed: how often a number was tried, and how a DID of ours fares.
    some("calls_to", _DIALLED, "account", "to_number", "created_at"),
    some("calls_from", _DIALLED, "account", "from_number", "created_at"),
)

# What was asked for with a call that we place. `dialled_at` is set once, by the one who then dials.
dials = Table(
    "dials",
    metadata,
    Column("call", Name, primary_key=True),
    Column("account", Name, nullable=False),
    Column("trunk", Text, nullable=False),
    Column("ring_seconds", Integer, nullable=False),
    Column("max_seconds", Integer),
    Column("metadata", Text, nullable=False),
    Column("send_digits", Text),
    Column("machine_detection", Boolean, nullable=False),
    Column("record", Boolean, nullable=False),
    Column("ivr", Text),
    Column("hold", Text),
    Column("queue_until", Moment),
    Column("dialled_at", Moment),
    Column("server", Text),
    Column("verdict", Text),
    Column("canceled_at", Moment),
    Column("ai", Text),
    Column("transfer_of", Name),
    Index("dials_account", "account"),
)

steps = Table(
    "steps",
    metadata,
    Column("call", Name, nullable=False),
    Column("number", Integer, nullable=False),
    Column("node", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("entered_at", Moment, nullable=False),
    Column("left_at", Moment, nullable=False),
    Column("left", Text, nullable=False),
    Column("key", Text),
    Column("prompt_ms", Integer, nullable=False),
    Column("fallback", Boolean, nullable=False),
    PrimaryKeyConstraint("call", "number"),
    sqlite_with_rowid=False,
)

# The account's log. `seq` counts from 1 in an account and shows no gap: who writes holds the account's row of
# `event_heads` until the commit. What is told of a call is named after it, `<call>:...`, and found by that.
events = Table(
    "events",
    metadata,
    Column("account", Name, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("id", Name, nullable=False),
    Column("call", Name),
    Column("type", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("data", Text, nullable=False),
    PrimaryKeyConstraint("account", "seq"),
    UniqueConstraint("id", name="events_id"),
    sqlite_with_rowid=False,
)

event_heads = Table(
    "event_heads",
    metadata,
    Column("account", Name, primary_key=True),
    Column("seq", BigInteger, nullable=False),
)

# `told` is the last event of the log that has become deliveries, `due_at` when the next of these is to be
# tried. `owner` is the process that works at them, for as long as it keeps saying so.
webhooks = Table(
    "webhooks",
    metadata,
    Column("id", Name, primary_key=True),
    Column("account", Name, ForeignKey("accounts.id"), nullable=False),
    Column("url", Text, nullable=False),
    Column("types", Text, nullable=False),
    Column("label", Text),
    Column("enabled", Boolean, nullable=False),
    Column("disabled_because", Text),
    Column("secret", Text, nullable=False),
    Column("former_secret", Text),
    Column("former_until", Moment),
    Column("created_at", Moment, nullable=False),
    Column("failing_since", Moment),
    Column("told", BigInteger, nullable=False),
    Column("due_at", Moment),
    Column("owner", Text),
    Column("owned_until", Moment),
    Index("webhooks_newest", "account", "created_at", "id"),
)

# One event on its way to one webhook; `seq` is the event's.
deliveries = Table(
    "deliveries",
    metadata,
    Column("webhook", Name, ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("call", Name),
    Column("status", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("next_at", Moment),
    Column("tried_at", Moment),
    Column("answer", Integer),
    Column("problem", Text),
    Column("ms", Integer),
    PrimaryKeyConstraint("webhook", "seq"),
    some("deliveries_waiting", _WAITING, "webhook", "seq"),
    some("deliveries_in_turn", _WAITING, "webhook", "call", "seq"),
    sqlite_with_rowid=False,
)

# What an account may dial, as JSON; without a row, what everybody may.
account_limits = Table(
    "account_limits",
    metadata,
    Column("account", Name, ForeignKey("accounts.id"), primary_key=True),
    Column("limits", Text, nullable=False),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("account", Name, ForeignKey("accounts.id"), nullable=False),
    Column("key", Name, nullable=False),
    Column("request_hash", Text, nullable=False),
    Column("status", Integer),
    Column("body", LargeBinary),
    Column("expires_at", Moment, nullable=False),
    PrimaryKeyConstraint("account", "key"),
    Index("idempotency_expiry", "expires_at"),
)

# A sound outlives the audio that it was made for: calls that were told of it still play it, and the same text
# or file may be asked for again. `unused_since` is when the last audio went, or when it was made for none.
sounds = Table(
    "sounds",
    metadata,
    Column("name", Name, primary_key=True),
    Column("ms", Integer, nullable=False),
    Column("warnings", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("unused_since", Moment),
    Index("sounds_unused", "unused_since"),
)

spoken = Table(
    "spoken",
    metadata,
    Column("key", Name, primary_key=True),
    Column("sound", Name, ForeignKey("sounds.name", ondelete="CASCADE"), nullable=False),
    Column("created_at", Moment, nullable=False),
    Index("spoken_sound", "sound"),
)

audios = Table(
    "audio",
    metadata,
    Column("id", Name, primary_key=True),
    Column("account", Name, ForeignKey("accounts.id"), nullable=False),
    Column("name", Name, nullable=False),
    Column("source", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("text", Text),
    Column("provider", Text),
    Column("voice", Text),
    Column("filename", Name),
    Column("sound", Name, ForeignKey("sounds.name")),
    Column("failure_code", Text),
    Column("failure_message", Text),
    Column("created_at", Moment, nullable=False),
    Column("server", Text, nullable=False),
    Index("audio_newest", "account", "created_at", "id"),
    Index("audio_name", "account", "name"),
    Index("audio_filename", "account", "filename"),
    Index("audio_sound", "sound"),
)

# What the newest version of each IVR plays, as its nodes write it: an audio's id, name or file.
ivr_audio = Table(
    "ivr_audio",
    metadata,
    Column("ivr", Name, ForeignKey("ivrs.uid", ondelete="CASCADE"), nullable=False),
    Column("node", Name, nullable=False),
    Column("field", Name, nullable=False),
    Column("name", Name, nullable=False),
    PrimaryKeyConstraint("ivr", "node", "field"),
    Index("ivr_audio_name", "name"),
)

# Sounds on the hosts that Asterisk runs on. The engine's own prompts are staged too, and a row stays until
# the host has lost the sound: it refers to nothing.
staged = Table(
    "staged",
    metadata,
    Column("host", Name, nullable=False),
    Column("sound", Name, nullable=False),
    Column("state", Text, nullable=False),
    Column("problem", Text),
    Column("tried_at", Moment),
    PrimaryKeyConstraint("host", "sound"),
    Index("staged_sound", "sound"),
)
