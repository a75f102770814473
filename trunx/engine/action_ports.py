"""What actions on live calls need of the outside: the rows, and an Asterisk that acts on channels.

The rules of `ports.py` hold here too.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from agi import Channel
from trunx.domain.action import Action, ActionKind, ActionState
from trunx.domain.call import Call
from trunx.domain.channel import Originate
from trunx.domain.records import PartState


class ActionRows(Protocol):
    """Actions, as they are kept; each change tells the account's log in the same transaction."""

    async def add(self, action: Action, *, alone: bool = False) -> Call:
        """Keeps a new action of a call that is in progress, and returns the call.

        Raises:
            NotFoundError: the account has no such call.
            NotInProgressError: it is not answered, or is over.
            ExistsError: it is to be `alone`, and another of its kind is started on this call.
        """

    async def end(
        self, action_id: str, state: ActionState, *, result: Mapping[str, Any], problem: str | None = None
    ) -> Action | None:
        """Ends an action that is started; None: it has ended before. Raises `NotFoundError`."""

    async def get(self, action_id: str) -> Action:
        """Raises `NotFoundError`."""

    async def of_call(self, account: str, call: str) -> Sequence[Action]:
        """In the order in which they were asked for. Raises `NotFoundError`: the account has no such call."""

    async def started(self, call: str, *kinds: ActionKind) -> Sequence[Action]:
        """Those of a call that are not over."""

    async def transfers(self) -> Sequence[tuple[Action, Call, Call | None]]:
        """All transfers that are started, of whatever call; each with its call, and with the call of the
        action's own id, if that was kept.
        """

    async def overdue(self) -> Sequence[Action]:
        """Those that are started and whose call is over: whoever did them may have died."""


class Desk(Protocol):
    """An Asterisk that acts on live channels. `channel` is a Uniqueid."""

    async def state(self) -> PartState:
        """`ok` while it can be told."""

    async def originate(self, wanted: Originate) -> None:
        """See `Switch.originate`."""

    async def hangup(self, channel: str, cause: int = 16) -> bool:
        """False: there is none, or no longer."""

    async def set_variable(self, channel: str, name: str, value: str) -> None:
        """Raises `AmiRefusedError`: there is no such channel."""

    async def get_variable(self, channel: str, name: str) -> str:
        """Empty for none. Raises `AmiRefusedError`: there is no such channel."""

    async def press(self, channel: str, key: str, *, seconds: float) -> None:
        """Sends one key out on the channel; returns when its tone is over. Holds up nothing else."""

    async def interrupt(self, channel: str) -> None:
        """Ends what the channel plays in our session, or else the wait for a key; in GET DATA, which does
        both, one of the two. Raises `AmiRefusedError`: there is no such channel.
        """

    def listening(self, channel: str) -> AbstractContextManager[asyncio.Future[str]]:
        """The first key that is pressed at the channel's far end while the block lasts."""

    async def record(self, channel: str, file: str, options: str) -> None:
        """Records both sides from now on: MixMonitor with `Recording.order`. Raises `AmiRefusedError`."""

    async def stop_recording(self, channel: str) -> None:
        """Ends what `record` began. Raises `AmiRefusedError`: no such channel, or nothing is recorded."""

    async def mute_recording(self, channel: str, *, muted: bool) -> None:
        """Has silence recorded, or the call again (MixMonitorMute). Raises `AmiRefusedError`."""


class Interludes(Protocol):
    """What sessions do when somebody has interrupted them (`Desk.interrupt`)."""

    async def perform(self, channel: Channel, *, answering: bool) -> str | None:
        """Does what is asked for, if anything is; the key that was pressed meanwhile. `answering`: a key is
        waited for, and ends whatever is played. Raises `CallEndedError`.
        """
