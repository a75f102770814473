"""How well a DID's calls are taken, 0 to 100, and which DID calls next.

A number that many hang up on, or that carriers take for spam, gets worse with every call; so it rests before
it is burnt, and a new one begins slowly. Few calls say little: every DID is taken to have made `PRIOR_CALLS`
ordinary calls besides its own (a beta prior), of which the first real dozens only slowly make less.
"""

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from trunx.domain.presence import Nearness, Place, nearness, place

LAST_CALLS = 60
WINDOW = timedelta(days=7)
"""A DID is judged by its last `LAST_CALLS` calls, if they are no older than this."""
NEWEST_CALLS = 20
"""The trend is these against the ones before."""
TODAY = timedelta(hours=24)
SHORT = timedelta(seconds=6)
"""A callee who hangs up sooner had heard enough."""
REGRET = timedelta(days=1)
"""Who is put on the do-not-call list so soon after a call was so because of it."""

PRIOR_CALLS = 30
PRIOR_ANSWERED = 0.3
PRIOR_SHORT = 0.15  # of the answered calls, like the suppressed
PRIOR_FAILED = 0.05
PRIOR_SUPPRESSED = 0.02

_GOOD_ANSWERED = 0.4  # from here on it cannot be better
_BAD_SHORT, _BAD_FAILED, _BAD_SUPPRESSED = 0.5, 0.5, 0.2  # and from here on not worse

TIRED, RESTED = 45, 60
"""A DID rests when its health falls under the one, and goes on when it has reached the other."""
REST = timedelta(days=2)
"""It rests this long at least; its health comes back as its bad calls leave the window."""
WARM_UP = timedelta(days=14)
WARM_UP_CALLS = 20
"""While a DID is new, or back from its rest, this many calls are enough for the first day, and as many more
for each day that follows.
"""

PRESENCE = {
    Nearness.ELSEWHERE: 0,
    Nearness.COUNTRY: 5,
    Nearness.STATE: 10,
    Nearness.NEIGHBOUR: 20,
    Nearness.AREA: 30,
}
"""What nearness is worth beside health."""


class Use(NamedTuple):
    """What came of a DID's last calls, of those that reached the callee's side: answered, busy, no answer or
    rejected. What the network lost, or we took back, says nothing of the DID.

    `short` (the callee hung up soon) and `suppressed` (is on the do-not-call list since then) are among the
    `answered`, `rejected` (what carriers do to spam, too) among the others; `newest` of the calls, of which
    `newest_answered`, are the newest.
    """

    calls: int = 0
    answered: int = 0
    short: int = 0
    rejected: int = 0
    suppressed: int = 0
    newest: int = 0
    newest_answered: int = 0


class Part(NamedTuple):
    """One part of a health: `points` of `most`, because of `share`, which is smoothed.

    The share of `trend` is the answer rate of the newest calls, divided by that of the ones before.
    """

    name: str
    points: float
    most: int
    share: float
    sentence: str


class State(StrEnum):
    """What a DID may do."""

    WARMING = "warming"  # after others, once it has made its calls of the day
    READY = "ready"
    RESTING = "resting"  # nothing


class Kept(NamedTuple):
    """What is remembered of a DID that has rested: that it does, or warms up again, and since when."""

    state: State
    since: datetime


class Seen(NamedTuple):
    """A DID as the store knows it; `today` is how many calls it has made in `TODAY`."""

    did: str
    registered_at: datetime
    kept: Kept | None
    use: Use
    today: int


class Roll(NamedTuple):
    """How many DIDs an account has, and when the newest was registered: another when one comes or goes."""

    dids: int
    newest: datetime | None


class Standing(NamedTuple):
    """How a DID stands; `since` is when it began to rest, or to warm up, and `enough` how many calls are
    enough for it in `TODAY` (None: it may make any number).
    """

    state: State
    since: datetime
    health: int
    enough: int | None


class Choice(NamedTuple):
    """A DID with its marks for one call. `score` is the health in tens, and `PRESENCE`."""

    did: str
    usable: bool
    score: int
    nearness: Nearness
    standing: Standing
    today: int


def explain(use: Use) -> list[Part]:
    """The parts of a health. Their points add up to it."""
    calls, answered = use.calls, use.answered
    older, older_answered = calls - use.newest, answered - use.newest_answered
    rate, newest = _rate(answered, calls), _rate(use.newest_answered, use.newest)
    short = _smooth(use.short, answered, PRIOR_SHORT, PRIOR_CALLS * PRIOR_ANSWERED)
    rejected = _smooth(use.rejected, calls, PRIOR_FAILED, PRIOR_CALLS)
    suppressed = _smooth(use.suppressed, answered, PRIOR_SUPPRESSED, PRIOR_CALLS * PRIOR_ANSWERED)
    trend = newest / _rate(older_answered, older)
    told = f"the newest {use.newest}: {use.newest_answered} answered; before, {older}: {older_answered}"
    return [
        _part("answered", 50, rate / _GOOD_ANSWERED, rate, f"{answered} of {calls} calls were answered"),
        _part(
            "short",
            10,
            1 - short / _BAD_SHORT,
            short,
            f"in {use.short} of {answered} the callee hung up within {SHORT.seconds} s",
        ),
        _part("failed", 20, 1 - rejected / _BAD_FAILED, rejected, f"{use.rejected} of {calls} were rejected"),
        _part(
            "suppressed",
            10,
            1 - suppressed / _BAD_SUPPRESSED,
            suppressed,
            f"after {use.suppressed} of {answered} the callee went on the do-not-call list",
        ),
        _part("trend", 10, trend, trend, told),
    ]


def health(use: Use) -> int:
    """0 to 100. A DID without calls has 82."""
    return round(sum(part.points for part in explain(use)))


def assess(seen: Seen, now: datetime) -> Standing:
    """How a DID stands now. To be remembered when it has begun to rest, or ceased to: see `turned`."""
    state, since = seen.kept or Kept(State.WARMING, seen.registered_at)
    value = _HEALTH_UNUSED if seen.use == _UNUSED else health(seen.use)
    if state is State.RESTING:
        if value >= RESTED and now - since >= REST:
            return Standing(State.WARMING, now, value, WARM_UP_CALLS)
        return Standing(State.RESTING, since, value, 0)
    if value < TIRED:
        return Standing(State.RESTING, now, value, 0)
    if now - since >= WARM_UP:
        return Standing(State.READY, since, value, None)
    return Standing(State.WARMING, since, value, WARM_UP_CALLS * (1 + max(0, (now - since).days)))


def turned(seen: Seen, standing: Standing) -> bool:
    """Whether the DID has begun to rest, or ceased to."""
    rested = seen.kept is not None and seen.kept.state is State.RESTING
    return (standing.state is State.RESTING) != rested


class Board:
    """An account's DIDs, those of each place in order: so a pick looks at hundreds of places, not at ten
    thousand DIDs. Good for a minute or so, in which nobody's standing changes much.
    """

    def __init__(self, dids: Iterable[tuple[Seen, Standing]]) -> None:
        self._dids: dict[str, _Entry] = {}
        self._at: dict[Place, list[_Rank]] = {}
        for seen, standing in dids:
            home = place(seen.did)
            entry = self._dids[seen.did] = _Entry(home, standing, seen.today)
            self._at.setdefault(home, []).append(entry.rank(seen.did))
        for ranks in self._at.values():
            ranks.sort()

    def pick(self, to: str, most: int = 1) -> list[Choice]:
        """The `most` best DIDs to call `to` (E.164) with, best first.

        Who has room in its day comes before who has none, and who rests is last and not usable. Then the
        score counts, and among equals who has called least today.
        """
        there = place(to)
        marks: list[tuple[int, int, int, str, Nearness]] = []
        for home, ranks in self._at.items():
            near = nearness(there, home)
            worth = PRESENCE[near]
            marks += [(room, tens - worth, today, did, near) for room, tens, today, did in ranks[:most]]
        return [self._choice(did, -score, near) for _, score, _, did, near in heapq.nsmallest(most, marks)]

    def called(self, did: str) -> None:
        """Counts one more call of a DID, which is one of these."""
        entry = self._dids[did]
        ranks = self._at[entry.home]
        del ranks[bisect_left(ranks, entry.rank(did))]
        entry = self._dids[did] = entry._replace(today=entry.today + 1)
        insort(ranks, entry.rank(did))

    def _choice(self, did: str, score: int, near: Nearness) -> Choice:
        _, standing, today = self._dids[did]
        return Choice(did, standing.state is not State.RESTING, score, near, standing, today)


_Rank: TypeAlias = tuple[int, int, int, str]
"""The order of the DIDs of one place: room in the day, tens of health (negative), calls today, DID."""


class _Entry(NamedTuple):
    home: Place
    standing: Standing
    today: int

    def rank(self, did: str) -> _Rank:
        _, standing, today = self
        full = standing.enough is not None and today >= standing.enough
        return 2 if standing.state is State.RESTING else int(full), -(standing.health // 10 * 10), today, did


def _part(name: str, most: int, mark: float, share: float, sentence: str) -> Part:
    return Part(name, most * min(1.0, max(0.0, mark)), most, share, sentence)


def _rate(answered: int, calls: int) -> float:
    return _smooth(answered, calls, PRIOR_ANSWERED, PRIOR_CALLS)


def _smooth(part: int, whole: int, prior: float, weight: float) -> float:
    """`part` of `whole`, drawn towards `prior` as by `weight` calls."""
    return (part + prior * weight) / (whole + weight)


_UNUSED = Use()
_HEALTH_UNUSED = health(_UNUSED)
