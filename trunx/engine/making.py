"""Rows of ours, and what is made of them at the AI vendor's: made, changed, healed and deleted together.

The fact to know: many calls may find out at once that an agent is gone. In a process who writes something at
the vendor's takes turns; of what two processes make, the row keeps the last, and the other is left over.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Generic, Literal, Protocol, TypeVar
from weakref import WeakValueDictionary

from trunx.domain.agent import Agent, Knowledge, Tool, VendorError, VendorKind
from trunx.engine.left_overs import LeftOvers

T = TypeVar("T", Agent, Tool, Knowledge)

Condition = Literal["ready", "healed", "off", "credentials", "payment", "refused", "unavailable"]
"""How something stands at the vendor's. `healed`: it was not as it should be, and is now. The others say why
that is not known, or why it could not be healed.
"""


class Made(Protocol[T]):
    """The rows, as `agent_ports.py` has them."""

    async def add(self, thing: T, /) -> None: ...

    async def get(self, account: str, thing_id: str, /) -> T: ...

    async def change(self, thing: T, before: T, /) -> bool: ...

    async def made(self, thing: T, vendor_id: str, /) -> None: ...

    async def delete(self, account: str, thing_id: str, /) -> T: ...


class Making(ABC, Generic[T]):
    """Use-cases of one kind of thing; all raise `VendorError` where they need the vendor."""

    kind: VendorKind

    def __init__(self, rows: Made[T], left_overs: LeftOvers) -> None:
        self._kept: Made[T] = rows
        self._left_overs = left_overs
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @abstractmethod
    def _name(self, thing: T) -> str:
        """What it is called at the vendor's; nothing else is called so."""

    @abstractmethod
    async def _create(self, thing: T) -> str:
        """Makes it at the vendor's; the vendor's id."""

    @abstractmethod
    async def _differs(self, vendor_id: str, thing: T) -> bool:
        """Whether the vendor's is not as it should be."""

    @abstractmethod
    async def _write(self, vendor_id: str, thing: T) -> None:
        """Makes the vendor's be as it should."""

    async def create(self, thing: T) -> T:
        """The thing as it is made and kept. When this raises there is neither."""
        async with self._left_overs.noted(self.kind, self._name(thing)):
            made = replace(thing, vendor_id=await self._create(thing))
            await self._kept.add(made)
        return made

    async def look(self, account: str, thing_id: str) -> tuple[T, Condition]:
        """The row, healed at the vendor's where that is needed and possible. Raises `NotFoundError` only."""
        thing = await self._kept.get(account, thing_id)
        try:
            return await self.checked(thing)
        except VendorError as error:
            return thing, _condition(error)

    async def checked(self, thing: T) -> tuple[T, Condition]:
        """The thing, which is at the vendor's as it should be: that is asked."""
        async with self._turn(thing.id):
            now = await self._kept.get(thing.account, thing.id)
            while now.vendor_id is not None:
                thing = now
                try:
                    if not await self._differs(now.vendor_id, thing):
                        return thing, "ready"
                    await self._write(now.vendor_id, thing)
                except VendorError as error:
                    _unless_missing(error)
                    break
                # Another process may have changed it meanwhile, and what is written is then the former one.
                now = await self._kept.get(thing.account, thing.id)
                if now == thing:
                    return thing, "healed"
            return await self._anew(now), "healed"

    async def ready(self, thing: T) -> T:
        """The thing, which was made at the vendor's: that is not asked."""
        return thing if thing.vendor_id is not None else await self.anew(thing)

    async def anew(self, thing: T) -> T:
        """The thing, when the vendor does not know its `vendor_id`. Raises `NotFoundError`: it is deleted."""
        async with self._turn(thing.id):
            return await self._anew(thing)

    async def delete(self, account: str, thing_id: str) -> None:
        """The row goes at once. Raises `NotFoundError`, and `InUseError` when agents have it."""
        gone = await self._kept.delete(account, thing_id)
        if gone.vendor_id is not None:
            await self._left_overs.remove(self.kind, gone.vendor_id)

    async def _change(self, account: str, thing_id: str, edit: Callable[[T], T]) -> T:
        """What `edit` makes of it, there and then here. Raises `NotFoundError`."""
        async with self._turn(thing_id):
            while True:
                before = await self._kept.get(account, thing_id)
                after = await self._put(edit(before))
                if await self._kept.change(after, before):
                    return after

    async def _put(self, thing: T) -> T:
        if thing.vendor_id is not None:
            try:
                await self._write(thing.vendor_id, thing)
            except VendorError as error:
                _unless_missing(error)
            else:
                return thing
        made = await self._anew(thing)  # of the row, which `thing` is not yet
        await self._write(str(made.vendor_id), thing)
        return replace(thing, vendor_id=made.vendor_id)

    async def _anew(self, thing: T) -> T:
        now = await self._kept.get(thing.account, thing.id)
        if now.vendor_id not in (None, thing.vendor_id):
            return now
        async with self._left_overs.noted(self.kind, self._name(now)):
            vendor_id = await self._create(now)
            await self._kept.made(now, vendor_id)
        return replace(now, vendor_id=vendor_id)

    def _turn(self, thing_id: str) -> asyncio.Lock:
        return self._turns.setdefault(thing_id, asyncio.Lock())


def _unless_missing(error: VendorError) -> None:
    if error.trouble != "missing":
        raise error


def _condition(error: VendorError) -> Condition:
    match error.trouble:
        case "off" | "credentials" | "payment":
            return error.trouble
        case "invalid":
            return "refused"
        case _:
            return "unavailable"
