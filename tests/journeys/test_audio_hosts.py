"""Journeys of sounds on their way to Asterisk: by SFTP, to a host that is down, to one that lost some."""

from __future__ import annotations

import getpass
import time
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.listening import is_exactly, names, seconds, shipped, told
from tests.journeys.scene import SOON, Asterisks, Scene, opened
from tests.journeys.server import Trunx, eventually, left
from tests.journeys.test_audio_names import failures_of
from tests.peers.hearing import Audio
from tests.peers.ssh import OpenSsh, started
from tests.peers.world import LiveCall

LONGEST_BACKOFF = 30.0
"""Seconds after which a host that was down is tried again at the latest."""


def states(audio: dict[str, Any]) -> dict[str, str]:
    """How a sound is on each host."""
    return {host["host"]: host["state"] for host in audio["staged"]}


async def announces(scene: Scene, did: str, prompt: str, sound: Audio) -> dict[str, Any]:
    """A call to a tree that says one thing and hangs up; the caller hears just that, whole. Its only step."""
    caller = scene.new_caller()
    heard = await scene.world.call(did, caller)
    (one,) = told(heard.audio, {prompt: sound})
    assert (one.prompt, heard.ended_by) == (prompt, "far")
    assert one.at < SOON
    assert one.seconds == pytest.approx(seconds(sound), abs=0.1)
    assert is_exactly(sound, heard.audio, one.at)
    (step,) = await scene.trunx.steps_of(await scene.trunx.row(caller))
    return step


async def test_sounds_go_to_asterisk_by_sftp(asterisks: Asterisks, tmp_path: Path) -> None:
    """1. Asterisk's machine is reached by SSH, another host's folder directly. 2. A text for a tree is staged
    on both; a caller hears it. 3. The SSH server dies: a new text is ready all the same, and the answer says
    where it is and where not. 4. A caller hears the engine's own words for that node, presses 1, which
    counts, and hears what had been staged before. 5. The SSH server is back: without anybody's doing the text
    gets there, and the next caller hears it.
    """
    pbx, other = asterisks[0], tmp_path / "other"
    async with started(OpenSsh(tmp_path / "ssh")) as ssh:
        here = f"sftp://127.0.0.1:{ssh.port}{pbx.sounds}"
        settings = {
            "sounds_url": f"{here.replace('//', f'//{getpass.getuser()}@')},{other.as_uri()}",
            "ssh_known_hosts": str(ssh.known_hosts),
            "ssh_keys": str(ssh.key),
        }
        async with opened(asterisks, tmp_path / "data", **settings) as scene:
            trunx, did = scene.trunx, scene.new_did()
            nodes = {
                "menu": {"audio": "none.wav", "gather": {"1": "end"}},
                "end": {"action": "hangup", "audio": "none.wav"},
            }
            await trunx.publish("far", did, nodes)
            end = await speak(trunx, "end", "Our machines are in two towns. Good luck, and good bye.")
            assert states(end) == {here: "staged", other.as_uri(): "staged"}
            bye = await trunx.sound(end["id"])

            await ssh.kill()
            began = time.monotonic()
            menu = await speak(trunx, "menu", "For the harbour master press 1. For everybody else, stay.")
            print(f"made in {time.monotonic() - began:.1f} s while a host is down: {menu['staged']}")
            assert states(menu) == {here: "pending", other.as_uri(): "staged"}
            assert [bool(host["problem"]) for host in menu["staged"]] == [True, False]
            asked = await trunx.sound(menu["id"])
            caller = scene.new_caller()

            async def presses_in_our_words(call: LiveCall) -> None:
                said = await call.hears(shipped()["menu-missing"], within=5, head=2.0)
                await call.until(said + 2.5)
                await call.press("1")

            heard = await scene.world.call(did, caller, keys=presses_in_our_words)
            story = told(heard.audio, {"menu": asked, "end": bye})
            assert (names(story), heard.ended_by) == (["menu-missing", "end"], "far")
            assert story[0].at < SOON
            row = await trunx.row(caller)
            steps = await trunx.steps_of(row)
            assert left(steps) == [("menu", "key", "1"), ("end", "done", None)]
            assert [step["fallback"] for step in steps] == [True, False]
            assert await failures_of(trunx, row) == ["menu"]

            await ssh.start()
            began = time.monotonic()

            async def is_everywhere() -> bool | None:
                audio = await trunx.get(f"/audio/{menu['id']}")
                return set(states(audio).values()) == {"staged"} or None

            await eventually(is_everywhere, LONGEST_BACKOFF)
            print(f"caught up {time.monotonic() - began:.1f} s after the host was back")
            caller = scene.new_caller()

            async def presses_in_the_menu(call: LiveCall) -> None:
                said = await call.hears(asked, within=2)
                await call.until(said + 2)
                await call.press("1")

            heard = await scene.world.call(did, caller, keys=presses_in_the_menu)
            story = told(heard.audio, {"menu": asked, "end": bye})
            assert (names(story), heard.ended_by) == (["menu", "end"], "far")
            assert is_exactly(asked, heard.audio, story[0].at)
            assert is_exactly(bye, heard.audio, story[1].at)


async def speak(trunx: Trunx, node: str, text: str) -> dict[str, Any]:
    """A text for a node of the tree; the answer."""
    status, audio = await trunx.ask("POST", "/ivr/far/audio", {"node": node, "text": text})
    assert (status, audio["status"]) == (201, "ready"), audio
    return dict(audio)


async def test_asterisk_has_lost_a_sound(scene: Scene) -> None:
    """1. A caller hears an upload. 2. Its files vanish from Asterisk's folder: the next caller hears the
    engine's own words, and the fact is in the step and an event. 3. The operator runs `trunx audio sync`: it
    says that it brought one, and the next caller hears it.
    """
    trunx, did = scene.trunx, scene.new_did()
    made = await trunx.upload(scene.shelf.wav("digits/6", "digits/0", "digits/6", "digits/0"), "lost.wav")
    sound = await trunx.sound(made["id"])
    await trunx.publish("lost", did, {"only": {"action": "hangup", "audio": "lost.wav"}})
    assert not (await announces(scene, did, "lost", sound))["fallback"]

    ours = await trunx.file(made["id"], "ulaw")
    folder = scene.pbx.sounds / "trunx" / "audio"
    (played,) = (path for path in folder.glob("*.ulaw") if path.read_bytes() == ours)
    for path in folder.glob(f"{played.stem}.*"):
        path.unlink()
    assert (await announces(scene, did, "message-missing", shipped()["message-missing"]))["fallback"]
    rows = (await trunx.get("/api/voice", to=did))["calls"]
    assert [await failures_of(trunx, row) for row in rows] == [["only"], []]

    code, printed = await trunx.command("audio", "sync")
    assert (code, printed) == (0, f"{scene.pbx.sounds.as_uri()}: 1 brought, 0 removed, 0 missing\n")
    assert not (await announces(scene, did, "lost", sound))["fallback"]
