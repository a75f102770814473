"""The IVR document as users write it: the door through which a tree enters, and the schema they read.

The contract's document is accepted as it stands; every addition has a default. What the parts mean together
(targets that exist, nodes that are reached) is judged in `ivr.py` and `lint.py`.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from trunx.domain.sip import SIP_URI

MAX_NODES = 1_000
MAX_DOCUMENT_BYTES = 256 * 1024

IvrId = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="Name of the IVR, unique in the account: letters, digits, `.`, `_`, `-`.",
        examples=["qualify-business"],
    ),
]
NodeName = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$", description="Name of a node of this tree."),
]
Key = Annotated[str, Field(pattern=r"^[0-9*#]$", description="A key of the telephone: 0-9, `*`, `#`.")]
Audio = Annotated[
    str,
    Field(
        # No slash and no leading dot: a name given here becomes part of a file's name on Asterisk.
        pattern=r"^[^\x00-\x1f\x7f/\\.][^\x00-\x1f\x7f/\\]{0,127}$",
        description="What to play: the id of an audio (`aud_...`), its name, or its uploaded file's name.",
        examples=["welcome.wav"],
    ),
]
Language = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z]{2,3}([_-][A-Za-z0-9]{2,8})*$",
        description="Channel language for Asterisk's choice of sound files.",
        examples=["en"],
    ),
]
AgentId = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$",
        description="Id of an AI voice agent.",
        examples=["a1b2c3d4-e5f6-7890-abcd-ef1234567890"],
    ),
]
RING_SECONDS, LONGEST_RING = 30, 600
_PERSON = re.compile(rf"\+[1-9][0-9]{{6,14}}|{SIP_URI}", re.ASCII)
_ACTIONS = ("transfer", "hangup", "suppress")


def _person(written: str) -> str:
    if _PERSON.fullmatch(written) is None:
        raise PydanticCustomError(
            "person", "write a telephone number like +19495551234, or a SIP URI like sip:desk@pbx.example.com"
        )
    return written


def _action(written: Any) -> Any:
    if written not in _ACTIONS:
        raise PydanticCustomError("action", "Input should be 'transfer', 'hangup' or 'suppress'")
    return written


Person = Annotated[
    str,
    AfterValidator(_person),
    WithJsonSchema(
        {"type": "string", "pattern": f"^({_PERSON.pattern})$", "examples": ["+19495551234"]},
    ),
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class GatherNode(_Part):
    """Plays audio and waits for a key; the key says which node comes next."""

    audio: Audio
    gather: dict[Key, NodeName] = Field(description="Which key leads to which node.")
    timeout_node: NodeName | None = Field(
        default=None, description="Where to go when no key comes; this node again when absent."
    )
    timeout: float = Field(
        default=5, ge=0.5, le=120, description="Seconds to wait for a key after the prompt has ended."
    )
    attempts: int = Field(
        default=3,
        ge=1,
        le=20,
        description="Visits without a valid key (silent and wrong ones apart) until the node gives up.",
    )
    invalid_audio: Audio | None = Field(
        default=None, description="Played after a wrong key; the engine's own prompt when absent."
    )
    timeout_audio: Audio | None = Field(
        default=None, description="Played after no key; when absent, the engine's own prompt before a replay."
    )
    exhausted_node: NodeName | None = Field(
        default=None, description="Where to go when attempts are used up; goodbye and hang up when absent."
    )


class TransferNode(_Part):
    """Connects the caller to an AI voice agent, or to the telephone that `to` names. Either may end before
    the caller does: then the walk goes on, where a node says where.
    """

    action: Literal["transfer"]
    audio: Audio | None = Field(default=None, description="Played before the caller is connected.")
    agent: AgentId | None = Field(
        default=None, description="Which agent; when absent the DID's, else the account's default one."
    )
    zero_out: dict[Key, NodeName] | None = Field(
        default=None,
        min_length=1,
        max_length=1,
        description="The key that brings the caller back from the agent, and to which node.",
        examples=[{"0": "menu"}],
    )
    to: Person | None = Field(
        default=None,
        description="Whom to call, and not an agent: a number in E.164, or a SIP URI of the account's list.",
    )
    timeout: int = Field(
        default=RING_SECONDS, ge=1, le=LONGEST_RING, description="Seconds that the telephone may ring."
    )
    on_busy: NodeName | None = Field(
        default=None, description="Where to go when the line is busy; `fail_node` when absent."
    )
    on_no_answer: NodeName | None = Field(
        default=None, description="Where to go when nobody answers in time; `fail_node` when absent."
    )
    on_failed: NodeName | None = Field(
        default=None,
        description="Where to go when the telephone cannot be reached or may not be called; `fail_node` "
        "when absent.",
    )
    fail_node: NodeName | None = Field(
        default=None,
        description="Where to go when nobody could be reached; when absent the caller is told so and hung "
        "up on.",
    )
    return_node: NodeName | None = Field(
        default=None, description="Where to go when the other side hangs up first; hang up when absent."
    )


class ActionNode(_Part):
    """Does one thing and ends the call."""

    action: Annotated[Literal["hangup", "suppress"], BeforeValidator(_action)] = Field(
        description="`hangup`, or `suppress`: put the caller on the do-not-call list and hang up."
    )
    audio: Audio | None = Field(default=None, description="Played before the action.")


GATHER_TAG, TRANSFER_TAG, ACTION_TAG = "gather-node", "transfer-node", "action-node"


def _kind(node: Any) -> str | None:
    if isinstance(node, GatherNode):
        return GATHER_TAG
    if isinstance(node, TransferNode):
        return TRANSFER_TAG
    if isinstance(node, ActionNode):
        return ACTION_TAG
    if not isinstance(node, dict) or ("gather" in node) == ("action" in node):
        return None
    if "gather" in node:
        return GATHER_TAG
    return TRANSFER_TAG if node["action"] == "transfer" else ACTION_TAG


Node = Annotated[
    Annotated[GatherNode, Tag(GATHER_TAG)]
    | Annotated[TransferNode, Tag(TRANSFER_TAG)]
    | Annotated[ActionNode, Tag(ACTION_TAG)],
    Discriminator(
        _kind,
        custom_error_type="node_kind",
        custom_error_message="a node has exactly one of `gather` and `action`",
    ),
]


class IvrDocument(_Part):
    """An IVR tree: nodes by name. The first node is where a call enters, unless `start` names another."""

    id: IvrId
    nodes: dict[NodeName, Node] = Field(min_length=1, max_length=MAX_NODES)
    start: NodeName | None = Field(
        default=None, description="Where a call enters; the first node when absent."
    )
    language: Language | None = None


class IvrChange(_Part):
    """A change to an IVR: named nodes are replaced or added, `null` removes one; other fields replace."""

    id: IvrId | None = Field(default=None, description="May be repeated, may not be changed.")
    nodes: dict[NodeName, Node | None] | None = Field(default=None, max_length=MAX_NODES)
    start: NodeName | None = None
    language: Language | None = None


def written(document: IvrDocument) -> dict[str, Any]:
    """The document as JSON, with only the fields the user gave, in the user's order."""
    return document.model_dump(mode="json", exclude_unset=True)


def changed(document: dict[str, Any], change: IvrChange) -> dict[str, Any]:
    """`document` with `change` applied; the result is still to be validated as an `IvrDocument`."""
    given = change.model_dump(mode="json", exclude_unset=True)
    given.pop("id", None)
    nodes = dict(document["nodes"])
    for name, node in (given.pop("nodes", None) or {}).items():
        if node is None:
            nodes.pop(name, None)
        else:
            nodes[name] = node
    result = {**document, **given, "nodes": nodes}
    return {key: value for key, value in result.items() if value is not None}
