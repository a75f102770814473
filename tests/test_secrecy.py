"""What looks for secrets in logs finds them."""

import pytest
import structlog

from tests import secrecy
from tests.peers.ultravox import KEY

LINES = [
    f"the key is {KEY}",
    f"password={secrecy.SIP_PASSWORD}",
    *(f"signed with {secret}" for secret in secrecy.WEBHOOK_SECRETS),
    "Authorization: Bearer tk_live_" + "7" * 48,
    "secret=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "exten=t0123456789abcdef0123456789abcdef",
    "to=sip:user:word@pbx.example.com",
]


@pytest.mark.parametrize("line", LINES)
def test_a_secret_is_found(line: str) -> None:
    assert secrecy.leaks(f"first\n{line}\nlast") == [line]


def test_what_is_no_secret_is_not() -> None:
    said = "call=01a1ff30-181c-705c-9b74-49720d4949e5 account=MA0123456789abcdef0123456789abcdef"
    assert secrecy.leaks(f'{said} key="tk_live_..."') == []


def test_our_own_process_is_listened_to() -> None:
    found = len(secrecy.LEAKS)
    structlog.get_logger().warning("a slip", problem=f"refused {KEY}")
    assert len(secrecy.LEAKS) == found + 1
    del secrecy.LEAKS[found:]
