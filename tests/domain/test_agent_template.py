"""The vendor's agent, made of ours."""

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.peers.ultravox_checks import template as refuse_template
from tests.peers.ultravox_checks import tool as refuse_tool
from tests.peers.ultravox_checks import variables
from trunx.domain.agent import Agent, Knowledge, Tool
from trunx.domain.agent_template import CALL_FACTS, plain, template, tool_definition, vendor_name

NOW = datetime(2026, 3, 9, tzinfo=UTC)
VOICES = {"aa601962": "Mark"}
DEFINITION = {
    "modelToolName": "lookUpOrder",
    "description": "Looks up {{order}}.",
    "dynamicParameters": [
        {"name": "order", "location": "PARAMETER_LOCATION_BODY", "schema": {"type": "string"}}
    ],
    "http": {"baseUrlPattern": "https://example.com/orders", "httpMethod": "POST"},
}


def agent(**fields: Any) -> Agent:
    wanted: dict[str, Any] = {
        "id": "a1b2c3d4-e5f6-7890-abcd-ef1234567890",
        "account": "ada",
        "name": "Appointment Confirmer",
        "prompt": "You are friendly.",
        "voice": None,
        "first_message": None,
        "language": "en",
        "tools": (),
        "knowledge": (),
        "max_seconds": 300,
        "default": False,
        "vendor_id": None,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Agent(**wanted | fields)


def book(name: str, vendor_id: str, description: str | None = None) -> Knowledge:
    return Knowledge(str(uuid.uuid4()), "ada", name, description, vendor_id, NOW)


def test_a_whole_template() -> None:
    made = template(agent(voice="Mark", first_message="Hi, this is Sarah.", max_seconds=90), [], [])
    refuse_template(made, voices=VOICES, models=(), tools={})
    assert made["systemPrompt"] == "You are friendly.\n\n{{call_facts}}"
    assert made["voice"] == "Mark"
    assert made["languageHint"] == "en"
    assert made["maxDuration"] == "90s"
    assert made["firstSpeakerSettings"] == {"agent": {"text": "Hi, this is Sarah.", "uninterruptible": True}}
    assert made["selectedTools"] == [{"toolName": "hangUp"}]
    assert made["contextSchema"]["additionalProperties"] is True
    assert made["recordingEnabled"] is False


def test_what_is_not_said_is_the_vendor_s() -> None:
    made = template(agent(), [], [])
    assert "voice" not in made
    assert made["firstSpeakerSettings"] == {"agent": {}}


def test_a_line_on_which_nobody_is_left_is_hung_up() -> None:
    asked, left = template(agent(), [], [])["inactivityMessages"]
    assert "endBehavior" not in asked
    assert left["endBehavior"] == "END_BEHAVIOR_HANG_UP_SOFT"


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "Are you still there?"),
        ("de-AT", "Sind Sie noch da?"),
        ("ES", "¿Sigue ahí?"),
        ("tlh", "Are you still there?"),
    ],
)
def test_it_asks_in_its_language(language: str, words: str) -> None:
    assert template(agent(language=language), [], [])["inactivityMessages"][0]["message"] == words


def test_tools_and_knowledge() -> None:
    tool = Tool(str(uuid.uuid4()), "ada", DEFINITION, "uv-tool", NOW)
    made = template(agent(), [tool], [book("Hours", "uv-corpus", "When we are open.")])
    refuse_template(made, voices=VOICES, models=(), tools={"uv-tool": "lookUpOrder"})
    _, second, third = made["selectedTools"]
    assert second == {"toolId": "uv-tool"}
    assert third["toolName"] == "queryCorpus"
    assert third["parameterOverrides"] == {"corpus_id": "uv-corpus"}
    assert third["descriptionOverride"].endswith("Hours: When we are open.")
    assert "nameOverride" not in third


def test_of_several_kinds_of_knowledge_each_has_a_name() -> None:
    made = template(agent(), [], [book("Hours", "uv-1"), book("Prices", "uv-2")])
    refuse_template(made, voices=VOICES, models=(), tools={})
    assert [one.get("nameOverride") for one in made["selectedTools"][1:]] == [
        "queryCorpus-1",
        "queryCorpus-2",
    ]


TEXTS = st.text(st.sampled_from("{} ab_.#^&!>="), min_size=1, max_size=30)


@given(prompt=TEXTS, first=TEXTS, about=TEXTS)
def test_no_text_of_a_user_is_a_template(prompt: str, first: str, about: str) -> None:
    made = template(agent(prompt=prompt, first_message=first), [], [book(about, "uv", about)])
    assert variables(made) == {CALL_FACTS}
    assert made["systemPrompt"].count("{{") == 1
    assert "{{" not in made["firstSpeakerSettings"]["agent"]["text"]
    assert "{{" not in made["selectedTools"][1]["descriptionOverride"]
    assert plain(prompt).replace(" ", "") == prompt.replace(" ", "")


def test_a_tool_as_the_vendor_takes_it() -> None:
    made = tool_definition(DEFINITION)
    refuse_tool(made)
    assert made == {**DEFINITION, "description": "Looks up { {order}}.", "timeout": "10s"}
    assert DEFINITION["description"] == "Looks up {{order}}."


@given(name=st.text(min_size=1, max_size=200))
def test_a_name_at_the_vendor_s_fits_every_rule(name: str) -> None:
    made = vendor_name(name, "a1b2c3d4-e5f6-7890-abcd-ef1234567890")
    assert len(made) <= 40
    assert made.isascii()
    assert made.replace("-", "").isalnum()
    assert made.endswith("-a1b2c3d4")


def test_a_name_at_the_vendor_s_is_recognised() -> None:
    assert vendor_name("Zoë & Søn!", "a1b2c3d4-e5f6") == "Zo-S-n-a1b2c3d4"
    assert vendor_name("予約", "a1b2c3d4-e5f6") == "trunx-a1b2c3d4"
