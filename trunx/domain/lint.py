"""What is allowed in a tree and still worth a word: warnings that go with the answer to a save."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from trunx.domain.ivr import Gather, Node, Tree


@dataclass(frozen=True, slots=True)
class Warning:  # noqa: A001 - the API's own word
    """`code` is stable, `node` is where, `message` is for people."""

    code: str
    node: str
    message: str


def warnings(tree: Tree, has_audio: Callable[[str], bool]) -> list[Warning]:
    """Everything odd about `tree`, in the order of its nodes; `has_audio` tells which audio can be played."""
    reached = _closure({tree.start}, {name: _targets(node) for name, node in tree.nodes.items()})
    ends = {name for name, node in tree.nodes.items() if not isinstance(node, Gather)}
    leaving = _closure(ends, _reversed({name: _key_targets(node) for name, node in tree.nodes.items()}))
    found: list[Warning] = []
    for name, node in tree.nodes.items():
        if name not in reached:
            found.append(Warning("unreachable-node", name, f"no call can reach node {name!r}"))
        if name not in leaving:
            found.append(
                Warning(
                    "no-way-out",
                    name,
                    f"no key pressed at node {name!r} or after it ever reaches an action: "
                    "callers leave only when attempts are used up",
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
            if not has_audio(audio)
        )
    return found


def _audios(node: Node) -> Iterator[str]:
    if node.audio is not None:
        yield node.audio
    if isinstance(node, Gather):
        yield from (audio for audio in (node.invalid_audio, node.timeout_audio) if audio is not None)


def _key_targets(node: Node) -> set[str]:
    return set(node.keys.values()) if isinstance(node, Gather) else set()


def _targets(node: Node) -> set[str]:
    if not isinstance(node, Gather):
        return set()
    exits = {node.exhausted_node} if node.exhausted_node is not None else set()
    return set(node.keys.values()) | {node.timeout_node} | exits


def _reversed(edges: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    back: dict[str, set[str]] = {name: set() for name in edges}
    for name, targets in edges.items():
        for target in targets:
            back[target].add(name)
    return back


def _closure(roots: set[str], edges: Mapping[str, Iterable[str]]) -> set[str]:
    seen, pending = set(roots), list(roots)
    while pending:
        fresh = [target for target in edges[pending.pop()] if target not in seen]
        seen.update(fresh)
        pending.extend(fresh)
    return seen
