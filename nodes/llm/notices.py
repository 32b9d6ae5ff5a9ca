"""What a person should know about how an answer came about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nodes.llm.models import OFFLINE, LLMRequest, LLMResponse, Model
from nodes.llm.pieces import KNOWN

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


HOW_TO_CONFIGURE = (
    "For a real model set OPENAI_API_KEY (and OPENAI_BASE_URL for another endpoint), "
    "or list models in config/models.yaml, and restart."
)
OFFLINE_NOTICE = (
    "The offline model answers: it calls tools and quotes passages, and writes nothing of its own. "
    + HOW_TO_CONFIGURE
)


def notices(request: LLMRequest, response: LLMResponse, *, first: bool) -> Iterator[tuple[str, str]]:
    """(code, text) of each notice; `first` on the first answer of a thread."""
    used = response.usage.model
    if used == OFFLINE and first:
        yield "offline_model", OFFLINE_NOTICE
    if used != request.model:
        yield "fallback_model", f"'{request.model}' was unavailable; '{used}' answered."
    yield from response.remarks
    if not response.tool_calls and not response.text.strip():
        yield "empty_answer", "The model ended its answer without a word."
    if response.finish == "length":
        yield "answer_cut", "The answer reached the model's limit (max_tokens) and is cut."
    if response.finish == "content_filter":
        yield "content_filter", "The model's endpoint withheld a part of the answer."
    if response.finish and response.finish not in KNOWN:
        yield "finish_reason", f"The model's endpoint ended the answer for the reason '{response.finish}'."
