"""One pbx, one world and one server for all journeys, but for those that end or starve their server."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

import dialplan
from tests.journeys.listening import Shelf
from tests.journeys.scene import Asterisks, Scene, opened
from tests.peers.world import pbx_and_world


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The Asterisks live in the session's event loop, and so must the journeys."""
    for item in items:
        if Path(__file__).parent in item.path.parents and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def asterisks() -> AsyncIterator[Asterisks]:
    async with pbx_and_world(dialplan.render()) as pair:
        yield pair


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared(asterisks: Asterisks, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    async with opened(asterisks, tmp_path_factory.mktemp("shared")) as scene:
        yield scene


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def mortal(asterisks: Asterisks, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """A server that a journey may end; it leaves it running again."""
    async with opened(asterisks, tmp_path_factory.mktemp("mortal"), drain_seconds="3") as scene:
        yield scene


@pytest_asyncio.fixture(loop_scope="session")
async def scene(shared: Scene) -> AsyncIterator[Scene]:
    """The shared server; a journey leaves it as it was, but for rows and trees."""
    await shared.point()
    yield replace(shared, shelf=Shelf(shared.pbx, shared.trunx.account))
    await shared.no_channels()
