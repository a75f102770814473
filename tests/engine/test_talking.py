"""The caller's side of a talk with an agent: how it comes about, how it ends, and what is kept of it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from agi import DisconnectedError, HangupError
from agi.caller import Ring, Took
from dialplan.names import CONTEXT_WAIT
from sounds import ENGINE
from tests.engine.agency import FACTS, METADATA, PLACE, Agency, Desk, at_a_desk, at_work, dialled
from tests.engine.conftest import CALLER, DID, Engine
from tests.peers.ultravox import CREATES_CALL
from tests.peers.ultravox_troubles import Trouble
from trunx.domain.agent import PromptBrief
from trunx.domain.talk import TalkState
from trunx.engine.talking import TalkEnd

CONNECTING = ENGINE["connecting"].sound
IMPATIENT = 0.02  # seconds of ringing between two words that ask for patience


@pytest.fixture
async def agency(engine: Engine, valkey: str) -> AsyncIterator[Agency]:
    async with at_work(engine, valkey) as agency:
        yield agency


@pytest.fixture
async def desk(agency: Agency) -> AsyncIterator[Desk]:
    async with at_a_desk(agency) as desk:
        yield desk


def hold_up(agency: Agency, seconds: float = 0.5) -> None:
    """The vendor makes its next call and does not say so, which is found out after so many seconds; meanwhile
    callers are asked for patience.
    """
    agency.peer.befall(Trouble.STALL_AFTER, on=CREATES_CALL)
    agency.client.deadlines = replace(agency.client.deadlines, creation=seconds)
    agency.talking.patience = replace(agency.talking.patience, ring=IMPATIENT)


async def test_what_asterisk_and_the_vendor_are_asked_for(agency: Agency, desk: Desk) -> None:
    """The token that the vendor dials is the one that the caller expects and waits for."""
    desk.zero_out = "0"
    replies = {"SET VARIABLE": "200 result=1", "GET FULL": "200 result=1 (ANSWER|SIP/a|SIP/a|16)"}
    said = await replace(agency.engine, server=desk.server).converse(Ring(DID, CALLER), replies)
    talk = await desk.row()
    assert said == [
        f'SET VARIABLE "GROUP(trunx-expecting)" {talk.token}',
        'EXEC Ringing ""',
        'SET VARIABLE "FEATUREMAP(disconnect)" 0',
        "SET VARIABLE TRUNX_TALKING 1",
        f'EXEC Dial "Local/{talk.token}@{CONTEXT_WAIT},10,gIS(300)H"',
        'GET FULL VARIABLE "${DIALSTATUS}|${CHANNEL(hangupsource)}|${DIALEDPEERNAME}|${HANGUPCAUSE}"',
        'SET VARIABLE TRUNX_TALKING ""',
    ]
    (order,) = agency.orders
    assert order.path == f"/api/agents/{agency.agent.vendor_id}/calls"
    assert order.body["medium"]["sip"]["outgoing"]["to"] == f"sip:{talk.token}@{PLACE}"
    assert order.body["metadata"] == METADATA | {"requestId": talk.id, "callId": desk.call.id}
    assert (order.body["maxDuration"], order.body["joinTimeout"]) == ("300s", "30s")
    told = order.body["templateContext"]
    assert told.pop("call_facts").splitlines()[1:] == [
        *("- tenant: acme", f"- caller: {CALLER}", f"- did: {DID}")
    ]
    assert told == FACTS | METADATA


async def test_without_a_way_back_no_key_ends_the_talk(desk: Desk) -> None:
    phone = await desk.rings("ANSWER", talking="*")
    assert [happened.options for happened in dialled(phone)] == ["gIS(300)"]
    assert desk.ends == [TalkEnd.AGENT_LEFT]


async def test_a_talk_from_the_wish_to_the_end(agency: Agency, desk: Desk) -> None:
    phone, calling, begun = await desk.connected()
    assert (begun.agent, begun.vendor_call) == (agency.agent.id, agency.vendor_calls[0]["callId"])
    assert (await agency.free(), desk.ends) == (1, [])
    phone.caller.hang_up()
    assert await calling == "caller"
    over = await desk.row()
    assert (over.state, over.end_reason, over.settled) == (TalkState.ENDED, None, False)
    await desk.server.drain(5)
    assert desk.gone == [HangupError]
    assert agency.ended_by_us == [], "the hangup by SIP ends it"
    await agency.nobody_talks()


async def test_an_agent_that_the_call_itself_describes(agency: Agency, desk: Desk) -> None:
    desk.brief = PromptBrief("Be brief.")
    await desk.rings("ANSWER")
    assert (desk.ends, (await desk.row()).agent) == ([TalkEnd.AGENT_LEFT], None)
    (order,) = agency.orders
    assert (order.path, order.body["systemPrompt"].splitlines()[0]) == ("/api/calls", "Be brief.")


async def test_the_key_ends_the_talk(agency: Agency, desk: Desk) -> None:
    desk.zero_out = "#"
    await desk.rings("ANSWER", talk=3_600, talking="#", speed=1)
    assert desk.ends == [TalkEnd.ZERO_OUT]
    assert (await desk.row()).state is TalkState.ENDED
    assert agency.ended_by_us == []


async def test_the_key_while_asterisk_still_waits_for_the_agent(agency: Agency, desk: Desk) -> None:
    """Dial tells it by CANCEL; the agent that comes too late is sent away."""
    desk.zero_out = "0"
    await desk.rings("CANCEL")
    assert desk.ends == [TalkEnd.ZERO_OUT]
    over = await desk.row()
    assert (over.state, over.end_reason) == (TalkState.FAILED, "unjoined")
    assert agency.ended_by_us == [over.vendor_call]


async def test_a_talk_that_asterisk_ends_by_its_clock(agency: Agency, desk: Desk) -> None:
    desk.max_seconds = 1
    phone = await desk.rings("ANSWER", talk=3_600, speed=0.95)
    assert [happened.options for happened in dialled(phone)] == ["gIS(1)"]
    assert desk.ends == [TalkEnd.MAX_DURATION]
    assert agency.orders[0].body["maxDuration"] == "1s"
    assert (await desk.row()).state is TalkState.ENDED


@pytest.mark.parametrize(
    ("status", "cause"), [("NOANSWER", "0"), ("CHANUNAVAIL", "20"), ("CONGESTION", "34"), ("ANSWER", "44")]
)
async def test_an_agent_that_does_not_come_or_says_nothing(
    agency: Agency, desk: Desk, status: str, cause: str
) -> None:
    """Cause 44: no sound came from the vendor."""
    await desk.rings(status, variables={"HANGUPCAUSE": cause})
    assert desk.ends == [TalkEnd.UNAVAILABLE]
    over = await desk.row()
    assert (over.state, over.end_reason, over.settled) == (TalkState.FAILED, "unjoined", False)
    await agency.peer.control.over(str(over.vendor_call))
    assert agency.ended_by_us == [over.vendor_call]


async def test_a_second_talk_in_one_call(agency: Agency, desk: Desk) -> None:
    """The agent left the first, which Asterisk remembers; the second is left by the key."""
    desk.talks, desk.zero_out = 2, "0"
    phone = await desk.rings("ANSWER", "ANSWER", talking=".0")
    assert desk.ends == [TalkEnd.AGENT_LEFT, TalkEnd.ZERO_OUT]
    first, second = await agency.kept(desk.call.id)
    assert [happened.target for happened in dialled(phone)] == [
        f"Local/{talk.token}@{CONTEXT_WAIT}" for talk in (first, second)
    ]
    assert first.token != second.token
    assert [order.body["metadata"]["requestId"] for order in agency.orders] == [first.id, second.id]
    assert [call["callId"] for call in agency.vendor_calls] == [first.vendor_call, second.vendor_call]
    assert await agency.talking.has_talked(desk.call.id)
    assert not await agency.talking.has_talked("another")


class TestBeforeTheVendorHasMadeItsCall:
    async def test_who_waits_hears_it_ring_and_a_word_now_and_then(self, agency: Agency, desk: Desk) -> None:
        hold_up(agency)
        phone = await desk.rings("ANSWER", speed=1_000)
        assert set(phone.heard) == {CONNECTING}
        assert (desk.ends, len(agency.orders)) == ([TalkEnd.AGENT_LEFT], 1)

    async def test_a_word_that_is_missing_hurts_nobody(self, agency: Agency, desk: Desk) -> None:
        hold_up(agency)
        (agency.engine.sounds.root / f"{CONNECTING}.ulaw").unlink()
        phone = await desk.rings("ANSWER")
        assert (set(phone.sounds), phone.heard) == ({CONNECTING}, [])
        assert desk.ends == [TalkEnd.AGENT_LEFT]

    async def test_the_key_while_it_rings(self, agency: Agency, desk: Desk) -> None:
        """Another one does nothing. The call that the vendor makes all the same is ended."""
        hold_up(agency)
        desk.zero_out = "0"
        phone = desk.phone("ANSWER", during={CONNECTING: "5"})
        calling = asyncio.create_task(phone.call(desk.server.port))
        assert await phone.until(Took) == Took("5")
        await agency.peer.control.made(1)
        phone.caller.press("0")
        await calling
        assert Took("0") in phone.happened
        assert (desk.ends, dialled(phone)) == ([TalkEnd.ZERO_OUT], [])
        over = await desk.row()
        assert (over.state, over.end_reason) == (TalkState.FAILED, "unjoined")
        (call,) = agency.vendor_calls
        assert (await agency.peer.control.over(call["callId"]))["endReason"] == "agent_hangup"
        await agency.nobody_talks()

    @pytest.mark.parametrize("joined", [True, False])
    async def test_the_caller_hangs_up(self, agency: Agency, desk: Desk, joined: bool) -> None:
        """The vendor's call is ended; one that still rings cannot be (422), and finds nobody."""
        hold_up(agency)
        if not joined:
            agency.peer.control.on_outgoing = None
        phone = desk.phone("ANSWER")
        calling = asyncio.create_task(phone.call(desk.server.port))
        await agency.peer.awaited(CREATES_CALL)
        phone.caller.hang_up()
        assert await calling == "caller"
        over = await desk.row()
        assert (over.state, over.end_reason, over.settled) == (TalkState.FAILED, "unjoined", False)
        (call,) = agency.vendor_calls
        assert agency.ended_by_us == [call["callId"]]
        assert call["endReason"] == ("agent_hangup" if joined else None)
        assert (desk.ends, len(desk.gone), dialled(phone)) == ([], 1, [])
        await agency.nobody_talks()

    async def test_the_caller_will_not_come(self, agency: Agency, desk: Desk) -> None:
        desk.abandons = asyncio.Event()
        calling = asyncio.create_task(desk.rings("ANSWER"))
        await agency.peer.control.made(1)
        desk.abandons.set()
        phone = await calling
        over = await desk.row()
        assert (over.state, over.end_reason) == (TalkState.FAILED, "unjoined")
        assert (await agency.peer.control.over(str(over.vendor_call)))["endReason"] == "agent_hangup"
        assert dialled(phone) == []

    async def test_the_caller_will_not_come_and_nothing_was_ordered_yet(
        self, agency: Agency, desk: Desk
    ) -> None:
        for taken in ("one", "two"):
            assert await agency.places.take(agency.engine.account, taken)
        agency.talking.patience = replace(agency.talking.patience, place=5.0)
        desk.abandons = asyncio.Event()
        desk.abandons.set()
        await desk.rings()
        await desk.row(TalkState.WANTED)
        await agency.places.release(agency.engine.account, "one")
        over = await desk.row()
        assert (over.state, over.end_reason, over.settled) == (TalkState.FAILED, "abandoned", True)
        assert agency.orders == []


class TestOurOwnEnd:
    """They talk on: whoever comes next finds the row as it is."""

    async def test_a_drain_in_mid_talk(self, agency: Agency, desk: Desk) -> None:
        _, calling, begun = await desk.connected()
        await desk.server.drain(0)
        assert await calling == "lost"
        await agency.talking.close()
        assert desk.gone == [asyncio.CancelledError]
        assert await desk.row(TalkState.CREATED) == begun
        assert (agency.ended_by_us, agency.vendor_calls[0]["ended"], await agency.free()) == ([], None, 1)

    async def test_the_connection_is_lost_in_mid_talk(self, agency: Agency, desk: Desk) -> None:
        phone, calling, begun = await desk.connected()
        phone.drop()
        await calling
        await desk.server.drain(5)
        await agency.talking.close()
        assert desk.gone == [DisconnectedError]
        assert await desk.row(TalkState.CREATED) == begun
        assert (agency.ended_by_us, agency.vendor_calls[0]["ended"], await agency.free()) == ([], None, 1)

    async def test_the_end_while_the_agent_is_called(self, agency: Agency, desk: Desk) -> None:
        """What became of the order is found out later, by the row."""
        hold_up(agency, 4.0)
        phone = desk.phone("ANSWER")
        calling = asyncio.create_task(phone.call(desk.server.port))
        await agency.peer.awaited(CREATES_CALL)
        await desk.server.drain(0)
        await agency.talking.close()
        await calling
        assert (await desk.row(TalkState.WANTED)).settled is False
        assert len(agency.orders) == 1
