"""The journey of a caller with a wideband telephone (G.722): she hears what the telephone band leaves out.

The wiretap takes down µ-law only, so here the caller's channel in the world's Asterisk records what it reads,
decoded (`Record`; MixMonitor would bring it down to 8 kHz).
"""

from __future__ import annotations

import asyncio
import io
import uuid
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.adapters.recordings import third_octaves
from tests.journeys.scene import Scene
from tests.journeys.server import left
from tests.peers.hearing import RATE, Audio, find
from tests.peers.recogniser import recalled

TEXT = "Thank you for your patience. Press six to speak with a business specialist, or stay on the line."
WIDE = 16_000
TELEPHONE = 4_000
"""Hertz: nothing is above it in a call at 8 kHz."""
NEAR = 1.0
"""Decibels by which G.722 may change a third of an octave; it spends two bits of eight on all above 4 kHz."""

_TELEPHONE = """
[wideband]
type = endpoint
context = callees
disallow = all
allow = g722
aors = pbx
direct_media = no
media_address = 127.0.0.1
bind_rtp_to_media_address = yes
"""


async def test_a_wideband_caller_hears_the_wide_file(scene: Scene) -> None:
    """1. A caller whose telephone offers G.722 only hears a short menu, and presses 1. 2. She hears a text,
    with what it has between 4 and 7 kHz, as it is in the asset's wide file; nearly all of its words are
    recognised. 3. Her key and the row are as everybody's.
    """
    trunx, did, caller = scene.trunx, scene.new_did(), scene.new_caller()
    status, made = await trunx.ask("POST", "/audio", {"name": "wide", "text": TEXT})
    assert status == 201
    nodes = {
        "menu": {"audio": scene.shelf.digits("wide-menu", "55"), "gather": {"1": "end"}},
        "end": {"action": "hangup", "audio": "wide"},
    }
    await trunx.publish("wide", did, nodes)
    asset, rate = soundfile.read(io.BytesIO(await trunx.file(made["id"], "wav")), dtype="float32")
    assert rate == WIDE

    record = scene.world.folder / "wide.sln16"
    await telephone(scene, did, caller, record)
    received: Audio = (np.fromfile(record, "<i2") / 32_768).astype(np.float32)
    (place,) = find(asset, received, 0.9, slip=0.06)
    begin = round(place.at * RATE)  # `find` counts samples as if they were 8,000 a second
    heard = received[begin : begin + len(asset)]
    difference = wide_bands(heard) - wide_bands(asset)
    scores = [round(score, 4) for score in by_seconds(asset, received, begin)]
    recall = await asyncio.to_thread(recalled, TEXT, heard, WIDE)
    print(
        f"correlations {scores}, {recall:.2f} of the words recognised, above 4 kHz "
        f"{share_above(heard):.4f} of the energy (asset: {share_above(asset):.4f}), "
        f"thirds of an octave off by {np.abs(difference).max():.2f} dB at most"
    )
    assert sorted(scores)[1] > 0.99  # on a busy machine a frame may be lost in one of them
    assert share_above(heard) == pytest.approx(share_above(asset), rel=0.25)
    assert np.abs(difference).max() < NEAR
    assert recall > 0.75

    row = await trunx.row(caller)
    steps = await trunx.steps_of(row)
    assert left(steps) == [("menu", "key", "1"), ("end", "done", None)]
    assert not any(step["fallback"] for step in steps)
    assert steps[1]["promptMs"] == pytest.approx(1000 * made["durationSeconds"], abs=5)


async def telephone(scene: Scene, did: str, caller: str, record: Path) -> None:
    """The caller: presses 1 in the menu, and records what she hears until the far end hangs up."""
    call, ami = uuid.uuid4().hex, scene.world.ami
    config = scene.world.folder / "etc" / "pjsip.conf"
    scene.world.write(config.name, config.read_text() + _TELEPHONE)
    await ami.command("module reload res_pjsip.so")
    with ami.watch(Uniqueid=call) as events:
        await ami.action(
            "Originate",
            Channel=f"PJSIP/{did}@wideband",
            ChannelId=call,
            Application="Record",
            Data=f"{record},0,0,kqx",  # keep it after a hangup, no beep, no key ends it
            Async="true",
            CallerID=caller,
        )
        while (event := await events.next())["Event"] != "Newstate" or event["ChannelStateDesc"] != "Up":
            pass
        await asyncio.sleep(0.8)  # she listens for so long before she presses
        async with scene.world.keypad() as keypad:
            await keypad.action("PlayDTMF", Channel=call, Digit="1", Duration="100")
        while (await events.next(within=20.0))["Event"] != "Hangup":
            pass


def by_seconds(asset: Audio, received: Audio, begin: int) -> list[float]:
    """How alike each second or so of the asset is to what was received there, 60 ms sooner or later."""
    around, scores = round(0.06 * WIDE), []
    for part in np.array_split(asset, len(asset) // WIDE):
        there = received[max(0, begin - around) : begin + len(part) + around]
        scores.append(max((place.score for place in find(part, there, 0.1)), default=0.0))
        begin += len(part)
    return scores


def wide_bands(signal: Audio) -> Audio:
    """Fifteen thirds of an octave up to 7 kHz, where G.722 ends."""
    return np.asarray(third_octaves(signal, WIDE, 218.7, 7_000), np.float32)


def share_above(signal: Audio) -> float:
    """Which part of the energy is above the telephone band."""
    power = np.square(np.abs(np.fft.rfft(signal)))
    edge = len(power) * TELEPHONE * 2 // WIDE
    return float(power[edge:].sum() / power.sum())
