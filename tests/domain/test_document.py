"""The door for trees: what is let in as it stands, what is refused and where, and what a change does."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.domain.samples import CONTRACT, documents, gather, nodes
from trunx.domain.document import MAX_NODES, IvrChange, IvrDocument, changed, written
from trunx.domain.strict_json import dumps, loads

HANGUP = {"action": "hangup"}


def test_the_contract_s_document_is_accepted_as_it_stands() -> None:
    document = IvrDocument.model_validate(loads(CONTRACT))
    assert dumps(written(document)) == dumps(loads(CONTRACT))


@given(documents())
def test_what_is_kept_is_what_was_given(document: dict[str, Any]) -> None:
    assert written(IvrDocument.model_validate(document)) == document


def test_only_the_fields_that_were_given_are_kept_and_in_their_order() -> None:
    given_ = {
        "nodes": {"z": gather({"2": "a", "1": "z"}, attempts=1), "a": {"audio": "bye.wav", **HANGUP}},
        "id": "order",
    }
    kept = written(IvrDocument.model_validate(given_))
    assert list(kept["nodes"]) == ["z", "a"]
    assert list(kept["nodes"]["z"]["gather"]) == ["2", "1"]
    assert "timeout" not in kept["nodes"]["z"]
    assert "start" not in kept


def _node(**fields: Any) -> dict[str, Any]:
    return nodes(w=gather(**fields))


@pytest.mark.parametrize(
    ("document", "place", "message"),
    [
        ([], (), "valid dictionary"),
        ({"nodes": {"w": HANGUP}}, ("id",), "required"),
        ({"id": "a"}, ("nodes",), "required"),
        ({"id": "a", "nodes": {}}, ("nodes",), "at least 1 item"),
        ({"id": "a/b", "nodes": {"w": HANGUP}}, ("id",), "pattern"),
        ({"id": "a\n", "nodes": {"w": HANGUP}}, ("id",), "pattern"),
        ({"id": "", "nodes": {"w": HANGUP}}, ("id",), "pattern"),
        ({"id": "a" * 65, "nodes": {"w": HANGUP}}, ("id",), "pattern"),
        ({"id": 7, "nodes": {"w": HANGUP}}, ("id",), "valid string"),
        ({"id": "a", "nodes": {"w": HANGUP}, "nodse": {}}, ("nodse",), "not permitted"),
        ({"id": "a", "nodes": {"w": HANGUP}, "language": "English!"}, ("language",), "pattern"),
        ({"id": "a", "nodes": {"w": HANGUP}, "start": "../w"}, ("start",), "pattern"),
        ({"id": "a", "nodes": {"": HANGUP}}, ("nodes", "", "[key]"), "pattern"),
        ({"id": "a", "nodes": {"w/x": HANGUP}}, ("nodes", "w/x", "[key]"), "pattern"),
        ({"id": "a", "nodes": {"w\n": HANGUP}}, ("nodes", "w\n", "[key]"), "pattern"),
        ({"id": "a", "nodes": {"w" * 65: HANGUP}}, ("nodes", "w" * 65, "[key]"), "pattern"),
        (nodes(w={"audio": "a.wav"}), ("nodes", "w"), "exactly one of `gather` and `action`"),
        (nodes(w={**gather(), **HANGUP}), ("nodes", "w"), "exactly one of `gather` and `action`"),
        (nodes(w="hangup"), ("nodes", "w"), "exactly one of `gather` and `action`"),
        (nodes(w=None), ("nodes", "w"), "exactly one of `gather` and `action`"),
        (nodes(w={"action": "dance"}), ("nodes", "w", "action-node", "action"), "'transfer', 'hangup' or"),
        (nodes(w={"action": None}), ("nodes", "w", "action-node", "action"), "'transfer', 'hangup' or"),
        (nodes(w={**HANGUP, "timeout": 5}), ("nodes", "w", "action-node", "timeout"), "not permitted"),
        (nodes(w={"gather": {}}), ("nodes", "w", "gather-node", "audio"), "required"),
        (_node(keys={"12": "w"}), ("nodes", "w", "gather-node", "gather", "12", "[key]"), "pattern"),
        (_node(keys={"A": "w"}), ("nodes", "w", "gather-node", "gather", "A", "[key]"), "pattern"),
        (_node(keys={"1": 2}), ("nodes", "w", "gather-node", "gather", "1"), "valid string"),
        (_node(gather=["1"]), ("nodes", "w", "gather-node", "gather"), "valid dictionary"),
        (_node(timeout=0.4), ("nodes", "w", "gather-node", "timeout"), "greater than or equal to 0.5"),
        (_node(timeout=121), ("nodes", "w", "gather-node", "timeout"), "less than or equal to 120"),
        (_node(timeout="5"), ("nodes", "w", "gather-node", "timeout"), "valid number"),
        (_node(timeout=True), ("nodes", "w", "gather-node", "timeout"), "valid number"),
        (_node(timeout=10**400), ("nodes", "w", "gather-node", "timeout"), "valid number"),
        (_node(timeout=float("nan")), ("nodes", "w", "gather-node", "timeout"), "less than or equal to 120"),
        (_node(attempts=0), ("nodes", "w", "gather-node", "attempts"), "greater than or equal to 1"),
        (_node(attempts=21), ("nodes", "w", "gather-node", "attempts"), "less than or equal to 20"),
        (_node(attempts=1.5), ("nodes", "w", "gather-node", "attempts"), "valid integer"),
        (_node(attempts=10**400), ("nodes", "w", "gather-node", "attempts"), "less than or equal to 20"),
        (_node(timeout_nodes="w"), ("nodes", "w", "gather-node", "timeout_nodes"), "not permitted"),
        (_node(audio=""), ("nodes", "w", "gather-node", "audio"), "pattern"),
        (_node(audio="../../etc/passwd"), ("nodes", "w", "gather-node", "audio"), "pattern"),
        (_node(audio=".wav"), ("nodes", "w", "gather-node", "audio"), "pattern"),
        (_node(audio="a\\b"), ("nodes", "w", "gather-node", "audio"), "pattern"),
        (_node(audio="a\nb"), ("nodes", "w", "gather-node", "audio"), "pattern"),
        (_node(audio="a" * 129), ("nodes", "w", "gather-node", "audio"), "pattern"),
        (_node(invalid_audio="a/b"), ("nodes", "w", "gather-node", "invalid_audio"), "pattern"),
        (_node(timeout_audio="a/b"), ("nodes", "w", "gather-node", "timeout_audio"), "pattern"),
    ],
)
def test_refused_with_its_place(document: Any, place: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        IvrDocument.model_validate(document)
    faults = [(fault["loc"], fault["msg"]) for fault in refused.value.errors()]
    assert [loc for loc, _ in faults] == [place]
    assert message in faults[0][1]


def _transfer(**fields: Any) -> dict[str, Any]:
    return nodes(w={"action": "transfer", **fields})


@pytest.mark.parametrize(
    "to",
    [
        "+19495551234",
        "sip:desk@pbx.example.com",
        "sip:+14155552671@10.0.0.1:5070",
        "sip:a.b_c-d@pbx.example.com:65535;transport=tls",
        "sip:2001@localhost;transport=udp",
    ],
)
def test_whom_a_transfer_may_call(to: str) -> None:
    assert written(IvrDocument.model_validate(_transfer(to=to))) == _transfer(to=to)


@pytest.mark.parametrize(
    "to",
    [
        "",
        "19495551234",
        "+0123456789",
        "+1949555123456789",
        "+19495551234\n",
        "+19495551234,60,g",
        "+19495551234&PJSIP/x",
        "+1949555\u0661234",
        "desk@pbx.example.com",
        "sip:pbx.example.com",
        "sip:@pbx.example.com",
        "sip:*@pbx.example.com",
        "sips:desk@pbx.example.com",
        "SIP:desk@pbx.example.com",
        "sip:desk@pbx.example.com\n",
        "sip:desk@pbx.example.com\r\nAction: Originate",
        "sip:desk@pbx.example.com,60,gU(x)",
        "sip:desk@pbx.example.com&PJSIP/+900@trunk",
        "sip:desk|x@pbx.example.com",
        "sip:desk@pbx.example.com;transport=sctp",
        "sip:desk@pbx.example.com;user=phone",
        "sip:desk@pbx.example.com;transport=udp;lr",
        "sip:desk@pbx.example.com?Subject=x",
        "sip:${EXTEN}@pbx.example.com",
        'sip:"desk"@pbx.example.com',
        "sip:desk@pbx example.com",
        "sip:desk@pbx.example.com:0",
        "sip:desk@pbx.example.com:65536",
        "sip:desk/x@pbx.example.com",
        "sip:desk@-pbx.example.com",
        "sip:desk@[2001:db8::1]",
        "sip:desk:secret@pbx.example.com",
        "sip:" + "d" * 65 + "@pbx.example.com",
        "sip:desk@" + "p" * 254,
        "sip:désk@pbx.example.com",
    ],
)
def test_whom_it_may_not(to: str) -> None:
    """What would mean something else to Dial, or is no address at all."""
    with pytest.raises(ValidationError, match="write a telephone number like") as refused:
        IvrDocument.model_validate(_transfer(to=to))
    assert [fault["loc"] for fault in refused.value.errors()] == [("nodes", "w", "transfer-node", "to")]


@pytest.mark.parametrize(
    ("fields", "place", "message"),
    [
        ({"to": 1}, ("to",), "valid string"),
        ({"agent": "a\n"}, ("agent",), "pattern"),
        ({"agent": ""}, ("agent",), "pattern"),
        ({"timeout": 0}, ("timeout",), "greater than or equal to 1"),
        ({"timeout": 601}, ("timeout",), "less than or equal to 600"),
        ({"timeout": 2.5}, ("timeout",), "valid integer"),
        ({"timeout": "30s"}, ("timeout",), "valid integer"),
        ({"zero_out": {}}, ("zero_out",), "at least 1 item"),
        ({"zero_out": {"0": "w", "1": "w"}}, ("zero_out",), "at most 1 item"),
        ({"zero_out": {"00": "w"}}, ("zero_out", "00", "[key]"), "pattern"),
        ({"zero_out": "0"}, ("zero_out",), "valid dictionary"),
        ({"fail_node": "../w"}, ("fail_node",), "pattern"),
        ({"timeout_node": "w"}, ("timeout_node",), "not permitted"),
        ({"audio": "a/b"}, ("audio",), "pattern"),
    ],
)
def test_a_transfer_is_refused_with_its_place(
    fields: dict[str, Any], place: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        IvrDocument.model_validate(_transfer(**fields))
    faults = [(fault["loc"][2:], fault["msg"]) for fault in refused.value.errors()]
    assert [loc for loc, _ in faults] == [("transfer-node", *place)]
    assert message in faults[0][1]


def test_an_action_that_is_no_transfer_connects_nobody() -> None:
    with pytest.raises(ValidationError, match="not permitted"):
        IvrDocument.model_validate(nodes(w={**HANGUP, "to": "+19495551234"}))


def test_every_fault_is_named_at_once() -> None:
    document = nodes(a=gather(timeout=0, attempts=0), b={"action": "dance"}, c={})
    with pytest.raises(ValidationError) as refused:
        IvrDocument.model_validate(document)
    assert [fault["loc"][1:] for fault in refused.value.errors()] == [
        ("a", "gather-node", "timeout"),
        ("a", "gather-node", "attempts"),
        ("b", "action-node", "action"),
        ("c",),
    ]


def test_the_most_nodes() -> None:
    def with_nodes(count: int) -> dict[str, Any]:
        return nodes(**{f"n{number}": HANGUP for number in range(count)})

    assert len(IvrDocument.model_validate(with_nodes(MAX_NODES)).nodes) == 1_000
    with pytest.raises(ValidationError, match="at most 1000 items"):
        IvrDocument.model_validate(with_nodes(MAX_NODES + 1))


@pytest.mark.parametrize("key", "0123456789*#")
def test_every_key_of_a_telephone(key: str) -> None:
    IvrDocument.model_validate(_node(keys={key: "w"}))


@pytest.mark.parametrize("name", ["welcome", "has_business", "Menu 2", "a.b-c", "9", "ä"])
def test_names_of_nodes(name: str) -> None:
    good = name.isascii()
    document = nodes(**{name: HANGUP})
    if good:
        IvrDocument.model_validate(document)
    else:
        with pytest.raises(ValidationError, match="pattern"):
            IvrDocument.model_validate(document)


class TestChange:
    """PATCH: named nodes replace, null removes, other fields replace."""

    def _after(self, change: dict[str, Any], document: dict[str, Any] | None = None) -> dict[str, Any]:
        return changed(document or loads(CONTRACT), IvrChange.model_validate(change))

    def test_nothing_named_changes_nothing(self) -> None:
        assert dumps(self._after({})) == dumps(loads(CONTRACT))

    def test_a_named_node_is_replaced_whole_and_keeps_its_place(self) -> None:
        after = self._after({"nodes": {"welcome": {"audio": "new.wav", "gather": {"5": "dnc"}}}})
        assert after["nodes"]["welcome"] == {"audio": "new.wav", "gather": {"5": "dnc"}}
        assert list(after["nodes"]) == list(loads(CONTRACT)["nodes"])

    def test_a_new_node_comes_last(self) -> None:
        after = self._after({"nodes": {"bye": HANGUP}})
        assert list(after["nodes"]) == [*loads(CONTRACT)["nodes"], "bye"]

    def test_null_removes_a_node_and_forgives_one_that_is_not_there(self) -> None:
        after = self._after({"nodes": {"dnc": None, "never": None}})
        assert list(after["nodes"]) == ["welcome", "has_business", "transfer_ai", "unqualified"]

    def test_other_fields_replace_and_null_takes_them_off(self) -> None:
        with_fields = self._after({"start": "has_business", "language": "de"})
        assert (with_fields["start"], with_fields["language"]) == ("has_business", "de")
        assert list(with_fields["nodes"]) == list(loads(CONTRACT)["nodes"])
        without = self._after({"start": None, "language": None}, with_fields)
        assert without == loads(CONTRACT)

    def test_the_document_that_is_changed_stays_as_it_was(self) -> None:
        document = loads(CONTRACT)
        self._after({"nodes": {"welcome": None}, "language": "de"}, document)
        assert document == loads(CONTRACT)

    @pytest.mark.parametrize("change", [{"nodes": {"w": 7}}, {"node": {}}, {"nodes": {"w": {}}}, {"id": "/"}])
    def test_a_change_is_checked_like_a_document(self, change: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            IvrChange.model_validate(change)

    @given(documents(most_nodes=3), documents(most_nodes=4), st.data())
    def test_any_change_gives_what_its_words_say(
        self, document: dict[str, Any], other: dict[str, Any], data: st.DataObject
    ) -> None:
        removed = data.draw(st.sets(st.sampled_from(sorted(document["nodes"]))))
        named = {**other["nodes"], **dict.fromkeys(removed)}
        after = self._after({"nodes": named}, document)
        assert after["nodes"] == {
            name: node for name, node in {**document["nodes"], **named}.items() if node is not None
        }
