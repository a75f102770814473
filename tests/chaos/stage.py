"""Two Asterisks that carry hundreds of calls: a pbx that may be ended, and a world that stays.

Unlike `tests.peers.world` nobody listens to the sound here, and the ports of the sound are many.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.invites import Invites
from tests.peers.asterisk import Asterisk, Ports, configure, find_root

# Above the ports that tests claim and those that the kernel gives out. Asterisk tries another port when one
# is taken, so that two of us do not disturb each other.
_RTP = "[general]\nrtpstart = 61000\nrtpend = 65400\n"

CALLEES = """
[callees]
exten => _+1NXX55500XX,1,Answer()
 same => n,Wait(60)
exten => _+1NXX55517XX,1,Hangup(17)
exten => _+1NXX55519XX,1,Ringing()
 same => n,Wait(60)
exten => _+1NXX55521XX,1,Hangup(21)
exten => _+1NXX55560XX,1,Ringing()
 same => n,Wait(${RAND(0,3)})
 same => n,Answer()
 same => n,Wait(${RAND(1,10)})
 same => n,Hangup(16)
exten => _+1NXX55563XX,1,Answer()
 same => n,Wait(${RAND(1,4)})
 same => n,SendDTMF(1)
 same => n,Wait(60)
exten => _+1NXX55564XX,1,Ringing()
 same => n,Wait(${RAND(1,3)})
 same => n,Answer()
 same => n,Wait(60)
"""
"""+1nxx555kkxx: kk is 00 for one who answers, 17 busy, 19 never answers, 21 refuses, 60 answers and hangs up,
63 answers and presses 1, 64 answers after some seconds.
"""

_KINDS = {"00": 40, "17": 6, "19": 8, "21": 5, "60": 14, "63": 15, "64": 12}
_AREAS = (
    *(202, 206, 212, 214, 216, 303, 305, 310, 312, 313, 404, 408, 412, 415, 503, 504, 512, 602, 612, 614),
    *(615, 617, 619, 702, 703, 713, 718, 727, 801, 804, 808, 813, 816, 901, 904, 909, 913, 916, 919, 972),
)


@dataclass(frozen=True)
class Stage:
    """What stays over all rounds, but for the pbx, which a round may end and start.

    Attributes:
        invites: what the world was asked for.
    """

    pbx: Asterisk
    world: Asterisk
    invites: Invites

    async def channels(self) -> int:
        """How many the pbx has."""
        counted = await self.pbx.ami.command("core show channels count")
        return int(counted.split(" active channel")[0].split()[-1])

    async def hang_up(self) -> None:
        """All that are in a call hang up, also those that a killed pbx has left behind."""
        await self.world.ami.command("channel request hangup all")


@asynccontextmanager
async def staged(dialplan: str) -> AsyncIterator[Stage]:
    """Both started, the pbx with that extensions.conf."""
    root = await find_root()
    with tempfile.TemporaryDirectory(prefix="trunx-") as folder, Ports() as pbx_ports, Ports() as world_ports:
        pbx = Asterisk(root, Path(folder) / "pbx", pbx_ports)
        world = Asterisk(root, Path(folder) / "world", world_ports)
        configure(pbx, peer="trunk", peer_sip=world_ports.sip, context="trunx-inbound")
        configure(world, peer="pbx", peer_sip=pbx_ports.sip, context="callees")
        for one in (pbx, world):
            one.write("rtp.conf", _RTP)
        await pbx.dialplan(dialplan)
        await world.dialplan(CALLEES)
        invites = Invites(world_ports.sip)
        try:
            await asyncio.gather(pbx.start(), world.start())
            yield Stage(pbx, world, invites)
        finally:
            invites.close()
            await asyncio.gather(pbx.kill(), world.kill())


class Numbers:
    """Callees, none twice for as long as this lives."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._next = dict.fromkeys(_KINDS, 0)

    def new(self) -> tuple[str, str]:
        """One, and of what kind she is."""
        (kind,) = self._chance.choices(list(_KINDS), list(_KINDS.values()))
        place = self._next[kind]
        self._next[kind] += 1
        return f"+1{_AREAS[place // 100]}555{kind}{place % 100:02}", kind
