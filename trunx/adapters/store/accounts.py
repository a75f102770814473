"""Accounts and keys in the database. A key is found by its fingerprint; the secret is stored nowhere."""

import hmac
from collections.abc import Sequence

from sqlalchemy import bindparam, select, update

from trunx.adapters.store.database import Database
from trunx.adapters.store.tables import accounts, keys, now
from trunx.domain.account import Account, Key, fingerprint, new_account_id, new_key_id, shown
from trunx.domain.errors import ExistsError, NotFoundError

_KEY = (keys.c.id, keys.c.account, keys.c.name, keys.c.shown, keys.c.created_at, keys.c.revoked_at)

# Made once: each request asks it.
_PRESENTED = (
    select(accounts, keys.c.fingerprint)
    .join(keys, keys.c.account == accounts.c.id)
    .where(keys.c.fingerprint == bindparam("presented"), keys.c.revoked_at.is_(None))
)


class Accounts:
    """Fulfils the port of the same name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, name: str) -> Account:
        account = Account(new_account_id(), name, now())
        async with self._database.writing() as connection:
            await connection.execute(
                accounts.insert().values(id=account.id, name=name, created_at=account.created_at)
            )
        return account

    async def list_accounts(self) -> Sequence[Account]:
        """Oldest first: the first account of the server leads the list."""
        query = select(accounts).order_by(accounts.c.created_at, accounts.c.id)
        async with self._database.reading() as connection:
            return [Account(*row) for row in await connection.execute(query)]

    async def create_key(self, account: str, name: str, secret: str) -> Key:
        key = Key(new_key_id(), account, name, shown(secret), now(), None)
        row = self._database.insert(keys).values(
            id=key.id,
            account=account,
            name=name,
            fingerprint=fingerprint(secret),
            shown=key.shown,
            created_at=key.created_at,
        )
        async with self._database.writing() as connection:
            if (
                await connection.execute(select(accounts.c.id).where(accounts.c.id == account))
            ).first() is None:
                raise NotFoundError(account)
            if (await connection.execute(row.on_conflict_do_nothing())).rowcount == 0:
                raise ExistsError(key.shown)
        return key

    async def list_keys(self, account: str | None = None) -> Sequence[Key]:
        """Oldest first, revoked ones too."""
        query = select(*_KEY).order_by(keys.c.created_at, keys.c.id)
        if account is not None:
            query = query.where(keys.c.account == account)
        async with self._database.reading() as connection:
            return [Key(*row) for row in await connection.execute(query)]

    async def revoke_key(self, key_id: str) -> Key:
        """The key as it is now; one that was revoked before keeps its moment."""
        async with self._database.writing() as connection:
            await connection.execute(
                update(keys).where(keys.c.id == key_id, keys.c.revoked_at.is_(None)).values(revoked_at=now())
            )
            row = (await connection.execute(select(*_KEY).where(keys.c.id == key_id))).first()
        if row is None:
            raise NotFoundError(key_id)
        return Key(*row)

    async def authenticate(self, secret: str) -> Account | None:
        presented = fingerprint(secret)
        async with self._database.reading() as connection:
            row = (await connection.execute(_PRESENTED, {"presented": presented})).first()
        if row is None or not hmac.compare_digest(row.fingerprint, presented):
            return None
        return Account(row.id, row.name, row.created_at)
