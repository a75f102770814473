"""The studio with real worker processes: sounds come into the folder whole, and what fails leaves nothing."""

import asyncio
import os
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import soundfile as sf

from tests.adapters.malformed import MALFORMED, MOST_BYTES, MOST_SECONDS
from tests.adapters.recordings import heard, sine, speech, written
from trunx.adapters.hosts.sound_folder import SoundFolder
from trunx.adapters.studio.loudness import Loudness
from trunx.adapters.studio.studio import ENDINGS, Limits, Studio
from trunx.domain.audio import UnusableSoundError
from trunx.domain.errors import NotFoundError, UnavailableError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sounds"


@pytest.fixture
async def studio(folder: Path) -> AsyncIterator[Studio]:
    async with Studio(folder, 2) as opened:
        yield opened


def _top(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def _all(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


async def test_a_sound_comes_into_the_folder_under_the_name_of_its_content(
    studio: Studio, folder: Path, tmp_path: Path
) -> None:
    source = written(tmp_path / "my upload;.mp3", speech(6, 44_100), 44_100, format="MP3")
    sound = await studio.master(source)
    assert sound.name.startswith("trunx/audio/")
    assert len(sound.name) == len("trunx/audio/") + 32
    assert sound.warnings == ()
    assert _all(folder) == {sound.name + ending for ending in ENDINGS}
    assert _top(folder) == ["trunx"]
    for ending in ENDINGS:
        assert stat.S_IMODE((folder / (sound.name + ending)).stat().st_mode) == 0o644
    assert Loudness(heard(folder / f"{sound.name}.ulaw"), 8_000).integrated() == pytest.approx(-20, abs=0.3)
    assert SoundFolder(folder).seconds(sound.name) == pytest.approx(sound.ms / 1_000)
    assert await studio.master(source) == sound


async def test_warnings_come_with_it(studio: Studio, tmp_path: Path) -> None:
    sound = await studio.master(written(tmp_path / "upload.wav", speech(2, 8_000), 8_000))
    assert [warning.code for warning in sound.warnings] == ["narrow-band"]


async def test_no_malformed_file_leaves_anything_behind(folder: Path, tmp_path: Path) -> None:
    limits = Limits(bytes=MOST_BYTES, seconds=MOST_SECONDS)
    async with Studio(folder, 1, limits) as studio:
        await studio.master(written(tmp_path / "good.wav", speech(2, 8_000), 8_000))
        before = _all(folder)
        codes = {}
        for what, (_, made) in MALFORMED.items():
            path = tmp_path / "upload.wav"
            path.write_bytes(made())
            with pytest.raises(UnusableSoundError) as caught:
                await studio.master(path)
            codes[what] = caught.value.code
        assert codes == {what: code for what, (code, _) in MALFORMED.items()}
        assert _all(folder) == before
        assert _top(folder) == ["trunx"]


async def test_jobs_queue_for_as_many_workers_as_there_may_be(
    studio: Studio, folder: Path, tmp_path: Path
) -> None:
    sources = [written(tmp_path / f"{n}.wav", sine(300 + n, 1, 16_000), 16_000) for n in range(6)]
    assert not studio._workers._all
    sounds = await asyncio.gather(*(studio.master(source) for source in sources))
    assert len({sound.name for sound in sounds}) == 6
    assert len(_all(folder)) == 6 * len(ENDINGS)
    assert len(studio._workers._all) == 2


async def test_one_sound_made_twice_at_once(studio: Studio, folder: Path, tmp_path: Path) -> None:
    source = written(tmp_path / "upload.wav", speech(2, 16_000), 16_000)
    first, second = await asyncio.gather(studio.master(source), studio.master(source))
    assert first == second
    assert len(_all(folder)) == len(ENDINGS)


async def test_what_a_browser_may_ask_for(studio: Studio, folder: Path, tmp_path: Path) -> None:
    sound = await studio.master(written(tmp_path / "upload.wav", speech(3, 16_000), 16_000))
    assert await studio.encoded(sound.name, "ulaw") == folder / f"{sound.name}.ulaw"
    assert await studio.encoded(sound.name, "wav") == folder / f"{sound.name}.wav"
    mp3 = await studio.encoded(sound.name, "mp3")
    assert mp3 == folder / f"{sound.name}.mp3"
    info = sf.info(mp3)
    assert (info.format, info.samplerate, info.channels) == ("MP3", 16_000, 1)
    assert info.duration == pytest.approx(sound.ms / 1_000, abs=0.2)
    made = mp3.stat()
    assert stat.S_IMODE(made.st_mode) == 0o644
    assert (await studio.encoded(sound.name, "mp3")).stat().st_mtime_ns == made.st_mtime_ns
    assert _top(folder) == ["trunx"]


@pytest.mark.parametrize("kind", ["wav", "mp3", "ulaw"])
async def test_a_sound_that_is_gone_has_no_files(studio: Studio, kind: str) -> None:
    with pytest.raises(NotFoundError):
        await studio.encoded("trunx/audio/" + "0" * 32, kind)


async def test_a_decoder_that_does_not_come_back_is_given_up(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "endless")
    good = written(tmp_path / "upload.wav", sine(440, 1, 8_000), 8_000)
    async with Studio(folder, 1, Limits(deadline=30)) as studio:
        await studio.master(good)
        async with Studio(folder, 1, Limits(deadline=0.2)) as hasty:
            with pytest.raises(UnusableSoundError, match=r"within 0\.2 s") as caught:
                await hasty.master(tmp_path / "endless")
        assert caught.value.code == "damaged"
        await studio.master(good)
    assert _top(folder) == ["trunx"]


async def test_a_folder_that_cannot_be_written_is_not_the_files_fault(tmp_path: Path) -> None:
    (tmp_path / "sounds").write_text("a file stands in the way")
    async with Studio(tmp_path / "sounds", 1) as studio:
        with pytest.raises(UnavailableError):
            await studio.master(written(tmp_path / "upload.wav", speech(2, 8_000), 8_000))


async def test_what_a_killed_server_left_is_removed_at_the_next_start(folder: Path) -> None:
    old, young = folder / ".studio-old", folder / ".studio-young"
    for each in (old, young):
        each.mkdir(parents=True)
        (each / "sound.ulaw").write_bytes(b"half")
    os.utime(old, (time.time() - 7_200,) * 2)
    async with Studio(folder, 1):
        assert not old.exists()
        assert young.exists()


async def test_the_local_voice_is_mastered_without_a_warning(studio: Studio, tmp_path: Path) -> None:
    await studio.speak_local("Thank you for calling. Press one for sales.", "heart", tmp_path / "spoken.wav")
    sound = await studio.master(tmp_path / "spoken.wav")
    assert 1_500 < sound.ms < 6_000
    assert sound.warnings == ()


async def test_what_the_local_voice_cannot_do(studio: Studio, tmp_path: Path) -> None:
    with pytest.raises(UnusableSoundError) as caught:
        await studio.speak_local(" ", "heart", tmp_path / "spoken.wav")
    assert caught.value.code == "unspeakable"
    with pytest.raises(UnavailableError):
        await studio.speak_local("Hello.", "nobody", tmp_path / "spoken.wav")
