"""Reads an uploaded file of sound, block by block: WAV, MP3, OGG (Vorbis, Opus) and FLAC, by libsndfile.

Nothing that a header says is believed before it was read. What libsndfile could open beyond these four (it
knows 25 formats, and guesses some by the file's name) is refused by its first bytes.
"""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import TypeAlias

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from trunx.domain.audio import UnusableSoundError

Block: TypeAlias = NDArray[np.float32]
"""Frames by channels, full scale 1.0."""

READABLE = "WAV, MP3, OGG (Vorbis or Opus) and FLAC"
_FRAMES = 65_536
_MOST_CHANNELS = 8  # 7.1
_TOLERANCE = 1.0  # seconds past the limit: MP3 fills its last frame, and coders add some silence
_RATES = range(4_000, 384_001)
_LOUDEST = 1e5
"""Float files are not bound to full scale, but a sample beyond this is no sound."""
_MAY_MISS = 0.01
"""Share of a file that may be missing at its end: writers round."""
_OPEN_ENDED = 0x7FFF_0000
"""WAV: who writes to a pipe cannot know the length, and promises (nearly) the most there is (ffmpeg, sox)."""
_OGG_PAGE = 65_307  # bytes, the longest (RFC 3533)
_NO_FORMAT = {1, 4, 64}
"""SF_ERR_UNRECOGNISED_FORMAT, SF_ERR_UNSUPPORTED_ENCODING (sndfile.h); a WAV whose codec it does not know."""


class Recording:
    """An open file. `is_vorbis_order`: its channels stand as OGG orders them, not as WAV does."""

    def __init__(self, file: sf.SoundFile, most_seconds: float) -> None:
        self._file = file
        self._most_seconds = most_seconds
        self.rate: int = file.samplerate
        self.channels: int = file.channels
        self.is_vorbis_order: bool = file.format == "OGG"

    @classmethod
    @contextmanager
    def open(cls, path: Path, most_bytes: int, most_seconds: float) -> Iterator["Recording"]:
        """Raises `UnusableSoundError`, here and from `blocks`."""
        with path.open("rb", buffering=0) as raw:
            size = os.fstat(raw.fileno()).st_size
            if size == 0:
                raise UnusableSoundError("empty", "The file is empty: it has 0 bytes.")
            if size > most_bytes:
                raise UnusableSoundError(
                    "too-large",
                    f"The file has {size / 1e6:.1f} MB, and {most_bytes / 1e6:.1f} MB are the most: save it "
                    "as MP3 or OGG, or in parts.",
                )
            missing = _missing(raw, size)
            raw.seek(0)
            try:
                # By its descriptor: a name would let libsndfile guess headerless formats by their ending.
                file = sf.SoundFile(raw.fileno(), closefd=False)
            except sf.LibsndfileError as error:
                if error.code in _NO_FORMAT:
                    raise _unsupported(error.error_string) from None
                raise _damaged(error.error_string) from None
            with file:
                _check(file)
                if missing > _MAY_MISS:
                    raise _damaged("its end is missing")
                yield cls(file, most_seconds)

    def blocks(self) -> Iterator[Block]:
        """The whole sound, once."""
        frames = 0
        while True:
            try:
                block = self._file.read(_FRAMES, dtype="float32", always_2d=True)
            except sf.SoundFileError as error:
                raise _damaged(str(error)) from None
            if not len(block):
                break
            frames += len(block)
            if frames > (self._most_seconds + _TOLERANCE) * self.rate:
                raise UnusableSoundError(
                    "too-long",
                    f"It plays longer than {self._most_seconds:g} s, which is the most: shorten it.",
                )
            if not -_LOUDEST < block.min() <= block.max() < _LOUDEST:  # so that NaN, too, is caught
                raise _damaged("it holds numbers that are no sound")
            yield block
        if not frames:
            raise UnusableSoundError("empty", "The file holds no sound: it plays for 0 seconds.")
        if self._file.format == "FLAC" and frames < self._file.frames * (1 - _MAY_MISS):
            raise _damaged("its end is missing")


def _check(file: sf.SoundFile) -> None:
    if file.format not in {"WAV", "WAVEX", "RF64", "MP3", "OGG", "FLAC"}:
        raise _unsupported(f"it is {file.format}")
    if file.channels > _MOST_CHANNELS:
        raise _unsupported(f"it has {file.channels} channels, and {_MOST_CHANNELS} are the most")
    if file.samplerate not in _RATES:
        raise _unsupported(
            f"it has {file.samplerate} samples a second; from {_RATES.start} to {_RATES.stop - 1} can be read"
        )


def _unsupported(reason: str) -> UnusableSoundError:
    return UnusableSoundError(
        "unsupported-format",
        f"The file cannot be read ({_reason(reason)}). {READABLE} can: save it as one of them.",
    )


def _damaged(reason: str) -> UnusableSoundError:
    return UnusableSoundError(
        "damaged", f"The file is damaged ({_reason(reason)}): export it again, and upload it whole."
    )


def _reason(told: str) -> str:
    """The words of libsndfile, but for what would mislead: it says this when mpg123 finds no frame."""
    if "not a regular file" in told:
        return "no sound was found in it"
    return told.removeprefix("Error : ").rstrip(".")


def _missing(file: FileIO, size: int) -> float:
    """Which share of the file is missing at its end, as far as its format tells; refuses other formats."""
    start = file.read(12)
    match start[:4]:
        case b"RIFF" | b"RIFX" if start[8:] == b"WAVE":
            return _missing_of_wav(file, size, ">" if start[3:4] == b"X" else "<")
        case b"OggS":
            return _missing_of_ogg(file, size)
        case b"RF64" | b"fLaC":
            return 0.0
        case _ if start[:3] == b"ID3" or _begins_mp3(start):
            return _missing_of_mp3(file, size)
    raise _unsupported("it begins like no sound file that we know")


def _begins_mp3(start: bytes) -> bool:
    """Eleven set bits and a layer (none: AAC)."""
    return len(start) > 1 and start[0] == 0xFF and start[1] & 0xE0 == 0xE0 and start[1] & 0x06 != 0


def _missing_of_wav(file: FileIO, size: int, order: str) -> float:
    position = 12
    while position + 8 <= size:
        file.seek(position)
        name, length = struct.unpack(order + "4sI", file.read(8))
        position += 8
        if name == b"data":
            missing = position + length - size
            return missing / length if missing > 0 and length < _OPEN_ENDED else 0.0
        position += length + length % 2
    return 0.0


def _missing_of_ogg(file: FileIO, size: int) -> float:
    """The last page of a whole stream is marked so (RFC 3533, section 6: header type flag 0x04)."""
    file.seek(max(0, size - _OGG_PAGE))
    end = file.read()
    page = end.rfind(b"OggS")
    return 0.0 if page >= 0 and len(end) > page + 5 and end[page + 5] & 0x04 else 1.0


def _missing_of_mp3(file: FileIO, size: int) -> float:
    """By the Xing or Info tag in the first frame, where most encoders write the number of bytes."""
    file.seek(0)
    head = file.read(10)
    begin = 0
    if head[:3] == b"ID3" and len(head) == 10:  # seven bits a byte (id3.org, ID3v2.4 section 6.2)
        begin = 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9])
    file.seek(begin)
    frame = file.read(200)
    tag = max(frame.find(b"Xing"), frame.find(b"Info"))
    if tag < 0 or len(frame) < tag + 16:
        return 0.0
    flags = int.from_bytes(frame[tag + 4 : tag + 8], "big")
    if not flags & 2:
        return 0.0
    at = tag + 8 + (4 if flags & 1 else 0)
    promised = int.from_bytes(frame[at : at + 4], "big")
    return max(0.0, 1 - (size - begin) / promised) if promised else 0.0
