"""Of a call that we place: whose caller its callee is connected with."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TEXT

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    name = sa.Text().with_variant(TEXT(collation="C"), "postgresql")
    op.add_column("dials", sa.Column("transfer_of", name))
