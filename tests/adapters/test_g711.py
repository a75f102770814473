"""G.711 against libsndfile's own coders: every sample there is."""

from io import BytesIO

import numpy as np
import soundfile as sf

from trunx.adapters.studio import g711

EVERY = np.arange(-32_768, 32_768).astype(np.int16)


def _theirs(subtype: str) -> bytes:
    file = BytesIO()
    sf.write(file, EVERY, 8_000, format="RAW", subtype=subtype)
    return file.getvalue()


def test_ulaw_is_the_same_for_every_sample() -> None:
    assert g711.ulaw(EVERY) == _theirs("ULAW")


def test_alaw_is_the_same_for_every_sample() -> None:
    assert g711.alaw(EVERY) == _theirs("ALAW")


def test_silence_is_what_asterisk_calls_silence() -> None:
    silence = np.zeros(3, np.int16)
    assert g711.ulaw(silence) == b"\xff\xff\xff"
    assert g711.alaw(silence) == b"\xd5\xd5\xd5"
