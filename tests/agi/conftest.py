"""Every asynchronous test here runs on asyncio's own loop and on uvloop; neither may have to complain."""

import asyncio
import gc
import logging
from collections.abc import Callable, Iterator, Mapping

import pytest
import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loops, for pytest-asyncio."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class _Complaints(logging.Handler):
    """What the event loop has to complain of: lost exceptions, destroyed tasks, failed callbacks."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(self.format(record))


@pytest.fixture(autouse=True, scope="module")
def no_complaints() -> Iterator[None]:
    """The loop's log stays empty; the collection brings out what was only dropped."""
    complaints = _Complaints()
    log = logging.getLogger("asyncio")
    log.addHandler(complaints)
    yield
    gc.collect()
    log.removeHandler(complaints)
    assert complaints.told == []
