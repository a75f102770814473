"""The spoken prompts that ship with the code: what the engine itself says, and the demo tree's audio.

Asterisk plays them as local files, so they must be staged (copied) on every Asterisk before a call needs
them; the dialplan plays `trunx/engine/trouble` even when our process is down. Each file is headerless
G.711 µ-law, 8 kHz, mono: one byte is 125 microseconds. `manifest.json` is the truth about them, and
`make.py` makes the files from its words.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

__all__ = ["DEMO", "ENGINE", "EngineName", "Prompt"]

EngineName = Literal[
    "connecting",  # between the rings, while an agent is on its way
    "goodbye",  # the flow's last word when nothing else is left to say
    "invalid",  # a key that the menu does not have; the menu follows
    "menu-missing",  # instead of a gather node's own prompt; the keys work
    "message-missing",  # instead of an action node's announcement
    "no-input",  # no key was pressed; the menu follows
    "not-in-service",  # the number has no IVR
    "trouble",  # our server failed or cannot be reached
    "unavailable",  # a transfer cannot be made
]
"""The closed set of engine prompts: a misspelt name is a type error."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One recorded sentence or two."""

    name: str
    """The file's name without its extension: `menu-missing`."""
    words: str
    """What the caller hears, as a person would read it aloud."""
    seconds: float
    """Duration, to the millisecond."""
    path: Path
    """The µ-law file inside this package."""

    @property
    def sound(self) -> str:
        """The name Asterisk plays it by, relative to its sounds folder: `trunx/engine/menu-missing`."""
        return f"trunx/{self.path.parent.name}/{self.name}"


_FOLDER = Path(str(resources.files(__name__)))


def _load(shelf: str) -> dict[str, Prompt]:
    """Reads one shelf (`engine` or `demo`) of the manifest."""
    entries = json.loads((_FOLDER / "manifest.json").read_text(encoding="utf-8"))[shelf]
    return {
        entry["name"]: Prompt(
            name=entry["name"],
            words=entry["words"],
            seconds=entry["seconds"],
            path=_FOLDER / shelf / f"{entry['name']}.ulaw",
        )
        for entry in entries
    }


def _load_engine() -> dict[EngineName, Prompt]:
    """Keys the engine's shelf by the closed set, so that a missing prompt fails at import, not in a call."""
    shelf = _load("engine")
    names: tuple[EngineName, ...] = get_args(EngineName)
    return {name: shelf[name] for name in names}


ENGINE: Mapping[EngineName, Prompt] = MappingProxyType(_load_engine())
"""What the engine itself needs to say."""

DEMO: Mapping[str, Prompt] = MappingProxyType(_load("demo"))
"""The audio of the example tree `qualify-business`: `welcome`, `business_check`, `not_qualified`."""
