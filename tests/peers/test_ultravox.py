"""The stand-in for Ultravox refuses what Ultravox refuses, and fails as it is told to."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.peers.ultravox import CREATES_CALL, KEY, UltravoxPeer
from tests.peers.ultravox_asking import TOOL, ask, made_agent, made_call
from tests.peers.ultravox_checks import HANG_UP
from tests.peers.ultravox_things import JESSICA
from tests.peers.ultravox_troubles import Trouble


@pytest.fixture
async def peer() -> AsyncIterator[UltravoxPeer]:
    async with UltravoxPeer.running() as running:
        running.control.pace = 0.01
        yield running


@pytest.mark.parametrize("key", [None, "", "wrong", KEY + "x"])
async def test_nothing_goes_without_the_key(peer: UltravoxPeer, key: str | None) -> None:
    for path in ("/api/agents", "/api/calls", "/api/accounts/me", "/api/nothing"):
        assert await ask(peer, "GET", path, key=key) == (401, {"detail": "Invalid API key."})
    assert peer.requests == []


# Agents


async def test_an_agent_lives(peer: UltravoxPeer) -> None:
    agent = await made_agent(peer, {"systemPrompt": "Be kind.", "voice": "Jessica", "maxDuration": "300s"})
    path = f"/api/agents/{agent}"
    status, shown = await ask(peer, "GET", path)
    assert (status, shown["name"], shown["callTemplate"]["voice"]) == (200, "front-desk", "Jessica")
    assert shown["callTemplate"]["joinTimeout"] == "30s"

    # What the new template does not have is gone; what no agent has is passed over in silence.
    status, changed = await ask(
        peer, "PATCH", path, {"callTemplate": {"systemPrompt": "Be brief."}, "systemPrompt": "flat"}
    )
    assert (status, changed["callTemplate"]["systemPrompt"]) == (200, "Be brief.")
    assert "voice" not in changed["callTemplate"]
    assert changed["callTemplate"]["maxDuration"] == "3600s"
    assert changed["name"] == "front-desk"

    status, page = await ask(peer, "GET", "/api/agents?search=FRONT")
    assert [row["agentId"] for row in page["results"]] == [agent]
    assert (await ask(peer, "GET", "/api/agents?search=back"))[1]["results"] == []
    assert await ask(peer, "DELETE", path) == (204, None)
    for method in ("GET", "PATCH", "DELETE"):
        assert (await ask(peer, method, path, {}))[0] == 404


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ({"systemprompt": "x"}, 'Message type "ultravox.v1.CallTemplate" has no field named "systemprompt"'),
        ({"firstSpeaker": "FIRST_SPEAKER_AGENT"}, "has no field named"),
        ({"maxDuration": 300}, "Failed to parse maxDuration field"),
        ({"maxDuration": "5m"}, "Failed to parse maxDuration field"),
        ({"joinTimeout": "0s"}, "must be positive"),
        ({"temperature": 1.1}, "temperature must be between 0 and 1"),
        ({"voice": "Mark", "externalVoice": {"elevenLabs": {}}}, "Only one of voice and externalVoice"),
        ({"voice": "Nobody"}, "Voice Nobody does not exist"),
        ({"model": "fixie-ai/ultravox-qwen3"}, "does not exist"),
        ({"firstSpeakerSettings": {"agent": {}, "user": {}}}, "exactly one of"),
        ({"selectedTools": [{"toolName": "hangUp"}, {"toolId": HANG_UP}]}, "unique"),
        ({"selectedTools": [{"toolName": "queryCorpus"}]}, "corpus_id"),
        ({"selectedTools": [{"toolId": "nobody"}]}, "does not exist"),
        ({"inactivityMessages": [{"duration": "15s", "endBehavior": "BYE"}]}, "endBehavior"),
        ({"vadSettings": {"minimumInterruptionDuration": "0.4"}}, "Failed to parse"),
        ({"vadSettings": {"frameActivationThreshold": 0}}, "frameActivationThreshold"),
    ],
)
async def test_a_template_is_refused(peer: UltravoxPeer, template: dict[str, Any], says: str) -> None:
    status, answer = await ask(peer, "POST", "/api/agents", {"name": "a", "callTemplate": template})
    assert status == 400
    assert says in answer["detail"]
    assert peer.things.agents == {}


async def test_a_name_has_64_characters_at_most(peer: UltravoxPeer) -> None:
    assert (await ask(peer, "POST", "/api/agents", {"name": "a" * 65}))[0] == 400
    assert (await ask(peer, "POST", "/api/agents", {"name": ""}))[0] == 400
    assert (await ask(peer, "POST", "/api/agents", {"name": "a" * 64}))[0] == 201


# Tools and knowledge


async def test_a_tool_lives(peer: UltravoxPeer) -> None:
    status, tool = await ask(peer, "POST", "/api/tools", {"name": "lookupOrder", "definition": TOOL})
    assert (status, tool["ownership"]) == (201, "private")
    path = f"/api/tools/{tool['toolId']}"
    changed = TOOL | {"description": "Finds an order."}
    assert (await ask(peer, "PATCH", path, {"name": "x", "definition": changed}))[0] == 405
    status, put = await ask(peer, "PUT", path, {"name": "findOrder", "definition": changed})
    assert (status, put["toolId"], put["name"]) == (200, tool["toolId"], "findOrder")
    await made_agent(peer, {"selectedTools": [{"toolId": tool["toolId"]}, {"toolName": "hangUp"}]})
    _, public = await ask(peer, "GET", "/api/tools?search=hangUp")
    assert [row["toolId"] for row in public["results"]] == [HANG_UP]
    assert await ask(peer, "DELETE", path) == (204, None)
    assert (await ask(peer, "GET", path))[0] == 404


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"http": {"baseUrlPattern": "http://shop.test/", "httpMethod": "POST"}}, "protocols: {'https'}"),
        ({"http": {"baseUrlPattern": "https://shop.test/"}}, "httpMethod"),
        ({"client": {}}, "exactly one of"),
        ({"modelToolName": "look up"}, "Invalid model tool name"),
        ({"description": ""}, "description"),
        ({"timeout": "41s"}, "40s"),
        ({"dynamicParameters": [{"name": "a", "schema": {"type": "string"}}]}, "location"),
        ({"dynamicParameters": [{"name": "a", "location": "PARAMETER_LOCATION_BODY"}]}, "schema"),
        ({"parameters": {}}, "has no field named"),
    ],
)
async def test_a_tool_is_refused(peer: UltravoxPeer, change: dict[str, Any], says: str) -> None:
    definition = TOOL | change
    status, answer = await ask(peer, "POST", "/api/tools", {"name": "t", "definition": definition})
    assert (status, says in answer["detail"]) == (400, True)
    status, answer = await ask(peer, "POST", "/api/calls", {"selectedTools": [{"temporaryTool": definition}]})
    assert (status, says in answer["detail"]) == (400, True)


async def test_knowledge_is_uploaded_read_and_asked(peer: UltravoxPeer) -> None:
    status, corpus = await ask(peer, "POST", "/api/corpora", {"name": "faq"})
    assert (status, corpus["stats"]["status"]) == (201, "CORPUS_STATUS_EMPTY")
    path = f"/api/corpora/{corpus['corpusId']}"
    _, upload = await ask(peer, "POST", path + "/uploads", {"mimeType": "text/plain", "fileName": "faq.txt"})
    spec = {"name": "handbook", "upload": {"documentIds": [upload["documentId"]]}}
    assert (await ask(peer, "POST", path + "/sources", spec))[0] == 400  # nothing was put there yet

    async with aiohttp.ClientSession() as session:
        for headers, status in (
            ({"Content-Type": "text/plain", "X-API-Key": KEY}, 403),
            ({"Content-Type": "text/html"}, 403),
            ({"Content-Type": "text/plain"}, 200),
        ):
            url = upload["presignedUrl"]
            async with session.put(url, data=b"We open at nine.", headers=headers) as answer:
                assert answer.status == status

    status, source = await ask(peer, "POST", path + "/sources", spec)
    assert (status, source["stats"]["status"]) == (201, "SOURCE_STATUS_INITIALIZING")
    states = [(await ask(peer, "GET", path))[1]["stats"]["status"] for _ in range(2)]
    assert states == ["CORPUS_STATUS_INITIALIZING", "CORPUS_STATUS_READY"]
    _, listed = await ask(peer, "GET", path + "/sources")
    assert [row["sourceId"] for row in listed["results"]] == [source["sourceId"]]
    _, found = await ask(peer, "POST", path + "/query", {"query": "when do you open", "maxResults": 3})
    assert [result["content"] for result in found] == ["We open at nine."]

    crawl = {"name": "site", "crawl": {"startUrls": ["https://acme.test/"], "maxDepth": 1}}
    assert (await ask(peer, "POST", path + "/sources", crawl))[0] == 201
    assert (await ask(peer, "PATCH", path, {"description": "All of it"}))[1]["description"] == "All of it"
    assert await ask(peer, "DELETE", path) == (204, None)
    assert (await ask(peer, "GET", path))[0] == 404
    assert peer.things.sources == {}


async def test_the_account_has_voices_models_and_sip(peer: UltravoxPeer) -> None:
    _, voices = await ask(peer, "GET", "/api/voices?search=jess")
    assert [voice["voiceId"] for voice in voices["results"]] == [JESSICA]
    _, models = await ask(peer, "GET", "/api/models")
    assert "ultravox-v0.7" in {model["name"] for model in models["results"]}
    ranges = {"allowedCidrRanges": ["203.0.113.10/32"]}
    assert (await ask(peer, "PATCH", "/api/sip", ranges))[1]["domain"] == "acme.sip.example.test"
    many = {"allowedAgents": [{"agentId": str(number)} for number in range(21)]}
    assert (await ask(peer, "PATCH", "/api/sip", many))[0] == 400
    login = {"username": "uv", "password": "open sesame", "proxy": "pbx.test"}
    status, registration = await ask(peer, "POST", "/api/sip/registrations", login)
    assert (status, registration["username"]) == (201, "uv")
    assert "open sesame" not in str(await ask(peer, "GET", "/api/sip/registrations"))


# Faults


@pytest.mark.parametrize(
    ("trouble", "status"),
    [
        (Trouble.UNAUTHORIZED_401, 401),
        (Trouble.PAYMENT_402, 402),
        (Trouble.FORBIDDEN_403, 403),
        (Trouble.TOO_MANY_429, 429),
        (Trouble.TOO_MANY_429_DATE, 429),
        (Trouble.TOO_MANY_429_BARE, 429),
        (Trouble.INVALID_422, 422),
        (Trouble.NO_COMPUTE_503, 503),
        (Trouble.ERROR_500, 500),
        (Trouble.HTML_502, 502),
        (Trouble.HTML_200, 200),
    ],
)
async def test_a_fault_befalls_one_request_of_its_kind(
    peer: UltravoxPeer, trouble: Trouble, status: int
) -> None:
    peer.befall(trouble, on=CREATES_CALL)
    assert (await ask(peer, "GET", "/api/calls"))[0] == 200
    assert (await ask(peer, "POST", "/api/calls", {}))[0] == status
    assert peer.calls == {}
    assert (await ask(peer, "POST", "/api/calls", {}))[0] == 201
    assert len(peer.asked(CREATES_CALL)) == 2


@pytest.mark.parametrize(("trouble", "calls"), [(Trouble.CUT, 0), (Trouble.CUT_AFTER, 1)])
async def test_a_connection_breaks_before_or_after(peer: UltravoxPeer, trouble: Trouble, calls: int) -> None:
    peer.always(trouble, on=CREATES_CALL)
    with pytest.raises(aiohttp.ClientError):
        await ask(peer, "POST", "/api/calls", {"metadata": {"requestId": "r1"}})
    assert len(peer.calls) == calls
    peer.always(None)
    assert (await ask(peer, "POST", "/api/calls", {}))[0] == 201


async def test_an_answer_never_comes(peer: UltravoxPeer) -> None:
    peer.befall(Trouble.STALL_AFTER, on=CREATES_CALL)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await ask(peer, "POST", "/api/calls", {})
    assert len(peer.calls) == 1


async def test_answers_of_another_host_and_of_next_year(peer: UltravoxPeer) -> None:
    call = await made_call(peer)
    peer.befall(Trouble.FOREIGN_NEXT, Trouble.STRANGE)
    assert "127.0.0.2" in (await ask(peer, "GET", "/api/calls"))[1]["next"]
    _, strange = await ask(peer, "GET", f"/api/calls/{call['callId']}")
    assert (strange["callId"], strange["billingStatus"]) == (call["callId"], "OF_NEXT_YEAR")
    assert "fieldOfNextYear" in strange["medium"]


async def test_it_runs_by_itself_and_says_that_it_is_a_stand_in() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.peers.ultravox", "--port", "0", "--key", "demo"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        said = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
        assert "stand-in" in said
        found = re.search(r"http://[0-9.:]+", said)
        assert found is not None
        async with (
            aiohttp.ClientSession(headers={"X-API-Key": "demo"}) as session,
            session.get(found[0] + "/api/accounts/me") as answer,
        ):
            assert answer.status == 200
    finally:
        process.terminate()
        await process.communicate()


async def test_it_runs_a_command_with_settings_that_lead_to_it() -> None:
    settings = "import os; print(os.environ['ULTRAVOX_API_KEY'], os.environ['TRUNX_ULTRAVOX_URL']); exit(7)"
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "tests.peers.ultravox",
            "--key",
            "demo",
            "--",
            sys.executable,
            "-c",
            settings,
        ),
        stdout=asyncio.subprocess.PIPE,
    )
    said = (await asyncio.wait_for(process.communicate(), 30))[0].decode()
    assert process.returncode == 7
    assert re.search(r"^demo http://127.0.0.1:[0-9]+$", said, re.MULTILINE)


async def test_its_end_is_the_commands() -> None:
    waiting = "import signal; print('up', flush=True); signal.pause()"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.peers.ultravox", "--", sys.executable, "-c", waiting),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        while b"up" not in await process.stdout.readline():
            pass
        process.terminate()
        await process.communicate()
    assert process.returncode is not None
