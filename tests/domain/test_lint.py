"""Warnings: each when it is due and not otherwise."""

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter
from typing import Any

import pytest
from hypothesis import given

from tests.domain.samples import CONTRACT, documents, gather, nodes, tree
from trunx.domain.lint import EVERYTHING, Known, warnings
from trunx.domain.strict_json import loads

HANGUP = {"action": "hangup"}


def _playing(has_audio: Callable[[str], bool]) -> Known:
    return replace(EVERYTHING, has_audio=has_audio)


def _codes(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [(found.code, found.node) for found in warnings(tree(document), EVERYTHING)]


def test_the_contract_s_tree_lacks_only_its_audio() -> None:
    built = tree(loads(CONTRACT))
    assert warnings(built, EVERYTHING) == []
    found = warnings(built, _playing(lambda _: False))
    assert [(warning.code, warning.node) for warning in found] == [
        ("audio-missing", "welcome"),
        ("audio-missing", "has_business"),
        ("audio-missing", "unqualified"),
    ]
    assert found[0].message == (
        "node 'welcome' plays 'welcome.wav', which does not exist yet: callers hear the engine's own prompt"
    )


def test_audio_that_is_missing_is_named_once_for_each_node() -> None:
    document = nodes(a=gather({"1": "b"}, audio="x", invalid_audio="y", timeout_audio="x"), b=HANGUP)
    found = warnings(tree(document), _playing(lambda audio: audio == "z"))
    assert [warning.message.split("'")[3] for warning in found] == ["x", "y"]


@pytest.mark.parametrize(
    "document",
    [
        nodes(a=gather({"1": "b"}, timeout_node="c"), b=HANGUP, c=HANGUP),
        nodes(a=gather({"1": "b"}, exhausted_node="c"), b=HANGUP, c=HANGUP),
        {**nodes(b=HANGUP, a=gather({"1": "b"})), "start": "a"},
        nodes(a=HANGUP),
    ],
    ids=["timeout_node", "exhausted_node", "start", "one action"],
)
def test_reached_in_every_way(document: dict[str, Any]) -> None:
    assert _codes(document) == []


@pytest.mark.parametrize(
    ("document", "nodes_"),
    [
        (nodes(a=gather({"1": "b"}), b=HANGUP, c=HANGUP), ["c"]),
        # An island whose nodes lead to one another.
        (nodes(a=HANGUP, b=gather({"1": "c", "2": "a"}), c=gather({"1": "b"})), ["b", "c"]),
        ({**nodes(a=gather({"1": "b"}), b=HANGUP), "start": "b"}, ["a"]),
    ],
)
def test_unreachable(document: dict[str, Any], nodes_: list[str]) -> None:
    assert _codes(document) == [("unreachable-node", node) for node in nodes_]


@pytest.mark.parametrize(
    ("document", "nodes_"),
    [
        (nodes(a=gather()), ["a"]),
        (nodes(a=gather({"1": "a"})), ["a"]),
        (nodes(a=gather({"1": "b"}), b=gather({"1": "a"})), ["a", "b"]),
        (nodes(a=gather(timeout_node="b"), b=gather(timeout_node="a")), ["a", "b"]),
        (nodes(a=gather({"1": "b"}), b=gather({"1": "c"}), c=gather({"9": "b"})), ["b", "c"]),
        # Silence leads out, and no key does.
        (nodes(a=gather({"1": "a"}, timeout_node="b"), b=HANGUP), ["a"]),
        (nodes(a=gather(exhausted_node="b"), b=HANGUP), ["a"]),
    ],
)
def test_a_circle_that_no_key_leaves(document: dict[str, Any], nodes_: list[str]) -> None:
    assert _codes(document) == [("no-way-out", node) for node in nodes_]


@pytest.mark.parametrize(
    "document",
    [
        # Back and forth, and a key leads out of one of the two.
        nodes(a=gather({"1": "b"}), b=gather({"1": "a", "2": "c"}), c=HANGUP),
        nodes(a=gather(timeout_node="b"), b=gather({"1": "c"}, timeout_node="a"), c=HANGUP),
        # Words that are played and left by waiting, which is no circle.
        nodes(a=gather(timeout=0.5, timeout_node="b"), b=gather({"1": "c"}), c=HANGUP),
        nodes(a=gather(timeout=0.5, attempts=1, exhausted_node="b"), b=HANGUP),
    ],
)
def test_no_circle_without_a_way_out(document: dict[str, Any]) -> None:
    assert "no-way-out" not in [code for code, _ in _codes(document)]


def test_a_timeout_node_that_is_never_taken() -> None:
    document = nodes(a=gather({"1": "b"}, attempts=1, timeout_node="b"), b=HANGUP)
    assert _codes(document) == [("timeout-node-unused", "a")]
    document["nodes"]["a"]["attempts"] = 2
    assert _codes(document) == []
    # What only such a timeout_node leads to is not reached either.
    document = nodes(a=gather({"1": "b"}, attempts=1, timeout_node="c"), b=HANGUP, c=HANGUP)
    assert _codes(document) == [("timeout-node-unused", "a"), ("unreachable-node", "c")]


PERSON = {"action": "transfer", "to": "+14155552671"}


@pytest.mark.parametrize(
    "exit_", ["on_busy", "on_no_answer", "on_failed", "fail_node", "return_node", "zero_out"]
)
def test_reached_by_an_exit_of_a_transfer(exit_: str) -> None:
    exits: dict[str, Any] = (
        {exit_: {"0": "b"}, "action": "transfer"} if exit_ == "zero_out" else {**PERSON, exit_: "b"}
    )
    assert _codes(nodes(a=exits, b=HANGUP)) == []


@pytest.mark.parametrize(
    "document",
    [
        nodes(a=gather({"1": "b"}), b={**PERSON, "fail_node": "a", "return_node": "a"}),
        nodes(a={**PERSON, "fail_node": "a", "return_node": "a"}),
    ],
)
def test_a_circle_in_which_somebody_is_reached_is_none(document: dict[str, Any]) -> None:
    assert _codes(document) == []


def test_an_agent_that_does_not_exist() -> None:
    built = tree(nodes(a={"action": "transfer", "agent": "a1"}))
    (found,) = warnings(built, replace(EVERYTHING, has_agent=lambda agent: agent != "a1"))
    assert (found.code, found.node) == ("agent-missing", "a")
    assert "'a1', which does not exist" in found.message


def test_a_sip_uri_that_is_not_listed() -> None:
    built = tree(nodes(a={**PERSON, "to": "sip:desk@example.com", "fail_node": "b"}, b=PERSON))
    (found,) = warnings(built, replace(EVERYTHING, may_call=lambda uri: uri != "sip:desk@example.com"))
    assert (found.code, found.node) == ("sip-uri-not-allowed", "a")
    assert "trunx accounts limits --sip-uri" in found.message


@given(documents())
def test_any_tree_can_be_judged(document: dict[str, Any]) -> None:
    for found in warnings(tree(document), _playing(lambda audio: audio != "missing.wav")):
        assert found.node in document["nodes"]
        assert found.node in found.message


def test_the_longest_chain_and_the_largest_circle_are_judged_quickly() -> None:
    chain = {f"n{number}": gather({"1": f"n{number + 1}"}) for number in range(999)}
    started = perf_counter()
    assert _codes(nodes(**chain, n999=HANGUP)) == []
    assert _codes(nodes(**chain, n999=gather({"1": "n0"}))) == [
        ("no-way-out", name) for name in [*chain, "n999"]
    ]
    assert perf_counter() - started < 1
