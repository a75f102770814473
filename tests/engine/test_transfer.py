"""Transfers through the socket: what is asked of Asterisk, and where each answer leads the caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from agi import Channel
from agi.caller import Dialling, Playing, Ring
from dialplan.names import ENDPOINT_SIP
from sounds import ENGINE
from tests.domain.samples import gather, nodes
from tests.engine.conftest import CALLER, DID, Engine, Kept, Phone
from trunx.adapters.cache.leases import Leases
from trunx.adapters.cache.redis import open_redis
from trunx.adapters.store.account_limits import AccountLimits
from trunx.adapters.store.dials import Dials
from trunx.domain.agent import Agent, AgentBrief, Brief
from trunx.domain.call import EndReason, Left
from trunx.domain.errors import NotFoundError
from trunx.domain.gate import Capacity, Limits
from trunx.domain.records import Lease, Suppression
from trunx.engine.bridging import Bridging
from trunx.engine.gatekeeper import Gatekeeper, Trunk
from trunx.engine.transferring import TalkEnd, Transfers

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


@dataclass
class Talks:
    """An agent's side: it ends each talk as it is told to, and knows what it was asked for."""

    ends: list[TalkEnd]
    prepared: list[tuple[str, Brief, Mapping[str, str]]] = field(default_factory=list)
    joined: list[str | None] = field(default_factory=list)
    abandoned: int = 0

    async def prepare(
        self,
        channel: Channel,
        call: str,
        brief: Brief,
        *,
        account: str,
        facts: Mapping[str, str],
        metadata: Mapping[str, str],
        max_seconds: int,
    ) -> str:
        del channel, account, metadata, max_seconds
        self.prepared.append((call, brief, facts))
        return call

    async def join(self, channel: Channel, prepared: str, *, zero_out: str | None) -> TalkEnd:
        del channel, prepared
        self.joined.append(zero_out)
        return self.ends.pop(0)

    async def abandon(self, prepared: str) -> None:
        del prepared
        self.abandoned += 1


class Agency:
    """One agent, `a1`, for everybody; it is the only part of the port that a transfer needs."""

    async def serving(self, account: str, named: str | None, did: str | None) -> Agent:
        assert did == DID
        if named not in (None, "a1"):
            raise NotFoundError(named)
        now = datetime.now(UTC)
        return Agent("a1", account, "Ada", "Be kind.", None, None, "en", (), (), 300, True, "v1", now, now)


def with_agent(**fields: Any) -> dict[str, Any]:
    return nodes(
        menu=gather({"1": "talk", "2": "bye"}),
        talk={"action": "transfer", "audio": "one-moment.wav", **fields},
        bye=BYE,
        fail={"action": "hangup", "audio": "fail.wav"},
    )


async def _talked(engine: Engine, document: dict[str, Any], *ends: TalkEnd, does: str = "1") -> Talks:
    talks = Talks(list(ends))
    await engine.publish(document)
    async with engine.serving(transfers=Transfers(talking=talks, agents=Agency())):
        await engine.dial(does=does)
    return talks


async def test_the_agent_is_told_who_calls_and_on_which_way(engine: Engine) -> None:
    talks = await _talked(engine, with_agent(zero_out={"0": "menu"}), TalkEnd.AGENT_LEFT)
    kept = await engine.kept()
    ((call, brief, facts),) = talks.prepared
    assert (call, brief) == (kept.call.id, AgentBrief("a1"))
    assert facts == {
        "caller": CALLER,
        "did": DID,
        "direction": "inbound",
        "ivr": "test",
        "path": "menu > talk",
    }
    assert (talks.joined, talks.abandoned) == (["0"], 0)
    assert ended(kept) == (["menu key 1", "talk done"], EndReason.AGENT_LEFT)


@pytest.mark.parametrize(
    ("fields", "end", "way", "reason"),
    [
        ({}, TalkEnd.AGENT_LEFT, ["talk done"], EndReason.AGENT_LEFT),
        ({}, TalkEnd.MAX_DURATION, ["talk done"], EndReason.MAX_DURATION),
        ({}, TalkEnd.UNAVAILABLE, ["talk failed"], EndReason.TRANSFER_UNAVAILABLE),
        ({"return_node": "bye"}, TalkEnd.AGENT_LEFT, ["talk done", "bye done"], EndReason.HANGUP),
        ({"return_node": "bye"}, TalkEnd.MAX_DURATION, ["talk done", "bye done"], EndReason.HANGUP),
        ({"return_node": "bye"}, TalkEnd.UNAVAILABLE, ["talk failed"], EndReason.TRANSFER_UNAVAILABLE),
        ({"fail_node": "fail"}, TalkEnd.UNAVAILABLE, ["talk failed", "fail done"], EndReason.HANGUP),
        ({"zero_out": {"*": "bye"}}, TalkEnd.ZERO_OUT, ["talk key *", "bye done"], EndReason.HANGUP),
        (
            {"agent": "gone", "fail_node": "fail"},
            TalkEnd.AGENT_LEFT,
            ["talk failed", "fail done"],
            EndReason.HANGUP,
        ),
    ],
)
async def test_how_a_talk_goes_on(
    engine: Engine, fields: dict[str, Any], end: TalkEnd, way: list[str], reason: EndReason
) -> None:
    await _talked(engine, with_agent(**fields), end)
    assert ended(await engine.kept()) == (["menu key 1", *way], reason)


async def test_zero_out_brings_back_to_the_menu_as_often_as_the_key_is_pressed(engine: Engine) -> None:
    document = with_agent(zero_out={"0": "menu"})
    talks = await _talked(engine, document, *[TalkEnd.ZERO_OUT] * 3, does="1112")
    assert len(talks.joined) == 3
    assert (await engine.kept()).way == ["menu key 1", "talk key 0"] * 3 + ["menu key 2", "bye done"]


async def test_who_leaves_during_the_announcement_lets_the_agent_go(engine: Engine) -> None:
    talks = Talks([])
    await engine.publish(with_agent())
    async with engine.serving(transfers=Transfers(talking=talks, agents=Agency())):
        phone = await engine.dial(does="1", during={engine.sound("one-moment.wav"): "!"})
    assert isinstance(phone.happened[-2], Playing)
    assert (len(talks.prepared), talks.joined, talks.abandoned) == (1, [], 1)
    assert ended(await engine.kept()) == (["menu key 1", "talk hangup"], EndReason.HANGUP_CALLER)


async def test_without_agents_a_transfer_is_as_it_ever_was(engine: Engine) -> None:
    await engine.publish(with_agent(zero_out={"0": "menu"}, return_node="menu"))
    phone = await engine.dial(does="1")
    assert phone.sounds[-1] == UNAVAILABLE
    assert (await engine.kept()).call.end_reason is EndReason.TRANSFER_UNAVAILABLE
