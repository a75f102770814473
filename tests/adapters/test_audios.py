"""The accounts' audio on both engines: what a name in a tree means, and whose calls hear of a change."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from tests.adapters.shelf_of_audio import AudioShelf, sound
from trunx.adapters.store.audios import Audios
from trunx.adapters.store.database import Database
from trunx.adapters.store.ivrs import Ivrs
from trunx.adapters.store.tables import dids, ivr_audio
from trunx.adapters.store.truth import Truth
from trunx.domain.audio import Audio, AudioStatus, Source, Use, new_audio_id
from trunx.domain.errors import NotFoundError
from trunx.domain.records import Page
from trunx.engine import ports

DID, SECOND, ELSEWHERE = "+19495551234", "+19495550000", "+19495557777"


@pytest.fixture
def audios(database: Database) -> ports.Audios:
    return Audios(database, server="tests")


@pytest.fixture
def shelf(database: Database) -> AudioShelf:
    return AudioShelf(database)


async def _tree(database: Database, account: str, did: str, ivr: str = "menu", **nodes: Any) -> None:
    """An IVR behind `did`; a node given as a text hangs up after playing that."""
    written = {
        name: {"action": "hangup", "audio": node} if isinstance(node, str) else node
        for name, node in nodes.items()
    }
    await Ivrs(database).create(account, ivr, {"id": ivr, "nodes": written})
    await Ivrs(database).assign(account, ivr, did)


async def _sounds(database: Database, did: str = DID) -> dict[str, str]:
    (published,) = await Truth(database).of([did])
    return dict(published.sounds)


async def _revision(database: Database, did: str) -> int:
    async with database.reading() as connection:
        return int((await connection.execute(select(dids.c.revision).where(dids.c.did == did))).scalar_one())


# --- an audio by itself


async def test_what_is_written_is_read(audios: ports.Audios, account: str, shelf: AudioShelf) -> None:
    made = replace(
        await shelf.processing(account, "Grüße"), provider="local", voice="ada", status=AudioStatus.READY
    )
    made = replace(made, sound=sound("hello"))
    assert await audios.settle(made) == []
    assert await audios.get(account, made.id) == made
    failed = await shelf.processing(account, "Grüße", "g.wav")
    await shelf.fail(failed)
    kept = await audios.get(account, failed.id)
    assert (kept.status, kept.sound, kept.source) == (AudioStatus.FAILED, None, Source.UPLOAD)
    assert kept.failure is not None
    assert kept.failure.code == "voice-gone"


async def test_an_account_sees_only_its_own(
    audios: ports.Audios, account: str, other: str, shelf: AudioShelf
) -> None:
    made = await shelf.ready(account, "welcome")
    for refused in (
        audios.get(other, made.id),
        audios.delete(other, made.id),
        audios.settle(replace(made, account=other)),
    ):
        with pytest.raises(NotFoundError):
            await refused
    assert (await audios.page(other, Page(10))).rows == []
    assert await audios.uses(other, [made.id]) == {made.id: []}
    assert await audios.unknown(other, [made.id, "welcome"]) == {made.id, "welcome"}


async def test_pages_are_newest_first(audios: ports.Audios, account: str, shelf: AudioShelf) -> None:
    made = [await shelf.ready(account, f"audio {number}") for number in range(5)]
    page = await audios.page(account, Page(2))
    found = list(page.rows)
    while page.next is not None:
        page = await audios.page(account, Page(2, page.next))
        found += page.rows
    assert found == made[::-1]


async def test_what_was_deleted_is_gone(audios: ports.Audios, account: str, shelf: AudioShelf) -> None:
    made = await shelf.processing(account, "welcome")
    assert await audios.delete(account, made.id) == []
    for refused in (audios.get(account, made.id), audios.delete(account, made.id), shelf.settle(made)):
        with pytest.raises(NotFoundError):
            await refused


async def test_what_a_killed_server_was_making_has_failed(
    audios: ports.Audios, database: Database, account: str, shelf: AudioShelf
) -> None:
    lost, done = await shelf.processing(account, "lost"), await shelf.ready(account, "done")
    await Audios(database, server="another").end_lost()
    assert (await audios.get(account, lost.id)).status is AudioStatus.PROCESSING
    await audios.end_lost()
    ended = await audios.get(account, lost.id)
    assert ended.status is AudioStatus.FAILED
    assert ended.failure is not None
    assert ended.failure.code == "interrupted"
    assert await audios.get(account, done.id) == done


# --- what a name means


async def test_an_id_goes_before_a_name_and_a_name_before_a_file(
    audios: ports.Audios, database: Database, account: str, shelf: AudioShelf
) -> None:
    first = await shelf.ready(account, "first")
    named = await shelf.ready(account, first.id, "other.wav")
    await shelf.ready(account, "third", first.id)
    by_name = await shelf.ready(account, "welcome.wav")
    await shelf.ready(account, "late", "welcome.wav")
    by_file = await shelf.ready(account, "upload", "only file.wav")
    await _tree(database, account, DID, a=first.id, b="welcome.wav", c="only file.wav", d="nothing")
    assert await _sounds(database) == {
        first.id: sound(first.id).name,
        "welcome.wav": sound(by_name.id).name,
        "only file.wav": sound(by_file.id).name,
    }
    assert await audios.uses(account, [first.id, named.id, by_file.id]) == {
        first.id: [Use("menu", "a", "audio")],
        named.id: [],
        by_file.id: [Use("menu", "c", "audio")],
    }


async def test_the_newest_that_can_be_played_is_meant(
    audios: ports.Audios, database: Database, account: str, shelf: AudioShelf
) -> None:
    await _tree(database, account, DID, a="welcome")
    waiting = await shelf.processing(account, "welcome")
    assert await _sounds(database) == {}
    assert (await audios.uses(account, [waiting.id]))[waiting.id] == [Use("menu", "a", "audio")]
    by_file = await shelf.ready(account, "x", "welcome")
    assert await _sounds(database) == {"welcome": sound(by_file.id).name}, (
        "what is not ready silences nothing"
    )
    old, new = await shelf.ready(account, "welcome"), await shelf.ready(account, "welcome")
    newest = await shelf.processing(account, "welcome")
    failed = await shelf.processing(account, "welcome")
    await shelf.fail(failed)
    assert await _sounds(database) == {"welcome": sound(new.id).name}
    every = [waiting, by_file, old, new, newest, failed]
    uses = await audios.uses(account, [audio.id for audio in every])
    assert [len(uses[audio.id]) for audio in every] == [0, 0, 0, 1, 0, 0]
    await audios.delete(account, new.id)
    assert await _sounds(database) == {"welcome": sound(old.id).name}
    await shelf.settle(newest)
    assert await _sounds(database) == {"welcome": sound(newest.id).name}


async def test_names_are_exact(database: Database, account: str, shelf: AudioShelf) -> None:
    made = await shelf.ready(account, "Welcome")
    await _tree(database, account, DID, a="welcome", b="Welcome ", c="Welcome.wav", d=made.id.upper(), e="%")
    assert await _sounds(database) == {}


async def test_accounts_with_equal_names_hear_their_own(
    audios: ports.Audios, database: Database, account: str, other: str, shelf: AudioShelf
) -> None:
    ours, theirs = await shelf.ready(account, "welcome"), await shelf.ready(other, "welcome")
    await _tree(database, account, DID, a="welcome", b=theirs.id)
    await _tree(database, other, SECOND, a="welcome", b=ours.id)
    assert await _sounds(database, DID) == {"welcome": sound(ours.id).name}
    assert await _sounds(database, SECOND) == {"welcome": sound(theirs.id).name}
    assert await audios.uses(account, [ours.id, theirs.id]) == {
        ours.id: [Use("menu", "a", "audio")],
        theirs.id: [],
    }
    assert await audios.delete(account, ours.id) == [DID]
    assert await _sounds(database, SECOND) == {"welcome": sound(theirs.id).name}


async def test_names_without_an_audio(audios: ports.Audios, account: str, shelf: AudioShelf) -> None:
    ready = await shelf.ready(account, "ready", "ready.wav")
    waiting = await shelf.processing(account, "waiting")
    failed = await shelf.processing(account, "failed", "failed.wav")
    await shelf.fail(failed)
    names = [ready.id, "ready", "ready.wav", waiting.id, "waiting", failed.id, "failed", "failed.wav", "none"]
    assert await audios.unknown(account, names) == {failed.id, "failed", "failed.wav", "none"}
    assert await audios.unknown(account, []) == set()
    many = [f"name {number}" for number in range(1_200)]
    assert await audios.unknown(account, [*many, "ready"]) == set(many)


# --- whose calls hear of a change


async def test_a_change_renews_the_numbers_whose_trees_name_it(
    audios: ports.Audios, database: Database, account: str, other: str, shelf: AudioShelf
) -> None:
    made = await shelf.processing(account, "welcome", "file.wav")
    await _tree(database, account, DID, "one", a="welcome")
    await _tree(database, account, SECOND, "two", a="file.wav", b=made.id)
    await _tree(database, account, "+19495550001", "three", a="another")
    await _tree(database, other, ELSEWHERE, a="welcome", b=made.id)
    every = (DID, SECOND, "+19495550001", ELSEWHERE)
    before = [await _revision(database, did) for did in every]
    assert await shelf.settle(made) == [SECOND, DID]
    settled = [await _revision(database, did) for did in every]
    assert min(settled[:2]) > max(before)
    assert settled[2:] == before[2:]
    assert await audios.delete(account, made.id) == [SECOND, DID]
    deleted = [await _revision(database, did) for did in every]
    assert min(deleted[:2]) > max(settled)
    assert deleted[2:] == before[2:]
    assert await _sounds(database) == {}


async def test_what_was_never_heard_renews_nothing(
    audios: ports.Audios, database: Database, account: str, shelf: AudioShelf
) -> None:
    await _tree(database, account, DID, a="welcome")
    before = await _revision(database, DID)
    failing, leaving = await shelf.processing(account, "welcome"), await shelf.processing(account, "welcome")
    assert await shelf.fail(failing) == []
    assert await audios.delete(account, failing.id) == []
    assert await audios.delete(account, leaving.id) == []
    assert await _revision(database, DID) == before


async def test_an_audio_that_is_ready_at_once_renews_too(
    audios: ports.Audios, database: Database, account: str
) -> None:
    await _tree(database, account, DID, a="welcome")
    before = await _revision(database, DID)
    ready = Audio(
        id=new_audio_id(),
        account=account,
        name="welcome",
        source=Source.TTS,
        status=AudioStatus.READY,
        created_at=(await Ivrs(database).get(account, "menu")).created_at,
        sound=sound("welcome"),
    )
    await audios.add(ready)
    assert await _sounds(database) == {"welcome": sound("welcome").name}
    assert await _revision(database, DID) > before


# --- what trees name


async def test_what_a_tree_names_follows_its_newest_version(
    audios: ports.Audios, database: Database, account: str, shelf: AudioShelf
) -> None:
    one, two = await shelf.ready(account, "one"), await shelf.ready(account, "two")
    menu = {"gather": {"1": "bye"}, "audio": "one", "invalid_audio": "two", "timeout_audio": "one"}
    await _tree(database, account, DID, menu=menu, bye="two", silent={"action": "transfer"})
    assert await audios.uses(account, [one.id, two.id]) == {
        one.id: [Use("menu", "menu", "audio"), Use("menu", "menu", "timeout_audio")],
        two.id: [Use("menu", "bye", "audio"), Use("menu", "menu", "invalid_audio")],
    }

    def change(document: dict[str, Any]) -> dict[str, Any]:
        return {**document, "nodes": {"bye": {"action": "hangup", "audio": one.id}}}

    await Ivrs(database).change(account, "menu", change)
    assert await audios.uses(account, [one.id, two.id]) == {one.id: [Use("menu", "bye", "audio")], two.id: []}
    assert await _sounds(database) == {one.id: sound(one.id).name}


async def test_a_change_that_fails_leaves_what_the_tree_names(
    audios: ports.Audios, database: Database, account: str, shelf: AudioShelf
) -> None:
    one = await shelf.ready(account, "one")
    await _tree(database, account, DID, bye="one")

    def refuse(_: dict[str, Any]) -> dict[str, Any]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Ivrs(database).change(account, "menu", refuse)
    assert (await audios.uses(account, [one.id]))[one.id] == [Use("menu", "bye", "audio")]


async def test_a_deleted_tree_names_nothing(
    audios: ports.Audios, database: Database, account: str, shelf: AudioShelf
) -> None:
    one = await shelf.ready(account, "one")
    await Ivrs(database).create(
        account, "m", {"id": "m", "nodes": {"a": {"action": "hangup", "audio": "one"}}}
    )
    assert len((await audios.uses(account, [one.id]))[one.id]) == 1
    await Ivrs(database).delete(account, "m")
    assert await audios.uses(account, [one.id]) == {one.id: []}
    async with database.reading() as connection:
        assert (await connection.execute(select(ivr_audio))).all() == []


async def test_a_tree_of_a_thousand_nodes(database: Database, account: str, shelf: AudioShelf) -> None:
    menu = {"gather": {}, "audio": "one", "invalid_audio": "two", "timeout_audio": "three"}
    await shelf.ready(account, "three")
    await _tree(database, account, DID, "menu", **{f"n{number}": menu for number in range(1_000)})
    assert list(await _sounds(database)) == ["three"]
    assert len(await Truth(database).after(0, "", 10)) == 1
