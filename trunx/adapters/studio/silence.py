"""Finds where the sound in a recording begins and ends, and how it stands above its noise.

All thresholds are relative to the recording's own level, so that a quiet one is cut at the same places as a
loud one. The breath of a final consonant lies 30 dB under the vowels, and is kept.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FRAME_SECONDS = 0.01
_FAINTEST = 1e-10
"""Power of -100 dBFS, which stands for digital silence."""
_RANGE_DB = 40.0
"""How far under the level a frame still is sound, where the recording is clean."""
_NARROWEST_DB = 30.0
_ABOVE_FLOOR_DB = 6.0
"""Where there is noise, what rises so far above it is sound, as long as that asks for no more than 30 dB."""
_FLOOR_PERCENTILE = 10


@dataclass(frozen=True, slots=True)
class Levels:
    """Frames of 10 ms: their levels in dBFS, that of the `sound` as a whole, and of the `floor` under it."""

    frames: NDArray[np.float64]
    sound: float
    floor: float

    @classmethod
    def of(cls, signal: NDArray[np.float32], rate: int) -> "Levels":
        frame = int(rate * FRAME_SECONDS)
        whole = max(1, len(signal) // frame)
        used = np.pad(signal[: whole * frame], (0, max(0, whole * frame - len(signal))))
        return cls.of_powers(_powers(used.reshape(whole, frame)))

    @classmethod
    def of_powers(cls, powers: NDArray[np.float64]) -> "Levels":
        """The same of frames whose mean squares are known."""
        powers = np.maximum(powers, _FAINTEST)
        loud = powers[powers > powers.mean() / 10]
        levels = 10 * np.log10(powers)
        return cls(levels, float(10 * np.log10(loud.mean())), float(np.percentile(levels, _FLOOR_PERCENTILE)))

    def are_sound(self) -> NDArray[np.bool_]:
        """Which of the frames are more than silence or noise."""
        clean, narrow = self.sound - _RANGE_DB, self.sound - _NARROWEST_DB
        return self.frames > min(max(self.floor + _ABOVE_FLOOR_DB, clean), narrow)


def _powers(frames: NDArray[np.float32]) -> NDArray[np.float64]:
    means: NDArray[np.float64] = np.einsum("ij,ij->i", frames, frames).astype(np.float64) / frames.shape[1]
    return means
