"""Whose request it is: `Authorization: Bearer tk_live_...`."""

from aiohttp import web

from trunx.domain.account import SECRET_PREFIX, Account
from trunx.engine.ports import Accounts
from trunx.web.problems import INVALID_KEY, ProblemError


async def authenticate(request: web.Request, accounts: Accounts) -> Account:
    """The account whose key came with `request`; raises `ProblemError` 401."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    secret = secret.strip()
    # RFC 6750, section 3.1: a request without any key is told no error code.
    if scheme.lower() != "bearer" or not secret:
        raise ProblemError(
            INVALID_KEY,
            f"send a key of your account as `Authorization: Bearer {SECRET_PREFIX}...`",
            headers={"WWW-Authenticate": 'Bearer realm="trunx"'},
        )
    account = await accounts.authenticate(secret)
    if account is None:
        raise ProblemError(
            INVALID_KEY,
            "this key is unknown or revoked",
            headers={"WWW-Authenticate": 'Bearer realm="trunx", error="invalid_token"'},
        )
    return account
