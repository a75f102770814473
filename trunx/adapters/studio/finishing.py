"""From what Asterisk has recorded to what is kept of it: the same sound, in the format that was asked for.

Nothing is levelled, filtered or resampled: a recording is evidence. Asterisk (format_wav.c) writes 16-bit WAV
with lengths of 0 in its header, and the real ones when it closes the file: a file whose header still has the
former is either being written or was torn when Asterisk died.
"""

import struct
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from trunx.adapters.studio.jobs import Finish, Finished
from trunx.adapters.studio.silence import FRAME_SECONDS, Levels
from trunx.domain.audio import UnusableSoundError

Samples = NDArray[np.int16]

PAD_SECONDS = 0.1
"""What is left of the silence before the first and after the last sound."""
_BLOCK = 1 << 20  # frames


def finish(job: Finish) -> Finished:
    """Writes the job's target.

    Raises:
        UnusableSoundError: the sources are no recordings, hold no sound, or are torn (code `torn`).
        OSError: a file cannot be read or written.
    """
    sides = [_read(source, torn=job.torn) for source in job.sources]
    rate = sides[0][0]
    if any(other != rate for other, _ in sides):
        raise _damaged("its two sides have different rates")
    channels = [samples for _, samples in sides]
    first, end = 0, min(max(map(len, channels)), int(job.most_seconds * rate))
    if not end:
        raise UnusableSoundError("empty", "Asterisk has recorded nothing: it was stopped at once.")
    if job.trim_silence:
        first, end = _sounding(channels, rate, end)
    _write(job, channels, rate, first, end)
    return Finished(ms=round((end - first) * 1000 / rate), bytes=job.target.stat().st_size)


def _read(path: Path, *, torn: bool) -> tuple[int, Samples]:
    """Rate and samples of a WAV of one channel, which are not read before they are needed."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(12)
        if start[:4] != b"RIFF" or start[8:] != b"WAVE":
            raise _damaged("it is no WAV")
        rate = 0
        while True:
            head = file.read(8)
            if len(head) < 8:
                raise _damaged("its header breaks off")
            name, length = struct.unpack("<4sI", head)
            if name == b"data":
                break
            chunk = file.read(length + length % 2)
            if name == b"fmt " and len(chunk) >= 16:
                kind, channels, rate, _, _, bits = struct.unpack("<HHIIHH", chunk[:16])
                if (kind, channels, bits) != (1, 1, 16) or not rate:
                    raise _damaged("it is not what Asterisk records: one channel of 16 bits")
        begin = file.tell()
    if not rate:
        raise _damaged("its header says nothing of its form")
    if begin + length != size and not torn:
        raise UnusableSoundError("torn", "Asterisk has not closed the file.")
    count = (size - begin) // 2
    if not count:
        return rate, np.zeros(0, np.int16)
    return rate, np.memmap(path, "<i2", "r", begin, (count,))


def _sounding(channels: Sequence[Samples], rate: int, end: int) -> tuple[int, int]:
    """From where to where something is heard on any channel; all of it when nothing is."""
    frame = int(rate * FRAME_SECONDS)
    powers = np.zeros(-(-end // frame))
    for samples in channels:
        for start in range(0, min(end, len(samples)), _BLOCK - _BLOCK % frame):
            block = samples[start : min(start + _BLOCK - _BLOCK % frame, end)].astype(np.float64)
            block = np.pad(block, (0, -len(block) % frame)).reshape(-1, frame) / 32_768
            at = start // frame
            powers[at : at + len(block)] += np.einsum("ij,ij->i", block, block) / frame
    (heard,) = np.nonzero(Levels.of_powers(powers).are_sound())
    if not len(heard):
        return 0, end
    pad = int(PAD_SECONDS * rate)
    return max(0, int(heard[0]) * frame - pad), min(end, (int(heard[-1]) + 1) * frame + pad)


def _write(job: Finish, channels: Sequence[Samples], rate: int, first: int, end: int) -> None:
    kind = {"mp3": ("MP3", "MPEG_LAYER_III"), "wav": ("WAV", "PCM_16")}[job.format]
    # The best that LAME does with as many bits as it needs: 9 MB an hour of one channel at 8 kHz.
    quality = {"bitrate_mode": "VARIABLE", "compression_level": 0.0} if job.format == "mp3" else {}
    places = [*range(first, end, _BLOCK), end]
    try:
        with sf.SoundFile(job.target, "w", rate, len(channels), kind[1], format=kind[0], **quality) as file:
            for start, stop in pairwise(places):
                block = np.zeros((stop - start, len(channels)), np.int32)
                for at, samples in enumerate(channels):
                    piece = samples[start:stop]
                    block[: len(piece), at] = piece
                # As 32 bits: libsndfile 1.2.2 garbles MP3 of two channels that it is given in 16.
                file.write(block << 16)
        written = sf.info(job.target).frames
    except sf.LibsndfileError as error:
        raise OSError(f"{job.target}: {error.error_string}") from None
    if written != end - first:
        raise OSError(f"{job.target}: {written} of {end - first} samples were written: is the disk full?")


def _damaged(reason: str) -> UnusableSoundError:
    return UnusableSoundError("damaged", f"What Asterisk has recorded cannot be read: {reason}.")
