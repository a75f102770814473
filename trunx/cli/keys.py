"""`trunx keys`: accounts' keys, directly in the database, for whoever may read the server's settings.

A new key stands alone on standard output, so that a script can take it.
"""

import asyncio
from collections.abc import Sequence

from rich.table import Table

from trunx.adapters.store.accounts import Accounts
from trunx.cli.terminal import StopError, err, opened, out, quiet, read_settings
from trunx.domain.account import Account, Key, new_secret
from trunx.domain.errors import NotFoundError
from trunx.settings import Settings


def create(*, account: str | None, new_account: str | None, name: str) -> None:
    """A key for `account` (id), for a new account, or for the only one there is."""
    if account is not None and new_account is not None:
        raise StopError("--account names one that exists, --new-account makes one: give one of the two", 2)
    quiet()
    secret, key = asyncio.run(_create(read_settings(), account, new_account, name))
    err.print(f"{key.id}, a key of account {key.account}. It is shown once:")
    out.print(secret, soft_wrap=True)


def show() -> None:
    """A table of all keys."""
    quiet()
    accounts, keys = asyncio.run(_list(read_settings()))
    names = {account.id: account.name for account in accounts}
    table = Table("key", "starts with", "name", "account", "made", "revoked")
    for key in keys:
        revoked = "" if key.revoked_at is None else f"{key.revoked_at:%Y-%m-%d %H:%M}Z"
        of = f"{key.account} ({names.get(key.account, '')})"
        table.add_row(key.id, key.shown, key.name, of, f"{key.created_at:%Y-%m-%d %H:%M}Z", revoked)
    out.print(table)


def revoke(key_id: str) -> None:
    """Ends one key."""
    quiet()
    key = asyncio.run(_revoke(read_settings(), key_id))
    out.print(f"{key.id} ({key.shown}) is revoked")


async def _create(
    settings: Settings, account: str | None, new_account: str | None, name: str
) -> tuple[str, Key]:
    async with opened(settings, new=new_account is not None) as database:
        accounts = Accounts(database)
        if new_account is not None:
            account = (await accounts.create(new_account)).id
        if account is None:
            account = _only(await accounts.list_accounts())
        secret = new_secret()
        try:
            return secret, await accounts.create_key(account, name, secret)
        except NotFoundError:
            raise StopError(f"there is no account {account}") from None


def _only(accounts: Sequence[Account]) -> str:
    match accounts:
        case [one]:
            return one.id
        case []:
            raise StopError("there is no account yet: make one with --new-account NAME")
        case _:
            known = ", ".join(f"{one.id} ({one.name})" for one in accounts)
            raise StopError(f"there are several accounts, name one with --account: {known}")


async def _list(settings: Settings) -> tuple[Sequence[Account], Sequence[Key]]:
    async with opened(settings) as database:
        accounts = Accounts(database)
        return await accounts.list_accounts(), await accounts.list_keys()


async def _revoke(settings: Settings, key_id: str) -> Key:
    async with opened(settings) as database:
        try:
            return await Accounts(database).revoke_key(key_id)
        except NotFoundError:
            raise StopError(f"there is no key {key_id}: `trunx keys list` names them") from None
