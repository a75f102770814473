"""G.711 (ITU-T, 1988): sixteen-bit samples as the eight bits that go over the line, µ-law and A-law.

One table each, made once; the same bytes as libsndfile writes, which the tests hold.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]


def ulaw(samples: Samples) -> bytes:
    """The bytes of µ-law: North America and Japan."""
    return bytes(_ulaw_codes()[samples.view(np.uint16)].data)


def alaw(samples: Samples) -> bytes:
    """The bytes of A-law: everywhere else."""
    return bytes(_alaw_codes()[samples.view(np.uint16)].data)


def _all_samples() -> NDArray[np.int64]:
    return np.arange(65_536, dtype=np.uint16).view(np.int16).astype(np.int64)


@cache
def _ulaw_codes() -> NDArray[np.uint8]:
    """Sign, eight segments of doubling length, sixteen steps in each; all bits inverted."""
    samples = _all_samples()
    magnitude = np.minimum(np.abs(samples) >> 2, 8_158) + 33  # G.711 counts 14 bits
    segment = np.floor(np.log2(magnitude)).astype(np.int64) - 5
    code = np.where(samples < 0, 0x80, 0) | segment << 4 | (magnitude >> (segment + 1)) & 0x0F
    codes: NDArray[np.uint8] = (~code & 0xFF).astype(np.uint8)
    return codes


@cache
def _alaw_codes() -> NDArray[np.uint8]:
    """As µ-law, but the first two segments are equally fine; every second bit inverted."""
    samples = _all_samples()
    magnitude = np.minimum(np.abs(samples) >> 4, 2_047)  # G.711 counts 12 bits and the sign
    segment = np.maximum(np.floor(np.log2(np.maximum(magnitude, 1))).astype(np.int64) - 3, 0)
    step = (magnitude >> np.maximum(segment - 1, 0)) & 0x0F
    code = np.where(samples < 0, 0, 0x80) | segment << 4 | step
    codes: NDArray[np.uint8] = (code ^ 0x55).astype(np.uint8)
    return codes
