"""A caller and an AI agent: the agent is called while the caller still listens to us, then they are joined.

The fact to know: the vendor's call comes to us as a SIP call for a token. The caller's channel says that it
expects the token, then waits for it inside one `Dial`, which ends when the talk does; the dialplan brings
both together, and from then on neither needs this process.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from time import monotonic
from typing import Any

import structlog

from agi import Channel, SoundError
from dialplan.names import CONTEXT_WAIT, GROUP_EXPECTING, VARIABLE_TALKING
from sounds import ENGINE
from trunx.domain.agent import AgentBrief, Brief, PromptBrief, VendorError
from trunx.domain.call import new_call_id
from trunx.domain.errors import NotFoundError, UnavailableError
from trunx.domain.talk import (
    News,
    Talk,
    TalkRequest,
    TalkState,
    VendorCall,
    created,
    ended,
    failed,
    new_token,
)
from trunx.engine.agent_ports import TalkPlaces, Talks, VendorCalls
from trunx.engine.agents import Roster
from trunx.engine.settling import moment

log = structlog.get_logger(__name__)

_RESULT = "${DIALSTATUS}|${CHANNEL(hangupsource)}|${DIALEDPEERNAME}|${HANGUPCAUSE}"
_SILENT_AGENT = "44"
"""Cause of a channel that `rtp_timeout` has ended (AST_CAUSE_REQUESTED_CHAN_UNAVAIL, res_pjsip_sdp_rtp.c)."""
_LOOK = 0.1  # seconds between two looks for a place


class TalkEnd(Enum):
    """Why a caller who is still there is alone again."""

    AGENT_LEFT = auto()
    ZERO_OUT = auto()
    MAX_DURATION = auto()
    UNAVAILABLE = auto()  # the agent never came


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds.

    Attributes:
        place: how long a caller waits for one of the account's places.
        order: how long the vendor may take to make its call, a second try included.
        again: the longest pause that the vendor may ask for before that second try.
        join: how long its call may then take to reach us, and to be heard.
        ring: how long a caller hears it ring between two words that ask for patience.
    """

    place: float = 3.0
    order: float = 8.0
    again: float = 2.0
    join: int = 10
    ring: float = 2.5


@dataclass(eq=False, slots=True)
class Prepared:
    """A talk from the order to the end.

    Attributes:
        made: the vendor's call, or None: there will be none.
        wanted: the caller is there for it.
        talking: it goes on, as far as we know; `talked`: it took place.
    """

    talk: Talk
    brief: Brief
    facts: Mapping[str, str]
    metadata: Mapping[str, str]
    made: asyncio.Future[VendorCall | None]
    wanted: bool = True
    talking: bool = False
    talked: bool = False


@dataclass(slots=True)
class Talking:
    """Brings callers and agents together. `close` before the database goes."""

    talks: Talks
    places: TalkPlaces
    vendor: VendorCalls
    roster: Roster
    patience: Patience = Patience()
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def prepare(
        self,
        channel: Channel,
        call: str,
        brief: Brief,
        *,
        account: str,
        facts: Mapping[str, str],
        metadata: Mapping[str, str],
        max_seconds: int,
    ) -> Prepared:
        """Lets an agent come, and does not wait for it: what is prepared is to be joined or abandoned.

        Raises `CallEndedError`.
        """
        talk = Talk(
            id=new_call_id(),
            call=call,
            account=account,
            agent=brief.agent if isinstance(brief, AgentBrief) else None,
            token=new_token(),
            state=TalkState.WANTED,
            created_at=moment(),
            max_seconds=max_seconds,
        )
        # Until this channel ends, and no longer: the dialplan turns away an agent that nobody expects.
        await channel.set_variable(f"GROUP({GROUP_EXPECTING})", talk.token)
        made: asyncio.Future[VendorCall | None] = asyncio.get_running_loop().create_future()
        prepared = Prepared(talk, brief, facts, metadata, made)
        self._start(self._make(prepared))
        return prepared

    async def join(self, channel: Channel, prepared: Prepared, *, zero_out: str | None) -> TalkEnd:
        """Stays until the talk is over; the key `zero_out` ends it. Raises `CallEndedError`."""
        try:
            if await self._rung(channel, prepared, zero_out):
                end = TalkEnd.ZERO_OUT
            elif prepared.made.result() is None:
                end = TalkEnd.UNAVAILABLE
            else:
                end = await self._talk(channel, prepared, zero_out)
        finally:
            prepared.wanted = False
            if not prepared.talking:  # else we go, and the talk goes on
                self._start(self._part(prepared))
        return end

    async def abandon(self, prepared: Prepared) -> None:
        """The caller will not come."""
        prepared.wanted = False
        self._start(self._part(prepared))

    async def has_talked(self, call: str) -> bool:
        """Whether an agent was called for this call before, perhaps by a process that died of it."""
        return bool((await self.talks.of_calls([call])).get(call))

    async def close(self) -> None:
        """What is under way is ended; rows that miss a word are looked after later."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- the caller's side

    async def _rung(self, channel: Channel, prepared: Prepared, zero_out: str | None) -> bool:
        """Lets the caller hear it ring until the vendor's call is made or not; whether the key came."""
        while not prepared.made.done():
            await channel.exec("Ringing")
            await asyncio.wait({prepared.made}, timeout=self.patience.ring)
            if not prepared.made.done():
                with suppress(SoundError):
                    key = (await channel.stream_file(ENGINE["connecting"].sound)).key
                    if key is not None and key == zero_out:
                        return True
        return False

    async def _talk(self, channel: Channel, prepared: Prepared, zero_out: str | None) -> TalkEnd:
        talk = prepared.talk
        options = f"gIS({talk.max_seconds})"
        if zero_out is not None:
            await channel.set_variable("FEATUREMAP(disconnect)", zero_out)
            options += "H"
        await channel.set_variable(VARIABLE_TALKING, "1")
        who, began = f"Local/{talk.token}@{CONTEXT_WAIT}", monotonic()
        prepared.talking = True
        result = await channel.exec("Dial", who, str(self.patience.join), options)
        told = await channel.get_full_variable(_RESULT) or ""
        status, source, peer, cause = f"{told}|||".split("|")[:4]
        prepared.talking = False
        prepared.talked = status == "ANSWER" and cause != _SILENT_AGENT
        if result == "-1":
            await channel.status()  # raises when the caller has gone
        await channel.set_variable(VARIABLE_TALKING, "")
        if status == "CANCEL":
            return TalkEnd.ZERO_OUT
        if not prepared.talked:
            log.warning(
                "an agent was called and did not talk", call=talk.call, talk=talk.id, dial=status, cause=cause
            )
            return TalkEnd.UNAVAILABLE
        if source == peer:
            return TalkEnd.AGENT_LEFT
        if monotonic() - began >= talk.max_seconds:
            return TalkEnd.MAX_DURATION
        return TalkEnd.AGENT_LEFT if zero_out is None else TalkEnd.ZERO_OUT

    # --- the vendor's side, behind the caller's back

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _make(self, prepared: Prepared) -> None:
        talk, call, code = prepared.talk, None, ""
        certain = True
        try:
            await self.talks.add(talk)
            await self._place(talk)
            if prepared.wanted:
                async with asyncio.timeout(self.patience.order):
                    call = await self._order(prepared)
        except VendorError as error:
            code, certain = error.trouble, error.trouble != "unknown"
            _tell(talk, error.sentence)
        except TimeoutError:
            code, certain = "timeout", False
            _tell(talk, "the vendor has not made its call in time")
        except (NotFoundError, UnavailableError) as error:
            code = "unavailable"
            _tell(talk, str(error))
        finally:
            prepared.made.set_result(call)
        if call is not None:
            await self._settle(talk, created(call.id))
        else:
            await self._settle(talk, failed(moment(), code or "abandoned", certain=certain))
            await self._release(talk)

    async def _place(self, talk: Talk) -> None:
        deadline = monotonic() + self.patience.place
        try:
            while not await self.places.take(talk.account, talk.id):
                if monotonic() >= deadline:
                    raise VendorError("busy", "all agents that the account may have at once are talking")
                await asyncio.sleep(_LOOK)
        except UnavailableError as error:
            # The vendor counts too.
            log.warning("a talk begins uncounted", talk=talk.id, problem=str(error))

    async def _order(self, prepared: Prepared) -> VendorCall:
        talk, brief, agent = prepared.talk, prepared.brief, None
        if isinstance(brief, AgentBrief):
            agent = await self.roster.ready(await self.roster.rows.get(talk.account, brief.agent))
            who: str | PromptBrief = str(agent.vendor_id)
        else:
            who = brief
        request = TalkRequest(
            id=talk.id,
            call=talk.call,
            token=talk.token,
            who=who,
            facts=prepared.facts,
            metadata=prepared.metadata,
            max_seconds=talk.max_seconds,
        )
        try:
            return await self.vendor.create_call(request)
        except VendorError as error:
            if error.trouble == "busy" and (error.retry_after or 0) <= self.patience.again:
                await asyncio.sleep(error.retry_after or 0)
            elif error.trouble == "missing" and agent is not None:
                request = replace(request, who=str((await self.roster.anew(agent)).vendor_id))
            else:
                raise
        return await self.vendor.create_call(request)

    async def _part(self, prepared: Prepared) -> None:
        """The end of a talk for the vendor and for the row. A hangup by SIP has ended the vendor's call; one
        that still rings cannot be ended, but finds nobody.
        """
        talk, now = prepared.talk, moment()
        call = await prepared.made
        if call is None:
            return
        if not prepared.talked:
            with suppress(VendorError):
                await self.vendor.hang_up(call.id)
        await self._settle(talk, ended(now) if prepared.talked else failed(now, "unjoined"))
        await self._release(talk)

    async def _settle(self, talk: Talk, news: News) -> None:
        try:
            await self.talks.settle(talk.id, news)
        except (NotFoundError, UnavailableError) as error:
            log.warning("a talk's row is put right later", call=talk.call, talk=talk.id, problem=str(error))

    async def _release(self, talk: Talk) -> None:
        with suppress(UnavailableError):  # it comes free by itself
            await self.places.release(talk.account, talk.id)


def _tell(talk: Talk, problem: str) -> None:
    log.warning("no agent comes to a caller", call=talk.call, talk=talk.id, agent=talk.agent, problem=problem)
