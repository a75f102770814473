"""The SIP side of the stand-in for Ultravox: the world's Asterisk calls the pbx as the vendor does.

It comes from another address than the carrier (127.0.0.2): the pbx knows it by its user and password alone.
What an agent does is a small script over FastAGI, and what it hears is taken from the wire.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import agi
import dialplan
from agi import CallEndedError, Channel, HangupError
from dialplan.names import ENDPOINT_AGENT
from tests.peers.ami import AmiError
from tests.peers.asterisk import Asterisk
from tests.peers.hearing import FRAME, RATE, Audio, find
from tests.peers.ultravox import UltravoxPeer
from tests.peers.wiretap import played
from tests.peers.world import World
from tests.secrecy import SIP_PASSWORD

PASSWORD = SIP_PASSWORD
"""What the pbx expects of the vendor; with another one it is refused."""
SAYS = "queue-thankyou"
"""What an agent says unless it is told otherwise: 1.6 seconds of it."""

# One endpoint for each way to call: what the wiretap can hear; the vendor's best codec; a wrong password.
_WAYS = (
    ("vendor", "ulaw", PASSWORD),
    ("vendor-wide", "g722", PASSWORD),
    ("vendor-forged", "ulaw", "guessed"),
)
_TRANSPORT = """
[vendor-udp]
type = transport
protocol = udp
bind = 127.0.0.2:{port}
"""
_WAY = """
[{name}]
type = endpoint
transport = vendor-udp
context = nowhere
disallow = all
allow = {codecs}
from_user = {user}
outbound_auth = {name}
direct_media = no
media_address = 127.0.0.1
bind_rtp_to_media_address = yes
[{name}]
type = auth
auth_type = userpass
username = {user}
password = {password}
"""


_SAMPLE = Path(dialplan.__file__).with_name("pjsip.conf.sample")
_RING = """
[general]
country = us
[us]
description = United States / North America
ringcadence = 2000,4000
dial = 350+440
busy = 480+620/500,0/500
ring = 440+480/2000,0/4000
congestion = 480+620/250,0/250
"""


async def admit(pbx: Asterisk) -> None:
    """Has the pbx take the vendor's calls, as the sample says, and knows what ringing sounds like."""
    conf = pbx.folder / "etc" / "pjsip.conf"
    before = conf.read_text("utf-8")
    if f"[{ENDPOINT_AGENT}]" in before:
        return
    sections = f"\n{_SAMPLE.read_text('utf-8')}".split("\n\n")
    ours = "\n\n".join(section for section in sections if f"\n[{ENDPOINT_AGENT}]\n" in section)
    media = "type = endpoint\nmedia_address = 127.0.0.1\nbind_rtp_to_media_address = yes\n"
    ours = ours.replace("type = endpoint\n", media).replace("change-this-password", PASSWORD)
    pbx.write("pjsip.conf", f"{before}\n{ours}\n")
    pbx.write("indications.conf", _RING)
    for module in ("res_pjsip.so", "indications"):
        await pbx.ami.command(f"module reload {module}")


class Leg:
    """The vendor's call in a talk, once the pbx has answered it.

    Attributes:
        call: what the API shows of it.
        channel: the vendor's end, in the world's Asterisk.
        began: Unix time of the answer.
    """

    def __init__(self, call: dict[str, Any], channel: Channel, world: World, port: int) -> None:
        self.call = call
        self.channel = channel
        self.began = time.time()
        self._world = world
        self._port = port

    async def speak(self, sound: str) -> None:
        """Says one of Asterisk's core sounds."""
        await self.channel.stream_file(sound)

    async def press(self, keys: str) -> None:
        """Sends keys as RFC 4733."""
        await self.run("SendDTMF", keys)

    async def listen(self, seconds: float) -> None:
        """Says nothing, and sends that, as vendors do."""
        await self.run("Wait", str(seconds))

    async def run(self, application: str, *arguments: str) -> None:
        """Runs an application of Asterisk. Raises `HangupError`: the other side has left."""
        if await self.channel.exec(application, *arguments) == "-1":
            await self.channel.status()

    def heard(self) -> Audio:
        """What has come from the other side, from the answer on."""
        self._world.tap.take()
        packets = self._world.tap.packets(self._port)
        return played(packets, self.began, packets[-1].at + FRAME / RATE if packets else self.began)

    async def hears(self, prompt: Audio, within: float = 10.0) -> float:
        """Waits until the prompt was heard whole; when it began, in seconds since the answer."""
        async with asyncio.timeout(within):
            while not (found := find(prompt, self.heard())):  # noqa: ASYNC110 - the wire has no events
                await asyncio.sleep(0.1)
        return found[0].at


Act = Callable[[Leg], Awaitable[None]]


async def stay(leg: Leg) -> None:
    """Talks until the other side leaves."""
    await leg.speak(SAYS)
    await leg.listen(120)


async def echo(leg: Leg) -> None:
    """Says what it hears."""
    await leg.run("Echo")


async def mute(_: Leg) -> None:
    """Has answered, and sends not one packet."""
    await asyncio.Event().wait()


@dataclass(frozen=True)
class Behaviour:
    """What the vendor does when it is asked to call.

    Attributes:
        act: what the agent does once it is answered; it hangs up when that is done. None: it never calls.
        way: `vendor`, `vendor-wide` (g722) or `vendor-forged` (a wrong password).
        after: seconds until it calls.
        token: whom it calls, instead of whom it was told to.
    """

    act: Act | None = stay
    way: str = "vendor"
    after: float = 0.0
    token: str | None = None


@dataclass
class AgentSide:
    """Plays the SIP side for a stand-in; made by `agent_side`.

    Attributes:
        legs: the calls that were answered, by the vendor's id.
        asked: when the vendor was asked for each call, and when the pbx had its INVITE (Unix time).
    """

    world: World
    pbx_sip: int
    port: int = 0
    peer: UltravoxPeer | None = None
    legs: dict[str, Leg] = field(default_factory=dict)
    standing: dict[str, str] = field(default_factory=dict)
    _behaviours: dict[str, Behaviour] = field(default_factory=dict)
    _came: asyncio.Condition = field(default_factory=asyncio.Condition)

    def behave(self, marker: str, **behaviour: Any) -> None:
        """How the agent of a call is that holds `marker` anywhere in what the vendor was asked for: a number
        that only one test uses, say. Others `stay`.
        """
        self._behaviours[marker] = Behaviour(**behaviour)

    async def leg(self, marker: str, within: float = 10.0) -> Leg:
        """The call that holds `marker`, once it is answered."""

        def found() -> Leg | None:
            return next((leg for leg in self.legs.values() if marker in json.dumps(leg.call)), None)

        async with asyncio.timeout(within), self._came:
            await self._came.wait_for(lambda: found() is not None)
        leg = found()
        assert leg is not None
        return leg

    async def dial(self, call: dict[str, Any]) -> None:
        """`on_outgoing` of the stand-in."""
        assert self.peer is not None
        behaviour = self._behaviour(call)
        if behaviour.act is None:
            return
        await asyncio.sleep(behaviour.after)
        name, outgoing = call["callId"], call["medium"]["sip"]["outgoing"]
        if outgoing["password"] != PASSWORD:
            behaviour = replace(behaviour, way="vendor-forged")
        to = outgoing["to"]
        if behaviour.token is not None:
            to = f"sip:{behaviour.token}@{to.partition('@')[2]}"
        channel = self.standing[name] = uuid.uuid4().hex
        with self.world.ami.watch("Hangup", Uniqueid=channel) as ended:
            await self.world.ami.action(
                "Originate",
                Channel=f"PJSIP/{behaviour.way}/{to}",
                ChannelId=channel,
                Application="AGI",
                Data=f"agi://127.0.0.1:{self.port}/{name}",
                Timeout="30000",
                Async="true",
                CallerID=f"<{outgoing['from']}>",
            )
            await ended.next(within=3600)
        del self.standing[name]
        # An agent that leaves says so before it does; what never joined was refused, or rang in vain.
        if self.peer.calls.get(name, {}).get("joined") is None:
            await self.peer.end(name, "connection_error", "DESTINATION_UNAVAILABLE")
        else:
            await self.peer.end(name, "hangup")

    async def over(self, call: dict[str, Any]) -> None:
        """`on_over` of the stand-in: hangs up what still stands."""
        if (channel := self.standing.get(call["callId"])) is not None:
            with suppress(AmiError):  # it has gone meanwhile
                await self.world.ami.action("Hangup", Channel=channel, Cause="16")

    async def answered(self, channel: Channel) -> None:
        """The handler of the vendor's end of each call."""
        assert self.peer is not None
        environment = channel.environment()
        name = environment["agi_network_script"]
        told = await channel.get_full_variable("${CHANNEL(rtp,src)}") or ""
        leg = Leg(self.peer.calls[name], channel, self.world, int(told.rpartition(":")[2] or 0))
        await self.peer.join(name)
        async with self._came:
            self.legs[name] = leg
            self._came.notify_all()
        act = self._behaviour(leg.call).act
        assert act is not None
        try:
            await act(leg)
        except (HangupError, asyncio.CancelledError):
            await self.peer.end(name, "hangup")
            raise
        await self.peer.end(name, "agent_hangup")
        with suppress(CallEndedError):
            await channel.hangup()

    def _behaviour(self, call: dict[str, Any]) -> Behaviour:
        written = json.dumps(call)
        return next((how for marker, how in self._behaviours.items() if marker in written), Behaviour())


@asynccontextmanager
async def agent_side(world: World, pbx_sip: int, **settings: Any) -> AsyncIterator[AgentSide]:
    """The stand-in with its SIP side, until the block ends; `settings` are the stand-in's own."""
    conf = world.folder / "etc" / "pjsip.conf"
    before = conf.read_text("utf-8")
    ways = "".join(
        _WAY.format(name=name, codecs=codecs, user=ENDPOINT_AGENT, password=password)
        for name, codecs, password in _WAYS
    )
    world.write("pjsip.conf", before + _TRANSPORT.format(port=world.ports.sip) + ways)
    await world.ami.command("module reload res_pjsip.so")
    side = AgentSide(world, pbx_sip)
    try:
        async with UltravoxPeer.running(on_outgoing=side.dial, on_over=side.over, **settings) as peer:
            side.peer = peer
            async with agi.Server(side.answered, port=0) as server:
                side.port = server.port
                yield side
                for call in list(side.standing):
                    await side.over({"callId": call})
    finally:
        world.write("pjsip.conf", before)
