"""What the API needs of the outside, gathered once at the door."""

from collections.abc import Sequence
from dataclasses import dataclass

from trunx.engine.ports import (
    Accounts,
    Calls,
    Dids,
    IdempotencyKeys,
    Ivrs,
    Lines,
    Part,
    Sounds,
    Suppressions,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """`public_url` is where users reach this API (no slash at the end); `parts` is what `/readyz` asks."""

    ivrs: Ivrs
    dids: Dids
    suppressions: Suppressions
    calls: Calls
    accounts: Accounts
    idempotency: IdempotencyKeys
    lines: Lines
    sounds: Sounds
    parts: Sequence[Part]
    public_url: str
    version: str
