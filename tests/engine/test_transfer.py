"""Transfers through the socket: what is asked of Asterisk, and where each answer leads the caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from agi.caller import Dialling, Playing, Ring
from dialplan.names import CONTEXT_WAIT, ENDPOINT_SIP
from sounds import ENGINE
from tests.domain.samples import gather, nodes
from tests.engine.agency import Agency, at_work, dialled
from tests.engine.conftest import CALLER, DID, Engine, Kept, Phone
from tests.peers.ultravox import CREATES_CALL
from tests.peers.ultravox_troubles import Trouble
from trunx.adapters.cache.leases import Leases
from trunx.adapters.cache.redis import open_redis
from trunx.adapters.store.account_limits import AccountLimits
from trunx.adapters.store.dials import Dials
from trunx.domain.call import EndReason, Left
from trunx.domain.gate import Capacity, Limits
from trunx.domain.records import Lease, Suppression
from trunx.domain.talk import TalkState
from trunx.engine.bridging import Bridging
from trunx.engine.gatekeeper import Gatekeeper, Trunk
from trunx.engine.transferring import Transfers

PERSON = "+14155552671"
UNAVAILABLE = ENGINE["unavailable"].sound
PLENTY = Capacity(per_second=1_000, at_once=1_000)
BYE = {"action": "hangup"}


@dataclass
class Office:
    """An engine that can transfer to persons, and the places that the gate gives out."""

    engine: Engine
    leases: Leases
    gate: Gatekeeper

    async def call(self, *dials: str, talk: float = 0.0, **does: Any) -> Phone:
        """A whole call, in which one Dial after the other ends so."""
        ring = Ring(DID, CALLER, uniqueid="1700000000.9", dials=dials, talk=talk)
        return await self.engine.dial(ring, **does)

    async def has_places(self, trunk: str = "carrier") -> bool:
        """Whether somebody still has a place."""
        full = await self.leases.look(self.engine.account, trunk, Capacity(1_000, 1), PLENTY)
        return full is not None


@pytest.fixture
async def office(engine: Engine, valkey: str) -> AsyncIterator[Office]:
    async with open_redis(f"unix://{valkey}") as cache:
        leases = Leases(cache)
        gate = Gatekeeper(Dials(engine.database, server="tests"), leases, Trunk("carrier", PLENTY))
        async with engine.serving(transfers=Transfers(bridging=Bridging(gate))):
            yield Office(engine, leases, gate)


def transfer(**fields: Any) -> dict[str, Any]:
    """A tree that begins with a transfer to a person; its other nodes can be told by what they play."""
    others = {
        name: {"action": "hangup", "audio": f"{name}.wav"} for name in ("busy", "late", "broken", "fail")
    }
    others["menu"] = gather({"1": "busy"}, audio="menu.wav")
    return nodes(call={"action": "transfer", "to": PERSON, **fields}, **others)


EXITS = {"on_busy": "busy", "on_no_answer": "late", "on_failed": "broken", "fail_node": "fail"}


def ended(kept: Kept) -> tuple[list[str], EndReason | None]:
    return kept.way, kept.call.end_reason


async def test_what_asterisk_is_asked_for(office: Office) -> None:
    """Ringing at once, our own number shown, the caller kept, and an end by Asterisk's own clock."""
    await office.engine.publish(transfer(timeout=12, audio="one-moment.wav"))
    phone = await office.call("ANSWER")
    dialled = next(happened for happened in phone.happened if isinstance(happened, Dialling))
    assert dialled == Dialling(f"PJSIP/{PERSON}@carrier", 12, f"grS(14400)f({DID})")
    assert phone.sounds == [office.engine.sound("one-moment.wav")]
    assert ended(await office.engine.kept()) == (["call done"], EndReason.HANGUP_CALLEE)
    assert not await office.has_places()


async def test_thirty_seconds_of_ringing_unless_said_otherwise(office: Office) -> None:
    await office.engine.publish(transfer())
    phone = await office.call()
    assert [happened.seconds for happened in phone.happened if isinstance(happened, Dialling)] == [30]


@pytest.mark.parametrize(
    ("status", "left", "node"),
    [
        ("BUSY", Left.BUSY, "busy"),
        ("NOANSWER", Left.NO_ANSWER, "late"),
        ("CHANUNAVAIL", Left.FAILED, "broken"),
        ("CONGESTION", Left.FAILED, "broken"),
        ("INVALIDARGS", Left.FAILED, "broken"),
    ],
)
async def test_each_way_of_not_being_reached_has_its_node(
    office: Office, status: str, left: Left, node: str
) -> None:
    await office.engine.publish(transfer(**EXITS))
    phone = await office.call(status)
    assert phone.sounds == [office.engine.sound(f"{node}.wav")]
    assert ended(await office.engine.kept()) == ([f"call {left}", f"{node} done"], EndReason.HANGUP)


@pytest.mark.parametrize("status", ["BUSY", "NOANSWER", "CHANUNAVAIL"])
async def test_else_the_fail_node(office: Office, status: str) -> None:
    await office.engine.publish(transfer(fail_node="fail"))
    phone = await office.call(status)
    assert phone.sounds == [office.engine.sound("fail.wav")]


@pytest.mark.parametrize("status", ["BUSY", "NOANSWER", "CHANUNAVAIL"])
async def test_else_the_caller_is_told_and_hung_up_on(office: Office, status: str) -> None:
    await office.engine.publish(transfer(return_node="menu"))
    phone = await office.call(status)
    assert (phone.sounds, phone.ended_by) == ([UNAVAILABLE], "server")
    assert (await office.engine.kept()).call.end_reason is EndReason.TRANSFER_UNAVAILABLE


async def test_who_was_left_comes_back_to_the_return_node(office: Office) -> None:
    await office.engine.publish(transfer(return_node="menu"))
    phone = await office.call("ANSWER", does="1")
    assert phone.sounds == [office.engine.sound("menu.wav"), office.engine.sound("busy.wav")]
    assert (await office.engine.kept()).way == ["call done", "menu key 1", "busy done"]


async def test_a_line_that_stays_busy_is_not_called_for_ever(office: Office) -> None:
    """Without a key in between, twice."""
    await office.engine.publish(transfer(on_busy="call"))
    phone = await office.call(*["BUSY"] * 10)
    assert len([happened for happened in phone.happened if isinstance(happened, Dialling)]) == 2
    assert ended(await office.engine.kept()) == (["call busy"] * 2, EndReason.TRANSFER_UNAVAILABLE)


async def test_the_caller_leaves_while_they_talk(office: Office) -> None:
    await office.engine.publish(transfer(return_node="menu", audio="one-moment.wav"))
    ring = Ring(DID, CALLER, dials=("ANSWER",), talk=3_600)
    phone = office.engine.phone(ring, speed=1_000)
    calling = asyncio.create_task(phone.call(office.engine.server.port))
    await phone.until(Dialling)
    assert await office.has_places(), "a transfer counts among the account's calls"
    phone.caller.hang_up()
    assert await calling == "caller"
    await office.engine.server.drain(5)
    assert ended(await office.engine.kept()) == (["call hangup"], EndReason.HANGUP_CALLER)
    assert not await office.has_places()


class TestTheGate:
    async def test_who_asked_not_to_be_called_is_not(self, office: Office) -> None:
        engine = office.engine
        await engine.publish(transfer(**EXITS))
        listed = Suppression(engine.account, PERSON, "api", None, None, datetime.now(UTC))
        await engine.suppressions.add([listed])
        with capture_logs() as logs:
            phone = await office.call("ANSWER")
        assert not [happened for happened in phone.happened if isinstance(happened, Dialling)]
        assert phone.sounds == [engine.sound("broken.wav")]
        assert (await engine.kept()).way == ["call blocked", "broken done"]
        refusal = next(line for line in logs if "refuses a transfer" in line["event"])
        assert (refusal["code"], refusal["to"]) == ("suppressed", PERSON)
        assert not await office.has_places()

    async def test_a_full_account_calls_nobody_more(self, office: Office) -> None:
        engine = office.engine
        await engine.publish(transfer())
        await AccountLimits(engine.database).put(engine.account, Limits(capacity=Capacity(50, 1)))
        other = Lease("another", engine.account, "carrier")
        assert await office.leases.take(other, Capacity(50, 1), PLENTY) is None
        phone = await office.call("ANSWER")
        assert phone.sounds == [UNAVAILABLE]
        assert ended(await engine.kept()) == (["call blocked"], EndReason.TRANSFER_UNAVAILABLE)
        await office.leases.release(other)
        assert (await office.call("ANSWER")).sounds == []

    async def test_an_unlisted_sip_uri_is_not_called(self, office: Office) -> None:
        await office.engine.publish(transfer(to="sip:desk@pbx.example.com"))
        assert (await office.call("ANSWER")).sounds == [UNAVAILABLE]
        assert (await office.engine.kept()).way == ["call blocked"]

    async def test_a_listed_one_is_by_an_endpoint_without_the_trunk_s_password(self, office: Office) -> None:
        engine, uri = office.engine, "sip:desk@pbx.example.com:5070;transport=tcp"
        await AccountLimits(engine.database).put(
            engine.account, Limits(sip_uris=frozenset({"sip:*@PBX.example.com:5070"}))
        )
        await engine.publish(transfer(to=uri))
        phone = await office.call("ANSWER")
        dialled = next(happened for happened in phone.happened if isinstance(happened, Dialling))
        assert dialled.target == f"PJSIP/{ENDPOINT_SIP}/{uri}"
        assert not await office.has_places(ENDPOINT_SIP)

    async def test_nobody_is_called_while_it_is_not_known_whether_that_is_allowed(
        self, office: Office, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        nowhere = tmp_path_factory.mktemp("nowhere") / "socket"
        async with open_redis(f"unix://{nowhere}") as away:
            gate = Gatekeeper(Dials(office.engine.database, server="x"), Leases(away), office.gate.trunk)
            await office.engine.publish(transfer())
            async with office.engine.serving(transfers=Transfers(bridging=Bridging(gate))):
                phone = await office.call("ANSWER")
        assert phone.sounds == [UNAVAILABLE]
        assert ended(await office.engine.kept()) == (["call failed"], EndReason.TRANSFER_UNAVAILABLE)


async def test_an_asterisk_without_dial(office: Office) -> None:
    await office.engine.publish(transfer(**EXITS))
    with capture_logs() as logs:
        said = await office.engine.converse(
            Ring(DID, CALLER), {"EXEC Dial": "200 result=-2", "SET VARIABLE": "200 result=1"}
        )
    assert any(line.startswith("STREAM FILE") and "broken" in line for line in said)
    assert any(line["event"] == "Asterisk cannot dial" for line in logs)


async def test_the_connection_is_lost_while_they_talk(office: Office) -> None:
    """They talk on; the place is given back, and comes free in a crash."""
    await office.engine.publish(transfer())
    await office.engine.converse(Ring(DID, CALLER), {"EXEC Dial": ""})
    await office.engine.server.drain(5)
    assert (await office.engine.kept()).call.end_reason is EndReason.LOST
    assert not await office.has_places()


@pytest.fixture
async def agency(engine: Engine, valkey: str) -> AsyncIterator[Agency]:
    """The engine that can transfer to its one agent."""
    async with at_work(engine, valkey) as agency, engine.serving(transfers=agency.transfers):
        yield agency


def with_agent(**fields: Any) -> dict[str, Any]:
    return nodes(
        menu=gather({"1": "talk", "2": "bye"}),
        talk={"action": "transfer", "audio": "one-moment.wav", **fields},
        bye=BYE,
        fail={"action": "hangup", "audio": "fail.wav"},
    )


def ring(*dials: str, talk: float = 0.0) -> Ring:
    """A caller for whom one talk after the other ends so."""
    return Ring(DID, CALLER, uniqueid="1700000000.9", dials=dials, talk=talk)


async def test_the_agent_is_told_who_calls_and_on_which_way(agency: Agency) -> None:
    engine = agency.engine
    await engine.publish(with_agent(zero_out={"0": "menu"}))
    phone = await engine.dial(ring("ANSWER"), does="1")
    kept = await engine.kept()
    (talk,) = await agency.kept(kept.call.id)
    (order,) = agency.orders
    assert order.path == f"/api/agents/{agency.agent.vendor_id}/calls"
    assert order.body["metadata"] == {"requestId": talk.id, "callId": kept.call.id}
    assert order.body["maxDuration"] == "300s"
    context = order.body["templateContext"]
    about = {"caller": CALLER, "did": DID, "direction": "inbound", "ivr": "test", "path": "menu > talk"}
    assert context == about | {"call_facts": context["call_facts"]}
    assert all(f"- {name}: {value}" in context["call_facts"].splitlines() for name, value in about.items())
    assert dialled(phone) == [Dialling(f"Local/{talk.token}@{CONTEXT_WAIT}", 10, "gIS(300)H")]
    assert phone.sounds == [engine.sound("menu.wav"), engine.sound("one-moment.wav")]
    assert (talk.agent, talk.state, talk.max_seconds) == (agency.agent.id, TalkState.ENDED, 300)
    assert talk.vendor_call == agency.vendor_calls[0]["callId"]
    assert agency.ended_by_us == []
    assert ended(kept) == (["menu key 1", "talk done"], EndReason.AGENT_LEFT)


@dataclass(frozen=True)
class End:
    """How a talk comes to its end: `refused` by the vendor, by Dial's `status`, by a key, by its length."""

    status: str = "ANSWER"
    key: str = ""
    refused: bool = False
    seconds: int = 300


AGENT_LEFT, MAX_DURATION = End(), End(seconds=1)
REFUSED, UNREACHED = End(refused=True), End(status="CHANUNAVAIL")
ZERO_OUT, ZERO_OUT_EARLY = End(key="*"), End(status="CANCEL")


@pytest.mark.parametrize(
    ("fields", "end", "way", "reason"),
    [
        ({}, AGENT_LEFT, ["talk done"], EndReason.AGENT_LEFT),
        ({}, MAX_DURATION, ["talk done"], EndReason.MAX_DURATION),
        ({}, REFUSED, ["talk failed"], EndReason.TRANSFER_UNAVAILABLE),
        ({"return_node": "bye"}, AGENT_LEFT, ["talk done", "bye done"], EndReason.HANGUP),
        ({"return_node": "bye"}, MAX_DURATION, ["talk done", "bye done"], EndReason.HANGUP),
        ({"return_node": "bye"}, UNREACHED, ["talk failed"], EndReason.TRANSFER_UNAVAILABLE),
        ({"fail_node": "fail"}, REFUSED, ["talk failed", "fail done"], EndReason.HANGUP),
        ({"fail_node": "fail"}, UNREACHED, ["talk failed", "fail done"], EndReason.HANGUP),
        ({"zero_out": {"*": "bye"}}, ZERO_OUT, ["talk key *", "bye done"], EndReason.HANGUP),
        ({"zero_out": {"*": "bye"}}, ZERO_OUT_EARLY, ["talk key *", "bye done"], EndReason.HANGUP),
        ({"agent": "gone", "fail_node": "fail"}, AGENT_LEFT, ["talk failed", "fail done"], EndReason.HANGUP),
    ],
)
async def test_how_a_talk_goes_on(
    agency: Agency, fields: dict[str, Any], end: End, way: list[str], reason: EndReason
) -> None:
    engine = agency.engine
    await agency.roster.change(engine.account, agency.agent.id, {"max_seconds": end.seconds})
    if end.refused:
        agency.peer.always(Trouble.PAYMENT_402, on=CREATES_CALL)
    await engine.publish(with_agent(**fields))
    engine.stage("one-moment.wav", 0.2)
    is_long = end == MAX_DURATION  # else the agent leaves at once, if nobody else does
    phone = await engine.dial(
        ring(end.status, talk=60.0 if is_long else 0.0),
        during={engine.sound("menu.wav"): "1"},
        talking=end.key,
        speed=0.95 if is_long else 0,
    )
    kept = await engine.kept()
    assert ended(kept) == (["menu key 1", *way], reason)
    assert (UNAVAILABLE in phone.heard) == (reason is EndReason.TRANSFER_UNAVAILABLE)
    assert (engine.sound("fail.wav") in phone.heard) == ("fail done" in way)
    if "agent" in fields:
        assert (agency.orders, await agency.talks.of_calls([kept.call.id])) == ([], {})
        return
    (talk,) = await agency.kept(kept.call.id)
    was_had = end.status == "ANSWER" and not end.refused
    assert talk.state is (TalkState.ENDED if was_had else TalkState.FAILED)
    assert talk.end_reason == (None if was_had else "payment" if end.refused else "unjoined")
    assert agency.ended_by_us == ([] if was_had or end.refused else [talk.vendor_call])


async def test_zero_out_brings_back_to_the_menu_as_often_as_the_key_is_pressed(agency: Agency) -> None:
    engine = agency.engine
    await engine.publish(with_agent(zero_out={"0": "menu"}))
    phone = await engine.dial(ring(*["ANSWER"] * 3), does="1112", talking="000")
    kept = await engine.kept()
    assert kept.way == ["menu key 1", "talk key 0"] * 3 + ["menu key 2", "bye done"]
    talks = await agency.kept(kept.call.id)
    assert [happened.target for happened in dialled(phone)] == [
        f"Local/{talk.token}@{CONTEXT_WAIT}" for talk in talks
    ]
    assert [order.body["metadata"]["requestId"] for order in agency.orders] == [talk.id for talk in talks]
    assert len({talk.token for talk in talks}) == 3


async def test_who_leaves_during_the_announcement_lets_the_agent_go(agency: Agency) -> None:
    engine = agency.engine
    await engine.publish(with_agent())
    phone = engine.phone(ring("ANSWER"), during={engine.sound("menu.wav"): "1"}, speed=1)
    calling = asyncio.create_task(phone.call(engine.server.port))
    while (await phone.until(Playing)).sound != engine.sound("one-moment.wav"):
        pass
    (call,) = await agency.peer.control.made(1)
    phone.caller.hang_up()
    assert await calling == "caller"
    assert isinstance(phone.happened[-2], Playing)
    assert (await agency.peer.control.over(call["callId"]))["endReason"] == "agent_hangup"
    kept = await engine.kept()
    assert ended(kept) == (["menu key 1", "talk hangup"], EndReason.HANGUP_CALLER)
    (talk,) = await agency.kept(kept.call.id)
    assert (talk.state, talk.end_reason) == (TalkState.FAILED, "unjoined")
    assert (len(agency.orders), agency.ended_by_us) == (1, [talk.vendor_call])


@pytest.mark.parametrize("named", [True, False])
async def test_who_is_called(agency: Agency, named: bool) -> None:
    """The agent that the node names, else the DID's."""
    engine = agency.engine
    one = await agency.hires(max_seconds=60)
    await agency.hires(default=True)
    await engine.publish(with_agent(**({"agent": agency.agent.id} if named else {})))
    await engine.dids.change(engine.account, DID, {"agent": one.id})
    await engine.dial(ring("ANSWER"), does="1")
    (order,) = agency.orders
    assert order.body["maxDuration"] == ("300s" if named else "60s")
    assert order.path == f"/api/agents/{(agency.agent if named else one).vendor_id}/calls"


async def test_without_agents_a_transfer_is_as_it_ever_was(engine: Engine) -> None:
    await engine.publish(with_agent(zero_out={"0": "menu"}, return_node="menu"))
    phone = await engine.dial(does="1")
    assert phone.sounds[-1] == UNAVAILABLE
    assert (await engine.kept()).call.end_reason is EndReason.TRANSFER_UNAVAILABLE
