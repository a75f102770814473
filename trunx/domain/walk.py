"""One caller's way through one tree: where each outcome leads. Pure; the engine does what it says.

Every walk ends: a valid key is the only thing that clears the counters, so silence and wrong keys run out of
attempts, transfers run out of exits, and valid keys run out of steps.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from trunx.domain.ivr import Fate, Gather, Node, Transfer, Tree

STEP_LIMIT = 1_000


class Say(StrEnum):
    """What the engine says of its own between nodes; the audio room knows the words."""

    INVALID = "invalid"
    NO_INPUT = "no-input"


@dataclass(frozen=True, slots=True)
class Pressed:
    """The caller pressed `key`."""

    key: str


@dataclass(frozen=True, slots=True)
class Silent:
    """No key came in time."""


Outcome = Pressed | Silent


@dataclass(frozen=True, slots=True)
class Preface:
    """Said before a node's own prompt: the `audio` that the node just `left` names for it, else `say`."""

    say: Say
    left: str
    audio: str | None


@dataclass(frozen=True, slots=True)
class Visit:
    """Go to `node`, after its `preface` if there is one."""

    node: Node
    preface: Preface | None = None


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Say goodbye and hang up: attempts are used up, or the walk took too many steps."""

    step_limit: bool


@dataclass(frozen=True, slots=True)
class Over:
    """Nothing follows what became of the transfer."""

    fate: Fate


Move = Visit | GiveUp
Return = Visit | GiveUp | Over


class Walk:
    """The state of one walk: the node it stands at, its counters, and how many nodes it has entered."""

    __slots__ = ("_exits_taken", "_invalid", "_silent", "_tree", "node", "steps")

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._silent: dict[str, int] = {}
        self._invalid: dict[str, int] = {}
        self._exits_taken: set[str] = set()
        self.node: Node = tree.nodes[tree.start]
        self.steps = 1

    def begin(self) -> Visit:
        """The first node of the call."""
        return Visit(self.node)

    def after(self, outcome: Outcome) -> Move:
        """Where to go from the gather node the walk stands at.

        Raises:
            TypeError: the walk stands at an action.
        """
        node = self.node
        if not isinstance(node, Gather):
            raise TypeError(f"{node.name!r} is an action, where no key is waited for")
        match outcome:
            case Pressed(key) if key in node.keys:
                return self._enter_by_key(node.keys[key])
            case Pressed():
                if self._used_up(self._invalid, node):
                    return self._exhausted(node)
                return self._enter(node.name, Preface(Say.INVALID, node.name, node.invalid_audio))
            case Silent():
                if self._used_up(self._silent, node):
                    return self._exhausted(node)
                spoken = node.timeout_audio is not None or node.timeout_node == node.name
                preface = Preface(Say.NO_INPUT, node.name, node.timeout_audio) if spoken else None
                return self._enter(node.timeout_node, preface)
            case _:
                assert_never(outcome)

    def back(self, came: Fate | Pressed) -> Return:
        """Where to go from the transfer node the walk stands at, as the caller is there again: by what became
        of it, or by the key of its `zero_out`.

        An exit of a transfer is taken once until a valid key is pressed, as that of a gather node is: nobody
        is called over and over for a caller who has left the telephone lying.

        Raises:
            TypeError: the walk stands at another node, or that key leads nowhere.
        """
        node = self.node
        if not isinstance(node, Transfer):
            raise TypeError(f"{node.name!r} is no transfer")
        if isinstance(came, Pressed):
            if node.zero_out is None or node.zero_out[0] != came.key:
                raise TypeError(f"{came.key!r} leads nowhere from {node.name!r}")
            return self._enter_by_key(node.zero_out[1])
        following = node.exit(came)
        if following is None or node.name in self._exits_taken:
            return Over(came)
        self._exits_taken.add(node.name)
        return self._enter(following)

    def _enter_by_key(self, name: str) -> Move:
        self._silent.clear()
        self._invalid.clear()
        self._exits_taken.clear()
        return self._enter(name)

    def _used_up(self, counter: dict[str, int], node: Gather) -> bool:
        counter[node.name] = counter.get(node.name, 0) + 1
        return counter[node.name] >= node.attempts

    def _exhausted(self, node: Gather) -> Move:
        if node.exhausted_node is None or node.name in self._exits_taken:
            return GiveUp(step_limit=False)
        # The node starts afresh when the walk comes back to it: the exit was taken, as the author asked. But
        # once only: exits that lead back would keep a silent line open for hours.
        self._exits_taken.add(node.name)
        self._silent.pop(node.name, None)
        self._invalid.pop(node.name, None)
        return self._enter(node.exhausted_node)

    def _enter(self, name: str, preface: Preface | None = None) -> Move:
        if self.steps >= STEP_LIMIT:
            return GiveUp(step_limit=True)
        self.steps += 1
        self.node = self._tree.nodes[name]
        return Visit(self.node, preface)
