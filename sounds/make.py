"""Makes every prompt's µ-law file from the words in manifest.json: `python -m sounds.make`.

A tool of development: nothing imports it at run time, and only it needs hibari-tts, numpy and soxr.
The voice works offline and its noise is seeded, so the same words give the same bytes on one machine.
"""

import json
from importlib import metadata
from pathlib import Path
from typing import TypeAlias

import numpy as np
import soxr
from hibari import Hibari
from numpy.typing import NDArray

Signal: TypeAlias = NDArray[np.float64]
"""Mono samples, full scale 1.0."""

FOLDER = Path(__file__).parent
RATE = 8_000

RMS_DBFS = -20.0
"""Loudness of the speech itself, pauses left out."""
PEAK_DBFS = -3.5
"""Ceiling of every sample."""
KNEE_DBFS = -7.0
"""Above it peaks are bent under the ceiling; only the bursts of a few stops reach it."""
SILENCE_SECONDS = 0.12
"""At both ends: short enough to feel prompt, long enough for a jitter buffer to settle."""
FADE_SECONDS = 0.005
FRAME_SECONDS = 0.01
SPEECH_RANGE_DB = 45.0
"""Frames this far under the loudest still count as speech: the breath of a final consonant does."""


def main() -> None:
    """Rewrites all files, and voice and seconds in the manifest."""
    manifest_path = FOLDER / "manifest.json"
    manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
    voice = Hibari()
    voice_name = f"hibari-tts {metadata.version('hibari-tts')}, voice {voice.voice}"
    for shelf, entries in manifest.items():
        for entry in entries:
            signal = finish(voice(entry["words"], seed=0).astype(np.float64), voice.sample_rate)
            (FOLDER / shelf / f"{entry['name']}.ulaw").write_bytes(encode_ulaw(signal))
            entry["voice"] = voice_name
            entry["seconds"] = round(len(signal) / RATE, 3)
            print(f"{shelf}/{entry['name']}: {entry['seconds']:.2f} s")
    manifest_path.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def finish(signal: Signal, rate: int) -> Signal:
    """Brings a voice's raw output to the telephone: 8 kHz, one loudness, short silence, soft ends."""
    # VHQ: the pass band ends under 4 kHz with a stop band below µ-law's own noise, so nothing aliases.
    narrow = np.asarray(soxr.resample(signal, rate, RATE, quality="VHQ"), dtype=np.float64)
    frame = int(FRAME_SECONDS * RATE)
    frames = narrow[: len(narrow) // frame * frame].reshape(-1, frame)
    power_db = 10 * np.log10(np.mean(frames**2, axis=1) + 1e-12)
    (speech,) = np.nonzero(power_db > power_db.max() - SPEECH_RANGE_DB)

    loud = limit(narrow * amplitude(RMS_DBFS) / np.sqrt(np.mean(frames[speech] ** 2)))
    silence = int(SILENCE_SECONDS * RATE)
    padded = np.pad(loud, silence)
    trimmed = padded[speech[0] * frame : (speech[-1] + 1) * frame + 2 * silence].copy()
    ramp = np.linspace(0.0, 1.0, int(FADE_SECONDS * RATE))
    trimmed[: len(ramp)] *= ramp
    trimmed[-len(ramp) :] *= ramp[::-1]
    return trimmed


def limit(signal: Signal) -> Signal:
    """Bends what is above the knee smoothly under the ceiling, and leaves the rest as it is."""
    knee, room = amplitude(KNEE_DBFS), amplitude(PEAK_DBFS) - amplitude(KNEE_DBFS)
    over = np.maximum(np.abs(signal) - knee, 0.0)
    return np.sign(signal) * (np.minimum(np.abs(signal), knee) + room * np.tanh(over / room))


def amplitude(dbfs: float) -> float:
    """Turns decibels under full scale into a factor."""
    return float(10 ** (dbfs / 20))


def encode_ulaw(signal: Signal) -> bytes:
    """Encodes by G.711 (ITU-T, 1988), µ-law: sign, eight segments, sixteen steps each, all bits inverted."""
    clip, bias = 32_635, 132
    pcm = np.round(signal * 32_767).astype(np.int64)
    magnitude = np.minimum(np.abs(pcm), clip) + bias
    segment = np.floor(np.log2(magnitude)).astype(np.int64) - 7
    step = (magnitude >> (segment + 3)) & 0x0F
    sign = np.where(pcm < 0, 0x80, 0)
    code: NDArray[np.uint8] = (~(sign | segment << 4 | step) & 0xFF).astype(np.uint8)
    return code.tobytes()


if __name__ == "__main__":
    main()
