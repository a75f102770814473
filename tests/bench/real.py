"""The same two menus on a real Asterisk, as native dialplan and through the engine, in turn.

Measured is what the caller heard: the time from the beginning of the first prompt to that of the second, with
the key pressed by the caller's own Asterisk at the same moment of every call. A prompt's beginning is the
arrival of the RTP packet that carries its first sample.
"""

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

import numpy as np

from dialplan.render import render
from sounds import DEMO
from tests.bench.measure import Tools, serving
from tests.peers.asterisk import Asterisk
from tests.peers.hearing import Audio, decode_ulaw, first, load_ulaw
from tests.peers.wiretap import Packet
from tests.peers.world import World, pbx_and_world
from trunx.demo import DID

FRAME_MS = 20.0
NATIVE = "+19495550000"

Way = Literal["native", "engine"]
_NUMBERS: dict[Way, str] = {"native": NATIVE, "engine": DID}

_PBX = f"""
exten => {NATIVE},1,Answer()
 same => n,Goto(native,s,1)

[native]
exten => s,1,Background(native/welcome)
 same => n,WaitExten(5)
exten => 1,1,Background(native/business_check)
 same => n,WaitExten(5)
exten => 9,1,Hangup()
"""

# The key comes from the caller's dialplan: no event loop of ours can make it early or late.
_CALLER = """
[caller]
exten => answered,1,UserEvent(Answered,Rtp: ${CHANNEL(rtp,src)})
 same => n,Wait(1)
 same => n,SendDTMF(1,,100)
 same => n,Wait(1.2)
 same => n,Hangup()

[callees]
"""


@dataclass(frozen=True, slots=True)
class Heard:
    """One call in milliseconds: from the answer to the first prompt, and from that to the second."""

    begin: float
    between: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Calls of both ways, one at a time and many at once."""

    single: dict[Way, list[Heard]]
    crowd: dict[Way, list[Heard]]
    at_once: int

    def median_between(self, way: Way) -> float:
        """Of one call at a time, in milliseconds."""
        return median(call.between for call in self.single[way])

    def p99_between(self, way: Way) -> float:
        """Of many at once, in milliseconds."""
        between = sorted(call.between for call in self.crowd[way])
        return between[len(between) - 1 - len(between) // 100]


async def compare(tools: Tools, *, singles: int, crowds: int, at_once: int) -> Comparison:
    """Places `singles` calls each way one after the other, then `crowds` times `at_once` of them together.

    Raises:
        RuntimeError: there is no Asterisk here, and none can be made.
        PermissionError: we may not look at the wire.
        AssertionError: a caller did not hear a prompt.
    """
    both: tuple[Way, Way] = ("native", "engine")
    result = Comparison({way: [] for way in both}, {way: [] for way in both}, at_once)
    async with pbx_and_world("") as (pbx, world):
        _stage(pbx)
        await world.dialplan(_CALLER)
        with serving(tools, "engine", sounds=pbx.sounds.as_uri()) as engine:
            await pbx.dialplan(render(f"agi://127.0.0.1:{engine.port}/inbound") + _PBX)
            prompts = load_ulaw(DEMO["welcome"].path), load_ulaw(DEMO["business_check"].path)
            for way in both:
                await _call(world, way, prompts)
            for _ in range(singles):
                for way in both:
                    result.single[way].append(await _call(world, way, prompts))
            for _ in range(crowds):
                for way in both:
                    calls = (_call(world, way, prompts) for _ in range(at_once))
                    result.crowd[way].extend(await asyncio.gather(*calls))
    return result


def _stage(pbx: Asterisk) -> None:
    folder = pbx.sounds / "native"
    folder.mkdir()
    for name in ("welcome", "business_check"):
        shutil.copy(DEMO[name].path, folder)


async def _call(world: World, way: Way, prompts: Sequence[Audio]) -> Heard:
    call = world.dial(_NUMBERS[way])
    assert await call.answered(), f"nobody answered ({way})"
    answered, port = call._answered_at()
    await call.wait_ended()
    packets = [packet for packet in world.tap.packets(port) if packet.at >= answered]
    begins = _begins(packets, prompts)
    return Heard(1000 * (begins[0] - answered), 1000 * (begins[1] - begins[0]))


def _begins(packets: list[Packet], prompts: Sequence[Audio]) -> list[float]:
    """When each prompt's first sample arrived, in Unix seconds."""
    ends = np.cumsum([len(packet.sound) for packet in packets])
    heard = decode_ulaw(b"".join(packet.sound for packet in packets))
    times = []
    for prompt in prompts:
        sample = round(first(prompt, heard, head=0.5) * 8000)
        place = int(np.searchsorted(ends, sample, side="right"))
        times.append(packets[place].at)
    return times
