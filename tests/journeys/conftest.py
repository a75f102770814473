"""One pbx, one world and one server for all journeys, but for those that end or starve their server.

They live in the session's event loop. What keeps journeys apart is that each has callers and numbers of its
own; the dialplan is pointed at the server that a journey is about.
"""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio

import dialplan
from tests.journeys.listening import Shelf
from tests.journeys.server import Trunx, eventually
from tests.peers.asterisk import Asterisk
from tests.peers.world import World, pbx_and_world

# A place of the operator's own, beside what `trunx dialplan` prints: calls are redirected there.
ELSEWHERE = """
[elsewhere]
exten => s,1,Playback(hello-world)
 same => n,Wait(1)
 same => n,Hangup(16)
"""

_numbers = itertools.count(2_000)


@dataclass(frozen=True)
class Scene:
    """Where a journey takes place: the pbx, the world, the server that the dialplan calls, and its sounds."""

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

    async def no_channels(self) -> None:
        """Waits until no channel is left on the pbx and no session in the server."""

        async def none() -> bool | None:
            return "0 active channels" in await self.pbx.ami.command("core show channels count") or None

        await eventually(none)
        await self.trunx.no_sessions()


Serve = Callable[..., Awaitable[Scene]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The Asterisks live in the session's event loop, and so must the journeys."""
    for item in items:
        if Path(__file__).parent in item.path.parents and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def asterisks() -> AsyncIterator[tuple[Asterisk, World]]:
    async with pbx_and_world(dialplan.render()) as pair:
        yield pair


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared(
    asterisks: tuple[Asterisk, World], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Scene]:
    pbx, world = asterisks
    async with Trunx.serving(tmp_path_factory.mktemp("trunx"), pbx.sounds) as trunx:
        yield Scene(pbx, world, trunx, Shelf(pbx, trunx.account))


async def _point(pbx: Asterisk, trunx: Trunx) -> None:
    """Pastes what `trunx dialplan` prints for that server."""
    await pbx.dialplan(dialplan.render(agi_url=trunx.agi_url) + ELSEWHERE)


@pytest_asyncio.fixture(loop_scope="session")
async def scene(shared: Scene) -> AsyncIterator[Scene]:
    """The shared server; a journey leaves it as it was, but for rows and trees."""
    await _point(shared.pbx, shared.trunx)
    yield replace(shared, shelf=Shelf(shared.pbx, shared.trunx.account))
    await shared.no_channels()


@asynccontextmanager
async def own_scene(asterisks: tuple[Asterisk, World], folder: Path, **settings: str) -> AsyncIterator[Scene]:
    """A server of the journey's own, which may be ended and starved."""
    pbx, world = asterisks
    async with Trunx.serving(folder, pbx.sounds, **settings) as trunx:
        await _point(pbx, trunx)
        yield Scene(pbx, world, trunx, Shelf(pbx, ""))
