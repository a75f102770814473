"""Recordings as they stand before users ask for them, put there as the keeper does."""

import io
from pathlib import Path
from typing import Any

import soundfile as sf

from tests.web.house import Client, House
from tests.web.test_calls import call
from tests.web.tones import wav
from trunx.adapters.store.database import Database
from trunx.adapters.store.recordings import Recordings
from trunx.adapters.store.tables import now
from trunx.domain.recording import Kept, Recording, begun

SECONDS = 1.25
_KINDS = {"mp3": ("MP3", "MPEG_LAYER_III"), "wav": ("WAV", "PCM_16")}


async def recorded(
    house: House, client: Client, until: str = "ready", *, sound: bytes | None = None, **how: Any
) -> Recording:
    """A recording of a call of the client's, which is `recording`, `processing`, `failed` or `ready`."""
    recordings = house.ports.recordings
    recording = begun(how.pop("call", None) or call(client.account, 0), "1.1", how.pop("at", now()), **how)
    await recordings.begin(recording)
    if until == "recording":
        return recording
    if until == "failed":
        await recordings.never_began(recording, "Asterisk did not record: no such channel.")
        return recording
    stopped = await recordings.stopped(recording)
    assert stopped is not None
    if until == "processing":
        return stopped
    file = recordings.path(stopped)
    file.write_bytes(tone(recording.format) if sound is None else sound)
    async with Database.open(f"sqlite:///{house.folder}/trunx.db") as database:
        assert await Recordings(database).ready(stopped, Kept(round(1000 * SECONDS), size(file)))
    return stopped


def size(file: Path) -> int:
    return file.stat().st_size


def tone(form: str) -> bytes:
    samples, rate = sf.read(io.BytesIO(wav(SECONDS)), dtype="float32")
    made = io.BytesIO()
    sf.write(made, samples, rate, format=_KINDS[form][0], subtype=_KINDS[form][1])
    return made.getvalue()
