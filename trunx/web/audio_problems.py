"""Why there is no sound, as the API tells it: the request is at fault, or the voice's provider."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

from trunx.domain.audio import SpeechError, UnusableSoundError
from trunx.domain.ivr import pointer
from trunx.web.problems import Fault, Kind, ProblemError
from trunx.web.uploads import FILE_TOO_LARGE

READABLE = "WAV, MP3, OGG and FLAC can be read"

# By the codes of `SpeechError`, where the request is at fault; a configured voice is not the request's.
_ASKED = {
    kind.code: kind
    for kind in (
        Kind(422, "text-empty", "The text has nothing to say"),
        Kind(422, "text-too-long", "The text is too long for a prompt"),
        Kind(422, "text-has-control-characters", "The text has characters that nobody can say"),
        Kind(422, "text-has-markup", "The text has markup"),
        Kind(422, "text-unspeakable", "The voice cannot say the text"),
        Kind(422, "voice-text-too-long", "The text is too long for the voice's model"),
        Kind(422, "voice-not-found", "There is no such voice"),
        Kind(422, "voice-plan-required", "The provider's plan does not include the voice"),
    )
}
_FAILED = {
    kind.code.removeprefix("default-"): kind
    for kind in (
        Kind(502, "default-voice-not-found", "The configured voice is gone"),
        Kind(502, "default-voice-plan-required", "The provider's plan does not include the configured voice"),
        Kind(502, "voice-quota-exceeded", "The account at the voice's provider is used up"),
        Kind(502, "voice-key-invalid", "The voice's provider does not accept our key"),
        Kind(502, "voice-key-lacks-permission", "Our key at the voice's provider may not do this"),
        Kind(502, "voice-account-blocked", "The voice's provider has blocked our account"),
        Kind(502, "voice-payment-due", "The voice's provider waits to be paid"),
        Kind(502, "voice-refused", "The voice's provider refuses the request"),
        Kind(502, "voice-provider-error", "The voice's provider failed"),
        Kind(502, "voice-truncated", "The voice's provider sent a part of the sound"),
        Kind(502, "voice-empty", "The voice's provider sent no sound"),
        Kind(502, "voice-unusable", "The voice's provider sent something that is no sound"),
        Kind(503, "voice-rate-limited", "The voice's provider takes no more requests just now"),
        Kind(503, "voice-busy", "The voice's provider is busy"),
        Kind(503, "voice-unreachable", "The voice's provider cannot be reached"),
        Kind(504, "voice-timeout", "The voice's provider did not answer in time"),
    )
}
PROVIDER = tuple(_FAILED.values())
SPEECH = (*_ASKED.values(), *PROVIDER)
_RETRY_SECONDS = 5.0
UNUSABLE = (
    FILE_TOO_LARGE,
    Kind(413, "too-long", "The sound is too long"),
    Kind(415, "unsupported-format", "This kind of file cannot be read"),
    Kind(422, "empty", "The file holds no sound"),
    Kind(422, "damaged", "The file is damaged"),
    Kind(422, "silent", "Nothing can be heard in the file"),
)
_UNUSABLE = {kind.code: kind for kind in UNUSABLE}


@contextmanager
def told() -> Iterator[None]:
    """Turns what hinders a sound into a problem."""
    try:
        yield
    except UnusableSoundError as error:
        fault = Fault(pointer="/file", message=str(error))
        raise ProblemError(_UNUSABLE[error.code], str(error), errors=[fault]) from None
    except SpeechError as error:
        raise _of_speech(error) from None


def _of_speech(error: SpeechError) -> ProblemError:
    if error.is_request:
        fault = Fault(pointer=pointer(error.field or "text"), message=str(error))
        return ProblemError(_ASKED[error.code], str(error), errors=[fault])
    kind = _FAILED[error.code]
    wait = error.retry_after or (_RETRY_SECONDS if kind.status == 503 else None)
    headers = {} if wait is None else {"Retry-After": str(math.ceil(wait))}
    return ProblemError(kind, str(error), headers=headers)
