"""`.../record`: what Asterisk is told, what is answered, and whom it is refused."""

import asyncio
from typing import Any

import pytest

from tests.peers.ami_stub import Block
from tests.web.house import Client, House
from tests.web.recorded import SECONDS, tone
from tests.web.test_calls import call
from tests.web.test_recordings import path_of
from trunx.adapters.store.database import Database
from trunx.adapters.store.recordings import Recordings
from trunx.domain.call import Call, Status, new_call_id
from trunx.domain.recording import Kept

CHANNEL = "1700000000.1"


async def answered(house: House, client: Client, status: Status = Status.ANSWERED) -> Call:
    """A call that came in to the client."""
    one = call(client.account, 0, status)
    house.recorder.call(one)
    await house.recorder.flush()
    return one


def place(client: Client, one: Call, more: str = "") -> str:
    return f"/v1/voice/accounts/{client.account}/calls/{one.id}/record{more}"


def told(house: House, action: str, recording: str | None = None) -> list[dict[str, str]]:
    """What Asterisk was told, of one recording if that is named."""
    blocks: list[Block] = house.asterisk.named(action)
    fields = [{name: one for name, (one, *_) in block.items() if name != "ActionID"} for block in blocks]
    return [one for one in fields if recording is None or recording in str(one)]


async def started(client: Client, one: Call, **fields: Any) -> str:
    got = await client.post(place(client, one), fields)
    assert got.status == 201, got.body
    return str(got.body["recording_uuid"])


async def statuses(client: Client, one: Call) -> list[str]:
    """How the call and the list show its only recording."""
    (named,) = (await client.get(f"/api/voice/{one.id}")).body["recordings"]
    (listed,) = (await client.get(f"/api/recordings?call={one.id}")).body["recordings"]
    return [named["status"], listed["status"]]


async def finish(house: House, recording_id: str, account: str) -> None:
    """As the keeper does once it has stopped."""
    async with Database.open(f"sqlite:///{house.folder}/trunx.db") as database:
        rows = Recordings(database)
        recording = await rows.get(recording_id, account)
        house.ports.recordings.path(recording).write_bytes(tone(recording.format))
        assert await rows.ready(recording, Kept(round(1000 * SECONDS), len(tone(recording.format))))


async def events(client: Client, one: Call) -> list[tuple[str, dict[str, Any]]]:
    listed = (await client.get(f"/api/voice/{one.id}/events")).body["events"]
    return [(event["type"], event["data"]) for event in listed if event["type"].startswith("action.")]


async def test_a_recording_from_its_start_to_its_file(house: House, ada: Client, stranger: Client) -> None:
    one = await answered(house, ada)
    got = await ada.post(place(ada, one), {})
    made = got.body["recording_uuid"]
    assert (got.status, got.body) == (
        201,
        {"recording_uuid": made, "status": "recording", "format": "mp3"},
    )
    assert told(house, "MixMonitor", made) == [
        {"Action": "MixMonitor", "Channel": CHANNEL, "File": f"trunx/calls/{made}.wav"}
    ]
    shown = (await ada.get(f"/api/recordings/{made}")).body
    assert (shown["call"], shown["maxLength"], shown["trimSilence"], shown["channels"]) == (
        one.id,
        14_400,
        False,
        "mono",
    )
    again = await ada.post(place(ada, one), {})
    assert (again.status, again.code) == (409, "already-recording")
    assert made in again.body["detail"]

    for more, status, state in (("/pause", "paused", "1"), ("/resume", "recording", "0")):
        got = await ada.post(place(ada, one, more), None)
        assert (got.status, got.body) == (200, {"recording_uuid": made, "status": status})
        assert told(house, "MixMonitorMute")[-1] == {
            "Action": "MixMonitorMute",
            "Channel": CHANNEL,
            "Direction": "both",
            "State": state,
        }

    stopped = await ada.delete(place(ada, one))  # nobody fetches it here
    url = stopped.body["url"]
    assert (stopped.status, stopped.body) == (
        200,
        {"recording_uuid": made, "status": "stopped", "url": url, "duration": 0},
    )
    assert told(house, "StopMixMonitor")[-1] == {"Action": "StopMixMonitor", "Channel": CHANNEL}
    early = await stranger.get(path_of(url))
    assert (early.status, early.code) == (409, "recording-processing")
    await finish(house, made, ada.account)
    assert (await stranger.get(path_of(url))).body == tone("mp3")

    named = (await ada.get(f"/api/voice/{one.id}")).body["recordings"]
    assert [(each["id"], each["status"], each["duration"]) for each in named] == [(made, "ready", SECONDS)]
    assert (await stranger.get(path_of(named[0]["url"]))).status == 200
    for more, ask in (("", ada.delete), ("/pause", lambda path: ada.post(path, None))):
        got = await ask(place(ada, one, more))
        assert (got.status, got.code) == (409, "not-recording")
    assert await events(ada, one) == [
        (
            "action.started",
            {
                "action": made,
                "kind": "record",
                "asked": {"format": "mp3", "maxLength": 14400, "trimSilence": False, "channels": "mono"},
            },
        ),
        (
            "action.completed",
            {"action": made, "kind": "record", "result": {"recording": made, "stoppedBy": "request"}},
        ),
    ]


async def test_both_channels_apart_and_what_else_can_be_asked_for(house: House, ada: Client) -> None:
    one = await answered(house, ada)
    asked = {"format": "wav", "max_length": 60, "trim_silence": True, "channels": "dual"}
    made = await started(ada, one, **asked)
    (order,) = told(house, "MixMonitor", made)
    assert order == {
        "Action": "MixMonitor",
        "Channel": CHANNEL,
        "Options": f"Sr(trunx/calls/{made}-r.wav)t(trunx/calls/{made}-t.wav)",
    }
    shown = (await ada.get(f"/api/recordings/{made}")).body
    assert (shown["format"], shown["maxLength"], shown["trimSilence"], shown["channels"]) == (
        "wav",
        60,
        True,
        "dual",
    )


async def test_a_second_one_follows_the_first(house: House, ada: Client) -> None:
    one = await answered(house, ada)
    first = await started(ada, one)
    await ada.delete(place(ada, one))
    second = await started(ada, one, format="wav")
    named = (await ada.get(f"/api/voice/{one.id}")).body["recordings"]
    assert [(each["id"], each["status"]) for each in named] == [
        (first, "processing"),
        (second, "recording"),
    ]
    assert all(each["url"] is None for each in named)


async def test_the_end_of_a_call_names_them_with_their_urls(house: House, ada: Client) -> None:
    one = await answered(house, ada)
    made = await started(ada, one)
    house.recorder.call(one._replace(status=Status.COMPLETED, ended_at=call(ada.account, 0).ended_at))
    await house.recorder.flush()
    listed = (await ada.get(f"/api/voice/{one.id}/events")).body["events"]
    (end,) = [event for event in listed if event["type"] == "call.completed"]
    assert end["data"]["recordings"] == [
        {
            "id": made,
            "status": "recording",
            "duration": None,
            "url": f"https://trunx.example.com/api/recordings/{made}/file",
        }
    ]
    # It goes on until the channel ends, and can be stopped until then.
    got = await ada.post(place(ada, one), {})
    assert (got.status, got.code) == (409, "already-recording")
    assert (await ada.delete(place(ada, one))).status == 200
    got = await ada.post(place(ada, one), {})
    assert (got.status, got.code) == (409, "call-not-in-progress")
    assert "completed" in got.body["detail"]


async def test_what_asterisk_refuses(house: House, ada: Client) -> None:
    one = await answered(house, ada)
    house.asterisk.replies["MixMonitor"] = "Response: Error\r\n{id}Message: No such channel\r\n\r\n"
    try:
        got = await ada.post(place(ada, one), {})
    finally:
        del house.asterisk.replies["MixMonitor"]
    assert (got.status, got.code) == (409, "recording-failed")
    assert "No such channel" in got.body["detail"]
    ((_, started_), (ended, data)) = await events(ada, one)
    assert (ended, data["action"], data["problem"]) == ("action.failed", started_["action"], "not-recorded")
    shown = (await ada.get(f"/api/recordings?call={one.id}")).body["recordings"]
    assert [(each["id"], each["status"]) for each in shown] == [(data["action"], "failed")]
    await started(ada, one)  # another try may do better


async def test_what_asterisk_does_not_answer(house: House, ada: Client) -> None:
    one = await answered(house, ada)
    house.asterisk.silent.add("MixMonitor")
    try:
        got = await ada.post(place(ada, one), {})
    finally:
        house.asterisk.silent.discard("MixMonitor")
    assert (got.status, got.code) == (503, "ami-unavailable")
    assert "may be recording" in got.body["detail"]
    (named,) = (await ada.get(f"/api/voice/{one.id}")).body["recordings"]
    assert named["status"] == "recording"
    assert (await ada.delete(place(ada, one))).status == 200


async def test_a_pause_is_shown_only_while_it_is_sure(house: House, ada: Client) -> None:
    """Who reads `paused` may say a secret aloud: where Asterisk has not answered it is not."""
    one = await answered(house, ada)
    await started(ada, one)

    async def unheard(more: str) -> None:
        house.asterisk.silent.add("MixMonitorMute")
        try:
            got = await ada.post(place(ada, one, more), None)
        finally:
            house.asterisk.silent.discard("MixMonitorMute")
        assert (got.status, got.code) == (503, "ami-unavailable")

    await unheard("/pause")
    assert await statuses(ada, one) == ["recording"] * 2
    assert (await ada.post(place(ada, one, "/pause"), None)).status == 200
    assert await statuses(ada, one) == ["paused"] * 2
    await unheard("/resume")
    assert await statuses(ada, one) == ["recording"] * 2
    # Whatever Asterisk does, it is told by the order that came last.
    both = await asyncio.gather(
        *(ada.post(place(ada, one, more), None) for more in ("/resume", "/pause") * 4)
    )
    assert {got.status for got in both} == {200}
    state = told(house, "MixMonitorMute")[-1]["State"]
    assert await statuses(ada, one) == [{"1": "paused", "0": "recording"}[state]] * 2
    await ada.delete(place(ada, one))
    assert await statuses(ada, one) == ["processing"] * 2


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"format": "ogg"}, "/format"),
        ({"max_length": 0}, "/max_length"),
        ({"max_length": 86_401}, "/max_length"),
        ({"max_length": "60"}, "/max_length"),
        ({"trim_silence": 1}, "/trim_silence"),
        ({"channels": "stereo"}, "/channels"),
        ({"formt": "mp3"}, "/formt"),
    ],
)
async def test_what_cannot_be_asked_for(
    house: House, ada: Client, body: dict[str, Any], pointer: str
) -> None:
    one = await answered(house, ada)
    got = await ada.post(place(ada, one), body)
    assert (got.status, got.pointers) == (422, [pointer])


async def test_whose_call_it_is(house: House, ada: Client, bob: Client, stranger: Client) -> None:
    one = await answered(house, ada)
    for method, more in (("POST", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume")):
        body: dict[str, Any] | None = {} if (method, more) == ("POST", "") else None
        for who, path, status, code in (
            (stranger, place(ada, one, more), 401, "invalid-key"),
            (bob, place(ada, one, more), 403, "not-your-account"),
            (bob, place(bob, one, more), 404, "call-not-found"),
            (ada, place(ada, one, more).replace(one.id, new_call_id()), 404, "call-not-found"),
            (ada, place(ada, one, more).replace(one.id, "CA1"), 404, "call-not-found"),
        ):
            got = await who.ask(method, path, body)
            assert (got.status, got.code) == (status, code), (method, more)


@pytest.mark.parametrize("status", [Status.INITIATED, Status.RINGING, Status.COMPLETED, Status.FAILED])
async def test_a_call_that_is_not_in_progress(house: House, ada: Client, status: Status) -> None:
    one = await answered(house, ada, status)
    got = await ada.post(place(ada, one), {})
    assert (got.status, got.code) == (409, "call-not-in-progress")
    assert status.value in got.body["detail"]
    assert (await ada.get(f"/api/recordings?call={one.id}")).body["count"] == 0
