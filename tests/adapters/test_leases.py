"""Leases, against a real server: limits that processes share, and that a crash does not use up."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.adapters.valkey_peer import ValkeyPeer
from trunx.adapters.cache.leases import Lease, Leases
from trunx.adapters.cache.redis import open_redis
from trunx.domain.errors import UnavailableError
from trunx.domain.gate import Capacity, Full

WIDE = Capacity(per_second=1_000, at_once=1_000)
A, B, TRUNK = "MA1", "MA2", "carrier"

# Another process of ours, which holds five places of MA1 until it is killed.
HOLDER = """
import asyncio, sys
from trunx.adapters.cache.leases import Lease, Leases
from trunx.adapters.cache.redis import open_redis
from trunx.domain.gate import Capacity

async def main():
    async with open_redis(sys.argv[1]) as server:
        leases = Leases(server, ttl=float(sys.argv[2]))
        mine = [Lease(f"theirs-{n}", "MA1", "carrier") for n in range(5)]
        for lease in mine:
            assert await leases.take(lease, Capacity(1000, 5), Capacity(1000, 1000)) is None
        print("held", flush=True)
        while True:
            await leases.renew(mine)
            await asyncio.sleep(float(sys.argv[2]) / 4)

asyncio.run(main())
"""


@asynccontextmanager
async def process(valkey: ValkeyPeer, ttl: float = 30.0) -> AsyncIterator[Leases]:
    async with open_redis(valkey.url) as server:
        yield Leases(server, ttl)


async def taken(leases: Leases, of_account: Capacity, calls: list[Lease]) -> list[Full | None]:
    return [await leases.take(call, of_account, WIDE) for call in calls]


def calls(count: int, account: str = A, name: str = "call") -> list[Lease]:
    return [Lease(f"{name}-{number}", account, TRUNK) for number in range(count)]


def keys(valkey: ValkeyPeer) -> int:
    return int(valkey.command("DBSIZE").strip(b":\r\n"))


async def test_calls_at_once(valkey: ValkeyPeer) -> None:
    two = Capacity(per_second=1_000, at_once=2)
    async with process(valkey) as leases:
        first, second, third = calls(3)
        assert await taken(leases, two, [first, second]) == [None, None]
        full = Full("account", "at_once", 2, 2, None)
        assert await leases.look(A, TRUNK, two, WIDE) == full
        assert await leases.take(third, two, WIDE) == full
        assert await leases.take(Lease("other", B, TRUNK), two, WIDE) is None
        await leases.release(first)
        assert await leases.take(third, two, WIDE) is None


async def test_the_trunk_is_shared_by_accounts(valkey: ValkeyPeer) -> None:
    two = Capacity(per_second=1_000, at_once=2)
    async with process(valkey) as leases:
        assert await leases.take(Lease("1", A, TRUNK), WIDE, two) is None
        assert await leases.take(Lease("2", B, TRUNK), WIDE, two) is None
        assert await leases.take(Lease("3", A, TRUNK), WIDE, two) == Full("trunk", "at_once", 2, 2, None)
        assert await leases.take(Lease("3", A, "another"), WIDE, two) is None


async def test_a_call_that_asks_again_is_counted_once(valkey: ValkeyPeer) -> None:
    one = Capacity(per_second=1, at_once=1)
    async with process(valkey) as leases:
        assert await taken(leases, one, calls(1) * 3) == [None, None, None]


async def test_calls_per_second(valkey: ValkeyPeer) -> None:
    three = Capacity(per_second=3, at_once=1_000)
    async with process(valkey) as leases:
        begun = time.monotonic()
        dialled = []
        for call in calls(10):
            while (full := await leases.take(call, three, WIDE)) is not None:
                assert (full.scope, full.limit, full.used, full.most) == ("account", "per_second", 3, 3)
                assert full.retry_after is not None
                assert 0 < full.retry_after <= 1
                await asyncio.sleep(full.retry_after)
            dialled.append(time.monotonic())
        windows = [later - earlier for earlier, later in zip(dialled, dialled[3:], strict=False)]
        assert min(windows) > 0.9, "no fourth call in a second"
        assert dialled[-1] - begun < 6, "who is refused is told when to come again"


async def test_who_is_refused_costs_nothing(valkey: ValkeyPeer) -> None:
    one, full = Capacity(per_second=10, at_once=1), Full("account", "at_once", 1, 1, None)
    async with process(valkey) as leases:
        await leases.take(Lease("held", A, TRUNK), one, WIDE)
        assert await taken(leases, one, calls(50)) == [full] * 50
        # Not of the trunk's either: nine of its ten of this second are left.
        ten = Capacity(per_second=10, at_once=1_000)
        answers = [await leases.take(call, WIDE, ten) for call in calls(10, B)]
        assert [answer for answer in answers if answer is not None and answer.used != 10] == []
        assert answers[:9] == [None] * 9


async def test_looking_takes_nothing(valkey: ValkeyPeer) -> None:
    one = Capacity(per_second=1, at_once=1)
    async with process(valkey) as leases:
        for _ in range(5):
            assert await leases.look(A, TRUNK, one, one) is None
        assert keys(valkey) == 0


async def test_a_part_is_left_for_inbound_calls(valkey: ValkeyPeer) -> None:
    five = Capacity(per_second=1_000, at_once=5, for_inbound=2)
    async with process(valkey) as leases:
        outbound = calls(6)
        assert await taken(leases, five, outbound[:3]) == [None] * 3
        assert await leases.take(outbound[3], five, WIDE) == Full("account", "at_once", 3, 3, None)
        inbound = [Lease(f"in-{number}", A, TRUNK, outbound=False) for number in range(7)]
        await leases.renew(inbound)  # more than their part: a call that is there is counted
        await leases.release(outbound[0])
        assert await leases.take(outbound[3], five, WIDE) == Full("account", "at_once", 9, 5, None)
        await leases.release(*inbound[2:])
        assert await leases.take(outbound[3], five, WIDE) is None


async def test_two_processes_have_one_limit(valkey: ValkeyPeer) -> None:
    seven = Capacity(per_second=1_000, at_once=7)
    async with process(valkey) as one, process(valkey) as other:
        answers = await asyncio.gather(
            taken(one, seven, calls(20, name="one")), taken(other, seven, calls(20, name="other"))
        )
        assert sum(answer.count(None) for answer in answers) == 7


async def test_what_a_killed_process_held_comes_free(valkey: ValkeyPeer) -> None:
    five, ttl = Capacity(per_second=1_000, at_once=5), 0.6
    holder = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLDER, valkey.url, str(ttl)), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"held\n"
        async with process(valkey, ttl) as leases:
            still = time.monotonic() + 2 * ttl
            while time.monotonic() < still:  # as long as it lives, they are renewed
                assert await leases.look(A, TRUNK, five, WIDE) == Full("account", "at_once", 5, 5, None)
                await asyncio.sleep(0.02)
            holder.kill()
            killed = time.monotonic()
            await holder.wait()
            while await leases.look(A, TRUNK, five, WIDE) is not None:
                assert time.monotonic() - killed < 2 * ttl
                await asyncio.sleep(0.02)
            assert await leases.take(calls(1)[0], five, WIDE) is None
    finally:
        if holder.returncode is None:
            holder.kill()
            await holder.wait()


async def test_nothing_is_left_when_all_have_gone(valkey: ValkeyPeer) -> None:
    async with process(valkey, ttl=0.1) as leases:
        await taken(leases, WIDE, calls(20))
        gone = time.monotonic() + 5
        while keys(valkey):
            assert time.monotonic() < gone
            await asyncio.sleep(0.05)


async def test_calls_that_live_are_counted_again_when_the_server_forgot_them(valkey: ValkeyPeer) -> None:
    three = Capacity(per_second=1_000, at_once=3)
    async with process(valkey) as leases:
        living = calls(3)
        await taken(leases, three, living)
        valkey.kill()
        with pytest.raises(UnavailableError):
            await leases.take(Lease("new", A, TRUNK), three, WIDE)
        with pytest.raises(UnavailableError):
            await leases.renew(living)
        with pytest.raises(UnavailableError):
            await leases.release(living[0])
        valkey.start()
        await leases.renew(living)
        assert await leases.take(Lease("new", A, TRUNK), three, WIDE) == Full(
            "account", "at_once", 3, 3, None
        )


async def test_a_server_that_does_not_answer_is_not_waited_for(valkey: ValkeyPeer) -> None:
    async with process(valkey) as leases:
        await leases.look(A, TRUNK, WIDE, WIDE)
        valkey.freeze()
        begun = time.monotonic()
        with pytest.raises(UnavailableError, match="no answer in time"):
            await leases.take(Lease("1", A, TRUNK), WIDE, WIDE)
        assert time.monotonic() - begun < 3
        valkey.thaw()
        assert await leases.take(Lease("2", A, TRUNK), WIDE, WIDE) is None


async def test_a_thousand_calls_are_renewed_in_one_go(valkey: ValkeyPeer) -> None:
    thousand, full = Capacity(1_000, 1_200), Full("account", "at_once", 1_200, 1_200, None)
    async with process(valkey) as leases:
        begun = time.perf_counter()
        await leases.renew(calls(1_200))
        assert time.perf_counter() - begun < 1
        assert await leases.take(Lease("one more", A, TRUNK), thousand, Capacity(1_000, 2_000)) == full
