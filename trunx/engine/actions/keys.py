"""Keys sent out on a live call, one after the other: 200 ms of tone, 200 ms of silence."""

import asyncio
from collections.abc import Mapping
from typing import Any
from weakref import WeakValueDictionary

from trunx.domain.action import Action, ActionKind, Leg
from trunx.domain.call import Call
from trunx.domain.channel import AmiRefusedError
from trunx.domain.errors import UnavailableError
from trunx.engine.actions.frame import CALL_ENDED, ActionFailedError, Frame, channel_of

TONE = 0.2
"""Seconds on the wire. What Asterisk's packets tell is 60 ms more: it begins with three packets at once."""
GAP = 0.2
PAUSE = 0.5
"""Seconds that a `w` waits."""


class Keys:
    """Presses keys; those of one call in the order in which they were asked for."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def send(self, account: str, call_id: str, digits: str, leg: Leg | None) -> Action:
        """Begins to press `digits` (0-9, *, #, and `w`). Raises what `Frame.begin` does.

        `leg` hears them. When nobody is named: of a call that we placed the one who was called, of one that
        came in the one whom the caller talks to, or the caller himself when he talks to nobody.
        """
        asked: dict[str, Any] = {"digits": digits}
        if leg is not None:
            asked["leg"] = leg.value
        return await self._frame.begin(account, call_id, ActionKind.DTMF, asked, self._press)

    async def _press(self, action: Action, call: Call) -> Mapping[str, Any]:
        turn = self._turns.get(call.id) or self._turns.setdefault(call.id, asyncio.Lock())
        async with turn:
            leg = action.asked.get("leg")
            channel = await self._channel(call, None if leg is None else Leg(leg))
            sent = ""
            loop = asyncio.get_running_loop()
            due = loop.time()
            for key in action.asked["digits"]:
                if key == "w":
                    due = max(due, loop.time()) + PAUSE
                    continue
                await asyncio.sleep(due - loop.time())
                began = loop.time()
                try:
                    await self._frame.desk.press(channel, key, seconds=TONE)
                except AmiRefusedError:
                    raise ActionFailedError(CALL_ENDED, {"sent": sent}) from None
                except UnavailableError:
                    raise ActionFailedError("unavailable", {"sent": sent}) from None
                sent += key
                due = max(began + TONE, loop.time()) + GAP
            await asyncio.sleep(due - loop.time())  # the next one's first key keeps its distance too
            return {"sent": sent}

    async def _channel(self, call: Call, leg: Leg | None) -> str:
        own = channel_of(call)
        if leg is Leg.CALLER or (leg is None and call.direction == "outbound"):
            return own
        other = await self._frame.desk.get_variable(own, "BRIDGEPEER")
        if not other and leg is not None:
            raise ActionFailedError("nobody-connected", {"sent": ""})
        return other or own
