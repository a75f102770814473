"""What every action has in common: it is kept, answered at once, carried out behind the answer, and told.

Whoever ends an action's row first has the say; all others are late. So what one process has begun, another
one may stop, or finish.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

import structlog

from trunx.domain.action import Action, ActionKind, ActionState
from trunx.domain.call import Call, new_call_id
from trunx.domain.channel import AmiRefusedError, AmiUnknownError, NoSuchChannelError
from trunx.domain.errors import NotFoundError, UnavailableError
from trunx.engine.action_ports import ActionRows, Desk
from trunx.engine.outbound import SwitchAwayError, SwitchOffError
from trunx.engine.settling import moment

CALL_ENDED = "call-ended"

_OURS = frozenset({ActionKind.PLAY, ActionKind.SPEAK, ActionKind.DTMF})
_SWEEP_EVERY = 5.0
_TROUBLES = (AmiRefusedError, AmiUnknownError, UnavailableError, NotFoundError, OSError, ValueError)
_MOMENT = timedelta(milliseconds=1)

log = structlog.get_logger(__name__)


class ActionFailedError(Exception):
    """It cannot be done: a stable code, and what had been done by then."""

    def __init__(self, problem: str, result: Mapping[str, Any] | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.result = result or {}


Work: TypeAlias = Callable[[Action, Call], Awaitable[Mapping[str, Any] | None]]
"""Does it: what came of it, or None: somebody else ends the row. Raises `ActionFailedError`, and what the
desk raises.
"""


class _Turn:
    """Has a call's actions begin one after the other."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.last = moment()


class Frame:
    """Begins actions and carries them out. Without a `desk` none is begun."""

    def __init__(self, rows: ActionRows, desk: Desk | None) -> None:
        self.rows = rows
        self._desk = desk
        self._turns: WeakValueDictionary[str, _Turn] = WeakValueDictionary()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def desk(self) -> Desk:
        """Raises `SwitchOffError`."""
        if self._desk is None:
            raise SwitchOffError
        return self._desk

    async def begin(
        self, account: str, call_id: str, kind: ActionKind, asked: Mapping[str, Any], work: Work
    ) -> Action:
        """Keeps an action and begins it.

        Raises:
            NotFoundError: the account has no such call.
            NotInProgressError: it is not answered, or is over.
            SwitchOffError, SwitchAwayError: nobody can act.
        """
        if (await self.desk.state()).state != "ok":
            raise SwitchAwayError
        turn = self._turns.get(call_id) or self._turns.setdefault(call_id, _Turn())
        async with turn.lock:
            # By these moments they are listed, and no two are the same.
            turn.last = max(moment(), turn.last + _MOMENT)
            action = Action(new_call_id(), call_id, account, kind, ActionState.STARTED, asked, turn.last)
            call = await self.rows.add(action)
            task = asyncio.create_task(self._carry_out(action, call, work))
        log.info("an action begins", action=action.id, kind=kind.value, call=call_id, account=account)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return action

    async def is_started(self, action: Action) -> bool:
        """Whether nobody has ended it."""
        return (await self.rows.get(action.id)).state is ActionState.STARTED

    async def complete(self, action_id: str, **result: Any) -> bool:
        """False: somebody else has ended it before."""
        return await self._end(action_id, ActionState.COMPLETED, result, None)

    async def fail(self, action_id: str, problem: str, **result: Any) -> bool:
        """The same of what could not be done, or not wholly."""
        return await self._end(action_id, ActionState.FAILED, result, problem)

    async def sweep_for_ever(self) -> None:
        """Fails what is started in calls that are over: whoever did it has died, or was never heard."""
        while True:
            with suppress(UnavailableError):
                for action in await self.rows.overdue():
                    if action.kind in _OURS:
                        await self.fail(action.id, CALL_ENDED)
            await asyncio.sleep(_SWEEP_EVERY)

    async def close(self) -> None:
        """What is under way is left to the sessions and to the sweep."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _carry_out(self, action: Action, call: Call, work: Work) -> None:
        try:
            result = await work(action, call)
            if result is not None:
                await self.complete(action.id, **result)
        except ActionFailedError as failed:
            await self.fail(action.id, failed.problem, **failed.result)
        except NoSuchChannelError:
            await self.fail(action.id, CALL_ENDED)
        except _TROUBLES as error:
            log.warning("an action could not be done", action=action.id, call=call.id, error=str(error))
            await self.fail(action.id, "unavailable")

    async def _end(
        self, action_id: str, state: ActionState, result: Mapping[str, Any], problem: str | None
    ) -> bool:
        try:
            ended = await self.rows.end(action_id, state, result=result, problem=problem)
        except (UnavailableError, NotFoundError) as error:
            log.warning("how an action went is not written yet", action=action_id, error=str(error))
            return False
        if ended is not None:
            log.info("an action has ended", action=action_id, state=state.value, problem=problem)
        return ended is not None


def channel_of(call: Call) -> str:
    """Asterisk's Uniqueid of the call's own channel."""
    return call.agi_uniqueid or call.id
