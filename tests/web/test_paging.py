"""Lists: every row once, newest first, whatever the page's size."""

import pytest

from tests.web.house import Client


async def test_pages_follow_each_other(ada: Client) -> None:
    for n in range(5):
        await ada.post("/suppression", {"number": f"+1202555000{n}"})
    seen, sizes, cursor = [], [], ""
    while True:
        got = await ada.get(f"/suppression?limit=2{cursor}")
        seen += [entry["number"] for entry in got.body["suppressions"]]
        sizes.append(got.body["count"])
        if got.body["next"] is None:
            break
        cursor = f"&cursor={got.body['next']}"
    assert seen == [f"+1202555000{n}" for n in reversed(range(5))]
    assert sizes == [2, 2, 1]


@pytest.mark.parametrize("path", ["/ivr", "/dids", "/suppression", "/api/voice"])
@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=many", "limit"),
        ("limit=1&limit=2", "limit"),
        ("cursor=nonsense", "cursor"),
        ("cursor=", "cursor"),
        ("cursor=%00%FF", "cursor"),
        ("page=2", "page"),
    ],
)
async def test_a_query_that_means_nothing_is_refused(
    ada: Client, path: str, query: str, parameter: str
) -> None:
    got = await ada.get(f"{path}?{query}")
    assert (got.status, got.code) == (422, "invalid-query")
    assert [error["parameter"] for error in got.body["errors"]] == [parameter]


async def test_an_operation_without_parameters_takes_none(ada: Client) -> None:
    assert (await ada.get("/healthz?a=1")).code == "invalid-query"
