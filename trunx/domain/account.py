"""Accounts and their keys. Of a key only the fingerprint is kept; the secret is shown once."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime

SECRET_PREFIX = "tk_live_"  # noqa: S105 - the visible start of every key
_SHOWN = len(SECRET_PREFIX) + 4


@dataclass(frozen=True, slots=True)
class Account:
    """`id` is the `auth_id` that paths carry, and the folder of the account's sounds."""

    id: str
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Key:
    """A key of an account; `shown` is the start of its secret, for people to tell keys apart."""

    id: str
    account: str
    name: str
    shown: str
    created_at: datetime
    revoked_at: datetime | None


def new_account_id() -> str:
    """`MA` and 20 characters that no other account has."""
    return "MA" + secrets.token_hex(10)


def new_key_id() -> str:
    """`key_` and 12 characters."""
    return "key_" + secrets.token_hex(6)


def new_secret() -> str:
    """A secret with 192 random bits, so that a plain hash of it cannot be searched."""
    return SECRET_PREFIX + secrets.token_hex(24)


def fingerprint(secret: str) -> str:
    """What is stored of a secret: SHA-256, hex."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def shown(secret: str) -> str:
    """The part of a secret that may be seen in lists and logs."""
    return secret[:_SHOWN] + "..."
