"""Performs a node: what it asks for is said, heard and done. Where to go next is not decided here."""

from typing import assert_never

import structlog

from trunx.domain.call import EndReason
from trunx.domain.ivr import Action, Gather, Hangup, Suppress, Transfer
from trunx.domain.number import e164
from trunx.domain.walk import Outcome, Pressed, Silent, Visit
from trunx.engine.opt_out import OptOuts
from trunx.engine.speaking import Heard, Speaker

log = structlog.get_logger(__name__)

_SILENT = Silent()


class Nodes:
    """The nodes of one call."""

    __slots__ = ("_account", "_call", "_caller", "_opt_outs", "speaker")

    def __init__(self, speaker: Speaker, opt_outs: OptOuts, account: str, call: str, caller: str) -> None:
        self.speaker = speaker
        self._opt_outs = opt_outs
        self._account = account
        self._call = call
        self._caller = caller

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

    async def act(self, node: Action, visit: Visit, heard: Heard) -> EndReason:
        """Carries an action out up to the hangup, which is the session's."""
        match node:
            case Transfer():
                await self._announce(node, visit, heard)
                await self.speaker.say("unavailable")
                return EndReason.TRANSFER_UNAVAILABLE
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
        caller = self._caller
        if e164(caller) != caller:
            log.warning(
                "a caller without a number asked not to be called; nothing can be listed",
                call=self._call,
                account=self._account,
                caller=caller,
            )
            return EndReason.SUPPRESS_ANONYMOUS
        await self._opt_outs.add(self._account, caller, self._call)
        await self._announce(node, visit, heard)
        return EndReason.SUPPRESSED
