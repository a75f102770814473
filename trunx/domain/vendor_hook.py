"""The AI vendor's news: whether they are from the vendor, and what they say.

The fact to know: what is signed is the body as it came, byte for byte, and then the timestamp's header, with
nothing between (Ultravox, "Securing webhooks"). Whether a retry is signed anew is not documented, so how old
news may be is for the operator to say, and news that come twice must do no harm.
"""

import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from trunx.domain.talk import VendorCall

_PRIVATE = {"medium", "joinUrl", "callbacks", "experimentalSettings"}
"""What may have a password or a secret in it."""


class UntrustedError(Exception):
    """These news are not from the vendor, or not from now. The text is fit for the log."""


class UnreadableError(ValueError):
    """This is no event, or no call, as the vendor describes them."""


def verify(
    body: bytes, *, timestamp: str, signature: str, secrets: Sequence[str], now: datetime, window: timedelta
) -> None:
    """Takes the news as the vendor's, if any of its digests is that of any of our `secrets`.

    `timestamp` is the header `X-Ultravox-Webhook-Timestamp`, ISO 8601, in UTC when it has no offset;
    `signature` is `X-Ultravox-Webhook-Signature`, hex digests by comma.

    Raises:
        UntrustedError: it is not, or it is longer ago, or further ahead, than `window`.
    """
    message = body + _bytes(timestamp)
    expected = [
        hmac.new(_bytes(secret), message, "sha256").hexdigest().encode() for secret in secrets if secret
    ]
    given = [_bytes(digest.strip().lower()) for digest in signature.split(",")]
    # Every pair is compared, so that the time tells nothing either.
    matches = [hmac.compare_digest(one, other) for one in expected for other in given]
    if not any(matches):
        raise UntrustedError("the signature is of no secret of ours")
    try:
        moment = _aware(datetime.fromisoformat(timestamp.strip()))
    except (ValueError, OverflowError):
        raise UntrustedError("the timestamp cannot be read") from None
    if abs(now - moment) > window:
        raise UntrustedError(f"they are of {moment.isoformat()}")


def event_of(body: bytes) -> tuple[str, VendorCall]:
    """The event's name, which may be one that is not known yet, and the call as it was then.

    Raises:
        UnreadableError: it is none.
    """
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        raise UnreadableError("no JSON") from None
    if not isinstance(parsed, dict) or not isinstance(parsed.get("event"), str):
        raise UnreadableError("no event")
    return parsed["event"], vendor_call(parsed.get("call"))


def vendor_call(shown: Any) -> VendorCall:
    """A call as the vendor shows it, in news and in answers. What is unknown, or not as expected, is passed
    over; what may have a secret in it is left out.

    Raises:
        UnreadableError: it has no id.
    """
    if not isinstance(shown, Mapping) or not isinstance(shown.get("callId"), str) or not shown["callId"]:
        raise UnreadableError("no call")
    metadata = shown.get("metadata")
    request = metadata.get("requestId") if isinstance(metadata, Mapping) else None
    reason = shown.get("endReason")
    return VendorCall(
        id=shown["callId"],
        request=request if isinstance(request, str) else None,
        created_at=_moment(shown.get("created")),
        joined_at=_moment(shown.get("joined")),
        ended_at=_moment(shown.get("ended")),
        end_reason=reason if isinstance(reason, str) else None,
        raw={key: value for key, value in shown.items() if key not in _PRIVATE},
    )


def _moment(text: Any) -> datetime | None:
    try:
        return _aware(datetime.fromisoformat(text)) if isinstance(text, str) else None
    except (ValueError, OverflowError):
        return None


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _bytes(text: str) -> bytes:
    # A header's bytes that are no UTF-8 come to us as lone surrogates.
    return text.encode("utf-8", "surrogateescape")
