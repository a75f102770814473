"""A call's life over HTTP: what each store has of it, in one list."""

from datetime import UTC, datetime, timedelta

from tests.web.house import Client, House, new_did
from tests.web.test_calls import BEGIN, call
from trunx.domain.action import Action, ActionKind, ActionState
from trunx.domain.call import Event, Left, Status, Step, new_call_id


async def test_a_call_that_came_in(house: House, ada: Client, bob: Client) -> None:
    one = call(ada.account, 0, Status.ANSWERED)
    house.recorder.call(one)
    entered = BEGIN + timedelta(seconds=1.25)
    house.recorder.step(
        Step(
            one.id,
            1,
            "welcome",
            "gather",
            entered,
            BEGIN + timedelta(seconds=3.001),
            Left.KEY,
            "9",
            1860,
            fallback=False,
        )
    )
    house.recorder.event(Event(ada.account, one.id, "audio.failed", BEGIN, {"audio": "welcome.wav"}))
    await house.recorder.flush()
    asked = Action(
        new_call_id(),
        one.id,
        ada.account,
        ActionKind.DTMF,
        ActionState.STARTED,
        {"digits": "12"},
        datetime.now(UTC),
    )
    await house.ports.action_rows.add(asked)
    got = await ada.get(f"/api/voice/{one.id}/timeline")
    assert (got.status, got.body["count"], got.body["next"]) == (200, 6, None)
    rows = got.body["timeline"]
    assert [(row["kind"], row["what"]) for row in rows] == [
        ("state", "initiated"),
        ("event", "audio.failed"),
        ("state", "answered"),
        ("step", "entered"),
        ("step", "left"),
        ("action", "started"),
    ]
    assert rows[4] == {
        "at": "2026-03-09T15:30:03.001Z",
        "ms": 3001,
        "kind": "step",
        "what": "left",
        "data": {
            "number": 1,
            "node": "welcome",
            "nodeKind": "gather",
            "left": "key",
            "key": "9",
            "promptMs": 1860,
            "fallback": False,
        },
    }
    assert rows[5]["data"] == {"action": asked.id, "actionKind": "dtmf", "asked": {"digits": "12"}}
    assert (await bob.get(f"/api/voice/{one.id}/timeline")).code == "call-not-found"


async def test_a_call_that_we_placed_shows_what_the_gate_said(house: House, ada: Client) -> None:
    did = new_did()
    assert (await ada.post("/dids", {"did": did})).status == 201
    placed = await ada.post("/api/voice", {"from": did, "to": "+14155552671"})
    await house.asterisk.order(placed.body["id"])
    await house.ports.outbound.close()
    rows = (await ada.get(f"/api/voice/{placed.body['id']}/timeline")).body["timeline"]
    assert [(row["kind"], row["what"]) for row in rows] == [
        ("state", "initiated"),
        ("verdict", "accept"),
        ("verdict", "dial"),
    ]
    assert rows[0]["data"] == {"from": did, "to": "+14155552671", "direction": "outbound"}
    assert all(row["data"]["allowed"] for row in rows[1:])
