"""Whatever comes back from ElevenLabs is sound or a fault, and nothing else."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.peers.elevenlabs_troubles import spoken
from trunx.adapters.voices.answers import Again, Fault, Pcm, fault_of, sound_of

SECRET = "sk_secret"
WORDS = "Thank you for calling. Please hold."
WAV = spoken("voice", WORDS, "wav_16000")
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["detail", "code", "status", "message", "loc", "msg"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


def sound(body: bytes, headers: dict[str, str] | None = None) -> Pcm:
    return sound_of(body, headers or {}, WORDS, secret=SECRET)


def faulty(body: bytes) -> str:
    with pytest.raises(Fault) as failed:
        sound(body)
    return failed.value.error.code


def meant(status: int, detail: Any) -> str:
    return fault_of(status, {}, {"detail": detail}, secret=SECRET).error.code


def test_a_wav_is_its_samples() -> None:
    assert sound(WAV) == Pcm(WAV[44:], 16_000, 1)


def test_other_chunks_may_stand_before_and_behind_the_samples() -> None:
    listed = b"LIST" + (5).to_bytes(4, "little") + b"12345\0"
    assert sound(WAV[:12] + listed + WAV[12:] + listed) == Pcm(WAV[44:], 16_000, 1)


@pytest.mark.parametrize("size", [0, 0x7FFF_FFFF, 0x7FFF_FF00, 0xFFFF_FFFF])
def test_a_size_that_was_not_known_is_no_size(size: int) -> None:
    assert sound(WAV[:40] + size.to_bytes(4, "little") + WAV[44:]).samples == WAV[44:]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "voice-empty"),
        (WAV[:44], "voice-truncated"),
        (WAV[:12], "voice-truncated"),
        (WAV[:40], "voice-truncated"),
        (WAV[:-2], "voice-truncated"),
        (WAV[:40] + b"\0\0\0\0" + WAV[44:-1], "voice-truncated"),
        (WAV[:40] + b"\0\0\0\0", "voice-empty"),
        (WAV[:34] + b"\x18\0" + WAV[36:], "voice-provider-error"),
        (WAV[:22] + b"\0\0" + WAV[24:], "voice-provider-error"),
        (WAV[:12] + WAV[36:], "voice-provider-error"),
        (WAV[44:], "voice-provider-error"),
        (b"ID3\x04", "voice-provider-error"),
        (b"null", "voice-provider-error"),
        (b'{"detail": {"code": "system_busy"}}', "voice-busy"),
    ],
)
def test_what_is_no_whole_sound(body: bytes, code: str) -> None:
    assert faulty(body) == code


@given(st.binary(max_size=200) | st.tuples(st.just(WAV[:44]), st.binary(max_size=60)).map(b"".join))
def test_any_bytes_are_sound_or_a_fault(body: bytes) -> None:
    try:
        assert sound(b"RIFF" + body).samples
    except Fault:
        return


@given(st.integers(100, 599), any_json, st.text(max_size=12))
def test_any_answer_is_a_fault(status: int, body: Any, retry_after: str) -> None:
    failed = fault_of(status, {"retry-after": retry_after}, body, secret=SECRET)
    assert failed.error.code.startswith("voice-")
    assert json.loads(json.dumps(str(failed.error)))


@pytest.mark.parametrize(
    ("status", "detail", "code"),
    [
        (401, {"status": "quota_exceeded"}, "voice-quota-exceeded"),
        (401, {"code": "invalid_api_key", "status": "quota_exceeded"}, "voice-key-invalid"),
        (401, "Unauthorized", "voice-key-invalid"),
        (402, {"type": "payment_required"}, "voice-plan-required"),
        (403, {"status": "only_for_creator+"}, "voice-plan-required"),
        (403, None, "voice-refused"),
        (408, None, "voice-timeout"),
        (409, None, "voice-busy"),
        (422, [{"loc": ["body"], "msg": "no"}, 1], "voice-refused"),
        (429, {}, "voice-rate-limited"),
        (500, {"status": "a new one"}, "voice-provider-error"),
    ],
)
def test_the_name_decides_before_the_status(status: int, detail: Any, code: str) -> None:
    assert meant(status, detail) == code


def test_only_concurrency_is_tried_again_soon() -> None:
    agains = {
        name: fault_of(429, {}, {"detail": {"status": name}}, secret=SECRET).again
        for name in ("too_many_concurrent_requests", "concurrent_limit_exceeded", "system_busy", "other")
    }
    assert list(agains.values()) == [Again.SOON, Again.SOON, Again.LATER, Again.LATER]


def test_the_vendors_sentence_is_quoted_in_one_line_without_the_key() -> None:
    told = str(fault_of(400, {}, {"detail": {"message": f"bad\n {SECRET}! " + "x" * 999}}, secret=SECRET))
    assert "bad ***! xxx" in told
    assert SECRET not in told
    assert len(told) < 400


def test_html_is_not_quoted() -> None:
    assert "<" not in str(fault_of(502, {}, "<html>Bad Gateway</html>", secret=SECRET))
