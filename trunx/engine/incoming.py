"""Files on their way: uploads that arrive, speech that is not mastered yet. Nothing stays here.

Names are ours: what a user calls a file is never part of a path.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Incoming:
    """A folder that is empty whenever nothing is being made."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make(self) -> None:
        """Makes the folder."""
        self._folder.mkdir(mode=0o700, exist_ok=True)

    def clear(self) -> None:
        """Removes what an earlier run was killed over; for a start, before anything comes in."""
        for left in self._folder.iterdir():
            left.unlink()

    def path(self) -> Path:
        """A path at which there is nothing yet."""
        return self._folder / secrets.token_hex(16)

    def taken(self, file: Path) -> Path:
        """`file` of this folder under another name, so that whoever brought it may clear up after itself."""
        return file.rename(self.path())


@contextmanager
def passing(path: Path) -> Iterator[Path]:
    """`path` for the length of a block; what is there at its end is removed."""
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
