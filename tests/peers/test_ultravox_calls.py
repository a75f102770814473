"""The stand-in's calls live as Ultravox' do, and its news of them are signed, late, doubled or forged."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from tests.peers.ultravox import UltravoxPeer
from tests.peers.ultravox_asking import SIP, ask, made_agent, made_call
from tests.peers.ultravox_hooks import signed


@pytest.fixture
async def peer() -> AsyncIterator[UltravoxPeer]:
    async with UltravoxPeer.running() as running:
        running.control.pace = 0.01
        yield running


async def test_a_call_of_an_agent_has_fields_of_its_own(peer: UltravoxPeer) -> None:
    agent = await made_agent(peer)
    for field in ("systemPrompt", "model", "temperature", "vadSettings", "selectedTools", "languageHint"):
        status, answer = await ask(peer, "POST", f"/api/agents/{agent}/calls", {field: None})
        message = f'Message type "ultravox.v1.StartAgentCallRequest" has no field named "{field}"'
        assert (status, answer["detail"]) == (400, message)
    for field in ("templateContext", "agentId", "priorCallId"):
        status, answer = await ask(peer, "POST", "/api/calls", {field: None})
        message = f'Message type "ultravox.v1.StartCallRequest" has no field named "{field}"'
        assert (status, answer["detail"]) == (400, message)
    assert (await ask(peer, "POST", "/api/agents/nobody/calls", {}))[0] == 404
    assert peer.calls == {}


@pytest.mark.parametrize("metadata", [{"a": 1}, {"a": None}, {"ultravox.x": "1"}, ["a"]])
async def test_metadata_is_strings(peer: UltravoxPeer, metadata: Any) -> None:
    agent = await made_agent(peer)
    for path in ("/api/calls", f"/api/agents/{agent}/calls"):
        status, answer = await ask(peer, "POST", path, {"metadata": metadata})
        assert status == 400
        assert "metadata" in answer["detail"]


@pytest.mark.parametrize("to", ["+15551234567", "t1@pbx", "tel:+15551234567", ""])
async def test_only_sip_uris_are_dialled(peer: UltravoxPeer, to: str) -> None:
    medium = {"sip": {"outgoing": {"to": to, "from": "trunx-agent"}}}
    assert (await ask(peer, "POST", "/api/calls", {"medium": medium}))[0] == 400


async def test_a_template_gets_its_variables(peer: UltravoxPeer) -> None:
    template = {"systemPrompt": "You are {{ name }} of {{firm}}. {{ultravox.sip.caller_id}}"}
    agent = await made_agent(peer, template)
    path = f"/api/agents/{agent}/calls"
    status, answer = await ask(peer, "POST", path, {"templateContext": {"name": "Anna"}})
    assert (status, answer["detail"]) == (400, "templateContext is missing required properties: firm")
    given = {"name": "Anna", "firm": "Acme"}
    status, answer = await ask(peer, "POST", path, {"templateContext": given | {"more": "x"}})
    assert (status, "unexpected" in answer["detail"]) == (400, True)
    status, call = await ask(peer, "POST", path, {"templateContext": given})
    assert (status, call["systemPrompt"][:21]) == (201, "You are Anna of Acme.")

    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "additionalProperties": True}
    open_ended = await made_agent(peer, template | {"contextSchema": schema})
    status, _ = await ask(
        peer, "POST", f"/api/agents/{open_ended}/calls", {"templateContext": given | {"more": "x"}}
    )
    assert status == 201


async def test_an_outgoing_call_dials_and_keeps_the_password_to_itself() -> None:
    dialled: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    over: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    async with UltravoxPeer.running(on_outgoing=dialled.put, on_over=over.put) as peer:
        callbacks = {"ended": {"url": "http://127.0.0.1:9/", "secrets": ["a secret of ours"]}}
        call = await made_call(peer, metadata={"requestId": "r1"}, callbacks=callbacks)
        assert call["joinUrl"] is None
        assert (await dialled.get())["medium"] == SIP
        path = f"/api/calls/{call['callId']}"
        for shown in (call, (await ask(peer, "GET", path))[1], (await ask(peer, "GET", "/api/calls"))[1]):
            assert "open sesame" not in str(shown)
            assert "a secret of ours" not in str(shown)

        hang_up = {"type": "hang_up"}
        assert (await ask(peer, "POST", path + "/send_data_message", hang_up))[0] == 422  # it rings
        await peer.join(call["callId"])
        assert (await ask(peer, "POST", path + "/send_data_message", {"type": "dance"}))[0] == 400
        assert await ask(peer, "POST", path + "/send_data_message", hang_up) == (204, None)
        ended = (await ask(peer, "GET", path))[1]
        assert (ended["endReason"], (await over.get())["callId"]) == ("agent_hangup", call["callId"])
        assert ended["sipDetails"]["terminationReason"] == "SIP_TERMINATION_NORMAL"
        assert (await ask(peer, "POST", path + "/send_data_message", hang_up))[0] == 422
        await peer.end(call["callId"], "hangup")
        assert peer.calls[call["callId"]]["endReason"] == "agent_hangup"
        assert await ask(peer, "DELETE", path) == (204, None)
        assert (await ask(peer, "GET", path))[0] == 404


async def test_other_media_are_joined_by_url(peer: UltravoxPeer) -> None:
    status, call = await ask(peer, "POST", "/api/calls", {"systemPrompt": "Be kind."})
    assert status == 201
    assert call["joinUrl"].startswith("wss://")


async def test_calls_end_by_their_clocks(peer: UltravoxPeer) -> None:
    ringing = await made_call(peer, joinTimeout="5s")
    talking = await made_call(peer, joinTimeout="600s", maxDuration="10s")
    await peer.join(talking["callId"])
    assert (await peer.control.over(ringing["callId"]))["endReason"] == "unjoined"
    assert (await peer.control.over(talking["callId"]))["endReason"] == "timeout"
    assert peer.calls[ringing["callId"]]["sipDetails"]["terminationReason"] == "SIP_TERMINATION_TIMEOUT"
    await peer.join(ringing["callId"])
    assert peer.calls[ringing["callId"]]["joined"] is None


async def test_calls_are_found_by_metadata_and_paged(peer: UltravoxPeer) -> None:
    for number in range(5):
        await made_call(peer, metadata={"tenant": "acme", "requestId": f"r{number}"})
    _, found = await ask(peer, "GET", "/api/calls?metadata.requestId=r3&metadata.tenant=acme")
    assert [call["metadata"]["requestId"] for call in found["results"]] == ["r3"]
    assert (await ask(peer, "GET", "/api/calls?metadata.requestId=r9"))[1]["results"] == []

    path, seen = "/api/calls?metadata.tenant=acme&pageSize=2", []
    while path is not None:
        _, page = await ask(peer, "GET", path)
        assert len(page["results"]) <= 2
        seen += [call["metadata"]["requestId"] for call in page["results"]]
        path = page["next"]
    assert seen == ["r4", "r3", "r2", "r1", "r0"]


async def test_a_list_may_lag_behind(peer: UltravoxPeer) -> None:
    peer.control.lag = 2
    await made_call(peer, metadata={"requestId": "r1"})
    path = "/api/calls?metadata.requestId=r1"
    assert [(await ask(peer, "GET", path))[1]["total"] for _ in range(3)] == [0, 0, 1]


async def test_more_calls_than_the_plan_has_are_refused(peer: UltravoxPeer) -> None:
    peer.cap, peer.retry_after = 1, 7
    first = await made_call(peer)
    assert (await ask(peer, "POST", "/api/calls", {}))[0] == 429
    assert (await ask(peer, "GET", "/api/accounts/me"))[1]["activeCalls"] == 1
    await peer.end(first["callId"])
    assert (await ask(peer, "POST", "/api/calls", {}))[0] == 201


async def test_what_was_said_is_told_in_both_modes(peer: UltravoxPeer) -> None:
    call = await made_call(peer, initialMessages=[{"role": "MESSAGE_ROLE_USER", "text": "earlier"}])
    peer.say(call["callId"], "AGENT", "Hello.")
    peer.say(call["callId"], "USER", "Hi.")
    peer.say(call["callId"], "AGENT", "Next stage.", stage=1)
    path = f"/api/calls/{call['callId']}/messages"
    _, all_of_it = await ask(peer, "GET", path + "?mode=in_call&pageSize=2")
    assert [said["text"] for said in all_of_it["results"]] == ["Hello.", "Hi."]
    _, rest = await ask(peer, "GET", all_of_it["next"])
    assert [said["text"] for said in rest["results"]] == ["Next stage."]
    assert [said["text"] for said in (await ask(peer, "GET", path))[1]["results"]] == ["Next stage."]


# Webhooks


@asynccontextmanager
async def receiver(*answers: int) -> AsyncIterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """Its URL, and what it has got. It answers with these statuses, then with 204."""
    got: list[tuple[dict[str, str], bytes]] = []

    async def take(request: web.Request) -> web.Response:
        got.append((dict(request.headers), await request.read()))
        return web.Response(status=answers[len(got) - 1] if len(got) <= len(answers) else 204)

    app = web.Application()
    app.add_routes([web.post("/hooks", take)])
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hooks", got
    finally:
        await runner.cleanup()


async def a_call(peer: UltravoxPeer, url: str) -> dict[str, Any]:
    """From its beginning to its end, with callbacks to `url`."""
    hook = {"url": url, "secrets": ["one secret", "another"]}
    call = await made_call(peer, callbacks={"joined": hook, "ended": hook})
    await peer.join(call["callId"])
    await peer.end(call["callId"])
    await peer.hooks.settled()
    return call


def events(got: list[tuple[dict[str, str], bytes]]) -> list[str]:
    return [json.loads(body)["event"] for _, body in got]


async def test_a_calls_own_callbacks_are_signed_with_each_secret(peer: UltravoxPeer) -> None:
    async with receiver() as (url, got):
        call = await a_call(peer, url)
        assert sorted(events(got)) == ["call.ended", "call.joined"]
        for headers, body in got:
            at = headers["X-Ultravox-Webhook-Timestamp"]
            assert signed(body, ["one secret", "another"], at).items() <= headers.items()
            assert abs(datetime.now(UTC) - datetime.fromisoformat(at)) < timedelta(seconds=5)
            assert json.loads(body)["call"]["callId"] == call["callId"]


async def test_a_registered_webhook_gets_what_it_wants(peer: UltravoxPeer) -> None:
    async with receiver() as (url, got):
        wanted = {"url": url, "events": ["call.started", "call.billed"], "secrets": ["s"]}
        status, hook = await ask(peer, "POST", "/api/webhooks", wanted)
        assert (status, hook["status"]) == (201, "normal")
        call = await made_call(peer)
        await peer.end(call["callId"], "unjoined")
        await peer.hooks.settled()
        assert sorted(events(got)) == ["call.billed", "call.started"]
        assert (await ask(peer, "DELETE", f"/api/webhooks/{hook['webhookId']}"))[0] == 204
        await made_call(peer)
        await peer.hooks.settled()
        assert len(got) == 2


@pytest.mark.parametrize("wrong", [{"url": ""}, {"url": "x" * 201}, {"events": ["call.lost"]}, {"more": 1}])
async def test_a_webhook_is_refused(peer: UltravoxPeer, wrong: dict[str, Any]) -> None:
    wanted = {"url": "https://x.test/", "events": ["call.ended"]} | wrong
    assert (await ask(peer, "POST", "/api/webhooks", wanted))[0] == 400


async def test_news_come_twice_and_in_the_wrong_order(peer: UltravoxPeer) -> None:
    async with receiver() as (url, got):
        peer.hooks.copies, peer.hooks.reorder, peer.hooks.delay = 2, True, 0.01
        await a_call(peer, url)
        told = events(got)
        assert told[0] == "call.ended"
        assert sorted(told) == ["call.ended", "call.ended", "call.joined", "call.joined"]


@pytest.mark.parametrize("anew", [True, False])
async def test_news_that_are_not_taken_come_again(peer: UltravoxPeer, anew: bool) -> None:
    async with receiver(500, 302) as (url, got):
        peer.hooks.signs_retries_anew, peer.hooks.wait = anew, 0.01
        call = await made_call(peer, callbacks={"ended": {"url": url, "secrets": ["s"]}})
        await peer.end(call["callId"])
        await peer.hooks.settled()
        assert [try_.status for try_ in peer.hooks.tries] == [500, 302, 204]
        assert len({headers["X-Ultravox-Webhook-Timestamp"] for headers, _ in got}) == (3 if anew else 1)
        for headers, body in got:
            at = headers["X-Ultravox-Webhook-Timestamp"]
            assert signed(body, ["s"], at).items() <= headers.items()


async def test_news_may_be_forged_or_stale(peer: UltravoxPeer) -> None:
    async with receiver() as (url, got):
        peer.hooks.forged, peer.hooks.age, peer.hooks.naive = True, timedelta(hours=1), True
        await a_call(peer, url)
        headers, body = got[0]
        at = headers["X-Ultravox-Webhook-Timestamp"]
        made = signed(body, ["one secret", "another"], at)["X-Ultravox-Webhook-Signature"]
        assert headers["X-Ultravox-Webhook-Signature"] not in made
        assert datetime.fromisoformat(at).tzinfo is None
        assert datetime.now(UTC) - datetime.fromisoformat(at + "Z") > timedelta(minutes=59)


async def test_what_dials_may_fail_and_that_is_told() -> None:
    async def broken(_call: dict[str, Any]) -> None:
        raise ConnectionRefusedError("no Asterisk")

    with pytest.raises(ConnectionRefusedError):
        async with UltravoxPeer.running(on_outgoing=broken) as peer:
            await made_call(peer)
