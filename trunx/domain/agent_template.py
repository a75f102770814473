"""The vendor's agent, made of ours: the whole, for a change of Ultravox' `callTemplate` replaces it whole.

The fact to know: users' texts are no templates. The vendor fills in `{{name}}` and refuses a call that brings
no such name, so in what users write the braces are parted; one variable of ours tells the agent of the call.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from trunx.domain.agent import Agent, Knowledge, Tool

CALL_FACTS = "call_facts"
"""The one variable of a template: a text about the call, which each call must bring."""

TOOL_TIMEOUT = "10s"
"""The vendor's own 2.5 s make slow tools be called twice; 40 s is its most."""

LONGEST_NAME = 40
"""Of a tool at the vendor's; agents may have 64 characters."""

_MARK = 8  # digits of our id that make a name unique

_ARE_YOU_THERE, _NOBODY_THERE, _TIME_IS_UP = range(3)
_SAID = {
    "de": (
        "Sind Sie noch da?",
        "Ich höre Sie nicht und lege jetzt auf. Auf Wiederhören.",
        "Unsere Zeit ist leider um. Auf Wiederhören.",
    ),
    "en": (
        "Are you still there?",
        "I cannot hear you, so I will hang up now. Goodbye.",
        "I am afraid we are out of time. Goodbye.",
    ),
    "es": (
        "¿Sigue ahí?",
        "No le oigo, así que voy a colgar. Adiós.",
        "Lo siento, se nos ha acabado el tiempo. Adiós.",
    ),
    "fr": (
        "Vous êtes toujours là ?",
        "Je ne vous entends pas, je vais donc raccrocher. Au revoir.",
        "Je suis désolé, notre temps est écoulé. Au revoir.",
    ),
    "it": (
        "È ancora in linea?",
        "Non la sento, quindi ora riaggancio. Arrivederci.",
        "Mi dispiace, il nostro tempo è scaduto. Arrivederci.",
    ),
    "nl": (
        "Bent u er nog?",
        "Ik hoor u niet en hang nu op. Tot ziens.",
        "Helaas is onze tijd om. Tot ziens.",
    ),
    "pt": (
        "Ainda está aí?",
        "Não consigo ouvir, por isso vou desligar. Até logo.",
        "Lamento, o nosso tempo acabou. Até logo.",
    ),
}
"""What an agent says by itself, by language; English to those who speak none of these."""


def template(agent: Agent, tools: Sequence[Tool], knowledge: Sequence[Knowledge]) -> dict[str, Any]:
    """The `callTemplate` of `agent`, who was given `tools` and `knowledge`, all made at the vendor's."""
    whole: dict[str, Any] = {
        "systemPrompt": f"{plain(agent.prompt)}\n\n{{{{{CALL_FACTS}}}}}",
        "languageHint": agent.language,
        "joinTimeout": "30s",
        "maxDuration": f"{agent.max_seconds}s",
        **manners(agent.language),
        "firstSpeakerSettings": {"agent": _greeting(agent)},
        "selectedTools": [
            {"toolName": "hangUp"},
            *({"toolId": tool.vendor_id} for tool in tools),
            *(_look_up(one, place, len(knowledge)) for place, one in enumerate(knowledge, 1)),
        ],
        "contextSchema": {
            "type": "object",
            "properties": {CALL_FACTS: {"type": "string"}},
            "additionalProperties": True,
        },
    }
    if agent.voice is not None:
        whole["voice"] = agent.voice
    return whole


def manners(language: str) -> dict[str, Any]:
    """How whoever speaks `language` behaves on the telephone; talks that a prompt describes have it too."""
    said = _SAID.get(re.split("[-_]", language.lower())[0], _SAID["en"])
    return {
        "timeExceededMessage": said[_TIME_IS_UP],
        # Somebody who put the telephone down beside its cradle would be paid for until the end.
        "inactivityMessages": [
            {"duration": "20s", "message": said[_ARE_YOU_THERE]},
            {
                "duration": "15s",
                "message": said[_NOBODY_THERE],
                "endBehavior": "END_BEHAVIOR_HANG_UP_SOFT",
            },
        ],
        # The vendor's own 0.09 s let a cough interrupt the agent.
        "vadSettings": {"turnEndpointDelay": "0.384s", "minimumInterruptionDuration": "0.448s"},
        "recordingEnabled": False,
    }


def tool_definition(definition: Mapping[str, Any]) -> dict[str, Any]:
    """A tool of the contract's schema as the vendor takes it."""
    return {**definition, "description": plain(definition["description"]), "timeout": TOOL_TIMEOUT}


def plain(text: str) -> str:
    """`text` without what the vendor would take for a variable: a brace is parted from the next one."""
    return re.sub(r"\{(?=\{)", "{ ", text)


def vendor_name(name: str, our_id: str) -> str:
    """What something is called at the vendor's: recognisable, unique, and without a character that a rule
    for names could mean.
    """
    words = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[: LONGEST_NAME - _MARK - 1].rstrip("-")
    return f"{words or 'trunx'}-{our_id[:_MARK]}"


def _greeting(agent: Agent) -> dict[str, Any]:
    if agent.first_message is None:
        return {}
    # The "hello?" of whoever answers must not cut off what the account wants said.
    return {"text": plain(agent.first_message), "uninterruptible": True}


def _look_up(knowledge: Knowledge, place: int, of: int) -> dict[str, Any]:
    about = f"{knowledge.name}: {knowledge.description}" if knowledge.description else knowledge.name
    chosen: dict[str, Any] = {
        "toolName": "queryCorpus",
        "descriptionOverride": plain(f"Looks up facts in the knowledge base. {about}"),
        "parameterOverrides": {"corpus_id": knowledge.vendor_id},
    }
    # A name may stand once in a call.
    return chosen if of == 1 else chosen | {"nameOverride": f"queryCorpus-{place}"}
