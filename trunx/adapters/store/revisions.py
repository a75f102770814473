"""The count that orders all changes of what stands behind DIDs.

Every transaction that may change it begins with `next_revision`. That also makes such transactions run one
after the other, which is what settles two changes of one IVR and two accounts after one number.
"""

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from trunx.adapters.store.tables import revisions


async def next_revision(connection: AsyncConnection) -> int:
    """A revision larger than any before; whoever asks next waits until this transaction has ended."""
    raised = update(revisions).values(value=revisions.c.value + 1).returning(revisions.c.value)
    return int((await connection.execute(raised)).scalar_one())
