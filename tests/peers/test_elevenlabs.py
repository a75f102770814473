"""The stand-in keeps the vendor's contract: what it says, and what it refuses."""

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import soundfile as sf

from tests.peers.elevenlabs import FORMATS, GEORGE, KEY, MODELS, ElevenLabsPeer, FakeVoice
from tests.peers.elevenlabs_troubles import PLAIN, PROBLEMS, Trouble

ASK = {"text": "hello there", "model_id": "eleven_flash_v2_5"}


@pytest.fixture
async def peer() -> AsyncIterator[ElevenLabsPeer]:
    async with ElevenLabsPeer.running() as running:
        yield running


async def post(
    peer: ElevenLabsPeer,
    body: dict[str, Any],
    *,
    voice: str = GEORGE,
    form: str = "wav_16000",
    key: str = KEY,
    stream: str = "",
) -> tuple[int, Any, aiohttp.ClientResponse]:
    """Status, parsed JSON or bytes, and the answer."""
    async with (
        aiohttp.ClientSession(peer.url, headers={"xi-api-key": key}) as session,
        session.post(f"/v1/text-to-speech/{voice}{stream}?output_format={form}", json=body) as answer,
    ):
        parsed = await (answer.json() if answer.content_type == "application/json" else answer.read())
        return answer.status, parsed, answer


async def get(peer: ElevenLabsPeer, path: str, key: str = KEY) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession(peer.url, headers={"xi-api-key": key}) as session,
        session.get(path) as answer,
    ):
        return answer.status, await answer.json()


@pytest.mark.parametrize("form", sorted(FORMATS))
async def test_every_format_is_sound_of_its_kind(peer: ElevenLabsPeer, form: str) -> None:
    peer.tier = "pro"
    status, body, answer = await post(peer, ASK, form=form)
    assert status == 200
    assert answer.headers["request-id"]
    assert answer.headers["character-cost"] == str(len(ASK["text"]))
    kind, rate = form.split("_")[:2]
    raw = {"pcm": "PCM_16", "ulaw": "ULAW", "alaw": "ALAW"}
    given: dict[str, Any] = (
        {"format": "RAW", "subtype": raw[kind], "samplerate": int(rate), "channels": 1} if kind in raw else {}
    )
    samples, read_rate = sf.read(io.BytesIO(body), **given)
    assert read_rate == int(rate)
    assert len(samples) / read_rate == pytest.approx(0.06 * len(ASK["text"]), rel=0.1)
    assert samples.max() > 0.1


async def test_a_stream_says_the_same(peer: ElevenLabsPeer) -> None:
    whole, streamed = await post(peer, ASK), await post(peer, ASK, stream="/stream")
    assert whole[1] == streamed[1]
    assert "Content-Length" not in streamed[2].headers


async def test_each_voice_and_text_sounds_different(peer: ElevenLabsPeer) -> None:
    sounds = [await post(peer, ASK, voice=voice) for voice in peer.voices]
    sounds.append(await post(peer, {**ASK, "text": "hello where"}))
    assert len({body for _, body, _ in sounds}) == len(sounds)


@pytest.mark.parametrize(
    ("body", "given", "status", "name"),
    [
        (ASK, {"key": "sk_other"}, 401, "invalid_api_key"),
        (ASK, {"voice": "nobody"}, 404, "voice_not_found"),
        ({**ASK, "model_id": "nothing"}, {}, 400, "model_not_found"),
        ({**ASK, "text": "x" * 3_001, "model_id": "eleven_v3"}, {}, 400, "max_character_limit_exceeded"),
        (ASK, {"form": "wav_44100"}, 403, "output_format_not_allowed"),
    ],
)
async def test_what_is_refused_by_name(
    peer: ElevenLabsPeer, body: dict[str, Any], given: dict[str, Any], status: int, name: str
) -> None:
    answered, problem, _ = await post(peer, body, **given)
    assert (answered, problem["detail"]["status"]) == (status, name)
    assert problem["detail"]["message"]


@pytest.mark.parametrize(
    ("body", "form", "field"),
    [
        ({"model_id": "eleven_v3"}, "wav_16000", "text"),
        ({**ASK, "text": ""}, "wav_16000", "text"),
        ({**ASK, "text": 1}, "wav_16000", "text"),
        (ASK, "wav_11025", "output_format"),
    ],
)
async def test_what_is_invalid(peer: ElevenLabsPeer, body: dict[str, Any], form: str, field: str) -> None:
    status, problem, _ = await post(peer, body, form=form)
    assert status == 422
    assert problem["detail"][0]["loc"][-1] == field


async def test_credits_run_out(peer: ElevenLabsPeer) -> None:
    peer.credits_left = len(ASK["text"]) + 3
    assert (await post(peer, ASK))[0] == 200
    status, problem, _ = await post(peer, ASK)
    assert (status, problem["detail"]["status"]) == (401, "quota_exceeded")
    assert "3 credits remaining" in problem["detail"]["message"]


async def test_plans(peer: ElevenLabsPeer) -> None:
    peer.tier, peer.voices[GEORGE] = "free", FakeVoice("George", plan="starter")
    status, problem, _ = await post(peer, ASK)
    assert (status, problem["detail"]["code"]) == (402, "paid_plan_required")
    peer.tier, peer.voices[GEORGE] = "starter", FakeVoice("George", plan="creator")
    status, problem, _ = await post(peer, ASK)
    assert (status, problem["detail"]["status"]) == (403, "only_for_creator+")


async def test_too_many_at_once(peer: ElevenLabsPeer) -> None:
    peer.at_once = 1
    peer.gate.clear()
    asking = [asyncio.create_task(post(peer, ASK)) for _ in range(3)]
    await peer.asked(3)
    peer.gate.set()
    answers = [await task for task in asking]
    refused = [body["detail"]["status"] for status, body, _ in answers if status == 429]
    assert refused
    assert set(refused) == {"too_many_concurrent_requests"}
    assert peer.most_at_once == 3


@pytest.mark.parametrize("trouble", [trouble for trouble in PROBLEMS if trouble], ids=str)
async def test_troubles_with_a_name(peer: ElevenLabsPeer, trouble: Trouble) -> None:
    peer.retry_after = "7"
    peer.befall(trouble)
    status, problem, answer = await post(peer, ASK)
    assert (status, problem["detail"]["status"]) == PROBLEMS[trouble]
    assert answer.headers["Retry-After"] == "7"
    assert (await post(peer, ASK))[0] == 200


@pytest.mark.parametrize("trouble", [trouble for trouble in PLAIN if trouble], ids=str)
async def test_troubles_with_a_body(peer: ElevenLabsPeer, trouble: Trouble) -> None:
    peer.befall(trouble)
    async with (
        aiohttp.ClientSession(peer.url, headers={"xi-api-key": KEY}) as session,
        session.post(f"/v1/text-to-speech/{GEORGE}", json=ASK, allow_redirects=False) as answer,
    ):
        assert (answer.status, answer.headers["Content-Type"], await answer.read()) == PLAIN[trouble]


@pytest.mark.parametrize("trouble", [Trouble.DROPPED, Trouble.CUT_OFF, Trouble.CUT_OFF_IN_CHUNKS])
async def test_connections_that_break(peer: ElevenLabsPeer, trouble: Trouble) -> None:
    peer.befall(trouble)
    with pytest.raises(aiohttp.ClientError):
        await post(peer, ASK)


@pytest.mark.parametrize("trouble", [Trouble.STALL_BEFORE, Trouble.STALL_AMID])
async def test_connections_that_fall_silent(peer: ElevenLabsPeer, trouble: Trouble) -> None:
    peer.befall(trouble)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await post(peer, ASK)


@pytest.mark.parametrize(
    "trouble", [Trouble.NO_SAMPLES, Trouble.HALF_SAMPLE, Trouble.LYING_SIZE, Trouble.TOO_SHORT]
)
async def test_sound_that_is_damaged(peer: ElevenLabsPeer, trouble: Trouble) -> None:
    _, whole, _ = await post(peer, ASK)
    peer.befall(trouble)
    status, body, _ = await post(peer, ASK)
    assert status == 200
    assert body[:4] == b"RIFF"
    assert len(body) < len(whole)


async def test_a_trouble_that_stays_goes_when_it_is_told_to(peer: ElevenLabsPeer) -> None:
    peer.always(Trouble.BUSY)
    assert [(await post(peer, ASK))[0] for _ in range(2)] == [429, 429]
    peer.always(None)
    assert (await post(peer, ASK))[0] == 200


async def test_lists_of_voices(peer: ElevenLabsPeer) -> None:
    ids = list(peer.voices)
    _, whole = await get(peer, "/v1/voices")
    assert [voice["voice_id"] for voice in whole["voices"]] == ids
    _, first = await get(peer, "/v2/voices?page_size=2")
    _, second = await get(peer, f"/v2/voices?page_size=2&next_page_token={first['next_page_token']}")
    assert [voice["voice_id"] for page in (first, second) for voice in page["voices"]] == ids
    assert (first["has_more"], second["has_more"], second["next_page_token"]) == (True, False, None)
    assert (await get(peer, "/v2/voices?page_size=101"))[0] == 422


async def test_one_voice(peer: ElevenLabsPeer) -> None:
    assert (await get(peer, f"/v1/voices/{GEORGE}"))[1]["name"] == "George"
    assert (await get(peer, "/v1/voices/nobody"))[1]["detail"]["status"] == "voice_not_found"


async def test_models_and_account(peer: ElevenLabsPeer) -> None:
    _, models = await get(peer, "/v1/models")
    assert {model["model_id"]: model["maximum_text_length_per_request"] for model in models} == MODELS
    await post(peer, ASK)
    _, plan = await get(peer, "/v1/user/subscription")
    assert plan["character_count"] == len(ASK["text"])
    assert (await get(peer, "/v1/user"))[1]["subscription"] == plan


async def test_what_a_key_may_do(peer: ElevenLabsPeer) -> None:
    peer.may_speak = peer.may_read_voices = False
    assert (await post(peer, ASK))[1]["detail"]["status"] == "missing_permissions"
    for path in ("/v1/voices", "/v2/voices", f"/v1/voices/{GEORGE}"):
        assert (await get(peer, path))[1]["detail"]["status"] == "missing_permissions"
    assert (await get(peer, "/v1/models", key="sk_other"))[0] == 401
