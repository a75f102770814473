"""A brief comes back from its JSON as it was."""

import json

import pytest

from trunx.domain import brief
from trunx.domain.agent import AgentBrief, Brief, PromptBrief

TOOL = {
    "modelToolName": "lookUp",
    "description": "Looks up.",
    "http": {"baseUrlPattern": "https://a.example"},
}


@pytest.mark.parametrize(
    "one",
    [
        AgentBrief("a1b2"),
        PromptBrief("Be kind."),
        PromptBrief("Be kind.", "model", "Mark", (TOOL,), "user", 0.7),
    ],
)
def test_a_brief_is_kept(one: Brief) -> None:
    assert brief.of_json(json.loads(json.dumps(brief.as_json(one)))) == one


def test_what_is_no_brief_is_refused() -> None:
    with pytest.raises(TypeError):
        brief.of_json({"surprise": 1})
