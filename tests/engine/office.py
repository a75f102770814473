"""An account that places calls, at work with the stub of an Asterisk and a database of its own."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from tests.engine.conftest import Engine
from tests.peers.ami_stub import AmiStub
from trunx.adapters.ami.ami import Ami
from trunx.adapters.ami.ami import Pace as LinkPace
from trunx.adapters.cache.leases import Leases
from trunx.adapters.cache.redis import open_redis
from trunx.adapters.store.calls import Calls
from trunx.adapters.store.dials import Dials
from trunx.adapters.store.ivr_lines import IvrLines
from trunx.adapters.store.standings import Standings
from trunx.domain.call import Call, EndReason, Status, new_call_id
from trunx.domain.dial import Wanted
from trunx.domain.gate import Capacity
from trunx.engine.gatekeeper import Gatekeeper, Trunk
from trunx.engine.outbound import Outbound
from trunx.engine.picking import Picking
from trunx.engine.reconcile import Pace, Truth
from trunx.engine.settling import Settling

DID, TO = "+19495550010", "+14155552671"
QUICK = Pace(every=0.1, soon=0.1, turn=0.05, grace=0.3, better=0.1)
LINK = LinkPace(connect=1.0, boot=1.0, answer=0.3, silence=30.0, ping=30.0, pause=0.02, longest_pause=0.05)
PLAIN = Wanted(DID, TO)


@dataclass
class Office:
    """An account that places calls through the stub of an Asterisk."""

    engine: Engine
    asterisk: AmiStub
    dials: Dials
    outbound: Outbound
    switch: Ami

    async def place(self, wanted: Wanted = PLAIN) -> Call:
        return await self.outbound.place(self.engine.account, wanted)

    async def row(self, call: Call) -> Call:
        return (await self.dials.get(self.engine.account, call.id))[0]

    async def is_so(self, call: Call, so: Callable[[Call], bool]) -> Call:
        """The row, once it is so."""
        async with asyncio.timeout(5):
            while not so(row := await self.row(call)):  # noqa: ASYNC110 - rows have no event
                await asyncio.sleep(0.01)
        return row

    async def keep(self, like: Call, server: str = "elsewhere:5038") -> Call:
        """A call that is kept and that nobody has dialled; of another Asterisk, so that only we begin it."""
        kept = like._replace(id=new_call_id(), call_id=new_call_id())
        dial = (await self.dials.get(self.engine.account, like.id))[1]
        assert dial is not None
        await self.dials.create(kept, replace(dial, call=kept.id, dialled_at=None, server=server))
        return kept

    async def is_claimed(self, call: Call, *, wait: bool = True) -> bool:
        """Whether an order to dial was given, or was about to be."""
        async with asyncio.timeout(5):
            while True:
                dial = (await self.dials.get(self.engine.account, call.id))[1]
                assert dial is not None
                if dial.dialled_at is not None or not wait:
                    return dial.dialled_at is not None
                await asyncio.sleep(0.01)

    async def ended(self, call: Call) -> tuple[Status, EndReason | None]:
        row = await self.is_so(call, lambda row: row.ended_at is not None)
        return row.status, row.end_reason

    async def told(self, call: Call) -> list[str]:
        events = await Calls(self.engine.database).events(self.engine.account, call.id)
        return [event.type.removeprefix("call.") for event in events]

    async def loses_asterisk(self) -> None:
        """Until `finds_asterisk`."""
        self.asterisk.silent.add("Login")
        await self.asterisk.end()
        async with asyncio.timeout(5):
            while (await self.switch.state()).state == "ok":  # noqa: ASYNC110 - nor has this
                await asyncio.sleep(0.01)

    async def finds_asterisk(self) -> None:
        self.asterisk.silent.discard("Login")
        await self.asterisk.end()
        async with asyncio.timeout(5):
            while (await self.switch.state()).state != "ok":  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)

    def orders(self, action: str = "Originate") -> int:
        return len(self.asterisk.named(action))

    def lists(self, *channels: str, context: str = "trunx-outbound", state: str = "6") -> None:
        """What Asterisk says that there is."""
        rows = "".join(
            f"Event: CoreShowChannel\r\n{{id}}Uniqueid: {name}\r\nChannel: PJSIP/carrier-1\r\n"
            f"ChannelState: {state}\r\nContext: {context}\r\nExten: s\r\n\r\n"
            for name in channels
        )
        self.asterisk.replies["CoreShowChannels"] = (
            "Response: Success\r\n{id}EventList: start\r\nMessage: Channels will follow\r\n\r\n"
            + rows
            + "Event: CoreShowChannelsComplete\r\n{id}EventList: Complete\r\n"
            + f"ListItems: {len(channels)}\r\n\r\n"
        )

    def state(self, call: Call, state: str) -> None:
        self.asterisk.tell(Event="Newstate", Uniqueid=call.id, ChannelState=state)

    def hangs_up(self, call: Call, cause: str = "16", sip: str = "0", *, far: bool = True) -> None:
        if far:
            self.asterisk.tell(Event="HangupRequest", Uniqueid=call.id, Cause=cause, TechCause=sip)
        self.asterisk.tell(Event="Hangup", Uniqueid=call.id, Cause=cause)

    def dialled(self, call: Call, reason: str) -> None:
        response = "Success" if reason == "4" else "Failure"
        self.asterisk.tell(Event="OriginateResponse", Uniqueid=call.id, Response=response, Reason=reason)


def locked(path: Path) -> sqlite3.Connection:
    """Holds the database, so that nobody else can write."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN IMMEDIATE")
    return connection


@asynccontextmanager
async def at_work(
    engine: Engine, asterisk: AmiStub, place: str, link: LinkPace = LINK, pace: Pace = QUICK
) -> AsyncIterator[Office]:
    """A process that places calls; it ends as a crash does, with nothing more said."""
    async with open_redis(f"unix://{place}") as cache, Ami(asterisk.url, pace=link) as switch:
        dials = Dials(engine.database, server="tests")
        gate = Gatekeeper(dials, Leases(cache), Trunk("carrier", Capacity(per_second=1_000, at_once=1_000)))
        settling = Settling(dials, gate, engine.recorder)
        outbound = Outbound(
            dials=dials,
            gate=gate,
            settling=settling,
            lines=IvrLines(engine.database),
            switch=switch,
            picking=Picking(Standings(engine.database)),
        )
        truth = Truth(
            dials=dials,
            gate=gate,
            settling=settling,
            outbound=outbound,
            switch=switch,
            inbound=set(),
            pace=pace,
        )
        office = Office(engine, asterisk, dials, outbound, switch)
        if "CoreShowChannels" not in asterisk.replies:
            office.lists()
        await switch.wait_connected(5)
        running = asyncio.create_task(truth.run())
        try:
            yield office
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await outbound.close()
            await settling.close()
