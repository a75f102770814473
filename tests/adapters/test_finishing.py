"""What is kept of what Asterisk recorded: the same sound, in the format that was asked for."""

import struct
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from tests.adapters.monitor_files import as_asterisk, samples
from tests.adapters.recordings import decibels, noise, speech
from tests.adapters.waiting import until
from tests.peers.browser import played
from trunx.adapters.studio.recordings import Finishing
from trunx.domain.audio import UnusableSoundError
from trunx.domain.call import Call, Status, new_call_id
from trunx.domain.errors import UnavailableError
from trunx.domain.recording import Recording, begun
from trunx.engine import recording_ports

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
async def studio() -> AsyncIterator[recording_ports.Finishing]:
    async with Finishing() as opened:
        yield opened


def recording(**how: object) -> Recording:
    call = Call(new_call_id(), "CA", "MA1", "inbound", "1", "2", Status.ANSWERED, NOW)
    return begun(call, "1.1", NOW, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize("rate", [8_000, 16_000])
async def test_a_wav_has_the_very_samples(
    studio: recording_ports.Finishing, tmp_path: Path, rate: int
) -> None:
    sound = samples(speech(3.21, rate))
    source = as_asterisk(tmp_path / "a.wav", sound, rate)
    kept = await studio.finish(recording(format="wav"), [source], tmp_path / "made", torn=False)
    assert (kept.ms, kept.bytes) == (3_210, (tmp_path / "made").stat().st_size)
    made, made_rate = sf.read(tmp_path / "made", dtype="int16")
    assert made_rate == rate
    assert np.array_equal(made, sound)
    assert sf.info(tmp_path / "made").subtype == "PCM_16"


@pytest.mark.parametrize("rate", [8_000, 16_000])
async def test_an_mp3_sounds_and_lasts_like_the_source(
    studio: recording_ports.Finishing, tmp_path: Path, rate: int
) -> None:
    sound = samples(speech(7.3, rate))
    source = as_asterisk(tmp_path / "a.wav", sound, rate)
    kept = await studio.finish(recording(), [source], tmp_path / "made.mp3", torn=False)
    made, made_rate = sf.read(tmp_path / "made.mp3", dtype="float64")
    assert (made_rate, len(made), kept.ms) == (rate, len(sound), 7_300)
    error = made - sound / 32_768
    assert decibels(float(error.std() / (sound / 32_768).std())) < -20
    assert 10 ** (0.2 / 20) > made.std() / (sound / 32_768).std() > 10 ** (-0.2 / 20)  # no louder, no quieter
    assert kept.bytes < 7.3 * 8_000


@pytest.mark.parametrize("form", ["mp3", "wav"])
async def test_it_plays_in_a_browser(studio: recording_ports.Finishing, tmp_path: Path, form: str) -> None:
    sides = [
        as_asterisk(tmp_path / f"{at}.wav", samples(speech(2.5, 8_000) * np.float32(level)))
        for at, level in enumerate((1.0, 0.5))
    ]
    one = recording(format=form, channels="dual")
    await studio.finish(one, sides, tmp_path / "made", torn=False)
    told = await played((tmp_path / "made").read_bytes(), {"mp3": "audio/mpeg", "wav": "audio/wav"}[form])
    assert told["seconds"] == pytest.approx(2.5, abs=0.1), told
    assert 0.3 < told["peak"] < 0.5


@pytest.mark.parametrize("form", ["mp3", "wav"])
async def test_two_sides_are_kept_apart(studio: recording_ports.Finishing, tmp_path: Path, form: str) -> None:
    quiet = np.zeros(40_000, np.int16)
    left, right = quiet.copy(), quiet.copy()
    left[:16_000] = samples(speech(2, 8_000))
    right[24_000:] = samples(speech(2, 8_000))
    sides = [as_asterisk(tmp_path / "r.wav", left), as_asterisk(tmp_path / "t.wav", right[:39_900])]
    one = recording(format=form, channels="dual")
    kept = await studio.finish(one, sides, tmp_path / "made", torn=False)
    assert kept.ms == 5_000  # as long as the longer
    made, _ = sf.read(tmp_path / "made", dtype="float64")
    assert made.shape == (40_000, 2)
    for side, other, spoken in ((0, 1, slice(0, 15_000)), (1, 0, slice(25_000, 39_000))):
        assert decibels(float(made[spoken, side].std())) > -30
        assert float(np.abs(made[spoken, other]).max()) < 1e-4
    for side, sound in enumerate((left, right)):
        assert np.corrcoef(made[:39_900, side], sound[:39_900])[0, 1] > 0.99


async def test_silence_is_trimmed_at_both_ends_and_nowhere_else(
    studio: recording_ports.Finishing, tmp_path: Path
) -> None:
    hiss = noise(10, 8_000, 0.0005)
    talk = speech(2, 8_000)
    (spoken,) = np.nonzero(np.abs(talk) > 0.004)
    first, last = spoken[0] / 8_000, spoken[-1] / 8_000
    sound = hiss.copy()
    sound[24_000:40_000] += talk
    sound[48_000:64_000] += talk
    source = as_asterisk(tmp_path / "a.wav", samples(sound))
    kept = await studio.finish(
        recording(format="wav", trim_silence=True), [source], tmp_path / "made", torn=False
    )
    begin, end = 3 + first - 0.1, 6 + last + 0.1
    assert kept.ms / 1000 == pytest.approx(end - begin, abs=0.1)
    made, _ = sf.read(tmp_path / "made", dtype="int16")
    written = samples(sound)
    windows = np.lib.stride_tricks.sliding_window_view(written, 200)
    (start,) = np.nonzero((windows == made[:200]).all(axis=1))[0]
    assert start / 8_000 == pytest.approx(begin, abs=0.1)
    assert np.array_equal(made, written[start : start + len(made)])
    whole = await studio.finish(recording(format="wav"), [source], tmp_path / "whole", torn=False)
    assert whole.ms == 10_000


@pytest.mark.parametrize("level", [0.0, 0.001])
async def test_where_nobody_speaks_nothing_is_trimmed(
    studio: recording_ports.Finishing, tmp_path: Path, level: float
) -> None:
    source = as_asterisk(tmp_path / "a.wav", samples(noise(3, 8_000, level)))
    kept = await studio.finish(recording(trim_silence=True), [source], tmp_path / "made", torn=False)
    assert kept.ms == 3_000


async def test_the_side_that_speaks_first_and_the_one_that_speaks_last_count(
    studio: recording_ports.Finishing, tmp_path: Path
) -> None:
    left, right = np.zeros(64_000, np.int16), np.zeros(64_000, np.int16)
    left[8_000:16_000] = samples(noise(1, 8_000))
    right[40_000:48_000] = samples(noise(1, 8_000))
    sides = [as_asterisk(tmp_path / "r.wav", left), as_asterisk(tmp_path / "t.wav", right)]
    one = recording(format="wav", channels="dual", trim_silence=True)
    kept = await studio.finish(one, sides, tmp_path / "made", torn=False)
    assert kept.ms == 5_200


async def test_it_is_no_longer_than_was_asked_for(studio: recording_ports.Finishing, tmp_path: Path) -> None:
    source = as_asterisk(tmp_path / "a.wav", samples(speech(5, 8_000)))
    kept = await studio.finish(recording(max_seconds=2), [source], tmp_path / "made", torn=False)
    assert (kept.ms, sf.info(tmp_path / "made").frames) == (2_000, 16_000)


async def test_a_file_that_asterisk_has_not_closed_is_taken_when_it_never_will_be(
    studio: recording_ports.Finishing, tmp_path: Path
) -> None:
    sound = samples(speech(2, 8_000))
    source = as_asterisk(tmp_path / "a.wav", sound, closed=False)
    one = recording(format="wav")
    with pytest.raises(UnusableSoundError) as caught:
        await studio.finish(one, [source], tmp_path / "made", torn=False)
    assert caught.value.code == "torn"
    assert not (tmp_path / "made").exists()
    kept = await studio.finish(one, [source], tmp_path / "made", torn=True)
    assert kept.ms == 2_000
    made, _ = sf.read(tmp_path / "made", dtype="int16")
    assert np.array_equal(made, sound)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no WAV"),
        (b"RIFF\0\0\0\0WAVE", "breaks off"),
        (b"<html>nothing is here</html>", "no WAV"),
        (b"RIFF\0\0\0\0WAVEdata\0\0\0\0", "says nothing of its form"),
        (b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0" + struct.pack("<HHIIHH", 1, 2, 8_000, 1, 4, 16), "one channel"),
    ],
)
async def test_what_is_no_recording_is_said(
    studio: recording_ports.Finishing, tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(UnusableSoundError, match=said) as caught:
        await studio.finish(recording(), [tmp_path / "a.wav"], tmp_path / "made", torn=True)
    assert caught.value.code == "damaged"


async def test_one_without_a_sample_is_said_to_be_empty(
    studio: recording_ports.Finishing, tmp_path: Path
) -> None:
    source = as_asterisk(tmp_path / "a.wav", np.zeros(0, np.int16))
    with pytest.raises(UnusableSoundError, match="stopped at once") as caught:
        await studio.finish(recording(), [source], tmp_path / "made", torn=False)
    assert caught.value.code == "empty"


@pytest.mark.parametrize("form", ["mp3", "wav"])
async def test_a_full_disk_is_tried_again_and_nothing_is_told_to_be_kept(
    studio: recording_ports.Finishing, tmp_path: Path, form: str
) -> None:
    source = as_asterisk(tmp_path / "a.wav", samples(speech(30, 8_000)))
    with pytest.raises(UnavailableError):
        await studio.finish(recording(format=form), [source], Path("/dev/full"), torn=False)
    kept = await studio.finish(recording(format=form), [source], tmp_path / "made", torn=False)
    assert kept.ms == 30_000


async def test_a_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    source = as_asterisk(tmp_path / "a.wav", samples(speech(2, 8_000)))
    async with Finishing() as studio:
        await studio.finish(recording(), [source], tmp_path / "made", torn=False)
        (worker,) = studio._workers._all
        worker.kill()
        await until(lambda: not worker.is_alive())
        kept = await studio.finish(recording(), [source], tmp_path / "made", torn=False)
    assert kept.ms == 2_000
