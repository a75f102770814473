"""A process that does the studio's heavy work: `python -m trunx.adapters.studio.worker`, in JSON lines.

It is where a decoder may crash, a bomb may swell and Python's lock may be held without a call noticing. It
ends when its standard input does, in the middle of a job too, so that nothing outlives the server.
"""

import faulthandler
import os
import resource
import sys
import threading
import wave
from functools import lru_cache
from queue import SimpleQueue
from typing import Any, assert_never

from trunx.adapters.studio.jobs import JOBS, Done, Encode, Failed, Finish, Job, Master, Refused, Reply, Speak
from trunx.domain.audio import UnusableSoundError

_NICE = 10  # calls come first
_MOST_MEMORY = 4 << 30
"""Bytes of address space. Ten minutes take half a gigabyte; the libraries reserve more than they use."""


def main() -> None:
    """Answers until the input ends."""
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    # Decoders print: not among the replies, and not into the log, which is for what Python says of a crash.
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    faulthandler.enable(sys.stderr)
    # A group of its own: Ctrl+C at the server's terminal is for the server. Not a session of its own:
    # Linux may weigh sessions against each other (sched(7), autogroup), and niceness only within one.
    os.setpgid(0, 0)
    os.nice(_NICE)
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    lines: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    while True:
        replies.write(_answer(JOBS.validate_json(lines.get())).model_dump_json().encode() + b"\n")


def _listen(lines: SimpleQueue[bytes]) -> None:
    with open(0, "rb", buffering=0) as requests:
        for line in requests:
            lines.put(line)
    os._exit(0)


def _answer(job: Job) -> Reply:
    """Any other exception is a fault of ours: it ends the process, and its trace goes to the server's log."""
    try:
        return _do(job)
    except UnusableSoundError as error:
        return Refused(code=error.code, message=str(error))
    except OSError as error:
        return Failed(message=str(error))


def _do(job: Job) -> Reply:
    match job:
        case Master():
            from trunx.adapters.studio.mastering import master  # noqa: PLC0415 - a voice needs none of it

            return Done(result=master(job).model_dump(mode="json"))
        case Encode():
            return _encode(job)
        case Speak():
            return _speak(job)
        case Finish():
            from trunx.adapters.studio.finishing import finish  # noqa: PLC0415

            return Done(result=finish(job).model_dump(mode="json"))
        case _:
            assert_never(job)


def _encode(job: Encode) -> Reply:
    import soundfile as sf  # noqa: PLC0415

    samples, rate = sf.read(job.source, dtype="int16")
    job.target.parent.mkdir(parents=True, exist_ok=True)
    sf.write(job.target, samples, rate, format="MP3", subtype="MPEG_LAYER_III")
    return Done()


def _speak(job: Speak) -> Reply:
    import numpy as np  # noqa: PLC0415

    voice = _voice(job.voice)
    samples = voice(job.words, seed=0)  # its noise is random: the same words shall give the same sound
    if not len(samples):
        return Refused(code="unspeakable", message="There is nothing in the text that the voice could say.")
    with wave.open(str(job.target), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(voice.sample_rate)
        file.writeframes(np.clip(np.rint(samples * 32_767), -32_768, 32_767).astype("<i2").tobytes())
    return Done()


@lru_cache(maxsize=2)
def _voice(name: str) -> Any:
    from hibari import Hibari  # noqa: PLC0415 - loads a model

    return Hibari(name)


if __name__ == "__main__":
    main()
