"""Agents, tools and knowledge, here and at a vendor that replaces what it is sent, and fails when told to."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.peers.ultravox import UltravoxPeer
from tests.peers.ultravox_troubles import Trouble
from trunx.adapters.store.accounts import Accounts
from trunx.adapters.store.agents import Agents
from trunx.adapters.store.database import Database
from trunx.adapters.store.knowledge import KnowledgeBases
from trunx.adapters.store.left_overs import LeftOvers as LeftOverRows
from trunx.adapters.store.tools import Tools as ToolRows
from trunx.adapters.ultravox.agents import UltravoxAgents
from trunx.adapters.ultravox.client import Client, Deadlines
from trunx.domain.agent import Agent, Knowledge, Tool, VendorError
from trunx.domain.errors import NotFoundError
from trunx.domain.records import Page
from trunx.engine.agents import Roster, UnfitError
from trunx.engine.knowledge import Bookshelf
from trunx.engine.left_overs import LeftOvers
from trunx.engine.settling import moment
from trunx.engine.tools import Tools

HURRIED = Deadlines(total=1.5, backoff=0.01)
NOW = timedelta(0)
CREATE, PATCH = "POST /api/agents$", "PATCH /api/agents/"
DEFINITION: dict[str, Any] = {
    "modelToolName": "lookUp",
    "description": "Looks an order up.",
    "dynamicParameters": [],
    "http": {"baseUrlPattern": "https://example.com/orders", "httpMethod": "POST"},
}


@dataclass(frozen=True, slots=True)
class Office:
    """One account, its agents, and the vendor."""

    account: str
    vendor: UltravoxPeer
    rows: LeftOverRows
    left_overs: LeftOvers
    tools: Tools
    shelf: Bookshelf
    roster: Roster

    def draft(self, **fields: Any) -> Agent:
        """An agent to create."""
        wanted: dict[str, Any] = {
            "id": str(uuid.uuid4()),
            "account": self.account,
            "name": "Sarah",
            "prompt": "You confirm appointments.",
            "voice": "Mark",
            "first_message": "Hi, this is Sarah.",
            "language": "en",
            "tools": (),
            "knowledge": (),
            "max_seconds": 300,
            "default": False,
            "vendor_id": None,
            "created_at": moment(),
            "updated_at": moment(),
        }
        return Agent(**wanted | fields)

    async def hammer(self, **definition: Any) -> Tool:
        tool = Tool(str(uuid.uuid4()), self.account, DEFINITION | definition, None, moment())
        return await self.tools.create(tool)

    async def book(self, name: str = "Hours") -> Knowledge:
        knowledge = Knowledge(str(uuid.uuid4()), self.account, name, None, None, moment())
        return await self.shelf.create(knowledge)

    async def agents(self) -> list[str]:
        return [agent.id for agent in (await self.roster.rows.page(self.account, Page(50))).rows]

    def template(self, agent: Agent) -> dict[str, Any]:
        """What the vendor has."""
        template: dict[str, Any] = self.vendor.things.agents[str(agent.vendor_id)]["callTemplate"]
        return template

    async def noted(self) -> int:
        """How much is still to be looked after at the vendor's."""
        soon = datetime.now(UTC) + timedelta(seconds=1)
        return len(await self.rows.due()) + len(await self.rows.expected(soon))


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    async with (
        UltravoxPeer.running() as vendor,
        Client.open(vendor.key, vendor.url, deadlines=HURRIED) as client,
        Database.open(f"sqlite:///{tmp_path}/trunx.db") as database,
    ):
        ultravox = UltravoxAgents(client)
        rows = LeftOverRows(database)
        left_overs = LeftOvers(rows, ultravox)
        tools = Tools(ToolRows(database), ultravox, left_overs)
        shelf = Bookshelf(KnowledgeBases(database), ultravox, left_overs)
        roster = Roster(Agents(database), ultravox, left_overs, tools=tools, knowledge=shelf)
        account = (await Accounts(database).create("Ada")).id
        yield Office(account, vendor, rows, left_overs, tools, shelf, roster)


async def test_an_agent_is_made_here_and_there(office: Office) -> None:
    agent = await office.roster.create(office.draft())
    assert (await office.roster.rows.get(office.account, agent.id)).vendor_id == agent.vendor_id
    there = office.template(agent)
    assert there["systemPrompt"].startswith("You confirm appointments.")
    assert (there["voice"], there["maxDuration"]) == ("Mark", "300s")
    assert await office.noted() == 0


async def test_a_change_keeps_what_it_does_not_name(office: Office) -> None:
    tool, book = await office.hammer(), await office.book()
    agent = await office.roster.create(office.draft(tools=(tool.id,), knowledge=(book.id,)))
    before = office.template(agent)
    changed = await office.roster.change(office.account, agent.id, {"prompt": "Be brief."})
    after = office.template(agent)
    assert changed.vendor_id == agent.vendor_id
    assert after["systemPrompt"].startswith("Be brief.")
    same = after.keys() - {"systemPrompt", "updated"}
    assert after.keys() == before.keys()
    assert {key: after[key] for key in same} == {key: before[key] for key in same}
    kept = await office.roster.rows.get(office.account, agent.id)
    assert kept == replace(kept, prompt="Be brief.", voice="Mark", tools=(tool.id,), knowledge=(book.id,))


async def test_changes_at_once_are_all_made(office: Office) -> None:
    agent = await office.roster.create(office.draft())
    changes: list[dict[str, Any]] = [{"name": "Ben"}, {"prompt": "Be brief."}, {"voice": None}]
    changes += [{"first_message": None}, {"language": "es"}, {"max_seconds": 60}]
    await asyncio.gather(*(office.roster.change(office.account, agent.id, fields) for fields in changes))
    kept = await office.roster.rows.get(office.account, agent.id)
    for fields in changes:
        assert replace(kept, **fields) == kept
    assert await office.roster.look(office.account, agent.id) == (kept, "ready")


@pytest.mark.parametrize("trouble", [Trouble.ERROR_500, Trouble.HTML_502, Trouble.NO_COMPUTE_503])
async def test_a_vendor_that_fails_leaves_nothing_half_made(office: Office, trouble: Trouble) -> None:
    office.vendor.befall(trouble, on=CREATE)
    with pytest.raises(VendorError) as caught:
        await office.roster.create(office.draft())
    assert caught.value.trouble in {"busy", "unknown"}
    assert await office.agents() == []
    await office.left_overs.sweep(NOW)
    assert office.vendor.things.agents == {}
    assert await office.noted() == 0


@pytest.mark.parametrize(
    "trouble", [Trouble.ERROR_AFTER_500, Trouble.CUT_AFTER, Trouble.STALL_AFTER, Trouble.GARBLED_AFTER]
)
async def test_what_was_made_though_no_answer_came_is_deleted(office: Office, trouble: Trouble) -> None:
    kept = await office.roster.create(office.draft())
    office.vendor.befall(trouble, on=CREATE)
    with pytest.raises(VendorError) as caught:
        await office.roster.create(office.draft())
    assert caught.value.trouble == "unknown"
    assert await office.agents() == [kept.id]
    assert len(office.vendor.things.agents) == 2
    # Not at once: the vendor may still be at it.
    await office.left_overs.sweep()
    assert len(office.vendor.things.agents) == 2
    await office.left_overs.sweep(NOW)
    assert list(office.vendor.things.agents) == [kept.vendor_id]
    assert await office.noted() == 0


async def test_what_the_vendor_refuses_is_not_made(office: Office) -> None:
    with pytest.raises(VendorError, match="Voice Nobody does not exist") as caught:
        await office.roster.create(office.draft(voice="Nobody"))
    assert caught.value.trouble == "invalid"
    agent = await office.roster.create(office.draft())
    with pytest.raises(VendorError):
        await office.roster.change(office.account, agent.id, {"voice": "Nobody"})
    assert await office.roster.rows.get(office.account, agent.id) == agent
    assert await office.agents() == [agent.id]
    assert await office.noted() == 0


async def test_what_was_changed_there_is_put_right(office: Office) -> None:
    agent = await office.roster.create(office.draft())
    assert await office.roster.look(office.account, agent.id) == (agent, "ready")
    right = office.template(agent)["systemPrompt"]
    office.template(agent)["systemPrompt"] = "You sell used cars."
    office.template(agent)["selectedTools"] = []
    assert await office.roster.look(office.account, agent.id) == (agent, "healed")
    assert office.template(agent)["systemPrompt"] == right
    assert office.template(agent)["selectedTools"] == [{"toolName": "hangUp"}]
    assert await office.roster.look(office.account, agent.id) == (agent, "ready")


async def test_what_was_deleted_there_is_made_anew(office: Office) -> None:
    agent = await office.roster.create(office.draft())
    office.vendor.things.agents.clear()
    healed, condition = await office.roster.look(office.account, agent.id)
    assert condition == "healed"
    assert healed == replace(agent, vendor_id=healed.vendor_id)
    assert list(office.vendor.things.agents) == [healed.vendor_id]
    assert await office.roster.rows.get(office.account, agent.id) == healed
    # A change, too.
    office.vendor.things.agents.clear()
    changed = await office.roster.change(office.account, agent.id, {"prompt": "Be brief."})
    assert list(office.vendor.things.agents) == [changed.vendor_id]
    assert office.template(changed)["systemPrompt"].startswith("Be brief.")
    assert await office.roster.look(office.account, agent.id) == (changed, "ready")
    await office.left_overs.sweep(NOW)
    assert list(office.vendor.things.agents) == [changed.vendor_id]


async def test_an_agent_is_ready_without_asking(office: Office) -> None:
    agent = await office.roster.create(office.draft())
    asked = len(office.vendor.requests)
    assert await office.roster.ready(agent) is agent
    assert len(office.vendor.requests) == asked


async def test_many_calls_that_miss_an_agent_make_it_once(office: Office) -> None:
    agent = await office.roster.create(office.draft())
    office.vendor.things.agents.clear()
    made = await asyncio.gather(*(office.roster.anew(agent) for _ in range(20)))
    assert {each.vendor_id for each in made} == set(office.vendor.things.agents)
    assert len(office.vendor.asked(CREATE)) == 2


async def test_a_call_that_ends_while_its_agent_is_made_anew_leaves_nothing(office: Office) -> None:
    agent = await office.roster.create(office.draft())
    office.vendor.things.agents.clear()
    office.vendor.befall(Trouble.STALL_AFTER, on=CREATE)
    making = asyncio.create_task(office.roster.anew(agent))
    await office.vendor.awaited(CREATE, 2)
    making.cancel()
    await asyncio.gather(making, return_exceptions=True)
    healed = await office.roster.anew(agent)
    await office.left_overs.sweep(NOW)
    assert list(office.vendor.things.agents) == [healed.vendor_id]


async def test_a_look_says_what_is_wrong(office: Office) -> None:
    agent = await office.roster.create(office.draft())
    for trouble, condition in (
        (Trouble.UNAUTHORIZED_401, "credentials"),
        (Trouble.PAYMENT_402, "payment"),
        (Trouble.ERROR_500, "unavailable"),
        (Trouble.STALL, "unavailable"),
    ):
        office.vendor.always(trouble, on="/api/agents")
        assert await office.roster.look(office.account, agent.id) == (agent, condition)
        office.vendor.always(None)


async def test_a_deleted_agent_is_gone_there_too(office: Office) -> None:
    agent = await office.roster.create(office.draft())
    await office.roster.delete(office.account, agent.id)
    assert office.vendor.things.agents == {}
    assert await office.noted() == 0
    with pytest.raises(NotFoundError):
        await office.roster.look(office.account, agent.id)


async def test_what_cannot_be_deleted_there_now_is_deleted_later(office: Office) -> None:
    tool, book = await office.hammer(), await office.book()
    agent = await office.roster.create(office.draft())
    office.vendor.always(Trouble.ERROR_500, on="DELETE")
    await office.roster.delete(office.account, agent.id)
    await office.tools.delete(office.account, tool.id)
    await office.shelf.delete(office.account, book.id)
    assert await office.agents() == []
    things = office.vendor.things
    assert (len(things.agents), len(things.tools), len(things.corpora)) == (1, 1, 1)
    with pytest.raises(VendorError):
        await office.left_overs.sweep()
    assert await office.noted() == 3
    office.vendor.always(None)
    await office.left_overs.sweep()
    assert (things.agents, things.tools, things.corpora) == ({}, {}, {})
    assert await office.noted() == 0


async def test_what_the_vendor_will_not_delete_holds_up_nothing_else(office: Office) -> None:
    agents = [await office.roster.create(office.draft()) for _ in range(2)]
    office.vendor.always(Trouble.ERROR_500, on="DELETE")
    for agent in agents:
        await office.roster.delete(office.account, agent.id)
    office.vendor.always(None)
    office.vendor.befall(Trouble.INVALID_422, on="DELETE")
    await office.left_overs.sweep()
    assert len(office.vendor.things.agents) == await office.noted() == 1


async def test_an_agent_is_given_only_what_is_there(office: Office) -> None:
    tool, book = await office.hammer(), await office.book()
    twin, nothing = await office.hammer(), str(uuid.uuid4())
    for fields, field, place in (
        ({"tools": (tool.id, nothing)}, "tools", 1),
        ({"knowledge": (nothing, book.id)}, "knowledge", 0),
        ({"tools": (tool.id, twin.id)}, "tools", 1),
        ({"tools": (tool.id, (await office.hammer(modelToolName="hangUp")).id)}, "tools", 1),
    ):
        with pytest.raises(UnfitError) as caught:
            await office.roster.create(office.draft(**fields))
        assert (caught.value.field, caught.value.place) == (field, place)
    assert await office.agents() == []
    assert office.vendor.things.agents == {}


async def test_a_lost_tool_is_made_anew_with_its_agents(office: Office) -> None:
    tool = await office.hammer()
    agent = await office.roster.create(office.draft(tools=(tool.id,)))
    office.vendor.things.tools.clear()
    healed, condition = await office.tools.look(office.account, tool.id)
    assert condition == "healed"
    assert list(office.vendor.things.tools) == [healed.vendor_id]
    # Before a call: the row says that the vendor's agent is no longer right.
    ready = await office.roster.ready(await office.roster.rows.get(office.account, agent.id))
    assert {"toolId": healed.vendor_id} in office.template(ready)["selectedTools"]
    await office.left_overs.sweep()
    assert list(office.vendor.things.agents) == [ready.vendor_id]


async def test_a_look_at_an_agent_heals_what_it_was_given(office: Office) -> None:
    tool, book = await office.hammer(), await office.book()
    agent = await office.roster.create(office.draft(tools=(tool.id,), knowledge=(book.id,)))
    office.vendor.things.tools.clear()
    office.vendor.things.corpora.clear()
    healed, condition = await office.roster.look(office.account, agent.id)
    assert condition == "healed"
    [tool_id], [corpus_id] = office.vendor.things.tools, office.vendor.things.corpora
    _, given, looked_up = office.template(healed)["selectedTools"]
    assert given == {"toolId": tool_id}
    assert looked_up["parameterOverrides"] == {"corpus_id": corpus_id}
    assert await office.roster.look(office.account, agent.id) == (healed, "ready")


async def test_a_tool_is_changed_and_put_right(office: Office) -> None:
    tool = await office.hammer()
    changed = await office.tools.change(office.account, tool.id, {"description": "Finds orders."})
    assert changed.definition == {**DEFINITION, "description": "Finds orders."}
    there = office.vendor.things.tools[str(tool.vendor_id)]
    assert there["definition"] == {**changed.definition, "timeout": "10s"}
    there["definition"]["http"]["baseUrlPattern"] = "https://elsewhere.example.com"
    assert await office.tools.look(office.account, tool.id) == (changed, "healed")
    assert await office.tools.look(office.account, tool.id) == (changed, "ready")
    office.vendor.befall(Trouble.ERROR_AFTER_500, on="POST /api/tools")
    with pytest.raises(VendorError):
        await office.hammer()
    await office.left_overs.sweep(NOW)
    assert list(office.vendor.things.tools) == [tool.vendor_id]


async def test_knowledge_is_filled_and_lost(office: Office, tmp_path: Path) -> None:
    book = await office.book()
    page = await office.shelf.add_url(office.account, book.id, "faq", "https://example.com/faq")
    file = tmp_path / "hours.txt"
    file.write_text("We open at nine.")
    document = await office.shelf.add_document(office.account, book.id, "hours.txt", "text/plain", file)
    sources = await office.shelf.sources(office.account, book.id)
    assert {source["sourceId"] for source in sources} == {page, document}
    [kept] = office.vendor.things.documents.values()
    assert (kept["content"], kept["mime"]) == (b"We open at nine.", "text/plain")
    assert "X-API-Key" not in office.vendor.uploads[0]
    assert (await office.shelf.stats(book))["status"].startswith("CORPUS_STATUS_")

    agent = await office.roster.create(office.draft(knowledge=(book.id,)))
    office.vendor.things.corpora.clear()
    # What it held cannot be made anew, but it can be filled again.
    await office.shelf.add_url(office.account, book.id, "faq", "https://example.com/faq")
    again, condition = await office.shelf.look(office.account, book.id)
    assert condition == "ready"
    assert list(office.vendor.things.corpora) == [again.vendor_id]
    assert len(await office.shelf.sources(office.account, book.id)) == 1
    ready = await office.roster.ready(await office.roster.rows.get(office.account, agent.id))
    looked_up = office.template(ready)["selectedTools"][1]
    assert looked_up["parameterOverrides"] == {"corpus_id": again.vendor_id}


async def test_agents_hear_how_their_knowledge_is_called_now(office: Office) -> None:
    book = await office.book()
    agent = await office.roster.create(office.draft(knowledge=(book.id,)))
    changed = await office.shelf.change(office.account, book.id, {"description": "When we are open."})
    assert office.vendor.things.corpora[str(book.vendor_id)]["description"] == "When we are open."
    assert changed.vendor_id == book.vendor_id
    healed, _ = await office.roster.look(office.account, agent.id)
    assert "When we are open." in office.template(healed)["selectedTools"][1]["descriptionOverride"]
