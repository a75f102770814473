"""What a listener may dislike in a sound, told with figures; nothing here changes it.

The limits are ours, set so that an ordinary office recording and the voices of speech synthesis pass.
"""

import numpy as np
from numpy.typing import NDArray

from trunx.adapters.studio.decoding import Block
from trunx.adapters.studio.jobs import Warned
from trunx.adapters.studio.silence import Levels

_RATE = 16_000

_FULL_SCALE = 0.98  # µ-law's largest value is 0.980 of the others'
_FLAT = 3  # equal samples in a row, there: a wave was cut off
_CLIPPED = 1e-4
_TOO_QUIET_LUFS = -40.0
_NEARLY_SILENT_LUFS = -55.0
_NEARLY_SILENT_SHARE = 0.1
_TOO_LONG_SECONDS = 60.0
_NOISY_DB = 20.0
_NOISE_SPREAD_DB = 3.0  # noise is even where nobody speaks; quiet music is not
_NOISE_FLATNESS = 0.1  # geometric by arithmetic mean of the spectrum: 1 white noise, 0 a tone
_NARROW_DB = -50.0
_SHORT_LU = 1.0
_SPECTRUM = 512


class Clipping:
    """Counts samples that were cut off at full scale, in a stream of blocks."""

    def __init__(self) -> None:
        self._clipped = 0
        self._all = 0

    def feed(self, block: Block) -> None:
        """A run of cut samples that two blocks share is seen from one side only."""
        self._all += block.size
        if block.min() > -_FULL_SCALE and block.max() < _FULL_SCALE:
            return
        cut = (np.abs(block[1:]) >= _FULL_SCALE) & (block[1:] == block[:-1])
        run = cut[1:] & cut[:-1]
        self._clipped += int(np.count_nonzero(run)) + int(np.count_nonzero(np.abs(block) > 1))

    def share(self) -> float:
        """Of all samples."""
        return self._clipped / max(1, self._all)


def lint(
    wide: NDArray[np.float32],
    *,
    seconds: float,
    source_rate: int,
    source_lufs: float,
    clipped: float,
    short_of_target: float,
) -> tuple[Warned, ...]:
    """What there is to say.

    Args:
        wide: the trimmed source at 16 kHz, not yet levelled.
        seconds: how long the result plays.
        source_rate: samples a second of the source.
        source_lufs: loudness of the source.
        clipped: share of the source's samples that were cut off.
        short_of_target: loudness units that the result misses.
    """
    levels = Levels.of(wide, _RATE)
    found = {}
    if clipped > _CLIPPED:
        found["clipped"] = (
            f"{clipped:.2%} of the samples are cut off at full scale: record it at a lower level."
        )
    sounding = float(np.mean(levels.are_sound()))
    if source_lufs < _NEARLY_SILENT_LUFS:
        found["nearly-silent"] = f"It was nearly silent, {source_lufs:.0f} LUFS: most of it may be noise."
    elif sounding < _NEARLY_SILENT_SHARE:
        found["nearly-silent"] = f"Only {sounding:.0%} of its {seconds:.1f} s is more than silence."
    elif source_lufs < _TOO_QUIET_LUFS:
        found["too-quiet"] = f"It was quiet, {source_lufs:.0f} LUFS, and was raised together with its noise."
    if seconds > _TOO_LONG_SECONDS:
        found["too-long"] = f"It plays for {seconds:.0f} s, and few callers listen to more than a minute."
    above = levels.sound - levels.floor
    if above < _NOISY_DB and _is_noise(wide, levels):
        found["noisy"] = f"The noise between the words is only {above:.0f} dB under them."
    if source_rate < _RATE:
        found["narrow-band"] = f"It has {source_rate} samples a second: wideband calls gain nothing."
    elif (treble := _treble_db(wide)) < _NARROW_DB:
        found["narrow-band"] = (
            f"There is next to nothing above 4 kHz ({treble:.0f} dB): it sounds like a telephone already."
        )
    if short_of_target > _SHORT_LU:
        found["uneven"] = (
            f"It plays {short_of_target:.0f} LU quieter than others: its peaks stand far above the rest."
        )
    return tuple(Warned(code=code, message=message) for code, message in found.items())


def _is_noise(wide: NDArray[np.float32], levels: Levels) -> bool:
    """Whether the quietest tenth is even, and has a spectrum without lines."""
    low, high = np.percentile(levels.frames, (5, 15))
    if high - low > _NOISE_SPREAD_DB:
        return False
    frame = len(wide) // len(levels.frames)
    quiet = np.flatnonzero(levels.frames <= levels.floor)
    frames = wide[: frame * len(levels.frames)].reshape(-1, frame)[quiet]
    powers = np.square(np.abs(np.fft.rfft(frames * np.hanning(frame)))).mean(axis=0)
    voice = powers[int(300 * frame / _RATE) : int(3_400 * frame / _RATE)] + 1e-20
    return float(np.exp(np.log(voice).mean()) / voice.mean()) > _NOISE_FLATNESS


def _treble_db(wide: NDArray[np.float32]) -> float:
    """Power from 4.2 to 7.2 kHz against that of the telephone's band."""
    whole = len(wide) // _SPECTRUM
    if not whole:
        return 0.0
    power = np.zeros(_SPECTRUM // 2 + 1)
    window = np.hanning(_SPECTRUM)
    for start in range(0, whole, 2_048):
        frames = wide[start * _SPECTRUM : min(start + 2_048, whole) * _SPECTRUM].reshape(-1, _SPECTRUM)
        power += np.square(np.abs(np.fft.rfft(frames * window))).sum(axis=0)
    hertz = np.arange(len(power)) * _RATE / _SPECTRUM
    treble = power[(hertz >= 4_200) & (hertz < 7_200)].sum()
    voice = power[(hertz >= 300) & (hertz < 3_400)].sum()
    return float(10 * np.log10((treble + 1e-20) / (voice + 1e-20)))
