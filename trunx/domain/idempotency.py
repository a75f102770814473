"""What became of a request that came with an Idempotency-Key."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer as it is kept for a repeated Idempotency-Key."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Claimed:
    """The key is new: carry out the request, then `keep` or `forget`."""


@dataclass(frozen=True, slots=True)
class InProgress:
    """Another request with this key is being carried out."""


@dataclass(frozen=True, slots=True)
class OtherBody:
    """The key was used for another request."""


Claim = Claimed | InProgress | OtherBody | Answer
