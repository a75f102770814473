"""An inbound call from the greeting to the hangup: find the line, answer, walk the tree, keep the row."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, assert_never
from urllib.parse import parse_qs

import structlog

from agi import CallEndedError, Channel, DisconnectedError, Handler, HangupError
from dialplan.names import AGI_PATH, VARIABLE_DID
from trunx.domain.call import Call, EndReason, Event, Left, Party, Status, Step, new_call_id, public_call_id
from trunx.domain.errors import UnavailableError
from trunx.domain.ivr import Fate, Gather, Hangup, Node, Suppress, Transfer, Tree
from trunx.domain.number import e164
from trunx.domain.records import Line
from trunx.domain.walk import GiveUp, Move, Over, Pressed, Silent, Visit, Walk
from trunx.engine.action_ports import Interludes
from trunx.engine.metrics import CALLS_ENDED, STEPS, UNKNOWN_DIDS
from trunx.engine.nodes import Nodes
from trunx.engine.opt_out import OptOuts
from trunx.engine.ports import Lines, Recorder, Sounds
from trunx.engine.speaking import Heard, Speaker
from trunx.engine.transferring import Transfers

log = structlog.get_logger(__name__)

_KINDS: dict[type[Node], str] = {
    Gather: "gather",
    Transfer: "transfer",
    Hangup: "hangup",
    Suppress: "suppress",
}

_LEFT = {
    Fate.AGENT_LEFT: Left.DONE,
    Fate.PERSON_LEFT: Left.DONE,
    Fate.TIME_UP: Left.DONE,
    Fate.BUSY: Left.BUSY,
    Fate.NO_ANSWER: Left.NO_ANSWER,
    Fate.BLOCKED: Left.BLOCKED,
    Fate.FAILED: Left.FAILED,
}

_NOBODYS = Line("", None, None, None)

VARIABLE_ENDED = "TRUNX_ENDED"
"""Channel variable that the API sets to 1 on a call that it is about to end."""

VARIABLE_TRANSFERRED = "TRUNX_TRANSFERRED"
"""Channel variable: the call that has taken the channel over, or is about to."""

_PLACE = f"${{CHANNEL(context)}}|${{CHANNEL(exten)}}|${{{VARIABLE_ENDED}}}|${{{VARIABLE_TRANSFERRED}}}"


@dataclass(frozen=True, slots=True)
class Inbound:
    """Handles the calls that the dialplan hands over with `AGI(agi://.../inbound)`.

    The number that was called is the query's `did`, else the channel variable TRUNX_DID, else what the
    greeting says. `region` (ISO 3166) is where numbers without a country code are at home. `scripts` handle
    the calls that ask for another script than ours, by its name. `live` are the ids of the calls under way.
    Without `transfers` a transfer node reaches nobody; without `interludes` nothing else is played in calls.
    """

    lines: Lines
    opt_outs: OptOuts
    recorder: Recorder
    sounds: Sounds
    region: str
    scripts: dict[str, Handler] = field(default_factory=dict)
    live: set[str] = field(default_factory=set)
    transfers: Transfers = field(default_factory=Transfers)
    interludes: Interludes | None = None

    async def __call__(self, channel: Channel) -> None:
        """One call. Returning without a hangup lets the dialplan go on, which apologises."""
        work = await self._chosen(channel)
        if work is not None:
            await work()

    async def _chosen(self, channel: Channel) -> Callable[[], Coroutine[Any, Any, None]] | None:
        """What is to be done with a call. The greeting's values end here: they are the half of its memory."""
        environment = channel.environment()
        path, _, query = environment.get("agi_network_script", "").partition("?")
        script = path.strip("/")
        if script in (AGI_PATH, ""):
            session = await self._opened(channel, query, environment)
            return session.run if session is not None else None
        if script in self.scripts:
            return partial(self.scripts[script], channel)
        known = [AGI_PATH, *self.scripts]
        log.error("the dialplan asks for an AGI script that does not exist", script=path, known=known)
        return None

    async def _opened(self, channel: Channel, query: str, environment: dict[str, str]) -> "_Session | None":
        """The session of a call that can be served; what is only needed to find its line ends here."""
        did = await self._did(channel, query, environment)
        try:
            line = await self.lines.find(did)
        except UnavailableError as error:
            # One line and no traceback: it comes once a call while no store answers.
            log.error("no line can be looked up; the dialplan apologises", did=did, error=str(error))  # noqa: TRY400
            return None
        if line is None:
            await _not_in_service(Speaker(channel, self.sounds, self.recorder, _NOBODYS, ""), channel, did)
            return None
        return _Session(self, channel, line, did, environment)

    async def _did(self, channel: Channel, query: str, environment: dict[str, str]) -> str:
        asked = parse_qs(query).get("did", [""])[0] if query else ""
        told = [
            asked or await channel.get_variable(VARIABLE_DID) or "",
            environment.get("agi_dnid", ""),
            environment.get("agi_extension", ""),
        ]
        # The first that is a number: res_agi.c writes `unknown` for a DNID that there is not.
        numbers = (e164(written, self.region) for written in told)
        return next(filter(None, numbers), None) or told[0] or told[2]


def _caller(environment: dict[str, str], region: str) -> str:
    """The caller's number, or Asterisk's word for having none (`anonymous`, `unknown`).

    A number may come with the wish to be withheld (P-Asserted-Identity with `Privacy: id`): it is not ours
    to keep or to show then (AST_PRES_RESTRICTED, callerid.h).
    """
    written = environment.get("agi_callerid", "unknown")
    presentation = environment.get("agi_callingpres", "0")
    if presentation.isdecimal() and int(presentation) & 0x60 == 0x20:
        return "anonymous"
    # A SIP user part can be any text, and of any length.
    return e164(written, region) or "".join(filter(str.isprintable, written))[:64]


async def _not_in_service(speaker: Speaker, channel: Channel, did: str) -> None:
    UNKNOWN_DIDS.inc()
    log.warning("a call to a number that no account owns: register it with POST /dids", did=did)
    await channel.answer()
    await speaker.say("not-in-service")
    await channel.hangup()


class Way:
    """One call's way through a tree: each node performed, and kept as a step."""

    __slots__ = ("_call", "_count", "_recorder", "nodes", "path")

    def __init__(self, call: str, nodes: Nodes, recorder: Recorder) -> None:
        self._call = call
        self._recorder = recorder
        self._count = 0
        self.nodes = nodes
        self.path: list[str] = []

    async def walk(self, tree: Tree, channel: Channel) -> EndReason:
        """From the entry to the end, but for the hangup."""
        if tree.language is not None:
            await channel.set_variable("CHANNEL(language)", tree.language)
        walk = Walk(tree)
        move: Move | EndReason = walk.begin()
        while True:
            match move:
                case Visit():
                    move = await self._visit(walk, move)
                case GiveUp():
                    await self.nodes.speaker.say("goodbye")
                    return EndReason.STEP_LIMIT if move.step_limit else EndReason.EXHAUSTED
                case EndReason():
                    return move
                case _:
                    assert_never(move)

    async def _visit(self, walk: Walk, visit: Visit) -> Move | EndReason:
        """Performs one node and records the step, also when the caller leaves in the middle of it."""
        node, heard, entered = visit.node, Heard(), datetime.now(UTC)
        left = Left.HANGUP
        try:
            match node:
                case Gather():
                    outcome = await self.nodes.gather(node, visit, heard)
                    match outcome:
                        case Pressed(key):
                            left = Left.KEY if key in node.keys else Left.INVALID
                        case Silent():
                            left = Left.TIMEOUT
                        case _:
                            assert_never(outcome)
                    return walk.after(outcome)
                case Transfer():
                    came = await self.nodes.transfer(node, visit, [*self.path, node.name], heard)
                    move = walk.back(came)
                    result = await self.nodes.part(move.fate) if isinstance(move, Over) else move
                    left = Left.KEY if isinstance(came, Pressed) else _LEFT[came]
                    return result
                case Hangup() | Suppress():
                    reason = await self.nodes.act(node, visit, heard)
                    left = Left.DONE
                    return reason
                case _:
                    assert_never(node)
        finally:
            self._step(node, heard, entered, left)

    def _step(self, node: Node, heard: Heard, entered: datetime, left: Left) -> None:
        self._count += 1
        if self._count <= 30:  # enough of the way to understand a log line
            self.path.append(node.name)
        STEPS[left].inc()
        self._recorder.step(
            Step(
                call=self._call,
                number=self._count,
                node=node.name,
                kind=_KINDS[type(node)],
                entered_at=entered,
                left_at=datetime.now(UTC),
                left=left,
                key=heard.key,
                prompt_ms=heard.ms,
                fallback=heard.fallback,
            )
        )


class _Session:
    """One call of one account."""

    __slots__ = (
        "_answered_at",
        "_channel",
        "_created_at",
        "_id",
        "_inbound",
        "_line",
        "_name",
        "_numbers",
        "_place",
        "_way",
    )

    def __init__(
        self, inbound: Inbound, channel: Channel, line: Line, did: str, environment: dict[str, str]
    ) -> None:
        self._inbound = inbound
        self._channel = channel
        self._line = line
        self._place = f"{environment.get('agi_context')}|{environment.get('agi_extension')}"
        self._name = environment.get("agi_uniqueid"), environment.get("agi_channel")
        self._numbers = _caller(environment, inbound.region), did
        self._id = new_call_id()
        self._created_at = datetime.now(UTC)
        self._answered_at: datetime | None = None
        speaker = Speaker(
            channel, inbound.sounds, inbound.recorder, line, self._id, interludes=inbound.interludes
        )
        party = Party(self._id, line.account, "inbound", did, self._numbers[0], line.ivr)
        nodes = Nodes(channel, speaker, inbound.opt_outs, inbound.transfers, party)
        self._way = Way(self._id, nodes, inbound.recorder)

    async def run(self) -> None:
        """The call, with its row closed whatever happens."""
        reason: EndReason | None = EndReason.ERROR
        self._inbound.live.add(self._id)
        try:
            await self._channel.answer()
            self._answered_at = datetime.now(UTC)
            self._record(Status.ANSWERED)
            reason = await self._walk(self._line.tree)
            await self._channel.hangup()
        except (CallEndedError, asyncio.CancelledError) as error:
            if reason is EndReason.ERROR:
                reason = await self._why(error)
            raise
        finally:
            self._end(reason)
            self._inbound.live.discard(self._id)

    async def _walk(self, tree: Tree | None) -> EndReason:
        if tree is None:
            log.warning("a call to a number without an IVR: assign one", did=self._numbers[1])
            await self._way.nodes.speaker.say("not-in-service")
            return EndReason.UNASSIGNED
        return await self._way.walk(tree, self._channel)

    async def _why(self, error: BaseException) -> EndReason | None:
        """Who ended it: the caller, the API, a transfer by request, or (None) a redirect: the channel then
        names another place.
        """
        if isinstance(error, DisconnectedError):
            return EndReason.LOST
        if not isinstance(error, HangupError) and not self._channel.hung_up:
            return EndReason.LOST  # our own end: the drain's deadline has passed
        try:
            told = await self._channel.get_full_variable(_PLACE)
        except CallEndedError:
            return EndReason.HANGUP_CALLER
        context, exten, ended, transferred = f"{told or ''}|||".split("|")[:4]
        if ended:
            return EndReason.HANGUP_CALLEE
        if transferred:
            return EndReason.TRANSFERRED
        return EndReason.HANGUP_CALLER if told is None or f"{context}|{exten}" == self._place else None

    def _record(
        self, status: Status, ended_at: datetime | None = None, reason: EndReason | None = None
    ) -> None:
        self._inbound.recorder.call(
            Call(
                id=self._id,
                call_id=public_call_id(self._id),
                account=self._line.account,
                direction="inbound",
                from_number=self._numbers[0],
                to_number=self._numbers[1],
                status=status,
                created_at=self._created_at,
                answered_at=self._answered_at,
                ended_at=ended_at,
                end_reason=reason,
                ivr=self._line.ivr,
                ivr_version=self._line.version,
                agi_uniqueid=self._name[0],
                channel=self._name[1],
            )
        )

    def _end(self, reason: EndReason | None) -> None:
        now, account = datetime.now(UTC), self._line.account
        if reason is None:
            log.info("the call was redirected and goes on elsewhere", call=self._id, path=self._way.path)
            self._inbound.recorder.event(Event(account, self._id, "call.redirected", now, {}))
            return
        self._record(Status.FAILED if self._answered_at is None else Status.COMPLETED, now, reason)
        CALLS_ENDED[reason].inc()
        log.info(
            "call ended",
            call=self._id,
            reason=reason.value,  # the member itself would be written at thrice the cost
            did=self._numbers[1],
            caller=self._numbers[0],
            ivr=self._line.ivr,
            version=self._line.version,
            path=self._way.path,
            seconds=round((now - self._created_at).total_seconds(), 3),
        )
