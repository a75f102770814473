"""The embedded Valkey: it comes up, is kept up, and ends with us, however we end."""

import asyncio
import os
import signal
import stat
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.adapters.waiting import until
from trunx.adapters.cache.redis import FAILURES
from trunx.adapters.cache.valkey import ValkeyError, open_valkey


async def _pid(client: Redis) -> int:
    return int((await client.info("server"))["process_id"])


def _has_ended(pid: int) -> bool:
    """Gone, or a zombie that nobody has buried yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


async def test_it_is_up_inside_the_block_and_ended_after(tmp_path: Path) -> None:
    async with open_valkey(tmp_path / "run") as server:
        assert (await server.state()).state == "ok"
        pid = await _pid(server.client)
        assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "run" / "valkey.sock").stat().st_mode) == 0o700
    assert _has_ended(pid)
    assert not list((tmp_path / "run").glob("*.rdb"))


async def test_it_is_started_again_when_it_dies(tmp_path: Path) -> None:
    async with open_valkey(tmp_path / "run") as server:
        first = await _pid(server.client)
        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(5):
            while True:
                try:
                    assert await _pid(server.client) != first
                    break
                except FAILURES:
                    await asyncio.sleep(0.01)


async def test_it_ends_when_our_process_is_killed(tmp_path: Path) -> None:
    program = f"""
import asyncio
from pathlib import Path
from trunx.adapters.cache.valkey import open_valkey
async def main():
    async with open_valkey(Path({str(tmp_path / "run")!r})) as server:
        print((await server.client.info("server"))["process_id"], flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=PIPE)
    assert process.stdout is not None
    pid = int(await process.stdout.readline())
    assert not _has_ended(pid)
    process.kill()
    await process.wait()
    await until(lambda: _has_ended(pid))
    async with open_valkey(tmp_path / "run") as server:
        assert (await server.state()).state == "ok"


async def test_who_shares_the_folder_shares_the_server_and_takes_it_over(tmp_path: Path) -> None:
    first = open_valkey(tmp_path / "run")
    owner = await first.__aenter__()
    async with open_valkey(tmp_path / "run") as guest:
        pid = await _pid(owner.client)
        assert await _pid(guest.client) == pid
        await first.__aexit__(None, None, None)
        async with asyncio.timeout(5):
            while (await guest.state()).state != "ok":  # noqa: ASYNC110 - asking is the only way to know
                await asyncio.sleep(0.01)
        assert await _pid(guest.client) != pid


async def test_a_folder_with_a_long_path(tmp_path: Path) -> None:
    async with open_valkey(tmp_path / ("x" * 120)) as server:
        assert (await server.state()).state == "ok"
        folder = Path(server.place).parent
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()


async def test_it_says_why_it_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "run" / "valkey.sock" / "in the way").mkdir(parents=True)
    with pytest.raises(ValkeyError, match="does not start"):
        async with open_valkey(tmp_path / "run"):
            pass
