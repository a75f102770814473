"""What can be read is read whole; what cannot is refused with its reason, whatever its header says."""

import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.adapters.malformed import MALFORMED, MOST_BYTES, MOST_SECONDS
from tests.adapters.recordings import speech, written
from trunx.adapters.studio.decoding import Recording
from trunx.domain.audio import UnusableSoundError


def _read(path: Path, most_bytes: int = MOST_BYTES) -> NDArray[np.float32]:
    with Recording.open(path, most_bytes, MOST_SECONDS) as recording:
        return np.concatenate(list(recording.blocks()))


@pytest.mark.parametrize(
    "how",
    [
        *({"format": "WAV", "subtype": each} for each in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT")),
        *({"format": "WAV", "subtype": each} for each in ("DOUBLE", "ULAW", "ALAW", "IMA_ADPCM")),
        *({"format": each} for each in ("WAVEX", "RF64", "FLAC", "OGG", "MP3")),
        {"format": "OGG", "subtype": "OPUS"},
        {"format": "WAV", "endian": "BIG"},
    ],
    ids=lambda how: "-".join(how.values()),
)
def test_what_it_reads(how: dict[str, str], tmp_path: Path) -> None:
    signal = speech(3, 16_000)
    path = written(tmp_path / "upload", np.stack([signal, signal / 2], 1), 16_000, **how)
    got = _read(path, 1_000_000)
    assert got.shape[1] == 2
    assert abs(len(got) - len(signal)) < 2_000  # MP3 and IMA ADPCM have frames
    shared = min(len(got), len(signal))
    best = max(
        np.corrcoef(got[lag:shared, 0], signal[: shared - lag])[0, 1] for lag in (0, 528, 529, 1_105, 1_681)
    )
    assert best > 0.97


@pytest.mark.parametrize("placeholder", [0, 0xFFFF_FFFF, 0x7FFF_F000])
def test_a_wav_from_a_pipe_has_no_length_and_is_read(placeholder: int, tmp_path: Path) -> None:
    path = written(tmp_path / "upload.wav", speech(3, 16_000), 16_000)
    data = bytearray(path.read_bytes())
    at = data.find(b"data") + 4
    data[at : at + 4] = struct.pack("<I", placeholder)
    data[4:8] = struct.pack("<I", placeholder or 8)
    path.write_bytes(data)
    assert len(_read(path)) == 48_000


def test_a_few_bytes_may_be_missing(tmp_path: Path) -> None:
    path = written(tmp_path / "upload.wav", speech(3, 16_000), 16_000)
    path.write_bytes(path.read_bytes()[:-200])
    assert len(_read(path)) == 47_900


def test_tags_before_an_mp3_are_no_part_of_it(tmp_path: Path) -> None:
    path = written(tmp_path / "upload.mp3", speech(3, 16_000), 16_000, format="MP3")
    tag = b"ID3\x04\x00\x00" + bytes([0, 0, 8, 0]) + bytes(1_024)
    path.write_bytes(tag + path.read_bytes())
    assert len(_read(path)) > 47_000


@pytest.mark.parametrize("what", [what for what, (code, _) in MALFORMED.items() if code != "silent"])
def test_what_it_refuses(what: str, tmp_path: Path) -> None:
    code, made = MALFORMED[what]
    path = tmp_path / "upload.wav"
    path.write_bytes(made())
    with pytest.raises(UnusableSoundError) as caught:
        _read(path)
    assert caught.value.code == code
    assert len(str(caught.value)) > 20
    if code == "unsupported-format":
        assert "WAV, MP3, OGG (Vorbis or Opus) and FLAC" in str(caught.value)


def test_a_file_that_is_gone_is_not_the_users_fault(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        _read(tmp_path / "nothing")
