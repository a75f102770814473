"""Speech and uploads on the whole server: how soon a text is heard, and whether calls feel ten-minute files.

The server keeps its sounds in one folder and stages them to another, which is what Asterisk would play from;
calls are those of `agi/caller.py`, with prompts that take their time.
"""

import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, FormData

from agi.caller import Caller, Happening, Playing, Ring
from dialplan.names import VARIABLE_DID
from tests.bench.studio import Contest, contests, recorded
from tests.bench.watched import Lateness
from trunx.adapters.hosts.sound_folder import SoundFolder
from trunx.demo import DID

_KEY = "tk_live_" + "7" * 48
_PRESSED_AFTER = 1.0
_ENOUGH = 600.0
"""Seconds that all the files may take."""
_ROOT = Path(__file__).parents[2]

# Kilobits a second by the header's index (ISO 11172-3, 2.4.2.3: MPEG-1, layer III).
_BITRATES = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: texts after so many starts, texts one after the other, rounds against sox, files
    of so many minutes, calls beside them, and for how many seconds the calls are by themselves.
    """

    starts: int
    texts: int
    rounds: int
    minutes: float
    files: int
    calls: int
    calm: float


FULL = Size(starts=3, texts=20, rounds=3, minutes=10, files=20, calls=50, calm=30)
QUICK = Size(starts=1, texts=5, rounds=1, minutes=2, files=4, calls=50, calm=5)


@dataclass(frozen=True, slots=True)
class Spoken:
    """Seconds from the request to the answer, when a call can hear it: after a start, and later. `plays`: how
    long the sentences are.
    """

    cold: list[float]
    warm: list[float]
    plays: list[float]


@dataclass(frozen=True, slots=True)
class Beside:
    """How late the server's loop was with `calls` alone, and while files were made beside them.

    `took`: seconds until all files were sounds. `ended` and `lost`: calls that went as they should, or not.
    """

    calm: Lateness
    busy: Lateness
    calls: int
    files: int
    minutes: float
    took: float
    ended: int
    lost: int


@dataclass(frozen=True, slots=True)
class Audio:
    """All that was measured of audio; `studio` by kind of file, or why it was not."""

    spoken: Spoken
    studio: dict[str, Contest] | str
    beside: Beside


def measure(size: Size) -> Audio:
    """Measures it all."""
    with tempfile.TemporaryDirectory(prefix="trunx-bench-") as name:
        folder = Path(name)
        files = recorded(folder, size.minutes)
        studio = contests(files, size.minutes, size.rounds)
        spoken = asyncio.run(_spoken(folder, size))
        beside = asyncio.run(_beside(folder, _turned(files["MP3"], size.files), size))
    return Audio(spoken, studio, beside)


async def _spoken(folder: Path, size: Size) -> Spoken:
    """Each text is new. After each a call is made, which must hear it from Asterisk's folder."""
    seconds: tuple[list[float], list[float]] = [], []
    plays = []
    numbers = count(int(time.time()) % 100_000)
    for start in range(size.starts):
        async with _served(folder / f"spoken-{start}") as server:
            for turn in range(1 + size.texts * (start == size.starts - 1)):
                text = f"Your order {next(numbers)} is ready. Press 1 to have it sent, or 2 to talk to us."
                begun = time.perf_counter()
                audio = await server.ask(
                    "POST", "/ivr/qualify-business/audio", json={"node": "welcome", "text": text}
                )
                seconds[turn > 0].append(time.perf_counter() - begun)
                plays.append(audio["durationSeconds"])
                heard = await server.first_heard()
                played = SoundFolder(server.asterisk).seconds(heard)
                if played != audio["durationSeconds"]:
                    raise RuntimeError(f"the call does not play what was spoken, but {heard} ({played} s)")
    return Spoken(*seconds, plays)


async def _beside(folder: Path, files: list[Path], size: Size) -> Beside:
    async with _served(folder / "beside") as server, server.calls(size.calls) as tally:
        await asyncio.sleep(_PRESSED_AFTER * 5)  # until calls are in all their parts
        await server.lateness()
        await asyncio.sleep(size.calm)
        calm = await server.lateness()
        begun = time.perf_counter()
        async with asyncio.timeout(_ENOUGH):
            await asyncio.gather(*(server.upload(file) for file in files))
        took = time.perf_counter() - begun
        busy = await server.lateness()
        return Beside(calm, busy, size.calls, size.files, size.minutes, took, tally["server"], tally["lost"])


def _turned(recording: Path, ways: int) -> list[Path]:
    """The same recording begun at other places, so that each file becomes a sound of its own."""
    _, *frames = _frames(recording.read_bytes())  # the first is a table of contents
    files = [recording.with_name(f"upload-{way}.mp3") for way in range(ways)]
    for way, file in enumerate(files):
        place = way * len(frames) // ways
        file.write_bytes(b"".join(frames[place:] + frames[:place]))
    return files


def _frames(mp3: bytes) -> Iterator[bytes]:
    at = 0
    while at + 4 <= len(mp3):
        header = int.from_bytes(mp3[at : at + 4], "big")
        # Eleven set bits; MPEG-1, layer III, at 44.1 kHz (index 0), which is what we have written.
        if header >> 17 != 0x7FFD or header >> 10 & 3:
            raise ValueError(f"there is no frame at {at}")
        length = 144_000 * _BITRATES[header >> 12 & 15] // 44_100 + (header >> 9 & 1)
        yield mp3[at : at + length]
        at += length


class _Server:
    """A running server; `asterisk` is the sounds folder of the Asterisk that it works for."""

    def __init__(
        self, process: Process, log: Path, asterisk: Path, session: ClientSession, agi_port: int
    ) -> None:
        self.asterisk = asterisk
        self._process = process
        self._log = log
        self._session = session
        self._agi_port = agi_port

    async def ask(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """What the API answers."""
        async with self._session.request(method, path, **body) as response:
            if response.status >= 300:
                raise RuntimeError(f"{method} {path}: {response.status}, {await response.text()}")
            answer: dict[str, Any] = await response.json()
            return answer

    async def upload(self, file: Path) -> None:
        """Returns when the file is a sound, on Asterisk too."""
        with file.open("rb") as content:
            form = FormData()
            form.add_field("file", content, filename=file.name)
            audio = await self.ask("POST", "/audio/upload", data=form)
        while not (audio["status"] == "ready" and all(one["state"] == "staged" for one in audio["staged"])):
            if audio["status"] == "failed":
                raise RuntimeError(f"{file.name}: {audio['reason']}")
            await asyncio.sleep(0.25)  # the API tells it to those who ask
            audio = await self.ask("GET", f"/audio/{audio['id']}")

    async def first_heard(self) -> str:
        """The name of the sound with which a call begins."""
        heard = []

        def observe(happening: Happening) -> None:
            if isinstance(happening, Playing):
                heard.append(happening.sound)
                caller.hang_up()

        caller = Caller(Ring(DID, "+12025550123"), lambda _: 1.0, observe, {VARIABLE_DID: DID})
        await caller.call("127.0.0.1", self._agi_port)
        return heard[0]

    @asynccontextmanager
    async def calls(self, at_once: int) -> AsyncIterator[dict[str, int]]:
        """So many calls at all times, through all of the demo's menus; how they ended, counted."""
        tally = {"server": 0, "lost": 0}
        callers = [asyncio.create_task(self._call_again(number, tally)) for number in range(at_once)]
        try:
            yield tally
        finally:
            for caller in callers:
                caller.cancel()
            for caller in callers:
                with suppress(asyncio.CancelledError):
                    await caller

    async def _call_again(self, number: int, tally: dict[str, int]) -> None:
        sounds = SoundFolder(self.asterisk)
        await asyncio.sleep(number / 7)  # not all of them do the same thing at the same time
        for turn in count():
            ring = Ring(DID, f"+1202555{number:04}", uniqueid=f"{number}.{turn}")
            caller = Caller(ring, sounds.seconds, variables={VARIABLE_DID: DID})
            caller.observe = _pressing(caller, "12")
            ended = await caller.call("127.0.0.1", self._agi_port)
            tally["server" if ended == "server" else "lost"] += 1

    async def lateness(self) -> Lateness:
        """Of the server's loop, since it was last asked for."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        return Lateness(**await _told(self._process, self._log))


def _pressing(caller: Caller, keys: str) -> Callable[[Happening], None]:
    """Lets `caller` press the next of the keys a while after each sound has begun."""
    left = iter(keys)

    def observe(happening: Happening) -> None:
        if isinstance(happening, Playing) and (key := next(left, None)) is not None:
            asyncio.get_running_loop().call_later(_PRESSED_AFTER, caller.press, key)

    return observe


@asynccontextmanager
async def _served(place: Path) -> AsyncIterator[_Server]:
    folder, asterisk, log = place / "data", place / "asterisk", place / "log"
    asterisk.mkdir(parents=True)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TRUNX_")}
    clean.pop("ELEVENLABS_API_KEY", None)
    with log.open("w") as words:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.bench.watched", str(folder)),
            stdin=PIPE,
            stdout=PIPE,
            stderr=words,
            cwd=_ROOT,
            env=clean | {"TRUNX_API_KEY": _KEY, "TRUNX_SOUNDS_URL": asterisk.as_uri()},
        )
    assert process.stdin is not None
    try:
        begun = await _told(process, log)
        async with ClientSession(begun["url"], headers={"Authorization": f"Bearer {_KEY}"}) as session:
            yield _Server(process, log, asterisk, session, begun["agi_port"])
    finally:
        process.stdin.close()  # which ends it
        await process.wait()
        shutil.rmtree(place)


async def _told(process: Process, log: Path) -> dict[str, Any]:
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise RuntimeError(f"the server ended: {await asyncio.to_thread(log.read_text)}")
    told: dict[str, Any] = json.loads(line)
    return told
