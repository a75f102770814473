"""Agents, their tools and their knowledge, and what is to be deleted at the vendor's, on both engines."""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from trunx.adapters.store.agents import Agents
from trunx.adapters.store.database import Database
from trunx.adapters.store.dids import Dids
from trunx.adapters.store.knowledge import KnowledgeBases
from trunx.adapters.store.left_overs import LeftOvers
from trunx.adapters.store.tables import now
from trunx.adapters.store.tools import Tools
from trunx.domain.agent import Agent, Knowledge, Tool
from trunx.domain.errors import InUseError, NotFoundError
from trunx.domain.records import Page
from trunx.engine import agent_ports

DID = "+19495551234"
DEFINITION = {"modelToolName": "lookUp", "description": "Looks up.", "http": {}, "dynamicParameters": []}


def agent(account: str, name: str = "Sarah", **fields: Any) -> Agent:
    """An agent that nobody has yet."""
    made = Agent(
        id=str(uuid.uuid4()),
        account=account,
        name=name,
        prompt="You confirm appointments. {{ñ}}",
        voice="Mark",
        first_message=None,
        language="en",
        tools=(),
        knowledge=(),
        max_seconds=300,
        default=False,
        vendor_id=f"uv-{uuid.uuid4()}",
        created_at=now(),
        updated_at=now(),
    )
    return replace(made, **fields)


def tool(account: str, **fields: Any) -> Tool:
    made = Tool(str(uuid.uuid4()), account, DEFINITION, f"uv-{uuid.uuid4()}", now())
    return replace(made, **fields)


def knowledge(account: str, **fields: Any) -> Knowledge:
    made = Knowledge(str(uuid.uuid4()), account, "Hours", "When we are open.", f"uv-{uuid.uuid4()}", now())
    return replace(made, **fields)


@pytest.fixture
def agents(database: Database) -> agent_ports.Agents:
    return Agents(database)


@pytest.fixture
def tools(database: Database) -> agent_ports.Tools:
    return Tools(database)


@pytest.fixture
def shelf(database: Database) -> agent_ports.KnowledgeBases:
    return KnowledgeBases(database)


@pytest.fixture
def left(database: Database) -> agent_ports.LeftOvers:
    return LeftOvers(database)


async def _due(left: agent_ports.LeftOvers) -> Sequence[tuple[str, str | None]]:
    return sorted(await left.due())


async def test_an_agent_is_kept_changed_and_deleted(
    agents: agent_ports.Agents, left: agent_ports.LeftOvers, account: str
) -> None:
    made = agent(account)
    await agents.add(made)
    assert await agents.get(account, made.id) == made
    later = replace(made, prompt="Be brief.", voice=None, updated_at=made.updated_at + timedelta(seconds=1))
    assert await agents.change(later, made)
    assert await agents.get(account, made.id) == later
    # Somebody who read it before that change must look again.
    assert not await agents.change(replace(made, name="Ben"), made)
    assert (await agents.get(account, made.id)).name == "Sarah"
    assert await agents.delete(account, made.id) == later
    assert await _due(left) == [("agent", made.vendor_id)]
    for refused in (agents.get(account, made.id), agents.delete(account, made.id), agents.change(made, made)):
        with pytest.raises(NotFoundError):
            await refused


async def test_an_account_sees_only_its_own(
    agents: agent_ports.Agents,
    tools: agent_ports.Tools,
    shelf: agent_ports.KnowledgeBases,
    account: str,
    other: str,
) -> None:
    mine, hammer, book = agent(account), tool(account), knowledge(account)
    await agents.add(mine)
    await tools.add(hammer)
    await shelf.add(book)
    for refused in (
        agents.get(other, mine.id),
        agents.delete(other, mine.id),
        agents.change(replace(mine, account=other), mine),
        agents.serving(other, mine.id, None),
        agents.serving(other, None, None),
        agents.add(agent(other, tools=(hammer.id,))),
        agents.add(agent(other, knowledge=(book.id,))),
        tools.get(other, hammer.id),
        tools.delete(other, hammer.id),
        tools.change(replace(hammer, account=other), hammer),
        shelf.get(other, book.id),
        shelf.delete(other, book.id),
        shelf.change(replace(book, account=other), book),
    ):
        with pytest.raises(NotFoundError):
            await refused
    for page in (agents.page, tools.page, shelf.page):
        assert (await page(other, Page(10))).rows == []
    assert await tools.several(other, [hammer.id]) == []
    assert await shelf.several(other, [book.id]) == []
    assert await tools.several(account, [hammer.id, "nothing"]) == [hammer]
    assert await shelf.several(account, [book.id]) == [book]


async def test_pages_are_newest_first(agents: agent_ports.Agents, account: str) -> None:
    first = now()
    made = [agent(account, f"a{n}", created_at=first + timedelta(milliseconds=n)) for n in range(5)]
    for each in made:
        await agents.add(each)
    page = await agents.page(account, Page(3))
    assert [each.name for each in page.rows] == ["a4", "a3", "a2"]
    rest = await agents.page(account, Page(3, page.next))
    assert ([each.name for each in rest.rows], rest.next) == (["a1", "a0"], None)


async def test_there_is_one_default_agent_at_most(
    agents: agent_ports.Agents, account: str, other: str
) -> None:
    first, second = agent(account, "one", default=True), agent(account, "two", default=True)
    theirs = agent(other, default=True)
    for each in (theirs, first):
        await agents.add(each)
    await agents.add(second)
    stepped = await agents.get(account, first.id)
    assert not stepped.default
    assert (await agents.get(other, theirs.id)).default
    back = replace(stepped, default=True, updated_at=now() + timedelta(seconds=1))
    assert await agents.change(back, stepped)
    assert not (await agents.get(account, second.id)).default
    # Who read it as the default must look again, or there would be two.
    assert not await agents.change(replace(second, name="zwei"), second)


async def test_two_that_become_the_default_at_once(agents: agent_ports.Agents, account: str) -> None:
    await asyncio.gather(*(agents.add(agent(account, f"a{n}", default=True)) for n in range(8)))
    rows = (await agents.page(account, Page(20))).rows
    assert [each.default for each in rows].count(True) == 1


async def test_who_takes_a_caller(
    agents: agent_ports.Agents, database: Database, account: str, other: str
) -> None:
    with pytest.raises(NotFoundError):
        await agents.serving(account, None, DID)
    one = agent(account, "one")
    await agents.add(one)
    await agents.add(agent(other, default=True))
    assert (await agents.serving(account, None, DID)).name == "one"  # the only one
    two = agent(account, "two")
    await agents.add(two)
    with pytest.raises(NotFoundError):
        await agents.serving(account, None, DID)
    three = agent(account, "three", default=True)
    await agents.add(three)
    dids = Dids(database)
    await dids.create(account, DID, None, None)
    assert (await agents.serving(account, None, DID)).name == "three"
    await dids.change(account, DID, {"agent": two.id})
    assert (await agents.serving(account, None, DID)).name == "two"
    assert (await agents.serving(account, None, "+19495550000")).name == "three"
    assert (await agents.serving(account, one.id, DID)).name == "one"
    with pytest.raises(NotFoundError):
        await agents.serving(account, str(uuid.uuid4()), DID)
    # A DID is left without its agent, and its callers go to the default one.
    await agents.delete(account, two.id)
    assert (await dids.get(account, DID)).agent is None
    assert (await agents.serving(account, None, DID)).name == "three"


async def test_the_agent_of_a_did(
    agents: agent_ports.Agents, database: Database, account: str, other: str
) -> None:
    mine, theirs = agent(account), agent(other)
    await agents.add(mine)
    await agents.add(theirs)
    dids = Dids(database)
    assert (await dids.create(account, DID, None, None, mine.id)).agent == mine.id
    assert (await dids.change(account, DID, {"label": "x"})).agent == mine.id
    with pytest.raises(NotFoundError, match="agent"):
        await dids.change(account, DID, {"agent": theirs.id})
    with pytest.raises(NotFoundError, match="agent"):
        await dids.create(account, "+19495550000", None, None, theirs.id)
    assert (await dids.change(account, DID, {"agent": None})).agent is None
    await dids.change(account, DID, {"agent": mine.id})
    await dids.delete(account, DID)
    assert (await dids.create(other, DID, None, None)).agent is None


async def test_what_an_agent_is_given_must_be_there_and_stays(
    agents: agent_ports.Agents,
    tools: agent_ports.Tools,
    shelf: agent_ports.KnowledgeBases,
    left: agent_ports.LeftOvers,
    account: str,
) -> None:
    hammer, book = tool(account), knowledge(account)
    with pytest.raises(NotFoundError) as caught:
        await agents.add(agent(account, tools=(hammer.id,)))
    assert caught.value.args == ("tools", hammer.id)
    await tools.add(hammer)
    await shelf.add(book)
    one = agent(account, "Zoe", tools=(hammer.id,), knowledge=(book.id,))
    two = agent(account, "Adam", knowledge=(book.id,))
    await agents.add(one)
    await agents.add(two)
    with pytest.raises(InUseError) as used:
        await tools.delete(account, hammer.id)
    assert used.value.agents == ("Zoe",)
    with pytest.raises(InUseError) as used:
        await shelf.delete(account, book.id)
    assert used.value.agents == ("Adam", "Zoe")
    await agents.delete(account, one.id)
    await agents.delete(account, two.id)
    assert await tools.delete(account, hammer.id) == hammer
    assert await shelf.delete(account, book.id) == book
    assert set(await left.due()) == {
        ("agent", one.vendor_id),
        ("agent", two.vendor_id),
        ("tool", hammer.vendor_id),
        ("corpus", book.vendor_id),
    }


async def test_a_tool_is_not_deleted_while_it_is_given(
    agents: agent_ports.Agents, tools: agent_ports.Tools, account: str
) -> None:
    async def give(each: Tool) -> bool:
        try:
            await agents.add(agent(account, tools=(each.id,)))
        except NotFoundError:
            return False
        return True

    async def take(each: Tool) -> bool:
        try:
            await tools.delete(account, each.id)
        except InUseError:
            return False
        return True

    made = [tool(account) for _ in range(10)]
    for each in made:
        await tools.add(each)
    came = await asyncio.gather(*(work(each) for each in made for work in (give, take)))
    assert all(given != taken for given, taken in zip(came[::2], came[1::2], strict=True))


async def test_tools_and_knowledge_are_changed(
    tools: agent_ports.Tools, shelf: agent_ports.KnowledgeBases, account: str
) -> None:
    hammer, book = tool(account), knowledge(account)
    await tools.add(hammer)
    await shelf.add(book)
    harder = replace(hammer, definition={**DEFINITION, "description": "Looks up harder."})
    assert await tools.change(harder, hammer)
    assert not await tools.change(hammer, hammer)
    assert await tools.get(account, hammer.id) == harder
    assert list((await tools.get(account, hammer.id)).definition) == list(DEFINITION)
    thicker = replace(book, description=None)
    assert await shelf.change(thicker, book)
    assert not await shelf.change(book, book)
    assert await shelf.get(account, book.id) == thicker


async def test_what_is_made_anew_leaves_the_former_over(
    agents: agent_ports.Agents,
    tools: agent_ports.Tools,
    shelf: agent_ports.KnowledgeBases,
    left: agent_ports.LeftOvers,
    account: str,
) -> None:
    hammer, book = tool(account), knowledge(account)
    await tools.add(hammer)
    await shelf.add(book)
    with_tool, with_book = agent(account, tools=(hammer.id,)), agent(account, knowledge=(book.id,))
    apart = agent(account)
    for each in (with_tool, with_book, apart):
        await agents.add(each)
    await agents.made(apart, "uv-new")
    assert (await agents.get(account, apart.id)).vendor_id == "uv-new"
    await tools.made(hammer, "uv-tool")
    await shelf.made(book, "uv-corpus")
    # The vendor's agents know a tool, or a corpus, that is gone.
    assert (await agents.get(account, with_tool.id)).vendor_id is None
    assert (await agents.get(account, with_book.id)).vendor_id is None
    assert (await agents.get(account, apart.id)).vendor_id == "uv-new"
    assert set(await left.due()) == {
        ("agent", apart.vendor_id),
        ("tool", hammer.vendor_id),
        ("corpus", book.vendor_id),
        ("agent", with_tool.vendor_id),
        ("agent", with_book.vendor_id),
    }
    # Made for a row that was deleted meanwhile.
    await agents.delete(account, apart.id)
    await agents.made(apart, "uv-late")
    assert ("agent", "uv-late") in await left.due()


async def test_what_is_about_to_be_made(
    agents: agent_ports.Agents, left: agent_ports.LeftOvers, account: str
) -> None:
    assert await left.expect("agent", "Sarah-1")
    assert not await left.expect("agent", "Sarah-1")
    assert await left.expect("corpus", "Hours-1")
    soon = datetime.now(UTC) + timedelta(seconds=1)
    assert set(await left.expected(soon)) == {("agent", "Sarah-1"), ("corpus", "Hours-1")}
    assert await left.expected(soon - timedelta(minutes=1)) == []
    assert await left.due() == []
    await left.cleared("Sarah-1")
    assert await left.expected(soon) == [("corpus", "Hours-1")]
    kept = agent(account)
    await agents.add(kept)
    assert await left.standing([str(kept.vendor_id), "uv-nobody"]) == {kept.vendor_id}
    assert await left.standing([]) == set()
