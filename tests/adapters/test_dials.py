"""Calls that we place, in both databases: dialled by one, moved forward only, and told as they move."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, select

from trunx.adapters.store.account_limits import AccountLimits
from trunx.adapters.store.calls import Calls
from trunx.adapters.store.database import Database
from trunx.adapters.store.dials import Dials
from trunx.adapters.store.dids import Dids
from trunx.adapters.store.suppressions import Suppressions
from trunx.adapters.store.tables import event_heads, now
from trunx.domain.agent import PromptBrief
from trunx.domain.call import Call, EndReason, Status, new_call_id, public_call_id
from trunx.domain.channel import ChannelEnded, ChannelRinging, ChannelUp
from trunx.domain.dial import Dial, judged, read
from trunx.domain.errors import ExistsError, NotFoundError
from trunx.domain.gate import Capacity, Facts, Hours, Limits, Question, Verdict, judge
from trunx.domain.progress import Canceled
from trunx.domain.records import CallFilter, Page, Suppression

DID, TO = "+19495551234", "+14155552671"


def wanted(account: str, metadata: Mapping[str, str] | None = None, **fields: Any) -> tuple[Call, Dial]:
    """A call that is about to be kept."""
    name, at = new_call_id(), now()
    call = Call(
        id=name,
        call_id=public_call_id(name),
        account=account,
        direction="outbound",
        from_number=DID,
        to_number=TO,
        status=Status.INITIATED,
        created_at=at,
        provider="carrier",
    )
    dial = Dial(
        call=name,
        account=account,
        trunk="carrier",
        ring_seconds=60,
        max_seconds=300,
        metadata=metadata or {},
        send_digits="1w#",
        machine_detection=True,
        record=False,
        ivr=None,
        hold="default",
        queue_until=None,
        dialled_at=None,
        server="127.0.0.1:5038",
        verdict=[judged(at, "accept", [])],
    )
    return call._replace(**fields), dial


def gate(call: Call, facts: Facts) -> Verdict:
    return judge(Question(call.from_number, call.to_number, now()), facts)


@pytest.fixture
def dials(database: Database) -> Dials:
    return Dials(database, server="here")


@pytest.fixture
async def did(database: Database, account: str) -> None:
    """A number of the account."""
    await Dids(database).create(account, DID, None, None)


async def told(database: Database, call: Call) -> list[str]:
    """The types of the call's events, in order."""
    events = await Calls(database).events(call.account, call.id)
    assert [event.seq for event in events] == sorted(event.seq or 0 for event in events)
    return [event.type for event in events]


async def test_what_is_kept_is_read_back(database: Database, dials: Dials, account: str, other: str) -> None:
    call, dial = wanted(account, {"a": "b;\n${C}", "ü": "x"})
    await dials.create(call, dial)
    assert await dials.get(account, call.id) == (call, dial)
    assert await dials.of_channel(call.id) == (call, dial)
    assert await dials.live() == [(call, dial)]
    assert await dials.metadata([call.id, "nobody"]) == {call.id: dial.metadata}
    assert await told(database, call) == ["call.initiated"]
    with pytest.raises(ExistsError):
        await dials.create(call, dial)
    for asked in (dials.get(other, call.id), dials.get(account, "nobody"), dials.of_channel("nobody")):
        with pytest.raises(NotFoundError):
            await asked


@pytest.mark.usefixtures("did")
async def test_one_of_many_dials(database: Database, dials: Dials, account: str) -> None:
    call, dial = wanted(account)
    await dials.create(call, dial)
    processes = [Dials(database, server=f"process-{number}") for number in range(8)]
    claims = await asyncio.gather(*(process.claim(call.id, gate) for process in processes))
    (claimed,) = [claim for claim in claims if claim is not None]
    assert claimed == (call, dial)
    kept = (await dials.get(account, call.id))[1]
    assert kept is not None
    assert kept.dialled_at is not None
    assert [judgement["when"] for judgement in kept.verdict] == ["accept", "dial"]
    await dials.unclaim(call.id)
    assert isinstance(await dials.claim(call.id, gate), tuple)


@pytest.mark.usefixtures("did")
async def test_a_call_costs_few_statements(database: Database, dials: Dials, account: str) -> None:
    statements: list[str] = []

    @event.listens_for(database.engine.sync_engine, "before_cursor_execute")
    def _(*arguments: Any) -> None:
        if not arguments[2].startswith("BEGIN"):
            statements.append(arguments[2])

    async def costs(work: Awaitable[object]) -> int:
        statements.clear()
        await work
        return len(statements)

    call, dial = wanted(account)
    await dials.standing(account, DID, TO)  # which also reads where the account's DIDs are
    assert await costs(dials.standing(account, DID, TO)) == 1
    assert await costs(dials.create(call, dial)) == 4  # two rows, and two for the event
    assert await costs(dials.claim(call.id, gate)) == 3
    assert await costs(dials.settle({call.id: read(ChannelEnded(call.id, 17, 486, True), now())})) == 5
    assert await costs(dials.get(account, call.id)) == 1
    assert await costs(dials.live()) == 1


@pytest.mark.usefixtures("did")
async def test_the_gate_is_asked_in_the_transaction_that_lets_dial(
    database: Database, dials: Dials, account: str
) -> None:
    call, dial = wanted(account)
    await dials.create(call, dial)
    await Suppressions(database).add([Suppression(account, TO, "api", None, None, now())])
    verdict = await dials.claim(call.id, gate)
    assert isinstance(verdict, Verdict)
    assert verdict.code == "suppressed"
    kept, asked = await dials.get(account, call.id)
    assert (kept.status, kept.end_reason) == (Status.FAILED, EndReason.BLOCKED)
    assert asked is not None
    assert asked.dialled_at is None
    assert asked.verdict[-1]["verdicts"][0]["code"] == "suppressed"
    assert await told(database, call) == ["call.initiated", "call.failed"]
    assert await dials.claim(call.id, gate) is None


@pytest.mark.usefixtures("did")
async def test_what_the_gate_is_told(database: Database, dials: Dials, account: str, other: str) -> None:
    facts = await dials.standing(account, DID, TO)
    assert facts == Facts(Limits(), frozenset({"US"}), owns_from=True, suppressed=False, attempts=0)
    assert not (await dials.standing(other, DID, TO)).owns_from
    await Suppressions(database).add([Suppression(account, TO, "api", None, None, now())])
    assert (await dials.standing(account, DID, TO)).suppressed
    assert not (await dials.standing(other, DID, TO)).suppressed
    for created_at, dialled in ((now(), True), (now(), False), (now() - timedelta(hours=25), True)):
        call, dial = wanted(account, created_at=created_at)
        await dials.create(call, dial)
        if dialled:
            await dials.claim(call.id, lambda *_: Verdict(True, "all", "allowed", ""))
    assert (await dials.standing(account, DID, TO)).attempts == 1
    # A country counts as soon as the account has a number there.
    await Dids(database).create(account, "+442079460018", None, None)
    assert (await dials.standing(account, "+442079460018", TO)).home == {"US", "GB"}


async def test_limits_are_kept(database: Database, dials: Dials, account: str) -> None:
    uris = frozenset({"sip:desk@pbx.example.com", "sip:*@10.0.0.1"})
    limits = Limits(frozenset({"DE", "US"}), 3, Hours(), Capacity(7, 8, 2), uris)
    assert await AccountLimits(database).get(account) == Limits()
    await AccountLimits(database).put(account, limits)
    await AccountLimits(database).put(account, limits)
    assert await AccountLimits(database).get(account) == limits
    assert (await dials.standing(account, DID, TO)).limits == limits


async def test_news_move_rows_forward_and_are_told(database: Database, dials: Dials, account: str) -> None:
    calls = [wanted(account) for _ in range(3)]
    for call, dial in calls:
        await dials.create(call, dial)
    one, two, three = (call.id for call, _ in calls)
    at = now() + timedelta(seconds=1)
    await dials.settle({name: read(ChannelRinging(name), at) for name in (one, two, "nobody")})
    settled = await dials.settle(
        {
            one: read(ChannelUp(one), at),
            two: read(ChannelEnded(two, 17, 486, by_far_end=True), at),
            three: lambda *_: Canceled(at),
        }
    )
    assert [(before.status, after.status) for before, after in (settled[one], settled[two])] == [
        (Status.RINGING, Status.ANSWERED),
        (Status.RINGING, Status.FAILED),
    ]
    ended = ChannelEnded(one, 16, None, by_far_end=True)
    for _ in range(2):  # what is told twice changes nothing
        await dials.settle({one: read(ended, at + timedelta(seconds=5)), two: read(ChannelRinging(two), at)})
    kept = {call.id: (await dials.get(account, call.id))[0] for call, _ in calls}
    assert (kept[one].status, kept[one].end_reason, kept[one].q850_cause) == (
        Status.COMPLETED,
        EndReason.HANGUP_CALLEE,
        16,
    )
    assert (kept[one].ringing_at, kept[one].answered_at, kept[one].ended_at) == (
        at,
        at,
        at + timedelta(seconds=5),
    )
    assert (kept[two].end_reason, kept[two].q850_cause, kept[two].sip_cause) == (EndReason.BUSY, 17, 486)
    assert kept[three].end_reason is EndReason.CANCELED
    assert await told(database, kept[one]) == [
        *("call.initiated", "call.ringing", "call.answered", "call.completed")
    ]
    assert await told(database, kept[two]) == ["call.initiated", "call.ringing", "call.failed"]
    assert await dials.live() == []
    assert set(await dials.ended([one, two, three, "nobody"])) == {one, two, three}


async def test_who_ended_an_answered_call(dials: Dials, account: str) -> None:
    async def ends(seconds: float, *, by_far_end: bool) -> EndReason | None:
        call, dial = wanted(account)
        await dials.create(call, dial)
        at = now()
        await dials.settle({call.id: read(ChannelUp(call.id), at)})
        fact = ChannelEnded(call.id, 16, None, by_far_end=by_far_end)
        await dials.settle({call.id: read(fact, at + timedelta(seconds=seconds))})
        return (await dials.get(account, call.id))[0].end_reason

    assert await ends(5, by_far_end=True) is EndReason.HANGUP_CALLEE
    assert await ends(5, by_far_end=False) is EndReason.HANGUP_CALLER
    assert await ends(301, by_far_end=False) is EndReason.MAX_DURATION
    assert await ends(301, by_far_end=True) is EndReason.HANGUP_CALLEE


async def test_many_at_once_each_told_once(database: Database, dials: Dials, account: str) -> None:
    calls = [wanted(account) for _ in range(20)]
    await asyncio.gather(*(dials.create(call, dial) for call, dial in calls))
    names = [call.id for call, _ in calls]
    at = now()
    others = [Dials(database, server=f"process-{number}") for number in range(3)]
    for kind in (ChannelRinging, ChannelUp):
        await asyncio.gather(*(one.settle({name: read(kind(name), at) for name in names}) for one in others))
    assert [await told(database, call) for call, _ in calls] == [
        ["call.initiated", "call.ringing", "call.answered"]
    ] * 20
    async with database.reading() as connection:
        assert (await connection.execute(select(event_heads.c.seq))).scalar() == 60


async def test_lists_by_metadata(database: Database, dials: Dials, account: str) -> None:
    made = {}
    for metadata in ({"a.b": "1"}, {"a.b": "2"}, {"a": "1"}, {}):
        call, dial = wanted(account, metadata)
        await dials.create(call, dial)
        made[str(metadata)] = call.id
    found = await Calls(database).page(account, CallFilter(metadata=("a.b", "1")), Page(10))
    assert [call.id for call in found.rows] == [made["{'a.b': '1'}"]]


async def test_who_answered(database: Database, dials: Dials, account: str) -> None:
    call, dial = wanted(account)
    await dials.create(call, dial)
    for _ in range(2):
        await dials.detected(call.id, "machine", "TOOLONG-5000")
    kept = (await dials.get(account, call.id))[0]
    assert (kept.machine, kept.machine_cause) == ("machine", "TOOLONG-5000")
    assert await told(database, call) == ["call.initiated", "call.machine"]
    ended, dial = wanted(account)
    await dials.create(ended, dial)
    await dials.settle({ended.id: lambda *_: Canceled(now())})
    await dials.detected(ended.id, "human", "HUMAN-1")  # known too late to be told after the end
    assert (await dials.get(account, ended.id))[0].machine == "human"
    assert await told(database, ended) == ["call.initiated", "call.failed"]


async def test_calls_that_came_in(dials: Dials, account: str) -> None:
    call, dial = wanted(account, direction="inbound", agi_uniqueid="1700000000.1")
    await dials.create(call, dial)
    assert await dials.live_inbound() == [call]
    assert await Dials(dials._database, server="elsewhere").live_inbound() == []
    assert await dials.live() == []
    assert await dials.inbound_of(["1700000000.1", "1700000000.2"]) == {"1700000000.1": call.id}


async def test_who_is_to_talk_is_kept_with_the_call(database: Database, dials: Dials, account: str) -> None:
    plain, ai = wanted(account), wanted(account)
    brief = PromptBrief("Be kind.", tools=({"modelToolName": "hangUp"},), temperature=0.5)
    await dials.create(*plain)
    await dials.create(ai[0], replace(ai[1], ai=brief))
    assert (await dials.get(account, ai[0].id))[1] == replace(ai[1], ai=brief)
    assert (await dials.get(account, plain[0].id))[1] == plain[1]
    assert await dials.by_ai([plain[0].id, ai[0].id]) == {ai[0].id}
    events = [
        *await Calls(database).events(account, plain[0].id),
        *await Calls(database).events(account, ai[0].id),
    ]
    assert [event.data["provider"] for event in events] == ["carrier", "ultravox"]
