"""Where a journey takes place: the pbx, the world around it, and the server that the pbx's dialplan calls."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import dialplan
from tests.journeys.listening import Shelf
from tests.journeys.server import Trunx, eventually
from tests.peers.asterisk import Asterisk
from tests.peers.world import World

SOON = 0.25
"""Seconds from a key to the beginning of what it leads to, and from the last word to the hangup: a caller
takes that for at once. Asterisk itself needs a frame or two, and our machine may be busy."""

Asterisks = tuple[Asterisk, World]

# A place of the operator's own, beside what `trunx dialplan` prints: calls are redirected there.
_ELSEWHERE = """
[elsewhere]
exten => s,1,Playback(hello-world)
 same => n,Wait(1)
 same => n,Hangup(16)
"""

_numbers = itertools.count(2_000)


@dataclass(frozen=True)
class Scene:
    """What keeps journeys on one scene apart is that each has callers and numbers of its own.

    Attributes:
        shelf: audio that this journey makes for its trees.
    """

    pbx: Asterisk
    world: World
    trunx: Trunx
    shelf: Shelf

    def new_did(self) -> str:
        """A number that no other journey dials."""
        return f"+1949555{next(_numbers)}"

    def new_caller(self) -> str:
        """A number from which no other journey calls."""
        return f"+1415555{next(_numbers)}"

    async def point(self) -> None:
        """Pastes into the pbx what `trunx dialplan` prints for this server."""
        await self.pbx.dialplan(dialplan.render(agi_url=self.trunx.agi_url) + _ELSEWHERE)

    async def no_channels(self) -> None:
        """Waits until no channel is left on the pbx and no session in the server.

        Who has left one fails, and is hung up, so that it is no other journey's.
        """

        async def none() -> bool | None:
            return "0 active channels" in await self.pbx.ami.command("core show channels count") or None

        try:
            await eventually(none)
        except AssertionError:
            await self.pbx.ami.action("Hangup", Channel="/^/", Cause="16")
            raise
        await self.trunx.has_sessions(0)


@asynccontextmanager
async def opened(asterisks: Asterisks, folder: Path, **settings: str) -> AsyncIterator[Scene]:
    """A scene with a server of its own, in an empty folder, with further TRUNX_ settings."""
    pbx, world = asterisks
    async with Trunx.serving(folder, pbx.sounds, **settings) as trunx:
        scene = Scene(pbx, world, trunx, Shelf(pbx, "nobody"))
        await scene.point()
        yield scene
