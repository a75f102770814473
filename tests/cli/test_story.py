"""What `trunx call` tells of a call, without one."""

from io import StringIO

from rich.console import Console

from agi.caller import Answered, Playing, Took, Waiting
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
