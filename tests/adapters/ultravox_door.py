"""The stand-in for Ultravox, and our way to it with deadlines that tests have time for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.peers.ultravox import UltravoxPeer
from trunx.adapters.ultravox.agents import UltravoxAgents
from trunx.adapters.ultravox.calls import Callbacks, UltravoxCalls
from trunx.adapters.ultravox.client import Client, Deadlines
from trunx.adapters.ultravox.reach import SipReach
from trunx.domain.agent import VendorError
from trunx.domain.talk import TalkRequest

PASSWORD, SECRET, FORMER = "open sesame", "our webhook secret", "our former webhook secret"
SIP = "sip:trunx-agent:open%20sesame@pbx.example.com:5060;transport=tcp"
CALLBACKS = Callbacks("https://trunx.test/hooks/ultravox", [SECRET, FORMER])
TOKEN = "t0123456789abcdef"
QUICK = Deadlines(
    connect=1.5, total=1.5, creation=1.5, lookup=1.5, upload=2.0, wait=1.5, backoff=0.01, state=1.0, keep=0.0
)


@dataclass(frozen=True)
class Door:
    """Both sides."""

    peer: UltravoxPeer
    client: Client
    agents: UltravoxAgents
    calls: UltravoxCalls


@asynccontextmanager
async def opened(callbacks: Callbacks | None = CALLBACKS) -> AsyncIterator[Door]:
    """Both, until the block ends."""
    async with (
        UltravoxPeer.running() as peer,
        Client.open(peer.key, peer.url, deadlines=QUICK) as client,
    ):
        yield Door(peer, client, UltravoxAgents(client), UltravoxCalls(client, SipReach.of(SIP), callbacks))


def request(who: Any, **more: Any) -> TalkRequest:
    """A talk that is wanted of `who`."""
    fields: dict[str, Any] = {
        "id": "talk-1",
        "call": "CA1",
        "token": TOKEN,
        "who": who,
        "facts": {"caller": "+14155550100", "did": "+19495551234"},
        "metadata": {"tenant": "acme"},
        "max_seconds": 300,
    }
    return TalkRequest(**fields | more)


async def refused(trouble: str, work: Any) -> VendorError:
    """The error that `work` ends with, which is of this kind and shows no secret."""
    with pytest.raises(VendorError) as caught:
        await work
    error = caught.value
    assert error.trouble == trouble, error.sentence
    for secret in (UltravoxPeer.key, PASSWORD, SECRET, FORMER, TOKEN):
        assert secret not in f"{error!r} {error} {error.sentence}"
    return error
