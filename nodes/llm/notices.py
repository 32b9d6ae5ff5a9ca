"""What a person should know about how an answer came about."""

from __future__ import annotations

from collections.abc import Iterator

from nodes.llm.finish import KNOWN
from nodes.llm.models import OFFLINE, LLMRequest, LLMResponse

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
