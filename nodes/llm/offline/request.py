"""Which tool a request asks for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nodes.llm.offline.arguments import Sentence, Tool, plain, read_arguments
from nodes.llm.offline.sums import Arithmetic, read_sum
from nodes.llm.offline.words import content_words, meaning, name_parts

COVERED = 0.6
"""Part of the sentence's content words that a tool and its arguments must explain."""
COVERED_WITHOUT_ARGUMENTS = 0.75
STRENGTH = 4.0
LONGEST_REQUEST = 500
"""Characters; a longer message is a text and no request for one tool."""

_OPERATIONS = {
    "+": {"add", "plus", "sum"}, "-": {"subtract", "minus"}, "*": {"multiply", "times", "product"},
    "/": {"divide"}, "**": {"power", "pow", "exponent"},
}  # fmt: skip
# Questions about how something works belong to the handbook, unless all arguments are there.
_ABOUT = re.compile(
    r"^\W*(?:how (?:do|does|can|could|should|to|is|are)|why|explain|what (?:does|is an?|are)"
    r"|where|which|who|when (?:do|does|is))\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Match:
    """A tool, its arguments, and those that could not be read."""

    tool: Tool
    arguments: dict[str, Any]
    missing: tuple[str, ...] = ()
    coverage: float = 1.0
    strength: float = 0.0


def tools_of(schemas: Sequence[Mapping[str, Any]]) -> list[Tool]:
    """The functions among OpenAI tool schemas."""
    functions = (schema.get("function") for schema in schemas)
    return [_tool(one) for one in functions if isinstance(one, Mapping) and one.get("name")]


def _tool(function: Mapping[str, Any]) -> Tool:
    parameters = plain(function.get("parameters"))
    properties = {name: plain(schema) for name, schema in (parameters.get("properties") or {}).items()}
    required = [name for name in parameters.get("required") or [] if isinstance(name, str)]
    return Tool(str(function["name"]), str(function.get("description") or ""), properties, required)


def match_tool(tools: Sequence[Tool], sentence: Sentence) -> Match | None:
    """The tool that fits, perhaps with arguments missing; None when no tool is asked for."""
    if len(sentence.text) > LONGEST_REQUEST:
        return None
    if added := read_sum(sentence.text, sentence.previous):
        return _for_sum(tools, added)
    matches = [match for tool in tools if (match := _scored(tool, sentence))]
    complete = [match for match in matches if not match.missing]
    return max(complete or matches, key=lambda m: (round(m.coverage, 2), m.strength), default=None)


def _for_sum(tools: Sequence[Tool], added: Arithmetic) -> Match | None:
    for tool in tools:
        if name := tool.wanting("expression"):
            return Match(tool, {name: added.expression})
    operator, *two = added.binary or ("",)
    for tool in tools:
        numbers = [n for n, schema in tool.properties.items() if schema.get("type") in {"number", "integer"}]
        if len(numbers) == 2 and _OPERATIONS.get(operator, set()) & set(name_parts(tool.name)):
            return Match(tool, dict(zip(numbers, two, strict=True)))
    return None


def _scored(tool: Tool, sentence: Sentence) -> Match | None:
    content = content_words(sentence.text)
    # A sum was ruled out before; a tool that wants one has nothing to work on.
    if not content or tool.wanting("expression"):
        return None
    reading = read_arguments(tool, sentence)
    said = tool.vocabulary()
    weights = [said.get(meaning(word.value), 0.0) for word in content]
    explained = [
        weight > 0 or any(taken.start <= word.start and word.end <= taken.end for taken in reading.taken)
        for weight, word in zip(weights, content, strict=True)
    ]
    strength = sum(weights) + 2.0 * len(reading.values)
    coverage = sum(explained) / len(content)
    match = Match(tool, reading.values, tuple(reading.missing), coverage, strength)
    return match if _asked_for(match, sum(weights), sentence) else None


def _asked_for(match: Match, named: float, sentence: Sentence) -> bool:
    if named <= 0 or match.coverage < COVERED:
        return False
    plain, about = match.coverage >= COVERED_WITHOUT_ARGUMENTS, _ABOUT.match(sentence.text)
    if match.missing:
        return bool(match.arguments) and not about and plain and match.strength >= STRENGTH
    if match.arguments:
        return match.strength >= STRENGTH - 1 or match.coverage == 1.0
    # A call without arguments: the sentence speaks of little else than the tool.
    return not about and ((plain and named >= 3.0) or (match.coverage == 1.0 and named >= 2.0))
