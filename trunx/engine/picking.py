"""Which DID calls: the best by health and local presence, for whoever names none.

What the account's DIDs have done lately is read once a minute at the most, and kept here in order, so that a
pick among ten thousand takes a millisecond. DIDs that come or go are noticed at once; what other processes
dial within that minute is not.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

import structlog

from trunx.domain.errors import UnavailableError
from trunx.domain.health import Board, Choice, Kept, Roll, Seen, Standing, assess, turned
from trunx.domain.presence import place

AUTO = "auto"
"""Instead of a number: whichever DID is best."""
_FRESH = timedelta(seconds=60)
_LAZY = 20
"""What took long to read is good for so many times as long."""

log = structlog.get_logger(__name__)


class NoDidError(Exception):
    """The account has no DID, or (`resting`) all that it has rest."""

    def __init__(self, *, resting: bool) -> None:
        super().__init__()
        self.resting = resting


class Standings(Protocol):
    """What came of the DIDs' last calls, and which of them rest."""

    async def roll(self, account: str) -> Roll:
        """Tells whether the account still has the DIDs it had."""

    async def seen(self, account: str, now: datetime) -> Sequence[Seen]:
        """All of the account's DIDs."""

    async def one(self, account: str, did: str, now: datetime) -> Seen:
        """Raises `NotFoundError`: the account has no such DID."""

    async def keep(self, turned: Mapping[str, Kept]) -> None:
        """Remembers that DIDs have begun to rest, or ceased to."""


class _Read(NamedTuple):
    roll: Roll
    good_until: datetime
    board: Board


class Picking:
    """Picks DIDs. `close` before the store goes."""

    def __init__(self, standings: Standings) -> None:
        self._standings = standings
        self._reads: dict[str, _Read] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._renewals: dict[str, asyncio.Task[None]] = {}

    async def pick(self, account: str, to_number: str, most: int) -> list[Choice]:
        """The `most` best DIDs for a call to `to_number` (E.164), best first; nothing is counted.

        Raises `UnavailableError`.
        """
        return (await self._board(account, to_number)).pick(to_number, most)

    async def caller(self, account: str, from_number: str, to_number: str, *, calls: bool = True) -> str:
        """Who calls `to_number`: `from_number`, or the DID that is picked for `AUTO`; if it then `calls`, the
        next pick counts that.

        Raises:
            NoDidError: no DID may call.
            UnavailableError: the store does not answer.
        """
        if from_number != AUTO:
            return from_number
        board = await self._board(account, to_number)
        best = next(iter(board.pick(to_number)), None)
        if best is None or not best.usable:
            raise NoDidError(resting=best is not None)
        if calls:
            board.called(best.did)
        return best.did

    async def health(self, account: str, did: str) -> tuple[Seen, Standing]:
        """How a DID stands at this moment. Raises `NotFoundError` and `UnavailableError`."""
        now = _now()
        seen = await self._standings.one(account, did, now)
        standing = assess(seen, now)
        await self._remember([(seen, standing)])
        return seen, standing

    async def close(self) -> None:
        """Ends what is being read."""
        for renewal in self._renewals.values():
            renewal.cancel()
        await asyncio.gather(*self._renewals.values(), return_exceptions=True)

    async def _board(self, account: str, to_number: str) -> Board:
        """The account's DIDs, as they were a minute ago at the most, or are being read anew."""
        await asyncio.to_thread(place, to_number)  # the first of a country reads its tables
        async with self._turns[account]:
            read = self._reads.get(account)
            if read is None or read.roll != await self._standings.roll(account):
                read = await self._renew(account)
        if _now() > read.good_until and account not in self._renewals:
            renewal = self._renewals[account] = asyncio.create_task(self._renew_aside(account))
            renewal.add_done_callback(lambda _: self._renewals.pop(account))
        return read.board

    async def _renew(self, account: str) -> _Read:
        now = _now()
        seen = await self._standings.seen(account, now)
        standings, board = await asyncio.to_thread(_judged, seen, now)
        await self._remember(standings)
        roll = Roll(len(seen), max((one.registered_at for one in seen), default=None))
        good_until = now + max(_FRESH, _LAZY * (_now() - now))
        read = self._reads[account] = _Read(roll, good_until, board)
        return read

    async def _renew_aside(self, account: str) -> None:
        try:
            await self._renew(account)
        except UnavailableError as error:
            log.warning("DIDs are picked by what they did before", account=account, error=str(error))

    async def _remember(self, standings: Iterable[tuple[Seen, Standing]]) -> None:
        news = {seen.did: standing for seen, standing in standings if turned(seen, standing)}
        for did, (state, _, value, _) in news.items():
            log.info("a DID rests, or is back", did=did, state=state, health=value)
        if news:
            await self._standings.keep({did: Kept(now.state, now.since) for did, now in news.items()})


def _judged(seen: Sequence[Seen], now: datetime) -> tuple[list[tuple[Seen, Standing]], Board]:
    standings = [(one, assess(one, now)) for one in seen]
    return standings, Board(standings)


def _now() -> datetime:
    return datetime.now(UTC)
