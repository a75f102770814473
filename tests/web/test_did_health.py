"""How well a DID's calls are taken, over HTTP, and `from: auto`."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from tests.web.house import Client, House
from trunx.adapters.store.tables import milliseconds

TO = "+14155552671"


@pytest_asyncio.fixture(loop_scope="session")
async def cleo(house: House) -> Client:
    """A user with an account of her own, so that nobody else's calls count."""
    return await house.client("Cleo")


async def own(client: Client, *dids: str) -> None:
    for did in dids:
        assert (await client.post("/dids", {"did": did})).status == 201


def made(house: House, client: Client, did: str, reason: str, calls: int) -> None:
    """Calls of the last hours, none of which was answered."""
    at = milliseconds(datetime.now(UTC) - timedelta(hours=30))
    with closing(sqlite3.connect(house.folder / "trunx.db", timeout=5)) as database, database:
        database.executemany(
            "INSERT INTO calls (id, call_id, account, direction, from_number, to_number, status, "
            "created_at, ended_at, end_reason, server) "
            "VALUES (?, '', ?, 'outbound', ?, ?, 'failed', ?, ?, ?, '')",
            ((f"{did}-{n}", client.account, did, TO, at + n, at + n, reason) for n in range(calls)),
        )


async def test_a_health_is_explained(house: House, cleo: Client, bob: Client) -> None:
    did = "+14155550110"
    await own(cleo, did)
    got = (await cleo.get(f"/dids/{did}/health")).body
    registered = (await cleo.get(f"/dids/{did}")).body["createdAt"]
    assert {name: got[name] for name in got if name != "parts"} == {
        "did": did,
        "health": 82,
        "state": "warming",
        "since": registered,
        "today": 0,
        "enough": 20,
    }
    assert [(part["name"], part["points"], part["most"], part["share"]) for part in got["parts"]] == [
        ("answered", 37.5, 50, 0.3),
        ("short", 7.0, 10, 0.15),
        ("failed", 18.0, 20, 0.05),
        ("suppressed", 9.0, 10, 0.02),
        ("trend", 10.0, 10, 1.0),
    ]
    made(house, cleo, did, "rejected", 60)
    got = (await cleo.get(f"/dids/{did}/health")).body
    assert (got["health"], got["state"], got["enough"]) == (38, "resting", 0)
    assert got["parts"][2] == {
        "name": "failed",
        "points": 0.0,
        "most": 20,
        "share": 0.683,
        "sentence": "60 of 60 were rejected",
    }
    assert (await cleo.get(f"/dids/{did}/health")).body["since"] == got["since"], "it is remembered"
    assert (await bob.get(f"/dids/{did}/health")).code == "did-not-found"
    assert (await cleo.get("/dids/pick/health")).code == "invalid-path"


async def test_the_candidates_are_shown_with_their_scores(cleo: Client, bob: Client) -> None:
    near, far = "+14155550111", "+12125550111"
    assert (await cleo.get(f"/dids/pick?to={TO}")).body == {"to": TO, "from": None, "candidates": []}
    await own(cleo, far, near)
    got = await cleo.get("/dids/pick?to=%2B14155552671")
    assert (got.status, got.body["to"], got.body["from"]) == (200, TO, near)
    assert got.body["candidates"] == [
        {
            "did": near,
            "score": 110,
            "health": 82,
            "presence": "area",
            "state": "warming",
            "today": 0,
            "enough": 20,
            "usable": True,
            "reason": "of the same area; health 82 of 100; 0 calls in 24 hours, of 20 that are enough while "
            "it warms up",
        },
        got.body["candidates"][1],
    ]
    assert [(one["did"], one["score"]) for one in got.body["candidates"]] == [(near, 110), (far, 85)]
    assert len((await cleo.get(f"/dids/pick?to={TO}&limit=1")).body["candidates"]) == 1
    assert (await bob.get(f"/dids/pick?to={TO}")).body["candidates"] == []
    for query in ("", "?to=nobody", f"?to={TO}&limit=0", f"?to={TO}&limit=201"):
        assert (await cleo.get(f"/dids/pick{query}")).code == "invalid-query"


async def test_the_best_did_calls(house: House, cleo: Client) -> None:
    near, far = "+14155550112", "+12125550112"
    assert (await cleo.post("/api/voice", {"from": "auto", "to": TO})).code == "no-did"
    assert (await cleo.post("/api/voice/preview", {"from": "auto", "to": TO})).code == "no-did"
    await own(cleo, far, near)
    preview = (await cleo.post("/api/voice/preview", {"from": "auto", "to": TO})).body
    assert (preview["allowed"], preview["verdicts"][1]["inputs"]["from"]) == (True, near)
    placed = await cleo.post("/api/voice", {"from": "auto", "to": TO})
    assert placed.status == 201
    call = (await cleo.get(f"/api/voice/{placed.body['id']}")).body
    assert (call["from"], call["to"]) == (near, TO)
    order = await house.asterisk.order(call["id"])
    assert order["CallerID"] == [f'"" <{near}>']
    (first, _) = (await cleo.get(f"/dids/pick?to={TO}")).body["candidates"]
    assert (first["did"], first["today"]) == (near, 1), "a preview is no call"
    refused = await cleo.post("/api/voice", {"from": "auto", "to": "911"})
    assert refused.code == "emergency-number"


async def test_a_request_that_is_repeated_finds_the_call_of_the_first_did(house: House, cleo: Client) -> None:
    await own(cleo, "+14155550113", "+14155550114")
    body = {"from": "auto", "to": TO}
    first = await cleo.post("/api/voice", body, Idempotency_Key="auto-1")
    assert (await cleo.post("/api/voice", body, Idempotency_Key="auto-1")).body == first.body
    # As when we died before the answer was kept.
    with closing(sqlite3.connect(house.folder / "trunx.db", timeout=5)) as database, database:
        database.execute("DELETE FROM idempotency WHERE account = ?", (cleo.account,))
    again = await cleo.post("/api/voice", body, Idempotency_Key="auto-1")
    assert (again.status, again.body) == (201, first.body)
    assert "Idempotency-Replayed" not in again.headers
    assert (await cleo.get("/api/voice")).body["count"] == 1
    other = await cleo.post("/api/voice", body, Idempotency_Key="auto-2")
    rows = [(await cleo.get(f"/api/voice/{one.body['id']}")).body["from"] for one in (first, other)]
    assert rows == ["+14155550113", "+14155550114"]


async def test_when_all_dids_rest(house: House, cleo: Client) -> None:
    did = "+14155550115"
    await own(cleo, did)
    made(house, cleo, did, "rejected", 60)
    got = await cleo.post("/api/voice", {"from": "auto", "to": TO})
    assert (got.status, got.code) == (409, "dids-resting")
    shown = (await cleo.get(f"/dids/pick?to={TO}")).body
    assert (shown["from"], shown["candidates"][0]["usable"]) == (None, False)
    assert shown["candidates"][0]["reason"] == "of the same area; health 38 of 100; it rests"
    assert (await cleo.post("/api/voice", {"from": did, "to": TO})).status == 201, "it may be named"


@pytest.mark.parametrize("written", ["Auto", "auto ", "", "anything"])
async def test_nothing_else_is_auto(cleo: Client, written: str) -> None:
    for path in ("/api/voice", "/api/voice/preview"):
        got = await cleo.post(path, {"from": written, "to": TO})
        assert (got.status, got.pointers) == (422, ["/from"])
