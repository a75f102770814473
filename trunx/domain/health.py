"""How well a DID's calls are taken, 0 to 100, and which DID calls next.

A number that many hang up on, or that carriers mark as spam, gets worse with every call; so it rests before
it is burnt, and a new one begins slowly. Few calls say little: every DID is taken to have made `PRIOR_CALLS`
ordinary calls besides its own (a beta prior), of which the first real dozens only slowly make less.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from trunx.domain.presence import Nearness, nearness

WINDOW = timedelta(days=7)
"""The stretch of time that `Use.recent` counts; `Use.before` counts the one before it."""
SHORT_SECONDS = 6
"""An answered call that ended sooner is a short one: who answered had heard enough."""

PRIOR_CALLS = 30
PRIOR_ANSWERED = 0.3
PRIOR_SHORT = 0.15  # of the answered calls, like the following but one
PRIOR_FAILED = 0.1
PRIOR_SUPPRESSED = 0.02

_GOOD_ANSWERED = 0.4  # from here on it cannot be better
_BAD_SHORT, _BAD_FAILED, _BAD_SUPPRESSED = 0.5, 0.5, 0.2  # and from here on not worse
_WEIGHTS = {"answered": 40, "short": 20, "failed": 20, "suppressed": 10, "trend": 10}

TIRED, RESTED = 40, 55
"""A DID rests when its health falls under the one, and goes on when it has reached the other."""
REST = timedelta(days=2)
"""It rests this long at least; its health comes back as its bad calls leave the window."""
WARM_UP = timedelta(days=14)
WARM_UP_CALLS = 20
"""While a DID is new, or back from its rest, it makes this many calls on the first day, and as many more on
each day that follows."""

_PRESENCE = {
    Nearness.ELSEWHERE: 0,
    Nearness.COUNTRY: 5,
    Nearness.STATE: 10,
    Nearness.NEIGHBOUR: 20,
    Nearness.AREA: 30,
}


class Counts(NamedTuple):
    """A DID's outbound calls that ended in a stretch of time.

    `short` and `suppressed` (the callee asked not to be called again) are among the `answered`, `failed`
    (rejected or unreachable: carriers do that to spam) among the others.
    """

    dialled: int = 0
    answered: int = 0
    short: int = 0
    failed: int = 0
    suppressed: int = 0


class Use(NamedTuple):
    """What a DID was used for lately, and before that."""

    recent: Counts = Counts()
    before: Counts = Counts()


class Part(NamedTuple):
    """One part of a health: `points` of `most`, because of `share` (smoothed) among `calls` (real ones).

    The share of `trend` is the answer rate divided by the one before.
    """

    name: str
    points: float
    most: int
    share: float
    calls: int


class State(StrEnum):
    """What a DID may do."""

    WARMING = "warming"  # a few calls a day
    READY = "ready"
    RESTING = "resting"  # none


class Standing(NamedTuple):
    """A DID's health, and what became of it; `since` is when `state` began."""

    state: State
    since: datetime
    health: int


class Candidate(NamedTuple):
    """A DID that could call; `today` is how many calls it has made today."""

    did: str
    standing: Standing
    today: int


class Choice(NamedTuple):
    """A candidate with its marks. `score` is the health in tens, and what its nearness is worth."""

    did: str
    usable: bool
    score: int
    health: int
    nearness: Nearness
    today: int


def explain(use: Use) -> list[Part]:
    """The parts of a health. Their points add up to it."""
    now, answered = use.recent, use.recent.answered
    rate = _rate(now)
    short = _share(now.short, answered, PRIOR_SHORT, PRIOR_CALLS * PRIOR_ANSWERED)
    failed = _share(now.failed, now.dialled, PRIOR_FAILED, PRIOR_CALLS)
    suppressed = _share(now.suppressed, answered, PRIOR_SUPPRESSED, PRIOR_CALLS * PRIOR_ANSWERED)
    trend = rate / _rate(use.before)
    good = [
        ("answered", rate / _GOOD_ANSWERED, rate, now.dialled),
        ("short", 1 - short / _BAD_SHORT, short, answered),
        ("failed", 1 - failed / _BAD_FAILED, failed, now.dialled),
        ("suppressed", 1 - suppressed / _BAD_SUPPRESSED, suppressed, answered),
        ("trend", trend, trend, use.before.dialled),
    ]
    return [
        Part(name, _WEIGHTS[name] * min(1.0, max(0.0, mark)), _WEIGHTS[name], share, calls)
        for name, mark, share, calls in good
    ]


def health(use: Use) -> int:
    """0 to 100. A DID without calls has 79."""
    return round(sum(part.points for part in explain(use)))


def assess(was: Standing | None, use: Use, now: datetime) -> Standing:
    """What becomes of a DID that was `was` (None: it is new)."""
    value = health(use)
    if was is None:
        return Standing(State.WARMING, now, value)
    if was.state is State.RESTING:
        if value >= RESTED and now - was.since >= REST:
            return Standing(State.WARMING, now, value)
    elif value < TIRED:
        return Standing(State.RESTING, now, value)
    elif was.state is State.WARMING and now - was.since >= WARM_UP:
        return Standing(State.READY, now, value)
    return was._replace(health=value)


def allowance(standing: Standing, now: datetime) -> int | None:
    """How many calls a DID may make today; None for any number."""
    if standing.state is State.READY:
        return None
    if standing.state is State.RESTING:
        return 0
    return WARM_UP_CALLS * (1 + max(0, (now - standing.since).days))


def pick(to: str, candidates: Iterable[Candidate], now: datetime, most: int = 10) -> list[Choice]:
    """The `most` best DIDs to call `to` (E.164) with, best first.

    Those that may call stand before those that rest or have used up their day. Then the score counts, and
    among equals who has called least today.
    """
    worth: dict[str, Nearness] = {}
    equals: dict[int, list[tuple[Candidate, Nearness]]] = {}
    for candidate in candidates:
        did = candidate.did
        # All numbers of an area code are as near, which makes this quick for thousands of DIDs.
        place = did[:5] if did.startswith("+1") else did
        near = worth.get(place)
        if near is None:
            near = worth[place] = nearness(to, did)
        score = candidate.standing.health // 10 * 10 + _PRESENCE[near]
        equals.setdefault(score, []).append((candidate, near))
    chosen: list[Choice] = []
    used_up: list[Choice] = []
    for score in sorted(equals, reverse=True):
        for candidate, near in sorted(equals[score], key=_use):
            did, standing, today = candidate
            calls = allowance(standing, now)
            usable = calls is None or today < calls
            if usable or len(used_up) < most:
                choice = Choice(did, usable, score, standing.health, near, today)
                (chosen if usable else used_up).append(choice)
            if len(chosen) == most:
                return chosen
    return (chosen + used_up)[:most]


def _use(marked: tuple[Candidate, Nearness]) -> tuple[int, str]:
    return marked[0].today, marked[0].did


def _rate(counts: Counts) -> float:
    return _share(counts.answered, counts.dialled, PRIOR_ANSWERED, PRIOR_CALLS)


def _share(part: int, whole: int, prior: float, weight: float) -> float:
    """`part` of `whole`, drawn towards `prior` as by `weight` calls."""
    return (part + prior * weight) / (whole + weight)
