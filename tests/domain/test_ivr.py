"""From a document to a tree: defaults filled in, targets known to exist, and faults told in its own words."""

from typing import Any

import pytest
from hypothesis import given

from tests.domain.samples import CONTRACT, documents, gather, nodes, tree
from trunx.domain.document import MAX_DOCUMENT_BYTES, ActionNode, GatherNode, TransferNode
from trunx.domain.ivr import (
    AUDIO_FIELDS,
    Gather,
    Hangup,
    InvalidTreeError,
    Problem,
    Reference,
    Suppress,
    Transfer,
    pointer,
    references,
)
from trunx.domain.strict_json import dumps, loads

HANGUP = {"action": "hangup"}


def test_the_contract_s_tree() -> None:
    built = tree(loads(CONTRACT))
    assert (built.id, built.start, built.language) == ("qualify-business", "welcome", None)
    assert list(built.nodes.values()) == [
        Gather(
            name="welcome",
            audio="welcome.wav",
            keys={"1": "has_business", "9": "dnc"},
            timeout_node="welcome",
            timeout=5,
            attempts=3,
            invalid_audio=None,
            timeout_audio=None,
            exhausted_node=None,
        ),
        Gather(
            name="has_business",
            audio="business_check.wav",
            keys={"1": "transfer_ai", "2": "unqualified"},
            timeout_node="has_business",
            timeout=5,
            attempts=3,
            invalid_audio=None,
            timeout_audio=None,
            exhausted_node=None,
        ),
        Transfer("transfer_ai", None),
        Hangup("unqualified", "not_qualified.wav"),
        Suppress("dnc", None),
    ]


def test_the_first_node_is_the_entry_unless_start_names_one() -> None:
    document = nodes(z=HANGUP, a=HANGUP)
    assert tree(document).start == "z"
    assert tree({**document, "start": "a"}).start == "a"


def test_a_tree_may_begin_with_an_action() -> None:
    assert tree(nodes(bye={"action": "hangup", "audio": "bye.wav"})).nodes["bye"] == Hangup("bye", "bye.wav")


def test_a_tree_cannot_be_changed() -> None:
    built = tree(loads(CONTRACT))
    with pytest.raises(TypeError):
        built.nodes["welcome"] = Hangup("welcome", None)  # type: ignore[index]


@given(documents())
def test_every_target_of_a_tree_is_in_it(document: dict[str, Any]) -> None:
    built = tree(document)
    assert built.start in built.nodes
    for node in built.nodes.values():
        if isinstance(node, Gather):
            targets = {*node.keys.values(), node.timeout_node, node.exhausted_node or node.name}
            assert targets <= built.nodes.keys()
        elif isinstance(node, Transfer):
            assert node.exits <= built.nodes.keys()


def _problems(document: dict[str, Any]) -> list[Problem]:
    with pytest.raises(InvalidTreeError) as refused:
        tree(document)
    return refused.value.problems


@pytest.mark.parametrize(
    ("document", "place", "message"),
    [
        (
            nodes(main=gather({"3": "sales"})),
            "/nodes/main/gather/3",
            "node 'main' sends key 3 to 'sales', and there is no such node",
        ),
        (
            nodes(main=gather({"#": "sales"})),
            "/nodes/main/gather/#",
            "node 'main' sends key # to 'sales', and there is no such node",
        ),
        (
            nodes(main=gather(timeout_node="later")),
            "/nodes/main/timeout_node",
            "node 'main' names 'later' as its timeout_node, and there is no such node",
        ),
        (
            nodes(main=gather(exhausted_node="enough")),
            "/nodes/main/exhausted_node",
            "node 'main' names 'enough' as its exhausted_node, and there is no such node",
        ),
        (
            {**nodes(main=HANGUP), "start": "first"},
            "/start",
            "the tree starts at 'first', and there is no such node",
        ),
    ],
)
def test_a_target_that_does_not_exist(document: dict[str, Any], place: str, message: str) -> None:
    assert _problems(document) == [Problem(place, message)]


def test_every_problem_is_named_at_once() -> None:
    document = {**nodes(a=gather({"1": "x", "2": "y"}, timeout_node="z"), b=gather()), "start": "c"}
    assert [problem.pointer for problem in _problems(document)] == [
        "/start",
        "/nodes/a/gather/1",
        "/nodes/a/gather/2",
        "/nodes/a/timeout_node",
    ]
    with pytest.raises(InvalidTreeError, match=r"'c'.*'x'.*'y'.*'z'"):
        tree(document)


def _transfer(**fields: Any) -> dict[str, Any]:
    return nodes(a={"action": "transfer", **fields}, b=HANGUP)


def test_a_transfer_with_its_defaults() -> None:
    everywhere = _transfer(to="+14155552671", fail_node="b")
    assert tree(everywhere).nodes["a"] == Transfer(
        "a", None, to="+14155552671", ring_seconds=30, busy_node="b", no_answer_node="b", failed_node="b"
    )
    built = tree(_transfer(agent="a1", zero_out={"0": "b"}, return_node="a")).nodes["a"]
    assert built == Transfer("a", None, agent="a1", zero_out=("0", "b"), return_node="a")
    assert isinstance(built, Transfer)
    assert built.exits == {"a", "b"}


@pytest.mark.parametrize(
    ("fields", "place", "message"),
    [
        ({"fail_node": "x"}, "fail_node", "node 'a' names 'x' as its fail_node, and there is no such node"),
        ({"return_node": "x"}, "return_node", "'x' as its return_node, and there is no such node"),
        ({"to": "+14155552671", "on_busy": "x"}, "on_busy", "'x' as its on_busy, and there is no such node"),
        ({"to": "+14155552671", "on_no_answer": "x"}, "on_no_answer", "there is no such node"),
        ({"to": "+14155552671", "on_failed": "x"}, "on_failed", "there is no such node"),
        ({"zero_out": {"0": "x"}}, "zero_out/0", "node 'a' sends key 0 to 'x', and there is no such node"),
        ({"to": "+14155552671", "agent": "a1"}, "agent", "names both an agent and whom to call"),
        ({"to": "+14155552671", "zero_out": {"0": "b"}}, "zero_out", "leads away from an agent"),
        ({"timeout": 20}, "timeout", "node 'a' calls nobody: timeout needs `to`"),
        ({"agent": "a1", "on_busy": "b"}, "on_busy", "node 'a' calls nobody: on_busy needs `to`"),
        ({"on_no_answer": "b"}, "on_no_answer", "on_no_answer needs `to`"),
        ({"on_failed": "b"}, "on_failed", "on_failed needs `to`"),
    ],
)
def test_what_a_transfer_cannot_mean(fields: dict[str, Any], place: str, message: str) -> None:
    (problem,) = _problems(_transfer(**fields))
    assert problem.pointer == f"/nodes/a/{place}"
    assert message in problem.message


def test_what_is_null_is_not_said() -> None:
    assert tree(_transfer(agent=None, to="+14155552671", zero_out=None))
    assert tree(_transfer(agent="a1", to=None, on_busy=None))


def test_names_are_told_apart_to_the_letter() -> None:
    assert _problems(nodes(Main=gather({"1": "main"})))[0].pointer == "/nodes/Main/gather/1"


def _of_size(size: int) -> dict[str, Any]:
    """A document of exactly `size` bytes: gather nodes whose audios' names are drawn out until it fits."""
    keys = dict.fromkeys("0123456789*#", "t" * 64)
    filled = {f"n{number:04}": gather(keys, audio="a") for number in range(265)}
    document = nodes(**{"t" * 64: HANGUP}, **filled)
    missing = size - len(dumps(document).encode())
    for node in filled.values():
        more = min(missing, 127)
        node["audio"] += "a" * more
        missing -= more
    assert missing == 0
    return document


def test_the_largest_document() -> None:
    assert len(tree(_of_size(MAX_DOCUMENT_BYTES)).nodes) == 266
    problem = Problem("", "the document has 262,145 bytes; at most 262,144 are allowed")
    assert _problems(_of_size(MAX_DOCUMENT_BYTES + 1)) == [problem]


def test_size_is_counted_in_bytes_and_not_in_letters() -> None:
    document = _of_size(MAX_DOCUMENT_BYTES)
    document["nodes"]["n0000"]["audio"] = "ä" + document["nodes"]["n0000"]["audio"][1:]
    assert _problems(document)[0].pointer == ""


@pytest.mark.parametrize(
    ("parts", "text"),
    [((), ""), (("nodes", "a/b"), "/nodes/a~1b"), (("~",), "/~0"), (("~1",), "/~01"), (("",), "/")],
)
def test_json_pointers(parts: tuple[str, ...], text: str) -> None:
    assert pointer(*parts) == text


def test_what_a_document_names_to_be_played() -> None:
    menu = gather({"1": "bye"}, audio="a.wav", invalid_audio="b.wav", timeout_audio="a.wav")
    document = nodes(menu=menu, bye={"action": "hangup", "audio": "c"}, mute={"action": "transfer"})
    assert references(document) == [
        Reference("menu", "audio", "a.wav"),
        Reference("menu", "invalid_audio", "b.wav"),
        Reference("menu", "timeout_audio", "a.wav"),
        Reference("bye", "audio", "c"),
    ]


def test_no_field_that_names_an_audio_is_forgotten() -> None:
    fields = {
        name
        for model in (GatherNode, TransferNode, ActionNode)
        for name in model.model_fields
        if "audio" in name
    }
    assert fields == set(AUDIO_FIELDS)
