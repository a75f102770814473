"""Puts together what AI agents are made of and talk with; `app.py` puts it into the whole."""

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, NoReturn, cast

from trunx.adapters.cache.redis import RedisServer
from trunx.adapters.cache.talk_places import TalkPlaces
from trunx.adapters.store.agents import Agents
from trunx.adapters.store.calls import Calls
from trunx.adapters.store.database import Database
from trunx.adapters.store.knowledge import KnowledgeBases
from trunx.adapters.store.left_overs import LeftOvers as LeftOverRows
from trunx.adapters.store.talks import Talks
from trunx.adapters.store.tools import Tools as ToolRows
from trunx.adapters.ultravox.agents import UltravoxAgents
from trunx.adapters.ultravox.calls import Callbacks, UltravoxCalls
from trunx.adapters.ultravox.client import Client
from trunx.adapters.ultravox.reach import SipReach
from trunx.domain.agent import VendorError
from trunx.domain.records import PartState
from trunx.engine.agent_ports import VendorAgents
from trunx.engine.agents import Roster
from trunx.engine.knowledge import Bookshelf
from trunx.engine.left_overs import LeftOvers
from trunx.engine.ports import Part
from trunx.engine.talk_truth import TalkTruth
from trunx.engine.talking import Patience, Talking
from trunx.engine.tools import Tools
from trunx.settings import PREFIX, Settings
from trunx.start import setting
from trunx.web import vendor_hooks
from trunx.web.ports import Ai

NO_KEY = "the operator has not set ULTRAVOX_API_KEY"
NO_SIP = f"the operator has not set {PREFIX}ULTRAVOX_SIP, by which agents reach callers"


Chore = Callable[[], Coroutine[Any, Any, None]]


class _Nobody:
    """Stands where there is no vendor: whatever is asked of it, it says that it is not there."""

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, NoReturn]]:
        async def refuse(*_asked: object) -> NoReturn:
            raise VendorError("off", NO_KEY)

        return refuse


@dataclass(frozen=True, slots=True)
class _Off:
    """What `/readyz` says where nobody can talk to an agent."""

    why: str

    async def state(self) -> PartState:
        return PartState("agents", "off", f"no talks with AI agents: {self.why}")


@dataclass(frozen=True, slots=True)
class AiParts:
    """All that AI agents need. `talking` is None where nobody can talk to one; `chores` are to run for ever
    once the rest does.
    """

    rows: Agents
    roster: Roster
    tools: Tools
    knowledge: Bookshelf
    talking: Talking | None
    door: Ai
    part: Part
    chores: Sequence[Chore]


@asynccontextmanager
async def ai_agents(settings: Settings, database: Database, cache: RedisServer) -> AsyncIterator[AiParts]:
    """Raises `SettingsError`: one of the settings cannot be used."""
    with setting(f"{PREFIX}ULTRAVOX_SIP"):
        sip = settings.ultravox_sip
        reach = None if sip is None else SipReach.of(sip.get_secret_value())
    secrets = [secret.get_secret_value() for secret in settings.ultravox_webhook_secrets]
    key = settings.ultravox_api_key
    async with AsyncExitStack() as stack:
        client: Client | None = None
        if key is not None:
            with setting(f"ULTRAVOX_API_KEY or {PREFIX}ULTRAVOX_URL"):
                opening = Client.open(key.get_secret_value(), settings.ultravox_url)
                client = await stack.enter_async_context(opening)
        vendor = cast(VendorAgents, _Nobody()) if client is None else UltravoxAgents(client)
        rows, talks = Agents(database), Talks(database)
        left_overs = LeftOvers(LeftOverRows(database), vendor)
        tools = Tools(ToolRows(database), vendor, left_overs)
        knowledge = Bookshelf(KnowledgeBases(database), vendor, left_overs)
        roster = Roster(rows, vendor, left_overs, tools=tools, knowledge=knowledge)
        off = NO_KEY if client is None else NO_SIP if reach is None else None
        truth, talking, part = None, None, cast(Part, _Off(off or ""))
        chores: list[Chore] = [] if client is None else [left_overs.sweep_for_ever]
        if client is not None and reach is not None:
            calls = UltravoxCalls(client, reach, _callbacks(settings, secrets))
            places = TalkPlaces(cache, settings.ultravox_calls)
            truth = TalkTruth(talks=talks, calls=Calls(database), vendor=calls, places=places)
            talking = Talking(talks, places, calls, roster, Patience(place=settings.ultravox_wait))
            stack.push_async_callback(talking.close)
            part = calls
            chores.append(truth.run)
        door = Ai(off=off, talks=talks, truth=truth, secrets=secrets, window=settings.ultravox_webhook_window)
        yield AiParts(rows, roster, tools, knowledge, talking, door, part, chores)


def _callbacks(settings: Settings, secrets: list[str]) -> Callbacks | None:
    """Where Ultravox is to tell its news, if it can reach us and we can believe it."""
    if settings.public_url is None or not secrets:
        return None
    return Callbacks(settings.public_url.rstrip("/") + vendor_hooks.PATH, secrets)
