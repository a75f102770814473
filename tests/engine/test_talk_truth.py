"""Every way in which the news of a talk can go wrong, against a vendor that keeps its contract.

Rounds are asked for at the time that a test wants it to be.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests import secrecy
from tests.adapters.waiting import until
from tests.peers.ultravox import UltravoxPeer
from tests.peers.ultravox_troubles import Trouble
from trunx.adapters.cache.redis import RedisServer, open_redis
from trunx.adapters.cache.talk_places import TalkPlaces
from trunx.adapters.store.accounts import Accounts
from trunx.adapters.store.calls import Calls
from trunx.adapters.store.database import Database
from trunx.adapters.store.recorder import Recorder
from trunx.adapters.store.talks import Talks
from trunx.adapters.ultravox.calls import UltravoxCalls
from trunx.adapters.ultravox.client import Client, Deadlines
from trunx.adapters.ultravox.reach import SipReach
from trunx.domain.agent import PromptBrief
from trunx.domain.call import Call, EndReason, Status, new_call_id, public_call_id
from trunx.domain.errors import NotFoundError
from trunx.domain.talk import Talk, TalkRequest, TalkState, created, ended, failed, new_token
from trunx.domain.vendor_hook import vendor_call
from trunx.engine.settling import moment
from trunx.engine.talk_truth import Pace, TalkTruth

HURRIED = Deadlines(total=1.0, creation=1.0, lookup=0.3, backoff=0.01, wait=0.05)
REACH = SipReach("pbx.example.com:5060", secrecy.SIP_USER, secrecy.SIP_PASSWORD)


@dataclass
class Scene:
    """One call in progress, and what an agent's talk in it needs."""

    database: Database
    cache: RedisServer
    recorder: Recorder
    peer: UltravoxPeer
    vendor: UltravoxCalls
    talks: Talks
    truth: TalkTruth
    call: Call

    def another(self, pace: Pace | None = None) -> TalkTruth:
        """Of another process, or of the next one."""
        return TalkTruth(
            talks=self.talks,
            calls=Calls(self.database),
            vendor=self.vendor,
            places=TalkPlaces(self.cache, 5),
            pace=pace or Pace(),
        )

    async def wanted(self, age: float = 0.0) -> Talk:
        """A talk of which the vendor has not been told yet."""
        begun, state = moment() - timedelta(seconds=age), TalkState.WANTED
        talk = Talk(new_call_id(), self.call.id, self.call.account, None, new_token(), state, begun, 300)
        await self.talks.add(talk)
        return talk

    async def ordered(self, talk: Talk) -> str:
        """The vendor's id of the call that it makes for the talk."""
        request = TalkRequest(talk.id, talk.call, talk.token, PromptBrief("Be kind."), {}, {}, 300)
        return (await self.vendor.create_call(request)).id

    async def made(self) -> tuple[Talk, str]:
        """A talk whose call the vendor has made, and that call."""
        talk = await self.wanted()
        name = await self.ordered(talk)
        return await self.talks.settle(talk.id, created(name)), name

    async def joined(self) -> tuple[Talk, str]:
        """A talk that is going on."""
        _, name = await self.made()
        await self.peer.join(name)
        return await self.truth.hear(vendor_call(self.peer.calls[name])), name

    async def look(self, seconds: float = 60.0, truth: TalkTruth | None = None) -> float | None:
        """A round as it would be so many seconds from now."""
        return await (truth or self.truth).look_over(moment() + timedelta(seconds=seconds))

    async def now(self, talk: Talk) -> Talk:
        """The talk as it is kept."""
        return await self.talks.get(talk.id)

    async def leaves(self, reason: EndReason = EndReason.HANGUP_CALLER) -> None:
        """The caller's side of the call is over."""
        over = self.call._replace(status=Status.COMPLETED, ended_at=moment(), end_reason=reason)
        self.recorder.call(over)
        await self.recorder.flush()

    @property
    def hang_ups(self) -> list[str]:
        """The calls that the vendor was told to end: we send nothing else."""
        return [call for call, _ in self.peer.control.data_messages]


@pytest.fixture
async def scene(tmp_path: Path, valkey: str) -> AsyncIterator[Scene]:
    async with (
        Database.open(f"sqlite:///{tmp_path}/trunx.db") as database,
        open_redis(f"unix://{valkey}") as cache,
        Recorder(database, server="tests") as recorder,
        UltravoxPeer.running() as peer,
        Client.open(peer.key, peer.url, deadlines=HURRIED) as client,
    ):
        await cache.client.flushall()
        account = (await Accounts(database).create("Ada")).id
        name, now = new_call_id(), moment()
        call = Call(
            *(name, public_call_id(name), account, "inbound", "+14155550001", "+19495551234"),
            *(Status.ANSWERED, now, now),
        )
        recorder.call(call)
        await recorder.flush()
        talks, vendor = Talks(database), UltravoxCalls(client, REACH)
        calls, places = Calls(database), TalkPlaces(cache, 5)
        truth = TalkTruth(talks=talks, calls=calls, vendor=vendor, places=places)
        yield Scene(database, cache, recorder, peer, vendor, talks, truth, call)


async def test_a_talk_of_which_no_news_come(scene: Scene) -> None:
    talk, name = await scene.made()
    await scene.look()
    assert (await scene.now(talk)).state is TalkState.CREATED
    await scene.peer.join(name)
    scene.peer.say(name, "AGENT", "Hello.")
    scene.peer.say(name, "USER", "Hi.")
    await scene.look()
    assert (await scene.now(talk)).state is TalkState.JOINED
    await scene.peer.end(name, "agent_hangup")
    await scene.look()
    over = await scene.now(talk)
    assert (over.state, over.end_reason, over.settled) == (TalkState.ENDED, "agent_hangup", True)
    assert over.transcript == "Agent: Hello.\nUser: Hi."
    assert scene.hang_ups == []
    asked = len(scene.peer.requests)
    await scene.look(100_000)
    assert len(scene.peer.requests) == asked, "nothing is asked of what is settled"


async def test_an_agent_that_never_came(scene: Scene) -> None:
    talk, name = await scene.made()
    await scene.peer.end(name, "unjoined", "TIMEOUT")
    await scene.look()
    over = await scene.now(talk)
    assert (over.state, over.end_reason, over.settled) == (TalkState.FAILED, "unjoined", True)


async def test_the_answer_to_the_order_was_lost_with_our_process(scene: Scene) -> None:
    """It is looked up by the talk's id, never ordered again."""
    talk = await scene.wanted()
    name = await scene.ordered(talk)
    await scene.peer.join(name)
    await scene.look(truth=scene.another())
    known = await scene.now(talk)
    assert (known.state, known.vendor_call) == (TalkState.JOINED, name)
    assert len(scene.peer.calls) == 1


async def test_nobody_knows_whether_it_was_ordered_and_it_was(scene: Scene) -> None:
    """The caller was told that nobody comes; who comes all the same is sent away."""
    talk = await scene.wanted()
    name = await scene.ordered(talk)
    await scene.talks.settle(talk.id, failed(moment(), "unknown"))
    await scene.look()
    assert (await scene.now(talk)).vendor_call == name
    await scene.peer.join(name)
    await scene.look()
    assert scene.hang_ups[-1] == name
    await scene.look()
    over = await scene.now(talk)
    assert (over.state, over.end_reason, over.settled) == (TalkState.FAILED, "unknown", True)


async def test_nobody_knows_whether_it_was_ordered_and_it_was_not(scene: Scene) -> None:
    talk = await scene.wanted()
    await scene.look(30)
    assert (await scene.now(talk)).state is TalkState.WANTED, "it may be on its way"
    await scene.look(70)
    over = await scene.now(talk)
    assert (over.state, over.end_reason, over.settled) == (TalkState.FAILED, "lost", True)


async def test_our_process_died_in_the_middle_of_the_talk(scene: Scene) -> None:
    """The talk goes on; what the next process finds is right."""
    talk, name = await scene.joined()
    next_one = scene.another()
    await scene.look(truth=next_one)
    assert ((await scene.now(talk)).state, scene.hang_ups) == (TalkState.JOINED, [])
    scene.peer.say(name, "USER", "Goodbye.")
    await scene.peer.end(name)
    await scene.look(truth=next_one)
    over = await scene.now(talk)
    assert (over.state, over.transcript, over.settled) == (TalkState.ENDED, "User: Goodbye.", True)


async def test_a_call_that_our_process_lost_is_left_to_talk(scene: Scene) -> None:
    talk, _ = await scene.joined()
    await scene.leaves(EndReason.LOST)
    await scene.look()
    assert ((await scene.now(talk)).state, scene.hang_ups) == (TalkState.JOINED, [])


async def test_the_caller_has_left_and_the_agent_talks_on(scene: Scene) -> None:
    talk, name = await scene.joined()
    places = TalkPlaces(scene.cache, 1)
    assert await places.take(talk.account, talk.id)
    await scene.leaves()
    await scene.look(0)  # it need not be due
    assert ((await scene.now(talk)).state, scene.hang_ups) == (TalkState.ENDED, [name])
    assert await places.take(talk.account, "the next one")
    await scene.look()
    assert (await scene.now(talk)).settled


async def test_the_caller_has_left_while_the_agent_was_called(scene: Scene) -> None:
    """What rings cannot be ended (422): it ends by itself, and is not forgotten until then."""
    talk, name = await scene.made()
    await scene.leaves()
    await scene.look()
    over = await scene.now(talk)
    assert (over.state, over.end_reason, over.settled) == (TalkState.FAILED, "abandoned", False)
    assert scene.peer.calls[name]["ended"] is None
    await scene.peer.end(name, "unjoined")
    await scene.look()
    assert (await scene.now(talk)).settled


async def test_our_side_has_ended_and_the_vendor_tells_why(scene: Scene) -> None:
    talk, name = await scene.joined()
    await scene.talks.settle(talk.id, ended(moment()))
    await scene.peer.end(name, "agent_hangup")
    await scene.look(5)
    over = await scene.now(talk)
    assert (over.end_reason, over.settled) == ("agent_hangup", True)


async def test_a_call_is_ended_by_request(scene: Scene) -> None:
    talk, name = await scene.joined()
    await scene.truth.end(scene.call.id)
    await scene.look(0)
    assert scene.hang_ups == [name]
    assert (await scene.now(talk)).state is TalkState.ENDED


async def test_a_talk_that_nobody_ends(scene: Scene) -> None:
    talk, name = await scene.joined()
    await scene.look(320)
    assert scene.hang_ups == []
    await scene.look(400)
    assert scene.hang_ups == [name]
    assert (await scene.now(talk)).end_reason == "timeout"


async def test_a_talk_that_nobody_ends_while_the_vendor_is_away(scene: Scene) -> None:
    """The telephone has hung up by its own clock; the vendor's word replaces ours when it is back."""
    talk, name = await scene.joined()
    scene.peer.always(Trouble.ERROR_500)
    assert await scene.look(400) is not None
    known = await scene.now(talk)
    assert (known.state, known.end_reason, known.settled) == (TalkState.ENDED, "timeout", False)
    scene.peer.always(None)
    await scene.peer.end(name, "connection_error")
    assert await scene.look(500) is None
    known = await scene.now(talk)
    assert (known.end_reason, known.settled) == ("connection_error", True)


@pytest.mark.parametrize(
    "trouble",
    [
        *(Trouble.ERROR_500, Trouble.HTML_502, Trouble.HTML_200, Trouble.STALL, Trouble.CUT),
        *(Trouble.UNAUTHORIZED_401, Trouble.PAYMENT_402, Trouble.TOO_MANY_429, Trouble.NO_COMPUTE_503),
    ],
)
async def test_nothing_is_lost_while_the_vendor_is_away(scene: Scene, trouble: Trouble) -> None:
    talk, name = await scene.joined()
    scene.peer.say(name, "AGENT", "Hello.")
    await scene.peer.end(name)
    scene.peer.always(trouble)
    assert await scene.look() is not None, "it is asked again later"
    assert (await scene.now(talk)).state is TalkState.JOINED
    scene.peer.always(None)
    assert await scene.look(100) is None
    assert (await scene.now(talk)).transcript == "Agent: Hello."


async def test_the_vendor_says_when_to_ask_again(scene: Scene) -> None:
    await scene.joined()
    scene.peer.retry_after = 17
    scene.peer.always(Trouble.TOO_MANY_429)
    assert await scene.look() == pytest.approx(17)


async def test_a_transcript_that_is_late(scene: Scene) -> None:
    talk, name = await scene.joined()
    scene.peer.say(name, "AGENT", "Hello.")
    await scene.peer.end(name)
    scene.peer.always(Trouble.ERROR_500, on="messages")
    await scene.look()
    known = await scene.now(talk)
    assert (known.state, known.end_reason, known.settled) == (TalkState.ENDED, "hangup", False)
    scene.peer.always(None)
    await scene.look()
    assert (await scene.now(talk)).transcript == "Agent: Hello."


async def test_a_call_that_was_deleted_over_there(scene: Scene) -> None:
    talk, name = await scene.joined()
    scene.peer.control.delete(name)
    await scene.look()
    known = await scene.now(talk)
    assert (known.state, known.end_reason, known.settled) == (TalkState.ENDED, "lost", True)


async def test_after_a_day_it_is_given_up(scene: Scene) -> None:
    first, _ = await scene.joined()
    second = await scene.wanted()
    scene.peer.always(Trouble.CUT)
    await scene.look(20 * 3600)
    assert not (await scene.now(first)).settled
    await scene.look(25 * 3600)
    for talk, state in ((first, TalkState.ENDED), (second, TalkState.FAILED)):
        known = await scene.now(talk)
        assert (known.state, known.settled, known.transcript) == (state, True, None)


async def test_words_and_fields_that_nobody_knows(scene: Scene) -> None:
    talk, name = await scene.joined()
    scene.peer.say(name, "AGENT", "Hello.")
    await scene.peer.end(name)
    scene.peer.always(Trouble.STRANGE)
    await scene.look()
    known = await scene.now(talk)
    assert (known.state, known.settled) == (TalkState.ENDED, True)
    assert known.end_reason == "OF_NEXT_YEAR"


async def test_news_of_a_call_without_our_name_in_it(scene: Scene) -> None:
    talk, name = await scene.made()
    await scene.peer.join(name)
    told = replace(vendor_call(scene.peer.calls[name]), request=None)
    assert (await scene.truth.hear(told)).id == talk.id
    with pytest.raises(NotFoundError):
        await scene.truth.hear(replace(told, id="another"))


async def test_it_goes_on_by_itself(scene: Scene) -> None:
    """From the start on: what was left overdue is looked at, and what is told of is asked for at once."""
    old = await scene.wanted(age=90)
    talk, name = await scene.joined()
    truth = scene.another(Pace(turn=0.02, renew=0.02))
    async with scene.database.writing() as connection:
        await connection.exec_driver_sql("UPDATE talks SET due_at = 0 WHERE id = ?", (old.id,))
    running = asyncio.create_task(truth.run())
    try:
        scene.peer.say(name, "AGENT", "Hello.")
        await scene.peer.end(name)
        await truth.hear(vendor_call(scene.peer.calls[name]))
        async with asyncio.timeout(5):
            while not ((await scene.now(talk)).settled and (await scene.now(old)).settled):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert (await scene.now(talk)).transcript == "Agent: Hello."
        scene.peer.always(Trouble.ERROR_500)
        asked = len(scene.peer.requests)
        truth.look((await scene.wanted()).id)
        await until(lambda: len(scene.peer.requests) > asked)
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_talks_that_go_on_keep_their_places(scene: Scene) -> None:
    talk, _ = await scene.joined()
    over, _ = await scene.joined()
    await scene.talks.settle(over.id, ended(moment()))
    places = TalkPlaces(scene.cache, 1)
    running = asyncio.create_task(scene.another(Pace(renew=0.02)).run())
    try:
        async with asyncio.timeout(5):
            while await places.take(talk.account, "next"):
                await places.release(talk.account, "next")
                await asyncio.sleep(0.01)
        assert await places.take(talk.account, talk.id)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
