"""SIP URIs that a caller may be connected to, and an account's list of them.

The fact to know: the URI becomes a part of Dial()'s arguments, where `,`, `&`, `|`, `/` and `${` mean
something. So of what RFC 3261 (section 25.1) allows only what is plain is let in.
"""

import re
from collections.abc import Iterable

_HOST = r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"
_PORT = r"(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
_USER = r"[A-Za-z0-9_.+-]{1,64}"

SIP_URI = rf"sip:{_USER}@{_HOST}{_PORT}(;transport=(udp|tcp|tls))?"
"""Regular expression of a URI to call; one that JSON Schema understands too."""

_URI = re.compile(SIP_URI, re.ASCII)
_LISTED = re.compile(rf"sip:(\*|{_USER})@{_HOST}{_PORT}", re.ASCII)


def is_sip_uri(written: str) -> bool:
    """Whether it is `sip:user@host`, perhaps with a port, and `;transport=` udp, tcp or tls."""
    return _URI.fullmatch(written) is not None


def is_listable(written: str) -> bool:
    """Whether it can stand on an account's list: `sip:user@host`, or `sip:*@host` for all users there.

    A port is a part of the host; the transport is not said there.
    """
    return _LISTED.fullmatch(written) is not None


def is_listed(uri: str, listed: Iterable[str]) -> bool:
    """Whether the list has `uri`, by whatever transport. Hosts are the same in any case, users are not."""
    user, host = _parts(uri)
    return any(host == there and one in ("sip:*", user) for one, there in map(_parts, listed))


def _parts(uri: str) -> tuple[str, str]:
    user, _, host = uri.partition(";")[0].partition("@")
    return user, host.lower()
