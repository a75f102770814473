"""What can go wrong in an AGI conversation, by what the one who meets it can do about it.

AgiError
 +-- CallEndedError        stop: there is nobody to speak to
 |    +-- HangupError         the channel was hung up, or redirected away from us
 |    +-- DisconnectedError   the connection to Asterisk is gone
 +-- CommandError          go on: this command did not do its work
 |    +-- SoundError          the sound is not there or cannot be played; the caller is still there
 +-- ProtocolError         the peer does not speak AGI, or breaks a limit
 +-- ConcurrencyError      our own mistake: one command at a time
"""


class AgiError(Exception):
    """Everything that this package raises by itself."""


class CallEndedError(AgiError):
    """There is nobody left to speak to."""


class HangupError(CallEndedError):
    """The channel was hung up, or redirected: from inside AGI the two look the same."""


class DisconnectedError(CallEndedError):
    """The connection to Asterisk is gone."""


class CommandError(AgiError):
    """Asterisk refused a command or it failed; `code` is the reply's (200 when only its result says so)."""

    def __init__(self, message: str, code: int = 200) -> None:
        super().__init__(message)
        self.code = code


class SoundError(CommandError):
    """Asterisk has no such sound, or cannot play it; the caller is still on the line."""


class ProtocolError(AgiError):
    """The peer does not speak AGI, or breaks a limit."""


class ConcurrencyError(AgiError):
    """A command was to be sent while another one runs, or after the end."""
