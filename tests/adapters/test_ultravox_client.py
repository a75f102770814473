"""What is asked again and what is not, how long, and that no secret gets out: each fault by itself."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from structlog.testing import capture_logs

from tests.adapters.ultravox_door import QUICK, Door, opened, refused
from tests.peers.ultravox import KEY
from tests.peers.ultravox_troubles import Trouble
from trunx.adapters.ultravox.answers import covers, problem_of, retry_after
from trunx.adapters.ultravox.client import Client

NEVER = "/api/agents/nobody"


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with opened() as both:
        yield both


def seconds() -> float:
    return asyncio.get_running_loop().time()


async def test_the_key_goes_along(door: Door) -> None:
    assert (await door.client.get("/api/accounts/me"))["name"] == "stand-in"
    async with Client.open("another.key", door.peer.url, deadlines=QUICK) as stranger:
        error = await refused("credentials", stranger.get("/api/accounts/me"))
    assert door.peer.refused_keys == ["another.key"]
    assert "HTTP 401" in error.sentence


@pytest.mark.parametrize("key", ["", "two words", "a\nb", "kéy"])
async def test_a_key_that_is_no_header_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ValueError, match="one word") as caught:
        async with Client.open(key):
            pass
    assert key == "" or key not in str(caught.value)


@pytest.mark.parametrize("address", ["api.ultravox.ai", "ftp://x", "https://"])
async def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="not an address"):
        async with Client.open(KEY, address):
            pass


@pytest.mark.parametrize(
    ("trouble", "means", "tries"),
    [
        (Trouble.UNAUTHORIZED_401, "credentials", 1),
        (Trouble.PAYMENT_402, "payment", 1),
        (Trouble.FORBIDDEN_403, "credentials", 1),
        (Trouble.INVALID_422, "invalid", 1),
        (Trouble.TOO_MANY_429, "busy", 3),
        (Trouble.TOO_MANY_429_BARE, "busy", 3),
        (Trouble.NO_COMPUTE_503, "busy", 3),
        (Trouble.ERROR_500, "unavailable", 3),
        (Trouble.HTML_502, "unavailable", 3),
        (Trouble.HTML_200, "unavailable", 3),
        (Trouble.REDIRECT_307, "unavailable", 3),
        (Trouble.GARBLED_AFTER, "unavailable", 3),
        (Trouble.STALL, "unavailable", 3),
    ],
)
async def test_a_question_is_asked_again_where_that_may_help(
    door: Door, trouble: Trouble, means: str, tries: int
) -> None:
    door.peer.always(trouble)
    error = await refused(means, door.client.get("/api/accounts/me"))
    assert len(door.peer.requests) == tries
    assert "<" not in error.sentence

    door.peer.always(None)
    door.peer.befall(*[trouble] * (tries - 1))
    assert await door.client.get("/api/accounts/me")


async def test_a_broken_connection_is_tried_again(door: Door) -> None:
    door.peer.befall(Trouble.CUT, Trouble.CUT_AFTER)
    assert await door.client.get("/api/accounts/me")
    assert len(door.peer.requests) >= 3


@pytest.mark.parametrize(
    ("trouble", "means"),
    [
        (Trouble.TOO_MANY_429, "busy"),
        (Trouble.NO_COMPUTE_503, "busy"),
        (Trouble.PAYMENT_402, "payment"),
        (Trouble.ERROR_500, "unknown"),
        (Trouble.ERROR_AFTER_500, "unknown"),
        (Trouble.HTML_502, "unknown"),
        (Trouble.HTML_200, "unknown"),
        (Trouble.GARBLED_AFTER, "unknown"),
        (Trouble.CUT, "unknown"),
        (Trouble.CUT_AFTER, "unknown"),
        (Trouble.STALL_AFTER, "unknown"),
        (Trouble.REDIRECT_307, "unavailable"),
    ],
)
async def test_what_changes_something_is_sent_once(door: Door, trouble: Trouble, means: str) -> None:
    door.peer.befall(trouble)
    await refused(means, door.client.send("POST", "/api/agents", {"name": "front-desk"}))
    assert len(door.peer.requests) == 1


async def test_nothing_was_done_when_there_was_no_connection() -> None:
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    async with Client.open(KEY, f"http://127.0.0.1:{port}", deadlines=QUICK) as client:
        await refused("unavailable", client.send("POST", "/api/agents", {}))


@pytest.mark.parametrize("trouble", [Trouble.TOO_MANY_429, Trouble.TOO_MANY_429_DATE, Trouble.NO_COMPUTE_503])
async def test_the_vendor_says_how_long_to_wait(door: Door, trouble: Trouble) -> None:
    door.peer.retry_after = 1
    door.peer.befall(trouble)
    began = seconds()
    assert await door.client.get("/api/accounts/me")
    # A date has whole seconds.
    assert (0.0 if trouble is Trouble.TOO_MANY_429_DATE else 1.0) <= seconds() - began < 2.0


async def test_longer_than_we_have_is_not_waited(door: Door) -> None:
    door.peer.retry_after = 60
    door.peer.always(Trouble.TOO_MANY_429)
    began = seconds()
    error = await refused("busy", door.client.get("/api/accounts/me"))
    assert error.retry_after == 60
    assert seconds() - began < 1
    assert len(door.peer.requests) == 1


async def test_what_is_gone_is_deleted(door: Door) -> None:
    await door.client.delete(NEVER)
    door.peer.befall(Trouble.ERROR_500, Trouble.CUT_AFTER)
    await door.client.delete(NEVER)
    assert len(door.peer.asked("DELETE")) >= 3
    await refused("missing", door.client.get(NEVER))


async def test_a_list_is_read_to_its_end(door: Door) -> None:
    door.peer.page_size = 2
    for number in range(5):
        await door.client.send("POST", "/api/agents", {"name": f"agent {number}"})
    rows = await door.client.pages("/api/agents", {"search": "agent"})
    assert [row["name"] for row in rows] == [f"agent {number}" for number in range(5)]
    asked = door.peer.asked("GET /api/agents")
    assert [request.query["search"] for request in asked] == ["agent"] * 3
    assert asked[0].query["pageSize"] == "100"


async def test_a_list_is_followed_on_its_own_host_only(door: Door) -> None:
    door.peer.befall(Trouble.FOREIGN_NEXT)
    error = await refused("unavailable", door.client.pages("/api/agents"))
    assert "another host" in error.sentence
    assert len(door.peer.requests) == 1


async def test_answers_of_next_year_are_read(door: Door) -> None:
    await door.client.send("POST", "/api/agents", {"name": "front-desk"})
    door.peer.always(Trouble.STRANGE)
    assert [row["name"] for row in await door.client.pages("/api/agents")] == ["front-desk"]


async def test_a_refusal_is_told_in_the_vendors_words_without_secrets(door: Door) -> None:
    door.client.hide("open sesame")
    body = {"name": "x", "callTemplate": {"voice": f"open sesame {KEY}"}}
    error = await refused("invalid", door.client.send("POST", "/api/agents", body))
    assert error.sentence == "Ultravox refuses this (HTTP 400: Voice *** *** does not exist)"
    long = {"name": "x", "callTemplate": {"voice": "v" * 5_000}}
    error = await refused("invalid", door.client.send("POST", "/api/agents", long))
    assert len(error.sentence) < 600


async def test_the_log_has_no_secret(door: Door) -> None:
    door.peer.befall(Trouble.ERROR_500, Trouble.TOO_MANY_429)
    with capture_logs() as lines:
        await door.client.get("/api/accounts/me")
    assert len(lines) == 2
    assert KEY not in str(lines)


# Pure


@pytest.mark.parametrize(
    ("status", "means"),
    [
        *((400, "invalid"), (401, "credentials"), (402, "payment"), (403, "credentials"), (404, "missing")),
        *((405, "invalid"), (409, "invalid"), (422, "invalid"), (425, "busy"), (429, "busy")),
        *(
            (500, "unavailable"),
            (502, "unavailable"),
            (503, "busy"),
            (504, "unavailable"),
            (302, "unavailable"),
        ),
    ],
)
def test_a_status_means(status: int, means: str) -> None:
    assert problem_of(status, {}, b"", ()).trouble == means


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"detail": "No  such\\nvoice"}', "HTTP 400: No such voice"),
        (b'{"name": ["This field is required."]}', 'HTTP 400: {"name": ["This field is required."]}'),
        (b'["Bad"]', 'HTTP 400: ["Bad"]'),
        (b"plain words", "HTTP 400: plain words"),
        (b"<html><b>no</b></html>", "HTTP 400"),
        (b"\xff\xfe", "HTTP 400: \ufffd\ufffd"),
        (b"", "HTTP 400"),
    ],
)
def test_any_body_is_told(body: bytes, told: str) -> None:
    assert problem_of(400, {}, body, ()).sentence == f"Ultravox refuses this ({told})"


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after("7") == 7
    assert retry_after(" 1.5 ") == 1.5
    ahead = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert 85 < (retry_after(ahead) or 0) <= 90
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert [retry_after(text) for text in ("", "soon", "-1", "1e9")] == [None] * 4


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ({"a": 1}, {"a": 1, "created": "now"}),
        ({"maxDuration": "300s"}, {"maxDuration": "300.000s"}),
        ({"temperature": 0.3}, {"temperature": 0.30000001192092896}),
        ({"recordingEnabled": False, "tools": [], "text": "", "none": None}, {}),
        ({"tools": [{"toolName": "hangUp"}]}, {"tools": [{"toolName": "hangUp", "toolId": "x"}]}),
        ({"firstSpeakerSettings": {"agent": {}}}, {"firstSpeakerSettings": {"agent": {"delay": "0s"}}}),
        ({"sharedSecrets": ["0123456789abcdef"]}, {}),
    ],
)
def test_what_was_asked_for_is_there(asked: object, kept: object) -> None:
    assert covers(kept, asked)


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ({"a": 1}, {}),
        ({"a": "x"}, {"a": "y"}),
        ({"a": True}, {"a": False}),
        ({"a": 1}, {"a": "1"}),
        ({"maxDuration": "300s"}, {"maxDuration": "3600s"}),
        ({"temperature": 0}, {"temperature": 0.5}),
        ({"recordingEnabled": False}, {"recordingEnabled": True}),
        ({"tools": []}, {"tools": [{"toolName": "hangUp"}]}),
        ({"tools": [{"toolName": "hangUp"}]}, {"tools": []}),
        ({"tools": [1, 2]}, {"tools": [2, 1]}),
        ({"firstSpeakerSettings": {"agent": {}}}, {"firstSpeakerSettings": {"user": {}}}),
        ({"a": {"b": 1}}, {"a": None}),
        ({"a": {"b": 1}}, None),
    ],
)
def test_what_was_asked_for_is_not_there(asked: object, kept: object) -> None:
    assert not covers(kept, asked)
