"""Files that cannot become a sound, each with the code that says why."""

import struct
from collections.abc import Callable
from io import BytesIO

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from tests.adapters.recordings import speech

RATE = 16_000
MOST_BYTES = 600_000
MOST_SECONDS = 20.0


def _file(samples: NDArray[np.floating], rate: int = RATE, **how: str) -> bytes:
    file = BytesIO()
    sf.write(file, samples, rate, **{"format": "WAV", **how})
    return file.getvalue()


def _words() -> NDArray[np.float32]:
    return speech(3, RATE)


def _half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _wav(*, channels: int = 1, rate: int = RATE, codec: int = 1, data: bytes = b"\0\1" * 8_000) -> bytes:
    body = struct.pack("<HHIIHH", codec, channels, rate, rate * channels * 2 % 2**32, channels * 2, 16)
    chunks = b"WAVEfmt " + struct.pack("<I", len(body)) + body + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def _lying() -> bytes:
    whole = bytearray(_file(_words()))
    at = whole.find(b"data") + 4
    whole[at : at + 4] = struct.pack("<I", 10 * 3_600 * RATE * 2)
    return bytes(whole)


def _garbled(data: bytes) -> bytes:
    """The first tenth, and then noise."""
    keep = len(data) // 10
    return data[:keep] + np.random.default_rng(2).bytes(len(data) - keep)


def _odd_floats(value: float) -> bytes:
    samples = _words().copy()
    samples[20_000] = value
    return _file(samples, subtype="FLOAT")


MALFORMED: dict[str, tuple[str, Callable[[], bytes]]] = {
    "nothing at all": ("empty", lambda: b""),
    "WAV without sound": ("empty", lambda: _file(np.zeros(0))),
    "FLAC without sound": ("empty", lambda: _file(np.zeros(0), format="FLAC")),
    "text named .wav": ("unsupported-format", lambda: b"Welcome to Acme. Press one for sales.\n" * 40),
    "a page of HTML": ("unsupported-format", lambda: b"<!doctype html><title>504</title>" * 40),
    "JSON of a vendor's error": ("unsupported-format", lambda: b'{"detail":{"status":"quota_exceeded"}}'),
    "a picture": ("unsupported-format", lambda: b"\x89PNG\r\n\x1a\n" + bytes(2_000)),
    "a film": ("unsupported-format", lambda: b"RIFF" + struct.pack("<I", 4_000) + b"AVI LIST" + bytes(4_000)),
    "M4A": ("unsupported-format", lambda: b"\0\0\0\x20ftypM4A \0\0\0\0" + bytes(2_000)),
    "AAC": ("unsupported-format", lambda: b"\xff\xf1\x50\x80" + bytes(2_000)),
    "AIFF": ("unsupported-format", lambda: _file(_words(), format="AIFF")),
    "one byte": ("unsupported-format", lambda: b"R"),
    "WAV with a codec nobody knows": ("unsupported-format", lambda: _wav(codec=0x4321)),
    "WAV of 64 channels": ("unsupported-format", lambda: _wav(channels=64)),
    "WAV of 2 samples a second": ("unsupported-format", lambda: _wav(rate=2)),
    "WAV of two thousand million samples a second": ("unsupported-format", lambda: _wav(rate=2_000_000_000)),
    "WAV of 0 channels": ("damaged", lambda: _wav(channels=0)),
    "WAV cut in its header": ("damaged", lambda: _file(_words())[:30]),
    "WAV cut in half": ("damaged", lambda: _half(_file(_words()))),
    "WAV that promises ten hours": ("damaged", _lying),
    "FLAC cut in half": ("damaged", lambda: _half(_file(_words(), format="FLAC"))),
    "FLAC with noise in it": ("damaged", lambda: _garbled(_file(_words(), format="FLAC"))),
    "OGG cut in half": ("damaged", lambda: _half(_file(_words(), format="OGG"))),
    "OGG cut in its header": ("damaged", lambda: _file(_words(), format="OGG")[:100]),
    "Opus cut in half": ("damaged", lambda: _half(_file(_words(), format="OGG", subtype="OPUS"))),
    "MP3 cut in half": ("damaged", lambda: _half(_file(_words(), format="MP3"))),
    "noise that begins like MP3": (
        "damaged",
        lambda: b"\xff\xfb\x90\x00" + np.random.default_rng(3).bytes(8_000),
    ),
    "NaN": ("damaged", lambda: _odd_floats(np.nan)),
    "infinity": ("damaged", lambda: _odd_floats(-np.inf)),
    "a number that is no sound": ("damaged", lambda: _odd_floats(1e30)),
    "an hour in a few bytes": ("too-long", lambda: _file(np.zeros(3_600 * 4_000), 4_000, format="FLAC")),
    "two seconds too many": ("too-long", lambda: _file(np.zeros(22 * RATE), format="OGG")),
    "too many bytes": ("too-large", lambda: _file(np.zeros(400_000))),
    "digital silence": ("silent", lambda: _file(np.zeros(RATE))),
    "an offset and nothing else": ("silent", lambda: _file(np.full(RATE, 0.3))),
}
