"""Links that need no key: whoever has one may open what it names until it expires.

The signature is HMAC-SHA256 (RFC 2104) over the name and the expiry, with a secret that only the server
knows; whoever changes either of them has no signature for it.
"""

import hmac
from datetime import datetime, timedelta

LIFE = timedelta(hours=24)


class LinkError(Exception):
    """The link opens nothing; the message says why."""


def signature(secret: bytes, name: str, expires: int) -> str:
    """64 hex digits. `expires` is in seconds since 1970."""
    return hmac.digest(secret, f"{name}\n{expires}".encode(), "sha256").hex()


def check(secret: bytes, name: str, expires: int, given: str, now: datetime) -> None:
    """Returns when `given` is the signature of a link that has not expired.

    Raises:
        LinkError: it is not.
    """
    if not hmac.compare_digest(signature(secret, name, expires).encode(), given.encode()):
        raise LinkError("the signature does not fit: the link was changed, or not made here")
    if now.timestamp() >= expires:
        raise LinkError("the link has expired: ask for the recording again, with a key, to get a new one")
