"""What spans and their attributes are called: OpenTelemetry's GenAI semantic conventions.

Names as of semantic-conventions-genai at schema 1.41 (the Python package of 0.66b2 lists the same names, as
moved there). What the conventions have no name for stands under `waystation.`.
"""

from __future__ import annotations

from collections.abc import Mapping

AGENT = "waystation"

# Our word -> the conventions' name.
NAMES = {
    "operation": "gen_ai.operation.name",
    "agent": "gen_ai.agent.name",
    "conversation": "gen_ai.conversation.id",
    "provider": "gen_ai.provider.name",
    "model": "gen_ai.request.model",
    "response_model": "gen_ai.response.model",
    "stream": "gen_ai.request.stream",
    "temperature": "gen_ai.request.temperature",
    "max_tokens": "gen_ai.request.max_tokens",
    "first_chunk_s": "gen_ai.response.time_to_first_chunk",
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "tool": "gen_ai.tool.name",
    "tool_type": "gen_ai.tool.type",
    "tool_call": "gen_ai.tool.call.id",
    "mcp_method": "mcp.method.name",
    "source": "gen_ai.data_source.id",
    "top_k": "gen_ai.request.top_k",
    "error": "error.type",
}


def named(
    attributes: Mapping[str, str | bool | int | float | None],
) -> dict[str, str | bool | int | float]:
    """The attributes under the conventions' names, without what is None or ""."""
    return {
        NAMES.get(word) or f"waystation.{word}": value
        for word, value in attributes.items()
        if value is not None and value != ""
    }
