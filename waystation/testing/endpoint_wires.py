"""How known endpoints put an answer on the wire: which fields, in which order, in which pieces."""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Body = dict[str, Any]

_LETTERS = string.ascii_letters + string.digits


def _random(count: int, serial: int, letters: str = _LETTERS) -> str:
    """The same text for the same serial, as long as an id of that endpoint."""
    chosen = random.Random(serial)  # noqa: S311 - only unlike other ids
    return "".join(chosen.choice(letters) for _ in range(count))


def plain_id(serial: int) -> str:
    """`call_` and 24 letters."""
    return f"call_{_random(24, serial)}"


def nine_id(serial: int) -> str:
    """Nine letters or digits."""
    return _random(9, serial)


def nine_digits(serial: int) -> str:
    """Nine digits."""
    return _random(9, serial, string.digits)


def short_id(serial: int) -> str:
    """`call_` and eight letters."""
    return f"call_{_random(8, serial, string.ascii_lowercase + string.digits)}"


def vllm_id(serial: int) -> str:
    """The word chatcmpl-tool and 32 figures."""
    return f"chatcmpl-tool-{_random(32, serial, '0123456789abcdef')}"


def bare_id(serial: int) -> str:
    """Thirty-two letters and digits."""
    return _random(32, serial)


def deepseek_id(serial: int) -> str:
    """`call_00_` and 24 letters."""
    return f"call_00_{_random(24, serial)}"


def signed_id(serial: int) -> str:
    """An id that carries a signature of some hundred characters."""
    return f"call_{_random(28, serial)}__thought__{_random(600, serial)}"


@dataclass(frozen=True)
class Wire:
    """The ways of one endpoint.

    Args:
        ids: Makes the id of the n-th tool call of this server.
        comments: Lines of comment before the first event.
        opening: A chunk that comes first, before any choice.
        closing: A chunk that comes before the last.
        role: In the first delta only, or in `each`.
        reasoning: The field of a delta that reasoning stands in; "" where it stands in `content` as parts.
        details: Also sends `reasoning_details`, beside each piece of reasoning and once more behind them.
        blocks: Also sends `thinking_blocks`, whole, before the first text.
        calls: Tool calls in `pieces`; in pieces with an empty `name` again and again (`named_pieces`);
            `whole`, each with its index; `zeros`, whole and all with index 0; `unindexed`, whole without.
        signed: Each first call of an answer carries a signature in `extra_content`.
        finish_with_calls: The finish reason of an answer with calls.
        finish_apart: The finish reason comes in a delta of its own.
        usage: In a chunk of its own when `asked`; unasked with the `finish`; in `each` chunk, growing;
            in `x_groq` of the last chunk and, when asked, in a chunk of its own; in a chunk of its own with
            an empty `choice`, unasked.
        marks: Keys that each chunk has beside those of all.
    """

    ids: Callable[[int], str] = plain_id
    comments: tuple[str, ...] = ()
    opening: Body | None = None
    closing: Body | None = None
    role: Literal["first", "each"] = "first"
    reasoning: str = "reasoning_content"
    details: bool = False
    blocks: bool = False
    calls: Literal["pieces", "named_pieces", "whole", "zeros", "unindexed"] = "pieces"
    signed: bool = False
    finish_with_calls: str = "tool_calls"
    finish_apart: bool = True
    usage: Literal["asked", "finish", "each", "x_groq", "choice"] = "asked"
    marks: Mapping[str, Any] = field(default_factory=dict)


_SAFE = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "sexual", "violence")}

WIRES: dict[str, Wire] = {
    "openai": Wire(),
    "azure": Wire(
        opening={
            "id": "",
            "object": "",
            "created": 0,
            "model": "",
            "choices": [],
            "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": _SAFE}],
        },
        closing={
            "id": "",
            "object": "",
            "created": 0,
            "model": "",
            "choices": [{"index": 0, "finish_reason": None, "content_filter_results": _SAFE}],
        },
    ),
    "vllm": Wire(ids=vllm_id, reasoning="reasoning"),
    "llamacpp": Wire(ids=bare_id, marks={"timings": {"cache_n": 0}}),
    "ollama": Wire(
        ids=short_id,
        role="each",
        reasoning="reasoning",
        calls="zeros",
        finish_with_calls="stop",
        marks={"system_fingerprint": "fp_ollama"},
    ),
    "lmstudio": Wire(ids=nine_digits, calls="named_pieces"),
    "mistral": Wire(ids=nine_id, reasoning="", calls="whole", finish_apart=False, usage="finish"),
    "deepseek": Wire(ids=deepseek_id, comments=("keep-alive", "keep-alive"), usage="finish"),
    "gemini": Wire(
        ids=lambda serial: _random(8, serial, string.ascii_lowercase),
        role="each",
        calls="unindexed",
        signed=True,
        finish_apart=False,
        usage="each",
    ),
    "groq": Wire(reasoning="reasoning", calls="whole", usage="x_groq"),
    "openrouter": Wire(
        comments=("OPENROUTER PROCESSING", "OPENROUTER PROCESSING"),
        role="each",
        reasoning="reasoning",
        details=True,
        usage="choice",
    ),
    "litellm": Wire(ids=signed_id, blocks=True, usage="choice"),
}
