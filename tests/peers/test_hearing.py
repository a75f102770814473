"""What the tests' ears make of recordings whose content is known."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from tests.peers.hearing import (
    RATE,
    Audio,
    Silence,
    decode_ulaw,
    find,
    first,
    load_ulaw,
    longest_silence,
    silences,
)
from tests.peers.wiretap import Packet, played


def speech(seconds: float, seed: int) -> Audio:
    """Noise with the loudness contour of syllables: as unlike other seeds as one sentence is to another."""
    noise = np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE))
    contour = np.sin(np.arange(len(noise)) * np.pi * 4 / RATE) ** 2
    return np.asarray(noise * contour, np.float32)


def silence(seconds: float) -> Audio:
    return np.zeros(round(seconds * RATE), np.float32)


def test_a_prompt_is_found_to_the_sample_at_any_loudness() -> None:
    welcome, goodbye = speech(2.0, 1), speech(1.0, 2)
    heard = np.concatenate([silence(0.5), welcome * 0.2, silence(1.25), goodbye, silence(0.1), welcome])
    assert [place.at for place in find(welcome, heard)] == pytest.approx([0.5, 4.85], abs=1 / RATE)
    assert first(goodbye, heard) == pytest.approx(3.75, abs=1 / RATE)
    assert all(place.score > 0.99 for place in find(welcome, heard))


def test_noise_on_the_line_lowers_the_score_and_not_the_exactness() -> None:
    welcome = speech(2.0, 1)
    heard = np.concatenate([silence(0.5), welcome, silence(0.5)])
    noisy = heard + np.random.default_rng(9).normal(0, 0.03, len(heard)).astype(np.float32)
    [place] = find(welcome, noisy)
    assert place.at == pytest.approx(0.5, abs=1 / RATE)
    assert 0.8 < place.score < 0.99


def test_what_was_not_said_is_not_heard() -> None:
    heard = np.concatenate([silence(1), speech(3.0, 1), silence(1)])
    assert find(speech(1.0, 2), heard) == []
    assert find(speech(9.0, 1), heard) == []
    with pytest.raises(AssertionError, match="is not in the"):
        first(speech(1.0, 2), heard)


def test_a_prompt_that_a_key_cut_off_is_found_by_its_head() -> None:
    # The prompt begins with 0.3 s of silence, which is no part of the head but counts for where it begins.
    welcome = np.concatenate([silence(0.3), speech(3.0, 1)])
    heard = np.concatenate([silence(0.4), welcome[: round(1.0 * RATE)], silence(2), welcome])
    assert len(find(welcome, heard)) == 1
    assert [place.at for place in find(welcome, heard, head=0.5)] == pytest.approx([0.4, 3.4], abs=2 / RATE)


@pytest.mark.parametrize("frames", [1, -1])
def test_a_prompt_with_a_frame_too_many_or_too_few_is_found_by_its_pieces(frames: int) -> None:
    welcome, frame = speech(0.8, 1), RATE // 50
    whole = []
    for at in range(frame, len(welcome) - frame, frame):
        rest = welcome[at:] if frames > 0 else welcome[at + frame :]
        heard = np.concatenate([silence(0.5), welcome[:at], silence(0.02 * max(frames, 0)), rest, silence(1)])
        [place] = find(welcome, heard, 0.7, slip=0.06)
        assert place.at == pytest.approx(0.5, abs=0.021)
        assert place.score > 0.8
        whole.append(find(welcome, heard, 0.7))
        assert find(speech(0.8, 2), heard, 0.3, slip=0.06) == []
    assert [] in whole  # which is why it is looked for in pieces


def test_a_prompt_that_lacks_more_is_not_found_by_its_pieces() -> None:
    one, other = np.split(speech(0.8, 1), 2)
    welcome = np.concatenate([one, other])
    half = np.concatenate([silence(0.5), one, silence(1)])
    late = np.concatenate([silence(0.5), one, silence(0.1), other])
    assert find(welcome, half, 0.7, slip=0.06) == find(welcome, late, 0.7, slip=0.06) == []


def test_a_silent_prompt_cannot_be_looked_for() -> None:
    with pytest.raises(ValueError, match="silent"):
        find(silence(1), speech(3.0, 1))


def test_ten_prompts_in_half_a_minute_take_well_under_a_second() -> None:
    heard = speech(30.0, 0)
    prompts = [speech(3.0, seed) for seed in range(1, 11)]
    began = time.process_time()
    for prompt in prompts:
        find(prompt, heard)
    assert time.process_time() - began < 1.0


def test_silences() -> None:
    tone = np.full(RATE, 0.1, np.float32)
    heard = np.concatenate([silence(0.2), tone, silence(1.5), tone, silence(0.06), tone])
    assert silences(heard) == [Silence(0.0, 0.2), Silence(1.2, 1.5)]
    assert longest_silence(heard) == Silence(1.2, 1.5)
    assert longest_silence(tone).seconds == 0


def test_ulaw_is_read_as_the_standard_says(tmp_path: Path) -> None:
    prompt = tmp_path / "prompt.ulaw"
    prompt.write_bytes(bytes([0xFF, 0x7F, 0x80, 0x00, 0xEF]))
    # G.711, table 2: the greatest value is 8031 of 8192; 0xFF and 0x7F are the two zeros.
    assert load_ulaw(prompt).tolist() == pytest.approx([0, 0, 8031 / 8192, -8031 / 8192, 33 / 8192])


def packet(at: float, timestamp: int, *, marked: bool = False) -> Packet:
    """One frame of full loudness."""
    return Packet(at, timestamp, marked, b"\x80" * 160)


def loud(audio: Audio) -> list[int]:
    """Which 20 ms frames sound, by their middles."""
    return np.flatnonzero(audio[80::160] > 0.5).tolist()


def test_packets_are_played_when_they_arrive_and_without_seams() -> None:
    jittered = [packet(10.10, 0), packet(10.121, 160), packet(10.155, 320), packet(10.16, 480)]
    assert loud(played(jittered, 10.0, 10.4)) == [5, 6, 7, 8]


def test_a_lost_packet_and_a_pause_are_silence() -> None:
    lost = [packet(10.10, 0), packet(10.14, 320), packet(10.16, 480), packet(10.30, 640)]
    assert loud(played(lost, 10.0, 10.4)) == [5, 7, 8, 15]


def test_what_was_held_up_on_the_way_leaves_no_gap() -> None:
    held_up = [
        packet(10.10, 0),
        packet(10.22, 160),
        packet(10.22, 320),
        packet(10.221, 480),
        packet(10.222, 640),
    ]
    in_time = [packet(10.223, 800), packet(10.224, 960)]
    assert loud(played(held_up + in_time, 10.0, 10.4)) == [5, 6, 7, 8, 9, 10, 11]
    assert loud(played(held_up, 10.0, 10.4)) == [5, 11, 12, 13, 14]


def test_a_new_talkspurt_begins_when_it_arrives() -> None:
    spurts = [packet(10.10, 0), packet(10.2, 160, marked=True), packet(10.22, 320)]
    assert loud(played(spurts, 10.0, 10.4)) == [5, 10, 11]


def test_what_came_before_or_after_the_call_is_not_heard() -> None:
    around = [packet(9.5, 0), packet(10.02, 4160), packet(11.0, 12000)]
    audio = played(around, 10.0, 10.1)
    assert len(audio) == len(decode_ulaw(bytes(800)))
    assert loud(audio) == [1]
