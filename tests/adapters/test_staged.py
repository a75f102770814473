"""What the database says of sounds on hosts, on both engines."""

import pytest

from sounds import ENGINE
from trunx.adapters.hosts.staged import StagedSounds
from trunx.adapters.store.database import Database
from trunx.adapters.store.tables import now, sounds
from trunx.domain.audio import Staged, StagingState

PROMPTS = [prompt.sound for prompt in ENGINE.values()]
ONE, TWO, UNUSED, GONE = (f"trunx/audio/{digit * 32}" for digit in "1234")


@pytest.fixture
async def rows(database: Database) -> StagedSounds:
    async with database.writing() as connection:
        for name, unused_since in ((ONE, None), (TWO, None), (UNUSED, now())):
            await connection.execute(
                sounds.insert().values(
                    name=name, ms=1, warnings="[]", created_at=now(), unused_since=unused_since
                )
            )
    return StagedSounds(database)


async def test_a_new_host_lacks_everything_that_is_in_use(rows: StagedSounds) -> None:
    assert await rows.wanted() == [*PROMPTS, ONE, TWO]
    assert await rows.lacking("a") == dict.fromkeys([*PROMPTS, ONE, TWO])


async def test_what_is_noted_counts_for_its_host_alone(rows: StagedSounds) -> None:
    await rows.note("a", {ONE: None, TWO: "disk full", PROMPTS[0]: None})
    assert await rows.lacking("a") == {**dict.fromkeys(PROMPTS[1:]), TWO: "disk full"}
    assert len(await rows.lacking("b")) == len(PROMPTS) + 2
    assert await rows.had_by("a") == {ONE, PROMPTS[0]}
    assert await rows.states(["a", "b"], [ONE, TWO]) == {
        ONE: {"a": Staged("a", StagingState.STAGED)},
        TWO: {"a": Staged("a", StagingState.PENDING, "disk full")},
    }


async def test_a_problem_with_what_is_there_does_not_undo_it(rows: StagedSounds) -> None:
    await rows.note("a", {ONE: None})
    await rows.note("a", {ONE: "no answer"})
    assert ONE in await rows.had_by("a")
    await rows.lose("a", [ONE], "gone")
    assert (await rows.lacking("a"))[ONE] == "gone"
    await rows.note("a", {ONE: None})
    assert ONE not in await rows.lacking("a")


async def test_what_is_known_no_more_has_to_leave(rows: StagedSounds) -> None:
    await rows.note(
        "a", {ONE: None, UNUSED: None, GONE: "no answer", "trunx/engine/of-another-version": None}
    )
    assert await rows.leaving("a") == [GONE]
    assert await rows.leaving("b") == []
    assert [await rows.knows(sound) for sound in (ONE, UNUSED, GONE, PROMPTS[0])] == [True, True, False, True]
    await rows.forget("a", GONE)
    assert await rows.leaving("a") == []


async def test_thousands_are_noted_at_once(rows: StagedSounds) -> None:
    names = [f"trunx/audio/{number:032x}" for number in range(2_000)]
    await rows.note("a", dict.fromkeys(names))
    assert await rows.had_by("a") == set(names)
    await rows.lose("a", names[:1_500], "gone")
    assert len(await rows.had_by("a")) == 500
    assert len((await rows.states(["a"], names))[names[0]]) == 1
