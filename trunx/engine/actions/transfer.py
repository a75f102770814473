"""Transfers by request: somebody else is called, and takes over the one we spoke to once the answer is there.

The fact to know: who is transferred stays where she is, and hears nothing of it, until Asterisk's `Bridge()`
on the new call's channel takes her channel out of whatever it is in. A transfer that fails is therefore
nothing that happened to her. The action and the new call have one id.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, NoReturn

import structlog

from agi import CallEndedError, Channel, SoundError
from dialplan.names import CONTEXT_AFTER, EXTENSION_AFTER
from sounds import ENGINE
from trunx.domain.action import Action, ActionKind, ActionState
from trunx.domain.call import Call, EndReason, new_call_id
from trunx.domain.channel import AmiRefusedError
from trunx.domain.dial import Dial, Reading, Wanted
from trunx.domain.document import RING_SECONDS
from trunx.domain.errors import NotFoundError, UnavailableError
from trunx.domain.log import rfc3339
from trunx.domain.progress import Answered, Ended
from trunx.engine.actions.frame import Frame, channel_of
from trunx.engine.actions.sound import silence
from trunx.engine.gatekeeper import RefusedError
from trunx.engine.held import end_call, left
from trunx.engine.inbound import VARIABLE_TRANSFERRED
from trunx.engine.log_ports import Post
from trunx.engine.outbound import Outbound, SwitchAwayError, SwitchOffError
from trunx.engine.ports import Dials
from trunx.engine.settling import Settling, moment

log = structlog.get_logger(__name__)

VARIABLE_CONFIRMED = "TRUNX_CONFIRMED"
"""Channel variable of an attended transfer's call: 1 once both are to be connected."""

Mode = Literal["blind", "attended"]

_NEWS_SECONDS = 2.0
"""After a hangup, how long better news of it are waited for."""
_OWN_WORD = 1.0
"""Seconds in which the session of who was transferred has written her call's end, behind its last step."""
_PROOF_EVERY = 0.05
_CONFIRM_EVERY = 0.3
_WORD_EVERY = 20  # waits for the confirmation from one word to the next to the one who waits
_NEVER_PLACED = timedelta(seconds=30)
_BUSY, _IDLE = 0.5, 5.0  # seconds between two looks, while there are transfers, and while there are none


class TransferNotStartedError(Exception):
    """The call has no transfer under way."""


class NotConfirmableError(Exception):
    """The transfer is `blind`, or the one who is called has not answered."""


@dataclass(frozen=True, slots=True)
class TransferAsked:
    """What is asked for; numbers in E.164. `caller_id` None: the DID of the call."""

    to: str
    caller_id: str | None = None
    answer_url: str | None = None
    mode: Mode = "blind"


class CallTransfers:
    """Transfers calls. It is also the handler of the calls that the dialplan hands over with
    `AGI(agi://.../transfer)`: those that have been answered by whom somebody is transferred to.
    """

    def __init__(
        self, *, frame: Frame, dials: Dials, outbound: Outbound, settling: Settling, post: Post
    ) -> None:
        self._frame = frame
        self._dials = dials
        self._outbound = outbound
        self._settling = settling
        self._post = post
        self._stirred = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    # --- for those who ask

    async def begin(self, account: str, call_id: str, asked: TransferAsked) -> Action:
        """Has `asked.to` called; who is transferred hears nothing of it before the answer, but that what is
        played to her stops.

        Raises:
            NotFoundError: the account has no such call.
            NotInProgressError: it is not answered, or is over.
            ExistsError: a transfer of it is under way.
            RefusedError: the gate says no.
            SwitchOffError, SwitchAwayError: nobody can be called.
        """
        if (await self._frame.desk.state()).state != "ok":
            raise SwitchAwayError
        name = new_call_id()
        wants = {
            "to": asked.to,
            "callerId": asked.caller_id,
            "answerUrl": asked.answer_url,
            "mode": asked.mode,
        }
        started, kind = ActionState.STARTED, ActionKind.TRANSFER
        action = Action(name, call_id, account, kind, started, wants, moment())
        call = await self._frame.rows.add(action, alone=True)
        wanted = Wanted(
            asked.caller_id or (call.to_number if call.direction == "inbound" else call.from_number),
            asked.to,
            ring_seconds=RING_SECONDS,
            transfer_of=call_id,
        )
        try:
            await self._outbound.place(account, wanted, name=name)
        except RefusedError as refused:
            await self._frame.fail(name, refused.verdict.code)
            raise
        except (SwitchAwayError, SwitchOffError, UnavailableError):
            await self._frame.fail(name, "unavailable")
            raise
        log.info("a transfer begins", call=call_id, transfer=name, to=asked.to, mode=asked.mode)
        self._stirred.set()
        await self._silence(call, before=action.created_at)
        return action

    async def confirm(self, account: str, call_id: str) -> Action:
        """Connects the one who has answered an attended transfer.

        Raises:
            NotFoundError: the account has no such call.
            TransferNotStartedError: no transfer of it is under way.
            NotConfirmableError: there is nothing to confirm, or not yet.
            SwitchAwayError: Asterisk cannot be told.
        """
        action = await self._under_way(account, call_id)
        placed, _ = await self._dials.get(account, action.id)
        if action.asked["mode"] != "attended" or placed.answered_at is None:
            raise NotConfirmableError
        try:
            await self._frame.desk.set_variable(action.id, VARIABLE_CONFIRMED, "1")
        except AmiRefusedError:
            raise TransferNotStartedError from None  # who had answered has just left
        except UnavailableError:
            raise SwitchAwayError from None
        return action

    async def cancel(self, account: str, call_id: str) -> Action:
        """Ends the call to whom somebody is to be transferred to; who was to be stays where she is.

        Raises:
            NotFoundError: the account has no such call.
            TransferNotStartedError: no transfer of it is under way.
            SwitchAwayError: Asterisk cannot be told.
        """
        action = await self._under_way(account, call_id)
        await self._outbound.end(account, action.id)
        await self._frame.fail(action.id, EndReason.CANCELED.value)
        return action

    async def close(self) -> None:
        """What is under way is found again by the next look, here or in another process."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _under_way(self, account: str, call_id: str) -> Action:
        actions = await self._frame.rows.of_call(account, call_id)
        for action in actions:
            if action.kind is ActionKind.TRANSFER and action.state is ActionState.STARTED:
                return action
        raise TransferNotStartedError

    # --- the call of whom somebody is transferred to, once it is answered

    async def __call__(self, channel: Channel) -> None:
        """One call. Returning without a hangup has the dialplan hang up."""
        name = channel.environment().get("agi_uniqueid", "")
        now = moment()
        try:
            await self._settling.settle({name: lambda *_: Answered(now)})
            call, dial = await self._dials.of_channel(name)
        except (NotFoundError, UnavailableError) as error:
            log.warning("an answered transfer cannot be looked up and is ended", call=name, error=str(error))
            return
        if dial is None or dial.transfer_of is None or call.ended_at is not None:
            return
        reason: EndReason | None = EndReason.ERROR
        try:
            async with asyncio.timeout(dial.max_seconds):
                reason = await self._connect(channel, call, dial, dial.transfer_of)
        except TimeoutError:
            reason = EndReason.MAX_DURATION
        except (UnavailableError, NotFoundError, AmiRefusedError) as error:
            log.warning("an answered transfer cannot be made and is ended", call=name, error=str(error))
        except (CallEndedError, asyncio.CancelledError):
            reason = None
            raise
        finally:
            if reason is not None:
                await end_call(self._settling, self._frame.desk, channel, call, reason)
            elif channel.hung_up:
                self._settling.later(_NEWS_SECONDS, name, left)
            self._stirred.set()

    async def _connect(self, channel: Channel, placed: Call, dial: Dial, of: str) -> EndReason:
        """Stays until one of both has left."""
        original, _ = await self._dials.get(placed.account, of)
        if original.ended_at is not None:
            return EndReason.HANGUP_CALLER
        action = await self._frame.rows.get(placed.id)
        self._tell_answered(action, placed)
        if action.asked["mode"] == "attended":
            await self._confirmed(channel)
        await self._silence(original)  # what was begun while it rang, and would be heard in the new talk
        desk, caller = self._frame.desk, await self._caller(original)
        try:
            place = await desk.get_variable(caller, "CHANNEL(name)")
            # Her own call's clock must not end the talk; without any it could last for ever.
            await desk.set_variable(caller, "TIMEOUT(absolute)", str(dial.max_seconds + 60))
            # Bridges tell each side whom it is connected with (COLP): to the carrier that is one of our DIDs.
            await desk.set_variable(caller, "CALLERID(all)", f"<{placed.from_number}>")
            await desk.set_variable(caller, VARIABLE_TRANSFERRED, placed.id)
        except AmiRefusedError:
            return EndReason.HANGUP_CALLER
        async with self._proving(action, placed, caller):
            await channel.exec("Bridge", place, f"F({CONTEXT_AFTER}^{EXTENSION_AFTER}^1)")
        await channel.status()  # raises when the one who was called has left
        bridged = await channel.get_variable("BRIDGERESULT") == "SUCCESS"
        try:
            if not bridged:
                await desk.set_variable(caller, VARIABLE_TRANSFERRED, "")
                log.error("Asterisk does not connect who is transferred", call=of, transfer=placed.id)
                return EndReason.ERROR
            by = await desk.get_variable(caller, VARIABLE_TRANSFERRED)
        except (AmiRefusedError, UnavailableError):
            return EndReason.HANGUP_CALLER
        return EndReason.TRANSFERRED if by not in {"", placed.id} else EndReason.HANGUP_CALLER

    async def _silence(self, call: Call, *, before: datetime | None = None) -> None:
        try:
            await silence(self._frame, call, by="transfer", before=before)
        except UnavailableError as error:
            log.warning(
                "what is played goes on, though the call is transferred", call=call.id, error=str(error)
            )

    async def _confirmed(self, channel: Channel) -> None:
        """Stays until somebody has confirmed; whoever does tells the channel."""
        rounds = 0
        while not await channel.get_variable(VARIABLE_CONFIRMED):
            if rounds % _WORD_EVERY == 0:
                with suppress(SoundError):
                    await channel.stream_file(ENGINE["connecting"].sound)
            else:
                await channel.wait_for_digit(_CONFIRM_EVERY)
            rounds += 1

    async def _caller(self, call: Call) -> str:
        """The Uniqueid of who is transferred: in a call that is a transfer itself the one who was before."""
        while True:
            _, dial = await self._dials.get(call.account, call.id)
            if dial is None or dial.transfer_of is None:
                return channel_of(call)
            call, _ = await self._dials.get(call.account, dial.transfer_of)

    @asynccontextmanager
    async def _proving(self, action: Action, placed: Call, caller: str) -> AsyncIterator[None]:
        async def look() -> None:
            # Asterisk tells of no bridge what could be waited for here.
            while not await self._are_bridged(placed, caller):  # noqa: ASYNC110
                await asyncio.sleep(_PROOF_EVERY)
            with suppress(UnavailableError, NotFoundError):  # then it is proved again by the next look
                await self._complete(action)

        looking = asyncio.create_task(look())
        try:
            yield
        finally:
            looking.cancel()
            await asyncio.wait([looking])

    async def _are_bridged(self, placed: Call, caller: str) -> bool:
        desk = self._frame.desk
        try:
            peer = await desk.get_variable(placed.id, "BRIDGEPEER")
            return bool(peer) and peer == await desk.get_variable(caller, "CHANNEL(name)")
        except (AmiRefusedError, UnavailableError):
            return False

    async def _complete(self, action: Action) -> None:
        """Both are connected: the original call is over. The action is ended last: who dies before that is
        followed by another one.
        """
        at = moment()
        with suppress(TimeoutError):
            async with asyncio.timeout(_OWN_WORD):
                while not await self._is_over(action):  # noqa: ASYNC110 - rows have no event
                    await asyncio.sleep(_PROOF_EVERY)
        await self._settling.surely({action.call: _transferred(at)}, after_steps=True)
        await self._frame.complete(action.id, call=action.id, to=action.asked["to"])

    async def _is_over(self, action: Action) -> bool:
        return (await self._dials.get(action.account, action.call))[0].ended_at is not None

    # --- what has become of transfers, whoever began them

    async def run(self) -> NoReturn:
        """Ends transfers with the calls that they are made of, for ever."""
        while True:
            busy = False
            with suppress(UnavailableError, NotFoundError):
                under_way = await self._frame.rows.transfers()
                busy = bool(under_way)
                for action, original, placed in under_way:
                    await self._look(action, original, placed)
            with suppress(TimeoutError):
                async with asyncio.timeout(_BUSY if busy else _IDLE):
                    await self._stirred.wait()
                    self._stirred.clear()

    async def _look(self, action: Action, original: Call, placed: Call | None) -> None:
        now = moment()
        taken = original.end_reason is EndReason.TRANSFERRED
        if placed is None:
            if now - action.created_at > _NEVER_PLACED:
                await self._frame.fail(action.id, EndReason.LOST.value)
        elif taken:
            await self._complete(action)
        elif placed.ended_at is not None:
            # It may have been so short that nobody has told yet whether they were connected.
            if placed.answered_at is None or now - placed.ended_at > timedelta(seconds=_NEWS_SECONDS):
                reason = placed.end_reason or EndReason.ERROR
                await self._frame.fail(action.id, reason.value, call=placed.id)
        elif original.ended_at is not None:
            with suppress(SwitchAwayError, NotFoundError):
                await self._outbound.end(placed.account, placed.id)
                await self._frame.fail(action.id, "call-ended", call=placed.id)
        elif placed.answered_at is not None and await self._are_bridged(placed, await self._caller(original)):
            await self._complete(action)  # who was to say so has died

    def _tell_answered(self, action: Action, placed: Call) -> None:
        url = action.asked.get("answerUrl")
        if url is None:
            return
        body = {
            "type": "transfer.answered",
            "transfer_uuid": action.id,
            "call_uuid": action.call,
            "from": placed.from_number,
            "to": placed.to_number,
            "answered_at": rfc3339(placed.answered_at or moment()),
        }
        task = asyncio.create_task(self._tell(url, f"{action.id}:answered", body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self, url: str, name: str, body: dict[str, Any]) -> None:
        outcome = await self._post.send(url, name, (), json.dumps(body))
        if not outcome.is_taken:
            log.warning(
                "an answer_url was not reached", event=name, status=outcome.answer, problem=outcome.problem
            )


def _transferred(at: datetime) -> Reading:
    return lambda call, _: None if call.ended_at is not None else Ended(at, reason=EndReason.TRANSFERRED)
