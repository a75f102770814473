"""Calls that we place: asked for, admitted by the gate, kept, and only then dialled, once.

The fact to know: a row is committed before anybody is dialled, and whoever sets its `dialled_at` is the one
who sends the order, once, whatever becomes of it. What became of it is found out in `reconcile.py`.
"""

import asyncio
from collections.abc import Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import structlog

from dialplan.names import (
    CONTEXT_OUTBOUND,
    CONTEXT_TRANSFER,
    EXTENSION_OUTBOUND,
    VARIABLE_AMD,
    VARIABLE_MAX_SECONDS,
    VARIABLE_RECORD,
)
from trunx.domain.call import Call, EndReason, Status, new_call_id, public_call_id
from trunx.domain.channel import AmiRefusedError, AmiUnknownError, NoSuchChannelError, Originate
from trunx.domain.dial import Dial, Wanted, judged, keyed_call_id
from trunx.domain.errors import ExistsError, NotFoundError, UnavailableError
from trunx.domain.gate import Facts, Verdict
from trunx.domain.progress import Canceled, DialFailed
from trunx.domain.records import Lease
from trunx.engine.gatekeeper import Gatekeeper, RefusedError
from trunx.engine.inbound import VARIABLE_ENDED
from trunx.engine.metrics import PLACED, PLACED_ENDED, PLACED_REFUSED
from trunx.engine.picking import Picking
from trunx.engine.ports import Dials, IvrLines, Switch
from trunx.engine.settling import Settling, moment

log = structlog.get_logger(__name__)

_ORDERS_AT_ONCE = 2
"""How many orders may be on their way: as many calls as a crash or a cut can leave of which nobody knows
whether they were dialled, and which are not dialled again then.
"""
_REQUESTS_AT_ONCE = 4
"""How many requests are worked on; the others wait for these, so that the calls that are there come to the
database before those that are asked for.
"""
_LAST_WORDS = 2.0
"""Seconds in which the walk of a call that we hang up on tells its last step, and Asterisk the hangup."""
_KEY_LASTS = timedelta(hours=24)
"""How long an Idempotency-Key names one request; afterwards it is free for another."""


class SwitchOffError(Exception):
    """No Asterisk is configured that could be told to dial."""


class SwitchAwayError(Exception):
    """Asterisk cannot be told anything just now."""


class Outbound:
    """Places and ends calls. `close` before the switch and the stores go.

    `left` is set when a call that was to be dialled is left to a comparison of rows and channels.
    """

    def __init__(
        self,
        *,
        dials: Dials,
        gate: Gatekeeper,
        settling: Settling,
        lines: IvrLines,
        switch: Switch | None,
        picking: Picking,
    ) -> None:
        self._dials = dials
        self._gate = gate
        self._settling = settling
        self._lines = lines
        self._switch = switch
        self._picking = picking
        self._requests = asyncio.Semaphore(_REQUESTS_AT_ONCE)
        self._orders = asyncio.Semaphore(_ORDERS_AT_ONCE)
        self._dialling: dict[str, asyncio.Task[None]] = {}
        self.left = asyncio.Event()

    async def place(
        self, account: str, wanted: Wanted, key: str | None = None, *, name: str | None = None
    ) -> Call:
        """Accepts a call, which is kept then, and begins to dial it. `key`: the request's Idempotency-Key,
        with which a repeated request finds the call that it has made. `name`: the id that it is to have.

        Raises:
            SwitchOffError: calls cannot be placed here.
            SwitchAwayError: Asterisk is out of reach, and the call was not to wait for it.
            NoDidError: `from` is to be picked, and there is none that may call.
            RefusedError: the gate says no.
            NotFoundError: the account has no such IVR.
            UnavailableError: a store does not answer. The call may have been kept all the same.
        """
        async with self._requests:
            return await self._place(account, wanted, key, name)

    async def _place(self, account: str, wanted: Wanted, key: str | None, name: str | None) -> Call:
        switch = self._switch
        if switch is None:
            raise SwitchOffError
        name = name or (new_call_id() if key is None else keyed_call_id(account, key))
        if key is not None and (made := await self._made(account, name)) is not None:
            if moment() - made.created_at < _KEY_LASTS:
                return made
            name = new_call_id()
        away = not switch.is_ready
        if away and wanted.queue_seconds is None:
            raise SwitchAwayError
        version = None if wanted.ivr is None else await self._lines.version(account, wanted.ivr)
        did = await self._picking.caller(account, wanted.from_number, wanted.to_number)
        wanted = replace(wanted, from_number=did)
        try:
            verdicts = await self._gate.admit(name, account, wanted.from_number, wanted.to_number)
        except RefusedError as refused:
            PLACED_REFUSED.labels(refused.verdict.code).inc()
            raise
        call, dial = self._rows(name, account, wanted, version, verdicts)
        try:
            await self._dials.create(call, dial)
        except ExistsError:
            return (await self._dials.get(account, name))[0]  # the same request, on its way twice
        except UnavailableError:
            # It may have been written: then it is failed as one that nobody has dialled.
            await self._gate.release([_lease(call, dial)])
            raise
        PLACED.inc()
        log.info("call accepted", call=name, account=account, to=wanted.to_number, waits=away)
        if away:
            await self._gate.release([_lease(call, dial)])
        else:
            self.begin(call)
        return call

    def begin(self, call: Call) -> None:
        """Dials a call that is kept, unless somebody does or has, or it has ended."""
        if call.id not in self._dialling:
            self._spawn(call.id, self._dial(call))

    def begin_waiting(self, call: Call) -> None:
        """The same for one that nobody has dialled yet, if the gate still lets it."""
        if call.id not in self._dialling:
            self._spawn(call.id, self._dial(call, waited=True))

    async def end(self, account: str, call_id: str) -> None:
        """Ends a call, ringing or answered, placed or come in. One that has ended stays as it is.

        Raises:
            NotFoundError: the account has no such call.
            SwitchOffError: there is nobody who could end it.
            SwitchAwayError: it cannot be ended just now.
            UnavailableError: the store does not answer.
        """
        call, dial = await self._dials.get(account, call_id)
        if call.ended_at is not None:
            return
        switch = self._switch
        if switch is None:
            raise SwitchOffError
        if dial is None:
            await self._end_inbound(switch, call)
            return
        if dial.dialled_at is not None and not switch.is_ready:
            raise SwitchAwayError
        if call.ivr is not None and call.answered_at is not None:
            await self._end_walk(switch, call_id)
            return
        # The row first: who is told of the end must not be told another reason.
        settled = await self._settling.settle({call_id: _canceled})
        if settled and dial.dialled_at is not None:
            try:
                await switch.hangup(call_id)
            except (UnavailableError, AmiRefusedError) as error:
                log.warning("a channel outlives its call for a moment", call=call_id, problem=str(error))

    async def preview(
        self, account: str, from_number: str, to_number: str
    ) -> tuple[Verdict, Sequence[Verdict]]:
        """The gate's answer to a call that is not placed, and what each rule says. Raises `NoDidError`."""
        did = await self._picking.caller(account, from_number, to_number, calls=False)
        return await self._gate.preview(account, did, to_number)

    async def why(self, account: str, call: str) -> Sequence[Mapping[str, Any]]:
        """What the gate said of a call, each time it was asked. Raises `NotFoundError`."""
        dial = (await self._dials.get(account, call))[1]
        return () if dial is None else dial.verdict

    async def metadata(self, calls: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        """What was asked to be kept with those of the calls that we placed."""
        return await self._dials.metadata(calls)

    async def by_ai(self, calls: Sequence[str]) -> Collection[str]:
        """Those of the calls that we placed for an AI agent to talk in."""
        return await self._dials.by_ai(calls)

    async def close(self) -> None:
        """Lets the orders that are on their way be sent."""
        while self._dialling:
            await asyncio.wait(self._dialling.values())

    async def _made(self, account: str, name: str) -> Call | None:
        try:
            return (await self._dials.get(account, name))[0]
        except NotFoundError:
            return None

    def _rows(
        self, call_id: str, account: str, wanted: Wanted, version: int | None, verdicts: Sequence[Verdict]
    ) -> tuple[Call, Dial]:
        now = moment()
        waits = wanted.queue_seconds
        call = Call(
            id=call_id,
            call_id=public_call_id(call_id),
            account=account,
            direction="outbound",
            from_number=wanted.from_number,
            to_number=wanted.to_number,
            status=Status.INITIATED,
            created_at=now,
            ivr=wanted.ivr,
            ivr_version=version,
            provider=self._gate.trunk.name,
        )
        dial = Dial(
            call=call_id,
            account=account,
            trunk=self._gate.trunk.name,
            ring_seconds=wanted.ring_seconds,
            max_seconds=wanted.max_seconds,
            metadata=wanted.metadata,
            send_digits=wanted.send_digits,
            machine_detection=wanted.machine_detection,
            record=wanted.record,
            ivr=wanted.ivr,
            hold=wanted.hold,
            queue_until=None if waits is None else now + timedelta(seconds=waits),
            dialled_at=None,
            server=self._switch.place if self._switch else "",
            verdict=[judged(now, "accept", verdicts)],
            ai=wanted.ai,
            transfer_of=wanted.transfer_of,
        )
        return call, dial

    def _spawn(self, call: str, work: Coroutine[None, None, None]) -> None:
        task = self._dialling[call] = asyncio.create_task(work)
        task.add_done_callback(lambda _: self._dialling.pop(call))

    async def _dial(self, call: Call, *, waited: bool = False) -> None:
        if self._switch is not None:
            async with self._orders:
                if not waited or await self._admitted(call):
                    await self._order(self._switch, call.id, call.account)

    async def _admitted(self, call: Call) -> bool:
        """Takes a place for a call that has waited. False: it waits on; what else the gate says it says
        again, where it is kept.
        """
        try:
            await self._gate.admit(call.id, call.account, call.from_number, call.to_number)
        except RefusedError as refused:
            return refused.verdict.rule != "capacity"
        except UnavailableError:
            return False
        return True

    async def _order(self, switch: Switch, name: str, account: str) -> None:
        """The one way to a telephone that rings."""
        if not await switch.answers():
            await self._leave(name, account)
            return

        def judge(call: Call, facts: Facts) -> Verdict:
            # Right before it is claimed: a claim without an order is lost when this process is killed.
            if not switch.is_ready:
                raise SwitchAwayError
            return self._gate.again(call, facts)

        try:
            claimed = await self._dials.claim(name, judge)
        except SwitchAwayError:
            log.warning("a call waits: Asterisk is out of reach", call=name)
            await self._leave(name, account)
            return
        except UnavailableError as error:
            # Whether it is claimed is not known. If not, a comparison of rows and channels has it dialled.
            log.error("a call cannot be dialled: the database does not answer", call=name, error=str(error))  # noqa: TRY400
            return
        if isinstance(claimed, Verdict):
            PLACED_REFUSED.labels(claimed.code).inc()
            PLACED_ENDED[EndReason.BLOCKED].inc()
            log.info("the gate has closed before a call was dialled", call=name, code=claimed.code)
            await self._gate.release([Lease(name, account, self._gate.trunk.name)])
        if isinstance(claimed, tuple):
            await self._send(switch, *claimed)

    async def _send(self, switch: Switch, call: Call, dial: Dial) -> None:
        try:
            await switch.originate(_order(call, dial))
        except UnavailableError as error:
            await self._not_sent(call, str(error))
        except (AmiRefusedError, ValueError) as error:
            log.error("Asterisk does not take a call", call=call.id, problem=str(error))  # noqa: TRY400
            await self._settling.surely({call.id: _failed(EndReason.ERROR)})
        except AmiUnknownError as error:
            log.warning("whether a call is dialled is to be found out", call=call.id, problem=str(error))

    async def _not_sent(self, call: Call, problem: str) -> None:
        """Nobody has been dialled: it is tried again, while it is time."""
        log.warning("a call waits: Asterisk is out of reach", call=call.id, problem=problem)
        with suppress(UnavailableError):  # then it stays claimed, and fails as one without a channel
            await self._dials.unclaim(call.id)
        await self._leave(call.id, call.account)

    async def _leave(self, name: str, account: str) -> None:
        await self._gate.release([Lease(name, account, self._gate.trunk.name)])
        self.left.set()

    async def _end_walk(self, switch: Switch, call_id: str) -> None:
        """Ends the channel first: the walk tells its last step then, and the end of a call is told last."""
        try:
            await switch.hangup(call_id)
        except (UnavailableError, AmiRefusedError):
            raise SwitchAwayError from None
        self._settling.later(_LAST_WORDS, call_id, _canceled)

    async def _end_inbound(self, switch: Switch, call: Call) -> None:
        if call.agi_uniqueid is None or not switch.is_ready:
            raise SwitchAwayError
        try:
            # Whose session writes the row asks the channel who has ended it.
            await switch.set_variable(call.agi_uniqueid, VARIABLE_ENDED, "1")
            await switch.hangup(call.agi_uniqueid)
        except NoSuchChannelError:
            return
        except (UnavailableError, AmiRefusedError):
            raise SwitchAwayError from None


def _lease(call: Call, dial: Dial) -> Lease:
    return Lease(call.id, call.account, dial.trunk)


def _canceled(call: Call, _: Dial | None) -> Canceled | None:
    return None if call.ended_at else Canceled(moment())


def _failed(reason: EndReason) -> Any:
    return lambda call, _: None if call.ended_at else DialFailed(moment(), reason)


def _order(call: Call, dial: Dial) -> Originate:
    variables = {VARIABLE_MAX_SECONDS: str(dial.max_seconds + 1)}  # ours comes first, and says why
    if dial.machine_detection:
        variables[VARIABLE_AMD] = "1"
    if dial.record:
        variables[VARIABLE_RECORD] = "1"
    return Originate(
        channel=call.id,
        dial=f"PJSIP/{call.to_number}@{dial.trunk}",
        context=CONTEXT_OUTBOUND if dial.transfer_of is None else CONTEXT_TRANSFER,
        exten=EXTENSION_OUTBOUND,
        ring_seconds=dial.ring_seconds,
        from_number=call.from_number,
        variables=variables,
    )
