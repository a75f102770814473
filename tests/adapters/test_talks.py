"""Talks in both databases: each move is told once, and of several processes one asks the vendor."""

import asyncio
from datetime import timedelta

import pytest

from tests.adapters.test_dials import wanted
from tests.adapters.valkey_peer import ValkeyPeer
from trunx.adapters.cache.redis import open_redis
from trunx.adapters.cache.talk_places import TalkPlaces
from trunx.adapters.store.calls import Calls
from trunx.adapters.store.database import Database
from trunx.adapters.store.dials import Dials
from trunx.adapters.store.recorder import Recorder
from trunx.adapters.store.tables import now
from trunx.adapters.store.talks import Talks
from trunx.domain.call import EndReason, Event, Status, new_call_id
from trunx.domain.errors import NotFoundError, UnavailableError
from trunx.domain.records import TalkLease
from trunx.domain.talk import Talk, TalkState, VendorCall, created, ended, failed, new_token, seen, settled
from trunx.engine import agent_ports


@pytest.fixture
def talks(database: Database) -> Talks:
    return Talks(database)


@pytest.fixture
async def call(database: Database, account: str) -> str:
    """A call to talk in."""
    row, dial = wanted(account)
    await Dials(database, server="here").create(row, dial)
    return row.id


def talk_in(call: str, account: str) -> Talk:
    """A talk that somebody wants."""
    return Talk(new_call_id(), call, account, "agent-1", new_token(), TalkState.WANTED, now(), 300)


async def told(database: Database, account: str, call: str) -> list[Event]:
    """What the log says of the call's talks."""
    events = await Calls(database).events(account, call)
    return [event for event in events if event.type.startswith("talk.")]


def vendor(talk: Talk, name: str = "uv-1", *, over: bool = False) -> VendorCall:
    up = talk.created_at + timedelta(seconds=2)
    end, reason = (up + timedelta(seconds=40), "hangup") if over else (None, None)
    return VendorCall(name, talk.id, talk.created_at, up, end, reason)


async def test_from_the_wish_to_the_transcript(
    database: Database, talks: agent_ports.Talks, account: str, call: str
) -> None:
    talk = talk_in(call, account)
    await talks.add(talk)
    assert await talks.get(talk.id) == talk
    for _ in range(2):  # what comes twice changes nothing, and is told once
        for news in (
            created("uv-1"),
            seen(vendor(talk)),
            seen(vendor(talk, over=True)),
            settled("User: Hi."),
        ):
            after = await talks.settle(talk.id, news)
    assert after == await talks.get(talk.id) == await talks.of_vendor("uv-1")
    assert (after.state, after.seconds, after.transcript) == (TalkState.ENDED, 40, "User: Hi.")
    events = await told(database, account, call)
    assert [event.type for event in events] == [
        *("talk.created", "talk.joined", "talk.ended", "talk.transcribed"),
    ]
    known = {"talk": talk.id, "agent": "agent-1", "ultravoxCallId": "uv-1"}
    assert events[1].data == known
    assert events[1].at == after.joined_at
    assert events[3].data == known | {"duration": 40, "endReason": "hangup", "transcript": "User: Hi."}
    assert talk.token not in repr(events)


async def test_a_talk_that_came_to_nothing(database: Database, talks: Talks, account: str, call: str) -> None:
    first, second = talk_in(call, account), talk_in(call, account)
    for talk in (first, second):
        await talks.add(talk)
    await talks.settle(first.id, failed(now(), "busy", certain=True))
    events = await told(database, account, call)
    assert [(event.type, event.data["endReason"]) for event in events] == [("talk.failed", "busy")]
    found = await talks.of_calls([call, "another"])
    assert {(one.id, one.settled) for one in found[call]} == {(first.id, True), (second.id, False)}
    assert await talks.live() == [TalkLease(account, second.id)]
    with pytest.raises(NotFoundError):
        await talks.get("nobody")
    with pytest.raises(NotFoundError):
        await talks.settle("nobody", created("uv-1"))


async def test_a_talk_is_looked_at_by_one_at_a_time(
    database: Database, talks: Talks, account: str, call: str
) -> None:
    several = [talk_in(call, account) for _ in range(8)]
    for talk in several:
        await talks.add(talk)
    assert await talks.overdue(now(), 10) == ()
    later = now() + timedelta(minutes=1)
    taken = await asyncio.gather(*(Talks(database).overdue(later, 4) for _ in range(3)))
    assert sorted(talk.id for some in taken for talk in some) == sorted(talk.id for talk in several)
    assert await talks.overdue(later, 10) == ()
    assert len(await talks.overdue(later + timedelta(minutes=1), 10)) == 8
    await talks.settle(several[0].id, ended(now(), "hangup"))  # is due in two seconds
    assert [talk.id for talk in await talks.overdue(now() + timedelta(seconds=3), 10)] == [several[0].id]
    await talks.settle(several[0].id, settled(None))
    assert several[0].id not in {talk.id for talk in await talks.overdue(later + timedelta(hours=1), 10)}


async def test_a_talk_whose_call_is_over_is_due(
    database: Database, talks: Talks, account: str, call: str
) -> None:
    row = (await Dials(database, server="here").get(account, call))[0]
    over = row._replace(status=Status.COMPLETED, answered_at=now(), ended_at=now())
    going, gone, lost = talk_in(call, account), *(talk_in(new_call_id(), account) for _ in range(2))
    async with Recorder(database, server="here") as recorder:
        recorder.call(over._replace(id=gone.call, end_reason=EndReason.HANGUP_CALLER))
        recorder.call(over._replace(id=lost.call, end_reason=EndReason.LOST))
        await recorder.flush()
    for talk in (going, gone, lost):
        await talks.add(talk)
    assert [talk.id for talk in await talks.overdue(now(), 10)] == [gone.id]
    await talks.settle(gone.id, ended(now()))
    assert await talks.overdue(now(), 10) == ()


async def test_news_at_one_moment_are_not_lost(talks: Talks, account: str, call: str) -> None:
    talk = talk_in(call, account)
    await talks.add(talk)
    await asyncio.gather(
        talks.settle(talk.id, created("uv-1")),
        talks.settle(talk.id, seen(vendor(talk, over=True))),
        talks.settle(talk.id, seen(vendor(talk))),
    )
    kept = await talks.get(talk.id)
    assert (kept.state, kept.seconds, kept.vendor_call) == (TalkState.ENDED, 40, "uv-1")


async def test_an_account_has_so_many_talks_at_once(valkey: ValkeyPeer) -> None:
    async with open_redis(valkey.url) as server:
        places: agent_ports.TalkPlaces = TalkPlaces(server, 2)
        taken = await asyncio.gather(*(places.take("MA1", f"talk-{number}") for number in range(5)))
        assert sorted(taken) == [False, False, False, True, True]
        mine = taken.index(True)
        assert await places.take("MA1", f"talk-{mine}")  # asked again, it is not counted twice
        assert await places.take("MA2", "talk-9")
        assert not await places.take("MA1", "talk-9")
        await places.release("MA1", f"talk-{mine}")
        assert await places.take("MA1", "talk-9")


async def test_a_place_comes_free_after_a_crash(valkey: ValkeyPeer) -> None:
    async with open_redis(valkey.url) as server:
        places = TalkPlaces(server, 1, ttl=0.3)
        assert await places.take("MA1", "talk-1")
        for _ in range(4):
            await asyncio.sleep(0.1)  # a third of the place's life, four times: what is renewed outlives it
            await places.renew([TalkLease("MA1", "talk-1")])
        assert not await places.take("MA1", "talk-2")
        async with asyncio.timeout(3):
            while not await places.take("MA1", "talk-2"):  # noqa: ASYNC110 - it has no event of its own
                await asyncio.sleep(0.02)
        await places.renew([])


async def test_without_redis_nobody_knows(valkey: ValkeyPeer) -> None:
    async with open_redis(valkey.url) as server:
        places = TalkPlaces(server, 1)
        valkey.kill()
        with pytest.raises(UnavailableError):
            await places.take("MA1", "talk-1")
