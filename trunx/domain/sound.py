"""What a sound is called in Asterisk: a path without extension below its sounds folder.

Names of users never become paths: what is not an ASCII letter, a digit, `.`, `_`, `~` or `-` is written as
`%XX`, and so is a dot at the beginning.
"""

import hashlib
from functools import lru_cache
from urllib.parse import quote

FOLDER = "trunx"
# Endings that users write and Asterisk does not: it picks the file of the cheapest format by itself.
EXTENSIONS = (".wav", ".mp3", ".ogg", ".flac", ".ulaw", ".alaw", ".sln16", ".sln", ".gsm", ".g722")
_LONGEST = 200
"""Bytes of a file's name without its ending; file systems end at 255, and 30 Chinese characters are 270."""


def plain_name(audio: str) -> str:
    """`audio` without the ending of a sound file, if it has one and more than that."""
    lowered = audio.lower()
    return next((audio[: -len(ending)] for ending in EXTENSIONS if lowered.endswith(ending)), audio) or audio


@lru_cache(maxsize=16_384)
def sound_name(account: str, audio: str) -> str:
    """The name under which Asterisk plays `audio` (`welcome.wav`) of `account`: `trunx/<account>/welcome`."""
    name = quote(plain_name(audio), safe="")
    if name.startswith("."):
        name = "%2E" + name[1:]
    if len(name) > _LONGEST:
        name = name[: _LONGEST - 33] + "-" + hashlib.sha256(name.encode()).hexdigest()[:32]
    return f"{FOLDER}/{account}/{name}"
