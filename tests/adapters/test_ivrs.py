"""IVRs, their versions, and the DIDs they stand behind, on both engines."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from trunx.adapters.store.database import Database
from trunx.adapters.store.dids import Dids
from trunx.adapters.store.ivrs import Ivrs
from trunx.adapters.store.tables import dids, ivr_versions
from trunx.domain.errors import (
    AssignedError,
    ExistsError,
    InvalidCursorError,
    NotFoundError,
    OwnedByAnotherError,
)
from trunx.domain.records import Page
from trunx.engine import ports

DOCUMENT = {"id": "menu", "nodes": {"zulu": {"action": "hangup"}, "alpha": {"action": "transfer"}}}
DID = "+19495551234"


@pytest.fixture
def ivrs(database: Database) -> ports.Ivrs:
    return Ivrs(database)


async def _revision(database: Database, did: str) -> int:
    async with database.reading() as connection:
        return int((await connection.execute(select(dids.c.revision).where(dids.c.did == did))).scalar_one())


async def test_a_document_keeps_the_order_of_its_nodes(ivrs: ports.Ivrs, account: str) -> None:
    made = await ivrs.create(account, "menu", DOCUMENT)
    assert (made.version, made.dids) == (1, ())
    found = await ivrs.get(account, "menu")
    assert found == made
    assert list(found.document["nodes"]) == ["zulu", "alpha"]


async def test_a_change_is_a_new_version_and_the_old_one_stays(
    ivrs: ports.Ivrs, database: Database, account: str
) -> None:
    first = await ivrs.create(account, "menu", DOCUMENT)
    second = await ivrs.change(account, "menu", lambda document: {**document, "language": "en"})
    assert (second.uid, second.version, second.document["language"]) == (first.uid, 2, "en")
    assert second == await ivrs.get(account, "menu")
    async with database.reading() as connection:
        rows = (await connection.execute(select(ivr_versions).order_by(ivr_versions.c.version))).all()
    assert [(row.version, "language" in row.document) for row in rows] == [(1, False), (2, True)]


async def test_changes_at_once_are_all_made(ivrs: ports.Ivrs, account: str) -> None:
    await ivrs.create(account, "menu", {"id": "menu", "nodes": {}})

    def add(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
        return lambda document: {**document, "nodes": {**document["nodes"], name: {"action": "hangup"}}}

    names = [f"node{number}" for number in range(12)]
    versions = await asyncio.gather(*(ivrs.change(account, "menu", add(name)) for name in names))
    assert sorted(ivr.version for ivr in versions) == list(range(2, 14))
    assert set((await ivrs.get(account, "menu")).document["nodes"]) == set(names)


async def test_a_change_that_raises_leaves_all_as_it_was(
    ivrs: ports.Ivrs, database: Database, account: str
) -> None:
    await ivrs.create(account, "menu", DOCUMENT)
    await ivrs.assign(account, "menu", DID)
    before = await _revision(database, DID)

    def refuse(_: dict[str, Any]) -> dict[str, Any]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await ivrs.change(account, "menu", refuse)
    assert (await ivrs.get(account, "menu")).version == 1
    assert await _revision(database, DID) == before


async def test_every_write_gives_the_dids_behind_it_a_newer_revision(
    ivrs: ports.Ivrs, database: Database, account: str
) -> None:
    await ivrs.create(account, "menu", DOCUMENT)
    revisions = []
    for did in (DID, "+19495550000"):
        await ivrs.assign(account, "menu", did)
        revisions.append(await _revision(database, did))
    await ivrs.change(account, "menu", lambda document: document)
    after = [await _revision(database, did) for did in (DID, "+19495550000")]
    assert min(after) > max(revisions)
    assert (await ivrs.get(account, "menu")).dids == ("+19495550000", DID)


async def test_assigning(ivrs: ports.Ivrs, account: str, other: str) -> None:
    for ivr in ("one", "two"):
        await ivrs.create(account, ivr, DOCUMENT)
    assert await ivrs.assign(account, "one", DID) is None
    assert await ivrs.assign(account, "two", DID) == "one"
    assert (await ivrs.get(account, "one")).dids == ()
    with pytest.raises(NotFoundError):
        await ivrs.assign(account, "three", DID)
    await ivrs.create(other, "theirs", DOCUMENT)
    with pytest.raises(OwnedByAnotherError):
        await ivrs.assign(other, "theirs", DID)


async def test_assigning_a_number_that_was_given_up(
    ivrs: ports.Ivrs, database: Database, account: str, other: str
) -> None:
    await ivrs.create(account, "menu", DOCUMENT)
    await ivrs.create(other, "menu", DOCUMENT)
    await ivrs.assign(account, "menu", DID)
    await Dids(database).delete(account, DID)
    given_up = await _revision(database, DID)
    assert await ivrs.assign(other, "menu", DID) is None
    assert (await ivrs.get(other, "menu")).dids == (DID,)
    assert (await ivrs.get(account, "menu")).dids == ()
    assert await _revision(database, DID) > given_up


async def test_deleting(ivrs: ports.Ivrs, database: Database, account: str) -> None:
    await ivrs.create(account, "menu", DOCUMENT)
    await ivrs.assign(account, "menu", DID)
    with pytest.raises(AssignedError) as caught:
        await ivrs.delete(account, "menu")
    assert caught.value.dids == (DID,)
    await Dids(database).change(account, DID, {"ivr": None})
    first = await ivrs.get(account, "menu")
    await ivrs.delete(account, "menu")
    with pytest.raises(NotFoundError):
        await ivrs.get(account, "menu")
    assert (await ivrs.create(account, "menu", DOCUMENT)).uid != first.uid


async def test_an_account_sees_only_its_own(ivrs: ports.Ivrs, account: str, other: str) -> None:
    await ivrs.create(account, "menu", DOCUMENT)
    for refused in (
        ivrs.get(other, "menu"),
        ivrs.change(other, "menu", dict),
        ivrs.delete(other, "menu"),
        ivrs.assign(other, "menu", DID),
    ):
        with pytest.raises(NotFoundError):
            await refused
    assert (await ivrs.page(other, Page(10))).rows == []
    await ivrs.create(other, "menu", DOCUMENT)
    with pytest.raises(ExistsError):
        await ivrs.create(account, "menu", DOCUMENT)


async def test_pages_are_newest_first_and_stand_still_under_inserts(ivrs: ports.Ivrs, account: str) -> None:
    for number in range(7):
        await ivrs.create(account, f"ivr{number}", DOCUMENT)
    await ivrs.assign(account, "ivr6", DID)
    all_rows = (await ivrs.page(account, Page(100))).rows
    assert {ivr.id: ivr.dids for ivr in all_rows}["ivr6"] == (DID,)
    page = await ivrs.page(account, Page(3))
    seen = list(page.rows)
    while page.next is not None:
        await ivrs.create(account, f"later{len(seen)}", DOCUMENT)
        page = await ivrs.page(account, Page(3, page.next))
        seen += page.rows
    assert seen == list(all_rows)
    assert len(page.rows) == 1


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "bm90IGpzb24",
        "WzEsMl0",
        "W251bGwsIngiXQ",
        "WzFlMzAsIngiXQ",
        "é",
        "W" * 10_000,
        "WzEsIlx1ZDgwMCJd",
    ],
)
async def test_a_cursor_that_is_not_ours(ivrs: ports.Ivrs, account: str, cursor: str) -> None:
    with pytest.raises(InvalidCursorError):
        await ivrs.page(account, Page(3, cursor))
