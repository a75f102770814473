"""One pbx, one world and one server for all journeys, but for those that end or starve their server."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

import dialplan
from tests.journeys.agents import Office, staffed
from tests.journeys.listening import Shelf
from tests.journeys.scene import Asterisks, Scene, opened
from tests.peers.agent_side import AgentSide, admit, agent_side
from tests.peers.world import pbx_and_world
from trunx.adapters.store.account_limits import AccountLimits
from trunx.adapters.store.database import Database
from trunx.domain.gate import Capacity, Limits


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


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def vendor(asterisks: Asterisks) -> AsyncIterator[AgentSide]:
    """The stand-in for the AI vendor, which the pbx takes calls from."""
    pbx, world = asterisks
    await admit(pbx)
    async with agent_side(world, pbx.ports.sip) as side:
        yield side


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_office(
    asterisks: Asterisks, vendor: AgentSide, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Office]:
    async with staffed(asterisks, vendor, tmp_path_factory.mktemp("office")) as office:
        yield office


@pytest_asyncio.fixture(loop_scope="session")
async def office(shared_office: Office) -> AsyncIterator[Office]:
    """The shared server with agents; a journey leaves no channel, and no call of the vendor's."""
    scene = shared_office.scene
    await scene.point()
    yield replace(shared_office, scene=replace(scene, shelf=Shelf(scene.pbx, scene.trunx.account)))
    shared_office.peer.always(None)
    await shared_office.all_over()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared_exchange(
    asterisks: Asterisks, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Scene]:
    pbx, _ = asterisks
    settings = {"trunk": "trunk", "ami_url": pbx.ami_url, "webhook_private": "1"}
    settings["trunk_calls_per_second"] = "50"
    async with opened(asterisks, tmp_path_factory.mktemp("exchange"), **settings) as scene:
        async with Database.open(f"sqlite:///{scene.trunx.database}") as database:
            capacity = Capacity(per_second=50, at_once=50)
            await AccountLimits(database).put(scene.trunx.account, Limits(capacity=capacity))
        yield scene


@pytest_asyncio.fixture(loop_scope="session")
async def exchange(shared_exchange: Scene) -> AsyncIterator[Scene]:
    """A server that can tell the pbx to dial, with the pbx pointed at it; a journey leaves no channel."""
    await shared_exchange.point()
    yield replace(shared_exchange, shelf=Shelf(shared_exchange.pbx, shared_exchange.trunx.account))
    await shared_exchange.no_channels()
