"""Performs a node: what it asks for is said, heard and done. Where to go next is not decided here."""

from collections.abc import Sequence
from typing import assert_never

import structlog

from agi import Channel
from trunx.domain.call import EndReason, Party
from trunx.domain.ivr import Action, Ending, Fate, Gather, Hangup, Suppress, Transfer
from trunx.domain.number import e164
from trunx.domain.walk import Outcome, Pressed, Silent, Visit
from trunx.engine.opt_out import OptOuts
from trunx.engine.speaking import Heard, Speaker
from trunx.engine.transferring import Transfers

log = structlog.get_logger(__name__)

_SILENT = Silent()


class Nodes:
    """The nodes of one call."""

    __slots__ = ("_channel", "_opt_outs", "_party", "_transfers", "speaker")

    def __init__(
        self, channel: Channel, speaker: Speaker, opt_outs: OptOuts, transfers: Transfers, party: Party
    ) -> None:
        self.speaker = speaker
        self._channel = channel
        self._opt_outs = opt_outs
        self._transfers = transfers
        self._party = party

    async def gather(self, node: Gather, visit: Visit, heard: Heard) -> Outcome:
        """Plays the menu and waits for a key. A key pressed during the preface is the answer to the menu."""
        if visit.preface is not None:
            before = Heard()
            await self.speaker.preface(visit.preface, before)
            if before.key is not None:
                heard.key = before.key
                return Pressed(before.key)
        await self.speaker.menu(node.audio, node.timeout, node.name, heard)
        return Pressed(heard.key) if heard.key is not None else _SILENT

    async def transfer(
        self, node: Transfer, visit: Visit, path: Sequence[str], heard: Heard
    ) -> Pressed | Fate:
        """Connects the caller, and returns when he is alone again; `path` leads to the node and names it."""
        link = await self._transfers.prepare(self._channel, node, self._party, path)
        try:
            await self._announce(node, visit, heard)
        except BaseException:  # cancelled by a hangup, too: nobody may wait for this caller any more
            if link is not None:
                await link.abandon()
            raise
        if link is None:
            return Fate.FAILED
        came = await link.join(self._channel)
        if isinstance(came, Pressed):
            heard.key = came.key
        return came

    async def part(self, fate: Fate) -> EndReason:
        """Says what there is to say when nothing follows a transfer; why the call ends."""
        match fate:
            case Fate.AGENT_LEFT:
                return EndReason.AGENT_LEFT
            case Fate.PERSON_LEFT:
                return EndReason.HANGUP_CALLEE
            case Fate.TIME_UP:
                return EndReason.MAX_DURATION
            case Fate.BUSY | Fate.NO_ANSWER | Fate.BLOCKED | Fate.FAILED:
                await self.speaker.say("unavailable")
                return EndReason.TRANSFER_UNAVAILABLE
            case _:
                assert_never(fate)

    async def act(self, node: Ending, visit: Visit, heard: Heard) -> EndReason:
        """Carries an action out up to the hangup, which is the session's."""
        match node:
            case Hangup():
                await self._announce(node, visit, heard)
                return EndReason.HANGUP
            case Suppress():
                return await self._suppress(node, visit, heard)
            case _:
                assert_never(node)

    async def _announce(self, node: Action, visit: Visit, heard: Heard) -> None:
        if visit.preface is not None:
            await self.speaker.preface(visit.preface, Heard())
        if node.audio is not None:
            await self.speaker.announce(node.audio, node.name, heard)

    async def _suppress(self, node: Suppress, visit: Visit, heard: Heard) -> EndReason:
        caller = self._party.theirs
        if e164(caller) != caller:
            log.warning(
                "a caller without a number asked not to be called; nothing can be listed",
                call=self._party.call,
                account=self._party.account,
                caller=caller,
            )
            return EndReason.SUPPRESS_ANONYMOUS
        await self._opt_outs.add(self._party.account, caller, self._party.call)
        await self._announce(node, visit, heard)
        return EndReason.SUPPRESSED
