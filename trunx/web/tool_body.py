"""What an agent may call while it talks, as users write it: one schema for calls and for kept tools."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from trunx.web.models import RequestBody

BUILT_IN = ("hangUp", "leaveVoicemail", "playDtmfSounds")
"""Tools that Ultravox has itself: they need no address."""

ToolName = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="What the agent calls it.", examples=["lookUpOrder"]),
]


ToolDescription = Annotated[
    str,
    Field(min_length=1, max_length=2_000, pattern=r"^[^\x00]*$", description="Tells the agent what it does."),
]


class ToolParameter(RequestBody):
    """A value that the agent passes."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    location: Literal[
        "PARAMETER_LOCATION_QUERY",
        "PARAMETER_LOCATION_PATH",
        "PARAMETER_LOCATION_HEADER",
        "PARAMETER_LOCATION_BODY",
    ] = Field(default="PARAMETER_LOCATION_BODY", description="Where in the request it goes.")
    schema_: dict[str, Any] = Field(
        alias="schema", min_length=1, description="JSON Schema of the value.", examples=[{"type": "string"}]
    )
    required: bool = False


ToolParameters = Annotated[list[ToolParameter], Field(max_length=50)]


class ToolAddress(RequestBody):
    """Where the tool is."""

    base_url_pattern: str = Field(
        alias="baseUrlPattern",
        max_length=2_000,
        pattern=r"^https://[A-Za-z0-9._-]+(:[0-9]{1,5})?(/[!-~]*)?$",
        description="`https` only; `{name}` stands for a parameter of the path.",
        examples=["https://example.com/orders/{order}"],
    )
    http_method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = Field(default="POST", alias="httpMethod")


class ToolBody(RequestBody):
    """A tool that the agent calls by HTTP, from Ultravox' servers."""

    model_tool_name: ToolName = Field(alias="modelToolName")
    description: ToolDescription
    dynamic_parameters: ToolParameters = Field(default_factory=list, alias="dynamicParameters")
    http: ToolAddress | None = Field(
        default=None,
        validate_default=True,
        description=f"Only Ultravox' own tools go without: {', '.join(BUILT_IN)}.",
    )

    @field_validator("http")
    @classmethod
    def _address(cls, http: ToolAddress | None, info: ValidationInfo) -> ToolAddress | None:
        if http is None and info.data.get("model_tool_name") not in BUILT_IN:
            raise PydanticCustomError("missing", "a tool of one's own has an address")
        return http

    def definition(self) -> Mapping[str, Any]:
        """As it was written, with what it did not say."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
