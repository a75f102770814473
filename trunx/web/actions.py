"""`.../play`, `.../speak`, `.../dtmf`: what is played and pressed in live calls by request; `.../actions`."""

from collections.abc import Coroutine
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from trunx.domain.action import Action, ActionKind, ActionState, Leg, NotInProgressError
from trunx.domain.address import RefusedAddressError, check_url
from trunx.domain.audio import SpeechError
from trunx.domain.errors import NotFoundError
from trunx.domain.speech import SPOKEN_CHARACTERS, check_text
from trunx.engine.actions.sound import NotPlayingError
from trunx.engine.outbound import SwitchAwayError, SwitchOffError
from trunx.web.call_actions_path import (
    ACTING,
    BASE,
    CALL_NOT_IN_PROGRESS,
    LOOKING,
    ActionBody,
    ActionPath,
    Whole,
    ami_off,
    ami_unavailable,
    check_account,
    refused,
)
from trunx.web.call_path import call_not_found
from trunx.web.models import RequestBody, Time
from trunx.web.operation import Asked, Operation, Reply
from trunx.web.problems import Kind, ProblemError

NOT_PLAYING = Kind(409, "not-playing", "Nothing is being played in the call")
MOST_KEYS = 100
_LONGEST_URL = 2_048
_VOICE = "en-US-Standard-A"

_WHO = (
    "Who hears it, where two are connected: `caller` (who called, or was called first), `callee`, or `both`."
)


def _url(written: str) -> str:
    if len(written) > _LONGEST_URL:
        raise PydanticCustomError("url", f"a URL has {_LONGEST_URL} characters at most")
    try:
        check_url(written)
    except RefusedAddressError as error:
        raise PydanticCustomError("url", "{reason}", {"reason": str(error)}) from None
    return written


def _text(written: str) -> str:
    try:
        check_text(written, SPOKEN_CHARACTERS)
    except SpeechError as error:
        raise PydanticCustomError("text", "{reason}", {"reason": str(error)}) from None
    return written


class PlayBody(RequestBody):
    """A file to play."""

    url: Annotated[str, AfterValidator(_url)] = Field(
        description="An mp3 or wav file that everybody can fetch; ours does, not Asterisk.",
        examples=["https://example.com/hold-music.mp3"],
        json_schema_extra={"format": "webhook-url"},
    )
    loop: Whole = Field(default=1, ge=0, le=1000, description="How often; 0: until it is stopped.")
    leg: Literal["caller", "callee", "both"] = Field(default="caller", description=_WHO)


class PlayStarted(ActionBody):
    """It is fetched, and then played."""

    play_uuid: str
    status: Literal["playing"]
    url: str


class PlayStopped(ActionBody):
    """It is not played any more."""

    play_uuid: str
    status: Literal["stopped"]


class SpeakBody(RequestBody):
    """A text to speak."""

    text: Annotated[str, Field(max_length=SPOKEN_CHARACTERS), AfterValidator(_text)] = Field(
        examples=["Thank you for calling. Please hold while we connect you."]
    )
    voice: str = Field(
        default=_VOICE,
        max_length=200,
        pattern=r"^[^\x00-\x1f\x7f]*$",
        description="The id, name or alias of a voice (`GET /audio/voices`). One that is not here is "
        "replaced by the configured one.",
    )
    language: str = Field(default="en-US", pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$")
    engine: Literal["standard", "neural"] = Field(
        default="neural", description="Taken note of: every voice here is neural."
    )
    leg: Literal["caller", "callee", "both"] = Field(default="caller", description=_WHO)


class SpeakStarted(ActionBody):
    """It is made to sound, and then played."""

    speak_uuid: str
    status: Literal["speaking"]
    text: str


class DtmfBody(RequestBody):
    """Keys to press."""

    digits: str = Field(
        pattern=rf"^[0-9*#w]{{1,{MOST_KEYS}}}$",
        description="Keys, each 200 ms long and 200 ms from the next; `w` waits half a second.",
        examples=["1234*#"],
    )
    leg: Literal["caller", "callee"] | None = Field(
        default=None,
        description="Who hears them. When absent: of a call that was placed the one who was called; of one "
        "that came in the one whom the caller is connected with, or else the caller.",
    )


class DtmfStarted(ActionBody):
    """The keys are being pressed."""

    dtmf_uuid: str
    status: Literal["sent"]
    digits: str


class ActionAnswer(ActionBody):
    """What was done to a call."""

    action_uuid: str
    kind: ActionKind
    status: ActionState
    asked: dict[str, Any] = Field(description="The request.")
    result: dict[str, Any] | None = Field(description="What came of it; null until it has ended.")
    problem: str | None = Field(description="Why it failed: a stable code.")
    created_at: Time
    ended_at: Time | None


class ActionList(ActionBody):
    """All that was done to a call by request, in the order in which it was asked for."""

    actions: list[ActionAnswer]
    count: int


async def play_audio(asked: Asked, path: ActionPath, body: PlayBody) -> Reply:
    """Play a file in a call.

    The answer comes at once; `action.completed` or `action.failed` tells how it went. It takes the place of
    what is played or spoken. A caller in an IVR hears it instead of the node, which then starts over; a key
    pressed meanwhile ends it and is the answer to the node. Who talks hears it over the talk, which goes on.
    """
    sounding, whom = asked.ports.sounding, (asked.account, path.call_uuid)
    action = await _begun(asked, path, sounding.play(*whom, body.url, body.loop, Leg(body.leg)))
    return Reply(201, PlayStarted(play_uuid=action.id, status="playing", url=body.url))


async def stop_audio(asked: Asked, path: ActionPath) -> Reply:
    """Stop the file that is played in a call."""
    check_account(asked, path)
    try:
        action = await asked.ports.sounding.stop(asked.account, path.call_uuid, ActionKind.PLAY)
    except NotFoundError:
        raise call_not_found(path.call_uuid) from None
    except NotPlayingError:
        raise ProblemError(NOT_PLAYING, "it has ended, or was never begun") from None
    except SwitchOffError:
        raise ami_off() from None
    return Reply(200, PlayStopped(play_uuid=action.id, status="stopped"))


async def speak_text(asked: Asked, path: ActionPath, body: SpeakBody) -> Reply:
    """Speak a text in a call.

    As with a file; a key of the caller's ends it in every case.
    """
    begun = asked.ports.sounding.speak(
        asked.account,
        path.call_uuid,
        body.text,
        voice=body.voice,
        language=body.language,
        engine=body.engine,
        leg=Leg(body.leg),
    )
    action = await _begun(asked, path, begun)
    return Reply(201, SpeakStarted(speak_uuid=action.id, status="speaking", text=body.text))


async def send_dtmf(asked: Asked, path: ActionPath, body: DtmfBody) -> Reply:
    """Press keys in a call."""
    leg = None if body.leg is None else Leg(body.leg)
    keys, whom = asked.ports.keys, (asked.account, path.call_uuid)
    action = await _begun(asked, path, keys.send(*whom, body.digits, leg))
    return Reply(201, DtmfStarted(dtmf_uuid=action.id, status="sent", digits=body.digits))


async def list_actions(asked: Asked, path: ActionPath) -> Reply:
    """List what was done to a call by request."""
    check_account(asked, path)
    try:
        actions = await asked.ports.action_rows.of_call(asked.account, path.call_uuid)
    except NotFoundError:
        raise call_not_found(path.call_uuid) from None
    return Reply(200, ActionList(actions=[_answer(one) for one in actions], count=len(actions)))


async def _begun(asked: Asked, path: ActionPath, beginning: Coroutine[Any, Any, Action]) -> Action:
    try:
        check_account(asked, path)
        return await beginning
    except (NotFoundError, NotInProgressError) as error:
        refused(error, path)
    except SwitchOffError:
        raise ami_off() from None
    except SwitchAwayError:
        raise ami_unavailable() from None
    finally:
        beginning.close()


def _answer(action: Action) -> ActionAnswer:
    return ActionAnswer(
        action_uuid=action.id,
        kind=action.kind,
        status=action.state,
        asked=dict(action.asked),
        result=None if action.result is None else dict(action.result),
        problem=action.problem,
        created_at=action.created_at,
        ended_at=action.ended_at,
    )


_STOPPING = tuple(kind for kind in ACTING if kind is not CALL_NOT_IN_PROGRESS)
OPERATIONS = (
    Operation("POST", f"{BASE}/play", play_audio, {201: PlayStarted}, ACTING, idempotent=True),
    Operation("DELETE", f"{BASE}/play", stop_audio, {200: PlayStopped}, (*_STOPPING, NOT_PLAYING)),
    Operation("POST", f"{BASE}/speak", speak_text, {201: SpeakStarted}, ACTING, idempotent=True),
    Operation("POST", f"{BASE}/dtmf", send_dtmf, {201: DtmfStarted}, ACTING, idempotent=True),
    Operation("GET", f"{BASE}/actions", list_actions, {200: ActionList}, LOOKING),
)
