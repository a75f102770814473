"""Transfers by request over HTTP: what Asterisk is told, and whom nobody calls."""

from typing import Any

import pytest

from tests.web.house import Client, Got, House, new_did
from tests.web.test_calls import call
from trunx.domain.call import Call, Status, new_call_id

TO = "+14155559999"


async def live(house: House, user: Client, status: Status = Status.ANSWERED) -> Call:
    """A call that came in, to a DID of the user's."""
    did = new_did()
    assert (await user.post("/dids", {"did": did})).status == 201
    one = call(user.account, 0, status)._replace(to_number=did)
    house.recorder.call(one)
    await house.recorder.flush()
    return one


async def ask(user: Client, one: Call, body: Any = None, then: str = "", account: str = "") -> Got:
    path = f"/v1/voice/accounts/{account or user.account}/calls/{one.id}/transfer{then}"
    return await user.post(path, body)


async def told(user: Client, one: Call) -> list[tuple[str, str | None]]:
    """How the actions of a call went."""
    rows = (await user.get(f"/api/voice/{one.id}/timeline")).body["timeline"]
    return [(row["what"], row["data"].get("problem")) for row in rows if row["kind"] == "action"]


async def test_the_contract_s_request_and_what_asterisk_is_told(house: House, ada: Client) -> None:
    one, own = await live(house, ada), new_did()
    assert (await ada.post("/dids", {"did": own})).status == 201
    body = {"to": TO, "caller_id": own, "answer_url": "https://example.com/transfer-answer"}
    got = await ask(ada, one, body)
    assert got.status == 201
    assert got.body == {"transfer_uuid": got.body["transfer_uuid"], "status": "transferring", "to": TO}
    order = await house.asterisk.order(got.body["transfer_uuid"])
    assert (order["Channel"], order["Context"], order["Exten"]) == (
        [f"PJSIP/{TO}@carrier"],
        ["trunx-transfer"],
        ["placed"],
    )
    assert own in order["CallerID"][0]
    placed = (await ada.get(f"/api/voice/{got.body['transfer_uuid']}")).body
    assert (placed["direction"], placed["from"], placed["to"]) == ("outbound", own, TO)
    assert await told(ada, one) == [("started", None)]
    assert (await ada.get(f"/api/voice/{one.id}")).body["status"] == "answered"


async def test_who_names_no_caller_id_shows_the_call_s_own_number(house: House, ada: Client) -> None:
    one = await live(house, ada)
    got = await ask(ada, one, {"to": TO})
    placed = (await ada.get(f"/api/voice/{got.body['transfer_uuid']}")).body
    assert placed["from"] == one.to_number


async def test_one_at_a_time_until_it_is_given_up(house: House, ada: Client) -> None:
    one = await live(house, ada)
    first = await ask(ada, one, {"to": TO})
    assert (await ask(ada, one, {"to": TO})).code == "transfer-under-way"
    assert (await ask(ada, one, then="/confirm")).code == "transfer-not-confirmable"
    canceled = await ask(ada, one, then="/cancel")
    assert (canceled.status, canceled.body) == (200, first.body | {"status": "canceled"})
    assert (await ask(ada, one, then="/cancel")).code == "no-transfer"
    assert (await ask(ada, one, then="/confirm")).code == "no-transfer"
    assert await told(ada, one) == [("started", None), ("failed", "canceled")]
    row = (await ada.get(f"/api/voice/{first.body['transfer_uuid']}")).body
    assert (row["status"], row["endReason"]) == ("failed", "canceled")
    assert (await ask(ada, one, {"to": TO})).status == 201


@pytest.mark.parametrize("status", [Status.RINGING, Status.COMPLETED])
async def test_a_call_that_is_not_in_progress(house: House, ada: Client, status: Status) -> None:
    one = await live(house, ada, status)
    got = await ask(ada, one, {"to": TO})
    assert (got.status, got.code) == (409, "call-not-in-progress")
    assert status.value in got.body["detail"]


async def test_somebody_else_s(house: House, ada: Client, bob: Client) -> None:
    one = await live(house, ada)
    assert (await ask(bob, one, {"to": TO})).code == "call-not-found"
    assert (await ask(bob, one, {"to": TO}, account=ada.account)).code == "not-your-account"
    for then in ("/confirm", "/cancel"):
        assert (await ask(bob, one, then=then)).code == "call-not-found"
    unknown = one._replace(id=new_call_id())
    assert (await ask(ada, unknown, {"to": TO})).code == "call-not-found"


async def test_what_the_gate_refuses_has_failed_and_nobody_is_called(house: House, ada: Client) -> None:
    one = await live(house, ada)
    assert (await ada.post("/suppression", {"number": TO})).status < 300
    refused = await ask(ada, one, {"to": TO})
    assert (refused.status, refused.code, refused.body["rule"]) == (403, "suppressed", "suppression")
    stranger = await ask(ada, one, {"to": "+14155559998", "caller_id": "+14155551234"})
    assert (stranger.status, stranger.code) == (403, "from-not-owned")
    assert await told(ada, one) == [
        ("started", None),
        ("failed", "suppressed"),
        ("started", None),
        ("failed", "from-not-owned"),
    ]
    assert not house.asterisk.dialled_by(one.to_number)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/to"),
        ({"to": "nobody"}, "/to"),
        ({"to": "+14155559999\r\nAction: Hangup"}, "/to"),
        ({"to": TO, "caller_id": "\n+1"}, "/caller_id"),
        ({"to": TO, "mode": "warm"}, "/mode"),
        ({"to": TO, "answer_url": "http://127.0.0.1/told"}, "/answer_url"),
        ({"to": TO, "answer_url": "https://inside.example.com/told"}, "/answer_url"),
        ({"to": TO, "answer_url": "ftp://example.com/told"}, "/answer_url"),
        ({"to": TO, "callback": "x"}, "/callback"),
    ],
)
async def test_what_cannot_be_accepted(house: House, ada: Client, body: dict[str, str], pointer: str) -> None:
    got = await ask(ada, await live(house, ada), body)
    assert (got.status, got.pointers) == (422, [pointer])
