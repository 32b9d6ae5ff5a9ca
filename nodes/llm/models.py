"""Values of the module: what is asked of a model and what comes back."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolCall

from core.access import Principal
from nodes.llm.settings import ModelEntry
from nodes.llm.vendors import label_of

OFFLINE = "offline"
HOW_TO_CONFIGURE = (
    "For a real model set OPENAI_API_KEY (and OPENAI_BASE_URL for another endpoint), "
    "or list models in config/models.yaml, and restart."
)
MALFORMED = "__malformed__"
"""The one argument of a tool call whose arguments were no JSON object; its value is what the model wrote."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the catalogue; `entry` is None for the offline model."""

    name: str
    entry: ModelEntry | None = None
    description: str = ""
    enabled: bool = True
    groups: list[str] = field(default_factory=list)

    @property
    def compliance_level(self) -> str:
        return (self.entry.compliance_level if self.entry else None) or ""

    @property
    def offline(self) -> bool:
        return self.entry is None

    @property
    def served(self) -> str:
        """What its endpoint calls it."""
        return self.entry.model_name if self.entry else OFFLINE

    @property
    def vendor(self) -> str:
        """Whose wire it speaks, for metrics and spans."""
        if self.entry is None:
            return OFFLINE
        return label_of(self.entry.provider) if self.entry.provider else "openai"

    @property
    def supports_tools(self) -> bool:
        return self.entry is None or self.entry.supports_tools


@dataclass(frozen=True, slots=True)
class LLMRequest:
    """One call of a model.

    Args:
        model: Name in the catalogue; empty for the default.
        messages: The conversation, oldest first, without a system message.
        tools: OpenAI function schemas that the model may call.
        documents: Retrieved passages, each with n, title, text and more.
        files: Files of the thread, each with name, media_type and size.
        sampling: What the endpoint is sent by name, such as `temperature`; else the model's own.
        principal: Who asks; None for this process itself, which may use every model.
        earlier: Notes on what was said before `messages`.
        notes: Whether those go on where more has to be left out.
        taken: Ids of tool calls that stand elsewhere in the thread.
    """

    model: str = ""
    messages: Sequence[BaseMessage] = ()
    tools: Sequence[Mapping[str, Any]] = ()
    documents: Sequence[Mapping[str, Any]] = ()
    files: Sequence[Mapping[str, Any]] = ()
    sampling: Mapping[str, float] = field(default_factory=dict)
    principal: Principal | None = None
    earlier: str = ""
    notes: bool = False
    taken: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class LLMChunk:
    """A piece of the answer as it comes."""

    text: str = ""
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call used; `model` is its name in the catalogue, `cost` None where no price is known."""

    input_tokens: int
    output_tokens: int
    model: str
    cost: float | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "model": self.model,
            "cost": self.cost,
        }


@dataclass(frozen=True, slots=True)
class LLMResponse:
    """The whole answer.

    Args:
        finish: The endpoint's reason to stop: stop, tool_calls, length, ...
        remarks: (code, text) of what a person should know about how the request was made.
    """

    message: AIMessage
    usage: Usage
    finish: str = "stop"
    remarks: Sequence[tuple[str, str]] = ()

    @property
    def text(self) -> str:
        return str(self.message.text)

    @property
    def tool_calls(self) -> list[ToolCall]:
        return list(self.message.tool_calls)
