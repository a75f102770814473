"""Fifty live calls, five actions on each of them at once: nobody hears what was meant for another."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np

from tests.journeys.acted_upon import act, begun, files, over
from tests.journeys.listening import Shelf
from tests.journeys.scene import Asterisks, Scene, opened
from tests.peers.hearing import Audio, find, load_gsm
from tests.peers.keytap import Keytap
from tests.peers.world import LiveCall

CALLS = 50
HEAD = 2.0
"""Seconds of a file by which it is known: the four digits that it says are those of one call."""


def digits_of(number: int) -> list[str]:
    return [f"digits/{digit}" for digit in f"{number:02}{(7 * number + 31) % 100:02}"]


def said(scene: Scene, number: int) -> Audio:
    """What the file of a call says."""
    core = scene.world.sounds / "en"
    return np.concatenate([load_gsm(core / f"{name}.gsm") for name in digits_of(number)])


async def five_actions(scene: Scene, caller: str, number: int, url: str) -> tuple[str, list[str]]:
    """A recording, a file, keys, a text, and the file again; the call, and the actions in order."""
    call = str((await scene.trunx.row(caller, ended=False))["id"])
    recording = await begun(scene, call, "record", format="wav")
    first = await begun(scene, call, "play", url=f"{url}/c{number}.wav")
    keys = await begun(scene, call, "dtmf", digits=f"{number:02}#")
    await over(scene, call, first)
    text = await begun(scene, call, "speak", text="One moment, please.")
    await over(scene, call, text)
    again = await begun(scene, call, "play", url=f"{url}/c{number}.wav")
    await over(scene, call, again)
    status, stopped = await act(scene, call, "record", method="DELETE")
    assert (status, stopped["status"]) == (200, "stopped"), stopped
    return call, [recording, first, keys, text, again]


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
            "ask": {"audio": shelf.digits("many-actions", "555"), "timeout": 100, "gather": {"1": "bye"}},
            "bye": {"action": "hangup"},
        }
        await scene.trunx.publish("many-actions", did, nodes)
        some = {f"c{number}": shelf.wav(*digits_of(number)) for number in range(CALLS)}
        async with files(**some) as url:
            with Keytap(scene.world.ports.rtp) as tap:
                callers = [scene.new_caller() for _ in range(CALLS)]
                lives = [scene.world.dial(did, caller) for caller in callers]
                assert all(await asyncio.gather(*(live.answered() for live in lives)))
                done = await asyncio.gather(
                    *(five_actions(scene, caller, number, url) for number, caller in enumerate(callers))
                )
            heard = [live.heard() for live in lives]
            for number, (live, (call, actions)) in enumerate(zip(lives, done, strict=True)):
                _, listed = await act(scene, call, "actions", method="GET")
                kept = [(one["action_uuid"], one["status"]) for one in listed["actions"]]
                assert kept == [(action, "completed") for action in actions], listed
                own = find(said(scene, number), heard[number], 0.7, HEAD)
                assert len(own) == 2, (number, own)
                other = said(scene, (number + 1) % CALLS)
                assert not find(other, heard[number], 0.7, HEAD), number
                assert "".join(key.key for key in tap.keys(_port(live))) == f"{number:02}#"
                assert not live.ended
        await asyncio.gather(*(live.hangup() for live in lives))
        await scene.no_channels()


def _port(live: LiveCall) -> int:
    return live._answered_at()[1]
