"""The sounds of a tree, as a call reads them: from each store the same, and none of an older state."""

import asyncio
from typing import Any

from tests.adapters.our_process import our_process
from tests.adapters.shelf_of_audio import AudioShelf, sound
from tests.adapters.valkey_peer import ValkeyPeer
from tests.adapters.waiting import until
from tests.peers.postgres import Postgres
from trunx.adapters.store.accounts import Accounts
from trunx.adapters.store.database import Database
from trunx.adapters.store.ivrs import Ivrs
from trunx.domain.records import Line

DID, SECOND, THIRD = "+19495551234", "+19495550000", "+19495550001"


def _speaking(*audio: str) -> dict[str, Any]:
    nodes = {f"bye{number}": {"action": "hangup", "audio": name} for number, name in enumerate(audio)}
    return {"id": "menu", "nodes": nodes}


async def _behind(database: Database, account: str, document: dict[str, Any], *dids: str) -> None:
    """Puts a new IVR behind the numbers."""
    await Ivrs(database).create(account, document["id"], document)
    for did in dids:
        await Ivrs(database).assign(account, document["id"], did)


def _sounds(line: Line | None) -> dict[str, str]:
    assert line is not None
    assert line.tree is not None
    return dict(line.sounds)


async def test_the_sounds_of_a_tree_come_with_it(
    sqlite: Database, valkey: ValkeyPeer, account_of_sqlite: str
) -> None:
    """From Redis, after a change, from the database and from what was seen."""
    shelf = AudioShelf(sqlite)
    waiting = await shelf.processing(account_of_sqlite, "welcome")
    await _behind(sqlite, account_of_sqlite, _speaking("welcome", "nothing"), DID)
    async with our_process(sqlite, valkey) as lines, our_process(sqlite, valkey) as other:
        assert _sounds(await lines.find(DID)) == {}
        await lines.publish(await shelf.settle(waiting))
        older = {"welcome": sound(waiting.id).name}
        assert _sounds(await lines.find(DID)) == older
        assert _sounds(await other.find(DID)) == older
        assert await other.find(DID) is await other.find(DID), "what is read again is not made again"
        newest = await shelf.ready(account_of_sqlite, "welcome")
        await lines.publish([DID])
        assert _sounds(await other.find(DID)) == {"welcome": sound(newest.id).name}
        valkey.kill()
        assert _sounds(await other.find(DID)) == {"welcome": sound(newest.id).name}
        assert await other.find(DID) is await other.find(DID)
        await lines.publish(await shelf.audios.delete(account_of_sqlite, newest.id))
        assert _sounds(await other.find(DID)) == older
        valkey.start()
        await until(lambda: lines.healthy and other.healthy)
        assert _sounds(await lines.find(DID)) == older


async def test_numbers_with_one_tree_have_its_sounds(
    sqlite: Database, valkey: ValkeyPeer, account_of_sqlite: str
) -> None:
    made = await AudioShelf(sqlite).ready(account_of_sqlite, "welcome")
    await _behind(sqlite, account_of_sqlite, _speaking("welcome"), DID, SECOND)
    await _behind(sqlite, account_of_sqlite, {"id": "mute", "nodes": {"a": {"action": "hangup"}}}, THIRD)
    async with our_process(sqlite, valkey, heal=False) as process:
        found = await asyncio.gather(*(process.find(did) for did in (DID, SECOND, THIRD)))
    assert [_sounds(line) for line in found] == [{"welcome": sound(made.id).name}] * 2 + [{}]


async def test_the_sounds_when_both_stores_are_away(valkey: ValkeyPeer, stoppable: Postgres) -> None:
    async with Database.open(stoppable.create("sounds")) as database:
        account = (await Accounts(database).create("Ada")).id
        made = await AudioShelf(database).ready(account, "welcome")
        await _behind(database, account, _speaking("welcome"), DID, SECOND)
        expected = {"welcome": sound(made.id).name}
        async with (
            our_process(database, valkey) as process,
            our_process(database, valkey, heal=False) as young,
        ):
            assert _sounds(await process.find(DID)) == expected
            stoppable.stop()
            assert _sounds(await process.find(SECOND)) == expected
            assert _sounds(await young.find(DID)) == expected
            valkey.kill()
            assert _sounds(await process.find(DID)) == expected
            assert _sounds(await young.find(DID)) == expected
