"""What of a request goes to a model, and what a person is told about the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nodes.llm.models import LLMRequest, Model

_NAMED = 5


def offered(model: Model, request: LLMRequest) -> list[Mapping[str, Any]]:
    """The tools that the model is offered: as many as its endpoint takes, the first of them."""
    if not model.supports_tools:
        return []
    return list(request.tools[: model.entry.kind.max_tools if model.entry else None])


def remarks_on(model: Model, wanted: LLMRequest, sent: LLMRequest) -> list[tuple[str, str]]:
    """(code, text) for what was left out of the request that was wanted."""
    found: list[tuple[str, str]] = []
    if sent is not wanted:
        text = f"The conversation is too long for '{model.name}'; its oldest part was left out."
        found.append(("context_trimmed", text))
    over = wanted.tools[len(offered(model, wanted)) :] if model.supports_tools else ()
    if over:
        names = [str(tool.get("function", {}).get("name", "")) for tool in over[:_NAMED]]
        more = f" and {len(over) - _NAMED} more" if len(over) > _NAMED else ""
        most = len(wanted.tools) - len(over)
        text = f"'{model.name}' takes {most} tools; not offered: {', '.join(names)}{more}."
        found.append(("tools_capped", text))
    return found
