"""Telephone numbers over HTTP."""

import pytest

from tests.web.house import Client, House, new_did

TREE = {"id": "menu", "nodes": {"bye": {"action": "hangup"}}}


async def test_a_did_is_registered_shown_changed_and_given_up(house: House, ada: Client) -> None:
    did = new_did()
    await ada.post("/ivr", TREE)
    got = await ada.post("/dids", {"did": did, "label": "Front desk"})
    assert got.status == 201
    assert got.body == {
        "did": did,
        "ivr": None,
        "label": "Front desk",
        "createdAt": got.body["createdAt"],
        "agent": None,
    }
    assert (await ada.get(f"/dids/{did}")).body == got.body
    line = await house.lines.find(did)
    assert line is not None
    assert line.tree is None

    got = await ada.patch(f"/dids/{did}", {"ivr": "menu"})
    assert (got.status, got.body["ivr"], got.body["label"]) == (200, "menu", "Front desk")
    line = await house.lines.find(did)
    assert line is not None
    assert line.ivr == "menu"

    got = await ada.patch(f"/dids/{did}", {"ivr": None, "label": None})
    assert (got.body["ivr"], got.body["label"]) == (None, None)
    assert (await ada.patch(f"/dids/{did}", {})).body == got.body

    got = await ada.delete(f"/dids/{did}")
    assert (got.status, got.body) == (200, {"deleted": True, "did": did})
    assert await house.lines.find(did) is None
    assert (await ada.get(f"/dids/{did}")).code == "did-not-found"


async def test_a_did_may_come_with_its_ivr(house: House, ada: Client) -> None:
    did = new_did()
    await ada.post("/ivr", TREE)
    assert (await ada.post("/dids", {"did": did, "ivr": "menu"})).body["ivr"] == "menu"
    line = await house.lines.find(did)
    assert line is not None
    assert line.ivr == "menu"
    got = await ada.get("/dids")
    assert ([one["did"] for one in got.body["dids"]], got.body["count"], got.body["next"]) == ([did], 1, None)


async def test_an_ivr_that_does_not_exist_is_refused(ada: Client) -> None:
    did = new_did()
    got = await ada.post("/dids", {"did": did, "ivr": "nothing"})
    assert (got.status, got.code, got.pointers) == (404, "ivr-not-found", ["/ivr"])
    await ada.post("/dids", {"did": did})
    got = await ada.patch(f"/dids/{did}", {"ivr": "nothing"})
    assert (got.status, got.code, got.pointers) == (404, "ivr-not-found", ["/ivr"])


async def test_a_number_is_registered_once(ada: Client, bob: Client) -> None:
    did = new_did()
    await ada.post("/dids", {"did": did})
    assert (await ada.post("/dids", {"did": did})).code == "did-exists"
    got = await bob.post("/dids", {"did": did})
    assert (got.status, got.code) == (409, "did-owned-by-another")


async def test_a_number_is_named_in_three_ways(ada: Client) -> None:
    did = new_did()
    await ada.post("/dids", {"did": f"{did[1:]}"})
    for written in (did, f"%2B{did[1:]}", did[1:]):
        assert (await ada.get(f"/dids/{written}")).body["did"] == did


@pytest.mark.parametrize("written", ["", "12", "+0", "no number", "+1949555123456789", "٣"])
async def test_what_is_no_number_is_refused(ada: Client, written: str) -> None:
    got = await ada.post("/dids", {"did": written})
    assert (got.status, got.code, got.pointers) == (422, "invalid-body", ["/did"])


async def test_what_is_no_number_in_a_path_is_refused(ada: Client) -> None:
    got = await ada.get("/dids/12")
    assert (got.status, got.code) == (422, "invalid-path")
    assert got.body["errors"][0]["parameter"] == "did"


@pytest.mark.parametrize("label", ["a\nb", "x" * 201, 7])
async def test_a_label_is_one_short_line(ada: Client, label: object) -> None:
    assert (await ada.post("/dids", {"did": new_did(), "label": label})).pointers == ["/label"]
