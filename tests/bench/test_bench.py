"""The benchmark counts what it says it counts: calls and what they cost, sounds, and lateness."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import actions, audio, outbound
from tests.bench.measure import Tools, serving
from tests.bench.report import Figures, targets
from tests.bench.studio import contests, recorded


@pytest.fixture(scope="module")
def tools() -> Iterator[Tools]:
    with Tools.built() as built:
        yield built


def test_counts_every_call_of_a_closed_loop(tools: Tools) -> None:
    with serving(tools, "agi") as server:
        load = server.load("-c", "5", "-n", "40")

    assert (load.calls, load.failed) == (40, 0)
    assert load.answered.count == 40
    assert load.turnaround.count == 40 * 5, "between six commands are five turnarounds"
    assert load.cpu_us > 0


def test_new_calls_are_answered_beside_those_that_wait(tools: Tools) -> None:
    with serving(tools, "agi") as server:
        held = server.hold(200, "-c", "1", "-n", "20")

    assert held.answered.count == 20
    assert 0 < held.bytes_each < 100_000


def test_prompts_take_the_time_they_are_told_to(tools: Tools) -> None:
    with serving(tools, "agi") as server:
        load = server.load("-r", "100", "-d", "5,0,20,30,0", "-s", "0.5")

    assert load.failed == 0
    assert 0 < load.calls <= 51
    assert load.turnaround.p50_us < 20_000, "the time of a prompt is no part of the turnaround"


def test_a_sound_is_made_by_us_and_by_sox(tmp_path: Path) -> None:
    files = recorded(tmp_path, minutes=0.2)
    found = contests(files, 0.2, rounds=1)

    assert isinstance(found, dict), found
    assert set(found) == {"WAV", "MP3"}
    assert all(contest.ours.by_cpu > 1 < contest.sox.by_cpu for contest in found.values())
    assert sorted(tmp_path.iterdir()) == sorted(files.values()), "what was made is removed"


def test_texts_and_files_become_sounds_beside_calls() -> None:
    size = audio.Size(starts=1, texts=1, rounds=1, minutes=0.2, files=2, calls=3, calm=1)
    measured = audio.measure(size)

    assert (len(measured.spoken.cold), len(measured.spoken.warm)) == (1, 1)
    assert measured.beside.lost == 0
    assert measured.beside.calm.looks > 100
    assert measured.beside.busy.longest > 0
    assert len(list(targets(Figures(audio=measured)))) == 1


async def test_calls_are_placed_and_their_events_delivered() -> None:
    size = outbound.Size(accepting=0.5, steady=1, events=20, calls_each=1, picks=5)
    measured = await outbound.measure(size)

    accepted, invites = measured.dialled
    assert accepted == invites > len(measured.waited_ms) == outbound.RATE
    assert all(waited > 0 for waited in measured.waited_ms)
    assert measured.events == 20
    assert min(measured.accepted, measured.cpu_ms, measured.delivered, measured.picked.first) > 0


async def test_actions_are_timed_until_they_are_heard() -> None:
    measured = await actions.measure(actions.Size(calls=2, rounds=1))

    assert set(measured.waited_ms) == {
        "play, cached",
        "speak, cached",
        "speak, new",
        "key",
        "transfer's INVITE",
    }
    assert all(len(waited) == 2 and min(waited) > 0 for waited in measured.waited_ms.values())
