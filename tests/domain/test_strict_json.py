"""What gets in as JSON: nothing that another reader, or a store, would take for something else."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunx.domain.strict_json import JsonError, dumps, loads

_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc~/", max_size=3), inner),
    max_leaves=10,
)


@given(_VALUES)
def test_whatever_can_be_stored_comes_back(value: Any) -> None:
    assert loads(dumps(value).encode()) == value


@given(st.binary())
def test_no_bytes_do_more_than_be_refused(text: bytes) -> None:
    with suppress(JsonError):
        assert loads(dumps(loads(text)).encode()) == loads(text)


def test_order_is_kept() -> None:
    assert list(loads(b'{"z": 1, "a": 2, "m": 3}')) == ["z", "a", "m"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"a": 1, "a": 2}', "'a' stands twice"),
        (b'{"nodes": {"w": {}, "x": {"b": 1, "b": 1}}}', "'b' stands twice"),
        (b'{"a": 1, "\\u0061": 2}', "'a' stands twice"),
        (b"NaN", "NaN is not a JSON number"),
        (b"[Infinity]", "Infinity is not a JSON number"),
        (b"[-Infinity]", "-Infinity is not a JSON number"),
        (b"1e999", "too large"),
        (b'{"a": [-1e999]}', "too large"),
        (b"9" * 5_000, "5000 digits"),
        (b"[" * 200_000, "recursion"),
        (b'{"a":' * 200_000, "recursion"),
        (b'"\\u0000"', "NUL"),
        (b'{"\\u0000": 1}', "NUL"),
        (b'"\\ud800"', "surrogate"),
        (b'["\\udc00\\ud800"]', "surrogate"),
        (b'"\xff"', "not UTF-8 at byte 1"),
        (b'"\xed\xa0\x80"', "not UTF-8 at byte 1"),
        (b"\xef\xbb\xbf{}", "BOM"),
        (b"", "line 1, column 1"),
        (b'{"a": 1,}', "line 1, column"),
        (b'{"a": 1}\n{"b": 2}', "Extra data at line 2, column 1"),
        (b'"\n"', "control character"),
        (b"{'a': 1}", "double quotes"),
    ],
    ids=lambda value: repr(value[:24]) if isinstance(value, bytes) else "",
)
def test_refused(text: bytes, message: str) -> None:
    with pytest.raises(JsonError, match=r"(?i)" + message.replace("(", r"\(")):
        loads(text)


def test_what_cannot_be_stored_is_named_by_its_place() -> None:
    with pytest.raises(JsonError) as refused:
        loads(b'{"a": {"b": [1, "x", {"c": "\\u0000"}]}}')
    assert refused.value.place == ("a", "b", 2, "c")
    with pytest.raises(JsonError) as refused:
        loads(b'{"a": {"\\u0000": 1}}')
    assert refused.value.place == ("a",)


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert loads(b'"\\ud83d\\ude00"') == "\U0001f600"


def test_numbers_that_are_merely_large_pass() -> None:
    assert loads(b"123456789012345678901234567890") == 123456789012345678901234567890


@given(st.dictionaries(st.text("ab", max_size=2), st.integers(), min_size=1, max_size=4), st.data())
def test_any_doubled_key_is_found(value: dict[str, int], data: st.DataObject) -> None:
    pairs = [*value.items(), data.draw(st.sampled_from(sorted(value.items())))]
    text = "{" + ", ".join(f"{json.dumps(key)}: {number}" for key, number in pairs) + "}"
    with pytest.raises(JsonError, match="stands twice"):
        loads(text.encode())
