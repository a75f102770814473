"""An AI voice agent as its account describes it, and what an agent can be given: tools and knowledge.

The fact to know: our row is the truth. The vendor's agent is made from it, and made again when it differs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

LANGUAGE = "en"
MAX_SECONDS = 300
"""How long an agent talks at most when nobody says how long (the contract's default)."""


@dataclass(frozen=True, slots=True)
class Agent:
    """A reusable description of who talks to callers.

    Attributes:
        language: BCP 47.
        tools: ids of `Tool`s of the account.
        knowledge: ids of `Knowledge` of the account.
        max_seconds: how long a talk may last.
        default: whether it takes the account's callers whose node and DID name no agent.
        vendor_id: the vendor's agent that was made of it; None: not made yet.
    """

    id: str
    account: str
    name: str
    prompt: str
    voice: str | None
    first_message: str | None
    language: str
    tools: tuple[str, ...]
    knowledge: tuple[str, ...]
    max_seconds: int
    default: bool
    vendor_id: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Tool:
    """Something that an agent may call by HTTP while it talks; `definition` is the contract's tool schema."""

    id: str
    account: str
    definition: Mapping[str, Any]
    vendor_id: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Documents that an agent may look things up in; the vendor keeps them, and knows how far it has read."""

    id: str
    account: str
    name: str
    description: str | None
    vendor_id: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class AgentBrief:
    """A talk with an agent of the account."""

    agent: str


@dataclass(frozen=True, slots=True)
class PromptBrief:
    """A talk that is described by the call itself. `tools` are in the contract's tool schema."""

    prompt: str
    model: str | None = None
    voice: str | None = None
    tools: Sequence[Mapping[str, Any]] = ()
    first_speaker: Literal["agent", "user"] = "agent"
    temperature: float | None = None


Brief = AgentBrief | PromptBrief
"""Who is to talk to a caller or a callee."""

Trouble = Literal["off", "credentials", "payment", "invalid", "missing", "busy", "unavailable", "unknown"]
"""`off`: no key is configured. `invalid`: the vendor refuses what was asked for (400, 422). `missing`: 404.
`busy`: 429 and 503. `unavailable`: nothing was done. `unknown`: it may have been done.
"""


VendorKind = Literal["agent", "tool", "corpus"]
"""What the vendor keeps for us: a corpus is what it calls `Knowledge`."""


class VendorError(Exception):
    """The vendor did not do it. `sentence` is fit for users; `retry_after` is in seconds."""

    def __init__(self, trouble: Trouble, sentence: str, retry_after: float | None = None) -> None:
        super().__init__(sentence)
        self.trouble = trouble
        self.sentence = sentence
        self.retry_after = retry_after
