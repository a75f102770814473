"""Worker processes that are killed, given up, cancelled, left alone: the pool goes on, and ends them all.

A named pipe stands for a decoder that does not come back: who opens it waits for its other end.
"""

import asyncio
import os
import resource
import signal
import sys
import wave
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.adapters.recordings import speech, written
from tests.adapters.waiting import until
from trunx.adapters.studio.jobs import Master, Speak
from trunx.adapters.studio.pool import RefusedError, WorkerLostError, Workers


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "endless")
    return tmp_path / "endless"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return written(tmp_path / "upload.wav", speech(1, 8_000), 8_000)


def _job(source: Path, to: str = "made") -> Master:
    return Master(source=source, scratch=source.parent / to, most_bytes=10_000_000, most_seconds=60)


def _pids(workers: Workers) -> list[int]:
    return [worker._process.pid for worker in workers._all]


def _has_ended(pid: int) -> bool:
    """Gone, or a zombie that nobody has buried yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


async def _let_go(pipe: Path) -> None:
    """Ends the waiting of who opened the pipe: it reads an empty file."""
    os.close(await asyncio.to_thread(os.open, pipe, os.O_WRONLY))


async def test_a_worker_is_kept_for_the_next_job_and_gives_way_to_calls(source: Path) -> None:
    async with Workers(1) as workers:
        assert (await workers.run(_job(source), 30))["ms"] > 800
        (pid,) = _pids(workers)
        assert os.getpriority(os.PRIO_PROCESS, pid) == min(19, os.nice(0) + 10)
        assert resource.prlimit(pid, resource.RLIMIT_AS)[0] == 4 << 30
        await workers.run(_job(source, "again"), 30)
        assert _pids(workers) == [pid]
    assert _has_ended(pid)


async def test_a_worker_that_is_killed_over_a_job_is_replaced(endless: Path, source: Path) -> None:
    async with Workers(1) as workers:
        job = asyncio.create_task(workers.run(_job(endless), 30))
        await until(lambda: bool(_pids(workers)))
        (pid,) = _pids(workers)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(WorkerLostError):
            await job
        await workers.run(_job(source), 30)
        assert _pids(workers) != [pid]


async def test_a_worker_that_died_while_idle_is_replaced(source: Path) -> None:
    async with Workers(1) as workers:
        await workers.run(_job(source), 30)
        (worker,) = workers._all
        os.kill(worker._process.pid, signal.SIGKILL)
        await worker.over
        assert await workers.run(_job(source, "again"), 30)


async def test_the_deadline_ends_the_worker(endless: Path) -> None:
    async with Workers(1) as workers:
        with pytest.raises(WorkerLostError, match="within"):
            await workers.run(_job(endless), 0.1)
        assert _pids(workers) == []


async def test_a_job_that_is_cancelled_while_it_waits_disturbs_nobody(endless: Path, source: Path) -> None:
    async with Workers(1) as workers:
        running = asyncio.create_task(workers.run(_job(endless), 30))
        waiting = asyncio.create_task(workers.run(_job(source), 30))
        await until(lambda: bool(_pids(workers)))
        (pid,) = _pids(workers)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await _let_go(endless)
        with pytest.raises(RefusedError) as caught:
            await running
        assert caught.value.code == "empty"
        assert _pids(workers) == [pid]


async def test_a_job_that_is_cancelled_while_it_runs_has_ended_when_its_task_has(
    endless: Path, source: Path
) -> None:
    async with Workers(1) as workers:
        running = asyncio.create_task(workers.run(_job(endless), 30))
        await until(lambda: bool(_pids(workers)))
        (pid,) = _pids(workers)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert _has_ended(pid)
        assert await workers.run(_job(source), 30)


async def test_what_a_worker_says_when_it_crashes_is_in_our_log(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with Workers(1) as workers:
            with pytest.raises(WorkerLostError):
                await workers.run(Speak(words="Hello.", voice="nobody", target=tmp_path / "a.wav"), 30)
    assert "Traceback" in "".join(line.get("text", "") for line in logs)
    assert any(line["log_level"] == "error" for line in logs)


async def test_the_local_voice_speaks_in_a_worker(tmp_path: Path) -> None:
    async with Workers(1) as workers:
        for name in ("a.wav", "b.wav"):
            await workers.run(Speak(words="Press one.", voice="heart", target=tmp_path / name), 30)
        with pytest.raises(RefusedError) as caught:
            await workers.run(Speak(words=" \n", voice="heart", target=tmp_path / "c.wav"), 30)
    assert caught.value.code == "unspeakable"
    assert not (tmp_path / "c.wav").exists()
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert file.getframerate() == 24_000
        assert 0.4 < file.getnframes() / 24_000 < 2


async def test_a_worker_ends_with_its_input_in_the_middle_of_a_job(endless: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "trunx.adapters.studio.worker"), stdin=PIPE
    )
    assert process.stdin is not None
    process.stdin.write(_job(endless).model_dump_json().encode() + b"\n")
    await process.stdin.drain()
    process.stdin.close()
    async with asyncio.timeout(10):
        assert await process.wait() == 0


async def test_a_worker_takes_no_job_that_it_does_not_know() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "trunx.adapters.studio.worker"), stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    out, said = await asyncio.wait_for(_told(process, b'{"kind": "sing", "words": "la"}\n'), 10)
    assert out == b""
    assert b"ValidationError" in said
    assert process.returncode == 1


async def _told(process: asyncio.subprocess.Process, line: bytes) -> tuple[bytes, bytes]:
    """Its input stays open."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.write(line)
    out, said = await asyncio.gather(process.stdout.read(), process.stderr.read())
    await process.wait()
    process.stdin.close()
    return out, said


async def test_workers_end_when_our_process_is_killed(endless: Path) -> None:
    program = f"""
import asyncio
from pathlib import Path
from trunx.adapters.studio.jobs import Master
from trunx.adapters.studio.pool import Workers
async def main():
    async with Workers(1) as workers:
        job = Master(source=Path({str(endless)!r}), scratch=Path("/nowhere"), most_bytes=1, most_seconds=1)
        asyncio.create_task(workers.run(job, 60))
        while not workers._all:
            await asyncio.sleep(0.01)
        print(next(iter(workers._all))._process.pid, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=PIPE)
    assert process.stdout is not None
    pid = int(await process.stdout.readline())
    assert not _has_ended(pid)
    process.kill()
    await process.wait()
    await until(lambda: _has_ended(pid), 10)
