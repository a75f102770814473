"""What becomes known of calls is written down here, whoever learned it, and nothing of it is lost.

News are tried again until the database takes them. Whose end is written gives its place back.
"""

import asyncio
import random
from collections.abc import Mapping
from datetime import UTC, datetime

import structlog

from trunx.domain.call import Call
from trunx.domain.dial import Reading
from trunx.domain.errors import UnavailableError
from trunx.domain.records import Lease
from trunx.engine.gatekeeper import Gatekeeper
from trunx.engine.metrics import PLACED_ENDED
from trunx.engine.ports import Dials, Recorder

log = structlog.get_logger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0


class Settling:
    """Writes news of calls. `close` before the database goes."""

    def __init__(self, dials: Dials, gate: Gatekeeper, recorder: Recorder) -> None:
        self._dials = dials
        self._gate = gate
        self._recorder = recorder
        self._later: set[asyncio.Task[None]] = set()

    async def settle(self, news: Mapping[str, Reading]) -> Mapping[str, tuple[Call, Call]]:
        """Each call as it was and as it is then. Raises `UnavailableError`."""
        settled = await self._dials.settle(news)
        over = [after for before, after in settled.values() if after.ended_at and not before.ended_at]
        for call in over:
            _tell(call)
        trunk = self._gate.trunk.name
        await self._gate.release(
            [
                Lease(call.id, call.account, call.provider or trunk, call.direction == "outbound")
                for call in over
            ]
        )
        return settled

    async def surely(
        self, news: Mapping[str, Reading], *, after_steps: bool = False
    ) -> Mapping[str, tuple[Call, Call]]:
        """The same, tried until the database takes it; `after_steps`: and all that our sessions have recorded
        before it, for a call's end is told last.
        """
        pause = _FIRST_PAUSE
        while True:
            try:
                if after_steps:
                    await self._recorder.flush()
                return await self.settle(news)
            except UnavailableError:
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                pause = min(pause * 2, _LONGEST_PAUSE)

    def later(self, seconds: float, call: str, reading: Reading) -> None:
        """Settles an end in a while, which other news may have told better by then, and steps before it."""

        async def wait() -> None:
            await asyncio.sleep(seconds)
            await self.surely({call: reading}, after_steps=True)

        task = asyncio.create_task(wait())
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def close(self) -> None:
        """What waits is left to the next one who compares rows and channels."""
        for task in self._later:
            task.cancel()
        await asyncio.gather(*self._later, return_exceptions=True)


def moment() -> datetime:
    """Now, as precisely as it is stored: what a write says is then what a read finds."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _tell(call: Call) -> None:
    if call.direction == "outbound" and call.end_reason is not None:
        PLACED_ENDED[call.end_reason].inc()
    log.info(
        "call ended",
        call=call.id,
        direction=call.direction,
        reason=call.end_reason.value if call.end_reason else None,
        to=call.to_number,
        q850=call.q850_cause,
        sip=call.sip_cause,
    )
