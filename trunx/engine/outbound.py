"""Calls that we place: asked for, admitted by the gate, kept, and only then dialled, once.

The fact to know: a row is committed before anybody is dialled, and whoever sets its `dialled_at` is the one
who sends the order, once, whatever becomes of it. What became of it is found out in `reconcile.py`.
"""

import asyncio
from collections.abc import Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import structlog

from dialplan.names import (
    CONTEXT_OUTBOUND,
    EXTENSION_OUTBOUND,
    VARIABLE_AMD,
    VARIABLE_MAX_SECONDS,
    VARIABLE_RECORD,
)
from trunx.domain.call import Call, EndReason, Status, new_call_id, public_call_id
from trunx.domain.channel import AmiRefusedError, AmiUnknownError, NoSuchChannelError, Originate
from trunx.domain.dial import Dial, Wanted, judged, keyed_call_id
from trunx.domain.errors import ExistsError, NotFoundError, UnavailableError
from trunx.domain.gate import Verdict
from trunx.domain.progress import Canceled, DialFailed
from trunx.domain.records import Lease
from trunx.engine.gatekeeper import Gatekeeper, RefusedError
from trunx.engine.inbound import VARIABLE_ENDED
from trunx.engine.ports import Dials, IvrLines, Switch
from trunx.engine.settling import Settling, moment

log = structlog.get_logger(__name__)

_KEY_LASTS = timedelta(hours=24)
"""How long an Idempotency-Key names one request; afterwards it is free for another."""


class SwitchOffError(Exception):
    """No Asterisk is configured that could be told to dial."""


class SwitchAwayError(Exception):
    """Asterisk cannot be told anything just now."""


class Outbound:
    """Places and ends calls. `close` before the switch and the stores go."""

    def __init__(
        self,
        *,
        dials: Dials,
        gate: Gatekeeper,
        settling: Settling,
        lines: IvrLines,
        switch: Switch | None,
    ) -> None:
        self._dials = dials
        self._gate = gate
        self._settling = settling
        self._lines = lines
        self._switch = switch
        self._dialling: set[asyncio.Task[None]] = set()

    async def place(self, account: str, wanted: Wanted, key: str | None = None) -> Call:
        """Accepts a call, which is kept then, and begins to dial it. `key`: the request's Idempotency-Key,
        with which a repeated request finds the call that it has made.

        Raises:
            SwitchOffError: calls cannot be placed here.
            SwitchAwayError: Asterisk is out of reach, and the call was not to wait for it.
            RefusedError: the gate says no.
            NotFoundError: the account has no such IVR.
            UnavailableError: a store does not answer. The call may have been kept all the same.
        """
        switch = self._switch
        if switch is None:
            raise SwitchOffError
        away = (await switch.state()).state != "ok"
        if away and wanted.queue_seconds is None:
            raise SwitchAwayError
        version = None if wanted.ivr is None else await self._lines.version(account, wanted.ivr)
        name = new_call_id() if key is None else keyed_call_id(account, key)
        if key is not None and (made := await self._made(account, name)) is not None:
            if moment() - made.created_at < _KEY_LASTS:
                return made
            name = new_call_id()
        verdicts = await self._gate.admit(name, account, wanted.from_number, wanted.to_number)
        call, dial = self._rows(name, account, wanted, version, verdicts)
        try:
            await self._dials.create(call, dial)
        except ExistsError:
            return (await self._dials.get(account, name))[0]  # the same request, on its way twice
        except UnavailableError:
            # It may have been written: then it is failed as one that nobody has dialled.
            await self._gate.release([_lease(call, dial)])
            raise
        log.info("call accepted", call=name, account=account, to=wanted.to_number, waits=away)
        if away:
            await self._gate.release([_lease(call, dial)])
        else:
            self.begin(call)
        return call

    def begin(self, call: Call) -> None:
        """Dials a call that is kept, unless somebody does or has, or it has ended."""
        self._spawn(self._dial(call.id, call.account))

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
        if dial.dialled_at is not None and (await switch.state()).state != "ok":
            raise SwitchAwayError
        # The row first: who is told of the end must not be told another reason.
        settled = await self._settling.settle(
            {call_id: lambda call, _: None if call.ended_at else Canceled(moment())}
        )
        if settled and dial.dialled_at is not None:
            try:
                await switch.hangup(call_id)
            except (UnavailableError, AmiRefusedError) as error:
                log.warning("a channel outlives its call for a moment", call=call_id, problem=str(error))

    async def preview(
        self, account: str, from_number: str, to_number: str
    ) -> tuple[Verdict, Sequence[Verdict]]:
        """The gate's answer to a call that is not placed, and what each rule says."""
        return await self._gate.preview(account, from_number, to_number)

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
            await asyncio.wait(self._dialling)

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
        )
        return call, dial

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)

    async def _dial(self, name: str, account: str) -> None:
        """The one way to a telephone that rings."""
        switch = self._switch
        if switch is None:
            return
        try:
            claimed = await self._dials.claim(name, self._gate.again)
        except UnavailableError as error:
            # Whether it is claimed is not known. If not, a comparison of rows and channels has it dialled.
            log.error("a call cannot be dialled: the database does not answer", call=name, error=str(error))  # noqa: TRY400
            return
        if isinstance(claimed, Verdict):
            log.info("the gate has closed before a call was dialled", call=name, code=claimed.code)
            await self._gate.release([Lease(name, account, self._gate.trunk.name)])
        if not isinstance(claimed, tuple):
            return
        call, dial = claimed
        try:
            await switch.originate(_order(call, dial))
        except UnavailableError as error:
            await self._not_sent(call, dial, str(error))
        except (AmiRefusedError, ValueError) as error:
            log.error("Asterisk does not take a call", call=name, problem=str(error))  # noqa: TRY400
            await self._settling.surely({name: _failed(EndReason.ERROR)})
        except AmiUnknownError as error:
            log.warning("whether a call is dialled is to be found out", call=name, problem=str(error))

    async def _not_sent(self, call: Call, dial: Dial, problem: str) -> None:
        if dial.queue_until is None or dial.queue_until <= moment():
            log.error("a call cannot be dialled: Asterisk is out of reach", call=call.id, problem=problem)
            await self._settling.surely({call.id: _failed(EndReason.ERROR)})
            return
        with suppress(UnavailableError):  # then it stays claimed, and fails as one without a channel
            await self._dials.unclaim(call.id)
        await self._gate.release([_lease(call, dial)])

    async def dial_waiting(self, call: Call) -> None:
        """Dials a call that has waited for Asterisk, if the gate still lets it; else, when it is only full,
        it waits on.
        """
        try:
            await self._gate.admit(call.id, call.account, call.from_number, call.to_number)
        except RefusedError as refused:
            if refused.verdict.rule == "capacity":
                return
        await self._dial(call.id, call.account)

    async def _end_inbound(self, switch: Switch, call: Call) -> None:
        if call.agi_uniqueid is None or (await switch.state()).state != "ok":
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
        context=CONTEXT_OUTBOUND,
        exten=EXTENSION_OUTBOUND,
        ring_seconds=dial.ring_seconds,
        from_number=call.from_number,
        variables=variables,
    )
