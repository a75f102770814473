"""Where callers and agents meet: a server with the stand-in for Ultravox, and the stand-in's SIP side."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.journeys.listening import Shelf, Told, seconds, told
from tests.journeys.scene import Asterisks, Scene, opened
from tests.journeys.server import eventually
from tests.peers.agent_side import SAYS, AgentSide
from tests.peers.hearing import Audio, load_gsm
from tests.peers.ultravox import UltravoxPeer
from tests.secrecy import SIP_PASSWORD, SIP_USER, WEBHOOK_SECRETS
from trunx.adapters.store.account_limits import AccountLimits
from trunx.adapters.store.database import Database
from trunx.domain.gate import Capacity, Limits

CALLER_SAYS = "sorry-youre-having-problems"
"""Two seconds of a caller's own."""
_trees = itertools.count()
_callees = itertools.count(70)


@dataclass(frozen=True)
class Office:
    """A scene in which agents work; `agent` is the account's default one."""

    scene: Scene
    side: AgentSide
    agent: str

    @property
    def peer(self) -> UltravoxPeer:
        """The vendor."""
        assert self.side.peer is not None
        return self.side.peer

    @property
    def agents_sentence(self) -> Audio:
        """What an agent says."""
        return self._core(SAYS)

    @property
    def callers_sentence(self) -> Audio:
        """What a caller says."""
        return self._core(CALLER_SAYS)

    def callee(self, kind: str) -> str:
        """A number that nobody else calls, whose callee behaves so: see `tests.peers.callees.CALLEES`."""
        return f"+1415555{kind}{next(_callees):02}"

    async def line(self, **fields: Any) -> str:
        """A new number whose tree begins with a transfer to an agent. From its menu, which `zero_out` names,
        1 leads there again; `failed` and `returned` say digits and hang up.
        """
        did, shelf = self.scene.new_did(), self.scene.shelf
        nodes: dict[str, Any] = {
            "talk": {"action": "transfer", "fail_node": "failed", **fields},
            "menu": {"audio": shelf.digits("agents-menu", "444"), "gather": {"1": "talk", "2": "failed"}},
            "failed": {"action": "hangup", "audio": shelf.digits("agents-failed", "333")},
            "returned": {"action": "hangup", "audio": shelf.digits("agents-returned", "222")},
        }
        await self.scene.trunx.publish(f"agents-{next(_trees)}", did, nodes)
        return did

    def vendors(self, marker: str) -> list[dict[str, Any]]:
        """The vendor's calls that hold `marker` anywhere in what they were asked for."""
        return [call for call in self.peer.calls.values() if marker in json.dumps(call)]

    async def ai(self, call: str, **facts: Any) -> dict[str, Any]:
        """What a call tells of its talk, once that holds these facts."""

        async def so() -> dict[str, Any] | None:
            answer = (await self.scene.trunx.get(f"/api/voice/{call}")).get("ai")
            return dict(answer) if answer is not None and facts.items() <= answer.items() else None

        return await eventually(so)

    async def all_over(self) -> None:
        """Waits until no channel is left, no session, and no call of the vendor's."""
        await self.scene.no_channels()

        async def none() -> bool | None:
            return (not self.side.standing and not self.peer.control.live) or None

        await eventually(none)

    def told(self, audio: Audio) -> list[Told]:
        """What somebody heard: prompts of the line, and the sentences `agent` and `caller`."""
        sentences = {"agent": self.agents_sentence, "caller": self.callers_sentence}
        return told(audio, self.scene.shelf.audio, sentences)

    def is_whole(self, sentence: Told) -> bool:
        """Whether all of an agent's or a caller's sentence was heard."""
        wanted = self.agents_sentence if sentence.prompt == "agent" else self.callers_sentence
        return seconds(wanted) - sentence.seconds < 0.15

    def _core(self, sound: str) -> Audio:
        return load_gsm(self.scene.pbx.sounds / "en" / f"{sound}.gsm")


@asynccontextmanager
async def staffed(
    asterisks: Asterisks, side: AgentSide, folder: Path, **settings: str
) -> AsyncIterator[Office]:
    """A server of its own that knows the stand-in, an account that may place calls, and its default agent."""
    pbx, _ = asterisks
    assert side.peer is not None
    ways = {
        "ami_url": pbx.ami_url,
        "trunk": "trunk",
        "trunk_calls_per_second": "50",
        "ultravox_api_key": side.peer.key,
        "ultravox_url": side.peer.url,
        "ultravox_sip": f"sip:{SIP_USER}:{SIP_PASSWORD}@127.0.0.1:{pbx.ports.sip};transport=udp",
        "ultravox_calls": "20",
        "ultravox_webhook_secrets": ",".join(WEBHOOK_SECRETS),
        "public_url": "http://127.0.0.1:{http_port}",
    }
    async with opened(asterisks, folder, **(ways | settings)) as scene:
        async with Database.open(f"sqlite:///{scene.trunx.database}") as database:
            capacity = Capacity(per_second=50, at_once=50)
            await AccountLimits(database).put(scene.trunx.account, Limits(capacity=capacity))
        body = {"name": "Reception", "prompt": "You answer the telephone.", "default": True}
        status, made = await scene.trunx.ask("POST", "/api/voice/agents", body)
        assert status == 201, made
        yield Office(replace(scene, shelf=Shelf(pbx, scene.trunx.account)), side, made["id"])
