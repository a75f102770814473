"""One server for all tests of the API; what keeps them apart is that each has accounts of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.web.house import Client, House, in_one_task, open_house


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The server lives in the session's event loop, and so must the tests that talk to it."""
    for item in items:
        if Path(__file__).parent in item.path.parents and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with in_one_task(open_house(tmp_path_factory.mktemp("house"))) as house:
        yield house


@pytest_asyncio.fixture(loop_scope="session")
async def ada(house: House) -> Client:
    """A user."""
    return await house.client("Ada")


@pytest_asyncio.fixture(loop_scope="session")
async def bob(house: House) -> Client:
    """A user of another account."""
    return await house.client("Bob")


@pytest.fixture
def stranger(house: House) -> Client:
    """Somebody without a key."""
    return Client(house.session, house.url, "", "")
