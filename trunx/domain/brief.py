"""Who is to talk, as JSON: the form in which a `Brief` is kept with its call."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from trunx.domain.agent import AgentBrief, Brief, PromptBrief


def as_json(brief: Brief) -> dict[str, Any]:
    """`agent` alone, or the fields of a `PromptBrief`."""
    match brief:
        case AgentBrief(agent):
            return {"agent": agent}
        case PromptBrief():
            return asdict(brief) | {"tools": [dict(tool) for tool in brief.tools]}


def of_json(written: Mapping[str, Any]) -> Brief:
    """What `as_json` wrote. Raises `TypeError`: it was not that."""
    if "agent" in written:
        return AgentBrief(written["agent"])
    return PromptBrief(**{**written, "tools": tuple(written.get("tools", ()))})
