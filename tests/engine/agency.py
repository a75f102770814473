"""An account with an agent: the real engine, stores and client; the vendor and Asterisk's side are stand-ins.

The stand-in joins each call as soon as it is made, as it does when our Asterisk has answered its INVITE.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from agi import Channel, Server
from agi.caller import Dialling, Ring
from tests import secrecy
from tests.engine.conftest import CALLER, DID, Engine, Phone
from tests.peers.ultravox import CREATES_CALL, Asked, UltravoxPeer
from trunx.adapters.cache.redis import RedisServer, open_redis
from trunx.adapters.cache.talk_places import TalkPlaces
from trunx.adapters.store.agents import Agents
from trunx.adapters.store.knowledge import KnowledgeBases
from trunx.adapters.store.left_overs import LeftOvers as LeftOverRows
from trunx.adapters.store.talks import Talks
from trunx.adapters.store.tools import Tools as ToolRows
from trunx.adapters.ultravox.agents import UltravoxAgents
from trunx.adapters.ultravox.calls import UltravoxCalls
from trunx.adapters.ultravox.client import Client, Deadlines
from trunx.adapters.ultravox.reach import SipReach
from trunx.domain.agent import Agent, AgentBrief, Brief
from trunx.domain.call import Call, Status, new_call_id, public_call_id
from trunx.domain.talk import Talk, TalkState
from trunx.engine.agents import Roster
from trunx.engine.knowledge import Bookshelf
from trunx.engine.left_overs import LeftOvers
from trunx.engine.settling import moment
from trunx.engine.talking import Patience, TalkEnd, Talking
from trunx.engine.tools import Tools
from trunx.engine.transferring import Transfers

PLACE = "pbx.example.com:5060"
REACH = SipReach(PLACE, secrecy.SIP_USER, secrecy.SIP_PASSWORD)
STEADY = Deadlines(total=2.0, creation=2.0, lookup=2.0, backoff=0.01, wait=0.05)
PATIENCE = Patience(place=0.3, order=5.0, again=1.0)
FACTS = {"caller": CALLER, "did": DID}
METADATA = {"tenant": "acme"}
OVER = (TalkState.ENDED, TalkState.FAILED)


@dataclass
class Agency:
    """Who talks to callers, and the vendor. `places`: the account has two at once."""

    engine: Engine
    peer: UltravoxPeer
    client: Client
    cache: RedisServer
    talks: Talks
    places: TalkPlaces
    roster: Roster
    talking: Talking
    agent: Agent

    @property
    def transfers(self) -> Transfers:
        return Transfers(talking=self.talking, agents=self.roster.rows)

    @property
    def orders(self) -> list[Asked]:
        """What the vendor was asked for when it was to make a call."""
        return self.peer.asked(CREATES_CALL)

    @property
    def ended_by_us(self) -> list[str]:
        """The calls that the vendor was told to end: we send nothing else."""
        return [call for call, _ in self.peer.control.data_messages]

    @property
    def vendor_calls(self) -> list[dict[str, Any]]:
        """The calls that it has made."""
        return list(self.peer.calls.values())

    async def hires(self, **fields: Any) -> Agent:
        """One more agent, made here and there."""
        return await self.roster.create(_draft(self.engine.account, **fields))

    async def kept(self, call: str, *states: TalkState) -> Sequence[Talk]:
        """The call's talks, in order, once each of them is in one of `states` (else: over)."""
        async with asyncio.timeout(5):
            while True:
                talks = (await self.talks.of_calls([call])).get(call, ())
                if talks and all(talk.state in (states or OVER) for talk in talks):
                    return talks
                await asyncio.sleep(0.005)

    async def nobody_talks(self) -> None:
        """Returns when all places are free."""
        async with asyncio.timeout(5):
            while await self.free() != 2:  # noqa: ASYNC110 - places have no event
                await asyncio.sleep(0.005)

    async def free(self) -> int:
        """How many talks more the account may have now."""
        tried = [f"try {number}" for number in range(3)]
        taken = [name for name in tried if await self.places.take(self.engine.account, name)]
        for name in taken:
            await self.places.release(self.engine.account, name)
        return len(taken)


@asynccontextmanager
async def at_work(engine: Engine, valkey: str) -> AsyncIterator[Agency]:
    """An agency with one agent; it ends as the server does."""

    async def dial(call: dict[str, Any]) -> None:
        await peer.join(call["callId"])

    async with (
        UltravoxPeer.running(on_outgoing=dial) as peer,
        Client.open(peer.key, peer.url, deadlines=STEADY) as client,
        open_redis(f"unix://{valkey}") as cache,
    ):
        database, vendor = engine.database, UltravoxAgents(client)
        left_overs = LeftOvers(LeftOverRows(database), vendor)
        tools = Tools(ToolRows(database), vendor, left_overs)
        shelf = Bookshelf(KnowledgeBases(database), vendor, left_overs)
        roster = Roster(Agents(database), vendor, left_overs, tools=tools, knowledge=shelf)
        talks, places = Talks(database), TalkPlaces(cache, 2)
        talking = Talking(talks, places, UltravoxCalls(client, REACH), roster, PATIENCE)
        agent = await roster.create(_draft(engine.account))
        try:
            yield Agency(engine, peer, client, cache, talks, places, roster, talking, agent)
        finally:
            await talking.close()


def _draft(account: str, **fields: Any) -> Agent:
    draft = Agent(
        id=str(uuid.uuid4()),
        account=account,
        name="Sarah",
        prompt="You confirm appointments.",
        voice=None,
        first_message=None,
        language="en",
        tools=(),
        knowledge=(),
        max_seconds=300,
        default=False,
        vendor_id=None,
        created_at=moment(),
        updated_at=moment(),
    )
    return replace(draft, **fields)


@dataclass
class Desk:
    """One call of the account, for which agents are called as a test wants it.

    Attributes:
        talks: so many are had, one after the other.
        abandons: the caller does not come, as soon as this is set.
        ends: what became of each.
        gone: what the handler was cut short by.
    """

    agency: Agency
    call: Call
    brief: Brief
    zero_out: str | None = None
    talks: int = 1
    max_seconds: int = 300
    abandons: asyncio.Event | None = None
    ends: list[TalkEnd] = field(default_factory=list)
    gone: list[type[BaseException]] = field(default_factory=list)
    server: Server = field(init=False)

    def phone(self, *dials: str, talk: float = 0.0, **does: Any) -> Phone:
        """The caller, for whom one Dial after the other ends so."""
        return self.agency.engine.phone(Ring(DID, CALLER, dials=dials, talk=talk), **does)

    async def rings(self, *dials: str, talk: float = 0.0, **does: Any) -> Phone:
        """The whole call."""
        phone = self.phone(*dials, talk=talk, **does)
        await phone.call(self.server.port)
        await self.server.drain(5)
        return phone

    async def connected(self) -> tuple[Phone, asyncio.Task[str], Talk]:
        """A talk that goes on, and its row."""
        phone = self.phone("ANSWER", talk=3_600, speed=1)
        calling = asyncio.create_task(phone.call(self.server.port))
        await phone.until(Dialling)
        return phone, calling, await self.row(TalkState.CREATED)

    async def row(self, *states: TalkState) -> Talk:
        """The call's only talk, as soon as it is in one of `states` (none: over)."""
        (talk,) = await self.agency.kept(self.call.id, *states)
        return talk

    async def serve(self, channel: Channel) -> None:
        """The call's handler."""
        agency = self.agency
        try:
            for _ in range(self.talks):
                prepared = await agency.talking.prepare(
                    channel,
                    self.call.id,
                    self.brief,
                    account=self.call.account,
                    facts=FACTS,
                    metadata=METADATA,
                    max_seconds=self.max_seconds,
                )
                if self.abandons is not None:
                    await self.abandons.wait()
                    await agency.talking.abandon(prepared)
                else:
                    end = await agency.talking.join(channel, prepared, zero_out=self.zero_out)
                    self.ends.append(end)
        except BaseException as error:
            self.gone.append(type(error))
            raise


@asynccontextmanager
async def at_a_desk(agency: Agency) -> AsyncIterator[Desk]:
    """A call that is answered, and a server that it comes to."""
    name, now = new_call_id(), moment()
    call = Call(
        *(name, public_call_id(name), agency.engine.account, "inbound", DID, CALLER),
        *(Status.ANSWERED, now, now),
    )
    agency.engine.recorder.call(call)
    await agency.engine.recorder.flush()
    desk = Desk(agency, call, AgentBrief(agency.agent.id))
    async with Server(desk.serve, port=0) as desk.server:
        yield desk


def dialled(phone: Phone) -> list[Dialling]:
    """What Asterisk was asked to dial."""
    return [happening for happening in phone.happened if isinstance(happening, Dialling)]
