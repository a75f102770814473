"""What `trunx call` tells of a call, without one."""

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from agi.caller import Answered, Dialled, Dialling, Happening, Playing, Took, Waiting
from sounds import ENGINE
from tests.domain.samples import gather, nodes, tree
from trunx.cli.story import Story
from trunx.domain.records import Line

SOUND = "trunx/audio/0123456789abcdef0123456789abcdef"


def test_the_words_of_an_asset() -> None:
    """A menu is known by the sound behind its audio, and so is what is said after a wrong key."""
    menu = gather({"1": "menu"}, audio="Main menu", invalid_audio="aud_1")
    sounds = {"Main menu": SOUND, "aud_1": "trunx/audio/f0"}
    line = Line("MA1", "test", 1, tree(nodes(menu=menu)), sounds)
    words = {SOUND: "For sales, press one.", "trunx/audio/f0": "That is no choice."}
    said, menus = StringIO(), list[str]()
    story = Story(
        line, words.get, lambda: menus.append("menu"), console=Console(file=said, width=100), speed=1
    )
    for happening in (
        Answered(),
        Playing(SOUND, 2.0),
        Waiting(5),
        Took("7"),
        Playing("trunx/audio/f0", 1.0),
        Playing(SOUND, None),
        Playing(ENGINE["menu-missing"].sound, 2.0),
    ):
        story.observe(happening)
    told = said.getvalue()
    assert told.index('"For sales, press one."') < told.index("key 7") < told.index('"That is no choice."')
    assert f"{SOUND}: there is no such sound" in told
    assert menus == ["menu", "menu"], "the menu, and the stand-in of the one that is not there"


PERSON = {"action": "transfer", "to": "+14155552671", "audio": "one-moment.wav"}
DESK = "PJSIP/+14155552671@trunx-trunk"
MOMENT, MENU = "trunx/audio/aa", "trunx/audio/bb"


def _told(node: dict[str, Any], *happened: Happening) -> str:
    document = nodes(call=node, menu=gather({"1": "menu"}), fail=gather(audio="other.wav"))
    sounds = {"one-moment.wav": MOMENT, "menu.wav": MENU, "other.wav": "trunx/audio/cc"}
    said = StringIO()
    line = Line("MA1", "test", 1, tree(document), sounds)
    story = Story(line, dict[str, str]().get, lambda: None, console=Console(file=said, width=100), speed=1)
    for happening in (Answered(), *happened):
        story.observe(happening)
    return said.getvalue()


@pytest.mark.parametrize(
    ("status", "told", "node"),
    [
        ("ANSWER", "they have talked", "menu"),
        ("BUSY", "busy", "fail"),
        ("NOANSWER", "nobody answers", "fail"),
        ("CHANUNAVAIL", "nobody is reached", "fail"),
    ],
)
def test_a_transfer_and_what_follows(status: str, told: str, node: str) -> None:
    said = _told(
        {**PERSON, "return_node": "menu", "fail_node": "fail"},
        Playing(MOMENT, 1.0),
        Playing(ENGINE["connecting"].sound, 3.1),
        Dialling(DESK, 30, "gr"),
        Dialled(DESK, status),
    )
    assert said.index("call  transfer") < said.index(f"calls {DESK} for 30 s") < said.index(told)
    assert said.index(told) < said.index(f"{node}  waits for a key")


def test_a_transfer_for_which_nobody_was_called() -> None:
    """The gate has refused it, or there is no agent: what is played next tells so."""
    said = _told({**PERSON, "fail_node": "menu"}, Playing(MOMENT, 1.0), Playing(MENU, 2.0))
    assert (
        said.index("nobody is reached") < said.index("menu  waits for a key") < said.index(f"{MENU}, 2.0 s")
    )
    said = _told(
        PERSON, Playing(ENGINE["message-missing"].sound, 1.0), Playing(ENGINE["unavailable"].sound, 1.0)
    )
    assert said.index("message-missing") < said.index("nobody is reached") < said.index("unavailable")
