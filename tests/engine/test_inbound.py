"""Whole calls. A storyboard tells what the caller does; asserted is what was heard and what was kept."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
import structlog

from agi.caller import Answered, Ended, Playing, Ring, Took, Waiting
from sounds import ENGINE
from tests.domain.samples import CONTRACT, KEYS, gather, nodes
from tests.engine.conftest import CALLER, DID, MENU_SECONDS, Engine
from trunx.domain.call import EndReason, Left, Status, public_call_id
from trunx.domain.strict_json import loads

HANGUP = {"action": "hangup"}
ONE_MENU = nodes(menu=gather({"1": "bye"}), bye=HANGUP)
UNAVAILABLE = ENGINE["unavailable"].sound
NOT_IN_SERVICE = ENGINE["not-in-service"].sound
GOODBYE = ENGINE["goodbye"].sound
INVALID = ENGINE["invalid"].sound
NO_INPUT = ENGINE["no-input"].sound


async def test_1_1_leads_to_the_transfer(engine: Engine) -> None:
    await engine.publish(loads(CONTRACT))
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    phone = await engine.dial(does="11")

    assert phone.ended_by == "server"
    assert phone.sounds == [engine.sound("welcome.wav"), engine.sound("business_check.wav"), UNAVAILABLE]
    kept = await engine.kept()
    assert kept.way == ["welcome key 1", "has_business key 1", "transfer_ai failed"]
    call = kept.call
    assert (call.status, call.end_reason) == (Status.COMPLETED, EndReason.TRANSFER_UNAVAILABLE)
    assert (call.direction, call.from_number, call.to_number) == ("inbound", CALLER, DID)
    assert (call.ivr, call.ivr_version) == ("qualify-business", 1)
    assert (call.agi_uniqueid, call.channel) == ("1700000000.7", "Simulated/1")
    assert call.call_id == public_call_id(call.id)
    assert call.answered_at is not None
    assert call.ended_at is not None
    assert before <= call.created_at <= call.answered_at <= call.ended_at <= datetime.now(UTC)
    assert [step.number for step in kept.steps] == [1, 2, 3]
    assert [step.kind for step in kept.steps] == ["gather", "gather", "transfer"]
    assert kept.steps[0].left_at <= kept.steps[1].entered_at
    assert kept.events == []


async def test_1_2_leads_to_a_hangup_with_its_words(engine: Engine) -> None:
    await engine.publish(loads(CONTRACT))
    phone = await engine.dial(does="12")
    assert phone.sounds[-1] == engine.sound("not_qualified.wav")
    kept = await engine.kept()
    assert kept.way == ["welcome key 1", "has_business key 2", "unqualified done"]
    assert kept.steps[-1].prompt_ms == 1000 * MENU_SECONDS
    assert kept.call.end_reason is EndReason.HANGUP


async def test_keys_typed_ahead_count(engine: Engine) -> None:
    await engine.publish(loads(CONTRACT))
    phone = await engine.dial(ahead="12")
    assert phone.happened[1:5] == [
        Playing(engine.sound("welcome.wav"), MENU_SECONDS),
        Took("1"),
        Playing(engine.sound("business_check.wav"), MENU_SECONDS),
        Took("2"),
    ]
    assert (await engine.kept()).way == ["welcome key 1", "has_business key 2", "unqualified done"]
    assert phone.caller.keys_lost == 0


async def test_silence_until_attempts_are_used_up(engine: Engine) -> None:
    await engine.publish(loads(CONTRACT))
    phone = await engine.dial(does="...")
    welcome = engine.sound("welcome.wav")
    assert phone.sounds == [welcome, NO_INPUT, welcome, NO_INPUT, welcome, GOODBYE]
    assert [happening for happening in phone.happened if isinstance(happening, Waiting)] == [Waiting(5)] * 3
    kept = await engine.kept()
    assert kept.way == ["welcome timeout"] * 3
    assert [step.prompt_ms for step in kept.steps] == [4000, 4000, 4000]
    assert kept.call.end_reason is EndReason.EXHAUSTED
    assert kept.call.status is Status.COMPLETED


async def test_a_wrong_key_and_then_the_right_one(engine: Engine) -> None:
    await engine.publish(loads(CONTRACT))
    phone = await engine.dial(does="512")
    welcome = engine.sound("welcome.wav")
    assert phone.sounds[:3] == [welcome, INVALID, welcome]
    kept = await engine.kept()
    assert kept.way == ["welcome invalid 5", "welcome key 1", "has_business key 2", "unqualified done"]


async def test_every_key_answers(engine: Engine) -> None:
    chain = {f"n{at}": gather({key: f"n{at + 1}"}) for at, key in enumerate(KEYS)}
    await engine.publish(nodes(**chain, n12=HANGUP))
    await engine.dial(does=KEYS)
    assert (await engine.kept()).way == [*(f"n{at} key {key}" for at, key in enumerate(KEYS)), "n12 done"]


@pytest.mark.parametrize(("first", "preface"), [("5", INVALID), (".", NO_INPUT)])
async def test_a_key_during_the_preface_is_the_answer(engine: Engine, first: str, preface: str) -> None:
    await engine.publish(ONE_MENU)
    phone = await engine.dial(does=first, during={preface: "1"})
    assert phone.sounds == [engine.sound("menu.wav"), preface]
    kept = await engine.kept()
    assert [step.left for step in kept.steps][1:] == [Left.KEY, Left.DONE]
    assert (kept.steps[1].key, kept.steps[1].prompt_ms) == ("1", 0)


async def test_a_wrong_key_during_the_preface_is_wrong_again(engine: Engine) -> None:
    await engine.publish(ONE_MENU)
    phone = await engine.dial(does="5", during={INVALID: "66"})
    assert phone.sounds == [engine.sound("menu.wav"), INVALID, INVALID, GOODBYE]
    assert (await engine.kept()).way == ["menu invalid 5", "menu invalid 6", "menu invalid 6"]


async def test_prefaces_of_the_account(engine: Engine) -> None:
    menu = gather({"1": "bye"}, invalid_audio="wrong.wav", timeout_audio="late.wav")
    await engine.publish(nodes(menu=menu, bye=HANGUP))
    phone = await engine.dial(does="5.1")
    names = ["menu.wav", "wrong.wav", "menu.wav", "late.wav", "menu.wav"]
    assert phone.sounds == [engine.sound(name) for name in names]


async def test_a_timeout_node_that_is_an_action_follows_the_timeout_audio(engine: Engine) -> None:
    menu = gather({"1": "bye"}, timeout_node="bye", timeout_audio="late.wav")
    await engine.publish(nodes(menu=menu, bye={**HANGUP, "audio": "bye.wav"}))
    phone = await engine.dial(does=".")
    assert phone.sounds == [engine.sound(name) for name in ("menu.wav", "late.wav", "bye.wav")]
    assert (await engine.kept()).way == ["menu timeout", "bye done"]


async def test_an_exhausted_node(engine: Engine) -> None:
    await engine.publish(nodes(menu=gather(attempts=1, exhausted_node="last"), last={"action": "transfer"}))
    phone = await engine.dial(does=".")
    assert phone.sounds == [engine.sound("menu.wav"), UNAVAILABLE]
    assert (await engine.kept()).way == ["menu timeout", "last failed"]


async def test_a_tree_that_begins_with_an_action(engine: Engine) -> None:
    await engine.publish(nodes(bye={**HANGUP, "audio": "bye.wav"}))
    phone = await engine.dial()
    assert phone.happened == [
        Answered(),
        Playing(engine.sound("bye.wav"), MENU_SECONDS),
        Ended("server"),
    ]


async def test_start_names_the_entry_and_timeout_the_wait(engine: Engine) -> None:
    document = nodes(other=gather(), menu=gather({"1": "bye"}, timeout=0.5), bye=HANGUP)
    await engine.publish({**document, "start": "menu"})
    phone = await engine.dial(does="1")
    assert Waiting(0.5) in phone.happened
    assert (await engine.kept()).way == ["menu key 1", "bye done"]


async def test_the_step_limit_ends_with_a_prompt(engine: Engine) -> None:
    await engine.publish(nodes(a=gather({"1": "b"}), b=gather({"1": "a"})))
    phone = await engine.dial(ahead="1" * 1_001)
    assert phone.sounds[-1] == GOODBYE
    assert phone.ended_by == "server"
    kept = await engine.kept()
    assert kept.call.end_reason is EndReason.STEP_LIMIT
    assert [step.number for step in kept.steps] == list(range(1, 1_001))


async def test_the_language_is_set_before_the_first_prompt(engine: Engine) -> None:
    await engine.publish({**ONE_MENU, "language": "de_AT"})
    said = await engine.converse(Ring(DID, CALLER), {"GET DATA": "200 result=1"})
    assert said == [
        "GET VARIABLE TRUNX_DID",
        "ANSWER",
        'SET VARIABLE "CHANNEL(language)" de_AT',
        f"GET DATA {engine.sound('menu.wav')} 5000 1",
        "HANGUP",
    ]


async def test_six_commands_for_two_menus_and_a_message(engine: Engine) -> None:
    """Each more would be a moment in which a key is lost."""
    await engine.publish(loads(CONTRACT))
    said = await engine.converse(
        Ring(DID, CALLER),
        {f"GET DATA {engine.sound('business_check.wav')}": "200 result=2", "GET DATA": "200 result=1"},
    )
    assert [line.split()[0] for line in said] == ["GET", "ANSWER", "GET", "GET", "STREAM", "HANGUP"]
    assert said[4] == f"STREAM FILE {engine.sound('not_qualified.wav')} 0123456789*#"


class TestPromptMilliseconds:
    """How much of a prompt was heard."""

    async def test_none_when_the_key_was_there_first(self, engine: Engine) -> None:
        await engine.publish(ONE_MENU)
        await engine.dial(ahead="1")
        assert (await engine.kept()).steps[0].prompt_ms < 1000 * MENU_SECONDS

    async def test_until_the_key_when_it_interrupts(self, engine: Engine) -> None:
        await engine.publish(ONE_MENU)
        phone = engine.phone(speed=1)
        calling = asyncio.create_task(phone.call(engine.server.port))
        await phone.until(Playing)
        started = asyncio.get_running_loop().time()
        asyncio.get_running_loop().call_later(0.06, phone.caller.press, "1")
        await calling
        most = 1000 * (asyncio.get_running_loop().time() - started)
        assert 55 <= (await engine.kept()).steps[0].prompt_ms <= most + 5

    async def test_all_of_it_when_the_key_comes_in_the_wait(self, engine: Engine) -> None:
        await engine.publish(ONE_MENU)
        engine.stage("menu.wav", 0.02)
        await engine.dial(does="1", speed=1)
        assert (await engine.kept()).steps[0].prompt_ms == 20

    async def test_at_most_the_time_that_passed_when_the_length_is_not_known(self, engine: Engine) -> None:
        await engine.publish(ONE_MENU)
        async with engine.serving(sounds=_NoFolder()):
            await engine.dial(does=".1")
        first, second, _ = (await engine.kept()).steps
        assert first.prompt_ms < 1000 * MENU_SECONDS
        assert second.prompt_ms < 1000 * MENU_SECONDS


class _NoFolder:
    """Asterisk's sounds, for a server that cannot see them."""

    def seconds(self, sound: str) -> float | None:
        del sound
        return None


class TestNumbers:
    """Which line a call is for."""

    async def test_nobody_owns_the_number(self, engine: Engine) -> None:
        with structlog.testing.capture_logs() as logs:
            phone = await engine.dial()
        assert phone.happened == [
            Answered(),
            Playing(NOT_IN_SERVICE, ENGINE["not-in-service"].seconds),
            Ended("server"),
        ]
        assert [log["did"] for log in logs if log["log_level"] == "warning"] == [DID]
        assert await engine.all_kept() == []

    async def test_a_number_without_an_ivr(self, engine: Engine) -> None:
        await engine.dids.create(engine.account, DID, None, None)
        await engine.lines.publish([DID])
        phone = await engine.dial()
        assert phone.sounds == [NOT_IN_SERVICE]
        kept = await engine.kept()
        assert (kept.call.status, kept.call.end_reason) == (Status.COMPLETED, EndReason.UNASSIGNED)
        assert (kept.call.ivr, kept.call.ivr_version, kept.steps) == (None, None, [])

    async def test_a_number_that_was_given_up(self, engine: Engine) -> None:
        await engine.publish(ONE_MENU)
        await engine.dids.delete(engine.account, DID)
        await engine.lines.publish([DID])
        assert (await engine.dial()).sounds == [NOT_IN_SERVICE]

    async def test_where_the_number_is_found(self, engine: Engine) -> None:
        await engine.publish(ONE_MENU)
        for script, variable, dnid in (
            ("inbound?did=%2B19495551234", "+13105550000", "+13105550000"),
            ("inbound?did=+19495551234", "", "unknown"),
            ("inbound/?x=1&did=9495551234", "", "unknown"),
            ("inbound", "+19495551234", "+13105550000"),
            ("inbound", "19495551234", "s"),
            ("inbound", "", "+1 949 555 1234"),
            ("", "", "19495551234"),
            ("inbound?did=", "", "19495551234"),
            ("inbound?did=sales", "", "19495551234"),
        ):
            ring = Ring(dnid, CALLER, script=script)
            phone = await engine.dial(ring, does="1", variables={"TRUNX_DID": variable} if variable else {})
            assert phone.sounds == [engine.sound("menu.wav")], (script, variable, dnid)
        assert {kept.call.to_number for kept in await engine.all_kept()} == {DID}

    async def test_the_extension_is_the_last_resort(self, engine: Engine) -> None:
        await engine.publish(ONE_MENU)
        await engine.dial(_Told(DID, CALLER, told=(("dnid", "unknown"),)), does="1")
        assert (await engine.kept()).call.to_number == DID

    async def test_a_script_that_does_not_exist_is_left_to_the_dialplan(self, engine: Engine) -> None:
        await engine.publish(ONE_MENU)
        with structlog.testing.capture_logs() as logs:
            phone = await engine.dial(Ring(DID, CALLER, script="outbound"))
        assert phone.happened == [Ended("lost")], "the call is not touched, and the dialplan goes on"
        assert logs[0]["script"] == "outbound"
        assert await engine.all_kept() == []

    async def test_the_caller_s_number(self, engine: Engine) -> None:
        await engine.publish(ONE_MENU)
        for written, kept in (
            ("19495550000", "+19495550000"),
            ("9495550000", "+19495550000"),
            ("+442079460000", "+442079460000"),
            ("anonymous", "anonymous"),
            ("unknown", "unknown"),
            ("1001", "1001"),
            ("al\0ice\x1b[31m", "alice[31m"),
            ("x" * 5_000, "x" * 64),
        ):
            await engine.dial(Ring(DID, written), does="1")
            assert (await engine.kept()).call.from_number == kept

    async def test_a_withheld_number_is_not_kept(self, engine: Engine) -> None:
        await engine.publish(nodes(dnc={"action": "suppress"}))
        await engine.dial(_Told(DID, CALLER, told=(("callingpres", "35"),)))
        kept = await engine.kept()
        assert (kept.call.from_number, kept.call.end_reason) == ("anonymous", EndReason.SUPPRESS_ANONYMOUS)
        assert engine.listed() == []


@dataclass(frozen=True, slots=True)
class _Told(Ring):
    """A greeting with other values, or more of them."""

    told: tuple[tuple[str, str], ...] = ()

    def greeting(self, host: str, port: int) -> bytes:
        lines = Ring.greeting(self, host, port).decode().rstrip("\n").split("\n")
        values = dict(line.split(": ", 1) for line in lines if ": " in line)
        values |= {f"agi_{name}": value for name, value in self.told}
        return ("".join(f"{name}: {value}\n" for name, value in values.items()) + "\n").encode()


async def test_a_call_keeps_its_version_and_the_next_one_gets_the_new(engine: Engine) -> None:
    """1. A call waits in the menu. 2. The menu's key 1 is made to lead elsewhere. 3. The call presses 1.
    4. So does the next call.
    """
    await engine.publish(nodes(menu=gather({"1": "old"}, timeout=120), old=HANGUP))
    engine.stage("menu.wav", 0.02)
    phone = engine.phone(speed=1)
    calling = asyncio.create_task(phone.call(engine.server.port))
    await phone.until(Waiting)
    await engine.change(nodes(menu=gather({"1": "new"}), new=HANGUP))
    phone.caller.press("1")
    await calling
    await engine.dial(does="1")
    second, first = await engine.all_kept()
    assert (first.way, first.call.ivr_version) == (["menu key 1", "old done"], 1)
    assert (second.way, second.call.ivr_version) == (["menu key 1", "new done"], 2)


async def test_calls_at_once_do_not_mix(engine: Engine) -> None:
    await engine.publish(loads(CONTRACT))
    callers = [f"+1212555{number:04}" for number in range(40)]
    phones = [
        engine.phone(Ring(DID, caller), does="11" if at % 2 else "12") for at, caller in enumerate(callers)
    ]
    await asyncio.gather(*(phone.call(engine.server.port) for phone in phones))
    ends = {kept.call.from_number: kept.steps[-1].node for kept in await engine.all_kept()}
    assert ends == {caller: "transfer_ai" if at % 2 else "unqualified" for at, caller in enumerate(callers)}
