"""News of the vendor: what is believed, and how they are read."""

import hmac
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.peers.ultravox_hooks import signed
from trunx.domain.vendor_hook import UnreadableError, UntrustedError, event_of, vendor_call, verify

NOW = datetime(2026, 7, 1, 12, 0, 30, tzinfo=UTC)
WINDOW = timedelta(seconds=300)
OURS, FORMER = "our secret, at last", "our former secret"

bodies = st.binary(max_size=200)
secrets = st.text(min_size=1, max_size=40)
offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


def check(
    body: bytes, headers: dict[str, str], *mine: str, now: datetime = NOW, window: timedelta = WINDOW
) -> None:
    verify(
        body,
        timestamp=headers["X-Ultravox-Webhook-Timestamp"],
        signature=headers["X-Ultravox-Webhook-Signature"],
        secrets=mine,
        now=now,
        window=window,
    )


def test_the_digest_is_of_the_body_and_then_the_timestamp() -> None:
    body, at = b'{"event": "call.ended"}', "2026-07-01T12:00:00+00:00"
    digest = hmac.new(OURS.encode(), body + at.encode(), "sha256").hexdigest()
    verify(body, timestamp=at, signature=digest, secrets=[OURS], now=NOW, window=WINDOW)
    swapped = hmac.new(OURS.encode(), at.encode() + body, "sha256").hexdigest()
    with pytest.raises(UntrustedError, match="signature"):
        verify(body, timestamp=at, signature=swapped, secrets=[OURS], now=NOW, window=WINDOW)


@given(bodies, st.lists(secrets, min_size=1, max_size=3), st.lists(secrets, min_size=1, max_size=3))
def test_one_secret_in_common_is_enough_and_needed(body: bytes, theirs: list[str], mine: list[str]) -> None:
    headers = signed(body, theirs, NOW.isoformat())
    if set(theirs) & set(mine):
        check(body, headers, *mine)
    else:
        with pytest.raises(UntrustedError, match="signature"):
            check(body, headers, *mine)


@given(st.binary(min_size=1, max_size=200), st.data())
def test_no_byte_can_be_changed(body: bytes, data: st.DataObject) -> None:
    headers = signed(body, [OURS], NOW.isoformat())
    place = data.draw(st.integers(0, len(body) - 1))
    changed = bytearray(body)
    changed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(UntrustedError, match="signature"):
        check(bytes(changed), headers, OURS)
    later = headers | {"X-Ultravox-Webhook-Timestamp": (NOW + timedelta(seconds=1)).isoformat()}
    with pytest.raises(UntrustedError, match="signature"):
        check(body, later, OURS)


@given(st.integers(-3600, 3600), offsets)
def test_news_are_of_now_in_any_zone(seconds: int, zone: timezone) -> None:
    at = (NOW + timedelta(seconds=seconds)).astimezone(zone).isoformat()
    headers = signed(b"{}", [OURS], at)
    if abs(seconds) <= 300:
        check(b"{}", headers, OURS)
    else:
        with pytest.raises(UntrustedError, match="2026-07-01T1"):
            check(b"{}", headers, OURS)


@pytest.mark.parametrize("at", ["2026-07-01T12:00:00", "2026-07-01T12:00:00.123456", "2026-07-01T12:00:00Z"])
def test_a_time_without_an_offset_is_utc(at: str) -> None:
    check(b"{}", signed(b"{}", [OURS], at), OURS, window=timedelta(seconds=31))
    with pytest.raises(UntrustedError):
        check(b"{}", signed(b"{}", [OURS], at), OURS, window=timedelta(seconds=29))


@pytest.mark.parametrize(
    "at", ["", "now", "1782907200", "2026-07-01T25:00:00Z", "0001-01-01T00:00:00+14:00", "\udcff"]
)
def test_a_time_that_is_none_is_refused(at: str) -> None:
    message = at.encode("utf-8", "surrogateescape")
    digest = hmac.new(OURS.encode(), b"{}" + message, "sha256").hexdigest()
    with pytest.raises(UntrustedError, match=r"timestamp|they are of"):
        verify(b"{}", timestamp=at, signature=digest, secrets=[OURS], now=NOW, window=WINDOW)


@given(st.text(max_size=300), st.text(max_size=40))
def test_whatever_the_headers_are_nothing_but_distrust_comes_of_it(signature: str, at: str) -> None:
    for text in (signature, at, "\udcfe\udcff"):
        with pytest.raises(UntrustedError):
            verify(b"{}", timestamp=at, signature=text, secrets=[OURS], now=NOW, window=WINDOW)


@pytest.mark.parametrize("mine", [[], [""], ["", ""]])
def test_without_a_secret_nothing_is_believed(mine: list[str]) -> None:
    with pytest.raises(UntrustedError):
        check(b"{}", signed(b"{}", ["", OURS], NOW.isoformat()), *mine)


def test_digests_are_read_with_blanks_and_in_capitals() -> None:
    headers = signed(b"{}", [FORMER, OURS], NOW.isoformat())
    first, second = headers["X-Ultravox-Webhook-Signature"].split(",")
    check(b"{}", headers | {"X-Ultravox-Webhook-Signature": f" {first} , {second.upper()} ,"}, OURS)


# What they say

CALL: dict[str, Any] = {
    "callId": "c1",
    "created": "2026-07-01T12:00:00.123456Z",
    "joined": "2026-07-01T14:00:05+02:00",
    "ended": None,
    "endReason": None,
    "metadata": {"requestId": "talk-1"},
    "medium": {"sip": {"outgoing": {"to": "sip:token@pbx", "password": "open sesame"}}},
    "joinUrl": "wss://voice.test/secret",
    "callbacks": {"ended": {"url": "https://x.test/", "secrets": ["s"]}},
    "sipDetails": {"terminationReason": "SIP_TERMINATION_NORMAL"},
    "billingStatus": "OF_NEXT_YEAR",
    "fieldOfNextYear": [{"deep": None}],
}


def test_an_event_is_read_past_what_is_unknown() -> None:
    event, call = event_of(json.dumps({"event": "call.joined", "call": CALL, "more": 1}).encode())
    assert event == "call.joined"
    assert (call.id, call.request, call.end_reason) == ("c1", "talk-1", None)
    assert call.created_at == datetime(2026, 7, 1, 12, 0, 0, 123456, UTC)
    assert call.joined_at == datetime(2026, 7, 1, 12, 0, 5, tzinfo=UTC)
    assert call.ended_at is None
    assert call.raw["sipDetails"] == {"terminationReason": "SIP_TERMINATION_NORMAL"}


@pytest.mark.parametrize("moment", ["soon", "", "0001-01-01T00:00:00+14:00", 7, None, {}])
def test_a_moment_that_cannot_be_read_is_none(moment: Any) -> None:
    assert vendor_call(CALL | {"joined": moment}).joined_at is None


def test_no_secret_stays_in_a_call() -> None:
    assert not {"medium", "joinUrl", "callbacks"} & vendor_call(CALL).raw.keys()
    assert "raw" not in repr(vendor_call(CALL))


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"null", b'"call.ended"', b"\xff", b"[" * 100_000),
        *(b"{}", b'{"event": 1, "call": {"callId": "c1"}}', b'{"event": "call.ended"}'),
        *(b'{"event": "e", "call": {}}', b'{"event": "e", "call": {"callId": 7}}'),
        b'{"event": "e", "call": {"callId": ""}}',
    ],
)
def test_what_is_no_event_is_told_so(body: bytes) -> None:
    with pytest.raises(UnreadableError):
        event_of(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*CALL, "other"]), json_values))
def test_any_call_with_an_id_can_be_read(shown: dict[str, Any]) -> None:
    call = vendor_call({**shown, "callId": "c1"})
    assert call.id == "c1"
    for moment in (call.created_at, call.joined_at, call.ended_at):
        assert moment is None or moment.tzinfo is UTC
