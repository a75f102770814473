"""Where each outcome leads. Storyboards read: what the caller does, and where that leads."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.domain.samples import CONTRACT, KEYS, documents, gather, nodes, tree
from trunx.domain.ivr import Fate, Gather, Hangup, Suppress, Transfer, Tree
from trunx.domain.strict_json import loads
from trunx.domain.walk import (
    STEP_LIMIT,
    GiveUp,
    Move,
    Over,
    Preface,
    Pressed,
    Return,
    Say,
    Silent,
    Visit,
    Walk,
)

HANGUP = {"action": "hangup"}
GOODBYE = GiveUp(step_limit=False)
LIMIT = GiveUp(step_limit=True)
NOTHING = "."


def _story(built: Tree, does: str) -> list[str]:
    """The names of the nodes that a caller passes who presses these keys (`.` is silence)."""
    walk = Walk(built)
    names = [walk.begin().node.name]
    for act in does:
        move = walk.after(Silent() if act == NOTHING else Pressed(act))
        if isinstance(move, GiveUp):
            return [*names, "step limit" if move.step_limit else "goodbye"]
        names.append(move.node.name)
    return names


def _prefaces(built: Tree, does: str) -> list[Preface | None]:
    walk = Walk(built)
    moves: list[Move] = [walk.after(Silent() if act == NOTHING else Pressed(act)) for act in does]
    return [move.preface if isinstance(move, Visit) else None for move in moves]


@pytest.mark.parametrize(
    ("does", "passes"),
    [
        ("11", "welcome has_business transfer_ai"),
        ("12", "welcome has_business unqualified"),
        ("9", "welcome dnc"),
        ("...", "welcome welcome welcome goodbye"),
        ("555", "welcome welcome welcome goodbye"),
        ("5.5.", "welcome welcome welcome welcome welcome"),
        ("5.5..", "welcome welcome welcome welcome welcome goodbye"),
        ("5.5.5", "welcome welcome welcome welcome welcome goodbye"),
        ("..1..1", "welcome welcome welcome has_business has_business has_business transfer_ai"),
        ("1...", "welcome has_business has_business has_business goodbye"),
    ],
)
def test_the_contract_s_tree(does: str, passes: str) -> None:
    assert _story(tree(loads(CONTRACT)), does) == passes.split()


def test_what_is_said_before_the_menu_again() -> None:
    built = tree(nodes(a=gather({"1": "b"}), b=HANGUP))
    assert _prefaces(built, ".5") == [Preface(Say.NO_INPUT, "a", None), Preface(Say.INVALID, "a", None)]
    built = tree(nodes(a=gather({"1": "b"}, timeout_audio="t", invalid_audio="i"), b=HANGUP))
    assert _prefaces(built, ".5") == [Preface(Say.NO_INPUT, "a", "t"), Preface(Say.INVALID, "a", "i")]
    assert _prefaces(built, "1") == [None]


def test_a_timeout_node_speaks_for_itself() -> None:
    assert _prefaces(tree(nodes(a=gather(timeout_node="b"), b=HANGUP)), NOTHING) == [None]
    built = tree(nodes(a=gather(timeout_node="b", timeout_audio="t"), b=HANGUP))
    assert _prefaces(built, NOTHING) == [Preface(Say.NO_INPUT, "a", "t")]


def test_an_exhausted_node_follows_without_a_word() -> None:
    built = tree(nodes(a=gather(attempts=1, exhausted_node="b", timeout_audio="t"), b=HANGUP))
    assert _story(built, NOTHING) == ["a", "b"]
    assert _prefaces(built, NOTHING) == [None]
    assert _story(built, "5") == ["a", "b"]


@pytest.mark.parametrize(
    ("document", "does", "passes"),
    [
        # Silence and wrong keys are counted apart ...
        (nodes(a=gather(attempts=2)), "5.", "a a a"),
        (nodes(a=gather(attempts=2)), "5..", "a a a goodbye"),
        (nodes(a=gather(attempts=2)), ".55", "a a a goodbye"),
        (nodes(a=gather(attempts=1)), ".", "a goodbye"),
        # ... and for each node.
        (
            nodes(a=gather(attempts=2, timeout_node="b"), b=gather(attempts=3, timeout_node="a")),
            "....",
            "a b a goodbye",
        ),
        (
            nodes(a=gather(attempts=3, timeout_node="b"), b=gather(attempts=2, timeout_node="a")),
            "....",
            "a b a b goodbye",
        ),
        # A valid key clears all of them.
        (nodes(a=gather({"1": "b"}, attempts=2), b=gather({"1": "a"})), ".51.51.", "a a a b b b a a"),
        (nodes(a=gather({"1": "a"}, attempts=2)), ".1.1.1..", "a a a a a a a a goodbye"),
        # A wrong key leaves the silence counted before it in force.
        (nodes(a=gather({"1": "a"}, attempts=3)), ".5.5.", "a a a a a goodbye"),
        # A timeout_node may be an action.
        (nodes(a=gather(timeout_node="b"), b=HANGUP), ".", "a b"),
        # Exits lead on; the node counts anew when a valid key brings the caller back ...
        (
            nodes(a=gather(attempts=2, exhausted_node="b"), b=gather({"1": "a"})),
            "..1..1",
            "a a b a a b a",
        ),
        # ... and an exit that leads back by silence alone is taken once.
        (nodes(a=gather(attempts=2, exhausted_node="a")), ".....", "a a a a goodbye"),
        (
            nodes(a=gather(attempts=1, exhausted_node="b"), b=gather(attempts=1, exhausted_node="a")),
            "......",
            "a b a goodbye",
        ),
        (nodes(a=gather({"1": "a"}, attempts=1, exhausted_node="a")), "..", "a a goodbye"),
        (nodes(a=gather({"1": "a"}, attempts=1, exhausted_node="a")), ".1.1.1", "a a a a a a a"),
    ],
)
def test_attempts(document: dict[str, Any], does: str, passes: str) -> None:
    assert _story(tree(document), does) == passes.split()


@pytest.mark.parametrize("key", KEYS)
def test_every_key_can_lead_somewhere_and_be_wrong(key: str) -> None:
    built = tree(nodes(a=gather({key: "b"}), b=HANGUP))
    assert _story(built, key) == ["a", "b"]
    wrong = next(other for other in KEYS if other != key)
    assert _story(built, wrong) == ["a", "a"]


def test_what_no_telephone_has_is_a_wrong_key() -> None:
    assert _story(tree(loads(CONTRACT)), "A") == ["welcome", "welcome"]


def test_keys_that_go_round_meet_the_step_limit() -> None:
    walk = Walk(tree(nodes(a=gather({"1": "b"}), b=gather({"1": "a"}))))
    moves = [walk.after(Pressed("1")) for _ in range(STEP_LIMIT)]
    assert all(isinstance(move, Visit) for move in moves[:-1])
    assert moves[-1] == LIMIT
    assert walk.steps == STEP_LIMIT


def test_a_walk_that_stands_at_an_action_has_ended() -> None:
    walk = Walk(tree(nodes(a=HANGUP)))
    with pytest.raises(TypeError, match="'a' is an action"):
        walk.after(Silent())


TALKED = [Fate.AGENT_LEFT, Fate.PERSON_LEFT, Fate.TIME_UP]
UNREACHED = [Fate.BUSY, Fate.NO_ANSWER, Fate.BLOCKED, Fate.FAILED]
PERSON = {"action": "transfer", "to": "+14155552671"}
EXITS = {
    "on_busy": "busy",
    "on_no_answer": "late",
    "on_failed": "broken",
    "fail_node": "fail",
    "return_node": "back",
}
LEADS = {
    **dict.fromkeys(TALKED, "back"),
    Fate.BUSY: "busy",
    Fate.NO_ANSWER: "late",
    Fate.BLOCKED: "broken",
    Fate.FAILED: "broken",
}
ENDS = dict.fromkeys(EXITS.values(), HANGUP)


def _after(document: dict[str, Any], fate: Fate) -> str | Fate:
    """Which node follows a transfer at the entry, else what it was that nothing followed."""
    move = Walk(tree(document)).back(fate)
    if isinstance(move, Over):
        return move.fate
    assert isinstance(move, Visit)
    return move.node.name


@pytest.mark.parametrize("fate", Fate)
class TestATransfer:
    def test_leads_where_the_node_says(self, fate: Fate) -> None:
        assert _after(nodes(call={**PERSON, **EXITS}, **ENDS), fate) == LEADS[fate]

    def test_else_to_the_fail_node_if_nobody_was_reached(self, fate: Fate) -> None:
        found = _after(nodes(call={**PERSON, "fail_node": "fail"}, **ENDS), fate)
        assert found == ("fail" if fate in UNREACHED else fate)

    def test_else_it_is_over(self, fate: Fate) -> None:
        assert _after(nodes(call=PERSON), fate) is fate

    def test_an_exit_that_leads_back_is_taken_once_without_a_key(self, fate: Fate) -> None:
        exits = {"fail_node": "call", "return_node": "call"}
        walk = Walk(tree(nodes(call={**PERSON, **exits})))
        assert isinstance(walk.back(fate), Visit)
        assert walk.back(fate) == Over(fate)

    def test_a_key_lets_it_be_taken_again(self, fate: Fate) -> None:
        exits = {"fail_node": "menu", "return_node": "menu"}
        walk = Walk(tree(nodes(menu=gather({"1": "call"}), call={**PERSON, **exits})))
        for _ in range(5):
            walk.after(Pressed("1"))
            assert isinstance(walk.back(fate), Visit)

    def test_counts_among_the_steps(self, fate: Fate) -> None:
        exits = {"fail_node": "menu", "return_node": "menu"}
        walk = Walk(tree(nodes(menu=gather({"1": "call"}), call={**PERSON, **exits})))
        moves: list[Return] = []
        while not moves or isinstance(moves[-1], Visit):
            moves.append(walk.back(fate) if isinstance(walk.node, Transfer) else walk.after(Pressed("1")))
        assert (moves[-1], walk.steps) == (LIMIT, STEP_LIMIT)


def test_zero_out_leads_to_its_node_and_is_a_key_like_any_other() -> None:
    talk = {"action": "transfer", "zero_out": {"0": "menu"}, "return_node": "menu"}
    walk = Walk(tree(nodes(menu=gather({"1": "talk"}, attempts=2), talk=talk)))
    for _ in range(5):
        assert isinstance(walk.after(Silent()), Visit)
        walk.after(Pressed("1"))
        move = walk.back(Pressed("0"))
        assert isinstance(move, Visit)
        assert move.node.name == "menu"


def test_what_cannot_have_become_of_a_transfer() -> None:
    walk = Walk(tree(nodes(talk={"action": "transfer", "zero_out": {"0": "talk"}})))
    with pytest.raises(TypeError, match="'1' leads nowhere"):
        walk.back(Pressed("1"))
    with pytest.raises(TypeError, match="no key is waited for"):
        walk.after(Pressed("0"))
    with pytest.raises(TypeError, match="is no transfer"):
        Walk(tree(nodes(bye=HANGUP))).back(Fate.BUSY)


_ACT = st.sampled_from([*KEYS, "A", NOTHING])
_DOES = st.lists(st.tuples(_ACT, st.sampled_from([*Fate, None])), max_size=60)


def _moves(walk: Walk, act: str, fate: Fate | None) -> Return | None:
    """What follows when the caller does `act` at a menu, and `fate` becomes of a transfer (None: he presses
    the key of `zero_out`); None: the walk stands at its end.
    """
    match walk.node:
        case Gather():
            return walk.after(Silent() if act == NOTHING else Pressed(act))
        case Transfer() as node if fate is None and node.zero_out is not None:
            return walk.back(Pressed(node.zero_out[0]))
        case Transfer():
            return walk.back(fate or Fate.FAILED)
        case Hangup() | Suppress():
            return None


@given(documents(), _DOES)
def test_whatever_happens_leads_to_a_node_of_the_tree_or_out(
    document: dict[str, Any], does: list[tuple[str, Fate | None]]
) -> None:
    built = tree(document)
    walk = Walk(built)
    for entered, (act, fate) in enumerate(does, start=1):
        assert walk.steps == entered
        assert walk.node is built.nodes[walk.node.name]
        move = _moves(walk, act, fate)
        if not isinstance(move, Visit):
            assert move != LIMIT
            return
        assert move.node is walk.node


@given(documents(), st.sampled_from([NOTHING, "A"]), st.lists(st.sampled_from(Fate), min_size=1, max_size=5))
def test_without_a_valid_key_every_walk_ends_before_the_step_limit(
    document: dict[str, Any], act: str, fates: list[Fate]
) -> None:
    """Each menu is visited `attempts` times at most, and once more for its exit; each transfer twice."""
    built = tree(document)
    walk = Walk(built)
    while isinstance(move := _moves(walk, act, fates[walk.steps % len(fates)]), Visit):
        pass
    assert move in (None, GOODBYE) or isinstance(move, Over)
    most = sum(2 * (node.attempts if isinstance(node, Gather) else 1) for node in built.nodes.values()) + 1
    assert walk.steps <= most


@given(
    documents(most_nodes=3), st.text(KEYS + NOTHING, min_size=1, max_size=5), st.sampled_from([*Fate, None])
)
def test_any_habit_ends_within_the_step_limit(
    document: dict[str, Any], habit: str, fate: Fate | None
) -> None:
    walk = Walk(tree(document))
    for step in range(STEP_LIMIT + 1):
        if not isinstance(_moves(walk, habit[step % len(habit)], fate), Visit):
            break
    else:
        pytest.fail("the walk did not end")
    assert walk.steps <= STEP_LIMIT
