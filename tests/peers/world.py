"""The second Asterisk: carrier, callers and callees, over real SIP and RTP, and what each caller heard.

A caller is a channel of the world that sends silence for as long as it lives, as a phone does; keys are
RFC 4733. What it hears is taken from the wire (`tests.peers.wiretap`), and time 0 is the moment its Asterisk
learned of the answer.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tests.peers.ami import Ami, AmiError
from tests.peers.asterisk import AMI_SECRET, AMI_USER, Asterisk, Ports, configure, find_root
from tests.peers.callees import CALLEES, CALLERS, ENDPOINTS
from tests.peers.hearing import FRAME, QUIET, RATE, Audio, find
from tests.peers.wiretap import BUFFERED, Wiretap, played

Keys = Iterable[tuple[float, str]] | Callable[["LiveCall"], Awaitable[object]]
"""What a caller presses: (seconds after the answer, keys) in order of time; or a script, given the call."""


@dataclass(frozen=True)
class Heard:
    """A call that is over, as its caller knew it.

    Attributes:
        audio: what was received, from the answer (t = 0) to the end; empty when nobody answered.
        answered: whether the pbx answered.
        ended_by: who hung up; a call that nobody answered was ended by `far` unless the caller gave up.
        seconds: from the answer to the end, by Asterisk's clock; 0 when nobody answered.
        cause: Q.850 cause of the end, as the world's Asterisk saw it (16 normal, 17 busy, 1 unallocated
            number ...).
        began: Unix time of the answer, to compare with the timestamps of AMI events; 0 when nobody answered.
    """

    audio: Audio
    answered: bool
    ended_by: Literal["caller", "far"]
    seconds: float
    cause: int
    began: float = 0.0


class LiveCall:
    """A call under way; made by `World.dial`.

    Attributes:
        id: the Uniqueid of the caller's channel in the world's Asterisk (the pbx has its own).
    """

    def __init__(self, world: World, did: str, caller: str, variables: list[str]) -> None:
        self.id = uuid.uuid4().hex
        self._world = world
        self._gave_up = False
        self._searched = 0.0
        self._answer: asyncio.Future[tuple[float, int] | None] = asyncio.get_running_loop().create_future()
        self._end = asyncio.create_task(self._follow(did, caller, variables))

    @property
    def ended(self) -> bool:
        """Whether the call is over."""
        return self._end.done()

    async def answered(self) -> bool:
        """Waits until the pbx answers (True), or the call is over without (False)."""
        either: list[asyncio.Future[Any]] = [self._end, self._answer]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        return self._answer.done() and self._answer.result() is not None

    async def until(self, seconds: float) -> None:
        """Waits for a moment of the call, in seconds since the answer, or for the end if that comes first."""
        await asyncio.wait([self._end], timeout=max(0.0, self._answered_at()[0] + seconds - time.time()))

    async def press(self, keys: str, *, tone: float = 0.1, gap: float = 0.1) -> None:
        """Presses keys one after the other; returns when the last tone is over.

        Args:
            keys: `0` to `9`, `*`, `#`, `A` to `D`.
            tone: seconds each lasts.
            gap: seconds between two.

        Raises:
            AmiError: the call is over.
        """
        async with self._world.keypad() as keypad:
            for place, key in enumerate(keys):
                if place:
                    await asyncio.sleep(gap)
                # The response comes when the tone is over.
                await keypad.action("PlayDTMF", Channel=self.id, Digit=key, Duration=str(round(tone * 1000)))

    async def say(self, sound: str) -> None:
        """The caller begins to say one of the core sounds."""
        ami = self._world.ami
        await ami.action("Setvar", Channel=self.id, Variable="SAYS", Value=sound)
        await ami.action("Redirect", Channel=self.id, Context="caller", Exten="says", Priority="1")

    async def hangup(self) -> None:
        """The caller hangs up; nothing happens when the call is already over."""
        if self.ended or self._gave_up:
            return
        self._gave_up = True
        try:
            await self._world.ami.action("Hangup", Channel=self.id, Cause="16")
        except AmiError:
            self._gave_up = False  # no such channel: the far end was quicker

    async def wait_ended(self) -> Heard:
        """Waits for the end of the call, whoever ends it."""
        return await asyncio.shield(self._end)

    def heard(self, since: float = 0.0) -> Audio:
        """What the caller has received so far, from so many seconds after the answer on."""
        answered, port = self._answered_at()
        self._world.tap.take()
        packets = self._world.tap.packets(port)
        return played(packets, answered + since, packets[-1].at + FRAME / RATE if packets else answered)

    async def hears(self, prompt: Audio, within: float = 15.0, head: float = 0.4) -> float:
        """Waits until the caller hears the prompt, and returns when it began, in seconds since the answer.

        The time is good for acting upon (some milliseconds of jitter); what `Heard.audio` says is exact.
        What an earlier `hears` returned is not found again.

        Args:
            prompt: what to wait for.
            within: seconds to wait at most.
            head: seconds of its sound that are enough to know it by.

        Raises:
            AssertionError: not heard in time, or the call ended before.
        """
        assert await self.answered(), "nobody answered"
        deadline = time.monotonic() + within
        while True:
            over = self.ended or time.monotonic() > deadline
            audio = self.heard(self._searched)
            found = find(prompt, audio, 0.9, head)
            if found:
                began = self._searched + found[0].at
                self._searched = max(0.0, began) + head
                return began
            assert not over, f"not heard in {within} s, or the call ended before"
            # What was searched in vain is searched again only as far as the prompt may have begun in it.
            self._searched = max(
                self._searched, self._searched + len(audio) / RATE - len(prompt) / RATE - head
            )
            await asyncio.wait([self._end], timeout=0.04)

    async def act(self, keys: Keys) -> None:
        """Does what the caller is to do once answered; keys timed after the end are passed over."""
        if not await self.answered():
            return
        if callable(keys):
            await keys(self)
            return
        try:
            for seconds, pressed in keys:
                await self.until(seconds)
                await self.press(pressed)
        except AmiError:
            await self.wait_ended()  # no such channel: the far end was quicker

    async def abandon(self) -> None:
        """Stops following the call, whose Asterisk is about to end."""
        self._end.cancel()
        await asyncio.gather(self._end, return_exceptions=True)

    def _answered_at(self) -> tuple[float, int]:
        answer = self._answer.result() if self._answer.done() else None
        assert answer is not None, "not answered"
        return answer

    async def _follow(self, did: str, caller: str, variables: list[str]) -> Heard:
        ami = self._world.ami
        up = 0.0
        with ami.watch(Uniqueid=self.id) as events:
            await ami.action(
                "Originate",
                Channel=f"PJSIP/{did}@pbx",
                ChannelId=self.id,
                Context="caller",
                Exten="answered",
                Priority="1",
                Timeout="60000",
                Async="true",
                CallerID=caller,
                Variable=variables,
            )
            while (event := await events.next(within=7200.0))["Event"] != "Hangup":
                if event["Event"] == "Newstate" and event["ChannelStateDesc"] == "Up":
                    up = float(event["Timestamp"])
                elif event["Event"] == "UserEvent":
                    self._answer.set_result((up, int(event["Rtp"].rpartition(":")[2])))
        return self._over(float(event["Timestamp"]), int(event["Cause"]))

    def _over(self, when: float, cause: int) -> Heard:
        ended_by: Literal["caller", "far"] = "caller" if self._gave_up else "far"
        if not self._answer.done():
            return Heard(played([], 0, 0), False, ended_by, 0.0, cause)
        since, port = self._answered_at()
        self._world.tap.take()
        audio = played(self._world.tap.packets(port), since, when + BUFFERED)
        # What came before the end may be played a little after it, out of a phone's buffer.
        end = max(round((when - since) * RATE), *np.flatnonzero(np.abs(audio) > QUIET)[-1:].tolist(), 0)
        audio = audio[:end]
        return Heard(audio, True, ended_by, when - since, cause, since)


class World(Asterisk):
    """The outside world of one pbx; made by `pbx_and_world`.

    Attributes:
        tap: all RTP that reaches the world.
    """

    def __init__(self, root: Path, folder: Path, ports: Ports, tap: Wiretap) -> None:
        super().__init__(root, folder, ports)
        self.tap = tap
        self._calls: list[LiveCall] = []
        self._idle_keypads: list[Ami] = []

    def dial(self, did: str, caller: str | None = "+14155550100", *, name: str | bytes = "") -> LiveCall:
        """Begins to place a call and returns at once.

        Args:
            did: the number dialled.
            caller: the caller's number; None withholds it.
            name: the SIP display name; bytes pass as they are, UTF-8 or not.
        """
        shown = name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name
        withheld = ["CALLERID(pres)=prohib", "CONNECTEDLINE(pres)=prohib"] if caller is None else []
        call = LiveCall(self, did, f'"{shown}" <{caller or ""}>', withheld)
        self._calls.append(call)
        return call

    async def call(
        self,
        did: str,
        caller: str | None = "+14155550100",
        *,
        name: str | bytes = "",
        keys: Keys = (),
        hangup_at: float | None = None,
        limit: float = 60.0,
    ) -> Heard:
        """Places a call, does as told, and returns when it is over.

        Args:
            did: as in `dial`.
            caller: as in `dial`.
            name: as in `dial`.
            keys: see `Keys`; a script that fails hangs up, and its error is raised.
            hangup_at: seconds after the answer at which the caller hangs up, if the call lasts so long.
            limit: seconds after dialling at which the caller hangs up in any case.
        """
        call = self.dial(did, caller, name=name)

        async def leave() -> None:
            if hangup_at is not None and await call.answered():
                await call.until(hangup_at)
                await call.hangup()

        try:
            async with asyncio.timeout(limit) as patience:
                await asyncio.gather(call.act(keys), leave(), call.wait_ended())
        except TimeoutError:
            if not patience.expired():
                raise
        finally:
            await call.hangup()
        return await call.wait_ended()

    @asynccontextmanager
    async def keypad(self) -> AsyncIterator[Ami]:
        """An AMI connection to press keys on: PlayDTMF keeps one busy for as long as the tone lasts."""
        if self._idle_keypads:
            keypad = self._idle_keypads.pop()
        else:
            keypad = await Ami.connect(self.ports.ami, AMI_USER, AMI_SECRET, events=False)
        try:
            yield keypad
        finally:
            self._idle_keypads.append(keypad)

    async def _end(self, *, kill: bool) -> None:
        for call in self._calls:
            await call.abandon()
        for keypad in self._idle_keypads:
            await keypad.close()
        self._calls.clear()
        self._idle_keypads.clear()
        await super()._end(kill=kill)


@asynccontextmanager
async def pbx_and_world(dialplan: str, callees: str = CALLEES) -> AsyncIterator[tuple[Asterisk, World]]:
    """Both Asterisks, started: the pbx with that extensions.conf, and around it the world that knows only it.

    Calls from the world enter the pbx's context `trunx-inbound`; the pbx reaches the world by
    `PJSIP/<number>@trunk`. Nobody is behind `mute` and `dead`; of `dead` it knows that.

    Args:
        dialplan: the whole extensions.conf of the pbx.
        callees: extensions of the world that answer the pbx's calls.
    """
    root = await find_root()
    with tempfile.TemporaryDirectory(prefix="trunx-") as folder, Ports() as pbx_ports, Ports() as world_ports:
        tap = Wiretap(world_ports.rtp)
        pbx = Asterisk(root, Path(folder) / "pbx", pbx_ports)
        world = World(root, Path(folder) / "world", world_ports, tap)
        configure(pbx, peer="trunk", peer_sip=world_ports.sip, context="trunx-inbound")
        configure(
            world, peer="pbx", peer_sip=pbx_ports.sip, context="callees", options="transmit_silence = yes"
        )
        pbx.write("pjsip.conf", (pbx.folder / "etc" / "pjsip.conf").read_text("utf-8") + ENDPOINTS)
        await pbx.dialplan(dialplan)
        await world.dialplan(CALLERS + callees)
        try:
            await asyncio.gather(pbx.start(), world.start())
            yield pbx, world
        finally:
            # An orderly end would take each a second, and nothing of them is wanted any more.
            await asyncio.gather(pbx.kill(), world.kill())
            tap.close()
