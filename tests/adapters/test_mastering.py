"""What the caller hears of a file: its level, peaks, spectrum, silence, and the same every time."""

import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import soxr
from numpy.typing import NDArray

from tests.adapters.recordings import (
    Signal,
    decibels,
    heard,
    noise,
    sine,
    speech,
    third_octaves,
    written,
)
from trunx.adapters.studio.jobs import Master, Mastered
from trunx.adapters.studio.loudness import Loudness
from trunx.adapters.studio.mastering import master
from trunx.domain.audio import UnusableSoundError


def _master(source: Path, to: str = "made") -> Mastered:
    job = Master(source=source, scratch=source.parent / to, most_bytes=50_000_000, most_seconds=600)
    return master(job)


def _made(tmp_path: Path, samples: NDArray[np.floating], rate: int, **how: str) -> tuple[Mastered, Signal]:
    how = how or {"format": "WAV", "subtype": "FLOAT"}
    mastered = _master(written(tmp_path / "upload", samples, rate, **how))
    return mastered, heard(tmp_path / "made" / "sound.ulaw")


def _is_right(signal: Signal, rate: int = 8_000) -> None:
    assert Loudness(signal, rate).integrated() == pytest.approx(-20, abs=0.3)
    assert decibels(np.abs(soxr.resample(signal, rate, 8 * rate, quality="VHQ")).max()) < -3


def _codes(mastered: Mastered) -> set[str]:
    return {warned.code for warned in mastered.warnings}


SIX_KINDS = {
    "mp3": {"format": "MP3"},
    "ogg": {"format": "OGG"},
    "flac": {"format": "FLAC"},
    "24-bit": {"format": "WAV", "subtype": "PCM_24"},
    "8-bit": {"format": "WAV", "subtype": "PCM_U8"},
    "5.1": {"format": "WAVEX", "subtype": "PCM_16"},
}


@pytest.mark.parametrize("kind", SIX_KINDS)
def test_thirty_seconds_of_each_kind(kind: str, tmp_path: Path) -> None:
    signal = speech(30, 44_100) * np.float32(1.8)
    if kind == "5.1":
        samples = np.zeros((len(signal), 6), np.float32)
        samples[:, 2] = signal
        samples[:, 3] = sine(60, 30, 44_100)  # the channel of low effects, which no phone plays
        samples[:, 4:] = noise(30, 44_100, 1e-4)[:, None]
    else:
        samples = np.stack([signal, signal * np.float32(0.7)], 1)
    mastered, narrow = _made(tmp_path, samples, 44_100, **SIX_KINDS[kind])
    _is_right(narrow)
    _is_right(np.asarray(sf.read(tmp_path / "made" / "sound.wav", dtype="float32")[0]), 16_000)
    assert 29_000 < mastered.ms < 30_300
    assert _codes(mastered) <= {"noisy"}  # eight bits are
    difference = third_octaves(narrow, 8_000) - third_octaves(signal, 44_100)
    assert np.abs(difference).max() < 1.0


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 48_000, 96_000])
def test_the_spectrum_of_noise_is_kept_at_every_rate(rate: int, tmp_path: Path) -> None:
    signal = noise(8, rate, 0.1)
    _, narrow = _made(tmp_path, signal, rate)
    _is_right(narrow)
    assert np.abs(third_octaves(narrow, 8_000) - third_octaves(signal, rate)).max() < 1.0


@pytest.mark.parametrize("hertz", [4_600, 6_000, 7_900, 12_100])
def test_nothing_above_the_telephone_is_folded_into_it(hertz: int, tmp_path: Path) -> None:
    signal = sine(1_000, 2, 48_000, 0.1) + sine(hertz, 2, 48_000, 0.1)
    _, narrow = _made(tmp_path, signal, 48_000)
    middle = narrow[1_000:15_000] * np.hanning(14_000)
    spectrum = np.abs(np.fft.rfft(middle))
    at = np.arange(len(spectrum)) * 8_000 / len(middle)
    beside = spectrum[np.abs(at - 1_000) > 20].max()
    assert decibels(beside / spectrum.max()) < -38  # what µ-law itself adds


def test_the_files_are_of_the_same_sound(tmp_path: Path) -> None:
    mastered, narrow = _made(tmp_path, speech(6, 44_100), 44_100)
    folder = tmp_path / "made"
    assert {path.name for path in folder.iterdir()} == {
        f"sound.{e}" for e in ("ulaw", "alaw", "sln16", "wav")
    }
    alaw, _ = sf.read(
        folder / "sound.alaw", samplerate=8_000, channels=1, format="RAW", subtype="ALAW", dtype="float32"
    )
    assert np.corrcoef(narrow, alaw)[0, 1] > 0.999
    with wave.open(str(folder / "sound.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        frames = file.readframes(file.getnframes())
    assert frames == (folder / "sound.sln16").read_bytes()
    assert len(frames) == 4 * len(narrow)
    assert mastered.ms == len(narrow) // 8
    wide = np.frombuffer(frames, "<i2").astype(np.float32)
    assert np.corrcoef(narrow, soxr.resample(wide, 16_000, 8_000, quality="VHQ"))[0, 1] > 0.99


def test_the_same_file_gives_the_same_bytes(tmp_path: Path) -> None:
    source = written(tmp_path / "upload.mp3", speech(6, 44_100), 44_100, format="MP3")
    first, second = _master(source, "first"), _master(source, "second")
    assert first == second
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()
    assert _master(written(tmp_path / "other", speech(7, 44_100), 44_100, format="WAV")).hash != first.hash


@pytest.mark.parametrize("gain", [0.01, 0.1, 1.0, 2.4])
@pytest.mark.parametrize("floor", [0.0, 0.001])
def test_silence_is_cut_off_at_both_ends_at_every_level(gain: float, floor: float, tmp_path: Path) -> None:
    rate = 16_000
    spoken = speech(4, rate)
    silent = np.zeros(int(1.5 * rate), np.float32)
    signal = np.concatenate([silent, spoken, silent]) + noise(7, rate, floor)
    mastered, narrow = _made(tmp_path, signal * np.float32(gain), rate)
    alone, _ = _made_elsewhere(tmp_path, spoken, rate)
    assert mastered.ms == pytest.approx(alone.ms, abs=120)
    frames = np.abs(narrow[: len(narrow) // 80 * 80].reshape(-1, 80)).max(axis=1)
    beginning = np.flatnonzero(frames > 0.02)[0] / 100
    assert 0.07 < beginning < 0.25


def _made_elsewhere(tmp_path: Path, samples: Signal, rate: int) -> tuple[Mastered, Signal]:
    other = tmp_path / "other"
    other.mkdir()
    return _made(other, samples, rate)


def test_soft_consonants_and_pauses_stay(tmp_path: Path) -> None:
    """An f before and after, 30 dB under the vowel; two seconds of pause between the words."""
    rate = 16_000
    soft, vowel = noise(0.2, rate, 0.2 * 10 ** (-30 / 20)), sine(300, 0.5, rate, 0.28)
    word = np.concatenate([soft, vowel, soft])
    silent = np.zeros(2 * rate, np.float32)
    mastered, _ = _made(tmp_path, np.concatenate([silent, word, silent, word, silent]), rate)
    assert mastered.ms == pytest.approx(100 + 900 + 2_000 + 900 + 100, abs=30)


def test_a_sound_that_begins_and_ends_at_once_gets_silence_and_soft_edges(tmp_path: Path) -> None:
    _, narrow = _made(tmp_path, sine(500, 1, 8_000), 8_000)
    assert len(narrow) == 8_000 + 2 * 800
    assert not np.any(narrow[:800])
    assert not np.any(narrow[-800:])
    assert np.abs(np.diff(narrow)).max() < 1.2 * np.abs(np.diff(narrow[4_000:5_000])).max()


@pytest.mark.parametrize("offset", [-0.3, 0.05, 0.4])
def test_an_offset_is_removed(offset: float, tmp_path: Path) -> None:
    mastered, narrow = _made(tmp_path, speech(4, 16_000) + np.float32(offset), 16_000)
    plain, _ = _made_elsewhere(tmp_path, speech(4, 16_000), 16_000)
    assert mastered.ms == plain.ms
    assert abs(float(narrow.mean())) < 1e-3
    _is_right(narrow)


def test_sides_in_opposite_phase_do_not_vanish(tmp_path: Path) -> None:
    spoken = speech(6, 44_100)
    mastered, narrow = _made(tmp_path, np.stack([spoken, -spoken], 1), 44_100)
    _is_right(narrow)
    assert "nearly-silent" not in _codes(mastered)
    assert np.abs(third_octaves(narrow, 8_000) - third_octaves(spoken, 44_100)).max() < 1.0


@pytest.mark.parametrize(
    "how", [{"format": "WAV"}, {"format": "FLAC"}, {"format": "OGG"}], ids=lambda how: how["format"]
)
def test_low_effects_are_left_out_where_each_format_keeps_them(how: dict[str, str], tmp_path: Path) -> None:
    effects = 5 if how["format"] == "OGG" else 3
    samples = np.tile(sine(400, 2, 44_100, 0.1)[:, None], 6)
    samples[:, effects] = sine(90, 2, 44_100, 0.8)
    _, narrow = _made(tmp_path, samples, 44_100, **how)
    spectrum = np.abs(np.fft.rfft(narrow[2_000:14_000] * np.hanning(12_000)))
    assert decibels(spectrum[130:140].max() / spectrum[590:610].max()) < -40


def test_peaks_are_held_and_the_level_is_reached_all_the_same(tmp_path: Path) -> None:
    """Someone knocked against the microphone, three times, far louder than the voice."""
    signal = speech(10, 16_000) * np.float32(0.1)
    for second in (1.2, 3.4, 7.7):
        signal[int(second * 16_000) :][:40] = 0.9
    _, narrow = _made(tmp_path, signal, 16_000)
    _is_right(narrow)


def test_clicks_that_cannot_be_loud_are_told(tmp_path: Path) -> None:
    signal = noise(4, 16_000, 1e-5)
    signal[::4_000] = 0.9
    mastered, narrow = _made(tmp_path, signal, 16_000)
    assert "uneven" in _codes(mastered)
    assert decibels(np.abs(narrow).max()) < -3


@pytest.mark.parametrize("seconds", [0.005, 0.03, 0.2, 0.5])
def test_very_short_sounds(seconds: float, tmp_path: Path) -> None:
    mastered, narrow = _made(tmp_path, sine(700, seconds, 16_000), 16_000)
    assert mastered.ms == pytest.approx(200 + seconds * 1_000, abs=21)
    assert decibels(np.abs(narrow).max()) < -3


def test_what_cannot_be_heard_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableSoundError) as caught:
        _made(tmp_path, speech(2, 16_000) * np.float32(1e-3), 16_000)
    assert caught.value.code == "silent"
    assert not (tmp_path / "made").exists()
