"""The rows that are neither account nor call (IVR, DID, suppression), and how lists travel."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

from trunx.domain.ivr import Tree
from trunx.domain.sound import sound_name

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ivr:
    """An IVR's newest version. `uid` is never used again, so `(uid, version)` names one document for ever."""

    uid: str
    account: str
    id: str
    version: int
    document: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    dids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Did:
    """A number of ours, and the IVR behind it (None: none yet).

    `agent` is the AI agent of its callers, where a transfer names none; None: the default one.
    """

    did: str
    account: str
    ivr: str | None
    label: str | None
    created_at: datetime
    agent: str | None = None


@dataclass(frozen=True, slots=True)
class Suppression:
    """A number that the account must not call. `source` is `api` or `ivr`; `call` is the call that asked."""

    account: str
    number: str
    source: str
    reason: str | None
    call: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Published:
    """What stands behind a DID. `revision` only grows, over all DIDs: the newer of two is the truth.

    `uid`, `ivr` and `version` are None for a DID that has no IVR, or that was given up (`account` is None).
    `sounds` has the sound behind each audio that the tree's nodes name, as far as there is one.
    """

    did: str
    revision: int
    account: str | None
    uid: str | None
    ivr: str | None
    version: int | None
    sounds: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list: at most `limit` rows after `cursor` (opaque, from the page before)."""

    limit: int
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Rows(Generic[T]):
    """One page of a list, newest first; `next` is the cursor of the following page, or None."""

    rows: Sequence[T]
    next: str | None


@dataclass(frozen=True, slots=True)
class CallFilter:
    """What a list of calls is narrowed to; None means any."""

    status: str | None = None
    direction: str | None = None
    from_number: str | None = None
    to_number: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    metadata: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """What a call to a DID needs: whose it is, the tree behind it (None: no IVR), and the sound behind each
    audio that its nodes name.
    """

    account: str
    ivr: str | None
    version: int | None
    tree: Tree | None
    sounds: Mapping[str, str] = field(default_factory=dict)

    def sound(self, audio: str) -> str:
        """Asterisk's name for what a node calls `audio`; without an asset behind it, that of a file which an
        operator may have put there.
        """
        return self.sounds.get(audio) or sound_name(self.account, audio)


class Lease(NamedTuple):
    """The call `id`'s place in its account and its trunk. Made of what its row has, so that any process can
    renew or release it.
    """

    id: str
    account: str
    trunk: str
    outbound: bool = True


class TalkLease(NamedTuple):
    """The place of the talk `id` among the talks that its account may have at once."""

    account: str
    id: str


@dataclass(frozen=True, slots=True)
class PartState:
    """`state` is `ok`, `off` (not configured), `degraded` (works without it) or `down`."""

    name: str
    state: str
    detail: str
