"""The benchmark of agents counts every caller, and tells who was lost."""

from tests.bench.agents import measure


async def test_a_small_crowd() -> None:
    crowd = await measure(calls=5, talk=1.0)

    assert (crowd.calls, crowd.lost, crowd.ended) == (5, 0, 5)
    assert 0 < crowd.median <= crowd.p99 <= crowd.longest < 5
