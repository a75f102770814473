"""What we ask of a studio worker and what it answers: one JSON line each, one at a time.

A reply is `Done`, `Refused` (the request is at fault) or `Failed` (the machine is). Anything else, an end of
the worker included, is a crash.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Master(_Line):
    """Make a sound of `source` in the folder `scratch`, which is not there yet. Done: `Mastered`."""

    kind: Literal["master"] = "master"
    source: Path
    scratch: Path
    most_bytes: int
    most_seconds: float


class Encode(_Line):
    """Make `target`, an MP3, of `source`, a WAV. Done: nothing."""

    kind: Literal["encode"] = "encode"
    source: Path
    target: Path


class Speak(_Line):
    """Say `words` with a voice of hibari-tts into `target`, a WAV. Done: nothing.

    Refused: `unspeakable`, there is nothing in it that the voice can say.
    """

    kind: Literal["speak"] = "speak"
    words: str
    voice: str
    target: Path


class Finish(_Line):
    """Make `target` of what Asterisk has recorded in `sources`, one for each channel. Done: `Finished`.

    Refused: `torn`, when it has not closed its files and `torn` does not say to take them so.
    """

    kind: Literal["finish"] = "finish"
    sources: tuple[Path, ...] = Field(min_length=1)
    target: Path
    format: Literal["mp3", "wav"]
    trim_silence: bool
    most_seconds: float
    torn: bool


Job: TypeAlias = Master | Encode | Speak | Finish


class Warned(_Line):
    """As `SoundWarning` of the domain."""

    code: str
    message: str


class Mastered(_Line):
    """`hash`: 32 hex digits."""

    hash: str = Field(pattern=r"^[0-9a-f]{32}$")
    ms: int
    warnings: tuple[Warned, ...]


class Finished(_Line):
    """How long it plays, and its size."""

    ms: int
    bytes: int


class Done(_Line):
    """What the job gives."""

    kind: Literal["done"] = "done"
    result: dict[str, Any] = Field(default_factory=dict)


class Refused(_Line):
    """The request cannot be done, now or later."""

    kind: Literal["refused"] = "refused"
    code: str
    message: str


class Failed(_Line):
    """Files could not be read or written."""

    kind: Literal["failed"] = "failed"
    message: str


Reply: TypeAlias = Done | Refused | Failed

JOBS: TypeAdapter[Job] = TypeAdapter(Annotated[Job, Field(discriminator="kind")])
REPLIES: TypeAdapter[Reply] = TypeAdapter(Annotated[Reply, Field(discriminator="kind")])
