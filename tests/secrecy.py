"""No secret in any log: whoever collects what a server of ours says hands it over here.

What the tests themselves use as secrets is named here, and what gives itself away by its form is looked for
too. The end of the session fails when anything was found (`tests/conftest.py`).
"""

import re
from collections.abc import MutableMapping
from typing import Any

from tests.peers import elevenlabs, ultravox

SIP_USER = "trunx-agent"
SIP_PASSWORD = "k3epTh1sFromEveryLog"
WEBHOOK_SECRETS = ("first-hook-secret-of-the-tests", "second-hook-secret-of-the-tests")

SECRETS = {ultravox.KEY, elevenlabs.KEY, SIP_PASSWORD, *WEBHOOK_SECRETS}
_FORMS = re.compile(
    r"tk_live_[0-9a-f]{8}"  # an API key
    r"|whsec_[A-Za-z0-9+/]{8}"  # what we sign webhooks with
    r"|\bt[0-9a-f]{32}\b"  # the SIP user of a talk
    r"|sip:[^\s:@/]+:[^\s@]+@"  # an address with a password
)

LEAKS: list[str] = []
"""Every line with a secret in it."""


def leaks(text: str) -> list[str]:
    """The lines of `text` that hold a secret."""
    return [
        line
        for line in text.splitlines()
        if any(secret in line for secret in SECRETS) or _FORMS.search(line) is not None
    ]


def heard(text: str) -> None:
    """Takes what a server has logged."""
    LEAKS.extend(leaks(text))


def heed(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Takes what is logged in the tests' own process, as one of structlog's processors."""
    heard(" ".join(f"{name}={value!r}" for name, value in event.items()))
    return event
