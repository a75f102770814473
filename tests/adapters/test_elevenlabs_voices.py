"""Which of ElevenLabs' voices speaks: names, aliases, the fallback, and how it is told that one is gone."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import soundfile as sf

from tests.adapters.waiting import until
from tests.peers.elevenlabs import GEORGE, RACHEL, SARAH, ElevenLabsPeer, FakeVoice
from tests.peers.elevenlabs_troubles import spoken
from trunx.adapters.voices.elevenlabs import Deadlines, ElevenLabs
from trunx.domain.audio import SpeechError

TEXT = "Thank you for calling."


@pytest.fixture
async def vendor() -> AsyncIterator[ElevenLabsPeer]:
    async with ElevenLabsPeer.running() as peer:
        yield peer


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "speech.wav"


def at(vendor: ElevenLabsPeer, **given: Any) -> ElevenLabs:
    quick = Deadlines(speech=8.0, silence=1.0, voices=2.0, backoff=0.01)
    return ElevenLabs(**{"api_key": vendor.key, "base_url": vendor.url, "deadlines": quick, **given})


async def refusal(voices: ElevenLabs, target: Path, voice: str | None = None) -> SpeechError:
    """The error of speaking."""
    speech = await voices.plan(TEXT, voice)
    with pytest.raises(SpeechError) as refused:
        await voices.speak(speech, target)
    return refused.value


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (None, SARAH),
        (GEORGE, GEORGE),
        ("george", GEORGE),
        ("Sarah", SARAH),
        ("sarah - mature, reassuring, confident", SARAH),
        ("Rachel", RACHEL),
    ],
)
async def test_a_voice_by_id_name_and_alias(vendor: ElevenLabsPeer, asked: str | None, found: str) -> None:
    async with at(vendor) as voices:
        assert (await voices.plan(TEXT, asked)).voice == found


async def test_an_alias_comes_before_a_name(vendor: ElevenLabsPeer) -> None:
    async with at(vendor, aliases={"George": SARAH}) as voices:
        assert (await voices.plan(TEXT, "george")).voice == SARAH
    assert [path for path in vendor.lookups if path == "/v2/voices"] == []


async def test_a_name_that_nobody_has(vendor: ElevenLabsPeer) -> None:
    async with at(vendor, fallback_voice=GEORGE) as voices:
        with pytest.raises(SpeechError) as refused:
            await voices.plan(TEXT, "nobody")
    assert (refused.value.code, refused.value.is_request, refused.value.field) == (
        "voice-not-found",
        True,
        "voice",
    )
    assert "nobody" in str(refused.value)


async def test_a_configured_name_that_nobody_has(vendor: ElevenLabsPeer) -> None:
    async with at(vendor, default_voice="nobody") as voices:
        with pytest.raises(SpeechError) as refused:
            await voices.plan(TEXT, None)
    assert (refused.value.code, refused.value.is_request) == ("voice-not-found", False)
    async with at(vendor, default_voice="nobody", fallback_voice="George") as voices:
        assert (await voices.plan(TEXT, None)).voice == GEORGE


async def test_a_long_list_is_read_page_by_page_and_kept(vendor: ElevenLabsPeer) -> None:
    vendor.voices |= {f"{number:020}": FakeVoice(f"Voice {number}", language=None) for number in range(250)}
    async with at(vendor) as voices:
        listed = await voices.voices()
        assert (await voices.plan(TEXT, "voice 249")).voice == f"{249:020}"
    assert [info.id for info in listed] == list(vendor.voices)
    assert [info.name for info in listed if info.is_default] == ["Sarah - Mature, Reassuring, Confident"]
    assert {info.language for info in listed} == {"en", None}
    assert vendor.lookups.count("/v2/voices") == 3


async def test_an_id_needs_no_list(vendor: ElevenLabsPeer, target: Path) -> None:
    vendor.may_read_voices = False
    async with at(vendor) as voices:
        await voices.speak(await voices.plan(TEXT, GEORGE), target)
        with pytest.raises(SpeechError) as refused:
            await voices.plan(TEXT, "george")
        assert refused.value.code == "voice-key-lacks-permission"


async def test_an_old_list_is_better_than_none(vendor: ElevenLabsPeer) -> None:
    async with at(vendor, deadlines=Deadlines(keep=0.0)) as voices:
        listed = await voices.voices()
        vendor.may_read_voices = False
        assert await voices.voices() == listed


@pytest.mark.parametrize(
    "garbled",
    [
        b"[1, 2]",
        b"{}",
        b'{"voices": [{"voice_id": "1", "name": 1, "labels": []}]}',
        b'{"voices": [7]}',
        b"null",
        b"<html>",
        b"\xff",
    ],
)
async def test_a_garbled_list_is_no_crash(vendor: ElevenLabsPeer, garbled: bytes) -> None:
    vendor.garbled = garbled
    async with at(vendor) as voices:
        with pytest.raises(SpeechError) as refused:
            await voices.plan(TEXT, "george")
        assert refused.value.code in {"voice-not-found", "voice-provider-error"}
        assert (await voices.state()).name == "speech"


@pytest.mark.parametrize(
    ("tier", "plan", "code"),
    [("free", "starter", "voice-plan-required"), ("creator", "pro", "voice-plan-required")],
)
async def test_a_voice_that_the_plan_lacks(
    vendor: ElevenLabsPeer, target: Path, tier: str, plan: str, code: str
) -> None:
    vendor.tier, vendor.voices[GEORGE] = tier, FakeVoice("George", plan=plan)
    async with at(vendor) as voices:
        error = await refusal(voices, target, GEORGE)
    assert (error.code, error.is_request, error.field) == (code, True, "voice")
    assert len(vendor.speeches) == 1


async def test_the_configured_voice_is_no_fault_of_the_request(vendor: ElevenLabsPeer, target: Path) -> None:
    del vendor.voices[SARAH]
    async with at(vendor, fallback_voice=SARAH) as voices:
        error = await refusal(voices, target)
    assert (error.code, error.is_request, len(vendor.speeches)) == ("voice-not-found", False, 1)


@pytest.mark.parametrize("gone", ["deleted", "free", "pro"])
async def test_the_fallback_voice_stands_in(vendor: ElevenLabsPeer, target: Path, gone: str) -> None:
    if gone == "deleted":
        del vendor.voices[RACHEL]
    else:
        vendor.tier, vendor.voices[RACHEL] = ("free", FakeVoice("Rachel", plan="starter"))
        if gone == "pro":
            vendor.tier, vendor.voices[RACHEL] = "creator", FakeVoice("Rachel", plan="pro")
    async with at(vendor, fallback_voice="george") as voices:
        speech = await voices.plan(TEXT, "rachel")
        said = await voices.speak(speech, target)
        assert speech.voice == RACHEL
        assert said == await voices.plan(TEXT, GEORGE)
        assert said.key != speech.key
    assert [asked.voice for asked in vendor.speeches] == [RACHEL, GEORGE]
    samples, _ = sf.read(target, dtype="int16")
    assert samples.tobytes() == spoken(GEORGE, TEXT, "pcm_16000")


async def test_the_models_limit_is_that_of_the_words_as_read(vendor: ElevenLabsPeer) -> None:
    text = "call " + "1" * 2_400
    async with at(vendor, model="eleven_v3") as voices:
        with pytest.raises(SpeechError) as refused:
            await voices.plan(text, None)
    assert (refused.value.code, refused.value.field) == ("voice-text-too-long", "text")
    async with at(vendor) as voices:
        await voices.plan(text, None)
    assert vendor.speeches == []


@pytest.mark.parametrize(
    ("text", "code"),
    [("", "text-empty"), ("<break/> a", "text-has-markup"), ("a" * 3_001, "text-too-long")],
)
async def test_what_may_not_be_spoken_is_not_asked_for(vendor: ElevenLabsPeer, text: str, code: str) -> None:
    async with at(vendor) as voices:
        with pytest.raises(SpeechError) as refused:
            await voices.plan(text, None)
    assert refused.value.code == code


async def test_the_key_of_a_speech_follows_voice_model_and_text(vendor: ElevenLabsPeer) -> None:
    async with at(vendor) as flash, at(vendor, model="eleven_multilingual_v2") as multilingual:
        plans = [
            await flash.plan(TEXT, None),
            await flash.plan(TEXT, GEORGE),
            await flash.plan(TEXT + "!", None),
            await multilingual.plan(TEXT, None),
        ]
        assert (await flash.plan(f"  {TEXT}\n", SARAH)).key == plans[0].key
    assert len({plan.key for plan in plans}) == 4


async def test_other_languages_keep_their_digits(vendor: ElevenLabsPeer) -> None:
    async with at(vendor) as voices:
        speech = await voices.plan("Llame al 949-555-1234.", None)
    assert speech.words == "Llame al 9 4 9, 5 5 5, 1 2 3 4."


async def test_all_is_well(vendor: ElevenLabsPeer) -> None:
    async with at(vendor, fallback_voice=GEORGE) as voices:
        state = await voices.state()
        assert (state.name, state.state) == ("speech", "ok")
        await voices.state()
    assert vendor.lookups == [f"/v1/voices/{SARAH}", f"/v1/voices/{GEORGE}"]
    assert vendor.speeches == []


async def test_a_configured_voice_is_gone(vendor: ElevenLabsPeer) -> None:
    del vendor.voices[GEORGE]
    async with at(vendor, fallback_voice=GEORGE) as voices:
        state = await voices.state()
    assert state.state == "degraded"
    assert GEORGE in state.detail


async def test_a_key_that_may_not_look(vendor: ElevenLabsPeer) -> None:
    vendor.may_read_voices = False
    async with at(vendor) as voices:
        state = await voices.state()
    assert state.state == "ok"
    assert "not checked" in state.detail


async def test_a_bad_key_shows_in_the_state(vendor: ElevenLabsPeer) -> None:
    async with at(vendor, api_key="sk_wrong") as voices:
        state = await voices.state()
    assert state.state == "degraded"
    assert "API key" in state.detail
    assert "sk_wrong" not in state.detail


async def test_nobody_there_is_told_and_looked_for_again(
    vendor: ElevenLabsPeer, unused_tcp_port: int
) -> None:
    async with at(vendor, base_url=f"http://127.0.0.1:{unused_tcp_port}") as voices:
        assert (await voices.state()).state == "degraded"
    del vendor.voices[SARAH]
    async with at(vendor, deadlines=Deadlines(look_ill=0.01)) as voices:
        assert (await voices.state()).state == "degraded"
        vendor.voices[SARAH] = FakeVoice("Sarah")
        await until(lambda: voices._state is not None and voices._state.state == "ok")
