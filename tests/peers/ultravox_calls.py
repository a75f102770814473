"""The stand-in's calls: made by the API, then joined and ended by whoever plays the SIP side."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.peers.ultravox_checks import RefusedError, duration, filled
from tests.peers.ultravox_hooks import Hooks

OnCall = Callable[[dict[str, Any]], Awaitable[object]]

_OF_CALL: dict[str, Any] = {
    **dict.fromkeys(["clientVersion", "joined", "ended", "endReason", "billedDuration", "joinUrl"]),
    **dict.fromkeys(["billedSideInputTokens", "billedSideOutputTokens", "languageHint", "retentionPolicy"]),
    **dict.fromkeys(["systemPrompt", "timeExceededMessage", "vadSettings", "shortSummary", "summary"]),
    **dict.fromkeys(["agent", "agentId", "experimentalSettings", "sipDetails", "voice"]),
    "billingStatus": "BILLING_STATUS_PENDING",
    "firstSpeaker": "FIRST_SPEAKER_AGENT",
    "firstSpeakerSettings": {"agent": {}},
    "inactivityMessages": [],
    "initialOutputMedium": "MESSAGE_MEDIUM_VOICE",
    "joinTimeout": "30s",
    "maxDuration": "3600s",
    "medium": {"webRtc": {}},
    "model": "ultravox-v0.7",
    "recordingEnabled": False,
    "temperature": 0,
    "transcriptOptional": True,
    "metadata": {},
    "initialState": {},
    "requestContext": {},
    "callbacks": {},
}
"""What a call shows that nobody asked anything of."""


@dataclass
class Calls:
    """What became of each request for a call.

    Attributes:
        shown: every call as the API shows it, by id, in order.
        wanted: what was asked for, with the SIP password and the callbacks' secrets.
        on_outgoing: what dials: called with what the API shows and the whole medium, in a task of its own.
        on_over: told of every call that has ended, so that a leg that still stands is hung up.
        pace: how many of our seconds the vendor's second takes, for `joinTimeout` and `maxDuration`.
        lag: so many requests for a list do not show a new call yet.
    """

    hooks: Hooks
    on_outgoing: OnCall | None = None
    on_over: OnCall | None = None
    pace: float = 1.0
    lag: int = 0
    shown: dict[str, dict[str, Any]] = field(default_factory=dict)
    wanted: dict[str, dict[str, Any]] = field(default_factory=dict)
    messages: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    data_messages: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    _unlisted: Counter[str] = field(default_factory=Counter)
    _clocks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def live(self) -> list[dict[str, Any]]:
        """Those that have not ended: they count against the account's cap."""
        return [call for call in self.shown.values() if call["ended"] is None]

    async def create(self, body: dict[str, Any], agent: dict[str, Any] | None = None) -> dict[str, Any]:
        """Makes the call that a body that was found good asks for."""
        call = _OF_CALL | {"callId": str(uuid.uuid4()), "created": _now()}
        template = {} if agent is None else agent["callTemplate"] or {}
        given = body.get("templateContext", {})
        for source in (template, body):
            call |= {key: deepcopy(value) for key, value in source.items() if key in _OF_CALL}
        for key in ("systemPrompt", "languageHint", "timeExceededMessage"):
            call[key] = filled(call[key], given)
        medium = call["medium"]
        outgoing = medium.get("sip", {}).get("outgoing")
        if outgoing is not None:
            shown = {key: value for key, value in outgoing.items() if key != "password"}
            call["medium"] = {"sip": {"outgoing": shown}}
        elif "sip" not in medium:
            call["joinUrl"] = f"wss://voice.ultravox.test/calls/{call['callId']}/server_web_socket"
        if "user" in call["firstSpeakerSettings"]:
            call["firstSpeaker"] = "FIRST_SPEAKER_USER"
        if agent is not None:
            call |= {"agentId": agent["agentId"], "requestContext": given}
            call["agent"] = {"agentId": agent["agentId"], "name": agent["name"]}
            agent["statistics"]["calls"] += 1
        call["callbacks"] = {name: {"url": one["url"]} for name, one in call["callbacks"].items()}
        call_id = call["callId"]
        self.shown[call_id], self.wanted[call_id] = call, deepcopy(body)
        self._unlisted[call_id] = self.lag
        self.messages[call_id] = [{"_initial": True, **said} for said in body.get("initialMessages", [])]
        self._tell("call.started", call)
        if outgoing is not None and self.on_outgoing is not None:
            self._start(self.on_outgoing(deepcopy(call) | {"medium": deepcopy(medium)}))
        self._clock(call_id, call["joinTimeout"], "unjoined")
        await self._notify()
        return call

    def one(self, call_id: str) -> dict[str, Any]:
        if call_id not in self.shown:
            raise RefusedError("No Call matches the given query.", 404)
        return self.shown[call_id]

    def listed(self, metadata: Mapping[str, str], agents: list[str]) -> list[dict[str, Any]]:
        """Newest first."""
        found = []
        for call_id, call in self.shown.items():
            if self._unlisted[call_id] > 0:
                self._unlisted[call_id] -= 1
            elif metadata.items() <= call["metadata"].items() and (not agents or call["agentId"] in agents):
                found.append(call)
        return found[::-1]

    async def made(self, count: int, within: float = 10.0) -> list[dict[str, Any]]:
        """Returns when so many calls were made, since the start."""
        async with asyncio.timeout(within), self._changed:
            await self._changed.wait_for(lambda: len(self.shown) >= count)
        return list(self.shown.values())

    async def over(self, call_id: str, within: float = 10.0) -> dict[str, Any]:
        """Returns when the call has ended."""
        async with asyncio.timeout(within), self._changed:
            await self._changed.wait_for(lambda: self.shown[call_id]["ended"] is not None)
        return self.shown[call_id]

    async def join(self, call_id: str) -> None:
        """Our Asterisk has answered. A call that has ended stays so."""
        call = self.shown[call_id]
        if call["joined"] is None and call["ended"] is None:
            call["joined"] = _now()
            self._clock(call_id, call["maxDuration"], "timeout")
            self._tell("call.joined", call)
            await self._notify()

    async def end(self, call_id: str, reason: str = "hangup", sip: str = "NORMAL") -> None:
        """The call is over, with the vendor's `endReason` and `sipDetails.terminationReason`; only once."""
        call = self.shown[call_id]
        if call["ended"] is not None:
            return
        ended = datetime.now(UTC)
        call |= {"ended": _told(ended), "endReason": reason}
        seconds = 0
        if call["joined"] is not None:
            seconds = round((ended - datetime.fromisoformat(call["joined"])).total_seconds())
        if "sip" in call["medium"]:
            billed = f"{-(-seconds // 6) * 6}s"
            call["sipDetails"] = {"billedDuration": billed, "terminationReason": f"SIP_TERMINATION_{sip}"}
        clock = self._clocks.pop(call_id, None)
        if clock is not None and clock is not asyncio.current_task():
            clock.cancel()
        self._tell("call.ended", call)
        billing = "BILLED" if seconds else "FREE_ZERO_EFFECTIVE_DURATION"
        call |= {"billedDuration": f"{seconds}s", "billingStatus": f"BILLING_STATUS_{billing}"}
        self._tell("call.billed", call)
        if self.on_over is not None:
            self._start(self.on_over(deepcopy(call)))
        await self._notify()

    def say(self, call_id: str, role: str, text: str, *, stage: int = 0, **more: Any) -> None:
        """Adds to the transcript; `role` is AGENT, USER, TOOL_CALL or TOOL_RESULT."""
        said = self.messages[call_id]
        index = sum(message.get("callStageId") == _stage(stage) for message in said)
        said.append(
            {
                "role": f"MESSAGE_ROLE_{role}",
                "text": text,
                "medium": "MESSAGE_MEDIUM_VOICE",
                "callStageMessageIndex": index,
                "callStageId": _stage(stage),
                **more,
            }
        )

    def transcript(self, call_id: str, mode: str) -> list[dict[str, Any]]:
        self.one(call_id)
        said = self.messages[call_id]
        if mode == "in_call":
            said = [message for message in said if "_initial" not in message]
        elif mode == "last_stage":
            last = said[-1].get("callStageId") if said else None
            said = [message for message in said if message.get("callStageId") == last]
        else:
            raise RefusedError(f'"{mode}" is not a valid choice.')
        return [{key: value for key, value in message.items() if key != "_initial"} for message in said]

    async def take(self, call_id: str, body: Any) -> None:
        """A data message: what a call that is joined is told to do."""
        call = self.one(call_id)
        kind = body.get("type") if isinstance(body, dict) else None
        if kind not in {"hang_up", "user_text_message", "forced_agent_message"}:
            raise RefusedError(f"Unsupported message type: {kind}")
        self.data_messages.append((call_id, body))
        if call["joined"] is None or call["ended"] is not None:
            raise RefusedError("Call is not active.", 422)
        if kind == "hang_up":
            await self.end(call_id, "agent_hangup")

    def delete(self, call_id: str) -> None:
        self.one(call_id)
        if (clock := self._clocks.pop(call_id, None)) is not None:
            clock.cancel()
        del self.shown[call_id], self.messages[call_id]

    async def close(self) -> None:
        """Ends the clocks and the tasks; raises what `on_outgoing` or `on_over` raised."""
        tasks = [*self._clocks.values(), *self._tasks]
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    def _tell(self, event: str, call: dict[str, Any]) -> None:
        callbacks = self.wanted[call["callId"]].get("callbacks", {})
        self.hooks.fire(event, deepcopy(call), callbacks)

    def _start(self, work: Awaitable[object]) -> None:
        async def working() -> None:
            await work

        task = asyncio.create_task(working())
        self._tasks.add(task)
        task.add_done_callback(lambda done: None if _failed(done) else self._tasks.discard(done))

    def _clock(self, call_id: str, length: str, reason: str) -> None:
        async def expire() -> None:
            await asyncio.sleep(duration(length, "") * self.pace)
            await self.end(call_id, reason, "TIMEOUT" if reason == "unjoined" else "NORMAL")

        if (former := self._clocks.pop(call_id, None)) is not None:
            former.cancel()
        work: Coroutine[Any, Any, None] = expire()
        self._clocks[call_id] = asyncio.create_task(work)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _failed(task: asyncio.Task[Any]) -> bool:
    return not task.cancelled() and task.exception() is not None


def _stage(number: int) -> str:
    return f"0c0ffee0-0000-4000-8000-{number:012}"


def _now() -> str:
    return _told(datetime.now(UTC))


def _told(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
