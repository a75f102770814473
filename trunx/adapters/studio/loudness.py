"""How loud a sound is to a listener: integrated loudness by ITU-R BS.1770-4, of one channel, at any rate.

0 LU is full scale: a 997 Hz sine of full scale reads -3.01 LUFS. What is shorter than the standard's block of
400 ms is measured as one block.
"""

import math

import numpy as np
from numpy.typing import NDArray

from trunx.adapters.studio.filtering import Section, filtered, high_pass

_HOPS = 4  # a block of 400 ms, three quarters of which it shares with the next
_SILENCE = -70.0  # LUFS: quieter blocks do not count
_PAUSE = -10.0  # LU under the mean: neither do these
_OFFSET = -0.691  # dB: what the filter adds to 997 Hz


class Loudness:
    """The blocks of `signal`, measured once; loudness for any gain follows from them."""

    def __init__(self, signal: NDArray[np.float32], rate: int) -> None:
        hop = rate // 10
        powers = []
        rest: NDArray[np.float64] = np.zeros(0)
        for _, piece in filtered(signal, _weighting(rate)):
            squares = np.concatenate([rest, np.square(piece, dtype=np.float64)])
            whole = len(squares) // hop
            powers.append(squares[: whole * hop].reshape(whole, hop).mean(axis=1))
            rest = squares[whole * hop :]
        hops = np.concatenate(powers) if powers else np.zeros(0)
        if len(hops) >= _HOPS:
            self._blocks = np.convolve(hops, np.full(_HOPS, 1 / _HOPS), mode="valid")
        else:
            total = float(hops.sum()) * hop + float(rest.sum())
            self._blocks = np.array([total / max(1, len(signal))])

    def integrated(self, gain_db: float = 0.0) -> float:
        """LUFS after `gain_db`; -inf when nothing of it is louder than -70 LUFS."""
        blocks = self._blocks * 10 ** (gain_db / 10)
        blocks = blocks[blocks > _power(_SILENCE)]
        if not len(blocks):
            return -math.inf
        blocks = blocks[blocks > blocks.mean() * 10 ** (_PAUSE / 10)]
        return _OFFSET + 10 * math.log10(blocks.mean())


def _power(lufs: float) -> float:
    return float(10 ** ((lufs - _OFFSET) / 10))


def _weighting(rate: int) -> list[Section]:
    """The standard's two filters as second-order sections.

    It gives their coefficients for 48 kHz only. These are the analogue filters behind them (a shelf of +4 dB
    above 1.7 kHz, for the head; a high pass at 38 Hz), brought to `rate` by the bilinear transform; at 48 kHz
    the standard's own figures come out.
    """
    tangent = math.tan(math.pi * 1_681.974450955533 / rate)
    high = 10 ** (3.999843853973347 / 20)
    middle = high**0.4996667741545416
    damping = tangent / 0.7071752369554196
    norm = 1 + damping + tangent**2
    shelf = [
        (high + middle * damping + tangent**2) / norm,
        2 * (tangent**2 - high) / norm,
        (high - middle * damping + tangent**2) / norm,
        2 * (tangent**2 - 1) / norm,
        (1 - damping + tangent**2) / norm,
    ]
    return [shelf, high_pass(38.13547087602444, 0.5003270373238773, rate)]
