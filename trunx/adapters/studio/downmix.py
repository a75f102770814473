"""Makes one channel of several by ITU-R BS.775, annex 4: 0.7 of the fronts, the centre, half the surrounds.

The channel for low effects is left out, as there. Of a stereo file with its sides in opposite phase nothing
would be left: `has_vanished` tells, and `alone` then takes the louder side.
"""

import numpy as np
from numpy.typing import NDArray

from trunx.adapters.studio.decoding import Block

# Channels by their number: Left, Right, Centre, surround (s), low effects (e).
_AS_WAV = ("C", "LR", "LRC", "LRss", "LRCss", "LRCess", "LRCesss", "LRCessss")
_AS_VORBIS = ("C", "LR", "LCR", "LRss", "LCRss", "LCRsse", "LCRssse", "LCRsssse")  # Vorbis I, section 4.3.9
_WEIGHTS = {"L": 0.5**0.5, "R": 0.5**0.5, "C": 1.0, "s": 0.5, "e": 0.0}
_EVERY = 7  # frames: enough of them to know a power by
_VANISHED = 0.05
"""Power of the sum, where 1 is that of channels that have nothing in common and 2 that of two equal ones."""


class Downmix:
    """Mixes block after block."""

    def __init__(self, channels: int, *, is_vorbis_order: bool) -> None:
        places = (_AS_VORBIS if is_vorbis_order else _AS_WAV)[channels - 1]
        self._weights = np.array([_WEIGHTS[place] for place in places], np.float32)
        self._powers: NDArray[np.float64] = np.zeros(channels)
        self._power = 0.0

    def __call__(self, block: Block) -> NDArray[np.float32]:
        """The block as one channel."""
        if len(self._weights) == 1:
            return block[:, 0]
        mixed: NDArray[np.float32] = block @ self._weights
        self._power += float(mixed[::_EVERY].var()) * len(block)
        self._powers += block[::_EVERY].var(axis=0) * len(block)
        return mixed

    def has_vanished(self) -> bool:
        """Whether the channels have cancelled each other in what was mixed so far."""
        return self._power < _VANISHED * float(self._powers @ self._weights**2)

    def alone(self) -> "Downmix":
        """A mix of nothing but the channel that was the loudest."""
        other = Downmix(len(self._weights), is_vorbis_order=False)
        other._weights = np.eye(len(self._weights), dtype=np.float32)[int(self._powers.argmax())]
        return other
