"""What many wait for at one moment is written in one transaction.

A transaction of a few statements takes as many turns of the event loop; when fifty calls are acted upon these
are long, and whoever writes holds SQLite's only lock, or an account's head. One after the other, the last of
the fifty would wait for all those turns. So those who come while something is written form the next batch.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from trunx.adapters.store.database import Database

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_Write = Callable[[AsyncConnection, Sequence[_Item]], Awaitable[Sequence[_Result | Exception]]]


class Together(Generic[_Item, _Result]):
    """Writes items by `write`, which gives for each what came of it, or what is to be raised."""

    def __init__(self, database: Database, write: _Write[_Item, _Result]) -> None:
        self._database = database
        self._write = write
        self._turn = asyncio.Lock()
        self._next: tuple[list[_Item], asyncio.Task[Sequence[_Result | Exception]]] | None = None

    async def __call__(self, item: _Item) -> _Result:
        """What came of `item`. Raises what `write` gave for it, and `UnavailableError`."""
        if self._next is None:
            gathered: list[_Item] = []
            self._next = gathered, asyncio.create_task(self._written(gathered))
        items, writing = self._next
        place = len(items)
        items.append(item)
        try:
            result = (await asyncio.shield(writing))[place]
        except asyncio.CancelledError:
            # The others' items go on; and whoever has cancelled us may be about to close the database.
            await asyncio.wait([writing])
            raise
        if isinstance(result, Exception):
            raise result
        return result

    async def _written(self, items: list[_Item]) -> Sequence[_Result | Exception]:
        try:
            async with self._turn, self._database.writing() as connection:
                self._next = None
                return await self._write(connection, items)
        finally:
            if self._next is not None and self._next[0] is items:
                self._next = None
