"""How calls end before their walk does: hangups, lost connections, redirects, drains, our own faults."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
import structlog

from agi.caller import Ended, Happening, Playing, Ring, Took, Waiting
from sounds import ENGINE
from tests.domain.samples import CONTRACT, gather, nodes, tree
from tests.engine.conftest import CALLER, DID, Engine, Phone
from trunx.domain.call import EndReason, Left, Status
from trunx.domain.errors import UnavailableError
from trunx.domain.records import Line
from trunx.domain.strict_json import loads

HANGUP = {"action": "hangup"}
NO_INPUT = ENGINE["no-input"].sound
UNAVAILABLE = ENGINE["unavailable"].sound
GOODBYE = ENGINE["goodbye"].sound


def _hang_up_at(phone: Phone, kind: type[Happening], number: int = 1) -> None:
    """Lets the caller hang up at the n-th happening of this kind."""
    left = [number]

    def watch(happening: Happening) -> None:
        if isinstance(happening, kind):
            left[0] -= 1
            if left[0] == 0:
                phone.caller.hang_up()

    phone.watch = watch


@pytest.mark.parametrize(
    ("kind", "number", "way"),
    [
        (Playing, 1, ["welcome hangup"]),
        (Playing, 2, ["welcome key 1", "has_business hangup"]),
        (Waiting, 1, ["welcome hangup"]),
        (Waiting, 2, ["welcome key 1", "has_business hangup"]),
        # Between two nodes: the key has left, and the hangup comes with the reply.
        (Took, 1, ["welcome key 1", "has_business hangup"]),
        (Took, 2, ["welcome key 1", "has_business key 1", "transfer_ai hangup"]),
        (Playing, 3, ["welcome key 1", "has_business key 1", "transfer_ai hangup"]),
    ],
)
async def test_the_caller_hangs_up(
    engine: Engine, kind: type[Happening], number: int, way: list[str]
) -> None:
    await engine.publish(loads(CONTRACT))
    phone = engine.phone(does="11")
    _hang_up_at(phone, kind, number)
    assert await phone.call(engine.server.port) == "caller"
    kept = await engine.kept()
    assert kept.way == way
    assert (kept.call.status, kept.call.end_reason) == (Status.COMPLETED, EndReason.HANGUP_CALLER)
    assert kept.call.ended_at is not None
    assert kept.events == []
    assert engine.server.sessions == 0


@pytest.mark.parametrize(("does", "prompt"), [("...", GOODBYE), (".", NO_INPUT), ("11", UNAVAILABLE)])
async def test_the_caller_hangs_up_while_we_speak(engine: Engine, does: str, prompt: str) -> None:
    await engine.publish(loads(CONTRACT))
    phone = await engine.dial(does=does, during={prompt: "!"})
    assert phone.happened[-2:] == [Playing(prompt, engine.seconds(prompt)), Ended("caller")]
    assert (await engine.kept()).call.end_reason is EndReason.HANGUP_CALLER


async def test_how_much_was_heard_before_the_hangup(engine: Engine) -> None:
    await engine.publish(loads(CONTRACT))
    phone = engine.phone(speed=1)
    calling = asyncio.create_task(phone.call(engine.server.port))
    await phone.until(Playing)
    asyncio.get_running_loop().call_later(0.05, phone.caller.hang_up)
    await calling
    step = (await engine.kept()).steps[0]
    assert step.left is Left.HANGUP
    assert 45 <= step.prompt_ms < 4_000
    assert (step.left_at - step.entered_at).total_seconds() < 4


async def test_the_caller_hangs_up_before_the_answer(engine: Engine) -> None:
    await engine.publish(loads(CONTRACT))
    said = await engine.converse(
        Ring(DID, CALLER),
        {
            "ANSWER": "200 result=-1\nHANGUP",
            "CHANNEL STATUS": "511 Command Not Permitted on a dead channel or intercept routine",
            "GET FULL VARIABLE": f"200 result=1 (trunx-inbound|{DID})",
        },
    )
    assert said[1:3] == ["ANSWER", "CHANNEL STATUS"]
    kept = await engine.kept()
    assert (kept.call.status, kept.call.end_reason) == (Status.FAILED, EndReason.HANGUP_CALLER)
    assert (kept.call.answered_at, kept.steps) == (None, [])
    assert kept.call.ended_at is not None


async def test_the_caller_hangs_up_in_the_reply_to_our_hangup(engine: Engine) -> None:
    await engine.publish(nodes(bye=HANGUP))
    dead = "511 Command Not Permitted on a dead channel or intercept routine"
    await engine.converse(Ring(DID, CALLER), {"HANGUP": f"HANGUP\n{dead}"})
    kept = await engine.kept()
    assert (kept.way, kept.call.end_reason) == (["bye done"], EndReason.HANGUP)


class TestRedirect:
    """AMI Redirect looks like a hangup, but the caller is alive and goes on elsewhere."""

    @pytest.mark.parametrize(
        ("place", "redirected"),
        [
            ("else|s", True),
            (f"else|{DID}", True),
            ("trunx-inbound|+15550000000", True),
            (f"trunx-inbound|{DID}", False),
        ],
    )
    async def test_the_place_tells_it_from_a_hangup(
        self, engine: Engine, place: str, redirected: bool
    ) -> None:
        await engine.publish(loads(CONTRACT))
        said = await engine.converse(
            Ring(DID, CALLER),
            {
                "GET DATA": "200 result=-1\nHANGUP",
                "CHANNEL STATUS": "511 Command Not Permitted on a dead channel or intercept routine",
                "GET FULL VARIABLE": f"200 result=1 ({place})",
            },
        )
        assert [line.split()[0] for line in said[-2:]] == ["CHANNEL", "GET"], "and the session ends at once"
        kept = await engine.kept()
        assert kept.way == ["welcome hangup"]
        assert [event.type for event in kept.events] == ["call.redirected"] * redirected
        if redirected:
            assert (kept.call.status, kept.call.ended_at) == (Status.ANSWERED, None)
        else:
            assert kept.call.end_reason is EndReason.HANGUP_CALLER

    async def test_with_the_simulated_asterisk(self, engine: Engine) -> None:
        await engine.publish(loads(CONTRACT))
        await engine.dial(does="!", variables={"CHANNEL(context)": "else", "CHANNEL(exten)": "s"})
        kept = await engine.kept()
        assert (kept.call.status, kept.events[0].type) == (Status.ANSWERED, "call.redirected")


class TestLost:
    """Asterisk vanishes, or we do."""

    @pytest.mark.parametrize("kind", [Playing, Waiting, Took])
    async def test_the_connection_breaks(self, engine: Engine, kind: type[Happening]) -> None:
        await engine.publish(loads(CONTRACT))
        phone = engine.phone(does="1", speed=1)
        engine.stage("welcome.wav", 0.01)
        engine.stage("business_check.wav", 0.01)
        calling = asyncio.create_task(phone.call(engine.server.port))
        await phone.until(kind)
        phone.drop()
        assert await calling == "lost"
        await engine.server.drain(5)
        kept = await engine.kept()
        assert kept.way[-1].endswith(" hangup")
        assert (kept.call.status, kept.call.end_reason) == (Status.COMPLETED, EndReason.LOST)

    async def test_a_closed_connection_is_no_hangup(self, engine: Engine) -> None:
        await engine.publish(loads(CONTRACT))
        await engine.converse(Ring(DID, CALLER), {"GET DATA": ""})
        await engine.server.drain(5)
        assert (await engine.kept()).call.end_reason is EndReason.LOST

    async def test_a_drain_lets_a_call_end_by_itself(self, engine: Engine) -> None:
        await engine.publish(loads(CONTRACT))
        engine.stage("welcome.wav", 0.01)
        phone = engine.phone(speed=1)
        port = engine.server.port
        calling = asyncio.create_task(phone.call(port))
        await phone.until(Waiting)
        draining = asyncio.create_task(engine.server.drain(30))
        await asyncio.sleep(0)
        assert not engine.server.listening
        phone.caller.press("9")
        assert await calling == "server"
        await draining
        assert (await engine.kept()).call.end_reason is EndReason.SUPPRESSED

    async def test_the_end_of_a_drain_ends_a_call(self, engine: Engine) -> None:
        """The dialplan goes on then, and apologises."""
        await engine.publish(loads(CONTRACT))
        phone = engine.phone(speed=1)
        calling = asyncio.create_task(phone.call(engine.server.port))
        await phone.until(Playing)
        await engine.server.drain(0)
        assert await calling == "lost"
        kept = await engine.kept()
        assert (kept.way, kept.call.end_reason) == (["welcome hangup"], EndReason.LOST)


class _Lines:
    """Lines that answer as a test says."""

    def __init__(self, answer: Callable[[str], Awaitable[Line | None]]) -> None:
        self._answer = answer

    async def find(self, did: str) -> Line | None:
        return await self._answer(did)

    async def publish(self, dids: object) -> None:
        del dids


async def test_no_line_can_be_looked_up(engine: Engine) -> None:
    """The call is given back unanswered, and the dialplan apologises."""

    async def down(did: str) -> Line | None:
        raise UnavailableError(did)

    async with engine.serving(lines=_Lines(down)):
        with structlog.testing.capture_logs() as logs:
            phone = await engine.dial()
    assert phone.happened == [Ended("lost")]
    assert "the dialplan apologises" in logs[0]["event"]
    assert await engine.all_kept() == []


async def test_a_hangup_ends_a_slow_lookup(engine: Engine) -> None:
    asked, cancelled = asyncio.Event(), asyncio.Event()

    async def slow(did: str) -> Line | None:
        del did
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return None

    async with engine.serving(lines=_Lines(slow)):
        phone = engine.phone()
        calling = asyncio.create_task(phone.call(engine.server.port))
        await asked.wait()
        phone.caller.hang_up()
        await cancelled.wait()
        assert await calling == "caller"


async def test_a_fault_of_ours_is_told_and_leaves_the_call_to_the_dialplan(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """A tree that could not have been saved: its key leads nowhere."""
    whole = tree(nodes(menu=gather({"1": "bye"}), bye=HANGUP))
    broken = replace(whole, nodes={"menu": whole.nodes["menu"]})

    async def find(did: str) -> Line | None:
        del did
        return Line(engine.account, "broken", 1, broken)

    engine.stage("menu.wav")
    async with engine.serving(lines=_Lines(find)):
        phone = await engine.dial(does="1")
    assert phone.ended_by == "lost"
    kept = await engine.kept()
    assert kept.way == ["menu key 1"]
    assert (kept.call.status, kept.call.end_reason) == (Status.COMPLETED, EndReason.ERROR)
    assert "KeyError: 'bye'" in caplog.text


async def test_a_hangup_that_asterisk_refuses_changes_nothing_about_the_end(engine: Engine) -> None:
    await engine.publish(nodes(bye=HANGUP))
    await engine.converse(Ring(DID, CALLER), {"HANGUP": "510 Invalid or unknown command"})
    assert (await engine.kept()).call.end_reason is EndReason.HANGUP
