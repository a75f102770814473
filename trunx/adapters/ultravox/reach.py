"""How Ultravox reaches our Asterisk: one SIP address with credentials, and a new user part for each talk."""

import re
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import quote, unquote

_ADDRESS = re.compile(
    r"sip:(?P<user>[^:@\s]+):(?P<password>[^@\s]+)"
    r"@(?P<place>(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?(;transport=(udp|tcp|tls))?)"
)


@dataclass(frozen=True, slots=True)
class SipReach:
    """Where Asterisk is for the vendor, `host:port;transport=...`, and whom it takes calls from."""

    place: str
    user: str
    password: str = field(repr=False)

    @classmethod
    def of(cls, address: str) -> Self:
        """From `sip:user:password@host:port;transport=tcp`; what is no SIP character is written as %XX.

        Raises:
            ValueError: it is none; never shows the password.
        """
        match = _ADDRESS.fullmatch(address.strip())
        if match is None:
            raise ValueError("not sip:user:password@host:port;transport=udp (or tcp, tls)")
        return cls(match["place"], unquote(match["user"]), unquote(match["password"]))

    def medium(self, token: str) -> dict[str, Any]:
        """Has the vendor dial `token` here. `from` is the name of Asterisk's endpoint, which knows the vendor
        by it before it asks for the password.
        """
        return {
            "sip": {
                "outgoing": {
                    "to": f"sip:{quote(token, safe='')}@{self.place}",
                    "from": self.user,
                    "username": self.user,
                    "password": self.password,
                }
            }
        }
