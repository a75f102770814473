"""How a body is read: what is no JSON, what is too much, and where a fault is."""

import gzip
import io
from typing import Any

import pytest
from pydantic import BaseModel

from tests.web.house import Client
from trunx.web.bodies import MAX_BODY_BYTES, validated
from trunx.web.problems import ProblemError


@pytest.mark.parametrize(
    "body",
    ["", "{", "{'id': 1}", '{"id": "x"} more', b"\xff\xfe", "[" * 100_000, '{"a": 1,}', b"\xef\xbb\xbf{}"],
)
async def test_what_is_no_json_is_refused(ada: Client, body: str | bytes) -> None:
    got = await ada.post("/ivr", body)
    assert (got.status, got.code) == (400, "invalid-json")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [('{"id": "\\ud800"}', "/id"), ('{"a": 1, "a": 1}', ""), ('{"nodes": [{"a": 1e999}]}', "/nodes/0/a")],
)
async def test_json_that_cannot_be_kept_is_refused(ada: Client, body: str, pointer: str) -> None:
    got = await ada.post("/ivr", body)
    assert (got.status, got.code, got.pointers) == (422, "invalid-body", [pointer])


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "nonsense"])
async def test_a_body_that_is_not_declared_as_json_is_refused(ada: Client, content_type: str) -> None:
    got = await ada.post("/ivr", "{}", Content_Type=content_type)
    assert (got.status, got.code) == (415, "not-json")


async def test_a_charset_may_be_named(ada: Client) -> None:
    got = await ada.post(
        "/suppression", {"number": "+12025550111"}, Content_Type="application/json; charset=utf-8"
    )
    assert got.status == 201


async def test_a_body_that_is_too_large_is_refused(ada: Client) -> None:
    got = await ada.post("/ivr", io.BytesIO(b'"' + b"x" * MAX_BODY_BYTES + b'"'))
    assert (got.status, got.code) == (413, "body-too-large")


async def test_a_body_that_is_not_packed_as_it_says_is_refused(ada: Client) -> None:
    got = await ada.post("/ivr", "plain", Content_Encoding="gzip")
    assert (got.status, got.code) == (400, "invalid-request")


async def test_a_packed_body_is_measured_unpacked(ada: Client) -> None:
    bomb = gzip.compress(b" " * 50 * MAX_BODY_BYTES)
    got = await ada.post("/ivr", bomb, Content_Encoding="gzip")
    assert got.status in {400, 413}, got
    small = gzip.compress(b'{"number": "+12025550111"}')
    assert (await ada.post("/suppression", small, Content_Encoding="gzip")).status == 201


class Inner(BaseModel):
    a: int


class Outer(BaseModel):
    one: Inner
    many: list[Inner]
    named: dict[str, Inner]


@pytest.mark.parametrize(
    ("data", "pointers"),
    [
        (7, [""]),
        ({}, ["/one", "/many", "/named"]),
        (
            {"one": {}, "many": [{"a": 1}, {"a": "x"}, {}], "named": {"x/y": {"a": None}}},
            ["/one/a", "/many/1/a", "/many/2/a", "/named/x~1y/a"],
        ),
    ],
)
def test_a_fault_is_pointed_at(data: Any, pointers: list[str]) -> None:
    with pytest.raises(ProblemError) as caught:
        validated(data, Outer)
    assert [fault.pointer for fault in caught.value.errors] == pointers
