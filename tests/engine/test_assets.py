"""What a call plays for an account's audio, and what it still plays when that was deleted meanwhile."""

import asyncio

from agi.caller import Waiting
from sounds import ENGINE
from tests.adapters.shelf_of_audio import AudioShelf, sound
from tests.domain.samples import gather, nodes
from tests.engine.conftest import Engine
from trunx.domain.audio import Audio
from trunx.domain.sound import sound_name

MENU_MISSING = ENGINE["menu-missing"].sound
INVALID = ENGINE["invalid"].sound
SECONDS = bytes(8_000)


async def _ready(engine: Engine, name: str) -> Audio:
    """An audio of the account whose sound Asterisk has."""
    audio = await AudioShelf(engine.database).ready(engine.account, name)
    engine.put(sound(audio.id).name, SECONDS)
    return audio


async def test_each_prompt_of_a_tree_is_the_sound_behind_its_name(engine: Engine) -> None:
    """By name and by id; a name without an asset is a file that an operator put there."""
    menu, wrong, bye = [await _ready(engine, name) for name in ("Main menu", "Wrong key", "Goodbye")]
    tree = nodes(
        menu=gather({"1": "bye"}, audio="Main menu", invalid_audio=wrong.id, timeout_audio="by_hand.wav"),
        bye={"action": "hangup", "audio": "Goodbye"},
    )
    await engine.publish(tree)
    phone = await engine.dial(does="7.1")
    played = [sound(audio.id).name for audio in (menu, wrong, menu)]
    by_hand = sound_name(engine.account, "by_hand.wav")
    assert phone.heard == [*played, by_hand, sound(menu.id).name, sound(bye.id).name]
    assert [step.fallback for step in (await engine.kept()).steps] == [False] * 4


async def test_a_live_call_plays_what_it_was_told_of(engine: Engine) -> None:
    """The audio is deleted and the tree changed in the middle of a call: only the next call hears of it."""
    menu = await _ready(engine, "Main menu")
    menu_node = gather({"1": "bye"}, audio="Main menu", timeout=120)
    await engine.publish(nodes(menu=menu_node, bye={"action": "hangup"}))
    # What `publish` staged under the name must not help out.
    (engine.sounds.root / f"{engine.sound('Main menu')}.ulaw").unlink()
    engine.sounds._known.clear()
    phone = engine.phone(speed=20)
    calling = asyncio.create_task(phone.call(engine.server.port))
    await phone.until(Waiting)
    await engine.lines.publish(await AudioShelf(engine.database).audios.delete(engine.account, menu.id))
    phone.caller.press("5")
    await phone.until(Waiting)
    phone.caller.press("1")
    assert await calling == "server"
    played = sound(menu.id).name
    assert phone.heard == [played, INVALID, played]
    assert (await engine.dial(does="1")).heard == [MENU_MISSING]


async def test_a_sound_that_this_asterisk_does_not_have(engine: Engine) -> None:
    audio = await AudioShelf(engine.database).ready(engine.account, "Main menu")
    await engine.publish(nodes(menu=gather({"1": "bye"}, audio="Main menu"), bye={"action": "hangup"}))
    phone = await engine.dial(does="1")
    name = sound(audio.id).name
    assert phone.sounds == [name, MENU_MISSING]
    kept = await engine.kept()
    assert [event.data for event in kept.events] == [{"node": "menu", "audio": "Main menu", "sound": name}]
