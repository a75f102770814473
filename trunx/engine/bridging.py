"""Connecting a caller with a person: one more telephone is called, and the two are bridged by Asterisk.

The fact to know: the session stands in `EXEC Dial` for as long as they talk. Asterisk carries the talk and
ends the other leg with the caller's; when our process dies, both talk on.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from agi import Channel, CommandError
from dialplan.names import VARIABLE_TALKING
from trunx.domain.call import Party
from trunx.domain.dial import MAX_SECONDS
from trunx.domain.errors import UnavailableError
from trunx.domain.ivr import Fate
from trunx.domain.records import Lease
from trunx.engine.gatekeeper import Gatekeeper, RefusedError

log = structlog.get_logger(__name__)

_PATIENCE = 2.0
"""Seconds in which the gate must have answered: the caller hears nothing meanwhile."""
_RENEWED = 10.0

_FATES = {"BUSY": Fate.BUSY, "NOANSWER": Fate.NO_ANSWER}
"""Of DIALSTATUS (app_dial.c). CHANUNAVAIL, CONGESTION and whatever else there is: it failed."""


class Bridging:
    """Calls persons for callers, as far as the gate lets it."""

    def __init__(self, gate: Gatekeeper) -> None:
        self._gate = gate

    async def connect(self, channel: Channel, party: Party, to: str, ring_seconds: int) -> Fate:
        """Calls `to` (E.164 or a SIP URI) and stays until the talk is over.

        The person sees our number, one of the account: the gate asks for one, and carriers refuse others.

        Raises:
            CallEndedError: the caller has left; the person's telephone is silent then.
        """
        call, account, did = party.call, party.account, party.ours
        lease = Lease(f"{call}:transfer", account, self._gate.endpoint(to))
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._gate.admit(lease.id, account, did, to)
        except RefusedError as refused:
            log.warning(
                "the gate refuses a transfer; nobody is called",
                call=call,
                account=account,
                to=to,
                code=refused.verdict.code,
                why=str(refused),
            )
            return Fate.BLOCKED
        except (UnavailableError, TimeoutError) as error:
            # What may have been taken comes free by itself.
            log.warning(
                "it is not known whether a transfer is allowed; nobody is called",
                call=call,
                account=account,
                error=str(error) or "no answer in time",
            )
            return Fate.FAILED
        async with self._kept(lease):
            return await _dial(channel, call, _target(lease.trunk, to), did, ring_seconds)

    @asynccontextmanager
    async def _kept(self, lease: Lease) -> AsyncIterator[None]:
        """Keeps the place that was taken, and gives it back. No row stands for it that others would renew."""
        renewing = asyncio.create_task(self._renew(lease))
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.wait([renewing])
            await self._gate.release([lease])

    async def _renew(self, lease: Lease) -> None:
        while True:
            await asyncio.sleep(_RENEWED)
            await self._gate.renew([lease])


def _target(endpoint: str, to: str) -> str:
    """As chan_pjsip takes it: a user at the endpoint's own address, or an endpoint and a whole URI."""
    return f"PJSIP/{endpoint}/{to}" if to.startswith("sip:") else f"PJSIP/{to}@{endpoint}"


async def _dial(channel: Channel, call: str, target: str, did: str, ring_seconds: int) -> Fate:
    # g: the caller stays when the person leaves. r: the caller hears ringing at once, whatever the network
    # says. S: Asterisk's own clock ends a talk that nobody ends. f: what the person sees.
    options = f"grS({MAX_SECONDS})f({did})"
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        await channel.set_variable(VARIABLE_TALKING, "1")
        await channel.exec("Dial", target, str(ring_seconds), options)
        await channel.status()  # Dial returns, too, when the caller has left
        await channel.set_variable(VARIABLE_TALKING, "")
        status = await channel.get_variable("DIALSTATUS")
    except CommandError as error:
        log.error("Asterisk cannot dial", call=call, error=str(error))  # noqa: TRY400 - no fault of ours
        return Fate.FAILED
    if status == "ANSWER":
        return Fate.TIME_UP if loop.time() - began >= MAX_SECONDS else Fate.PERSON_LEFT
    fate = _FATES.get(status or "", Fate.FAILED)
    log.info("a person was not reached", call=call, dialled=target, status=status)
    return fate
