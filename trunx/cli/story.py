"""Tells a simulated call as it happens: which node, which prompt with its words, which key.

The wire names sounds and keys only. Which node the caller stands at is known by walking the same tree beside
the server with the domain's `Walk`, fed with what the caller did.
"""

from collections.abc import Callable
from time import monotonic
from typing import assert_never

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from agi.caller import Answered, Dialled, Dialling, Ended, Happening, Playing, Took, Waiting
from sounds import ENGINE
from trunx.domain.ivr import Fate, Gather, Hangup, Node, Suppress, Transfer
from trunx.domain.records import Line
from trunx.domain.walk import GiveUp, Outcome, Over, Pressed, Return, Say, Silent, Visit, Walk
from trunx.engine.speaking import STOCK_BEEP

_SAYS = {Say.INVALID: ENGINE["invalid"].sound, Say.NO_INPUT: ENGINE["no-input"].sound}
# What the engine says of its own at a transfer that is still being made.
_MEANWHILE = {ENGINE["message-missing"].sound, ENGINE["connecting"].sound, STOCK_BEEP}
_ENDS = {
    "ANSWER": ("they have talked", Fate.PERSON_LEFT),
    "BUSY": ("busy", Fate.BUSY),
    "NOANSWER": ("nobody answers", Fate.NO_ANSWER),
}
_FAILED = ("nobody is reached", Fate.FAILED)
_INDENT = 9
_KINDS: dict[type[Node], str] = {
    Gather: "waits for a key",
    Transfer: "transfer",
    Hangup: "hangup",
    Suppress: "suppress",
}


class Story:
    """The observer of one call. `line` is what stands behind the number, as far as it is known.

    `words` gives what is said in a sound; `on_menu` is called when a menu's prompt begins; times are the
    caller's own, which pass `speed` times faster than ours.
    """

    def __init__(
        self,
        line: Line | None,
        words: Callable[[str], str | None],
        on_menu: Callable[[], None],
        *,
        console: Console,
        speed: float,
    ) -> None:
        self._line = line
        self._walk = None if line is None or line.tree is None else Walk(line.tree)
        self._words = words
        self._on_menu = on_menu
        self._console = console
        self._speed = speed
        self._began = monotonic()
        self._preface: set[str] = set()  # the sounds that may come before the menu
        self._before: set[str] = set()  # those that may come before a transfer is made
        self._in_menu = False
        self._waits = False

    def observe(self, happening: Happening) -> None:
        """Prints what happened, and what it means for the walk."""
        match happening:
            case Answered():
                self._began = monotonic()
                self._tell("answered")
                if self._walk is not None:
                    self._enter(self._walk.begin())
            case Playing(sound, seconds):
                self._goes_on(sound)
                self._plays(sound, seconds)
            case Waiting(seconds):
                self._waits = True
                self._more(f"waits {seconds:g} s for a key")
            case Took(key):
                node = None if self._walk is None else self._walk.node
                stray = isinstance(node, Gather) and key not in node.keys
                self._tell(f"key {key}{', which this menu does not have' if stray else ''}", "bold yellow")
                self._go(Pressed(key))
            case Dialling(target, patience, _):
                self._more(f"calls {target} for {patience:g} s")
            case Dialled(_, status):
                self._back(*_ENDS.get(status, _FAILED))
            case Ended():
                pass  # the command tells the end, with what the database knows of it
            case _:
                assert_never(happening)

    @property
    def seconds(self) -> float:
        """Since the answer, or since the call was placed; the caller's time."""
        return (monotonic() - self._began) * self._speed

    def _go(self, outcome: Outcome) -> None:
        self._waits = False
        if self._walk is None or not isinstance(self._walk.node, Gather):
            return  # a key that ends an announcement leads nowhere
        self._follow(self._walk.after(outcome))

    def _goes_on(self, sound: str) -> None:
        """What it means for the walk that this is played now."""
        if self._waits:
            self._tell("no key")
            self._go(Silent())
        elif self._stands_at_transfer() and sound not in self._before:
            self._back(*_FAILED)  # without a Dial: there was nobody to call

    def _stands_at_transfer(self) -> bool:
        return self._walk is not None and isinstance(self._walk.node, Transfer)

    def _back(self, told: str, fate: Fate) -> None:
        """The caller is back from a transfer."""
        self._tell(told)
        if self._walk is not None and isinstance(self._walk.node, Transfer):
            self._follow(self._walk.back(fate))

    def _follow(self, move: Return) -> None:
        match move:
            case Visit():
                self._enter(move)
            case GiveUp():
                self._tell("too many steps" if move.step_limit else "attempts used up", "bold")
                self._walk = None
            case Over():
                self._walk = None
            case _:
                assert_never(move)

    def _enter(self, visit: Visit) -> None:
        self._preface.clear()
        if visit.preface is not None:
            self._preface.add(_SAYS[visit.preface.say])
            if self._line is not None and visit.preface.audio is not None:
                self._preface.add(self._line.sound(visit.preface.audio))
        self._before = self._preface | _MEANWHILE
        if self._line is not None and visit.node.audio is not None:
            self._before.add(self._line.sound(visit.node.audio))
        self._in_menu = False
        stamp = f"{self.seconds:6.1f}s  "
        kind = _KINDS[type(visit.node)]
        self._console.print(Text.assemble((stamp, "dim"), (visit.node.name, "bold green"), f"  {kind}"))

    def _plays(self, sound: str, seconds: float | None) -> None:
        if seconds is None:
            self._more(f"{sound}: there is no such sound", "red")
        else:
            self._more(f"{sound}, {seconds:.1f} s")
            words = self._words(sound)
            if words is not None:
                self._more(f'"{words}"', "italic")
        if self._is_menu(sound) and seconds is not None:
            self._on_menu()

    def _is_menu(self, sound: str) -> bool:
        """Whether a key pressed now answers the menu: it plays itself, or what the engine has instead."""
        node = None if self._walk is None else self._walk.node
        if self._line is None or not isinstance(node, Gather):
            return False
        if sound in self._preface:
            self._preface.remove(sound)
        elif sound == self._line.sound(node.audio):
            self._in_menu = True
        return self._in_menu

    def _tell(self, text: str, style: str = "") -> None:
        self._console.print(Text.assemble((f"{self.seconds:6.1f}s  ", "dim"), (text, style)))

    def _more(self, text: str, style: str = "dim") -> None:
        self._console.print(Padding(Text(text, style), (0, 0, 0, _INDENT), expand=False))
