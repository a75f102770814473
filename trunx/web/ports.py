"""What the API needs of the outside, gathered once at the door."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from trunx.engine.action_ports import ActionRows
from trunx.engine.actions.keys import Keys
from trunx.engine.actions.record import Record
from trunx.engine.actions.sound import Sounding
from trunx.engine.actions.transfer import CallTransfers
from trunx.engine.agent_ports import Talks
from trunx.engine.agents import Roster
from trunx.engine.incoming import Incoming
from trunx.engine.knowledge import Bookshelf
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
from trunx.engine.recordings import Recordings
from trunx.engine.talk_truth import TalkTruth
from trunx.engine.tools import Tools
from trunx.web.uploads import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Ai:
    """Talks with AI agents. `off` says why there are none here, None: there are; `truth` is None without the
    vendor's key. `secrets` are what the vendor's news are signed with, and `window` how old they may be.
    """

    off: str | None
    talks: Talks
    truth: TalkTruth | None
    secrets: Sequence[str] = field(default=(), repr=False)
    window: float = 300


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
    ai: Ai
    agents: Roster
    tools: Tools
    knowledge: Bookshelf
    log: Log
    webhooks: Webhooks
    post: Post
    recordings: Recordings
    record: Record
    action_rows: ActionRows
    transfers: CallTransfers
    keys: Keys
    sounding: Sounding
    incoming: Incoming
    uploads: Limits
    parts: Sequence[Part]
    public_url: str
    version: str
