"""What Ultravox refuses: each body that it is sent, against the fields and values that its API has.

The stricter reading wins wherever the vendor's documents leave two: who passes here passes there too.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

DURATION = re.compile(r"-?(?:0|[1-9][0-9]{0,11})(?:\.[0-9]{1,9})?s")
HANG_UP = "56294126-5a7d-4948-b67d-3b7e13d55ea7"
BUILT_IN = {
    HANG_UP: "hangUp",
    "84a31bac-5c1b-41c3-9058-f81acb7ffaa7": "queryCorpus",
    "3f0a1d58-0f0b-4f0e-8d5e-0a3f5b1c2d01": "leaveVoicemail",
    "3f0a1d58-0f0b-4f0e-8d5e-0a3f5b1c2d02": "playDtmfSounds",
    "3f0a1d58-0f0b-4f0e-8d5e-0a3f5b1c2d03": "coldTransfer",
    "3f0a1d58-0f0b-4f0e-8d5e-0a3f5b1c2d04": "warmTransfer",
}

_SPEECH = {"voice", "externalVoice", "voiceOverrides", "languageHint", "model", "temperature", "systemPrompt"}
_COURSE = {
    *("medium", "joinTimeout", "maxDuration", "recordingEnabled", "initialOutputMedium"),
    *("firstSpeakerSettings", "dataConnection", "retentionPolicy", "sharedSecrets"),
}
_MANNERS = {"timeExceededMessage", "inactivityMessages", "vadSettings", "selectedTools"}
TEMPLATE_KEYS = {*("name", "created", "updated", "contextSchema"), *_SPEECH, *_COURSE, *_MANNERS}
AGENT_CALL_KEYS = {
    *("templateContext", "initialMessages", "metadata", "experimentalSettings", "callbacks", "voice"),
    *("voiceOverrides", "toolOverrides", "agentId"),
    *_COURSE,
}
CALL_KEYS = {
    *("initialMessages", "firstSpeaker", "transcriptOptional", "experimentalSettings", "metadata"),
    *("initialState", "callbacks"),
    *_SPEECH,
    *_COURSE,
    *_MANNERS,
}
_TOOL_KEYS = {
    *("modelToolName", "description", "dynamicParameters", "staticParameters", "automaticParameters"),
    *("requirements", "timeout", "precomputable", "http", "client", "dataConnection", "defaultReaction"),
    "staticResponse",
}
_SELECTED_KEYS = {
    *("toolId", "toolName", "temporaryTool", "nameOverride", "descriptionOverride", "authTokens"),
    *("parameterOverrides", "transitionId"),
}
_LOCATIONS = {f"PARAMETER_LOCATION_{place}" for place in ("QUERY", "PATH", "HEADER", "BODY")}
_ENDS = {f"END_BEHAVIOR_{how}" for how in ("UNSPECIFIED", "HANG_UP_SOFT", "HANG_UP_STRICT")}
_VARIABLE = re.compile(r"\{\{[{#^&]?\s*([A-Za-z_][\w.]*)\s*\}?\}\}")


class RefusedError(Exception):
    """The answer is `status` with `detail` in the body."""

    def __init__(self, detail: str, status: int = 400) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status


def fields(message: str, body: Any, known: Iterable[str]) -> dict[str, Any]:
    """The body, if it is an object with known fields only; in protobuf's words if it is not."""
    if not isinstance(body, dict):
        raise RefusedError(f"{message} must be an object")
    for key in body:
        if key not in known:
            raise RefusedError(f'Message type "ultravox.v1.{message}" has no field named "{key}"')
    return body


def duration(value: Any, field: str) -> float:
    """Seconds."""
    if not isinstance(value, str) or not DURATION.fullmatch(value):
        raise RefusedError(f'Failed to parse {field} field: duration must end with letter "s"')
    return float(value[:-1])


def template(
    body: Any, *, voices: Mapping[str, str], models: Iterable[str], tools: Mapping[str, str]
) -> None:
    """An agent's callTemplate. `voices` and `tools` are names by id."""
    fields("CallTemplate", body, TEMPLATE_KEYS)
    _speech(body, voices, models)
    _course(body)
    _manners(body, tools)


def agent_call(body: Any, *, voices: Mapping[str, str]) -> None:
    fields("StartAgentCallRequest", body, AGENT_CALL_KEYS)
    _speech(body, voices, ())
    _course(body)
    _metadata(body)
    _callbacks(body)


def direct_call(
    body: Any, *, voices: Mapping[str, str], models: Iterable[str], tools: Mapping[str, str]
) -> None:
    fields("StartCallRequest", body, CALL_KEYS)
    _speech(body, voices, models)
    _course(body)
    _manners(body, tools)
    _metadata(body)
    _callbacks(body)


def context(wanted: Mapping[str, Any], given: Any) -> None:
    """What an agent's template needs, and what its schema (its variables, when it has none) lets in."""
    if not isinstance(given, dict):
        raise RefusedError("templateContext must be an object")
    needed = variables(wanted)
    schema = wanted.get("contextSchema")
    if schema is not None:
        needed |= set(schema.get("required", ()))
    if missing := sorted(needed - given.keys()):
        raise RefusedError(f"templateContext is missing required properties: {', '.join(missing)}")
    known = needed if schema is None else set(schema.get("properties", {})) | needed
    open_ended = schema is not None and schema.get("additionalProperties", True)
    if not open_ended and (extra := sorted(given.keys() - known)):
        raise RefusedError(f"templateContext has unexpected properties: {', '.join(extra)}")
    for name, rule in (schema or {}).get("properties", {}).items():
        if rule.get("type") == "string" and name in given and not isinstance(given[name], str):
            raise RefusedError(f"templateContext.{name} is not of type 'string'")


def variables(wanted: Mapping[str, Any]) -> set[str]:
    """The names that the templated texts ask for; `ultravox.` is the vendor's own."""
    texts = [wanted.get(key) for key in ("systemPrompt", "languageHint", "timeExceededMessage")]
    texts += [message.get("message") for message in wanted.get("inactivityMessages") or ()]
    found = {name.partition(".")[0] for text in texts for name in _VARIABLE.findall(text or "")}
    return found - {"ultravox"}


def filled(text: str | None, given: Mapping[str, Any]) -> str | None:
    """A templated text with its variables put in."""
    if text is None:
        return None
    return _VARIABLE.sub(lambda match: str(given.get(match[1].partition(".")[0], "")), text)


def tool(body: Any) -> dict[str, Any]:
    """A tool's definition."""
    fields("BaseToolDefinition", body, _TOOL_KEYS)
    name = body.get("modelToolName", "")
    if not isinstance(name, str) or (name and not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name)):
        raise RefusedError(f"Invalid model tool name: {name}")
    if not body.get("description"):
        raise RefusedError("Tools must have a description")
    ways = [way for way in ("http", "client", "dataConnection") if way in body]
    if len(ways) != 1:
        raise RefusedError("Tools must have exactly one of http, client, dataConnection")
    pattern = ""
    if ways == ["http"]:
        fields("BaseHttpToolDetails", body["http"], {"baseUrlPattern", "httpMethod"})
        pattern = body["http"].get("baseUrlPattern", "")
        if not pattern.startswith("https://"):
            raise RefusedError("Tools must use one of the following protocols: {'https'}")
        if body["http"].get("httpMethod") not in {"GET", "POST", "PUT", "PATCH", "DELETE"}:
            raise RefusedError("Tools must have a valid httpMethod")
    for parameter in body.get("dynamicParameters", ()):
        _parameter(parameter, pattern)
    if "timeout" in body and not 0 < duration(body["timeout"], "timeout") <= 40:
        raise RefusedError("Tool timeout must be at most 40s")
    return dict(body)


def _parameter(body: Any, pattern: str) -> None:
    fields("DynamicParameter", body, {"name", "location", "schema", "required"})
    if not isinstance(body.get("name"), str) or not body["name"]:
        raise RefusedError("Dynamic parameters must have a name")
    if body.get("location") not in _LOCATIONS:
        raise RefusedError(f"Invalid location of parameter {body['name']}: {body.get('location')}")
    if not isinstance(body.get("schema"), dict) or not body["schema"]:
        raise RefusedError(f"Parameter {body['name']} must have a schema")
    if body["location"] == "PARAMETER_LOCATION_PATH" and f"{{{body['name']}}}" not in pattern:
        raise RefusedError(f"Path parameter {body['name']} is not in the URL pattern")


def _speech(body: Mapping[str, Any], voices: Mapping[str, str], models: Iterable[str]) -> None:
    if "voice" in body and "externalVoice" in body:
        raise RefusedError("Only one of voice and externalVoice may be set")
    for key in ("systemPrompt", "model", "voice", "languageHint"):
        if key in body and not isinstance(body[key], str):
            raise RefusedError(f"Failed to parse {key} field: expected string")
    if "voice" in body and body["voice"] not in {*voices, *voices.values()}:
        raise RefusedError(f"Voice {body['voice']} does not exist")
    if "model" in body and body["model"] not in models:
        raise RefusedError(f"Model {body['model']} does not exist")
    if len(body.get("languageHint", "")) > 16:
        raise RefusedError("languageHint: Ensure this field has no more than 16 characters")
    temperature = body.get("temperature", 0)
    if isinstance(temperature, bool) or not isinstance(temperature, int | float) or not 0 <= temperature <= 1:
        raise RefusedError("temperature must be between 0 and 1")


def _course(body: Mapping[str, Any]) -> None:
    for key in ("joinTimeout", "maxDuration"):
        if key in body and duration(body[key], key) <= 0:
            raise RefusedError(f"{key} must be positive")
    if "medium" in body:
        _medium(body["medium"])
    if "firstSpeakerSettings" in body:
        _first_speaker(body["firstSpeakerSettings"])
    for secret in body.get("sharedSecrets", ()):
        if not 16 <= len(secret) <= 127:
            raise RefusedError("sharedSecrets must be 16 to 127 characters long")


def _first_speaker(body: Any) -> None:
    fields("FirstSpeakerSettings", body, {"agent", "user"})
    if len(body) != 1:
        raise RefusedError("firstSpeakerSettings must have exactly one of agent, user")
    if "agent" in body:
        fields("AgentGreeting", body["agent"], {"text", "prompt", "delay", "uninterruptible"})
        delays = body["agent"]
    else:
        fields("UserGreeting", body["user"], {"fallback"})
        delays = fields(
            "FallbackAgentGreeting", body["user"].get("fallback", {}), {"delay", "text", "prompt"}
        )
    if "text" in delays and "prompt" in delays:
        raise RefusedError("Only one of text and prompt may be set")
    if "delay" in delays:
        duration(delays["delay"], "delay")


def _medium(body: Any) -> None:
    fields(
        "CallMedium",
        body,
        {"sip", "webRtc", "serverWebSocket", "twilio", "telnyx", "plivo", "exotel"},
    )
    if len(body) != 1:
        raise RefusedError("medium must have exactly one kind")
    if "sip" not in body:
        return
    sip = fields("SipMedium", body["sip"], {"incoming", "outgoing"})
    if len(sip) != 1:
        raise RefusedError("sip must have exactly one of incoming, outgoing")
    if "outgoing" in sip:
        out = fields("SipOutgoing", sip["outgoing"], {"to", "from", "username", "password"})
        if not re.fullmatch(r"sips?:[^@\s]+@[^\s]+", out.get("to") or ""):
            raise RefusedError("sip.outgoing.to must be a SIP URI")
        if not out.get("from"):
            raise RefusedError("sip.outgoing.from is required")


def _manners(body: Mapping[str, Any], tools: Mapping[str, str]) -> None:
    for message in body.get("inactivityMessages", ()):
        fields("TimedMessage", message, {"duration", "message", "endBehavior"})
        duration(message.get("duration"), "duration")
        if message.get("endBehavior", "END_BEHAVIOR_UNSPECIFIED") not in _ENDS:
            raise RefusedError("Invalid enum value for endBehavior")
    delays = {"turnEndpointDelay", "minimumTurnDuration", "minimumInterruptionDuration"}
    vad = fields("VadSettings", body.get("vadSettings", {}), {*delays, "frameActivationThreshold"})
    for key in delays & vad.keys():
        duration(vad[key], key)
    if not 0.1 <= vad.get("frameActivationThreshold", 0.1) <= 1:
        raise RefusedError("frameActivationThreshold must be between 0.1 and 1")
    names = [_selected(choice, tools) for choice in body.get("selectedTools", ())]
    if twice := {name for name in names if names.count(name) > 1}:
        raise RefusedError(f"Tool names must be unique within a call: {', '.join(sorted(twice))}")


def _selected(body: Any, tools: Mapping[str, str]) -> str:
    """The name that the model knows the tool by."""
    fields("SelectedTool", body, _SELECTED_KEYS)
    ways = [way for way in ("toolId", "toolName", "temporaryTool") if way in body]
    if len(ways) != 1:
        raise RefusedError("selectedTools must have exactly one of toolId, toolName, temporaryTool")
    named = str(body.get("nameOverride", ""))
    if ways == ["temporaryTool"]:
        definition = tool(body["temporaryTool"])
        if not definition.get("modelToolName"):
            raise RefusedError("Temporary tools must have a modelToolName")
        return named or str(definition["modelToolName"])
    known = BUILT_IN | dict(tools)
    chosen = body[ways[0]]
    if chosen not in (known if ways == ["toolId"] else known.values()):
        raise RefusedError(f"Tool {chosen} does not exist")
    name = known.get(chosen, chosen)
    if name == "queryCorpus" and not body.get("parameterOverrides", {}).get("corpus_id"):
        raise RefusedError("Tool queryCorpus requires an override of parameter corpus_id")
    return named or str(name)


def _metadata(body: Mapping[str, Any]) -> None:
    given = body.get("metadata", {})
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise RefusedError("metadata must map strings to strings")
    if any(key.startswith("ultravox.") for key in given):
        raise RefusedError("metadata keys may not start with 'ultravox.'")


def _callbacks(body: Mapping[str, Any]) -> None:
    for name, callback in fields(
        "Callbacks", body.get("callbacks", {}), {"joined", "ended", "billed"}
    ).items():
        fields("EventCallback", callback, {"url", "secrets"})
        if not 0 < len(callback.get("url", "")) <= 200:
            raise RefusedError(f"callbacks.{name}.url must have 1 to 200 characters")
        if any(not 0 < len(secret) <= 120 for secret in callback.get("secrets", ())):
            raise RefusedError(f"callbacks.{name}.secrets must have 1 to 120 characters each")
