"""News of Ultravox as they arrive: signed, twice, late, in any order, forged, stale, too large."""

import asyncio
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from tests.peers.ultravox_hooks import signed
from tests.secrecy import WEBHOOK_SECRETS
from tests.web.house import Client, House
from tests.web.test_ai_calls import PROMPT, looked_over, talk_in
from tests.web.test_outbound import TO, owned
from trunx.domain.talk import Talk, TalkState


@pytest_asyncio.fixture(loop_scope="session")
async def talk(house: House) -> Talk:
    """A talk whose call Ultravox has made."""
    bea = await house.client("Bea")
    call = (await bea.post("/api/voice", {"from": await owned(bea), "to": TO, **PROMPT})).body["id"]
    return await talk_in(house, bea, call)


def shown(house: House, talk: Talk) -> dict[str, Any]:
    """The call as Ultravox tells of it now."""
    return dict(house.ultravox.calls[str(talk.vendor_call)])


async def told(
    house: House,
    event: str,
    call: dict[str, Any],
    *,
    secrets: tuple[str, ...] = WEBHOOK_SECRETS[:1],
    age: float = 0,
    **headers: str,
) -> int:
    """Tells it as Ultravox does; the status of the answer."""
    body = json.dumps({"event": event, "call": call}).encode()
    at = (datetime.now(UTC) - timedelta(seconds=age)).isoformat()
    return await sent(house, body, signed(body, secrets, at) | headers)


async def sent(house: House, body: bytes, headers: dict[str, str]) -> int:
    async with house.session.post(
        f"{house.url}/hooks/ultravox", data=io.BytesIO(body), headers=headers
    ) as answer:
        assert answer.status != 204 or await answer.read() == b""
        return answer.status


async def state(house: House, talk: Talk) -> Talk:
    return await house.ports.ai.talks.get(talk.id)


async def test_joined_and_ended_are_written_at_once(house: House, talk: Talk) -> None:
    name = str(talk.vendor_call)
    assert await told(house, "call.started", shown(house, talk)) == 204
    await house.ultravox.join(name)
    assert await told(house, "call.joined", shown(house, talk)) == 204
    assert (await state(house, talk)).state is TalkState.JOINED
    house.ultravox.say(name, "AGENT", "Hello.")
    await house.ultravox.end(name)
    assert await told(house, "call.ended", shown(house, talk)) == 204
    assert (await state(house, talk)).state is TalkState.ENDED
    await looked_over(house)
    known = await state(house, talk)
    assert (known.transcript, known.end_reason, known.settled) == ("Agent: Hello.", "hangup", True)
    assert await told(house, "call.billed", shown(house, talk)) == 204
    assert await state(house, talk) == known


async def test_news_come_twice_late_and_in_any_order(house: House, talk: Talk) -> None:
    name = str(talk.vendor_call)
    made = shown(house, talk)
    await house.ultravox.join(name)
    up = shown(house, talk)
    await house.ultravox.end(name, "agent_hangup")
    over = shown(house, talk)
    several = [("call.ended", over), ("call.joined", up), ("call.started", made), ("call.ended", over)]
    assert await asyncio.gather(*(told(house, *one) for one in several * 2)) == [204] * 8
    kept = await state(house, talk)
    assert (kept.state, kept.end_reason, kept.seconds is None) == (TalkState.ENDED, "agent_hangup", False)
    events = await house.ports.calls.events(talk.account, talk.call)
    types = [event.type for event in events if event.type.startswith("talk.")]
    assert types.count("talk.ended") == 1
    assert types.count("talk.joined") <= 1


async def test_any_of_our_secrets_is_good(house: House, talk: Talk) -> None:
    for secrets in (WEBHOOK_SECRETS[1:], ("one that is new there", *WEBHOOK_SECRETS)):
        assert await told(house, "call.started", shown(house, talk), secrets=secrets) == 204


@pytest.mark.parametrize(
    ("secrets", "age", "headers"),
    [
        (("a secret that nobody has",), 0.0, {}),
        (WEBHOOK_SECRETS, 301.0, {}),
        (WEBHOOK_SECRETS, -301.0, {}),
        (WEBHOOK_SECRETS, 0.0, {"X-Ultravox-Webhook-Signature": ""}),
        (WEBHOOK_SECRETS, 0.0, {"X-Ultravox-Webhook-Signature": "0" * 64}),
        (WEBHOOK_SECRETS, 0.0, {"X-Ultravox-Webhook-Timestamp": "yesterday"}),
    ],
)
async def test_what_is_forged_or_stale_changes_nothing(
    house: House, talk: Talk, secrets: tuple[str, ...], age: float, headers: dict[str, str]
) -> None:
    await house.ultravox.join(str(talk.vendor_call))
    before = await state(house, talk)
    with capture_logs() as logs:
        status = await told(house, "call.joined", shown(house, talk), secrets=secrets, age=age, **headers)
    assert status == 401
    assert "news of Ultravox are not believed" in [line["event"] for line in logs]
    assert await state(house, talk) == before


async def test_a_body_that_was_changed_on_its_way(house: House, talk: Talk) -> None:
    body = json.dumps({"event": "call.joined", "call": shown(house, talk)}).encode()
    headers = signed(body, WEBHOOK_SECRETS, datetime.now(UTC).isoformat())
    assert await sent(house, body.replace(b"call.joined", b"call.ended"), headers) == 401
    assert await sent(house, body, {}) == 401


@pytest.mark.parametrize("body", [b"", b"no JSON", b"[]", b'{"event": "call.ended"}', b'{"call": {}}'])
async def test_what_is_signed_and_no_event(house: House, body: bytes) -> None:
    assert await sent(house, body, signed(body, WEBHOOK_SECRETS, datetime.now(UTC).isoformat())) == 400


async def test_a_body_that_is_too_large(house: House) -> None:
    body = b"x" * (1024 * 1024 + 1)
    assert await sent(house, body, signed(body, WEBHOOK_SECRETS, datetime.now(UTC).isoformat())) == 413


async def test_a_call_that_is_not_ours(house: House, talk: Talk) -> None:
    with capture_logs() as logs:
        call = shown(house, talk) | {"callId": "another", "metadata": {}}
        assert await told(house, "call.ended", call) == 204
    assert [line["ultravox"] for line in logs if "not ours" in line["event"]] == ["another"]


async def test_no_key_is_asked_for_and_none_helps(house: House, ada: Client) -> None:
    assert (await ada.post("/hooks/ultravox", {"event": "call.ended"})).status == 401
    async with aiohttp.ClientSession() as session, session.get(f"{house.url}/hooks/ultravox") as answer:
        assert answer.status == 405
