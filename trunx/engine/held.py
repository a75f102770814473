"""A call that we have placed, once it is answered: held, or walking a tree, until a side ends it.

Asterisk's news say when the other side has left. A session may begin in the middle of a call: when our
process has been replaced, Asterisk asks again, and what was asked for goes on from what the row says.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol, assert_never

import structlog

from agi import CallEndedError, Channel, CommandError
from dialplan.names import VARIABLE_TRIES
from trunx.domain.agent import Brief
from trunx.domain.call import Call, EndReason, Party
from trunx.domain.dial import Dial
from trunx.domain.errors import NotFoundError, UnavailableError
from trunx.domain.progress import Answered, Ended
from trunx.domain.records import Line
from trunx.engine.action_ports import Interludes
from trunx.engine.inbound import VARIABLE_TRANSFERRED, Way
from trunx.engine.nodes import Nodes
from trunx.engine.opt_out import OptOuts
from trunx.engine.ports import Dials, IvrLines, Recorder, Sounds, Switch
from trunx.engine.recordings import Recordings
from trunx.engine.settling import Settling, moment
from trunx.engine.speaking import Speaker
from trunx.engine.talking import TalkEnd, Talking
from trunx.engine.transferring import Transfers

log = structlog.get_logger(__name__)

_MACHINES = {"HUMAN": "human", "MACHINE": "machine", "NOTSURE": "unknown"}
_HELD_SECONDS = 3600.0
"""The longest wait that Asterisk is asked for at once."""
_NEWS_SECONDS = 2.0
"""After a hangup, how long Asterisk's own news of it are waited for: they know more."""


@dataclass(frozen=True, slots=True)
class Held:
    """Handles the calls that the dialplan hands over with `AGI(agi://.../outbound)`."""

    dials: Dials
    settling: Settling
    lines: IvrLines
    opt_outs: OptOuts
    recorder: Recorder
    sounds: Sounds
    switch: Switch
    transfers: Transfers = field(default_factory=Transfers)
    talking: Talking | None = None
    recordings: Recordings | None = None
    interludes: Interludes | None = None

    async def __call__(self, channel: Channel) -> None:
        """One call. Returning without a hangup has the dialplan ask again in a moment."""
        name = channel.environment().get("agi_uniqueid", "")
        now = moment()
        try:
            await self.settling.settle({name: lambda *_: Answered(now)})
            call, dial = await self.dials.of_channel(name)
        except NotFoundError:
            log.warning("a channel in our outbound context is none of our calls and is ended", channel=name)
            await channel.hangup()
            return
        except UnavailableError as error:
            log.warning(
                "an answered call cannot be looked up; Asterisk asks again", call=name, error=str(error)
            )
            return
        if dial is None or call.ended_at is not None:
            await channel.hangup()
            return
        if dial.record and self.recordings is not None:
            with suppress(UnavailableError):  # then it is found when the call has ended
                await self.recordings.adopt(call, dial.max_seconds)
        await self._serve(channel, call, dial)

    async def _serve(self, channel: Channel, call: Call, dial: Dial) -> None:
        passed = (datetime.now(UTC) - (call.answered_at or call.created_at)).total_seconds()
        reason: EndReason | None = EndReason.ERROR
        try:
            async with asyncio.timeout(max(0.0, dial.max_seconds - passed)):
                reason = await self._with_callee(channel, call, dial)
        except TimeoutError:
            reason = EndReason.MAX_DURATION
        except UnavailableError as error:
            reason = None
            log.warning(
                "an answered call cannot be served; Asterisk asks again", call=call.id, error=str(error)
            )
        except (CallEndedError, asyncio.CancelledError):
            # The other side has left, was transferred, the call was moved, or our process ends.
            reason = await _taken(channel)
            raise
        finally:
            if reason is None:
                if channel.hung_up:
                    self.settling.later(_NEWS_SECONDS, call.id, left)
            elif reason is EndReason.TRANSFERRED:
                await end_row(self.settling, call, reason)
            else:
                await end_call(self.settling, self.switch, channel, call, reason)

    async def _with_callee(self, channel: Channel, call: Call, dial: Dial) -> EndReason:
        machine = call.machine
        if dial.machine_detection and machine is None:
            machine = await self._detected(channel, call)
        if dial.send_digits is not None and await channel.get_variable(VARIABLE_TRIES) is None:
            await channel.exec("SendDTMF", dial.send_digits)
        if dial.ivr is not None and call.ivr_version is not None:
            return await self._walk(channel, call, dial, dial.ivr, call.ivr_version)
        if dial.ai is not None:
            return (
                EndReason.MACHINE if machine == "machine" else await self._talk(channel, call, dial, dial.ai)
            )
        while True:
            if self.interludes is not None:  # at once, too: the process before us may have died of it
                await self.interludes.perform(channel, answering=False)
            if dial.hold is not None:
                await self._music(channel, call, dial.hold)
            await channel.wait_for_digit(_HELD_SECONDS)

    async def _music(self, channel: Channel, call: Call, music: str) -> None:
        try:
            await channel.command("SET MUSIC", "ON", music)
        except CommandError as error:
            log.warning("no music for a call that is held", call=call.id, music=music, error=str(error))

    async def _detected(self, channel: Channel, call: Call) -> str:
        found = _MACHINES.get(await channel.get_variable("AMDSTATUS") or "", "unknown")
        await self.dials.detected(call.id, found, await channel.get_variable("AMDCAUSE") or "")
        return found

    async def _talk(self, channel: Channel, call: Call, dial: Dial, brief: Brief) -> EndReason:
        if self.talking is not None and await self.talking.has_talked(call.id):
            return EndReason.AGENT_LEFT  # the talk has outlived the process that began it
        end = TalkEnd.UNAVAILABLE
        if self.talking is not None:
            facts = {"caller": call.to_number, "did": call.from_number, "direction": call.direction}
            prepared = await self.talking.prepare(
                channel,
                call.id,
                brief,
                account=call.account,
                facts=facts,
                metadata=dial.metadata,
                max_seconds=dial.max_seconds,
            )
            end = await self.talking.join(channel, prepared, zero_out=None)
        match end:
            case TalkEnd.AGENT_LEFT | TalkEnd.ZERO_OUT:
                return EndReason.AGENT_LEFT
            case TalkEnd.MAX_DURATION:
                return EndReason.MAX_DURATION
            case TalkEnd.UNAVAILABLE:
                line = Line(call.account, None, None, None)
                await Speaker(channel, self.sounds, self.recorder, line, call.id).say("unavailable")
                return EndReason.TRANSFER_UNAVAILABLE
            case _:
                assert_never(end)

    async def _walk(self, channel: Channel, call: Call, dial: Dial, ivr: str, version: int) -> EndReason:
        try:
            line = await self.lines.line(call.account, ivr, version)
        except NotFoundError:
            line = Line(call.account, ivr, version, None)
        speaker = Speaker(channel, self.sounds, self.recorder, line, call.id, interludes=self.interludes)
        if line.tree is None:
            log.warning("the IVR of a call that we placed is gone", call=call.id, ivr=ivr)
            await speaker.say("not-in-service")
            return EndReason.UNASSIGNED
        # Who asks not to be called is the one who was called.
        party = Party(call.id, call.account, "outbound", call.from_number, call.to_number, ivr, dial.metadata)
        nodes = Nodes(channel, speaker, self.opt_outs, self.transfers, party)
        return await Way(call.id, nodes, self.recorder).walk(line.tree, channel)


class HangsUp(Protocol):
    """An Asterisk that ends channels."""

    async def hangup(self, channel: str, cause: int = 16) -> bool:
        """See `Switch.hangup`."""


async def end_call(
    settling: Settling, switch: HangsUp, channel: Channel, call: Call, reason: EndReason
) -> None:
    """Ends a call that we placed. The reason first: the news of the hangup must not find another one."""
    await end_row(settling, call, reason)
    try:
        await channel.hangup()
    except CallEndedError:
        # A command was cut short, and the connection with it.
        try:
            await switch.hangup(call.id)
        except UnavailableError:
            log.warning("Asterisk ends a call by its own clock", call=call.id)


async def end_row(settling: Settling, call: Call, reason: EndReason) -> None:
    """Writes the end of a call, behind its last step."""
    now = moment()
    await settling.surely({call.id: lambda *_: Ended(now, reason=reason)}, after_steps=True)


async def _taken(channel: Channel) -> EndReason | None:
    """What ends the call of a session that has lost its channel; None: Asterisk's news say it."""
    if not channel.hung_up:
        return None
    try:
        transferred = await channel.get_variable(VARIABLE_TRANSFERRED)
    except CallEndedError:
        return None
    return EndReason.TRANSFERRED if transferred else None


def left(call: Call, _: Dial | None) -> Ended | None:
    """What is known of a hangup that Asterisk has told us no news of."""
    return None if call.ended_at is not None else Ended(moment())
