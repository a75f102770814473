"""Ultravox' calls, as the port `VendorCalls` wants them.

The fact to know: the vendor's call is asked for once. Where the answer was lost, the call is looked for by
its `metadata.requestId`; what is not found then may still come to be: that is told as `unknown`.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import structlog

from trunx.adapters.ultravox.answers import problem
from trunx.adapters.ultravox.client import Client
from trunx.adapters.ultravox.reach import SipReach
from trunx.domain.agent import LANGUAGE, PromptBrief, VendorError
from trunx.domain.agent_template import CALL_FACTS, manners, tool_definition
from trunx.domain.records import PartState
from trunx.domain.talk import TalkRequest, VendorCall
from trunx.domain.vendor_hook import UnreadableError, vendor_call

_LOOKS = 3
_SPEAKERS = {"MESSAGE_ROLE_AGENT": "Agent", "MESSAGE_ROLE_USER": "User"}
_HANG_UP = "hangUp"
_PATIENCE = "4s"
"""How long an agent that lets the other side speak first waits for that."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Callbacks:
    """Where the vendor tells what becomes of a call, and what it signs that with."""

    url: str
    secrets: Sequence[str] = field(repr=False)


class UltravoxCalls:
    """Fulfils `VendorCalls`. Without `callbacks` the vendor is to be asked what became of a call."""

    def __init__(self, client: Client, reach: SipReach, callbacks: Callbacks | None = None) -> None:
        client.hide(reach.password, *(callbacks.secrets if callbacks is not None else ()))
        self._client = client
        self._reach = reach
        self._callbacks = callbacks
        self._state: tuple[float, PartState] | None = None

    async def create_call(self, wanted: TalkRequest) -> VendorCall:
        path, body = self._request(wanted)
        try:
            made = await self._client.send(
                "POST", path, body, within=self._client.deadlines.creation, secret=wanted.token
            )
            return _call(made, "unknown")
        except VendorError as error:
            if error.trouble != "unknown":
                raise
            return await self._lost(wanted.id, error)

    async def find_call(self, request: str) -> VendorCall | None:
        return await self._found(request, self._client.deadlines.total)

    async def call(self, vendor_call: str) -> VendorCall:
        return _call(await self._client.get(_path(vendor_call)), "unavailable")

    async def hang_up(self, vendor_call: str) -> bool:
        path = _path(vendor_call) + "/send_data_message"
        try:
            await self._client.send("POST", path, {"type": "hang_up"})
        except VendorError as error:
            if error.trouble == "invalid":
                return False
            raise
        return True

    async def transcript(self, vendor_call: str) -> str:
        said = await self._client.pages(_path(vendor_call) + "/messages", {"mode": "in_call"})
        return "\n".join(filter(None, map(_line, said)))

    async def state(self) -> PartState:
        now = asyncio.get_running_loop().time()
        limits = self._client.deadlines
        if self._state is None or now - self._state[0] > limits.keep:
            self._state = (now, await self._look())
        return self._state[1]

    async def _look(self) -> PartState:
        try:
            account = await self._client.look("/api/accounts/me", within=self._client.deadlines.state)
        except VendorError as error:
            return PartState("agents", "degraded", f"Ultravox: {error.sentence}")
        active, most = account.get("activeCalls"), account.get("allowedConcurrentCalls")
        calls = f"{active} calls" if most is None else f"{active} calls of {most}"
        return PartState("agents", "ok", f"Ultravox, {calls}" if isinstance(active, int) else "Ultravox")

    async def _found(self, request: str, within: float) -> VendorCall | None:
        """One look. A filter that the vendor did not know would let all pass, so each is looked at."""
        query = {"metadata.requestId": request, "sort": "-created", "pageSize": "10"}
        page = await self._client.look("/api/calls", query, within=within)
        rows = page.get("results")
        if not isinstance(rows, list):
            raise problem("unavailable", "its answer cannot be read")
        for row in rows:
            try:
                call = vendor_call(row)
            except UnreadableError:
                continue
            if call.request == request:
                return call
        return None

    async def _lost(self, request: str, error: VendorError) -> VendorCall:
        """The call that was made though its answer was lost; raises `unknown` when it is not to be found."""
        loop, limits = asyncio.get_running_loop(), self._client.deadlines
        _log.warning("the answer of Ultravox was lost; the call is looked for", problem=error.sentence)
        end = loop.time() + limits.lookup
        for looks in range(_LOOKS):
            if looks:
                await asyncio.sleep(min(limits.backoff * 2**looks, max(0.0, end - loop.time())))
            try:
                call = await self._found(request, max(0.1, end - loop.time()))
            except VendorError as problem_of_look:
                _log.warning("the call cannot be looked for", problem=problem_of_look.sentence)
                continue
            if call is not None:
                return call
        raise error

    def _request(self, wanted: TalkRequest) -> tuple[str, dict[str, Any]]:
        told = _told(wanted.facts, wanted.metadata)
        metadata = {key: value for key, value in wanted.metadata.items() if not key.startswith("ultravox.")}
        body: dict[str, Any] = {
            "medium": self._reach.medium(wanted.token),
            "metadata": metadata | {"requestId": wanted.id, "callId": wanted.call},
            "joinTimeout": f"{wanted.join_seconds}s",
            "maxDuration": f"{wanted.max_seconds}s",
        }
        if self._callbacks is not None:
            one = {"url": self._callbacks.url, "secrets": list(self._callbacks.secrets)}
            body["callbacks"] = {"joined": one, "ended": one}
        if isinstance(wanted.who, PromptBrief):
            return "/api/calls", body | _described(wanted.who, told)
        body["templateContext"] = {**wanted.metadata, **wanted.facts, CALL_FACTS: told}
        return f"/api/agents/{quote(wanted.who, safe='')}/calls", body


def _described(brief: PromptBrief, told: str) -> dict[str, Any]:
    """What an agent's template would have said."""
    tools = [_selected(tool) for tool in brief.tools]
    if all(tool["modelToolName"] != _HANG_UP for tool in brief.tools):
        tools.insert(0, {"toolName": _HANG_UP})
    # Whoever is called says "hello?" first; an agent that waits for that must not wait for ever.
    first = {"agent": {}} if brief.first_speaker == "agent" else {"user": {"fallback": {"delay": _PATIENCE}}}
    asked = {"model": brief.model, "voice": brief.voice, "temperature": brief.temperature}
    return {
        "systemPrompt": f"{brief.prompt}\n\n{told}",
        **{key: value for key, value in asked.items() if value is not None},
        "firstSpeakerSettings": first,
        "selectedTools": tools,
        **manners(LANGUAGE),
    }


def _selected(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A tool of the contract's schema; one without an address is one of the vendor's own."""
    if "http" not in tool:
        return {"toolName": tool["modelToolName"]}
    return {"temporaryTool": tool_definition(tool)}


def _told(facts: Mapping[str, str], metadata: Mapping[str, str]) -> str:
    """What the agent is told of the call, a line each; what somebody else wrote begins no line of its own."""
    lines = [f"- {_flat(name)}: {_flat(value)}" for name, value in {**metadata, **facts}.items() if value]
    return "\n".join(["About this call:", *lines])


def _line(message: Mapping[str, Any]) -> str | None:
    """A line of the transcript; None for tools, for silence, and for whatever else there may come to be."""
    speaker, text = _SPEAKERS.get(str(message.get("role"))), message.get("text")
    if speaker is None or not isinstance(text, str) or not (words := _flat(text)):
        return None
    return f"{speaker}: {words}"


def _flat(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _path(vendor_call: str) -> str:
    return f"/api/calls/{quote(vendor_call, safe='')}"


def _call(shown: Mapping[str, Any], otherwise: Any) -> VendorCall:
    try:
        return vendor_call(shown)
    except UnreadableError:
        raise problem(otherwise, "its answer has no call") from None
