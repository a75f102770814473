"""The AMI adapter, connected to the stub of an Asterisk, at a pace for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.peers.ami_stub import AmiStub, ami_stub
from trunx.adapters.ami.ami import Ami, Pace
from trunx.domain.channel import Fact, LinkUp, Originate

QUICK = Pace(connect=1.0, boot=1.0, answer=1.0, ping=30.0, pause=0.02, longest_pause=0.05)
CALL = Originate("call-1", "PJSIP/+14155550123@carrier", "trunx-outbound", "s", 30, "+19495551234")


@asynccontextmanager
async def connected(pace: Pace = QUICK, most_facts: int = 100) -> AsyncIterator[tuple[AmiStub, Ami]]:
    async with ami_stub() as stub, Ami(stub.url, pace=pace, most_facts=most_facts) as ami:
        await ami.wait_connected(5)
        assert await anext(ami.facts) == LinkUp()
        yield stub, ami


async def taken(ami: Ami, count: int) -> list[Fact]:
    """So many facts."""
    async with asyncio.timeout(5):
        return [await anext(ami.facts) for _ in range(count)]
