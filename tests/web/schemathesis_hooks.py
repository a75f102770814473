"""What JSON Schema cannot say of valid requests, told to schemathesis: all that it calls valid must pass."""

import uuid
from typing import Any

import schemathesis
from hypothesis import strategies
from schemathesis import Case, GenerationMode, HookContext

from tests.web.tones import wav

EXITS = (
    *("timeout_node", "exhausted_node"),
    *("on_busy", "on_no_answer", "on_failed", "fail_node", "return_node"),
)
OF_PERSONS = ("to", "timeout", "on_busy", "on_no_answer", "on_failed")
OF_AGENTS = ("agent", "zero_out")
RESERVED = {"requestId", "callId"}
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
    _tell_agents(case)
    # An Idempotency-Key is valid once: with another body it is refused.
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = uuid.uuid4().hex
    if case.path in {"/audio", "/ivr/{id}/audio"} and isinstance(case.body, dict):
        # What can be said is the voice's to know, and which voices there are.
        case.body["text"] = "Thank you for calling."
        case.body.pop("voice", None)
    _tell_what_sounds(case)
    if case.path == "/ivr/{id}/audio" and isinstance(case.body, dict):
        # The node is one of a tree that the test has made.
        case.path_parameters = {"id": TREE["id"]}
        case.body["node"] = next(iter(TREE["nodes"]))
    if case.path == "/api/voice" and isinstance(case.body, dict):
        _say_who_talks(case.body)
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


def _tell_what_sounds(case: Case[Any]) -> None:
    if isinstance(case.body, dict):
        if case.path.endswith("/speak"):
            case.body["text"] = "Thank you for calling."
        if case.path.endswith("/play"):
            case.body["url"] = "https://example.com/hold-music.mp3"


def _tell_agents(case: Case[Any]) -> None:
    if not isinstance(case.body, dict):
        return
    if case.path.startswith("/api/voice/agents"):
        # Which voices there are is Ultravox' to know; which tools and knowledge, the account's.
        for name in ("voice", "tool_ids", "knowledge_ids"):
            case.body.pop(name, None)
    if "/tools" in case.path:
        _mend_parameters(case.body)


def _mend_parameters(tool: dict[str, Any]) -> None:
    """A parameter of the path must stand in the address, and what JSON Schema is, no schema says here."""
    for parameter in tool.get("dynamicParameters") or ():
        parameter["schema"] = {"type": "string"}
        if parameter.get("location") == "PARAMETER_LOCATION_PATH":
            del parameter["location"]


def _say_who_talks(call: dict[str, Any]) -> None:
    """Which fields go together no schema says. Of IVRs the account has one."""
    call.pop("ivr", None)
    if call.get("systemPrompt") is None:
        for name in ("model", "voice", "tools", "firstSpeaker", "temperature"):
            call.pop(name, None)
        return
    call.pop("hold", None)
    for name in list(call.get("metadata", ())):
        if name in RESERVED or name.startswith("ultravox."):
            del call["metadata"][name]
    for number, tool in enumerate(call.get("tools") or ()):
        tool["modelToolName"] = f"tool{number}"
        tool["http"] = tool.get("http") or {"baseUrlPattern": "https://example.com/tool"}
        _mend_parameters(tool)


def _say_who_is_called(transfer: dict[str, Any]) -> None:
    """Whom a transfer calls decides what else it can say."""
    for name in OF_AGENTS if transfer.get("to") is not None else OF_PERSONS:
        transfer.pop(name, None)
    if "timeout" in transfer:
        transfer["timeout"] = int(transfer["timeout"])


def _aim(document: dict[str, Any]) -> None:
    """The targets in a tree are names of its own nodes, and a change does not remove what others aim at."""
    nodes = {name: node for name, node in (document.get("nodes") or {}).items() if node is not None}
    some = next(iter(nodes), None)
    for node in nodes.values():
        for name in EXITS:
            if node.get(name) is not None:
                node[name] = some
        for where in ("gather", "zero_out"):
            for key in node.get(where) or ():
                node[where][key] = some
        # To JSON Schema 3.0 is an integer; a tree is read more strictly.
        if "attempts" in node:
            node["attempts"] = int(node["attempts"])
        if node.get("action") == "transfer":
            _say_who_is_called(node)
    if nodes:
        document["nodes"] = nodes
    else:
        document.pop("nodes", None)
    if document.get("start") is not None:
        document["start"] = some
