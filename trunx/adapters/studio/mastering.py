"""From a recording to what the caller hears: one channel, trimmed, at one level, at 8 and at 16 kHz.

No equaliser and no compressor: what is under the telephone's 3.4 kHz sounds as in the source. The same file
gives the same bytes, dither included, since a sound's name is the hash of its bytes.

The level is -20 LUFS, measured on the 8 kHz signal. No standard gives one in LUFS for prompts: this is our
choice between RFC 7874 section 4 (after ITU-T G.169 and G.115: active speech at -19 dBm0, an RMS of 2600 or
-22 dBFS, within 6 dB) and AES TD1008 (-18 LUFS for speech in streams). Our voice then has -18.6 dBFS.
"""

import wave
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import soxr
from numpy.typing import NDArray

from trunx.adapters.studio import g711
from trunx.adapters.studio.decoding import Recording
from trunx.adapters.studio.downmix import Downmix
from trunx.adapters.studio.filtering import filtered, high_pass
from trunx.adapters.studio.jobs import Master, Mastered
from trunx.adapters.studio.limiter import limited, true_peaks
from trunx.adapters.studio.lint import Clipping, lint
from trunx.adapters.studio.loudness import Loudness
from trunx.adapters.studio.silence import FRAME_SECONDS, Levels
from trunx.domain.audio import UnusableSoundError

Signal = NDArray[np.float32]

NARROW, WIDE = 8_000, 16_000
TARGET_LUFS = -20.0
CEILING_DBTP = -3.3
"""The promise is -3.0: a step of G.711 up there is half as wide as the difference."""
PAD_SECONDS = 0.1
"""Kept or put before and after the sound: short enough to feel prompt, long enough for a jitter buffer."""
_FADE_SECONDS = 0.005
_FRAME = int(FRAME_SECONDS * WIDE)
_LOWEST_HZ = 20.0
"""Offsets and rumble are under it; it leaves 60 Hz as it is, to a tenth of a decibel."""
_ROUNDS = 12
_NEAR_ENOUGH = 0.1  # LU
_MOST_PUSH = 30.0
"""Decibels into the limiter: a thump over a voice is held down, but clicks cannot become as loud as one."""
_SEED = 0x7472756E78


@dataclass(frozen=True, slots=True)
class _Take:
    """What was read, as one channel at both rates."""

    narrow: Signal
    wide: Signal
    rate: int
    clipped: float


def master(job: Master) -> Mastered:
    """Writes `sound.ulaw`, `.alaw`, `.sln16` and `.wav` (16 kHz PCM) into the job's new folder.

    Raises:
        UnusableSoundError: the source cannot become a sound.
        OSError: the folder cannot be written.
    """
    take = _read(job)
    levels = Levels.of(take.wide, WIDE)
    source = Loudness(take.narrow, NARROW)
    if source.integrated() == -np.inf:
        raise _silent()
    (sounding,) = np.nonzero(levels.are_sound())
    begin, end = int(sounding[0]), int(sounding[-1]) + 1
    narrow, narrow_lufs = _level(_cut(take.narrow, NARROW, begin, end), NARROW, source)
    wide, _ = _level(_cut(take.wide, WIDE, begin, end), WIDE, source)

    wide_samples, narrow_samples = _sixteen_bits(wide), _sixteen_bits(narrow)
    sln16 = wide_samples.astype("<i2").tobytes()
    job.scratch.mkdir(mode=0o755, parents=True)
    (job.scratch / "sound.ulaw").write_bytes(g711.ulaw(narrow_samples))
    (job.scratch / "sound.alaw").write_bytes(g711.alaw(narrow_samples))
    (job.scratch / "sound.sln16").write_bytes(sln16)
    with wave.open(str(job.scratch / "sound.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(WIDE)
        file.writeframes(sln16)
    return Mastered(
        hash=sha256(sln16).hexdigest()[:32],
        ms=round(len(narrow) * 1_000 / NARROW),
        warnings=lint(
            take.wide[begin * _FRAME : end * _FRAME],
            seconds=len(narrow) / NARROW,
            source_rate=take.rate,
            source_lufs=source.integrated(),
            clipped=take.clipped,
            short_of_target=TARGET_LUFS - narrow_lufs,
        ),
    )


def _read(job: Master, given: Downmix | None = None) -> _Take:
    with Recording.open(job.source, job.most_bytes, job.most_seconds) as recording:
        mix = given or Downmix(recording.channels, is_vorbis_order=recording.is_vorbis_order)
        clipping = Clipping()
        narrow, wide = _Resampler(recording.rate, NARROW), _Resampler(recording.rate, WIDE)
        offset = None
        for block in recording.blocks():
            clipping.feed(block)
            mono = mix(block)
            if offset is None:  # taken off here already: resampled, its beginning and its end would ring
                offset = mono.mean(dtype=np.float64).astype(np.float32)
            mono = mono - offset
            narrow.feed(mono)
            wide.feed(mono)
        if mix.has_vanished():
            return _read(job, mix.alone())
        return _Take(narrow.all(), wide.all(), recording.rate, clipping.share())


class _Resampler:
    """A stream from one rate to another; flat to 0.91 of the lower one's half, nothing above it."""

    def __init__(self, source: int, target: int) -> None:
        self._stream = None
        if source != target:
            self._stream = soxr.ResampleStream(source, target, 1, dtype="float32", quality="VHQ")
        self._rate = target
        self._parts: list[Signal] = []

    def feed(self, block: Signal) -> None:
        self._parts.append(self._stream.resample_chunk(block) if self._stream else block)

    def all(self) -> Signal:
        """What came out, without offset."""
        if self._stream:
            self._parts.append(self._stream.resample_chunk(np.zeros(0, np.float32), last=True))
        signal: Signal = np.concatenate(self._parts)
        signal -= np.float32(signal.mean(dtype=np.float64))
        result = np.empty_like(signal)
        for start, piece in filtered(signal, [high_pass(_LOWEST_HZ, 0.5**0.5, self._rate)]):
            result[start : start + len(piece)] = piece
        return result


def _cut(signal: Signal, rate: int, begin: int, end: int) -> Signal:
    """The frames from `begin` to `end` with what is around them, or else silence, and soft edges."""
    pad, frame, fade = int(PAD_SECONDS * rate), int(FRAME_SECONDS * rate), int(_FADE_SECONDS * rate)
    first, last = begin * frame - pad, end * frame + pad
    inside = signal[max(0, first) : last].copy()
    ramp = np.linspace(0, 1, min(fade, len(inside)), dtype=np.float32)
    inside[: len(ramp)] *= ramp
    inside[len(inside) - len(ramp) :] *= ramp[::-1]
    before = max(0, -first)
    return np.pad(inside, (before, last - first - before - len(inside)))


def _silent() -> UnusableSoundError:
    return UnusableSoundError(
        "silent", "The file holds nothing that can be heard: listen to it, and record it again."
    )


def _level(signal: Signal, rate: int, source: Loudness) -> tuple[Signal, float]:
    """The signal at the target, and the loudness that was reached under the ceiling.

    `source` is near that of the signal, which is measured when it has its gain.
    """
    peaks = true_peaks(signal)
    ceiling = 10 ** (CEILING_DBTP / 20)
    gain = TARGET_LUFS - source.integrated()
    gain += TARGET_LUFS - source.integrated(gain)  # raised, more of it passes the gate
    most = gain + _MOST_PUSH
    for _ in range(_ROUNDS):
        factor = np.float32(10 ** (gain / 20))
        louder = limited(signal, peaks, rate, ceiling / float(factor))
        louder *= factor
        reached = Loudness(louder, rate).integrated()
        if reached == -np.inf:
            raise _silent()
        if abs(TARGET_LUFS - reached) < _NEAR_ENOUGH or gain == most:
            break
        gain = min(gain + TARGET_LUFS - reached, most)
    return louder, reached


def _sixteen_bits(signal: Signal) -> NDArray[np.int16]:
    """Rounded after a noise of two steps, triangular: errors become a hiss that does not follow the signal.

    Digital silence stays so: A-law has no zero, and would make a hum of one step of noise.
    """
    random = np.random.default_rng(_SEED)
    noise = random.random(len(signal), np.float32)
    noise -= random.random(len(signal), np.float32)
    noise[signal == 0] = 0
    noise += signal * np.float32(32_767)
    np.rint(noise, out=noise)
    return np.clip(noise, -32_768, 32_767, out=noise).astype(np.int16)
