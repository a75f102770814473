"""Waiting for what must become true, and never longer than it takes."""

import asyncio
from collections.abc import Callable


async def until(is_so: Callable[[], bool], deadline: float = 5.0) -> None:
    async with asyncio.timeout(deadline):
        while not is_so():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.005)
