"""The tree a call walks: nodes with every default filled in and every target known to exist."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType
from typing import Any, assert_never

from trunx.domain.document import (
    MAX_DOCUMENT_BYTES,
    RING_SECONDS,
    ActionNode,
    GatherNode,
    IvrDocument,
    TransferNode,
    written,
)
from trunx.domain.strict_json import dumps

AUDIO_FIELDS = ("audio", "invalid_audio", "timeout_audio")
"""The fields of a node that name an audio."""


@dataclass(frozen=True, slots=True)
class Gather:
    """Plays `audio` and waits `timeout` seconds for a key; `keys` says where each key leads."""

    name: str
    audio: str
    keys: Mapping[str, str]
    timeout_node: str
    timeout: float
    attempts: int
    invalid_audio: str | None
    timeout_audio: str | None
    exhausted_node: str | None


class Fate(Enum):
    """What became of a transfer, when the caller is still there."""

    AGENT_LEFT = auto()
    PERSON_LEFT = auto()
    TIME_UP = auto()  # they talked for as long as a talk may last
    BUSY = auto()
    NO_ANSWER = auto()
    BLOCKED = auto()  # the gate said no, and nobody was called
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class Transfer:
    """Connects the caller: to the person `to` (E.164 or a SIP URI), else to an AI voice agent.

    Attributes:
        agent: which; None: the one that serves the call.
        ring_seconds: how long the person's telephone may ring.
        zero_out: the key that brings the caller back from the agent, and the node that it leads to.
    """

    name: str
    audio: str | None
    agent: str | None = None
    to: str | None = None
    ring_seconds: int = RING_SECONDS
    zero_out: tuple[str, str] | None = None
    return_node: str | None = None
    busy_node: str | None = None
    no_answer_node: str | None = None
    failed_node: str | None = None

    def exit(self, fate: Fate) -> str | None:
        """The node that follows; None: none does."""
        match fate:
            case Fate.AGENT_LEFT | Fate.PERSON_LEFT | Fate.TIME_UP:
                return self.return_node
            case Fate.BUSY:
                return self.busy_node
            case Fate.NO_ANSWER:
                return self.no_answer_node
            case Fate.BLOCKED | Fate.FAILED:
                return self.failed_node
            case _:
                assert_never(fate)

    @property
    def exits(self) -> set[str]:
        """Every node that may follow."""
        back = {self.zero_out[1]} if self.zero_out is not None else set()
        return back | {node for node in map(self.exit, Fate) if node is not None}


@dataclass(frozen=True, slots=True)
class Hangup:
    """Ends the call."""

    name: str
    audio: str | None


@dataclass(frozen=True, slots=True)
class Suppress:
    """Puts the caller on the do-not-call list and ends the call."""

    name: str
    audio: str | None


Ending = Hangup | Suppress
Action = Transfer | Ending
Node = Gather | Action


@dataclass(frozen=True, slots=True)
class Tree:
    """A whole IVR: `start` is a key of `nodes`, and so is every target a node names."""

    id: str
    start: str
    language: str | None
    nodes: Mapping[str, Node]


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a document names an audio: `name` is its id, its name or its file, as the user wrote it."""

    node: str
    field: str
    name: str


@dataclass(frozen=True, slots=True)
class Problem:
    """What makes a document no tree: a JSON pointer to the place and a sentence in the document's words."""

    pointer: str
    message: str


class InvalidTreeError(ValueError):
    """A document that is well formed and still no tree; `problems` names every fault found."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = problems


def build(document: IvrDocument) -> Tree:
    """The tree that `document` describes.

    Raises:
        InvalidTreeError: a target that does not exist, or a document over its size limit.
    """
    problems = list(_problems(document))
    if problems:
        raise InvalidTreeError(problems)
    nodes = {name: _node(name, node) for name, node in document.nodes.items()}
    start = document.start or next(iter(nodes))
    return Tree(document.id, start, document.language, MappingProxyType(nodes))


def references(document: dict[str, Any]) -> list[Reference]:
    """All that a document, as JSON, names to be played."""
    return [
        Reference(name, field, node[field])
        for name, node in document["nodes"].items()
        for field in AUDIO_FIELDS
        if node.get(field) is not None
    ]


def pointer(*parts: str) -> str:
    """A JSON pointer (RFC 6901) to the place that `parts` lead to."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def _node(name: str, node: GatherNode | TransferNode | ActionNode) -> Node:
    if isinstance(node, GatherNode):
        return Gather(
            name=name,
            audio=node.audio,
            keys=MappingProxyType(dict(node.gather)),
            timeout_node=node.timeout_node or name,
            timeout=node.timeout,
            attempts=node.attempts,
            invalid_audio=node.invalid_audio,
            timeout_audio=node.timeout_audio,
            exhausted_node=node.exhausted_node,
        )
    if isinstance(node, TransferNode):
        return Transfer(
            name=name,
            audio=node.audio,
            agent=node.agent,
            to=node.to,
            ring_seconds=node.timeout,
            zero_out=next(iter((node.zero_out or {}).items()), None),
            return_node=node.return_node,
            busy_node=node.on_busy or node.fail_node,
            no_answer_node=node.on_no_answer or node.fail_node,
            failed_node=node.on_failed or node.fail_node,
        )
    match node.action:
        case "hangup":
            return Hangup(name, node.audio)
        case "suppress":
            return Suppress(name, node.audio)
        case _:
            assert_never(node.action)


def _problems(document: IvrDocument) -> Iterator[Problem]:
    size = len(dumps(written(document)).encode())
    if size > MAX_DOCUMENT_BYTES:
        yield Problem("", f"the document has {size:,} bytes; at most {MAX_DOCUMENT_BYTES:,} are allowed")
    if document.start is not None and document.start not in document.nodes:
        yield Problem("/start", f"the tree starts at {document.start!r}, and there is no such node")
    for name, node in document.nodes.items():
        for target, does, *place in _targets(node):
            if target not in document.nodes:
                message = f"node {name!r} {does}, and there is no such node"
                yield Problem(pointer("nodes", name, *place), message)
        if isinstance(node, TransferNode):
            yield from _contradictions(name, node)


def _targets(node: GatherNode | TransferNode | ActionNode) -> Iterator[tuple[str, ...]]:
    """Every node that `node` names: its name, what leads there, and the place in `node` that says so."""
    if isinstance(node, GatherNode):
        keys, where = node.gather, "gather"
        fields: tuple[str, ...] = _EXITS_OF_GATHER
    elif isinstance(node, TransferNode):
        keys, where = node.zero_out or {}, "zero_out"
        fields = _EXITS_OF_TRANSFER
    else:
        return
    for key, target in keys.items():
        yield target, f"sends key {key} to {target!r}", where, key
    for field in fields:
        target = getattr(node, field)
        if target is not None:
            yield target, f"names {target!r} as its {field}", field


_EXITS_OF_GATHER = ("timeout_node", "exhausted_node")
_EXITS_OF_TRANSFER = ("on_busy", "on_no_answer", "on_failed", "fail_node", "return_node")
_OF_PERSONS = ("timeout", "on_busy", "on_no_answer", "on_failed")


def _contradictions(name: str, node: TransferNode) -> Iterator[Problem]:
    """Fields that each are right, and make no sense together."""
    given = {field for field in node.model_fields_set if getattr(node, field) is not None}
    if node.to is None:
        for field in _OF_PERSONS:
            if field in given:
                message = f"node {name!r} calls nobody: {field} needs `to`, an agent is there or is not"
                yield Problem(pointer("nodes", name, field), message)
        return
    if node.agent is not None:
        message = f"node {name!r} names both an agent and whom to call: one of `agent` and `to` has to go"
        yield Problem(pointer("nodes", name, "agent"), message)
    if node.zero_out is not None:
        message = f"node {name!r} has a zero_out, which leads away from an agent: `to` gets every key itself"
        yield Problem(pointer("nodes", name, "zero_out"), message)
