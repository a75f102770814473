"""Trees to test with: the contract's own, and any other that hypothesis can think of."""

from typing import Any

from hypothesis import strategies as st

from trunx.domain.document import IvrDocument
from trunx.domain.ivr import Tree, build

CONTRACT = b"""{
"id": "qualify-business",
"nodes": {
"welcome": {
"audio": "welcome.wav",
"gather": { "1": "has_business", "9": "dnc" },
"timeout_node": "welcome"
},
"has_business": {
"audio": "business_check.wav",
"gather": { "1": "transfer_ai", "2": "unqualified" }
},
"transfer_ai": { "action": "transfer" },
"unqualified": { "action": "hangup", "audio": "not_qualified.wav" },
"dnc": { "action": "suppress" }
}
}"""
"""The body of POST /ivr in the contract, byte for byte."""

KEYS = "0123456789*#"


def tree(document: dict[str, Any]) -> Tree:
    """The tree of a document that is expected to be good."""
    return build(IvrDocument.model_validate(document))


def nodes(**named: Any) -> dict[str, Any]:
    """A document with these nodes, the first of which is the entry."""
    return {"id": "test", "nodes": named}


def gather(keys: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    """A gather node that plays `menu.wav`, unless `audio` says otherwise."""
    return {"audio": "menu.wav", "gather": keys or {}, **more}


@st.composite
def documents(draw: st.DrawFn, most_nodes: int = 6) -> dict[str, Any]:
    """Any document that makes a tree."""
    names = [f"n{number}" for number in range(draw(st.integers(1, most_nodes)))]
    name = st.sampled_from(names)
    audio = st.sampled_from(["menu.wav", "other.wav", "missing.wav"])
    gathers = st.fixed_dictionaries(
        {"audio": audio, "gather": st.dictionaries(st.sampled_from(KEYS), name, max_size=4)},
        optional={
            "timeout_node": name,
            "timeout": st.floats(0.5, 120),
            "attempts": st.integers(1, 20),
            "invalid_audio": audio,
            "timeout_audio": audio,
            "exhausted_node": name,
        },
    )
    actions = st.fixed_dictionaries(
        {"action": st.sampled_from(["hangup", "suppress"])}, optional={"audio": audio}
    )
    back: dict[str, Any] = {"audio": audio, "fail_node": name, "return_node": name}
    to_agents = st.fixed_dictionaries(
        {"action": st.just("transfer")},
        optional={
            **back,
            "agent": st.just("a1"),
            "zero_out": st.dictionaries(st.sampled_from(KEYS), name, min_size=1, max_size=1),
        },
    )
    to_persons = st.fixed_dictionaries(
        {
            "action": st.just("transfer"),
            "to": st.sampled_from(
                ["+14155552671", "sip:desk@example.com", "sip:a.b@10.0.0.1:5070;transport=tls"]
            ),
        },
        optional={
            **back,
            "timeout": st.integers(1, 600),
            "on_busy": name,
            "on_no_answer": name,
            "on_failed": name,
        },
    )
    any_node = gathers | actions | to_agents | to_persons
    document: dict[str, Any] = {"id": "any", "nodes": {each: draw(any_node) for each in names}}
    if draw(st.booleans()):
        document["start"] = draw(name)
    return document
