"""The load generator counts calls as they are, and reads what they cost."""

from collections.abc import Iterator

import pytest

from tests.bench.measure import Tools, serving


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
