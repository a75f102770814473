"""A sound file that somebody's URL names: what came of fetching it, and why it was not taken.

The sentences are for the one who named the URL; of a network of ours they tell nothing.
"""

from dataclasses import dataclass
from enum import StrEnum


class DownloadProblem(StrEnum):
    """Why a URL gave no sound file; stable codes."""

    ADDRESS = "url-refused"  # leads into a private network, or is no URL
    STATUS = "url-answer"  # the server answered with an error
    REDIRECTS = "url-redirects"  # one redirect too many, or to nowhere
    TYPE = "url-not-audio"  # a page, an image, ...
    TOO_LARGE = "url-too-large"
    TOO_SLOW = "url-too-slow"
    FAILED = "url-unreachable"  # no connection, or one that broke


class DownloadError(Exception):
    """There is no file; `problem` is the code, `sentence` says what was met."""

    def __init__(self, problem: DownloadProblem, sentence: str) -> None:
        super().__init__(sentence)
        self.problem = problem
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Seen:
    """By what a server knows again what it has sent: `ETag` and `Last-Modified` (RFC 9110, section 8.8)."""

    etag: str | None = None
    modified: str | None = None
