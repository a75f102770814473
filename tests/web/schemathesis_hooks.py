"""What JSON Schema cannot say of valid requests, told to schemathesis: all that it calls valid must pass."""

import uuid
from typing import Any

import schemathesis
from hypothesis import strategies
from schemathesis import Case, GenerationMode, HookContext

from tests.web.tones import wav

TREE: dict[str, Any] = {"id": "made-to-be-spoken", "nodes": {"bye": {"action": "hangup"}}}

# The plan of the world's numbers is no regular expression; these are some that it holds.
schemathesis.openapi.format(
    "telephone",
    strategies.from_regex(r"\+1949555[0-9]{4}|1949555[0-9]{4}|\(949\) 555-[0-9]{4}", fullmatch=True),
)

# Of a file the schema says only that it is bytes; these are some that hold sound.
schemathesis.openapi.format("binary", strategies.sampled_from([wav(0.3), wav(0.4)]))


@schemathesis.hook
def before_call(_context: HookContext, case: Case[Any], _kwargs: dict[str, Any]) -> None:
    """Mends a request that is meant to be valid; one that is meant to be invalid stays as it is."""
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    # A cursor is valid only when it comes from the page before.
    if case.query:
        case.query.pop("cursor", None)
    _tell_events(case)
    # An Idempotency-Key is valid once: with another body it is refused.
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = uuid.uuid4().hex
    if case.path in {"/audio", "/ivr/{id}/audio"} and isinstance(case.body, dict):
        # What can be said is the voice's to know, and which voices there are.
        case.body["text"] = "Thank you for calling."
        case.body.pop("voice", None)
    if case.path == "/ivr/{id}/audio" and isinstance(case.body, dict):
        # The node is one of a tree that the test has made.
        case.path_parameters = {"id": TREE["id"]}
        case.body["node"] = next(iter(TREE["nodes"]))
    if case.path == "/api/voice" and isinstance(case.body, dict):
        # AI calls are to come, and of IVRs the account has one.
        for name in ("systemPrompt", "model", "voice", "tools", "firstSpeaker", "temperature", "ivr"):
            case.body.pop(name, None)
    if case.path in {"/ivr", "/ivr/{id}"} and isinstance(case.body, dict):
        # The id of an IVR may be repeated in a change of it, not changed.
        if case.method == "PATCH":
            case.body.pop("id", None)
        _aim(case.body)


def _tell_events(case: Case[Any]) -> None:
    if case.path == "/api/events":
        # A stream that is followed has no end.
        case.query = {**(case.query or {}), "follow": "false"}
    if case.path.startswith("/api/webhooks") and isinstance(case.body, dict):
        # Where a URL leads, and which of two numbers is the larger, no schema says; nor that 3.0 is none.
        if "url" in case.body:
            case.body["url"] = "https://example.com/hook"
        if "to" in case.body:
            case.body["from"] = case.body["to"] = int(str(case.body["from"]).partition(".")[0])


def _aim(document: dict[str, Any]) -> None:
    """The targets in a tree are names of its own nodes, and a change does not remove what others aim at."""
    nodes = {name: node for name, node in (document.get("nodes") or {}).items() if node is not None}
    some = next(iter(nodes), None)
    for node in nodes.values():
        for name in ("timeout_node", "exhausted_node"):
            if node.get(name) is not None:
                node[name] = some
        for key in node.get("gather", ()):
            node["gather"][key] = some
        # To JSON Schema 3.0 is an integer; a tree is read more strictly.
        if "attempts" in node:
            node["attempts"] = int(node["attempts"])
    if nodes:
        document["nodes"] = nodes
    else:
        document.pop("nodes", None)
    if document.get("start") is not None:
        document["start"] = some
