"""Sounds played to the parties of a live call: somebody's file, or a text that is spoken.

A call plays one of these at a time, the newest: it takes the place of what was asked for before. To a caller
who listens to our session that session plays, and goes on with what it did; to those who talk it is whispered
by a companion (a Local channel that spies on them), and they talk on.
"""

import asyncio
from datetime import datetime

import structlog

from dialplan.names import (
    CONTEXT_ACTION,
    EXTENSION_PLAYS,
    EXTENSION_WHISPERS,
    VARIABLE_SPIED,
    VARIABLE_SPYING,
    VARIABLE_TALKING,
)
from trunx.domain.action import Action, ActionKind, Leg
from trunx.domain.audio import Sound
from trunx.domain.call import Call
from trunx.domain.channel import AmiRefusedError, Originate
from trunx.engine.action_ports import Desk
from trunx.engine.actions.frame import ActionFailedError, Frame, channel_of
from trunx.engine.actions.interlude import VARIABLE_ACTION, VARIABLE_TAKEN, Wanted
from trunx.engine.actions.sources import Files, Speeches
from trunx.engine.ports import Calls

_SOUNDING = (ActionKind.PLAY, ActionKind.SPEAK)
_TAKEN_WITHIN = 30.0
"""Seconds in which a call must have come to where something can be played."""
_STOPPED_WITHIN = 2.0
_LOOK = 0.05  # seconds between two interruptions: GET DATA needs two
_COMPANION_SECONDS = 10

_COMPANION = "act-"  # no id of a call: whoever compares rows with channels leaves it alone
# q: no beep. u: by Uniqueid. W: heard, not hearing; B: by both. E, S: it ends with who hears it.
_WHISPER, _TO_BOTH = "quWES", "quBES"

log = structlog.get_logger(__name__)


class NotPlayingError(Exception):
    """Nothing is being played in the call."""


class Sounding:
    """Plays and speaks in live calls. What begins something raises what `Frame.begin` does."""

    def __init__(self, frame: Frame, calls: Calls, files: Files, speeches: Speeches) -> None:
        self._frame = frame
        self._calls = calls
        self._files = files
        self._speeches = speeches

    async def play(self, account: str, call_id: str, url: str, times: int, leg: Leg) -> Action:
        """Begins to play the mp3 or wav file at `url`, so often; 0: until it is stopped."""
        asked = {"url": url, "loop": times, "leg": leg.value}
        return await self._frame.begin(account, call_id, ActionKind.PLAY, asked, self._play)

    async def speak(
        self, account: str, call_id: str, text: str, *, voice: str, language: str, engine: str, leg: Leg
    ) -> Action:
        """Begins to say `text`, until a key is pressed."""
        asked = {"text": text, "voice": voice, "language": language, "engine": engine, "leg": leg.value}
        return await self._frame.begin(account, call_id, ActionKind.SPEAK, asked, self._speak)

    async def stop(self, account: str, call_id: str, *kinds: ActionKind) -> Action:
        """Stops what is played (`kinds`; any when none is named), and returns that.

        Raises:
            NotFoundError: the account has no such call.
            NotPlayingError: nothing is played.
            SwitchOffError: nobody can act.
            UnavailableError: it may go on.
        """
        call = await self._calls.get(account, call_id)
        stopped = await silence(self._frame, call, *kinds, by="request")
        if stopped is None:
            raise NotPlayingError(call_id)
        return stopped

    async def _play(self, action: Action, call: Call) -> None:
        sound = await self._files.sound(action.asked["url"])
        await self._bring(action, call, sound, times=action.asked["loop"], by_key=False)

    async def _speak(self, action: Action, call: Call) -> None:
        asked = action.asked
        sound, speech = await self._speeches.sound(asked["text"], asked["voice"], asked["language"])
        log.info("a text is spoken", action=action.id, provider=speech.provider, voice=speech.voice)
        await self._bring(action, call, sound, times=1, by_key=True)

    async def _bring(self, action: Action, call: Call, sound: Sound, *, times: int, by_key: bool) -> None:
        """Has it played, in place of what was asked for before; returns when it has begun, or was stopped."""
        desk, own = self._frame.desk, channel_of(call)
        for other in await self._frame.rows.started(call.id, *_SOUNDING):
            if (other.created_at, other.id) < (action.created_at, action.id):
                await self._frame.complete(other.id, stoppedBy="replaced")
                await desk.hangup(_companion(other.id))
        wanted = Wanted(action.id, sound.name, sound.ms, times, by_key, own)
        leg, whispered = Leg(action.asked["leg"]), False
        try:
            async with asyncio.timeout(_TAKEN_WITHIN):
                while await self._frame.is_started(action):
                    if not await _in_talk(desk, own):
                        if leg is Leg.CALLEE:
                            raise ActionFailedError("nobody-connected")
                        await desk.set_variable(own, VARIABLE_ACTION, str(wanted))
                        await desk.interrupt(own)
                    elif not whispered:
                        whispered = True
                        await self._whisper(wanted, leg)
                    await asyncio.sleep(_LOOK)
                    if await desk.get_variable(own, VARIABLE_TAKEN) == action.id:
                        return
        except TimeoutError:
            raise ActionFailedError("not-heard") from None

    async def _whisper(self, wanted: Wanted, leg: Leg) -> None:
        desk, hears = self._frame.desk, wanted.channel
        if leg is Leg.CALLEE:
            hears = await desk.get_variable(wanted.channel, "BRIDGEPEER")
            if not hears:
                raise ActionFailedError("nobody-connected")
        order = Originate(
            channel=_companion(wanted.id),
            dial=f"Local/{EXTENSION_PLAYS}@{CONTEXT_ACTION}/n",
            context=CONTEXT_ACTION,
            exten=EXTENSION_WHISPERS,
            ring_seconds=_COMPANION_SECONDS,
            variables={
                VARIABLE_ACTION: str(wanted),
                VARIABLE_SPIED: hears,
                VARIABLE_SPYING: _TO_BOTH if leg is Leg.BOTH else _WHISPER,
            },
        )
        await desk.originate(order)


async def silence(
    frame: Frame, call: Call, *kinds: ActionKind, by: str, before: datetime | None = None
) -> Action | None:
    """Stops what is played in a call (`kinds`; any when none is named), if it was asked for `before` that;
    the last of it. `by` is told as `stoppedBy`.

    Raises:
        SwitchOffError: nobody can act.
        UnavailableError: it may go on.
    """
    desk, stopped = frame.desk, None
    for action in await frame.rows.started(call.id, *(kinds or _SOUNDING)):
        if before is not None and action.created_at >= before:
            continue
        if await frame.complete(action.id, stoppedBy=by):
            stopped = action
            await _interrupt(desk, channel_of(call), action)
    return stopped


async def _interrupt(desk: Desk, own: str, action: Action) -> None:
    """Has what is played of an ended action stop."""
    if await desk.hangup(_companion(action.id)):
        return
    try:
        wanted = Wanted.of(await desk.get_variable(own, VARIABLE_ACTION))
        if wanted is not None and wanted.id == action.id:
            await desk.set_variable(own, VARIABLE_ACTION, "")
        async with asyncio.timeout(_STOPPED_WITHIN):
            while await desk.get_variable(own, VARIABLE_TAKEN) == action.id:
                await desk.interrupt(own)
                await asyncio.sleep(_LOOK)
    except (AmiRefusedError, TimeoutError):
        return  # the call is over, or its session left it in the middle


def _companion(action_id: str) -> str:
    return f"{_COMPANION}{action_id}"


async def _in_talk(desk: Desk, channel: str) -> bool:
    """Whether the caller is with somebody else, or on the way to him: our session then waits for that."""
    if await desk.get_variable(channel, VARIABLE_TALKING) == "1":
        return True
    return bool(await desk.get_variable(channel, "BRIDGEPEER"))
