"""Why an answer ended: one word for each of the many that endpoints have for the same thing."""

from __future__ import annotations

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
