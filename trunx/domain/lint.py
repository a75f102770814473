"""What is allowed in a tree and still worth a word: warnings that go with the answer to a save."""

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from trunx.domain.ivr import Gather, Node, Transfer, Tree

_Ways = Mapping[str, set[str]]
"""Where a call can go from each node."""


@dataclass(frozen=True, slots=True)
class Warning:  # noqa: A001 - the API's own word
    """`code` is stable, `node` is where, `message` is for people."""

    code: str
    node: str
    message: str


@dataclass(frozen=True, slots=True)
class Known:
    """What there is outside of the tree: which audio can be played, which agents exist, and which SIP URIs
    may be called.
    """

    has_audio: Callable[[str], bool]
    has_agent: Callable[[str], bool]
    may_call: Callable[[str], bool]


EVERYTHING = Known(*[lambda _: True] * 3)
"""For whoever does not know."""


def warnings(tree: Tree, known: Known) -> list[Warning]:
    """Everything odd about `tree`, in the order of its nodes."""
    ways = {name: _targets(node) for name, node in tree.nodes.items()}
    reached = _closure({tree.start}, ways)
    circling = _circling(tree, ways)
    found: list[Warning] = []
    for name, node in tree.nodes.items():
        if name not in reached:
            found.append(Warning("unreachable-node", name, f"no call can reach node {name!r}"))
        if name in circling:
            found.append(
                Warning(
                    "no-way-out",
                    name,
                    f"node {name!r} is in a circle that no key leaves: callers go round until they are "
                    "silent or their attempts are used up",
                )
            )
        if isinstance(node, Gather) and node.attempts == 1 and node.timeout_node != name:
            found.append(
                Warning(
                    "timeout-node-unused",
                    name,
                    f"node {name!r} gives up at the first silence (attempts 1), so its timeout_node is never "
                    "taken: name the node in exhausted_node",
                )
            )
        found.extend(
            Warning(
                "audio-missing",
                name,
                f"node {name!r} plays {audio!r}, which does not exist yet: "
                "callers hear the engine's own prompt",
            )
            for audio in dict.fromkeys(_audios(node))
            if not known.has_audio(audio)
        )
        if isinstance(node, Transfer):
            found.extend(_out_of_reach(node, known))
    return found


def _out_of_reach(node: Transfer, known: Known) -> Iterator[Warning]:
    if node.agent is not None and not known.has_agent(node.agent):
        message = f"node {node.name!r} transfers to agent {node.agent!r}, which does not exist"
        yield Warning("agent-missing", node.name, message)
    if node.to is not None and node.to.startswith("sip:") and not known.may_call(node.to):
        message = (
            f"node {node.name!r} transfers to {node.to}, which is not on the account's list: the operator "
            "adds it with `trunx accounts limits --sip-uri`"
        )
        yield Warning("sip-uri-not-allowed", node.name, message)


def _audios(node: Node) -> Iterator[str]:
    if node.audio is not None:
        yield node.audio
    if isinstance(node, Gather):
        yield from (audio for audio in (node.invalid_audio, node.timeout_audio) if audio is not None)


def _key_targets(node: Node) -> set[str]:
    return set(node.keys.values()) if isinstance(node, Gather) else set()


def _targets(node: Node) -> set[str]:
    """Where a call can go from `node`: a node that gives up at the first silence never takes timeout_node."""
    if isinstance(node, Transfer):
        return node.exits
    if not isinstance(node, Gather):
        return set()
    exits = {node.exhausted_node} if node.exhausted_node is not None else set()
    silence = {node.timeout_node} if node.attempts > 1 else set()
    return set(node.keys.values()) | silence | exits


def _circling(tree: Tree, ways: _Ways) -> set[str]:
    """The nodes of every circle that no key leaves, and in which nobody is reached."""
    found: set[str] = set()
    for part in _strong_parts(ways):
        if any(isinstance(tree.nodes[name], Transfer) for name in part):
            continue
        if all(_key_targets(tree.nodes[name]) <= part and ways[name] & part for name in part):
            found |= part
    return found


def _strong_parts(ways: _Ways) -> Iterator[set[str]]:
    """The largest sets of nodes that can all reach one another (Kosaraju); a node in no circle is alone."""
    back: dict[str, set[str]] = {name: set() for name in ways}
    for name, targets in ways.items():
        for target in targets:
            back[target].add(name)
    placed: set[str] = set()
    for name in reversed(_finished(ways)):
        if name not in placed:
            part = _closure({name}, back, placed)
            placed |= part
            yield part


def _finished(ways: _Ways) -> list[str]:
    """All nodes, each after those that can only be reached through it; without recursion, for long chains."""
    order: list[str] = []
    seen: set[str] = set()
    for root in ways:
        pending = [] if root in seen else [(root, iter(ways[root]))]
        seen.add(root)
        while pending:
            name, targets = pending[-1]
            fresh = next((target for target in targets if target not in seen), None)
            if fresh is None:
                order.append(name)
                pending.pop()
            else:
                seen.add(fresh)
                pending.append((fresh, iter(ways[fresh])))
    return order


def _closure(roots: set[str], ways: _Ways, without: AbstractSet[str] = frozenset()) -> set[str]:
    """`roots` and whatever can be reached from them, not going through `without`."""
    seen, pending = set(roots), list(roots)
    while pending:
        fresh = ways[pending.pop()] - seen - without
        seen |= fresh
        pending.extend(fresh)
    return seen
