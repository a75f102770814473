"""Puts together what places calls; `app.py` puts it into the whole."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from dialplan.names import AGI_PATH_OUTBOUND, AGI_PATH_TRANSFER
from trunx.adapters.ami.desk import Desk
from trunx.adapters.cache.leases import Leases
from trunx.adapters.cache.redis import RedisServer
from trunx.adapters.store.actions import Actions
from trunx.adapters.store.database import Database
from trunx.adapters.store.dials import Dials
from trunx.adapters.store.ivr_lines import IvrLines
from trunx.adapters.store.standings import Standings
from trunx.background import at_work
from trunx.domain.gate import Capacity
from trunx.domain.records import PartState
from trunx.engine.actions.frame import Frame
from trunx.engine.actions.interlude import Interlude
from trunx.engine.actions.transfer import CallTransfers
from trunx.engine.bridging import Bridging
from trunx.engine.gatekeeper import Gatekeeper, Trunk
from trunx.engine.held import Held
from trunx.engine.inbound import Inbound
from trunx.engine.log_ports import Post
from trunx.engine.outbound import Outbound
from trunx.engine.picking import Picking
from trunx.engine.ports import Part
from trunx.engine.reconcile import Truth, end_overdue_for_ever
from trunx.engine.recordings import Recordings
from trunx.engine.settling import Settling
from trunx.engine.talking import Talking
from trunx.settings import PREFIX, Settings
from trunx.start import setting


class _NoSwitch:
    """What `/readyz` says where calls cannot be placed."""

    async def state(self) -> PartState:
        return PartState("ami", "off", f"no outbound calls: {PREFIX}AMI_URL is not set")


@dataclass(frozen=True, slots=True)
class Calling:
    """All that places calls; `truth` is to run once calls can reach us; it and `desk` are None where none
    are placed.

    `inbound` is what was given, and can transfer to persons too.
    """

    inbound: Inbound
    outbound: Outbound
    picking: Picking
    truth: Truth | None
    part: Part
    desk: Desk | None
    call_transfers: CallTransfers


@asynccontextmanager
async def calling(
    settings: Settings,
    database: Database,
    cache: RedisServer,
    inbound: Inbound,
    talking: Talking | None,
    *,
    recordings: Recordings,
    post: Post,
) -> AsyncIterator[Calling]:
    with setting(f"{PREFIX}TRUNK_CALLS"):
        carries = Capacity(
            settings.trunk_calls_per_second, settings.trunk_calls, settings.trunk_calls_inbound
        )
    with setting(f"{PREFIX}AMI_URL"):
        switch = None if settings.ami_url is None else Desk(settings.ami_url.get_secret_value())
    dials, lines = Dials(database, server=settings.server_name), IvrLines(database)
    gate = Gatekeeper(dials, Leases(cache), Trunk(settings.trunk, carries))
    transfers = replace(inbound.transfers, bridging=Bridging(gate))
    interludes = None if switch is None else Interlude(Frame(Actions(database), switch))
    inbound = replace(inbound, transfers=transfers, interludes=interludes)
    async with AsyncExitStack() as stack:
        if switch is not None:
            await stack.enter_async_context(switch)
        settling = Settling(dials, gate, inbound.recorder)
        stack.push_async_callback(settling.close)
        picking = Picking(Standings(database))
        stack.push_async_callback(picking.close)
        outbound = Outbound(
            dials=dials, gate=gate, settling=settling, lines=lines, switch=switch, picking=picking
        )
        stack.push_async_callback(outbound.close)
        call_transfers = CallTransfers(
            frame=Frame(Actions(database), switch),
            dials=dials,
            outbound=outbound,
            settling=settling,
            post=post,
        )
        stack.push_async_callback(call_transfers.close)
        if switch is None:
            async with at_work(end_overdue_for_ever(dials, settling)):
                yield Calling(inbound, outbound, picking, None, _NoSwitch(), None, call_transfers)
            return
        inbound.scripts[AGI_PATH_OUTBOUND] = Held(
            dials=dials,
            settling=settling,
            lines=lines,
            opt_outs=inbound.opt_outs,
            recorder=inbound.recorder,
            sounds=inbound.sounds,
            switch=switch,
            transfers=transfers,
            talking=talking,
            recordings=recordings,
            interludes=interludes,
        )
        inbound.scripts[AGI_PATH_TRANSFER] = call_transfers
        truth = Truth(
            dials=dials,
            gate=gate,
            settling=settling,
            outbound=outbound,
            switch=switch,
            inbound=inbound.live,
        )
        yield Calling(inbound, outbound, picking, truth, switch, switch, call_transfers)
