"""What can go wrong between the engine or the API and the stores; each says what the one who asked may do.

Exception
+-- UnavailableError     try again later
+-- NotFoundError        name something else
+-- ExistsError          choose another name
+-- OwnedByAnotherError  not yours
+-- AssignedError        take the DIDs off first
+-- InUseError           take it from the agents first
ValueError
+-- InvalidCursorError   begin the list again
"""

from collections.abc import Sequence


class UnavailableError(Exception):
    """A part of the outside cannot be reached just now."""


class NotFoundError(Exception):
    """The account has no such thing."""


class ExistsError(Exception):
    """The name is taken."""


class OwnedByAnotherError(Exception):
    """The DID belongs to another account."""


class AssignedError(Exception):
    """The IVR stands behind DIDs, which are named."""

    def __init__(self, dids: Sequence[str]) -> None:
        super().__init__(", ".join(dids))
        self.dids = tuple(dids)


class InUseError(Exception):
    """Agents were given it; `agents` are their names."""

    def __init__(self, agents: Sequence[str]) -> None:
        super().__init__(", ".join(agents))
        self.agents = tuple(agents)


class InvalidCursorError(ValueError):
    """The cursor was not made by us."""
