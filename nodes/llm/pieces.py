"""What a model's client hands on as it comes: no object of an SDK's or of LangChain's for each token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from langchain_core.messages.ai import UsageMetadata

from core.foreign import clean_text

_WORDS = {
    "stop": ("end_turn", "eos", "eos_token", "stop_sequence", "complete", "completed", "finished", "done"),
    "length": ("max_tokens", "max_output_tokens", "max_completion_tokens", "model_length", "token_limit"),
    "tool_calls": ("function_call", "tool_call", "tool_use", "tool_calls"),
    "content_filter": (
        "safety",
        "recitation",
        "blocklist",
        "prohibited_content",
        "spii",
        "blocked",
        "refusal",
        "sensitive",
        "guardrail_intervened",
    ),
}
_SAME = {other: word for word, others in _WORDS.items() for other in others}

BROKEN = frozenset(
    {
        "error",
        "abort",
        "aborted",
        "cancelled",
        "canceled",
        "failed",
        "timeout",
        "network_error",
        "internal_error",
        "server_error",
        "insufficient_system_resource",
        "malformed_function_call",
    }
)
"""Reasons that mean: there should be more, and none will come."""

KNOWN = frozenset(_WORDS)


def finish_of(reason: object) -> str:
    """The reason in the words of OpenAI where it is one of them in another spelling; "" for none."""
    word = clean_text(str(reason)[:60]).strip().lower() if reason else ""
    return _SAME.get(word, word)


_NOTHING: Mapping[str, Any] = {}

REASONING = "reasoning_content"
"""Under this key of `additional_kwargs` stands reasoning for a reader."""
FIELDS = "answer_fields"
"""Under this key of `additional_kwargs` stand fields that the endpoint wants back as they came."""
CALL_FIELDS = "call_fields"
"""The same within a part of a tool call."""
ENDPOINT = "endpoint"
"""Under this key of a whole message's `additional_kwargs` stands what its endpoint may want back."""


class Chunk(Protocol):
    """What is read of a piece, whoever made it: ours, or an AIMessageChunk of LangChain's."""

    @property
    def content(self) -> Any: ...
    @property
    def tool_call_chunks(self) -> Sequence[Any]: ...
    @property
    def additional_kwargs(self) -> Mapping[str, Any]: ...
    @property
    def response_metadata(self) -> Mapping[str, Any]: ...
    @property
    def usage_metadata(self) -> UsageMetadata | None: ...


class Piece:
    """A piece of an answer, with the names that LangChain's AIMessageChunk has for the same things."""

    __slots__ = ("additional_kwargs", "content", "response_metadata", "tool_call_chunks", "usage_metadata")

    def __init__(
        self,
        content: str = "",
        *,
        calls: Sequence[Mapping[str, Any]] = (),
        more: Mapping[str, Any] = _NOTHING,
        metadata: Mapping[str, Any] = _NOTHING,
        usage: UsageMetadata | None = None,
    ) -> None:
        self.content = content
        self.tool_call_chunks = calls
        self.additional_kwargs = more
        self.response_metadata = metadata
        self.usage_metadata = usage


ALIVE = Piece()
"""Nothing to read, but a sign of life."""
