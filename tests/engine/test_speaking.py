"""Never silence: what callers hear when a sound is missing, and what is told of it."""

import shutil

import structlog

from agi.caller import Playing, Ring, Waiting
from sounds import ENGINE
from tests.domain.samples import gather, nodes
from tests.engine.conftest import CALLER, DID, Engine
from trunx.domain.call import EndReason
from trunx.engine.metrics import AUDIO_FAILED

MENU_MISSING = ENGINE["menu-missing"].sound
MESSAGE_MISSING = ENGINE["message-missing"].sound
INVALID = ENGINE["invalid"].sound
NO_INPUT = ENGINE["no-input"].sound
UNAVAILABLE = ENGINE["unavailable"].sound
GOODBYE = ENGINE["goodbye"].sound
MENU = nodes(menu=gather({"1": "bye"}, audio="missing.wav"), bye={"action": "hangup"})


def _without_engine_prompts(engine: Engine) -> None:
    shutil.rmtree(engine.sounds.root / "trunx")
    engine.sounds._known.clear()


async def test_a_menu_without_its_audio(engine: Engine) -> None:
    """The engine's own menu stands in, the key works, and the fact is kept as event, log line and figure."""
    await engine.publish(MENU)
    failed_before = AUDIO_FAILED._value.get()
    with structlog.testing.capture_logs() as logs:
        phone = await engine.dial(does="1")

    assert phone.sounds == [engine.sound("missing.wav"), MENU_MISSING]
    assert Waiting(5) in phone.happened
    kept = await engine.kept()
    assert kept.way == ["menu key 1", "bye done"]
    assert (kept.steps[0].fallback, kept.steps[1].fallback) == (True, False)
    assert kept.steps[0].prompt_ms <= 1000 * ENGINE["menu-missing"].seconds
    facts = {"node": "menu", "audio": "missing.wav", "sound": engine.sound("missing.wav")}
    assert [(event.type, event.data) for event in kept.events] == [("audio.failed", facts)]
    assert (kept.events[0].call, kept.events[0].account) == (kept.call.id, engine.account)
    warned = next(log for log in logs if log["log_level"] == "warning")
    assert {**warned, **facts, "call": kept.call.id} == warned
    assert AUDIO_FAILED._value.get() == failed_before + 1


async def test_the_whole_stand_in_was_heard(engine: Engine) -> None:
    await engine.publish(MENU)
    await engine.dial(does=".1")
    step = (await engine.kept()).steps[0]
    assert (step.fallback, step.prompt_ms) == (True, round(1000 * ENGINE["menu-missing"].seconds))


async def test_a_message_without_its_audio(engine: Engine) -> None:
    await engine.publish(nodes(bye={"action": "transfer", "audio": "missing.wav"}))
    phone = await engine.dial()
    assert phone.heard == [MESSAGE_MISSING, UNAVAILABLE]
    kept = await engine.kept()
    assert kept.steps[0].fallback
    assert kept.steps[0].prompt_ms == round(1000 * ENGINE["message-missing"].seconds)
    assert kept.call.end_reason is EndReason.TRANSFER_UNAVAILABLE


async def test_prefaces_without_their_audio_are_the_engine_s(engine: Engine) -> None:
    """Not words about a message that cannot be played: what is to be said can be said."""
    menu = gather(
        {"1": "bye"}, invalid_audio="missing.wav", timeout_audio="missing.wav", timeout_node="other"
    )
    other = gather({"1": "bye"}, audio="other.wav")
    await engine.publish(nodes(menu=menu, other=other, bye={"action": "hangup"}))
    phone = await engine.dial(does="5.1")
    menu_sound, other_sound = engine.sound("menu.wav"), engine.sound("other.wav")
    assert phone.heard == [menu_sound, INVALID, menu_sound, NO_INPUT, other_sound]
    kept = await engine.kept()
    assert [event.data["node"] for event in kept.events] == ["menu", "menu"]
    assert not any(step.fallback for step in kept.steps), "the nodes' own prompts were all heard"


async def test_an_empty_sound_is_a_missing_one(engine: Engine) -> None:
    """Asterisk plays an empty file without a word of it."""
    await engine.publish(nodes(menu=gather({"1": "bye"}), bye={"action": "hangup"}))
    engine.stage("menu.wav", 0)
    phone = await engine.dial(does="1")
    assert phone.heard == [MENU_MISSING]
    kept = await engine.kept()
    assert kept.steps[0].fallback
    assert [event.type for event in kept.events] == ["audio.failed"]


async def test_without_the_engine_s_prompts_a_beep_stands_in(engine: Engine) -> None:
    await engine.publish(
        nodes(menu=gather({"1": "last"}), last={"action": "transfer", "audio": "missing.wav"})
    )
    _without_engine_prompts(engine)
    with structlog.testing.capture_logs() as logs:
        phone = await engine.dial(does=".5.1")
    beep = Playing("beep", 0.1)
    # Two prefaces and two silences before the key, then two messages; the last silence was not counted out.
    assert phone.heard == ["beep"] * len(phone.heard)
    assert phone.happened.count(beep) == 4 + 3 + 2
    assert (await engine.kept()).way == [
        "menu timeout",
        "menu invalid 5",
        "menu timeout",
        "menu key 1",
        "last failed",
    ]
    assert any("TRUNX_SOUNDS_URL" in log["event"] for log in logs if log["log_level"] == "error")


async def test_without_any_sound_keys_still_work(engine: Engine) -> None:
    await engine.publish(
        nodes(menu=gather({"1": "last"}), last={"action": "transfer", "audio": "missing.wav"})
    )
    shutil.rmtree(engine.sounds.root)
    engine.sounds._known.clear()
    phone = await engine.dial(does=".1")
    assert phone.ended_by == "server"
    assert phone.heard == ["", ""]
    assert phone.happened.count(Waiting(5)) == 2
    kept = await engine.kept()
    assert kept.way == ["menu timeout", "menu key 1", "last failed"]
    assert kept.call.end_reason is EndReason.TRANSFER_UNAVAILABLE


async def test_a_call_to_nobody_hears_a_beep_at_least(engine: Engine) -> None:
    _without_engine_prompts(engine)
    phone = await engine.dial()
    assert (phone.heard, phone.ended_by) == (["beep"], "server")


async def test_a_prompt_that_an_operator_stops_is_no_key(engine: Engine) -> None:
    """AMI ControlPlayback leaves a byte among the digits, and 0 for STREAM FILE (ran on Asterisk 22.10)."""
    await engine.publish(nodes(menu=gather({"1": "bye"}, attempts=1), bye={"action": "hangup"}))
    said = await engine.converse(Ring(DID, CALLER), {"GET DATA": "200 result=\xe8"})
    assert said[-2:] == [f"STREAM FILE {GOODBYE} 0123456789*#", "HANGUP"]
    kept = await engine.kept()
    assert kept.way == ["menu timeout"]
