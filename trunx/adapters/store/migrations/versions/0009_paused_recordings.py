"""Of a recording that goes on: whether silence is recorded."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("recordings", sa.Column("paused", sa.Boolean, nullable=False, server_default=sa.false()))
