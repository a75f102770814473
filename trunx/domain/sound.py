"""What a sound is called in Asterisk: a path without extension below its sounds folder.

Names of users never become paths: what is not a letter, a digit, `.`, `_` or `-` is written as `%XX`.
"""

from functools import lru_cache
from urllib.parse import quote

FOLDER = "trunx"
# Endings that users write and Asterisk does not: it picks the file of the cheapest format by itself.
EXTENSIONS = (".wav", ".mp3", ".ogg", ".flac", ".ulaw", ".alaw", ".sln16", ".sln", ".gsm", ".g722")


@lru_cache(maxsize=16_384)
def sound_name(account: str, audio: str) -> str:
    """The name under which Asterisk plays `audio` (`welcome.wav`) of `account`: `trunx/<account>/welcome`."""
    lowered = audio.lower()
    stem = next((audio[: -len(ending)] for ending in EXTENSIONS if lowered.endswith(ending)), audio)
    return f"{FOLDER}/{account}/{quote(stem or audio, safe='')}"
