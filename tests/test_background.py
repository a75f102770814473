"""A part that dies ends the server: nobody has to find out hours later."""

import subprocess
import sys

_SERVER = """
import asyncio, signal
from trunx.background import at_work

async def settle():
    await asyncio.sleep(0)
    raise ValueError("a fault of ours")

async def serve():
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    async with at_work(asyncio.Event().wait()), at_work(settle()):
        await asyncio.wait_for(over.wait(), 10)
        print("drained", flush=True)

asyncio.run(serve())
"""


def test_a_part_that_dies_ends_the_server_in_order_and_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SERVER], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 1
    assert "drained" in done.stdout
    assert "a part of the server has died" in done.stdout
    assert "settle" in done.stdout
    assert "ValueError: a fault of ours" in done.stderr
