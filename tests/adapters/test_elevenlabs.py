"""ElevenLabs over real HTTP: what is asked, what is written, and what each of the vendor's faults becomes."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import soundfile as sf

from tests.peers.elevenlabs import GEORGE, KEY, ElevenLabsPeer
from tests.peers.elevenlabs_troubles import Trouble, spoken
from trunx.adapters.voices.elevenlabs import Deadlines, ElevenLabs
from trunx.domain.audio import SpeechError
from trunx.domain.errors import UnavailableError

TEXT = "Thank you for calling. Press 1 if you are a business owner."
QUICK = Deadlines(speech=8.0, silence=1.0, voices=2.0, backoff=0.01)


@pytest.fixture
async def vendor() -> AsyncIterator[ElevenLabsPeer]:
    async with ElevenLabsPeer.running() as peer:
        yield peer


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "speech.wav"


def at(vendor: ElevenLabsPeer, **given: Any) -> ElevenLabs:
    return ElevenLabs(**{"api_key": vendor.key, "base_url": vendor.url, "deadlines": QUICK, **given})


async def refusal(
    voices: ElevenLabs, target: Path, voice: str | None = None, text: str = TEXT
) -> SpeechError:
    """The error of speaking; nothing is at `target`."""
    speech = await voices.plan(text, voice)
    with pytest.raises(SpeechError) as refused:
        await voices.speak(speech, target)
    assert list(target.parent.iterdir()) == []
    assert KEY not in str(refused.value)
    return refused.value


async def test_what_is_asked_and_what_is_written(vendor: ElevenLabsPeer, target: Path) -> None:
    async with at(vendor) as voices:
        speech = await voices.plan("Call 949-555-1234 now, please.", GEORGE)
        said = await voices.speak(speech, target)
    words = "Call nine four nine, five five five, one two three four now, please."
    assert said == speech
    assert (said.provider, said.voice, said.words) == ("elevenlabs", GEORGE, words)
    (asked,) = vendor.speeches
    assert (asked.voice, asked.format) == (GEORGE, "wav_16000")
    assert asked.body == {"text": words, "model_id": "eleven_flash_v2_5"}
    samples, rate = sf.read(target, dtype="int16")
    assert rate == 16_000
    assert samples.tobytes() == spoken(GEORGE, words, "pcm_16000")


async def test_a_header_without_its_size_is_written_anew(vendor: ElevenLabsPeer, target: Path) -> None:
    vendor.befall(Trouble.STREAMED_HEADER)
    async with at(vendor) as voices:
        await voices.speak(await voices.plan(TEXT, None), target)
    assert sf.info(target).frames == len(TEXT) * 960


@pytest.mark.parametrize(
    ("trouble", "code", "requests"),
    [
        (Trouble.UNUSUAL_ACTIVITY, "voice-account-blocked", 1),
        (Trouble.PAYMENT_ISSUE, "voice-payment-due", 1),
        (Trouble.BUSY, "voice-busy", 3),
        (Trouble.RATE_LIMIT, "voice-rate-limited", 3),
        (Trouble.CONCURRENCY, "voice-rate-limited", 3),
        (Trouble.CONCURRENCY_NEW_NAME, "voice-rate-limited", 3),
        (Trouble.ERROR_500, "voice-provider-error", 3),
        (Trouble.ERROR_503, "voice-provider-error", 3),
        (Trouble.HTML_502, "voice-provider-error", 3),
        (Trouble.NOT_UTF8_500, "voice-provider-error", 3),
        (Trouble.FORBIDDEN_403, "voice-refused", 1),
        (Trouble.WRONG_PATH_404, "voice-refused", 1),
        (Trouble.VALIDATION_422, "voice-refused", 1),
        (Trouble.VOICE_NOT_FOUND_400, "voice-not-found", 1),
        (Trouble.VOICE_NOT_FOUND_401, "voice-not-found", 1),
        (Trouble.TEXT_TOO_LONG, "voice-text-too-long", 1),
        (Trouble.REDIRECT, "voice-refused", 1),
        (Trouble.DROPPED, "voice-unreachable", 3),
        (Trouble.STALL_BEFORE, "voice-timeout", 3),
        (Trouble.STALL_AMID, "voice-timeout", 3),
        (Trouble.CUT_OFF, "voice-truncated", 3),
        (Trouble.CUT_OFF_IN_CHUNKS, "voice-truncated", 3),
        (Trouble.EMPTY, "voice-empty", 3),
        (Trouble.NO_SAMPLES, "voice-empty", 3),
        (Trouble.HALF_SAMPLE, "voice-truncated", 3),
        (Trouble.LYING_SIZE, "voice-truncated", 3),
        (Trouble.TOO_SHORT, "voice-truncated", 3),
        (Trouble.JSON_200, "voice-provider-error", 3),
        (Trouble.QUOTA_200, "voice-quota-exceeded", 1),
        (Trouble.HTML_200, "voice-provider-error", 3),
    ],
)
async def test_each_trouble_has_its_code_and_its_tries(
    vendor: ElevenLabsPeer, target: Path, trouble: Trouble, code: str, requests: int
) -> None:
    vendor.always(trouble)
    async with at(vendor) as voices:
        error = await refusal(voices, target)
    assert (error.code, len(vendor.speeches)) == (code, requests)


def test_every_trouble_is_tried() -> None:
    (marks,) = test_each_trouble_has_its_code_and_its_tries.pytestmark  # type: ignore[attr-defined]
    assert {case[0] for case in marks.args[1]} == set(Trouble) - {Trouble.STREAMED_HEADER}


async def test_a_refused_key(vendor: ElevenLabsPeer, target: Path) -> None:
    async with at(vendor, api_key="sk_wrong") as voices:
        error = await refusal(voices, target)
    assert error.code == "voice-key-invalid"
    assert "sk_wrong" not in str(error)  # the vendor says it back to us
    assert vendor.speeches == []


async def test_a_key_that_may_not_speak(vendor: ElevenLabsPeer, target: Path) -> None:
    vendor.may_speak = False
    async with at(vendor) as voices:
        error = await refusal(voices, target)
    assert error.code == "voice-key-lacks-permission"
    assert "text_to_speech" in str(error)
    assert len(vendor.speeches) == 1


async def test_no_credits_left_is_not_a_bad_key(vendor: ElevenLabsPeer, target: Path) -> None:
    vendor.credits_left = 12
    async with at(vendor) as voices:
        error = await refusal(voices, target)
    assert error.code == "voice-quota-exceeded"
    assert "12 credits remaining" in str(error)
    assert not error.is_request
    assert len(vendor.speeches) == 1


async def test_nobody_listens(vendor: ElevenLabsPeer, target: Path, unused_tcp_port: int) -> None:
    async with at(vendor, base_url=f"http://127.0.0.1:{unused_tcp_port}") as voices:
        assert (await refusal(voices, target)).code == "voice-unreachable"


async def test_the_whole_time_is_bounded_too(vendor: ElevenLabsPeer, target: Path) -> None:
    vendor.always(Trouble.STALL_AMID)
    async with at(vendor, deadlines=Deadlines(speech=0.3, silence=30.0)) as voices:
        assert (await refusal(voices, target)).code == "voice-timeout"
    assert len(vendor.speeches) == 1


async def test_what_passes_is_outlived(vendor: ElevenLabsPeer, target: Path) -> None:
    vendor.befall(Trouble.BUSY, Trouble.CUT_OFF)
    async with at(vendor) as voices:
        await voices.speak(await voices.plan(TEXT, None), target)
    assert len(vendor.speeches) == 3
    assert sf.info(target).frames == len(TEXT) * 960


async def test_retry_after_is_waited_for(vendor: ElevenLabsPeer, target: Path) -> None:
    vendor.retry_after = "1"
    vendor.befall(Trouble.RATE_LIMIT)
    async with at(vendor) as voices:
        speech = await voices.plan(TEXT, None)
        began = time.monotonic()
        await voices.speak(speech, target)
    assert time.monotonic() - began >= 1.0


@pytest.mark.parametrize("as_date", [False, True])
async def test_retry_after_beyond_the_deadline_is_told(
    vendor: ElevenLabsPeer, target: Path, *, as_date: bool
) -> None:
    hour = datetime.now(UTC) + timedelta(hours=1)
    vendor.retry_after = format_datetime(hour, usegmt=True) if as_date else "3600"
    vendor.always(Trouble.ERROR_503)
    async with at(vendor) as voices:
        error = await refusal(voices, target)
    assert error.retry_after == pytest.approx(3600, abs=10)
    assert len(vendor.speeches) == 1


@pytest.mark.parametrize("key", ["", "sk one", "sk_\u00e9", "sk_1\r\nx: y"])
def test_a_key_that_is_no_header_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ValueError, match="API key") as refused:
        ElevenLabs(key)
    assert not key or key not in str(refused.value)


@pytest.mark.parametrize("url", ["api.elevenlabs.io", "ftp://host", "http://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        ElevenLabs(KEY, url)


async def test_nothing_is_written_where_nothing_can_be(vendor: ElevenLabsPeer, tmp_path: Path) -> None:
    async with at(vendor) as voices:
        speech = await voices.plan(TEXT, None)
        with pytest.raises(UnavailableError):
            await voices.speak(speech, tmp_path / "missing" / "speech.wav")


async def test_so_many_at_once_and_no_more(vendor: ElevenLabsPeer, tmp_path: Path) -> None:
    vendor.gate.clear()
    async with at(vendor, concurrency=2) as voices, asyncio.TaskGroup() as speaking:
        for number in range(6):
            speech = await voices.plan(f"{TEXT} {number}", None)
            speaking.create_task(voices.speak(speech, tmp_path / f"{number}.wav"))
        await vendor.asked(2)
        vendor.gate.set()
    assert (vendor.most_at_once, len(vendor.speeches)) == (2, 6)


async def test_who_waits_too_long_for_a_turn_is_told(vendor: ElevenLabsPeer, tmp_path: Path) -> None:
    vendor.gate.clear()
    async with at(vendor, concurrency=1, deadlines=Deadlines(speech=0.3)) as voices:
        speech = await voices.plan(TEXT, None)
        ends = await asyncio.gather(
            *(voices.speak(speech, tmp_path / f"{n}.wav") for n in range(3)), return_exceptions=True
        )
    codes = [end.code for end in ends if isinstance(end, SpeechError)]
    assert (codes[0], codes[2]) == ("voice-timeout", "voice-busy")


async def test_a_cancelled_speech_gives_its_turn_back(vendor: ElevenLabsPeer, target: Path) -> None:
    vendor.gate.clear()
    async with at(vendor, concurrency=1) as voices:
        speech = await voices.plan(TEXT, None)
        first = asyncio.create_task(voices.speak(speech, target))
        await vendor.asked(1)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        vendor.gate.set()
        await voices.speak(speech, target)
    assert sf.info(target).frames == len(TEXT) * 960


async def test_the_key_and_each_request_stay_out_of_the_log(
    vendor: ElevenLabsPeer, target: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    vendor.befall(Trouble.BUSY, Trouble.ERROR_500, Trouble.HTML_502)
    async with at(vendor) as voices:
        await refusal(voices, target)
        await voices.state()
    shown = "".join(capfd.readouterr())
    assert "voice-provider-error" in shown
    assert KEY not in caplog.text + shown
    assert [record for record in caplog.records if record.name in {"httpx", "fern"}] == []
