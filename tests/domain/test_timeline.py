"""A call's life as one list: in order, to the millisecond, and nothing told twice."""

from datetime import UTC, datetime, timedelta
from random import Random

from trunx.domain.action import Action, ActionKind, ActionState
from trunx.domain.call import Call, EndReason, Event, Left, Status, Step
from trunx.domain.dial import judged
from trunx.domain.gate import Verdict
from trunx.domain.recording import Recording, RecordingState
from trunx.domain.talk import Talk, TalkState
from trunx.domain.timeline import Kind, Life, timeline

START = datetime(2026, 3, 9, 15, 30, 0, 250_000, tzinfo=UTC)
CALL = "a1b2c3d4-e5f6-7890-abcd-ef1234567890"


def at(ms: int) -> datetime:
    return START + timedelta(milliseconds=ms)


def call() -> Call:
    made = Call(CALL, "CA", "MA1", "outbound", "+19495551234", "+14155551234", Status.COMPLETED, START)
    over = made._replace(ended_at=at(9_000), end_reason=EndReason.TRANSFERRED)
    return over._replace(ringing_at=at(300), answered_at=at(2_000))


def step(number: int, entered: int, left: int, how: Left = Left.KEY) -> Step:
    return Step(CALL, number, f"n{number}", "gather", at(entered), at(left), how, "1", 500, fallback=False)


def event(kind: str, ms: int) -> Event:
    return Event("MA1", CALL, kind, at(ms), {"seen": kind}, f"{CALL}:{kind}", 1)


def told(life: Life) -> list[tuple[int, str, str]]:
    return [(one.ms, one.kind.value, one.what) for one in timeline(life)]


def test_everything_of_a_call_in_its_order() -> None:
    yes = Verdict(allowed=True, code="allowed", rule="hours", sentence="", inputs={})
    life = Life(
        call=call()._replace(sip_cause=200),
        steps=[step(1, 2_001, 3_000), step(2, 3_000, 8_999, Left.HANGUP)],
        events=[
            *(event(kind, 2_000) for kind in ("call.answered", "action.started", "talk.created")),
            event("audio.failed", 2_500),
            *(event(kind, 9_000) for kind in ("ivr.step", "ivr.completed", "call.completed")),
            event("recording.ready", 9_500),
        ],
        actions=[
            Action(
                "t1",
                CALL,
                "MA1",
                ActionKind.TRANSFER,
                ActionState.COMPLETED,
                {"to": "+1"},
                at(4_000),
                at(9_000),
            )
        ],
        verdicts=[judged(at(0), "accept", [yes]), judged(at(5), "dial", [yes])],
        talks=[Talk("k1", CALL, "MA1", None, "t", TalkState.ENDED, at(3_100), 60, "v", at(3_600), at(8_000))],
        recordings=[
            Recording(
                id="r1",
                account="MA1",
                call=CALL,
                channel=CALL,
                format="mp3",
                channels="mono",
                trim_silence=False,
                max_seconds=60,
                state=RecordingState.READY,
                started_at=at(2_100),
                stopped_at=at(9_100),
                ms=7_000,
            )
        ],
    )
    assert told(life) == [
        (0, "state", "initiated"),
        (0, "verdict", "accept"),
        (5, "verdict", "dial"),
        (300, "state", "ringing"),
        (2_000, "state", "answered"),
        (2_001, "step", "entered"),
        (2_100, "recording", "started"),
        (2_500, "event", "audio.failed"),
        (3_000, "step", "left"),
        (3_000, "step", "entered"),
        (3_100, "talk", "created"),
        (3_600, "talk", "joined"),
        (4_000, "action", "started"),
        (8_000, "talk", "ended"),
        (8_999, "step", "left"),
        (9_000, "action", "completed"),
        (9_000, "state", "completed"),
        (9_100, "recording", "stopped"),
    ]
    end = timeline(life)[-2]
    assert end.at == at(9_000)
    assert end.data == {"endReason": "transferred", "sipCause": 200}


def test_what_is_still_under_way_has_no_end() -> None:
    live = call()._replace(status=Status.ANSWERED, ended_at=None, end_reason=None)
    action = Action("p1", CALL, "MA1", ActionKind.PLAY, ActionState.STARTED, {"url": "u"}, at(2_500))
    assert told(Life(live, actions=[action]))[-1] == (2_500, "action", "started")


def test_a_refusal_is_named() -> None:
    no = Verdict(allowed=False, code="suppressed", rule="suppression", sentence="", inputs={})
    (_, verdict, *_) = timeline(Life(call(), verdicts=[judged(at(0), "dial", [no])]))
    assert (verdict.kind, verdict.data["allowed"], verdict.data["codes"]) == (
        Kind.VERDICT,
        False,
        ["suppressed"],
    )


def test_the_order_in_which_things_are_kept_does_not_matter() -> None:
    steps = [step(number, number * 100, number * 100 + 50) for number in range(1, 30)]
    events = [event(f"some.{number}", number * 70) for number in range(30)]
    shuffled_steps, shuffled_events = list(steps), list(events)
    Random(1).shuffle(shuffled_steps)
    Random(2).shuffle(shuffled_events)
    in_order = told(Life(call(), steps, events))
    assert told(Life(call(), shuffled_steps, shuffled_events)) == in_order
    assert [ms for ms, *_ in in_order] == sorted(ms for ms, *_ in in_order)
