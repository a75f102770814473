"""`.../play`, `.../speak`, `.../dtmf`: the contract's examples, what Asterisk is told, and who is refused."""

import asyncio
from typing import Any

import pytest

from tests.web.house import Client, House
from tests.web.test_record_actions import CHANNEL, answered
from trunx.domain.call import Call, Status, new_call_id

PLAY = {"url": "https://example.com/hold-music.mp3", "loop": 0}
SPEAK = {
    "text": "Thank you for calling. Please hold while we connect you.",
    "voice": "en-US-Neural-Jenny",
    "language": "en-US",
    "engine": "neural",
}
DTMF = {"digits": "1234*#"}
BODIES = {"play": PLAY, "speak": SPEAK, "dtmf": DTMF}


def place(client: Client, one: Call, what: str) -> str:
    return f"/v1/voice/accounts/{client.account}/calls/{one.id}/{what}"


def told(house: House, action: str) -> list[dict[str, str]]:
    return [
        {name: value for name, (value, *_) in block.items() if name not in {"Action", "ActionID"}}
        for block in house.asterisk.named(action)
    ]


async def over(client: Client, one: Call) -> dict[str, Any]:
    """The call's only action, once it is over."""
    async with asyncio.timeout(15):
        while True:
            (action,) = (await client.get(place(client, one, "actions"))).body["actions"]
            if action["ended_at"] is not None:
                return dict(action)
            await asyncio.sleep(0.02)


async def test_keys_are_pressed_one_by_one(house: House, ada: Client) -> None:
    one = await answered(house, ada)
    got = await ada.post(place(ada, one, "dtmf"), DTMF)
    made = got.body["dtmf_uuid"]
    assert (got.status, got.body) == (201, {"dtmf_uuid": made, "status": "sent", "digits": "1234*#"})
    action = await over(ada, one)
    assert action == {
        "action_uuid": made,
        "kind": "dtmf",
        "status": "completed",
        "asked": DTMF,
        "result": {"sent": "1234*#"},
        "problem": None,
        "created_at": action["created_at"],
        "ended_at": action["ended_at"],
    }
    pressed = [block for block in told(house, "PlayDTMF") if block["Channel"] == CHANNEL]
    assert pressed == [
        {"Channel": CHANNEL, "Digit": key, "Duration": "200", "Async": "false"} for key in "1234*#"
    ]
    listed = (await ada.get(f"/api/voice/{one.id}/events")).body["events"]
    assert [event["type"] for event in listed][-2:] == ["action.started", "action.completed"]


async def test_a_file_of_our_own_network_is_not_fetched(house: House, ada: Client) -> None:
    for url in ("http://127.0.0.1:8080/a.wav", "http://localhost/a.wav"):
        one = await answered(house, ada)
        got = await ada.post(place(ada, one, "play"), {"url": url})
        assert (got.status, got.body["status"], got.body["url"]) == (201, "playing", url)
        action = await over(ada, one)
        assert (action["status"], action["problem"]) == ("failed", "url-refused")
        assert action["asked"] == {"url": url, "loop": 1, "leg": "caller"}


async def test_what_is_spoken_in_a_talk_is_whispered(house: House, ada: Client) -> None:
    """The stub says of every variable that it is so: the caller is in a talk then."""
    one = await answered(house, ada)
    house.asterisk.replies["Getvar"] = "Response: Success\r\n{id}Variable: A\r\nValue: PJSIP/a-1\r\n\r\n"
    try:
        got = await ada.post(place(ada, one, "speak"), SPEAK)
        made = got.body["speak_uuid"]
        assert (got.status, got.body) == (
            201,
            {"speak_uuid": made, "status": "speaking", "text": SPEAK["text"]},
        )

        order = await house.asterisk.order(f"act-{made}")
        assert order["Channel"] == ["Local/plays@trunx-action/n"]
        assert (order["Context"], order["Exten"]) == (["trunx-action"], ["whispers"])
    finally:
        house.asterisk.replies.pop("Getvar")
    # Nobody has taken it up: it is stopped by the call's end.
    house.asterisk.replies["Getvar"] = "Response: Error\r\n{id}Message: No such channel\r\n\r\n"
    try:
        action = await over(ada, one)
        assert (action["status"], action["problem"]) == ("failed", "call-ended")
    finally:
        house.asterisk.replies.pop("Getvar")


@pytest.mark.parametrize("what", BODIES)
async def test_who_is_refused(house: House, ada: Client, bob: Client, stranger: Client, what: str) -> None:
    one = await answered(house, ada)
    body = BODIES[what]
    got = await bob.post(place(ada, one, what), body)
    assert (got.status, got.code) == (403, "not-your-account")
    got = await bob.post(place(bob, one, what), body)
    assert (got.status, got.code) == (404, "call-not-found")
    got = await ada.post(place(ada, one._replace(id=new_call_id()), what), body)
    assert (got.status, got.code) == (404, "call-not-found")
    assert (await stranger.post(place(ada, one, what), body)).status == 401
    for status in (Status.RINGING, Status.COMPLETED, Status.FAILED):
        other = await answered(house, ada, status)
        got = await ada.post(place(ada, other, what), body)
        assert (got.status, got.code) == (409, "call-not-in-progress")
        assert got.body["call_status"] == status.value
    assert (await ada.get(place(ada, one, "actions"))).body == {"actions": [], "count": 0}
    got = await ada.delete(place(ada, one, "play"))
    assert (got.status, got.code) == (409, "not-playing")


@pytest.mark.parametrize(
    ("what", "body", "pointer"),
    [
        ("play", {}, "/url"),
        ("play", {"url": "ftp://example.com/a.wav"}, "/url"),
        ("play", {"url": "https://example.com/a.wav", "loop": -1}, "/loop"),
        ("play", {"url": "https://example.com/a.wav", "leg": "nobody"}, "/leg"),
        ("speak", {"text": ""}, "/text"),
        ("speak", {"text": "a" * 3001}, "/text"),
        ("speak", {"text": "Hello <break/>"}, "/text"),
        ("speak", {"text": "Hello", "engine": "steam"}, "/engine"),
        ("dtmf", {"digits": ""}, "/digits"),
        ("dtmf", {"digits": "12a"}, "/digits"),
        ("dtmf", {"digits": "1\r\nAction: Hangup"}, "/digits"),
    ],
)
async def test_what_cannot_be_asked_for(
    house: House, ada: Client, what: str, body: dict[str, Any], pointer: str
) -> None:
    one = await answered(house, ada)
    got = await ada.post(place(ada, one, what), body)
    assert (got.status, got.code, got.pointers) == (422, "invalid-body", [pointer])
