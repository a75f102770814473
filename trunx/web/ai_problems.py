"""Why the AI vendor did not do what was asked, as the API tells it."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

from trunx.domain.agent import VendorError
from trunx.web.outbound import AI_OFF
from trunx.web.problems import Kind, ProblemError

AI_REFUSED = Kind(422, "ai-refused", "Ultravox refuses the request")
AI_CREDENTIALS = Kind(502, "ai-credentials", "Ultravox does not accept our key")
AI_PAYMENT = Kind(502, "ai-payment", "Ultravox waits to be paid")
AI_BUSY = Kind(503, "ai-busy", "Ultravox takes no more requests just now")
AI_UNAVAILABLE = Kind(503, "ai-unavailable", "Ultravox cannot be reached, or failed")

PROBLEMS = (AI_REFUSED, AI_CREDENTIALS, AI_PAYMENT, AI_BUSY, AI_UNAVAILABLE, AI_OFF)
_RETRY_SECONDS = 5.0


@contextmanager
def told() -> Iterator[None]:
    """Turns what the vendor did not do into a problem."""
    try:
        yield
    except VendorError as error:
        kind = _kind(error)
        wait = error.retry_after or (_RETRY_SECONDS if kind in (AI_BUSY, AI_UNAVAILABLE) else None)
        headers = {} if wait is None else {"Retry-After": str(math.ceil(wait))}
        raise ProblemError(kind, error.sentence, headers=headers) from None


def _kind(error: VendorError) -> Kind:
    match error.trouble:
        case "off":
            return AI_OFF
        case "credentials":
            return AI_CREDENTIALS
        case "payment":
            return AI_PAYMENT
        case "invalid":
            return AI_REFUSED
        case "busy":
            return AI_BUSY
        case "missing" | "unavailable" | "unknown":
            return AI_UNAVAILABLE
