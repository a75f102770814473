"""What a recording may become, what it is called, and links that open it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from trunx.domain.call import Call, Status, new_call_id
from trunx.domain.recording import BEFORE, RecordingState, begun, found, recording_of
from trunx.domain.signed_link import LinkError, check, signature

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
KEPT = timedelta(days=30)
SECRET = b"s" * 32
SOME_ID = "01a1f0e2-7c55-7b85-8d06-c091b8d8e876"


def call() -> Call:
    return Call(
        id=new_call_id(),
        call_id="CA",
        account="MA1",
        direction="outbound",
        from_number="+19495550100",
        to_number="+14155550123",
        status=Status.COMPLETED,
        created_at=NOW,
        answered_at=NOW + timedelta(seconds=5),
        ended_at=NOW + timedelta(seconds=65),
    )


def test_it_only_moves_forward() -> None:
    order = list(RecordingState)
    for state, before in BEFORE.items():
        assert all(order.index(each) < order.index(state) for each in before), state
    assert set(BEFORE) == set(order)
    assert RecordingState.RECORDING not in BEFORE[RecordingState.DELETED]
    assert RecordingState.FAILED not in BEFORE[RecordingState.READY]


def test_its_files_are_named_after_it_and_after_nothing_else() -> None:
    mono = begun(call(), "1.1", NOW)
    assert mono.files == (f"trunx/calls/{mono.id}.wav",)
    assert mono.order == (f"trunx/calls/{mono.id}.wav", "")
    dual = begun(call(), "1.1", NOW, channels="dual", format="wav")
    received, sent = dual.files
    assert dual.order == ("", f"Sr({received})t({sent})")
    assert dual.name == f"{dual.id}.wav"
    for one in (mono, dual):
        assert {recording_of(file.rpartition("/")[2]) for file in one.files} == {one.id}


@pytest.mark.parametrize(
    "file", ["1700000000.12.wav", "notes.wav", f"{SOME_ID}.mp3", f"{SOME_ID}-x.wav", "../a.wav"]
)
def test_other_files_are_none_of_ours(file: str) -> None:
    assert recording_of(file) is None


def test_it_ends_between_its_beginning_and_its_longest() -> None:
    recording = begun(call(), "1.1", NOW, max_seconds=60)
    assert recording.stopped(NOW + timedelta(seconds=9), KEPT).stopped_at == NOW + timedelta(seconds=9)
    late = recording.stopped(NOW + timedelta(hours=9), KEPT)
    assert late.stopped_at == recording.must_end_at == NOW + timedelta(seconds=60)
    assert late.expires_at == recording.must_end_at + KEPT
    assert recording.stopped(NOW - timedelta(seconds=1), KEPT).stopped_at == NOW


def test_a_channel_that_outlived_its_call_tells_when_it_ended() -> None:
    stopped = begun(call(), "1.1", NOW).stopped(NOW + timedelta(seconds=10), KEPT)
    assert stopped.ended_at(25_500) == NOW + timedelta(seconds=25.5)
    assert stopped.ended_at(3_000) == NOW + timedelta(seconds=10)


def test_what_the_dialplan_recorded_is_the_whole_call() -> None:
    placed = call()
    recording = found(placed, KEPT)
    assert (recording.id, recording.channel, recording.call) == (placed.id, placed.id, placed.id)
    assert (recording.started_at, recording.stopped_at) == (placed.answered_at, placed.ended_at)
    assert recording.state is RecordingState.FETCHING
    assert recording.files == (f"trunx/calls/{placed.id}.wav",)
    day = found(placed._replace(ended_at=NOW + timedelta(hours=20)), KEPT)
    assert day.stopped_at == NOW + timedelta(hours=20)
    assert replace(day, channels="dual").files != day.files


def test_a_link_opens_what_it_was_made_for_until_it_expires() -> None:
    expires = int(NOW.timestamp()) + 60
    signed = signature(SECRET, "one", expires)
    assert len(signed) == 64
    check(SECRET, "one", expires, signed, NOW)
    check(SECRET, "one", expires, signed, NOW + timedelta(seconds=59))
    with pytest.raises(LinkError, match="expired"):
        check(SECRET, "one", expires, signed, NOW + timedelta(seconds=60))
    for secret, name, until, given in (
        (b"x" * 32, "one", expires, signed),
        (SECRET, "two", expires, signed),
        (SECRET, "one", expires + 1, signed),
        (SECRET, "one", expires, signed[:-1] + ("0" if signed[-1] != "0" else "1")),
        (SECRET, "one", expires, ""),
    ):
        with pytest.raises(LinkError, match="does not fit"):
            check(secret, name, until, given, NOW)
