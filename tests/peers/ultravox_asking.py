"""Asking the stand-in for Ultravox as any client of its API would, and things to ask it for."""

from typing import Any

import aiohttp

from tests.peers.ultravox import KEY, UltravoxPeer

SIP = {
    "sip": {
        "outgoing": {
            "to": "sip:t1@127.0.0.1:5060;transport=tcp",
            "from": "trunx-agent",
            "username": "trunx-agent",
            "password": "open sesame",
        }
    }
}
TOOL = {
    "modelToolName": "lookupOrder",
    "description": "Looks up an order.",
    "dynamicParameters": [
        {
            "name": "order",
            "location": "PARAMETER_LOCATION_BODY",
            "schema": {"type": "string"},
            "required": True,
        }
    ],
    "http": {"baseUrlPattern": "https://shop.test/orders", "httpMethod": "POST"},
}


async def ask(
    peer: UltravoxPeer, method: str, path: str, body: Any = None, *, key: str | None = KEY
) -> tuple[int, Any]:
    """Status, and parsed JSON or None."""
    headers = {} if key is None else {"X-API-Key": key}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, peer.url + path if path.startswith("/") else path, json=body) as answer,
    ):
        return answer.status, await answer.json() if answer.content_type == "application/json" else None


async def made_agent(peer: UltravoxPeer, template: dict[str, Any] | None = None) -> str:
    body = {"name": "front-desk", "callTemplate": template or {"systemPrompt": "Be kind."}}
    status, agent = await ask(peer, "POST", "/api/agents", body)
    assert status == 201, agent
    return str(agent["agentId"])


async def made_call(peer: UltravoxPeer, **more: Any) -> dict[str, Any]:
    status, call = await ask(peer, "POST", "/api/calls", {"systemPrompt": "Be kind.", "medium": SIP, **more})
    assert status == 201, call
    return dict(call)
