"""A FastAGI server for the tests of signals: `python -m tests.agi.program LOOP` prints its port first."""

import asyncio
import sys

import uvloop

from agi import Channel, Server


async def handler(channel: Channel) -> None:
    try:
        print(await channel.get_variable("X"), flush=True)
    finally:
        print("cleaned", flush=True)


async def main() -> None:
    async with Server(handler, port=0) as server:
        print(server.port, flush=True)
        await server.serve_until_signal(drain=60)
    print("ended", flush=True)


with asyncio.Runner(loop_factory=uvloop.new_event_loop if sys.argv[1] == "uvloop" else None) as runner:
    runner.run(main())
