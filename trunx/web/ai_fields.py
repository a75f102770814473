"""The fields of an AI call: who is to talk to the callee, said with the call itself."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from trunx.domain.agent import PromptBrief
from trunx.web.models import Line, RequestBody
from trunx.web.problems import INVALID_BODY, Fault, ProblemError
from trunx.web.tool_body import ToolBody

LONGEST_PROMPT = 50_000
_NEED_PROMPT = ("model", "voice", "tools", "firstSpeaker", "temperature")
_OURS = ("requestId", "callId")
"""Metadata that we give Ultravox' call ourselves."""


class AiFields(RequestBody):
    """With `system_prompt` the call is an AI call; none of the others goes without."""

    system_prompt: str | None = Field(
        default=None,
        alias="systemPrompt",
        min_length=1,
        max_length=LONGEST_PROMPT,
        pattern=r"^[^\x00]*$",
        description="Makes it an AI call: what the agent is told to be and to do. It talks to the callee as "
        "soon as the call is answered.",
    )
    model: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9._/:-]{1,100}$",
        description="Ultravox' model; its default when absent.",
        examples=["fixie-ai/ultravox-70B"],
    )
    voice: Line | None = Field(default=None, description="Ultravox' voice, by name or id.", examples=["Mark"])
    tools: list[ToolBody] | None = Field(
        default=None, max_length=50, description="What the agent may call while it talks."
    )
    first_speaker: Literal["agent", "user"] | None = Field(
        default=None, alias="firstSpeaker", description="Who speaks first; `agent` when absent."
    )
    temperature: float | None = Field(default=None, ge=0, le=1)

    @property
    def ai(self) -> PromptBrief | None:
        """Who is to talk; None: it is a plain call."""
        if self.system_prompt is None:
            return None
        return PromptBrief(
            prompt=self.system_prompt,
            model=self.model,
            voice=self.voice,
            tools=tuple(tool.definition() for tool in self.tools or ()),
            first_speaker=self.first_speaker or "agent",
            temperature=self.temperature,
        )


def check(body: AiFields, *, alone: dict[str, object], metadata: dict[str, str]) -> None:
    """Raises `ProblemError` 422 for fields that do not go together; `alone` are those that no AI call has."""
    faults = [*_faults(body, alone, metadata)]
    if faults:
        raise ProblemError(INVALID_BODY, f"{faults[0].pointer}: {faults[0].message}", errors=faults)


def _faults(body: AiFields, alone: dict[str, object], metadata: dict[str, str]) -> Iterator[Fault]:
    written = body.model_dump(by_alias=True, exclude_none=True)
    if body.system_prompt is None:
        for name in _NEED_PROMPT:
            if name in written:
                yield Fault(pointer=f"/{name}", message="this is of AI calls: it needs systemPrompt")
        return
    for name, value in alone.items():
        if value is not None:
            yield Fault(pointer=f"/{name}", message="an AI call has none: the agent talks to the callee")
    for name in metadata:
        if name in _OURS or name.startswith("ultravox."):
            yield Fault(pointer=f"/metadata/{name}", message="in AI calls this name is taken")
    seen: set[str] = set()
    for place, tool in enumerate(body.tools or ()):
        if tool.model_tool_name in seen:
            yield Fault(pointer=f"/tools/{place}/modelToolName", message="another tool has this name")
        seen.add(tool.model_tool_name)
