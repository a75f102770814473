"""The tree a call walks: nodes with every default filled in and every target known to exist."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, assert_never

from trunx.domain.document import (
    MAX_DOCUMENT_BYTES,
    ActionNode,
    GatherNode,
    IvrDocument,
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


@dataclass(frozen=True, slots=True)
class Transfer:
    """Connects the caller to an AI voice agent."""

    name: str
    audio: str | None


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


Action = Transfer | Hangup | Suppress
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


def _node(name: str, node: GatherNode | ActionNode) -> Node:
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
    match node.action:
        case "transfer":
            return Transfer(name, node.audio)
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
        if not isinstance(node, GatherNode):
            continue
        for key, target in node.gather.items():
            if target not in document.nodes:
                yield Problem(
                    pointer("nodes", name, "gather", key),
                    f"node {name!r} sends key {key} to {target!r}, and there is no such node",
                )
        for field in ("timeout_node", "exhausted_node"):
            target = getattr(node, field)
            if target is not None and target not in document.nodes:
                yield Problem(
                    pointer("nodes", name, field),
                    f"node {name!r} names {target!r} as its {field}, and there is no such node",
                )
