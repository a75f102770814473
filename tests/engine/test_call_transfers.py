"""What becomes of transfers by request, whoever has begun them: found by looking at rows and at Asterisk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from tests.engine.conftest import Engine
from tests.engine.office import DID, TO, Office, at_work
from tests.peers.ami_stub import ami_stub
from trunx.adapters.ami.desk import Desk
from trunx.adapters.internet.post import Post
from trunx.adapters.store.actions import Actions
from trunx.domain.action import Action, ActionKind, ActionState
from trunx.domain.call import Call, EndReason, Status, new_call_id, public_call_id
from trunx.domain.errors import ExistsError
from trunx.engine.actions.frame import Frame
from trunx.engine.actions.transfer import CallTransfers, TransferAsked
from trunx.engine.gatekeeper import RefusedError
from trunx.engine.outbound import SwitchAwayError, SwitchOffError
from trunx.engine.settling import moment

ASKED = TransferAsked(TO)
CHANNEL = "1700000000.7"
BRIDGED = "Response: Success\r\n{id}Variable: any\r\nValue: PJSIP/carrier-00000001\r\n\r\n"


@dataclass
class Exchange:
    """An account whose calls are transferred, and a process that looks after that."""

    office: Office
    transfers: CallTransfers
    rows: Actions

    async def caller(self) -> Call:
        """A call that came in, and is answered."""
        name, account = new_call_id(), self.office.engine.account
        call = Call(name, public_call_id(name), account, "inbound", "+1", DID, Status.ANSWERED, moment())
        self.office.lists(CHANNEL)
        call = call._replace(answered_at=moment(), agi_uniqueid=CHANNEL)
        self.office.engine.recorder.call(call)
        await self.office.engine.recorder.flush()
        return call

    async def begin(self, call: Call) -> tuple[Action, Call]:
        """A transfer that has been dialled, and the call of it."""
        orders = self.office.orders()
        action = await self.transfers.begin(call.account, call.id, ASKED)
        self.office.lists(call.agi_uniqueid or call.id, action.id, state="5")
        await self.office.asterisk.has("Originate", orders + 1)
        return action, (await self.office.dials.get(call.account, action.id))[0]

    async def over(self, action: Action) -> Action:
        """The action, once it has ended."""
        async with asyncio.timeout(8):
            while (kept := await self.rows.get(action.id)).state is ActionState.STARTED:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return kept


@pytest.fixture
async def exchange(engine: Engine, valkey: str) -> AsyncIterator[Exchange]:
    await engine.dids.create(engine.account, DID, None, None)
    async with (
        ami_stub() as asterisk,
        at_work(engine, asterisk, valkey) as office,
        Desk(asterisk.url) as desk,
        Post.open(private=True) as post,
    ):
        await desk.wait_connected(5)
        rows = Actions(engine.database)
        transfers = CallTransfers(
            frame=Frame(rows, desk),
            dials=office.dials,
            outbound=office.outbound,
            settling=office.outbound._settling,
            post=post,
        )
        looking = asyncio.create_task(transfers.run())
        yield Exchange(office, transfers, rows)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        await transfers.close()


@pytest.mark.parametrize(("cause", "sip", "problem"), [("17", "486", "busy"), ("21", "403", "rejected")])
async def test_why_nobody_was_reached(exchange: Exchange, cause: str, sip: str, problem: str) -> None:
    call = await exchange.caller()
    action, placed = await exchange.begin(call)
    exchange.office.hangs_up(placed, cause, sip)
    over = await exchange.over(action)
    assert (over.state, over.problem) == (ActionState.FAILED, problem)
    assert (await exchange.office.row(call)).status is Status.ANSWERED


async def test_who_hangs_up_meanwhile_silences_the_telephone(exchange: Exchange) -> None:
    call = await exchange.caller()
    action, placed = await exchange.begin(call)
    ended = call._replace(status=Status.COMPLETED, ended_at=moment(), end_reason=EndReason.HANGUP_CALLER)
    exchange.office.engine.recorder.call(ended)
    over = await exchange.over(action)
    assert (over.state, over.problem) == (ActionState.FAILED, "call-ended")
    assert (await exchange.office.asterisk.has("Hangup"))["Channel"] == [placed.id]
    assert (await exchange.office.row(placed)).end_reason is EndReason.CANCELED


async def test_two_at_once_on_one_call(exchange: Exchange) -> None:
    call = await exchange.caller()
    begun = await asyncio.gather(
        *(exchange.transfers.begin(call.account, call.id, ASKED) for _ in range(5)), return_exceptions=True
    )
    kinds = [type(one) for one in begun]
    assert (kinds.count(Action), kinds.count(ExistsError)) == (1, 4)
    await exchange.office.asterisk.has("Originate")
    await exchange.office.outbound.close()
    assert exchange.office.orders() == 1


async def test_what_is_played_stops_when_a_transfer_begins(exchange: Exchange) -> None:
    """What was asked for before the transfer is stopped and told so; what is asked for later, and keys, and
    what is played in another call, are not. Nor is anything by a transfer that is refused.
    """
    rows, call, other = exchange.rows, await exchange.caller(), await exchange.caller()

    async def asked(of: Call, kind: ActionKind, *, late: bool = False) -> Action:
        at = moment() + timedelta(minutes=late)
        action = Action(new_call_id(), of.id, of.account, kind, ActionState.STARTED, {}, at)
        await rows.add(action)
        return action

    before = [await asked(call, kind) for kind in (ActionKind.PLAY, ActionKind.SPEAK)]
    others = [
        await asked(call, ActionKind.DTMF),
        await asked(call, ActionKind.PLAY, late=True),
        await asked(other, ActionKind.PLAY),
    ]
    with pytest.raises(RefusedError):
        await exchange.transfers.begin(call.account, call.id, TransferAsked(TO, caller_id="+19495559999"))
    assert [one.state for one in await rows.of_call(call.account, call.id)].count(ActionState.STARTED) == 4
    await exchange.begin(call)
    for action in before:
        kept = await rows.get(action.id)
        assert (kept.state, kept.result) == (ActionState.COMPLETED, {"stoppedBy": "transfer"})
        assert [f"act-{action.id}"] in [
            block["Channel"] for block in exchange.office.asterisk.named("Hangup")
        ]
    for action in others:
        assert (await rows.get(action.id)).state is ActionState.STARTED


async def test_who_is_bridged_is_transferred_though_nobody_said_so(exchange: Exchange) -> None:
    """Our process died between the bridge and the rows."""
    call = await exchange.caller()
    action, placed = await exchange.begin(call)
    exchange.office.asterisk.replies["Getvar"] = BRIDGED
    exchange.office.state(placed, "6")
    over = await exchange.over(action)
    assert (over.state, over.result) == (ActionState.COMPLETED, {"call": placed.id, "to": TO})
    row = await exchange.office.row(call)
    assert (row.status, row.end_reason) == (Status.COMPLETED, EndReason.TRANSFERRED)
    assert (await exchange.office.row(placed)).status is Status.ANSWERED
    assert exchange.office.orders("Hangup") == 0


async def test_who_was_kept_and_never_called(exchange: Exchange) -> None:
    """Our process died between the action and the call."""
    call = await exchange.caller()
    started = ActionState.STARTED
    wants, kind = {"to": TO, "mode": "blind"}, ActionKind.TRANSFER
    action = Action(new_call_id(), call.id, call.account, kind, started, wants, moment())
    old = replace(action, id=new_call_id(), created_at=moment() - timedelta(minutes=1))
    for one in (old, action):
        await exchange.rows.add(one)
    exchange.transfers._stirred.set()
    assert (await exchange.over(old)).problem == "lost"
    assert (await exchange.rows.get(action.id)).state is ActionState.STARTED


async def test_a_placed_call_that_was_transferred_keeps_its_channel(exchange: Exchange) -> None:
    """Rows and channels are compared ten times a second here: none ends what goes on elsewhere."""
    office = exchange.office
    call = await office.place()
    await office.asterisk.has("Originate")
    office.lists(call.id)
    office.state(call, "6")
    await office.is_so(call, lambda row: row.status is Status.ANSWERED)
    action, placed = await exchange.begin(call)
    office.asterisk.replies["Getvar"] = BRIDGED
    office.state(placed, "6")
    assert (await exchange.over(action)).state is ActionState.COMPLETED
    looks = office.orders("CoreShowChannels")
    await office.asterisk.has("CoreShowChannels", looks + 4)
    assert office.orders("Hangup") == 0
    office.hangs_up(call)
    row = await office.is_so(call, lambda row: row.q850_cause is not None)
    assert row.end_reason is EndReason.TRANSFERRED


async def test_nobody_is_called_without_asterisk(exchange: Exchange, engine: Engine) -> None:
    call = await exchange.caller()
    exchange.office.asterisk.silent.add("Login")
    await exchange.office.asterisk.end()
    desk = exchange.transfers._frame.desk
    async with asyncio.timeout(5):
        while (await desk.state()).state == "ok":  # noqa: ASYNC110 - as in `Office`
            await asyncio.sleep(0.01)
    with pytest.raises(SwitchAwayError):
        await exchange.transfers.begin(call.account, call.id, ASKED)
    assert await exchange.rows.of_call(engine.account, call.id) == []
    exchange.transfers._frame = Frame(exchange.rows, None)
    with pytest.raises(SwitchOffError):
        await exchange.transfers.begin(call.account, call.id, ASKED)
