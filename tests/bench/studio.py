"""One worker of the studio against `sox`, on the same files and the same processor, in turn.

sox does what a script would let it do: decode, one channel, no rumble, no silence at the ends, a gain, 8 and
16 kHz, dither, and the same four files. It does not measure loudness, hold true peaks down or judge the
recording, and takes the narrow files from the wide one. CPU seconds are compared: neighbours take none.
"""

import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf

from tests.adapters.recordings import speech
from tests.bench.measure import processors
from trunx.adapters.studio.jobs import REPLIES, Done, Job, Master

RATE = 44_100
_BLOCK = 10 * RATE

# `remix -` is the mean of the channels; `silence` works at the beginning only, hence both ways round.
_SOX = """
set -e
sox "$1" -e float -b 32 wide.wav remix - highpass 20 rate -v 16k \
    silence 1 0.02 0.5% reverse silence 1 0.02 0.5% reverse pad 0.1 0.1 gain -n -3
sox wide.wav -b 16 sound.wav dither
sox sound.wav -t raw sound.sln16
sox wide.wav -b 16 narrow.wav rate -v 8k dither
sox narrow.wav -t ul sound.ulaw
sox narrow.wav -t al sound.alaw
"""


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds of audio that were made into sounds in a second: of a processor's time, and of the clock."""

    by_cpu: float
    by_clock: float


@dataclass(frozen=True, slots=True)
class Contest:
    """Our best round and sox's, of one file."""

    ours: Speed
    sox: Speed

    @property
    def ratio(self) -> float:
        """How many times as fast as sox, by CPU."""
        return self.ours.by_cpu / self.sox.by_cpu


def recorded(folder: Path, minutes: float) -> dict[str, Path]:
    """A voice in stereo at 44.1 kHz, with a second of nearly nothing at both ends; by kind of file."""
    # A tenth of a second less: MP3 fills its last frame up, and ten minutes are the most that the API takes.
    voice = np.pad(speech(60 * minutes - 2.1, RATE), RATE)
    files = {"WAV": folder / "recording.wav", "MP3": folder / "recording.mp3"}
    noise = np.random.default_rng(1)
    with (
        sf.SoundFile(files["WAV"], "w", RATE, 2, "PCM_16") as wav,
        sf.SoundFile(files["MP3"], "w", RATE, 2, "MPEG_LAYER_III") as mp3,
    ):
        for start in range(0, len(voice), _BLOCK):
            mono = voice[start : start + _BLOCK]
            stereo = np.column_stack([mono, 0.7 * mono]) + noise.normal(0, 3e-4, (len(mono), 2))
            wav.write(stereo)
            mp3.write(stereo)
    return files


def contests(files: Mapping[str, Path], minutes: float, rounds: int) -> dict[str, Contest] | str:
    """Both in turn on each file, or why that cannot be."""
    if shutil.which("sox") is None:
        return "sox is not here: .ci/packages installs it"
    listed = subprocess.run(["sox", "--help"], capture_output=True, text=True, check=True).stdout
    if "MP3" in files and " mp3 " not in listed:
        return "sox reads no MP3: .ci/packages installs what it lacks"
    found = {}
    with _worker() as worker:
        for kind, file in files.items():
            runs = [(worker.master(file), _sox(file)) for _ in range(rounds)]
            ours, sox = (min(of) for of in zip(*runs, strict=True))
            found[kind] = Contest(_speed(ours, minutes), _speed(sox, minutes))
    return found


def _speed(taken: tuple[float, float], minutes: float) -> Speed:
    cpu, clock = taken
    return Speed(60 * minutes / cpu, 60 * minutes / clock)


class _Worker:
    """A process of the studio's, alone on the server's processor, at no lower priority than sox."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def master(self, file: Path) -> tuple[float, float]:
        """Seconds of CPU and of the clock that it takes; what it made is removed."""
        scratch = file.parent / "made"
        before, begun = self._cpu(), time.perf_counter()
        self._do(Master(source=file, scratch=scratch, most_bytes=1 << 30, most_seconds=3_600))
        taken = self._cpu() - before, time.perf_counter() - begun
        shutil.rmtree(scratch)
        return taken

    def _do(self, job: Job) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(job.model_dump_json().encode() + b"\n")
        self._process.stdin.flush()
        reply = REPLIES.validate_json(self._process.stdout.readline())
        assert isinstance(reply, Done), reply.message

    def _cpu(self) -> float:
        # The clock of another process (clock_getcpuclockid(3)).
        return time.clock_gettime((~self._process.pid << 3) | 2)


@contextmanager
def _worker() -> Iterator[_Worker]:
    command = ["taskset", "-c", str(processors()[0]), sys.executable, "-m", "trunx.adapters.studio.worker"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield _Worker(process)


def _sox(file: Path) -> tuple[float, float]:
    folder = file.parent / "sox"
    folder.mkdir()
    before, begun = _children(), time.perf_counter()
    command = [
        "taskset",
        "-c",
        str(processors()[0]),
        "nice",
        "-n",
        "10",
        "bash",
        "-c",
        _SOX,
        "sox",
        str(file),
    ]
    subprocess.run(command, cwd=folder, stderr=subprocess.DEVNULL, check=True)
    taken = _children() - before, time.perf_counter() - begun
    shutil.rmtree(folder)
    return taken


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
