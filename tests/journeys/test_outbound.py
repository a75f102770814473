"""Calls that we place, from the request to the row, on a real Asterisk and real callees."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from dialplan.names import RECORDINGS
from tests.journeys.listening import Shelf
from tests.journeys.scene import Asterisks, Scene, opened
from tests.journeys.server import Trunx, eventually, left
from tests.peers.ami import Watch
from tests.peers.asterisk import Asterisk
from tests.peers.receiver import Receiver
from trunx.adapters.store.account_limits import AccountLimits
from trunx.adapters.store.database import Database
from trunx.domain.gate import Capacity, Limits

_numbers = itertools.count()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def receiver() -> AsyncIterator[Receiver]:
    """Who is told of all that happens: see `hears_of`."""
    async with Receiver.open() as receiver:
        yield receiver


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared_placing(
    asterisks: Asterisks, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Scene]:
    """A server that can tell the pbx to dial, and the receiver of everything."""
    pbx, _ = asterisks
    settings = _settings(pbx, "trunk") | {"trunk_calls_per_second": "50"}
    async with opened(asterisks, tmp_path_factory.mktemp("placing"), **settings) as scene:
        async with Database.open(f"sqlite:///{scene.trunx.database}") as database:
            capacity = Capacity(per_second=50, at_once=50)
            await AccountLimits(database).put(scene.trunx.account, Limits(capacity=capacity))
        await hears_of(receiver, scene.trunx)
        yield scene


@pytest_asyncio.fixture(loop_scope="session")
async def placing(shared_placing: Scene) -> AsyncIterator[Scene]:
    """The same, with the pbx pointed at it; a journey leaves no channel."""
    await shared_placing.point()
    yield replace(shared_placing, shelf=Shelf(shared_placing.pbx, shared_placing.trunx.account))
    await shared_placing.no_channels()


def _settings(pbx: Asterisk, trunk: str) -> dict[str, str]:
    """Of a server that places calls, and may tell receivers on this machine of them."""
    return {"ami_url": pbx.ami_url, "trunk": trunk, "webhook_private": "1"}


async def hears_of(receiver: Receiver, trunx: Trunx) -> None:
    """Has the receiver told of everything, with a signature that it checks."""
    status, webhook = await trunx.ask("POST", "/api/webhooks", {"url": receiver.url})
    assert status == 201, webhook
    receiver.secret = webhook["secret"]


def callee(kind: str) -> str:
    """A number that nobody else calls, whose callee behaves so: see `tests.peers.world.CALLEES`."""
    return f"+1415555{kind}{next(_numbers):02}"


async def new_did(scene: Scene) -> str:
    """A number of the account."""
    did = scene.new_did()
    status, answer = await scene.trunx.ask("POST", "/dids", {"did": did})
    assert status == 201, answer
    return did


async def place(trunx: Trunx, did: str, to: str, **fields: Any) -> str:
    """Places a call; its id."""
    status, answer = await trunx.ask("POST", "/api/voice", {"from": did, "to": to, **fields})
    assert status == 201, answer
    assert answer == {
        "id": answer["id"],
        "callId": "CA" + answer["id"].replace("-", ""),
        "status": "initiated",
    }
    return str(answer["id"])


async def has(trunx: Trunx, call: str, *statuses: str, within: float = 8.0) -> dict[str, Any]:
    """The row, once it has one of these states."""

    async def so() -> dict[str, Any] | None:
        row = await trunx.get(f"/api/voice/{call}")
        return dict(row) if row["status"] in statuses else None

    return await eventually(so, within)


async def story(trunx: Trunx, call: str) -> list[str]:
    """What the account was told of the call, in order."""
    return [event["type"].removeprefix("call.") for event in await events(trunx, call)]


async def events(trunx: Trunx, call: str) -> list[dict[str, Any]]:
    """The same as the API shows it."""
    listed: list[dict[str, Any]] = (await trunx.get(f"/api/voice/{call}/events"))["events"]
    return listed


async def received(receiver: Receiver, trunx: Trunx, call: str) -> list[dict[str, Any]]:
    """The bodies of the call's webhooks as they came, each once: the same events, in the same order."""
    listed = await events(trunx, call)

    def bodies() -> list[dict[str, Any]]:
        return [body for body in receiver.got if body["data"]["call"] == call]

    await receiver.until(lambda: len(bodies()) >= len(listed))
    assert bodies() == [
        {"type": event["type"], "timestamp": event["at"], "data": event} for event in listed
    ], call
    numbers = [event["seq"] for event in listed]
    assert numbers == sorted(set(numbers))
    return bodies()


async def tells(receiver: Receiver, trunx: Trunx, row: dict[str, Any], *states: str) -> None:
    """Asserts that the receiver was told of these states, of this call, and of the end that its row has."""
    bodies = await received(receiver, trunx, row["id"])
    assert [body["type"] for body in bodies] == [f"call.{state}" for state in states]
    about = {name: row[name] for name in ("callId", "direction", "from", "to", "provider", "metadata")}
    for body in bodies:
        assert body["data"]["account"] == trunx.account
        assert about | body["data"]["data"] == body["data"]["data"]
    end = bodies[-1]["data"]["data"]
    assert (end["endReason"], end["duration"]) == (row["endReason"], row["duration"])
    for cause in ("q850Cause", "sipCause"):
        # A call that we have ended is told before Asterisk has named its cause.
        assert end[cause] in (None, row.get(cause))
    at = [row[f"{state}At"] for state in ("created", "ringing", "answered", "ended") if row[f"{state}At"]]
    for body, moment in zip(bodies, at, strict=True):
        # Whoever tells the same a millisecond earlier, after it was told, still makes the row more exact.
        off = datetime.fromisoformat(body["timestamp"]) - datetime.fromisoformat(moment)
        assert abs(off) < timedelta(seconds=0.1)


def invites(watch: Watch, number: str) -> int:
    """How many calls for the number have reached the world."""
    return sum(event["Exten"] == number for event in watch.seen)


async def test_how_calls_end(placing: Scene, receiver: Receiver) -> None:
    """1. Nine calls are placed at once. 2. One callee is busy, one refuses, one does not exist, one network
    is congested, one callee does not answer in time. 3. One hangs up after the answer, one is hung up on by
    the API, one while it still rings, and one call has lasted as long as it may. 4. Each row says so, and the
    account's webhook was told of each state once and in order. 5. Each number got one INVITE.
    """
    trunx, did = placing.trunx, await new_did(placing)

    async def by_itself(kind: str, **fields: Any) -> tuple[str, str]:
        number = callee(kind)
        call = await place(trunx, did, number, **fields)
        return number, call

    async def ended_by_us(kind: str, state: str) -> tuple[str, str]:
        number, call = await by_itself(kind)
        await has(trunx, call, state)
        assert await trunx.ask("DELETE", f"/api/voice/{call}") == (200, {"ended": True})
        return number, call

    rung, talked = ["initiated", "ringing"], ["initiated", "ringing", "answered", "completed"]
    cases: list[tuple[Any, list[str], str, int | None, int | None]] = [
        (by_itself("17"), ["initiated", "failed"], "busy", 17, 486),
        (by_itself("21"), ["initiated", "failed"], "rejected", 21, 403),
        (by_itself("04"), ["initiated", "failed"], "unreachable", 1, 404),
        (by_itself("34"), ["initiated", "failed"], "unreachable", 34, 503),
        (by_itself("19", timeout=1), [*rung, "failed"], "no-answer", 19, None),
        (by_itself("60"), talked, "hangup-callee", 16, None),
        (by_itself("62", maxDuration="2s"), talked, "max-duration", None, None),
        (ended_by_us("62", "answered"), talked, "hangup-caller", 16, None),
        (ended_by_us("19", "ringing"), [*rung, "failed"], "canceled", 16, None),
    ]
    with placing.world.ami.watch("Newchannel", Context="callees") as reached:
        placed = await asyncio.gather(*(doing for doing, *_ in cases))
        for (number, call), (_, told, reason, q850, sip) in zip(placed, cases, strict=True):
            row = await has(trunx, call, "completed", "failed")
            assert (row["endReason"], row["status"]) == (reason, told[-1]), row
            await tells(receiver, trunx, row, *told)
            assert (row["provider"], row["direction"], row["metadata"]) == ("trunk", "outbound", {})

            async def known(call: str = call, cause: int | None = q850) -> dict[str, Any] | None:
                row = await trunx.get(f"/api/voice/{call}")
                return dict(row) if cause is None or "q850Cause" in row else None

            row = await eventually(known)
            assert q850 is None or row["q850Cause"] == q850, row
            assert row.get("sipCause") == sip, row
            times = [row[name] for name in ("createdAt", "ringingAt", "answeredAt", "endedAt") if row[name]]
            assert times == sorted(times)
            assert bool(row["answeredAt"]) == ("answered" in told)
            if reason == "max-duration":
                assert 1 <= row["duration"] <= 3
            assert invites(reached, number) == 1


async def test_a_trunk_that_is_not_there(asterisks: Asterisks, tmp_path: Path) -> None:
    """The request is accepted, row and webhook say that nobody could be reached, and no channel stays."""
    pbx, _ = asterisks

    async def fails(trunk: str, reason: str) -> None:
        async with (
            Receiver.open() as receiver,
            opened(asterisks, tmp_path / trunk, **_settings(pbx, trunk)) as scene,
        ):
            await hears_of(receiver, scene.trunx)
            call = await place(scene.trunx, await new_did(scene), callee("62"), timeout=2)
            row = await has(scene.trunx, call, "failed", within=15)
            assert (row["endReason"], row["provider"], row["answeredAt"]) == (reason, trunk, None)
            await tells(receiver, scene.trunx, row, "initiated", "failed")
            await scene.no_channels()

    async with asyncio.TaskGroup() as group:
        for trunk, reason in (("dead", "unreachable"), ("unheard-of", "unreachable"), ("mute", "timeout")):
            group.create_task(fails(trunk, reason))


async def test_what_a_callee_is_served(placing: Scene) -> None:
    """1. Keys are pressed for a callee who listens for them, and she is held with music then. 2. One who
    says a word and waits is a human, one who is silent a machine. 3. A callee walks a tree, presses a key,
    and is on the suppression list: the next call to her is refused, and says why. 4. A call is recorded.
    """
    trunx, did = placing.trunx, await new_did(placing)
    listening, person, silent, leaving, recorded = (callee(kind) for kind in ("62", "61", "00", "63", "00"))
    nodes = {
        "ask": {"audio": placing.shelf.digits("placed-ask", "9999"), "gather": {"1": "stop"}},
        "stop": {"action": "suppress"},
    }
    assert (await trunx.ask("POST", "/ivr", {"id": "placed", "nodes": nodes}))[0] == 201
    with placing.world.ami.watch("UserEvent", UserEvent="Pressed") as pressed:
        held = await place(trunx, did, listening, sendDigits="w12#", hold="default", metadata={"a": "b"})
        by_person = await place(trunx, did, person, machineDetection=True)
        by_machine = await place(trunx, did, silent, machineDetection=True)
        walked = await place(trunx, did, leaving, ivr="placed")
        kept = await place(trunx, did, recorded, record=True, maxDuration=2)
        heard = await pressed.next()
        assert (heard["Keys"], heard["Number"]) == ("12", listening)

    async def machine(call: str) -> str:
        async def known() -> str | None:
            row: dict[str, Any] = await trunx.get(f"/api/voice/{call}")
            return row.get("machine")

        return await eventually(known)

    assert (await machine(by_person), await machine(by_machine)) == ("human", "machine")
    assert "machine" in await story(trunx, by_machine)

    row = await has(trunx, walked, "completed")
    assert (row["endReason"], row["ivr"], row["ivrVersion"]) == ("suppressed", "placed", 1)
    assert left(await trunx.steps_of(row)) == [("ask", "key", "1"), ("stop", "done", None)]
    assert await story(trunx, walked) == [
        "initiated",
        "answered",
        "ivr.step",
        "ivr.step",
        "ivr.completed",
        "completed",
    ]
    status, refusal = await trunx.ask("POST", "/api/voice", {"from": did, "to": leaving})
    assert (status, refusal["code"], refusal["rule"]) == (403, "suppressed", "suppression")

    assert (await has(trunx, kept, "completed"))["endReason"] == "max-duration"
    recording = placing.pbx.folder / "spool" / "monitor" / RECORDINGS / f"{kept}.wav"
    assert recording.stat().st_size > 8_000
    (found,) = (await trunx.get("/api/voice", metadata="a:b"))["calls"]
    assert (found["id"], found["status"], found["metadata"]) == (held, "answered", {"a": "b"})
    for call in (held, by_person, by_machine):
        await trunx.ask("DELETE", f"/api/voice/{call}")


async def test_what_goes_on_without_us(placing: Scene) -> None:
    """1. One call is up, one rings, one has rung out, when our process is killed. 2. The ringing one is
    answered while nobody is there. 3. We come back: both are held, their rows say so; the third's row has
    ended. 4. Nobody was called twice, and no channel is left.
    """
    trunx, did = placing.trunx, await new_did(placing)
    with placing.world.ami.watch("Newchannel", Context="callees") as reached:
        numbers = [callee(kind) for kind in ("00", "64", "19")]
        up, ringing, rung = [await place(trunx, did, number, timeout=3) for number in numbers]
        await has(trunx, up, "answered")
        await has(trunx, ringing, "ringing")
        await has(trunx, rung, "ringing")
        await trunx.kill()
        await trunx.start()
        assert (await has(trunx, ringing, "answered", within=20))["endedAt"] is None
        row = await has(trunx, rung, "failed", within=20)
        assert row["endReason"] in ("no-answer", "lost")
        assert (await trunx.get(f"/api/voice/{up}"))["status"] == "answered"
        await trunx.has_sessions(2, within=10)
        for call in (up, ringing):
            assert await trunx.ask("DELETE", f"/api/voice/{call}") == (200, {"ended": True})
        assert [invites(reached, number) for number in numbers] == [1, 1, 1]


async def test_calls_that_came_in(placing: Scene) -> None:
    """1. A caller is in a tree when the API ends her call. 2. Another one is moved out of our dialplan by
    somebody else, and hangs up there: his row ends when his call does.
    """
    trunx, did = placing.trunx, placing.new_did()
    nodes = {"ask": {"audio": placing.shelf.digits("came-ask", "99999999"), "gather": {"1": "ask"}}}
    await trunx.publish("came", did, nodes)
    first, second = placing.new_caller(), placing.new_caller()
    call = placing.world.dial(did, first)
    assert await call.answered()
    row = await trunx.row(first, ended=False)
    assert await trunx.ask("DELETE", f"/api/voice/{row['id']}") == (200, {"ended": True})
    assert (await call.wait_ended()).ended_by == "far"
    row = await trunx.row(first)
    assert (row["status"], row["endReason"]) == ("completed", "hangup-callee")

    call = placing.world.dial(did, second)
    assert await call.answered()
    row = await trunx.row(second, ended=False)
    channel = row["agiUniqueid"]
    await placing.pbx.ami.action("Redirect", Channel=channel, Context="elsewhere", Exten="s", Priority="1")
    await trunx.says("the call was redirected and goes on elsewhere", call=row["id"])
    await call.hangup()
    row = await trunx.row(second)
    assert (row["status"], row["endReason"]) == ("completed", "hangup-caller")
