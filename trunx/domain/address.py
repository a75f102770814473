"""Which addresses are the internet's: what a user names must not lead into the network that we stand in.

Asked of a URL as it is written, and again of every address that its name turns out to have.
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address behind a gateway


class RefusedAddressError(Exception):
    """Nothing is sent to this address or fetched from it; the message says why."""


def check_url(url: str) -> None:
    """Raises `RefusedAddressError` for what can be told from the URL alone."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise RefusedAddressError("this is no URL") from None
    if parts.scheme not in ("https", "http") or not host:
        raise RefusedAddressError("a URL begins with https:// or http://, and a host")
    if parts.username is not None or parts.password is not None:
        raise RefusedAddressError("the URL must not carry a name and a password")
    if parts.fragment:
        raise RefusedAddressError("the URL must not have a fragment: it would not be sent")
    if not url.isascii() or any(char <= " " or char == "\x7f" for char in url):
        raise RefusedAddressError("write the URL as it is sent: in ASCII, without blanks")


def check_host(host: str) -> None:
    """Raises `RefusedAddressError` for a private address, and for a name that is private by itself."""
    name = host.rstrip(".").lower()
    try:
        address = ip_address(name)
    except ValueError:
        if name == "localhost" or name.endswith((".localhost", ".local", ".internal")) or "." not in name:
            raise RefusedAddressError(f"{host} is a name of this network, not of the internet") from None
    else:
        check_address(address)


def check_address(address: IPv4Address | IPv6Address) -> None:
    """Raises `RefusedAddressError` for an address that is not one of the internet."""
    inner: IPv4Address | IPv6Address = address
    if isinstance(address, IPv6Address):
        # An IPv4 address in IPv6's clothes leads where that one does.
        inner = address.ipv4_mapped or address.sixtofour or address
        if address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFF_FFFF)
        elif address.teredo is not None:
            inner = address.teredo[1]
    is_local = inner.is_multicast or inner.is_reserved or getattr(inner, "is_site_local", False)
    if is_local or not inner.is_global:
        raise RefusedAddressError(f"{address} is no address of the internet")
