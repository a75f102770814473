"""Files of sound as users upload them."""

import io
import math
import struct
import wave


def wav(seconds: float = 0.5, hertz: float = 440.0, rate: int = 8_000) -> bytes:
    """A tone with a beat in it, so that no two lengths sound the same."""
    samples = (
        int(12_000 * math.sin(2 * math.pi * hertz * at / rate) * (0.6 + 0.4 * math.sin(9 * at / rate)))
        for at in range(int(seconds * rate))
    )
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
    return file.getvalue()
