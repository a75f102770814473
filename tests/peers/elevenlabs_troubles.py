"""What can befall a request to the stand-in for ElevenLabs, and the sound that it answers with."""

import io
from enum import Enum, auto

import numpy as np
import soundfile as sf


class Trouble(Enum):
    """What befalls a request to speak instead of, or amid, its answer."""

    UNUSUAL_ACTIVITY = auto()
    PAYMENT_ISSUE = auto()
    BUSY = auto()
    RATE_LIMIT = auto()
    CONCURRENCY = auto()
    CONCURRENCY_NEW_NAME = auto()
    ERROR_500 = auto()
    ERROR_503 = auto()
    HTML_502 = auto()
    NOT_UTF8_500 = auto()
    FORBIDDEN_403 = auto()
    WRONG_PATH_404 = auto()
    VALIDATION_422 = auto()
    VOICE_NOT_FOUND_400 = auto()
    VOICE_NOT_FOUND_401 = auto()
    TEXT_TOO_LONG = auto()
    REDIRECT = auto()
    DROPPED = auto()
    STALL_BEFORE = auto()
    STALL_AMID = auto()
    CUT_OFF = auto()
    CUT_OFF_IN_CHUNKS = auto()
    EMPTY = auto()
    NO_SAMPLES = auto()
    HALF_SAMPLE = auto()
    LYING_SIZE = auto()
    TOO_SHORT = auto()
    JSON_200 = auto()
    QUOTA_200 = auto()
    HTML_200 = auto()
    STREAMED_HEADER = auto()
    """No fault: a WAV whose header does not know its size."""


PROBLEMS: dict[Trouble | None, tuple[int, str]] = {
    # Status, and the name in the answer's `detail`.
    Trouble.UNUSUAL_ACTIVITY: (401, "detected_unusual_activity"),
    Trouble.PAYMENT_ISSUE: (401, "payment_issue"),
    Trouble.BUSY: (429, "system_busy"),
    Trouble.RATE_LIMIT: (429, "rate_limit_exceeded"),
    Trouble.CONCURRENCY: (429, "too_many_concurrent_requests"),
    Trouble.CONCURRENCY_NEW_NAME: (429, "concurrent_limit_exceeded"),
    Trouble.ERROR_500: (500, "internal_server_error"),
    Trouble.ERROR_503: (503, "unavailable"),
    Trouble.FORBIDDEN_403: (403, "forbidden"),
    Trouble.VOICE_NOT_FOUND_400: (400, "voice_not_found"),
    Trouble.VOICE_NOT_FOUND_401: (401, "voice_not_found"),
    Trouble.TEXT_TOO_LONG: (400, "max_character_limit_exceeded"),
}
PLAIN: dict[Trouble | None, tuple[int, str, bytes]] = {
    # Status, content type, body.
    Trouble.HTML_502: (502, "text/html", b"<html><h1>502 Bad Gateway</h1></html>"),
    Trouble.NOT_UTF8_500: (500, "application/json", b'{"detail": "\xff\xfe"}'),
    Trouble.WRONG_PATH_404: (404, "application/json", b'{"detail": "Not Found"}'),
    Trouble.VALIDATION_422: (
        422,
        "application/json",
        b'{"detail": [{"loc": ["body", "model_id"], "msg": "Field required", "type": "missing"}]}',
    ),
    Trouble.REDIRECT: (307, "text/plain", b""),
    Trouble.EMPTY: (200, "audio/wav", b""),
    Trouble.JSON_200: (200, "application/json", b'{"ok": false, "error": "try again"}'),
    Trouble.QUOTA_200: (
        200,
        "application/json",
        b'{"detail": {"status": "quota_exceeded", "message": "This request exceeds your quota."}}',
    ),
    Trouble.HTML_200: (200, "text/html", b"<html>Please log in to the hotel's network</html>"),
}


def spoken(voice: str, text: str, wanted: str) -> bytes:
    """What the voice says, in one of the vendor's formats: for each character 60 ms of a tone."""
    kind, _, rest = wanted.partition("_")
    rate = int(rest.partition("_")[0])
    at = np.arange(int(0.06 * rate)) / rate
    envelope = np.sin(np.pi * at / 0.06)
    pitch = sum(voice.encode()) % 100
    bursts = [
        0.3 * envelope * np.sin(2 * np.pi * (250 + pitch + 37 * ord(character) % 2500) * at)
        if not character.isspace()
        else np.zeros(len(at))
        for character in text
    ]
    signal = np.concatenate(bursts)
    if kind in {"pcm", "wav"}:
        samples = (signal * 32_767).astype("<i2").tobytes()
        return samples if kind == "pcm" else _wav(samples, rate)
    form, subtype = {
        "ulaw": ("RAW", "ULAW"),
        "alaw": ("RAW", "ALAW"),
        "mp3": ("MP3", "MPEG_LAYER_III"),
        "opus": ("OGG", "OPUS"),
    }[kind]
    encoded = io.BytesIO()
    sf.write(encoded, signal, rate, format=form, subtype=subtype)
    return encoded.getvalue()


def _wav(samples: bytes, rate: int, size: int | None = None) -> bytes:
    size = len(samples) if size is None else size
    form = b"".join(
        number.to_bytes(width, "little")
        for number, width in ((1, 2), (1, 2), (rate, 4), (2 * rate, 4), (2, 2), (16, 2))
    )
    total = min(36 + size, 0xFFFF_FFFF).to_bytes(4, "little")
    return b"RIFF" + total + b"WAVEfmt \x10\0\0\0" + form + b"data" + size.to_bytes(4, "little") + samples


def damaged(wav: bytes, trouble: Trouble | None) -> bytes:
    samples, rate = wav[44:], int.from_bytes(wav[24:28], "little")
    match trouble:
        case Trouble.STREAMED_HEADER:
            return _wav(samples, rate, 0xFFFF_FFFF)
        case Trouble.NO_SAMPLES:
            return _wav(b"", rate)
        case Trouble.HALF_SAMPLE:
            return _wav(samples[:-1], rate)
        case Trouble.LYING_SIZE:
            return _wav(samples[: len(samples) // 4 * 2], rate, len(samples))
        case _:
            return wav
