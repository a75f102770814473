"""The contract's examples of agents, typed as they stand and answered as they are written.

Changed are the address, the key, and the ids, which are ours and Ultravox' to give. Behind the server is the
stand-in for Ultravox that `TRUNX_DEMO_AI=1` starts with it. What answers hold beyond the contract's fields
comes after them. The example of a call is with the AI calls.
"""

import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import Serving
from tests.pages import KEY, answered, ask, make_run

ID, ULTRAVOX_ID = "a1b2c3d4-e5f6-7890-abcd-ef1234567890", "uv_agent_xxxxxxxxxxxxxxxx"
PROMPT = (
    "You are a friendly dental office assistant confirming appointments. Verify the patient name, date, and "
    "time. If they need to reschedule, collect their preferred date."
)
FIRST_MESSAGE = "Hi, this is Sarah from Downtown Dental. I am calling to confirm your upcoming appointment."
CREATE = f"""\
curl -X POST https://api.trunx.io/api/voice/agents \\
  -H "Authorization: Bearer tk_live_..." \\
  -H "Content-Type: application/json" \\
  -d '{{
    "name": "Appointment Confirmer",
    "prompt": "{PROMPT}",
    "voice": "Mark",
    "first_message": "{FIRST_MESSAGE}",
    "language": "en",
    "max_duration": 300
  }}'"""
CREATED = {"id": ID, "name": "Appointment Confirmer", "ultravoxId": ULTRAVOX_ID}
GOT: dict[str, Any] = CREATED | {
    "prompt": PROMPT,
    "voice": "Mark",
    "first_message": FIRST_MESSAGE,
    "language": "en",
    "max_duration": 300,
    "tool_ids": [],
    "knowledge_ids": [],
    "createdAt": "2026-03-09T15:30:00.000Z",
}
LISTED: dict[str, Any] = {"agents": [CREATED | {"createdAt": GOT["createdAt"]}], "count": 1}
DELETED = {"deleted": True, "id": ID}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    with make_run(tmp_path, demo_ai=1, demo=0) as server:
        yield server


def first(answer: dict[str, Any], shown: dict[str, Any]) -> dict[str, Any]:
    """As many fields of an answer as the contract shows."""
    return {name: answer[name] for name in list(answer)[: len(shown)]}


def test_agents_are_answered_as_the_contract_shows(server: Serving) -> None:
    status, created = answered(server, CREATE)
    assert status == 201
    given = {"id": created["id"], "ultravoxId": created["ultravoxId"]}
    assert str(uuid.UUID(given["id"])) == given["id"]
    assert given["ultravoxId"]
    assert list(created.items()) == list((CREATED | given).items()), "nothing but that, in that order"

    path = f"/api/voice/agents/{created['id']}"
    status, got = server.get(path, KEY)
    assert status == 200
    moment = {"createdAt": got["createdAt"]}
    assert re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{3}Z", got["createdAt"])
    assert list(first(got, GOT).items()) == list((GOT | given | moment).items())
    assert got["status"] == "ready"

    status, listed = server.get("/api/voice/agents", KEY)
    assert status == 200
    assert {name: listed[name] for name in LISTED} == {"agents": [created | moment], "count": 1}
    assert list(listed["agents"][0]) == list(LISTED["agents"][0])
    assert server.get("/api/voice/agents?limit=0", KEY)[0] == 422

    for field, value in {
        "name": "Ben",
        "prompt": "Be brief.",
        "voice": "Jessica",
        "first_message": "Hello.",
        "language": "es",
        "tool_ids": [],
        "knowledge_ids": [],
        "max_duration": 60,
    }.items():
        status, changed = ask(server, "PATCH", path, {field: value})
        assert status == 200
        assert changed == got | {field: value}, "only what is named is changed"
        got = changed

    assert ask(server, "DELETE", path) == (200, DELETED | {"id": created["id"]})
    for method, body in (("GET", None), ("PATCH", {"name": "Ben"}), ("DELETE", None)):
        status, problem = ask(server, method, path, body)
        assert (status, problem["code"]) == (404, "agent-not-found")
    assert server.get("/api/voice/agents", KEY) == (200, {"agents": [], "count": 0, "next": None})


def test_what_an_agent_needs_and_what_it_has_without_being_told(server: Serving) -> None:
    bare = {"name": "Sarah", "prompt": "You are friendly."}
    for missing in bare:
        body = {name: value for name, value in bare.items() if name != missing}
        status, problem = ask(server, "POST", "/api/voice/agents", body)
        assert (status, problem["errors"][0]["pointer"]) == (422, f"/{missing}")
    status, made = ask(server, "POST", "/api/voice/agents", bare)
    assert status == 201
    got = server.get(f"/api/voice/agents/{made['id']}", KEY)[1]
    assert (got["language"], got["max_duration"]) == ("en", 300)
    assert (got["voice"], got["first_message"], got["tool_ids"], got["knowledge_ids"]) == (None, None, [], [])


def test_without_a_key_of_ultravox(tmp_path: Path) -> None:
    with make_run(tmp_path, demo=0) as server:
        for path, body in (
            ("/api/voice/agents", {"name": "Sarah", "prompt": "You are friendly."}),
            ("/api/voice/knowledge", {"name": "Hours"}),
        ):
            status, problem = ask(server, "POST", path, body)
            assert (status, problem["code"]) == (503, "ai-off")
            assert "ULTRAVOX_API_KEY" in problem["detail"]
            assert server.get(path, KEY)[1]["count"] == 0
