"""Fifty live calls, five actions on each of them at once: nobody hears what was meant for another."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from tests.journeys.acted_upon import act, begun, endings, files
from tests.journeys.listening import Shelf
from tests.journeys.scene import Asterisks, Scene, opened
from tests.peers.hearing import RATE, Audio, find
from tests.peers.keytap import Keytap
from tests.peers.world import LiveCall

Ended = Callable[[str], Awaitable[dict[str, Any]]]

CALLS = 50
TEXT = "One moment, please."
SECONDS = 2.5
ALIKE = 0.35
"""On a busy machine a packet comes late now and then: the largest part of a file is found then. Noises of
other seeds score 0.1 at most.
"""


def noise(number: int) -> Audio:
    """What the file of a call sounds like: within the band of a telephone, and like no other one."""
    samples = np.random.default_rng(number).normal(size=round(SECONDS * RATE))
    spectrum = np.fft.rfft(samples)
    hertz = np.fft.rfftfreq(len(samples), 1 / RATE)
    spectrum[(hertz < 400) | (hertz > 3_000)] = 0
    return np.asarray(0.1 * np.fft.irfft(spectrum, len(samples)), np.float32)


def wav(samples: Audio) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="WAV")
    return file.getvalue()


async def five_actions(
    scene: Scene, ended: Ended, caller: str, number: int, url: str
) -> tuple[str, list[str]]:
    """A recording, a file, a text with keys in it, and the file again; the call, and the actions in order."""
    call = str((await scene.trunx.row(caller, ended=False))["id"])
    recording = await begun(scene, call, "record", format="wav")
    first = await begun(scene, call, "play", url=f"{url}/c{number}.wav")
    await ended(first)
    text = await begun(scene, call, "speak", text=TEXT)
    keys = await begun(scene, call, "dtmf", digits=f"{number:02}#")  # Asterisk is silent while one sounds
    await asyncio.gather(ended(text), ended(keys))
    again = await begun(scene, call, "play", url=f"{url}/c{number}.wav")
    await ended(again)
    status, stopped = await act(scene, call, "record", method="DELETE")
    assert (status, stopped["status"]) == (200, "stopped"), stopped
    return call, [recording, first, text, keys, again]


async def test_fifty_calls_with_five_actions_each(asterisks: Asterisks, tmp_path: Path) -> None:
    """1. Fifty callers hear a menu. 2. On each of their calls all five actions are asked for. 3. Each hears
    her own file twice and nobody else's, and gets her own keys in order; all actions are completed, in the
    order in which they were asked for. 4. Nobody has left the menu.
    """
    pbx, _ = asterisks
    settings = {
        "ami_url": pbx.ami_url,
        "recordings_url": (pbx.folder / "spool" / "monitor").as_uri(),
        "webhook_private": "1",
    }
    async with opened(asterisks, tmp_path, **settings) as scene:
        shelf, did = Shelf(scene.pbx, scene.trunx.account), scene.new_did()
        nodes: dict[str, Any] = {
            "ask": {"audio": shelf.say("many-actions", "vm-goodbye"), "timeout": 100, "gather": {"1": "bye"}},
            "bye": {"action": "hangup"},
        }
        await scene.trunx.publish("many-actions", did, nodes)
        # A voice takes seconds for its first words, which all would wait for.
        status, spoken = await scene.trunx.ask("POST", "/audio", {"name": "text", "text": TEXT})
        assert status == 201, spoken
        some = {f"c{number}": wav(noise(number)) for number in range(CALLS)}
        async with files(**some) as url, endings(scene) as ended:
            with Keytap(scene.world.ports.rtp) as tap:
                callers = [scene.new_caller() for _ in range(CALLS)]
                lives = [scene.world.dial(did, caller) for caller in callers]
                assert all(await asyncio.gather(*(live.answered() for live in lives)))
                done = await asyncio.gather(
                    *(
                        five_actions(scene, ended, caller, number, url)
                        for number, caller in enumerate(callers)
                    )
                )
                heard = [live.heard() for live in lives]
                for number, (live, (call, actions)) in enumerate(zip(lives, done, strict=True)):
                    _, listed = await act(scene, call, "actions", method="GET")
                    kept = [(one["action_uuid"], one["status"]) for one in listed["actions"]]
                    assert kept == [(action, "completed") for action in actions], listed
                    own = find(noise(number), heard[number], ALIKE)
                    assert len(own) == 2, (number, own)
                    assert not find(noise((number + 1) % CALLS), heard[number], ALIKE), number
                    assert "".join(key.key for key in tap.keys(_port(live))) == f"{number:02}#"
                    assert not live.ended
        await asyncio.gather(*(live.hangup() for live in lives))
        await scene.no_channels()


def _port(live: LiveCall) -> int:
    return live._answered_at()[1]
