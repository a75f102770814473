"""Accounts and keys, on both engines."""

import pytest

from trunx.adapters.store.accounts import Accounts
from trunx.adapters.store.database import Database
from trunx.domain.errors import ExistsError, NotFoundError
from trunx.engine import ports


async def test_a_key_opens_its_account_until_it_is_revoked(database: Database) -> None:
    accounts: ports.Accounts = Accounts(database)
    ada, grace = await accounts.create("Ada"), await accounts.create("Grace")
    key = await accounts.create_key(ada.id, "laptop", "tk_live_1")
    await accounts.create_key(grace.id, "phone", "tk_live_2")
    assert await accounts.authenticate("tk_live_1") == ada
    assert await accounts.authenticate("tk_live_2") == grace
    assert await accounts.authenticate("tk_live_3") is None
    assert await accounts.authenticate("tk_live_1\ud800\x00") is None
    revoked = await accounts.revoke_key(key.id)
    assert revoked.revoked_at is not None
    assert await accounts.authenticate("tk_live_1") is None
    assert await accounts.revoke_key(key.id) == revoked


async def test_lists_are_oldest_first(database: Database) -> None:
    accounts = Accounts(database)
    ada, grace = await accounts.create("Ada"), await accounts.create("Grace")
    assert list(await accounts.list_accounts()) == sorted([ada, grace], key=lambda a: (a.created_at, a.id))
    first = await accounts.create_key(ada.id, "laptop", "tk_live_1")
    second = await accounts.create_key(grace.id, "phone", "tk_live_2")
    assert set(await accounts.list_keys()) == {first, second}
    assert list(await accounts.list_keys(grace.id)) == [second]


async def test_what_is_refused(database: Database, account: str) -> None:
    accounts = Accounts(database)
    with pytest.raises(NotFoundError):
        await accounts.create_key("MA-nobody", "x", "tk_live_1")
    key = await accounts.create_key(account, "x", "tk_live_1")
    await accounts.revoke_key(key.id)
    with pytest.raises(ExistsError):
        await accounts.create_key(account, "again", "tk_live_1")
    with pytest.raises(NotFoundError):
        await accounts.revoke_key("key_none")
