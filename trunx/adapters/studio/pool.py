"""The studio's worker processes: as many as were allowed, started when needed, replaced when they fail.

A worker does one job at a time. One whose job is given up, by a deadline or by a cancellation, is killed: a
decoder cannot be asked to stop.
"""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from typing import Any, Self

import structlog
from pydantic import ValidationError

from trunx.adapters.studio.jobs import REPLIES, Done, Failed, Job, Refused
from trunx.domain.errors import UnavailableError

_LONGEST_REPLY = 1 << 20
_LONGEST_LOG = 8_192
_log = structlog.get_logger()


class RefusedError(Exception):
    """The job cannot be done. `code` tells why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class WorkerLostError(Exception):
    """The worker ended, or was ended by the deadline, before the job was done."""


class Workers:
    """The pool. Its processes end with the block, whatever they do just then."""

    def __init__(self, most: int) -> None:
        self._slots = asyncio.Semaphore(most)
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await asyncio.gather(*(self._end(worker) for worker in tuple(self._all)))

    async def run(self, job: Job, deadline: float) -> dict[str, Any]:
        """Does the job when its turn comes; what `Done` holds. `deadline`: seconds, the waiting not counted.

        Raises:
            RefusedError: it cannot be done.
            WorkerLostError: the worker crashed over it, or the deadline passed.
            UnavailableError: no process, no disk.
        """
        async with self._slots:
            worker = await self._free()
            try:
                async with asyncio.timeout(deadline):
                    line = await worker.ask(job.model_dump_json().encode() + b"\n")
                reply = REPLIES.validate_json(line)
            except TimeoutError:
                await self._end(worker)
                raise WorkerLostError(f"it was not done within {deadline:g} s") from None
            except (OSError, ValueError) as error:  # ValueError: no reply of ours, or one without end
                await self._end(worker)
                _log.error(
                    "a studio worker was lost", job=job.kind, exit=worker.exit_code(), problem=_told(error)
                )
                raise WorkerLostError("the process that did it ended") from None
            except BaseException:  # cancelled: its reply would be taken for that to the next job
                await self._end(worker)
                raise
            self._idle.append(worker)
        match reply:
            case Done():
                return reply.result
            case Refused():
                raise RefusedError(reply.code, reply.message)
            case Failed():
                raise UnavailableError(f"the studio cannot work: {reply.message}")

    async def _free(self) -> "_Worker":
        while self._idle:
            worker = self._idle.pop()
            if worker.is_alive():
                return worker
            await self._end(worker)
        try:
            worker = await _Worker.start()
        except OSError as error:
            raise UnavailableError(f"no studio worker can be started: {error}") from None
        self._all.add(worker)
        return worker

    async def _end(self, worker: "_Worker") -> None:
        worker.kill()
        # Shielded, as its files are removed next: when we return it writes no more.
        await asyncio.shield(worker.over)
        self._all.discard(worker)


class _Worker:
    """One process. `over` is done when it has ended and been buried."""

    def __init__(
        self,
        process: Process,
        requests: asyncio.StreamWriter,
        replies: asyncio.StreamReader,
        said: asyncio.StreamReader,
    ) -> None:
        self._process = process
        self._requests = requests
        self._replies = replies
        self.over = asyncio.create_task(self._log_until_over(said), name="studio worker")

    @classmethod
    async def start(cls) -> Self:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "trunx.adapters.studio.worker"),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            limit=_LONGEST_REPLY,
            # One job, one core: the rest belong to calls, and threads of BLAS reserve memory.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        match process.stdin, process.stdout, process.stderr:
            case (
                asyncio.StreamWriter() as requests,
                asyncio.StreamReader() as replies,
                asyncio.StreamReader() as said,
            ):
                return cls(process, requests, replies, said)
        raise AssertionError("pipes were asked for")

    async def ask(self, line: bytes) -> bytes:
        """The reply's line; empty when the process ended first."""
        self._requests.write(line)
        await self._requests.drain()
        return await self._replies.readline()

    def is_alive(self) -> bool:
        return self._process.returncode is None

    def exit_code(self) -> int | None:
        """Negative: the signal that ended it."""
        return self._process.returncode

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()

    async def _log_until_over(self, said: asyncio.StreamReader) -> None:
        while text := await said.read(_LONGEST_LOG):
            _log.warning("a studio worker says", pid=self._process.pid, text=text.decode(errors="replace"))
        await self._process.wait()
        self._requests.close()


def _told(error: Exception) -> str:
    """Without the reply itself, which may be long."""
    return "no reply, or not one of ours" if isinstance(error, ValidationError) else str(error)
