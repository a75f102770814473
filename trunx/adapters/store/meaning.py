"""What a name in a tree means: which one of the account's audio a node plays.

A node may write an audio's id, its name, or the name of its file; an id goes before a name, a name before a
file, and of equals the newest is meant. One that is not ready yet never silences one that is.
"""

from typing import Any

from sqlalchemy import ColumnElement, Subquery, func, literal, select, union_all

from trunx.adapters.store.tables import audios, ivr_audio, ivrs
from trunx.domain.audio import AudioStatus

NAMED_BY = (audios.c.id, audios.c.name, audios.c.filename)
"""By what a node may name an audio, in the order of precedence."""

IS_PLAYABLE: ColumnElement[bool] = audios.c.status != AudioStatus.FAILED
"""Whether a name can mean it: it has a sound, or is about to."""


def meant(among: ColumnElement[Any]) -> Subquery:
    """A row (ivr, name, audio, sound) for each name that an IVR's newest version writes and that means
    something; `sound` is NULL while the audio is processing. `among` says which rows of `ivr_audio` and
    `ivrs` to look at. To be put together once and kept: that takes milliseconds.
    """
    written = (
        select(ivr_audio.c.ivr, ivr_audio.c.name, ivrs.c.account)
        .join(ivrs, ivrs.c.uid == ivr_audio.c.ivr)
        .where(among)
        .distinct()
        .cte("written")
    )
    found = union_all(
        *(
            select(
                written.c.ivr,
                written.c.name,
                audios.c.id.label("audio"),
                audios.c.sound,
                audios.c.created_at,
                literal(rank).label("rank"),
            )
            .join(audios, (audios.c.account == written.c.account) & (column == written.c.name))
            .where(IS_PLAYABLE)
            for rank, column in enumerate(NAMED_BY)
        )
    ).subquery()
    place = func.row_number().over(
        partition_by=[found.c.ivr, found.c.name],
        order_by=[found.c.sound.is_(None), found.c.rank, found.c.created_at.desc(), found.c.audio.desc()],
    )
    placed = select(found, place.label("place")).subquery()
    return (
        select(placed.c.ivr, placed.c.name, placed.c.audio, placed.c.sound)
        .where(placed.c.place == 1)
        .subquery("meant")
    )
