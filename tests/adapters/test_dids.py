"""DIDs, on both engines."""

import asyncio

import pytest

from trunx.adapters.store.database import Database
from trunx.adapters.store.dids import Dids
from trunx.adapters.store.ivrs import Ivrs
from trunx.domain.errors import ExistsError, NotFoundError, OwnedByAnotherError
from trunx.domain.records import Did, Page
from trunx.engine import ports

DID = "+19495551234"
DOCUMENT = {"id": "menu", "nodes": {"bye": {"action": "hangup"}}}


@pytest.fixture
def dids(database: Database) -> ports.Dids:
    return Dids(database)


async def test_registering_and_changing(dids: ports.Dids, database: Database, account: str) -> None:
    await Ivrs(database).create(account, "menu", DOCUMENT)
    made = await dids.create(account, DID, None, "front desk")
    assert (made.ivr, made.label) == (None, "front desk")
    assert await dids.get(account, DID) == made
    assert (await dids.change(account, DID, {"ivr": "menu"})).label == "front desk"
    changed = await dids.change(account, DID, {"label": None})
    assert (changed.ivr, changed.label, changed.created_at) == ("menu", None, made.created_at)
    assert (await dids.create(account, "+19495550000", "menu", None)).ivr == "menu"


async def test_what_is_refused(dids: ports.Dids, account: str, other: str) -> None:
    await dids.create(account, DID, None, None)
    with pytest.raises(ExistsError):
        await dids.create(account, DID, None, None)
    with pytest.raises(OwnedByAnotherError):
        await dids.create(other, DID, None, None)
    with pytest.raises(NotFoundError, match="ivr"):
        await dids.create(account, "+19495550000", "menu", None)
    with pytest.raises(NotFoundError, match="ivr"):
        await dids.change(account, DID, {"ivr": "menu"})
    for refused in (dids.get(other, DID), dids.change(other, DID, {}), dids.delete(other, DID)):
        with pytest.raises(NotFoundError, match="did"):
            await refused


async def test_a_number_given_up_can_be_registered_by_another(
    dids: ports.Dids, account: str, other: str
) -> None:
    await dids.create(account, DID, None, "mine")
    await dids.delete(account, DID)
    with pytest.raises(NotFoundError):
        await dids.delete(account, DID)
    assert (await dids.page(account, Page(10))).rows == []
    assert (await dids.create(other, DID, None, None)).label is None
    assert [did.account for did in (await dids.page(other, Page(10))).rows] == [other]


async def test_of_two_accounts_one_gets_the_number(dids: ports.Dids, account: str, other: str) -> None:
    for number in range(5):
        did = f"+1949555000{number}"
        answers = await asyncio.gather(
            dids.create(account, did, None, None),
            dids.create(other, did, None, None),
            return_exceptions=True,
        )
        assert {type(answer) for answer in answers} == {Did, OwnedByAnotherError}


async def test_pages(dids: ports.Dids, account: str) -> None:
    made = [await dids.create(account, f"+1949555000{number}", None, None) for number in range(5)]
    first = await dids.page(account, Page(3))
    second = await dids.page(account, Page(3, first.next))
    newest_first = sorted(made, key=lambda did: (did.created_at, did.did), reverse=True)
    assert [*first.rows, *second.rows] == newest_first
    assert second.next is None
