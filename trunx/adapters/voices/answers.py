"""What ElevenLabs answers, and what it means: a fault with a code of ours, or sound.

The HTTP status alone misleads: 401 is also an empty account, a blocked one and an unpaid bill, and an unknown
voice has been seen as 400, 401 and 404. The name in the body's `detail` decides, then the status. Nor is an
answer of 200 sound because it says so: it may be empty, cut off, or an error after all.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any

from trunx.domain.audio import SpeechError


class Again(Enum):
    """Whether the same request may help: no; soon, when another has ended; later, with growing pauses."""

    NO = 0
    SOON = 1
    LATER = 2


class Fault(Exception):  # noqa: N818 - never leaves the adapter; `error` does
    """One request failed."""

    def __init__(self, error: SpeechError, again: Again) -> None:
        super().__init__(str(error))
        self.error = error
        self.again = again


@dataclass(frozen=True, slots=True)
class Pcm:
    """Sound: signed 16-bit little-endian samples, interleaved; `rate` in Hz."""

    samples: bytes
    rate: int
    channels: int


# Code: whether to ask again, and what to say.
_CODES = {
    "voice-quota-exceeded": (Again.NO, "the ElevenLabs account has too few credits left: add some"),
    "voice-key-invalid": (Again.NO, "ElevenLabs does not accept the API key"),
    "voice-key-lacks-permission": (Again.NO, "the ElevenLabs API key lacks a permission"),
    "voice-account-blocked": (Again.NO, "ElevenLabs has blocked the account for unusual activity"),
    "voice-payment-due": (Again.NO, "the ElevenLabs account has a bill to pay"),
    "voice-plan-required": (Again.NO, "the ElevenLabs account's plan does not include this voice"),
    "voice-not-found": (Again.NO, "ElevenLabs does not have this voice, or no longer"),
    "voice-text-too-long": (Again.NO, "the text is too long for ElevenLabs' model"),
    "voice-refused": (Again.NO, "ElevenLabs refuses the request"),
    "voice-rate-limited": (Again.LATER, "ElevenLabs takes no more requests just now"),
    "voice-busy": (Again.LATER, "ElevenLabs is busy"),
    "voice-provider-error": (Again.LATER, "ElevenLabs failed"),
    "voice-timeout": (Again.LATER, "ElevenLabs did not answer in time"),
    "voice-unreachable": (Again.LATER, "ElevenLabs cannot be reached"),
    "voice-truncated": (Again.LATER, "ElevenLabs' sound was cut off"),
    "voice-empty": (Again.LATER, "ElevenLabs answered without any sound"),
}
_NAMES = {
    "quota_exceeded": "voice-quota-exceeded",
    "invalid_api_key": "voice-key-invalid",
    "missing_permissions": "voice-key-lacks-permission",
    "detected_unusual_activity": "voice-account-blocked",
    "payment_issue": "voice-payment-due",
    "paid_plan_required": "voice-plan-required",
    "voice_not_found": "voice-not-found",
    "max_character_limit_exceeded": "voice-text-too-long",
    "too_many_concurrent_requests": "voice-rate-limited",
    "concurrent_limit_exceeded": "voice-rate-limited",
    "rate_limit_exceeded": "voice-rate-limited",
    "system_busy": "voice-busy",
}
_SOON = {"too_many_concurrent_requests", "concurrent_limit_exceeded"}
_STATUSES = {
    401: "voice-key-invalid",
    402: "voice-plan-required",
    408: "voice-timeout",
    409: "voice-busy",
    425: "voice-busy",
    429: "voice-rate-limited",
}
_LONGEST_QUOTE = 300

_LETTERS_PER_SECOND = 50
"""Three times as fast as anyone speaks: what is shorter was cut off."""
_FEW_LETTERS = 25
_STREAMED = 0x7FFF_0000
"""Sizes in a WAV header from here on, and 0, are stand-ins of one who did not know the size yet."""


def fault(code: str, detail: str = "", *, again: Again | None = None, after: float | None = None) -> Fault:
    """A fault with our sentence for `code`, and the vendor's or the network's as `detail`."""
    usual, sentence = _CODES[code]
    message = f"{sentence} ({detail})" if detail else sentence
    is_text = code == "voice-text-too-long"
    error = SpeechError(
        code, message, is_request=is_text, field="text" if is_text else None, retry_after=after
    )
    return Fault(error, again or usual)


def fault_of(status: int, headers: Mapping[str, str], body: Any, *, secret: str) -> Fault:
    """What an answer that is no sound means. `body` is parsed JSON or text; `secret` is never shown."""
    name, told = _detail(body)
    code = _NAMES.get(name) or ("voice-plan-required" if name.startswith("only_for_") else None)
    code = (
        code or _STATUSES.get(status) or ("voice-refused" if 300 <= status < 500 else "voice-provider-error")
    )
    told = re.sub(r"\s+", " ", told.replace(secret, "***"))[:_LONGEST_QUOTE].strip()
    detail = f"HTTP {status}{': ' + told if told else ''}"
    return fault(code, detail, again=Again.SOON if name in _SOON else None, after=_retry_after(headers))


def sound_of(body: bytes, headers: Mapping[str, str], words: str, *, secret: str) -> Pcm:
    """The sound in an answer of 200 to a request for a WAV of `words`.

    Raises:
        Fault: there is none, or not all of it.
    """
    if not body:
        raise fault("voice-empty")
    if not body.startswith(b"RIFF"):
        raise _disguised(body, headers, secret)
    pcm = _pcm(body)
    letters = sum(character.isalnum() for character in words)
    seconds = len(pcm.samples) / (2 * pcm.channels * pcm.rate)
    if letters > _FEW_LETTERS and seconds < letters / _LETTERS_PER_SECOND:
        raise fault("voice-truncated", f"{seconds:.1f} s for {letters} letters")
    return pcm


def _disguised(body: bytes, headers: Mapping[str, str], secret: str) -> Fault:
    """An answer of 200 that is no WAV: an error in JSON, or whatever a proxy puts in between."""
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if _detail(answer)[0]:
        return fault_of(200, headers, answer, secret=secret)
    kind = headers.get("content-type", "bytes")[:60]
    return fault("voice-provider-error", f"HTTP 200 with {kind} instead of a WAV")


def _pcm(wav: bytes) -> Pcm:
    """Walks the chunks of a RIFF file; a size that its writer did not know ends with the bytes."""
    form: bytes | None = None
    at = 12
    while at + 8 <= len(wav):
        kind, size = wav[at : at + 4], int.from_bytes(wav[at + 4 : at + 8], "little")
        at += 8
        if kind == b"data":
            return _samples(form, wav[at:], size)
        if kind == b"fmt ":
            form = wav[at : at + size]
        at += size + size % 2
    raise fault("voice-truncated", "no samples")


def _samples(form: bytes | None, rest: bytes, size: int) -> Pcm:
    if form is None or len(form) < 16 or int.from_bytes(form[14:16], "little") != 16:
        raise fault("voice-provider-error", "a WAV that is not of 16 bits")
    channels, rate = int.from_bytes(form[2:4], "little"), int.from_bytes(form[4:8], "little")
    if not channels or not rate:
        raise fault("voice-provider-error", "a WAV without channels or rate")
    if not 0 < size < _STREAMED:
        size = len(rest)
    if size == 0:
        raise fault("voice-empty")
    if size > len(rest) or size % (2 * channels):
        raise fault("voice-truncated", f"{len(rest)} of {size} bytes")
    return Pcm(rest[:size], rate, channels)


def _detail(body: Any) -> tuple[str, str]:
    """The vendor's name for the problem, and its sentence; either may be empty.

    `detail` is an object with `code` or, in the older form, `status`; a list of what failed validation; or a
    text. HTML is not quoted.
    """
    detail = body.get("detail") if isinstance(body, dict) else None
    match detail:
        case dict():
            return str(detail.get("code") or detail.get("status") or ""), str(detail.get("message") or "")
        case list():
            parts = [part for part in detail if isinstance(part, dict)]
            return "", "; ".join(f"{part.get('loc')}: {part.get('msg')}" for part in parts)
        case str():
            return "", detail
        case _:
            return "", body if isinstance(body, str) and "<" not in body else ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds; the header may also be a date (RFC 9110, 10.2.3)."""
    given = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,6}", given):
        return float(given)
    try:
        moment = parsedate_to_datetime(given)
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
