"""Files as Asterisk records them."""

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def samples(signal: NDArray[np.float32]) -> NDArray[np.int16]:
    return (signal * 32_767).astype(np.int16)


def as_asterisk(path: Path, sound: NDArray[np.int16], rate: int = 8_000, *, closed: bool = True) -> Path:
    """As format_wav.c writes it: with lengths of 0 until the file is closed."""
    data = sound.astype("<i2").tobytes()
    length = len(data) if closed else 0
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", length + 36 if closed else 0, b"WAVE", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16),
        *(b"data", length),
    )
    path.write_bytes(head + data)
    return path
