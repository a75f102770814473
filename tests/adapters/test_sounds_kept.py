"""How long a sound is kept: never taken from an audio or from a call that can still play it."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select

from tests.adapters.shelf_of_audio import AudioShelf, sound
from trunx.adapters.store.audios import Audios
from trunx.adapters.store.database import Database
from trunx.adapters.store.recorder import Recorder
from trunx.adapters.store.tables import now, spoken
from trunx.domain.audio import Sound
from trunx.domain.call import Call, Status, new_call_id, public_call_id
from trunx.engine import ports

KEY = "a hash of the text and the voice"


@pytest.fixture
def audios(database: Database) -> ports.Audios:
    return Audios(database, server="tests")


@pytest.fixture
def shelf(database: Database) -> AudioShelf:
    return AudioShelf(database)


async def _call(database: Database, account: str, seconds_ago: float, status: Status) -> None:
    recorder = Recorder(database, server="tests")
    call_id = new_call_id()
    recorder.call(
        Call(
            id=call_id,
            call_id=public_call_id(call_id),
            account=account,
            direction="inbound",
            from_number="+12025550123",
            to_number="+19495551234",
            status=status,
            created_at=now() - timedelta(seconds=seconds_ago),
        )
    )
    await recorder.flush()


async def test_a_sound_is_noted_again_and_again(
    audios: ports.Audios, account: str, shelf: AudioShelf
) -> None:
    made = sound("hello")
    assert await audios.spoken(KEY) is None
    for _ in range(2):
        await audios.keep(made, KEY)
        await audios.keep(made)
        assert await audios.spoken(KEY) == made
    await shelf.ready(account, "hello", content="hello")
    await audios.keep(Sound(made.name, made.ms))
    await shelf.age(3_600)
    assert await audios.unused(10) == [], "noting it again does not take it from its audio"


async def test_a_speech_that_was_made_anew_has_the_new_sound(audios: ports.Audios) -> None:
    for content in ("once", "again"):
        await audios.keep(sound(content), KEY)
    assert await audios.spoken(KEY) == sound("again")


async def test_a_sound_goes_after_its_last_audio(
    audios: ports.Audios, account: str, other: str, shelf: AudioShelf
) -> None:
    ours = await shelf.ready(account, "ours", content="hello")
    theirs = await shelf.ready(other, "theirs", content="hello")
    name = sound("hello").name
    assert not await audios.drop(name)
    await audios.delete(account, ours.id)
    await shelf.age(3_600)
    assert not await audios.drop(name)
    await audios.delete(other, theirs.id)
    assert await audios.unused(10) == [], "not within the minute"
    assert not await audios.drop(name)
    await shelf.age(61)
    assert await audios.unused(10) == [name]
    assert await audios.drop(name)
    assert not await audios.drop(name), "it is gone"


async def test_with_the_sound_its_speech_is_forgotten(
    audios: ports.Audios, database: Database, shelf: AudioShelf
) -> None:
    await audios.keep(sound("hello"), KEY)
    assert await audios.unused(10) == []
    await shelf.age(61)
    assert await audios.drop(sound("hello").name)
    assert await audios.spoken(KEY) is None
    async with database.reading() as connection:
        assert (await connection.execute(select(spoken))).all() == []


async def test_a_sound_that_is_used_again_stays(
    audios: ports.Audios, account: str, shelf: AudioShelf
) -> None:
    made = await shelf.ready(account, "one", content="hello")
    await audios.delete(account, made.id)
    await shelf.age(3_600)
    await audios.keep(sound("hello"), KEY)
    assert not await audios.drop(sound("hello").name), "somebody is about to use it"
    await shelf.age(3_600)
    await shelf.ready(account, "two", content="hello")
    await shelf.age(3_600)
    assert await audios.unused(10) == []
    assert not await audios.drop(sound("hello").name)


async def test_the_longest_unused_come_first(audios: ports.Audios, shelf: AudioShelf) -> None:
    for content in ("one", "two", "three"):
        await audios.keep(sound(content))
        await shelf.age(100)
    assert await audios.unused(2) == [sound("one").name, sound("two").name]


@pytest.mark.parametrize(
    ("seconds_ago", "status", "dropped"),
    [
        (700, Status.ANSWERED, False),  # began before the sound was unused
        (700, Status.INITIATED, False),
        (560, Status.ANSWERED, False),  # a moment after: what it was told may be older than that
        (500, Status.ANSWERED, True),
        (700, Status.COMPLETED, True),
        (700, Status.FAILED, True),
        (25 * 3_600, Status.ANSWERED, True),  # nobody saw its end
    ],
)
async def test_calls_that_may_have_been_told_of_it(
    audios: ports.Audios,
    database: Database,
    account: str,
    shelf: AudioShelf,
    *,
    seconds_ago: float,
    status: Status,
    dropped: bool,
) -> None:
    await audios.keep(sound("hello"))
    await shelf.age(600)
    await _call(database, account, 10, Status.ANSWERED)
    await _call(database, account, seconds_ago, status)
    assert (await audios.unused(10) == [sound("hello").name]) is dropped
    assert await audios.drop(sound("hello").name) is dropped


async def test_a_call_that_ends_lets_it_go(
    audios: ports.Audios, database: Database, account: str, shelf: AudioShelf
) -> None:
    await audios.keep(sound("hello"))
    await shelf.age(600)
    await _call(database, account, 700, Status.ANSWERED)
    assert not await audios.drop(sound("hello").name)
    recorder = Recorder(database, server="tests")
    recorder.end_lost()
    await recorder.flush()
    assert await audios.drop(sound("hello").name)


async def test_dropping_and_using_at_once(
    audios: ports.Audios, database: Database, account: str, shelf: AudioShelf
) -> None:
    """Whoever wins, an audio that is ready has its sound."""
    rivals = Audios(database, server="rival")
    for number in range(25):
        content = f"hello {number}"
        made = await shelf.processing(account, content)
        await audios.keep(sound(content), content)
        await shelf.age(61)
        dropped, _ = await asyncio.gather(rivals.drop(sound(content).name), shelf.settle(made, content))
        assert (await audios.get(account, made.id)).sound == sound(content)
        assert (await audios.spoken(content) is None) is dropped
        await shelf.age(3_600)
        assert not await rivals.drop(sound(content).name)


async def test_dropping_and_keeping_at_once(
    audios: ports.Audios, database: Database, shelf: AudioShelf
) -> None:
    """Whoever wins, what was kept is there."""
    rivals = Audios(database, server="rival")
    for number in range(25):
        await audios.keep(sound("hello"), KEY)
        await shelf.age(61)
        await asyncio.gather(rivals.drop(sound("hello").name), audios.keep(sound("hello"), KEY))
        assert await audios.spoken(KEY) == sound("hello"), number


async def test_deleting_and_adding_at_once(audios: ports.Audios, account: str, shelf: AudioShelf) -> None:
    """The last audio of a sound leaves while another one comes."""
    for number in range(15):
        leaving = await shelf.ready(account, "leaving", content="hello")
        coming = await shelf.processing(account, f"coming {number}")
        await asyncio.gather(audios.delete(account, leaving.id), shelf.settle(coming, "hello"))
        await shelf.age(61)
        assert not await audios.drop(sound("hello").name)
        await audios.delete(account, coming.id)
        await shelf.age(61)
        assert await audios.unused(10) == [sound("hello").name]
