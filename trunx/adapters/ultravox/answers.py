"""What an answer of Ultravox means, in our words. Pure, and no secret gets through.

The fact to know: the form of the vendor's errors is not documented. The status decides; of the body, whatever
it is, a few words are shown to the user, for they may name the field that is wrong.
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from trunx.domain.agent import Trouble, VendorError

_LONGEST_QUOTE = 500

_SENTENCES: Mapping[Trouble, str] = {
    "credentials": "Ultravox does not accept our API key",
    "payment": "the Ultravox account has nothing left to pay with",
    "invalid": "Ultravox refuses this",
    "missing": "Ultravox does not have this, or no longer",
    "busy": "Ultravox takes no more just now",
    "unavailable": "Ultravox cannot do this just now",
    "unknown": "Ultravox did not say whether it has done this",
}
_STATUSES: Mapping[int, Trouble] = {
    401: "credentials",
    402: "payment",
    403: "credentials",
    404: "missing",
    408: "busy",
    425: "busy",
    429: "busy",
    503: "busy",
}


def problem(trouble: Trouble, detail: str = "", retry_after: float | None = None) -> VendorError:
    """Our sentence for `trouble`, with the vendor's or the network's words as `detail`."""
    sentence = _SENTENCES[trouble]
    return VendorError(trouble, f"{sentence} ({detail})" if detail else sentence, retry_after)


def problem_of(status: int, headers: Mapping[str, str], body: bytes, hide: Iterable[str]) -> VendorError:
    """What an answer that is no success means. `hide` are secrets, which are never shown."""
    if status in _STATUSES:
        trouble = _STATUSES[status]
    else:
        trouble = "invalid" if 400 <= status < 500 else "unavailable"
    told = _quoted(body, hide)
    detail = f"HTTP {status}: {told}" if told else f"HTTP {status}"
    return problem(trouble, detail, retry_after(headers.get("Retry-After", "")))


def retry_after(header: str) -> float | None:
    """Seconds; the header may also be a date (RFC 9110, 10.2.3)."""
    given = header.strip()
    if re.fullmatch(r"[0-9]{1,6}(\.[0-9]+)?", given):
        return float(given)
    try:
        moment = parsedate_to_datetime(given)
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def covers(kept: Any, asked: Any) -> bool:
    """Whether all that was asked for is in what the vendor keeps, which may have more.

    Protobuf does not tell an empty value from none, writes `300s` as `300.0s` and keeps 32 bits of 0.3.
    """
    if asked in (None, "", 0, []):
        return kept in (None, "", 0, [])
    match asked:
        case dict():
            if not isinstance(kept, dict):
                return False
            # Which of several kinds was chosen shows by the key, even when nothing is in it.
            return all(
                covers(kept.get(key), value) and not (isinstance(value, dict) and key not in kept)
                for key, value in asked.items()
                if key != "sharedSecrets"  # never shown
            )
        case list():
            return (
                isinstance(kept, list)
                and len(kept) == len(asked)
                and all(covers(one, other) for one, other in zip(kept, asked, strict=True))
            )
        case float() | int() if not isinstance(asked, bool):
            return isinstance(kept, float | int) and abs(kept - asked) < 1e-6
        case str() if _DURATION.fullmatch(asked):
            return isinstance(kept, str) and _plain(kept) == _plain(asked)
        case _:
            return bool(kept == asked)


_DURATION = re.compile(r"[0-9]+(\.[0-9]+)?s")


def _plain(length: str) -> float | str:
    return float(length[:-1]) if _DURATION.fullmatch(length) else length


def _quoted(body: bytes, hide: Iterable[str]) -> str:
    """The vendor's words in one line: its `detail`, else all of it. HTML says nothing that helps."""
    text = body.decode("utf-8", "replace")
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        parsed = None
    if isinstance(parsed, dict) and isinstance(parsed.get("detail"), str):
        text = parsed["detail"]
    elif parsed is None and "<" in text:
        return ""
    for secret in sorted(filter(None, hide), key=len, reverse=True):
        text = text.replace(secret, "***")
    return re.sub(r"[\s\x00-\x1f\x7f]+", " ", text).strip()[:_LONGEST_QUOTE]
