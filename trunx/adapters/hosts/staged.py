"""What the database says of sounds on hosts: the table `staged`, beside the sounds that there are.

A row stays until the host has lost the sound. So a row whose sound is known no more is what is to be deleted
there, and nothing else has to remember it.
"""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import ColumnElement, and_, delete, exists, select, update

from sounds import ENGINE
from trunx.adapters.store.database import Database
from trunx.adapters.store.tables import now, sounds, staged
from trunx.domain.audio import Staged, StagingState

_PORTION = 500  # sounds named in one statement

_PROMPTS = tuple(prompt.sound for prompt in ENGINE.values())
_AUDIO = "trunx/audio/"  # the other sounds are the engine's, and are never deleted
_IN_USE = sounds.c.unused_since.is_(None)


class StagedSounds:
    """Rows of hosts, by the hosts' places. Every method raises `UnavailableError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def wanted(self) -> list[str]:
        """What must be on every host: the engine's prompts first, then the sounds that an audio points to."""
        async with self._database.reading() as connection:
            rows = await connection.execute(select(sounds.c.name).where(_IN_USE).order_by(sounds.c.name))
            return [*_PROMPTS, *rows.scalars()]

    async def lacking(self, host: str) -> dict[str, str | None]:
        """Those of them that the host is not known to have, with the problem that was noted."""
        here = and_(staged.c.host == host, staged.c.sound == sounds.c.name)
        has_it = staged.c.state == StagingState.STAGED.value
        query = (
            select(sounds.c.name, staged.c.problem)
            .join_from(sounds, staged, here, isouter=True)
            .where(_IN_USE, staged.c.state.is_(None) | ~has_it)
            .order_by(sounds.c.name)
        )
        prompts = select(staged.c.sound).where(staged.c.host == host, _one_of(_PROMPTS), has_it)
        async with self._database.reading() as connection:
            there = set((await connection.execute(prompts)).scalars())
            missing: dict[str, str | None] = {name: None for name in _PROMPTS if name not in there}
            missing.update((row.name, row.problem) for row in await connection.execute(query))
        return missing

    async def leaving(self, host: str) -> list[str]:
        """Sounds that the host may have, and that there are no more."""
        query = select(staged.c.sound).where(
            staged.c.host == host,
            staged.c.sound.startswith(_AUDIO),
            ~exists().where(sounds.c.name == staged.c.sound),
        )
        async with self._database.reading() as connection:
            return list((await connection.execute(query)).scalars())

    async def knows(self, sound: str) -> bool:
        """Whether there is such a sound, in use or not."""
        if not sound.startswith(_AUDIO):
            return True
        async with self._database.reading() as connection:
            found = await connection.execute(select(sounds.c.name).where(sounds.c.name == sound))
            return found.first() is not None

    async def had_by(self, host: str) -> set[str]:
        """Sounds that are noted as staged."""
        query = select(staged.c.sound).where(
            staged.c.host == host, staged.c.state == StagingState.STAGED.value
        )
        async with self._database.reading() as connection:
            return set((await connection.execute(query)).scalars())

    async def note(self, host: str, outcomes: Mapping[str, str | None]) -> None:
        """What became of each sound: it is there (None), or the problem. One that was there already is not
        undone by a problem with bringing it again.
        """
        names = list(outcomes)
        if not names:
            return
        async with self._database.writing() as connection:
            for start in range(0, len(names), _PORTION):
                rows = [
                    {
                        "host": host,
                        "sound": name,
                        "state": (StagingState.STAGED if problem is None else StagingState.PENDING).value,
                        "problem": problem,
                        "tried_at": now(),
                    }
                    for name in names[start : start + _PORTION]
                    for problem in (outcomes[name],)
                ]
                insert = self._database.insert(staged).values(rows)
                new = insert.excluded
                await connection.execute(
                    insert.on_conflict_do_update(
                        index_elements=[staged.c.host, staged.c.sound],
                        set_={"state": new.state, "problem": new.problem, "tried_at": new.tried_at},
                        where=(new.state == StagingState.STAGED.value)
                        | (staged.c.state != StagingState.STAGED.value),
                    )
                )

    async def lose(self, host: str, names: Sequence[str], problem: str) -> None:
        """Notes that sounds are not there, whatever was noted before."""
        async with self._database.writing() as connection:
            for start in range(0, len(names), _PORTION):
                await connection.execute(
                    update(staged)
                    .where(staged.c.host == host, _one_of(names[start : start + _PORTION]))
                    .values(state=StagingState.PENDING.value, problem=problem, tried_at=now())
                )

    async def forget(self, host: str, sound: str) -> None:
        """The sound has left the host."""
        async with self._database.writing() as connection:
            await connection.execute(delete(staged).where(staged.c.host == host, staged.c.sound == sound))

    async def states(
        self, hosts: Sequence[str], names: Collection[str]
    ) -> Mapping[str, Mapping[str, Staged]]:
        """What is noted of the sounds, by sound and host."""
        found: dict[str, dict[str, Staged]] = {name: {} for name in names}
        ordered = sorted(found)
        async with self._database.reading() as connection:
            for start in range(0, len(ordered), _PORTION):
                rows = await connection.execute(
                    select(staged.c.host, staged.c.sound, staged.c.state, staged.c.problem).where(
                        _one_of(ordered[start : start + _PORTION]), staged.c.host.in_(hosts)
                    )
                )
                for row in rows:
                    found[row.sound][row.host] = Staged(row.host, StagingState(row.state), row.problem)
        return found


def _one_of(names: Collection[str]) -> ColumnElement[bool]:
    return staged.c.sound.in_(names)
