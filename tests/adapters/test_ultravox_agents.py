"""Ultravox' agents, tools and corpora: made as asked for, and compared, for the vendor forgets in silence."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.adapters.ultravox_door import Door, opened, refused
from tests.peers.ultravox_asking import TOOL
from tests.peers.ultravox_troubles import Trouble

TEMPLATE: dict[str, Any] = {
    "systemPrompt": "Be kind.\n\n{{call_facts}}",
    "voice": "Mark",
    "maxDuration": "300s",
    "recordingEnabled": False,
    "firstSpeakerSettings": {"agent": {}},
    "selectedTools": [{"toolName": "hangUp"}],
}


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with opened() as both:
        yield both


async def test_an_agent_is_made_whole(door: Door) -> None:
    agent = await door.agents.create_agent("front-desk-0a1b2c3d", TEMPLATE)
    (sent,) = door.peer.requests
    assert (sent.line, sent.body) == (
        "POST /api/agents",
        {"name": "front-desk-0a1b2c3d", "callTemplate": TEMPLATE},
    )
    assert [*door.peer.things.agents] == [agent]
    assert not await door.agents.agent_differs(agent, "front-desk-0a1b2c3d", TEMPLATE)


async def test_a_change_sends_the_whole_template_and_reads_it_back(door: Door) -> None:
    agent = await door.agents.create_agent("a", TEMPLATE)
    changed = TEMPLATE | {"systemPrompt": "Be brief."}
    await door.agents.put_agent(agent, "b", changed)
    assert [request.line for request in door.peer.requests[1:]] == [
        f"PATCH /api/agents/{agent}",
        f"GET /api/agents/{agent}",
    ]
    assert door.peer.requests[1].body == {"name": "b", "callTemplate": changed}
    kept = door.peer.things.agents[agent]
    assert (kept["name"], kept["callTemplate"]["voice"]) == ("b", "Mark")


@pytest.mark.parametrize(
    "drift",
    [
        {"systemPrompt": "Be rude."},
        {"selectedTools": []},
        {"selectedTools": [{"toolName": "hangUp"}, {"toolName": "leaveVoicemail"}]},
        {"maxDuration": "3600s"},
        {"recordingEnabled": True},
        {"voice": None},
    ],
)
async def test_drift_is_seen_and_put_right(door: Door, drift: dict[str, Any]) -> None:
    agent = await door.agents.create_agent("a", TEMPLATE)
    door.peer.things.agents[agent]["callTemplate"] |= drift
    assert await door.agents.agent_differs(agent, "a", TEMPLATE)
    await door.agents.put_agent(agent, "a", TEMPLATE)
    assert not await door.agents.agent_differs(agent, "a", TEMPLATE)


async def test_what_the_vendor_adds_is_no_drift(door: Door) -> None:
    agent = await door.agents.create_agent("a", TEMPLATE)
    door.peer.things.agents[agent]["callTemplate"] |= {"temperature": 0.5, "updated": "2027-01-01T00:00:00Z"}
    door.peer.things.agents[agent]["callTemplate"]["maxDuration"] = "300.0s"
    door.peer.befall(Trouble.STRANGE)
    assert not await door.agents.agent_differs(agent, "a", TEMPLATE)
    assert await door.agents.agent_differs(agent, "another name", TEMPLATE)


async def test_what_the_vendor_does_not_keep_is_told(door: Door) -> None:
    """Its agents pass over what they do not know: here the vendor forgets the voice."""
    agent = await door.agents.create_agent("a", TEMPLATE)
    changing = door.peer.things.change_agent

    def forgetful(agent_id: str, body: Any) -> dict[str, Any]:
        changing(agent_id, body)["callTemplate"].pop("voice")
        return door.peer.things.agents[agent_id]

    door.peer.things.change_agent = forgetful  # type: ignore[method-assign]
    error = await refused("invalid", door.agents.put_agent(agent, "a", TEMPLATE))
    assert error.sentence == "Ultravox refuses this (it did not keep voice)"


async def test_an_agent_that_is_not_as_asked_for_is_taken_back(door: Door) -> None:
    making = door.peer.things.create_agent

    def forgetful(body: Any) -> dict[str, Any]:
        row = making(body)
        row["callTemplate"].pop("selectedTools")
        return row

    door.peer.things.create_agent = forgetful  # type: ignore[method-assign]
    error = await refused("invalid", door.agents.create_agent("a", TEMPLATE))
    assert "selectedTools" in error.sentence
    assert door.peer.things.agents == {}
    door.peer.always(Trouble.ERROR_500, on="DELETE")
    await refused("unknown", door.agents.create_agent("a", TEMPLATE))
    assert len(await door.agents.find("agent", "a")) == 1


@pytest.mark.parametrize("trouble", [Trouble.CUT_AFTER, Trouble.ERROR_AFTER_500, Trouble.GARBLED_AFTER])
async def test_what_was_made_without_an_answer_is_found_by_its_name(door: Door, trouble: Trouble) -> None:
    door.peer.befall(trouble, trouble, trouble, on="POST")
    await refused("unknown", door.agents.create_agent("front-desk-0a1b2c3d", TEMPLATE))
    await refused("unknown", door.agents.create_tool("lookupOrder-0a1b2c3d", TOOL))
    await refused("unknown", door.agents.create_corpus("faq-0a1b2c3d", None))
    things = door.peer.things
    await door.agents.create_agent("front-desk", TEMPLATE)
    assert await door.agents.find("agent", "front-desk-0a1b2c3d") == [*things.agents][:1]
    assert await door.agents.find("tool", "lookupOrder-0a1b2c3d") == [*things.tools]
    assert await door.agents.find("corpus", "faq-0a1b2c3d") == [*things.corpora]
    assert await door.agents.find("agent", "nobody") == []
    assert len(door.peer.asked("POST")) == 4


async def test_an_agent_that_is_gone_is_missing_but_deleted(door: Door) -> None:
    await refused("missing", door.agents.put_agent("gone", "a", TEMPLATE))
    await refused("missing", door.agents.agent_differs("gone", "a", TEMPLATE))
    await door.agents.delete_agent("gone")
    agent = await door.agents.create_agent("a", TEMPLATE)
    await door.agents.delete_agent(agent)
    assert door.peer.things.agents == {}


async def test_an_id_never_becomes_another_path(door: Door) -> None:
    await refused("missing", door.agents.agent_differs("../tools?x=/y", "a", TEMPLATE))
    (sent,) = door.peer.requests
    assert sent.path == "/api/agents/../tools?x=/y"  # one segment, decoded
    assert sent.query == {}


async def test_a_tool_lives(door: Door) -> None:
    tool = await door.agents.create_tool("lookupOrder-1", TOOL)
    assert not await door.agents.tool_differs(tool, "lookupOrder-1", TOOL)
    changed = TOOL | {"description": "Finds an order."}
    assert await door.agents.tool_differs(tool, "lookupOrder-1", changed)
    await door.agents.put_tool(tool, "lookupOrder-1", changed)
    assert door.peer.asked("PUT")[0].body == {"name": "lookupOrder-1", "definition": changed}
    assert not await door.agents.tool_differs(tool, "lookupOrder-1", changed)
    insecure = TOOL | {"http": {"baseUrlPattern": "http://shop.test/", "httpMethod": "POST"}}
    error = await refused("invalid", door.agents.put_tool(tool, "lookupOrder-1", insecure))
    assert "https" in error.sentence
    await door.agents.delete_tool(tool)
    await door.agents.delete_tool(tool)
    await refused("missing", door.agents.tool_differs(tool, "lookupOrder-1", TOOL))
    await refused("missing", door.agents.put_tool(tool, "lookupOrder-1", TOOL))


async def test_a_corpus_takes_urls_and_documents(door: Door) -> None:
    corpus = await door.agents.create_corpus("faq-1", "Front desk")
    site = await door.agents.add_url(corpus, "site", "https://acme.test/faq")
    assert door.peer.asked("POST .*/sources$")[0].body == {
        "name": "site",
        "crawl": {"startUrls": ["https://acme.test/faq"], "maxDepth": 1},  # that page alone
    }
    book = await door.agents.add_document(corpus, "book.pdf", "application/pdf", b"%PDF")
    (document,) = door.peer.things.documents.values()
    assert (document["content"], document["mime"], document["name"]) == (
        b"%PDF",
        "application/pdf",
        "book.pdf",
    )
    assert [source["sourceId"] for source in await door.agents.sources(corpus)] == [site, book]
    (upload,) = door.peer.uploads
    assert "X-API-Key" not in upload
    assert (await door.agents.corpus(corpus))["stats"]["status"] == "CORPUS_STATUS_INITIALIZING"
    await door.agents.change_corpus(corpus, "faq-1", None)
    assert (await door.agents.corpus(corpus))["description"] == ""
    await door.agents.delete_corpus(corpus)
    await door.agents.delete_corpus(corpus)
    await refused("missing", door.agents.corpus(corpus))
    await refused("missing", door.agents.add_url(corpus, "site", "https://acme.test/"))


async def test_a_storage_that_does_not_take_it_is_told(door: Door) -> None:
    corpus = await door.agents.create_corpus("faq-1", None)
    door.peer.befall(Trouble.ERROR_500, on="PUT /storage")
    await refused("unavailable", door.agents.add_document(corpus, "a", "text/plain", b"x"))
    door.peer.always(Trouble.CUT, on="PUT /storage")
    await refused("unavailable", door.agents.add_document(corpus, "a", "text/plain", b"x"))
    assert door.peer.things.sources == {}
