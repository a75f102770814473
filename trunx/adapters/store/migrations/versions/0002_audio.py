"""Audio, the sounds behind it, which nodes name it, and which hosts have it."""

import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TEXT

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_FIELDS = ("audio", "invalid_audio", "timeout_audio")
_PORTION = 200  # documents in memory at once; each has at most 256 KB


def _name(column: str, *constraints: sa.ForeignKey, nullable: bool = False) -> sa.Column[str]:
    kind = sa.Text().with_variant(TEXT(collation="C"), "postgresql")
    return sa.Column(column, kind, *constraints, nullable=nullable)


def _text(column: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(column, sa.Text, nullable=nullable)


def _moment(column: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(column, sa.BigInteger, nullable=nullable)


def upgrade() -> None:
    _sounds()
    _audio()
    _uses()


def _sounds() -> None:
    op.create_table(
        "sounds",
        _name("name"),
        sa.Column("ms", sa.Integer, nullable=False),
        _text("warnings"),
        _moment("created_at"),
        _moment("unused_since", nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_index("sounds_unused", "sounds", ["unused_since"])
    op.create_table(
        "spoken",
        _name("key"),
        _name("sound", sa.ForeignKey("sounds.name", ondelete="CASCADE")),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("spoken_sound", "spoken", ["sound"])
    op.create_table(
        "staged",
        _name("host"),
        _name("sound"),
        _text("state"),
        _text("problem", nullable=True),
        _moment("tried_at", nullable=True),
        sa.PrimaryKeyConstraint("host", "sound"),
    )
    op.create_index("staged_sound", "staged", ["sound"])


def _audio() -> None:
    op.create_table(
        "audio",
        _name("id"),
        _name("account", sa.ForeignKey("accounts.id")),
        _name("name"),
        _text("source"),
        _text("status"),
        _text("text", nullable=True),
        _text("provider", nullable=True),
        _text("voice", nullable=True),
        _name("filename", nullable=True),
        _name("sound", sa.ForeignKey("sounds.name"), nullable=True),
        _text("failure_code", nullable=True),
        _text("failure_message", nullable=True),
        _moment("created_at"),
        _text("server"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("audio_newest", "audio", ["account", "created_at", "id"])
    op.create_index("audio_name", "audio", ["account", "name"])
    op.create_index("audio_filename", "audio", ["account", "filename"])
    op.create_index("audio_sound", "audio", ["sound"])


def _uses() -> None:
    uses = op.create_table(
        "ivr_audio",
        _name("ivr", sa.ForeignKey("ivrs.uid", ondelete="CASCADE")),
        _name("node"),
        _name("field"),
        _name("name"),
        sa.PrimaryKeyConstraint("ivr", "node", "field"),
    )
    op.create_index("ivr_audio_name", "ivr_audio", ["name"])
    for rows in _found():
        op.bulk_insert(uses, rows)


def _found() -> Iterator[list[dict[str, Any]]]:
    """The rows of today's documents, each portion of IVRs by itself."""
    newest = sa.text(
        "SELECT uid, document FROM ivrs "
        "JOIN ivr_versions ON ivr = uid AND ivr_versions.version = ivrs.version "
        "WHERE uid > :last ORDER BY uid LIMIT :portion"
    )
    last = ""
    while found := op.get_bind().execute(newest, {"last": last, "portion": _PORTION}).all():
        last = found[-1].uid
        yield [
            {"ivr": uid, "node": node, "field": field, "name": fields[field]}
            for uid, document in found
            for node, fields in json.loads(document)["nodes"].items()
            for field in _FIELDS
            if fields.get(field) is not None
        ]
