"""A webhook, what is on its way to it, and when to try again.

The requests follow Standard Webhooks (standardwebhooks.com): `webhook-id` names the event and is the same in
each try, so a receiver that keeps the ids it has seen takes every event once.
"""

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from trunx.domain.call import Event

RETRIES = tuple(
    timedelta(seconds=seconds) for seconds in (5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800, 28_800)
)
"""How long after a try that failed the next one comes: within 24 hours all are used up."""
JITTER = 0.2
"""Each wait is longer or shorter by up to this part of it, so that those who failed together do not return
together.
"""
REST = timedelta(seconds=1)
"""A webhook that takes nothing is tried once in this time, with one event."""
FAILING_MOST = timedelta(days=3)
"""A webhook that took nothing for so long is disabled."""
ROTATION = timedelta(hours=24)
"""How long the former secret still signs beside the new one."""


class DeliveryStatus(StrEnum):
    """What became of a delivery."""

    WAITING = "waiting"  # for its first try, or for the next
    DELIVERED = "delivered"  # answered with 2xx
    DEAD = "dead"  # given up; it is sent again when somebody asks for it


@dataclass(frozen=True, slots=True)
class Webhook:
    """An endpoint. `types` are those of the events it wants, none for all; `former_secret` signs too until
    `former_until`. `failing_since` is the first failure after which nothing was delivered.
    """

    id: str
    account: str
    url: str
    types: tuple[str, ...]
    label: str | None
    enabled: bool
    secret: str
    created_at: datetime
    disabled_because: str | None = None
    former_secret: str | None = None
    former_until: datetime | None = None
    failing_since: datetime | None = None

    def secrets_at(self, moment: datetime) -> tuple[str, ...]:
        """Those that sign a request."""
        if self.former_secret is None or self.former_until is None or moment >= self.former_until:
            return (self.secret,)
        return self.secret, self.former_secret


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one try: the HTTP status, or the problem when there was none; and how long it took."""

    at: datetime
    answer: int | None
    problem: str | None
    ms: int

    @property
    def is_taken(self) -> bool:
        """Whether the receiver has it."""
        return self.answer is not None and 200 <= self.answer < 300


@dataclass(frozen=True, slots=True)
class Parcel:
    """An event to be sent now, and how often it was tried before."""

    event: Event
    seq: int
    attempts: int

    def status_after(self, outcome: Outcome) -> DeliveryStatus:
        """What becomes of the delivery with this try."""
        if outcome.is_taken:
            return DeliveryStatus.DELIVERED
        return DeliveryStatus.WAITING if self.attempts < len(RETRIES) else DeliveryStatus.DEAD


@dataclass(frozen=True, slots=True)
class Turn:
    """What is to be done for a webhook."""

    webhook: Webhook
    parcels: Sequence[Parcel]


@dataclass(frozen=True, slots=True)
class Due:
    """The webhooks for which there is something to do, and when there will be for others, if known."""

    webhooks: Sequence[str]
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one webhook; `last` is the last try, `problem` also why it was given up."""

    seq: int
    event: str
    type: str
    call: str | None
    status: DeliveryStatus
    attempts: int
    created_at: datetime
    next_at: datetime | None
    problem: str | None
    last: Outcome | None


def new_webhook_id() -> str:
    """`wh_` and 24 hex digits."""
    return "wh_" + secrets.token_hex(12)


def new_secret() -> str:
    """`whsec_` and 32 random bytes in base64, as Standard Webhooks writes a key of HMAC-SHA256."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def next_wait(attempts: int, chance: float) -> timedelta | None:
    """How long to wait after the try numbered `attempts` has failed; None: it was the last.

    `chance` is between 0 and 1.
    """
    if attempts > len(RETRIES):
        return None
    return RETRIES[attempts - 1] * (1 + JITTER * (2 * chance - 1))
