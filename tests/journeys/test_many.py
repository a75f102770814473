"""Many callers at once, each with keys of its own; and the figure: keys that Asterisk saw and we did not get."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.journeys.listening import names, told
from tests.journeys.scene import Scene
from tests.journeys.server import left
from tests.peers.world import Heard, LiveCall

CALLERS = 50
DEEP = 6
"""Menus one after another in the tree of the storm."""


async def test_fifty_callers_each_with_a_tree_of_its_own(
    scene: Scene, record_property: pytest.RecordProperty
) -> None:
    pass
