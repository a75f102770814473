"""Calls over HTTP, as the recorder wrote them."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.web.house import Client, House
from trunx.domain.call import Call, EndReason, Event, Left, Status, Step, new_call_id, public_call_id

BEGIN = datetime(2026, 3, 9, 15, 30, tzinfo=UTC)


def call(account: str, minute: int, status: Status = Status.COMPLETED, caller: str = "+14155550001") -> Call:
    """A call of 45.9 seconds, `minute` minutes after the first."""
    begin = BEGIN + timedelta(minutes=minute)
    ended = status is Status.COMPLETED
    name = new_call_id()
    return Call(
        id=name,
        call_id=public_call_id(name),
        account=account,
        direction="inbound",
        from_number=caller,
        to_number="+19495551234",
        status=status,
        created_at=begin,
        answered_at=begin + timedelta(seconds=1),
        ended_at=begin + timedelta(seconds=46.9) if ended else None,
        end_reason=EndReason.SUPPRESSED if ended else None,
        ivr="qualify-business",
        ivr_version=3,
        agi_uniqueid="1700000000.1",
    )


async def test_a_call_has_the_contract_s_fields_and_ours(house: House, ada: Client) -> None:
    one = call(ada.account, 0)
    house.recorder.call(one)
    await house.recorder.flush()
    got = await ada.get(f"/api/voice/{one.id}")
    assert got.status == 200
    assert got.body == {
        "id": one.id,
        "callId": one.call_id,
        "from": "+14155550001",
        "to": "+19495551234",
        "status": "completed",
        "provider": "asterisk",
        "direction": "inbound",
        "duration": 45,
        "createdAt": "2026-03-09T15:30:00.000Z",
        "answeredAt": "2026-03-09T15:30:01.000Z",
        "endedAt": "2026-03-09T15:30:46.900Z",
        "endReason": "suppressed",
        "ivr": "qualify-business",
        "ivrVersion": 3,
        "agiUniqueid": "1700000000.1",
    }


async def test_a_live_call_has_no_duration_yet(house: House, ada: Client) -> None:
    one = call(ada.account, 0, Status.ANSWERED)
    house.recorder.call(one)
    await house.recorder.flush()
    got = await ada.get(f"/api/voice/{one.id}")
    assert (got.body["duration"], got.body["endedAt"], got.body["endReason"]) == (0, None, None)


async def test_steps_and_events_of_a_call(house: House, ada: Client) -> None:
    one = call(ada.account, 0)
    house.recorder.call(one)
    house.recorder.step(
        Step(
            one.id,
            1,
            "welcome",
            "gather",
            BEGIN,
            BEGIN + timedelta(seconds=2),
            Left.KEY,
            "9",
            1860,
            fallback=True,
        )
    )
    house.recorder.step(Step(one.id, 2, "dnc", "suppress", BEGIN, BEGIN, Left.DONE, None, 0, fallback=False))
    house.recorder.event(Event(ada.account, one.id, "audio.failed", BEGIN, {"audio": "welcome.wav"}))
    await house.recorder.flush()
    got = await ada.get(f"/api/voice/{one.id}/steps")
    assert (got.status, got.body["count"], got.body["next"]) == (200, 2, None)
    assert got.body["steps"][0] == {
        "number": 1,
        "node": "welcome",
        "kind": "gather",
        "enteredAt": "2026-03-09T15:30:00.000Z",
        "leftAt": "2026-03-09T15:30:02.000Z",
        "left": "key",
        "key": "9",
        "promptMs": 1860,
        "fallback": True,
    }
    assert (got.body["steps"][1]["left"], got.body["steps"][1]["key"]) == ("done", None)
    got = await ada.get(f"/api/voice/{one.id}/events")
    assert (got.body["count"], got.body["next"]) == (6, None)
    assert [event["type"] for event in got.body["events"]] == [
        *("call.answered", "ivr.step", "ivr.step", "audio.failed", "ivr.completed", "call.completed"),
    ]
    failed = got.body["events"][3]
    assert failed.pop("id").startswith(f"{one.id}:")
    assert failed == {
        "seq": 4,
        "account": ada.account,
        "call": one.id,
        "type": "audio.failed",
        "at": "2026-03-09T15:30:00.000Z",
        "data": {"audio": "welcome.wav"},
    }


async def test_the_list_is_narrowed(house: House, ada: Client) -> None:
    calls = [
        call(ada.account, 0),
        call(ada.account, 1, Status.ANSWERED, "+14155550002"),
        call(ada.account, 2, caller="+14155550002"),
    ]
    for one in calls:
        house.recorder.call(one)
    await house.recorder.flush()

    async def found(query: str) -> list[int]:
        got = await ada.get(f"/api/voice?{query}")
        assert got.status == 200, got
        ids = [one["id"] for one in got.body["calls"]]
        return [[one.id for one in calls].index(name) for name in ids]

    assert await found("") == [2, 1, 0]
    assert await found("status=answered") == [1]
    assert await found("direction=inbound&status=completed") == [2, 0]
    assert await found("direction=outbound") == []
    assert await found("from=%2B14155550002") == [2, 1]
    assert await found("from=14155550002&to=(949)%20555-1234") == [2, 1]
    assert await found("since=2026-03-09T15:31:00Z") == [2, 1]
    assert await found("since=2026-03-09T17:31:00%2B02:00&until=2026-03-09T15:32:00.000Z") == [1]


@pytest.mark.parametrize(
    "query",
    [
        "status=busy",
        "direction=up",
        "from=nobody",
        "to=1",
        "since=yesterday",
        "since=2026-03-09T15:30:00",
        "until=1700000000",
        "until=0.5",
    ],
)
async def test_a_filter_that_means_nothing_is_refused(ada: Client, query: str) -> None:
    got = await ada.get(f"/api/voice?{query}")
    assert (got.status, got.code) == (422, "invalid-query")
    assert got.body["errors"][0]["parameter"] == query.partition("=")[0]


async def test_a_call_that_does_not_exist(ada: Client) -> None:
    for name in (new_call_id(), "nonsense", "%00"):
        for rest in ("", "/steps", "/events"):
            assert (await ada.get(f"/api/voice/{name}{rest}")).code == "call-not-found"
