"""What the API needs of the outside, gathered once at the door."""

from collections.abc import Sequence
from dataclasses import dataclass

from trunx.engine.incoming import Incoming
from trunx.engine.library import Library
from trunx.engine.log_ports import Log, Post, Webhooks
from trunx.engine.outbound import Outbound
from trunx.engine.picking import Picking
from trunx.engine.ports import (
    Accounts,
    Audios,
    Calls,
    Dids,
    IdempotencyKeys,
    Ivrs,
    Lines,
    Part,
    Sounds,
    Staging,
    Studio,
    Suppressions,
    Voices,
)
from trunx.web.uploads import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """`public_url` is where users reach this API (no slash at the end); `parts` is what `/readyz` asks.

    `uploads` limits files, which arrive in `incoming`.
    """

    ivrs: Ivrs
    dids: Dids
    suppressions: Suppressions
    calls: Calls
    outbound: Outbound
    picking: Picking
    accounts: Accounts
    idempotency: IdempotencyKeys
    lines: Lines
    sounds: Sounds
    library: Library
    audios: Audios
    studio: Studio
    voices: Voices
    staging: Staging
    log: Log
    webhooks: Webhooks
    post: Post
    incoming: Incoming
    uploads: Limits
    parts: Sequence[Part]
    public_url: str
    version: str
