"""The do-not-call list over HTTP."""

from typing import Any

import pytest

from tests.web.house import Client


async def test_a_number_is_put_on_the_list_and_taken_off(ada: Client) -> None:
    got = await ada.post("/suppression", {"number": "(949) 555-1234", "reason": "asked by mail"})
    assert got.status == 201
    assert got.body == {
        "number": "+19495551234",
        "source": "api",
        "reason": "asked by mail",
        "call": None,
        "createdAt": got.body["createdAt"],
    }
    for written in ("+19495551234", "%2B19495551234", "19495551234"):
        assert (await ada.get(f"/suppression/{written}")).body == got.body
    gone = await ada.delete("/suppression/+19495551234")
    assert (gone.status, gone.body) == (200, {"deleted": True, "number": "+19495551234"})
    assert (await ada.get("/suppression/+19495551234")).code == "suppression-not-found"
    assert (await ada.delete("/suppression/+19495551234")).code == "suppression-not-found"


async def test_a_number_on_the_list_stays_as_it_is(ada: Client) -> None:
    first = await ada.post("/suppression", {"number": "+19495551234", "reason": "first"})
    again = await ada.post("/suppression", {"number": "+19495551234", "reason": "second"})
    assert (again.status, again.body) == (200, first.body)


async def test_many_numbers_at_once(ada: Client) -> None:
    await ada.post("/suppression", {"number": "+12025550000"})
    numbers = [f"+1202555{n:04}" for n in range(10_000)]
    got = await ada.post("/suppression", {"numbers": numbers, "reason": "import"})
    assert (got.status, got.body) == (201, {"added": 9_999, "existing": 1})
    assert (await ada.get("/suppression/+12025559999")).body["reason"] == "import"
    assert (await ada.get("/suppression/+12025550000")).body["reason"] is None


async def test_a_number_that_is_sent_twice_counts_once(ada: Client) -> None:
    got = await ada.post("/suppression", {"numbers": ["+12025550000", "(202) 555-0000"]})
    assert got.body == {"added": 1, "existing": 0}


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/number"]),
        ({"number": "nobody"}, ["/number"]),
        ({"numbers": []}, ["/numbers"]),
        ({"numbers": ["+12025550000", "nobody", 7]}, ["/numbers/1", "/numbers/2"]),
        ({"numbers": ["+12025550000"] * 10_001}, ["/numbers"]),
        ({"numbers": ["+12025550000"], "number": "+12025550000"}, ["/number"]),
        ({"number": "+12025550000", "reason": "a\x00b"}, ["/reason"]),
        ({"number": "+12025550000", "source": "ivr"}, ["/source"]),
    ],
)
async def test_what_is_refused(ada: Client, body: Any, pointers: list[str]) -> None:
    got = await ada.post("/suppression", body)
    assert (got.status, got.code, got.pointers) == (422, "invalid-body", pointers)
    assert (await ada.get("/suppression")).body == {"suppressions": [], "count": 0, "next": None}
