"""The vendor's side of a talk: places, what goes wrong with the order, and that nothing is ordered twice."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from tests.engine.agency import Agency, Desk, at_a_desk, at_work, dialled
from tests.engine.conftest import Engine
from tests.peers.ultravox import CREATES_CALL
from tests.peers.ultravox_troubles import Trouble
from trunx.adapters.cache.redis import open_redis
from trunx.adapters.cache.talk_places import TalkPlaces
from trunx.domain.agent import Trouble as Kind
from trunx.domain.talk import TalkState
from trunx.engine.talking import TalkEnd

LOOKS = "GET /api/calls$"


@pytest.fixture
async def agency(engine: Engine, valkey: str) -> AsyncIterator[Agency]:
    async with at_work(engine, valkey) as agency:
        yield agency


@pytest.fixture
async def desk(agency: Agency) -> AsyncIterator[Desk]:
    async with at_a_desk(agency) as desk:
        yield desk


class TestPlaces:
    async def test_none_within_the_patience(self, agency: Agency, desk: Desk) -> None:
        for taken in ("one", "two"):
            assert await agency.places.take(agency.engine.account, taken)
        phone = await desk.rings("ANSWER")
        assert (desk.ends, dialled(phone)) == ([TalkEnd.UNAVAILABLE], [])
        over = await desk.row()
        assert (over.state, over.end_reason, over.settled) == (TalkState.FAILED, "busy", True)
        assert agency.orders == []
        assert await agency.free() == 0, "those of others are not given back"

    async def test_one_that_comes_free(self, agency: Agency, desk: Desk) -> None:
        """Whoever has it dies, and does not renew it."""
        agency.talking.patience = replace(agency.talking.patience, place=5.0)
        dying = TalkPlaces(agency.cache, 2, ttl=0.2)
        for taken in ("one", "two"):
            assert await dying.take(agency.engine.account, taken)
        await desk.rings("ANSWER")
        assert (desk.ends, len(agency.orders)) == ([TalkEnd.AGENT_LEFT], 1)
        await agency.nobody_talks()

    async def test_nobody_knows_how_many_there_are(
        self, agency: Agency, desk: Desk, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """Then they are not counted here; the vendor counts too."""
        nowhere = tmp_path_factory.mktemp("nowhere") / "socket"
        async with open_redis(f"unix://{nowhere}") as away:
            agency.talking.places = TalkPlaces(away, 2)
            with capture_logs() as logs:
                await desk.rings("ANSWER")
            assert desk.ends == [TalkEnd.AGENT_LEFT]
            assert (await desk.row()).state is TalkState.ENDED
            await agency.talking.close()
        assert any(line["event"] == "a talk begins uncounted" for line in logs)


async def test_a_vendor_that_is_busy_is_asked_once_more(agency: Agency, desk: Desk) -> None:
    agency.peer.retry_after = 1
    agency.peer.befall(Trouble.TOO_MANY_429, on=CREATES_CALL)
    began = desk.server.loop.time()
    await desk.rings("ANSWER")
    assert desk.server.loop.time() - began >= 0.99, "as late as it asked for"
    assert desk.ends == [TalkEnd.AGENT_LEFT]
    first, second = agency.orders
    assert first == second
    assert (await desk.row()).state is TalkState.ENDED


async def test_a_vendor_that_wants_more_time_than_a_caller_has_is_not(agency: Agency, desk: Desk) -> None:
    agency.peer.retry_after = 60
    agency.peer.befall(Trouble.TOO_MANY_429, on=CREATES_CALL)
    await desk.rings("ANSWER")
    assert (desk.ends, len(agency.orders)) == ([TalkEnd.UNAVAILABLE], 1)
    assert (await desk.row()).end_reason == "busy"


async def test_the_vendor_s_own_cap(agency: Agency, desk: Desk) -> None:
    agency.peer.cap = 0
    await desk.rings("ANSWER")
    assert (desk.ends, len(agency.orders)) == ([TalkEnd.UNAVAILABLE], 2)
    assert (await desk.row()).end_reason == "busy"


@pytest.mark.parametrize(
    ("trouble", "known", "orders"),
    [
        (Trouble.PAYMENT_402, ("payment", True), 1),
        (Trouble.UNAUTHORIZED_401, ("credentials", True), 1),
        (Trouble.FORBIDDEN_403, ("credentials", True), 1),
        (Trouble.INVALID_422, ("invalid", True), 1),
        (Trouble.TOO_MANY_429, ("busy", True), 2),
        (Trouble.NO_COMPUTE_503, ("busy", True), 2),
        (Trouble.ERROR_500, ("unknown", False), 1),
        (Trouble.HTML_502, ("unknown", False), 1),
        (Trouble.CUT, ("unknown", False), 1),
        (Trouble.STALL, ("unknown", False), 1),
    ],
)
async def test_no_agent_comes(
    agency: Agency, desk: Desk, trouble: Trouble, known: tuple[Kind, bool], orders: int
) -> None:
    """The row is settled when the vendor surely has no call; else one may still come to be."""
    agency.peer.always(trouble, on=CREATES_CALL)
    agency.client.deadlines = replace(agency.client.deadlines, creation=0.3)
    with capture_logs() as logs:
        phone = await desk.rings("ANSWER")
    assert (desk.ends, dialled(phone), len(agency.orders)) == ([TalkEnd.UNAVAILABLE], [], orders)
    over = await desk.row()
    assert (over.state, over.end_reason, over.settled) == (TalkState.FAILED, *known)
    assert over.vendor_call is None
    told = next(line for line in logs if line["event"] == "no agent comes to a caller")
    assert (told["talk"], told["agent"]) == (over.id, agency.agent.id)
    await agency.nobody_talks()


@pytest.mark.parametrize(
    "trouble",
    [Trouble.CUT_AFTER, Trouble.STALL_AFTER, Trouble.ERROR_AFTER_500, Trouble.GARBLED_AFTER],
)
async def test_an_answer_that_was_lost(agency: Agency, desk: Desk, trouble: Trouble) -> None:
    """The call was made: it is looked for by the talk's id, and never ordered again."""
    agency.peer.befall(trouble, on=CREATES_CALL)
    agency.client.deadlines = replace(agency.client.deadlines, creation=0.3)
    agency.peer.control.lag = 1  # the first look does not show it yet
    await desk.rings("ANSWER")
    assert (desk.ends, len(agency.orders)) == ([TalkEnd.AGENT_LEFT], 1)
    over = await desk.row()
    (call,) = agency.vendor_calls
    assert (over.state, over.vendor_call) == (TalkState.ENDED, call["callId"])
    looks = agency.peer.asked(LOOKS)
    assert [look.query["metadata.requestId"] for look in looks] == [over.id] * 2


async def test_a_vendor_that_takes_longer_than_a_caller_waits(agency: Agency, desk: Desk) -> None:
    agency.peer.befall(Trouble.STALL_AFTER, on=CREATES_CALL)
    agency.talking.patience = replace(agency.talking.patience, order=0.3)
    await desk.rings("ANSWER")
    assert (desk.ends, len(agency.orders)) == ([TalkEnd.UNAVAILABLE], 1)
    over = await desk.row()
    assert (over.state, over.end_reason, over.settled) == (TalkState.FAILED, "timeout", False)


class TestTheVendorsAgent:
    async def test_it_was_deleted_over_there(self, agency: Agency, desk: Desk) -> None:
        """It is made anew while the caller waits, and has the talk."""
        former = agency.agent.vendor_id
        agency.peer.things.agents.clear()
        await desk.rings("ANSWER")
        assert desk.ends == [TalkEnd.AGENT_LEFT]
        (now,) = agency.peer.things.agents.values()
        kept = await agency.roster.rows.get(agency.engine.account, agency.agent.id)
        assert kept.vendor_id == now["agentId"] != former
        assert now["callTemplate"]["systemPrompt"].startswith(agency.agent.prompt)
        assert [order.path for order in agency.orders] == [
            f"/api/agents/{vendor_id}/calls" for vendor_id in (former, kept.vendor_id)
        ]
        assert agency.orders[0].body == agency.orders[1].body
        assert (await desk.row()).state is TalkState.ENDED

    async def test_it_cannot_be_made_anew(self, agency: Agency, desk: Desk) -> None:
        agency.peer.things.agents.clear()
        agency.peer.befall(Trouble.PAYMENT_402, on="POST /api/agents$")
        await desk.rings("ANSWER")
        assert (desk.ends, len(agency.orders)) == ([TalkEnd.UNAVAILABLE], 1)
        over = await desk.row()
        assert (over.end_reason, over.settled) == ("payment", True)

    async def test_our_own_was_deleted_meanwhile(self, agency: Agency, desk: Desk) -> None:
        await agency.roster.delete(agency.engine.account, agency.agent.id)
        await desk.rings("ANSWER")
        assert (desk.ends, agency.orders) == ([TalkEnd.UNAVAILABLE], [])
        over = await desk.row()
        assert (over.state, over.end_reason, over.settled) == (TalkState.FAILED, "unavailable", True)
