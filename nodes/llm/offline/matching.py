"""Choose the tool that a sentence asks for, if it asks for one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nodes.llm.offline.arguments import Reading, Sentence, kind, read_arguments
from nodes.llm.offline.values import Arithmetic, read_sum
from nodes.llm.offline.words import Word, content_words, meaning, name_parts, words

COVERED = 0.6
"""Part of the sentence's content words that a tool and its arguments must explain."""
COVERED_WITHOUT_ARGUMENTS = 0.75
STRENGTH = 4.0
LONGEST_REQUEST = 500
"""Characters; a longer message is a text and no request for one tool."""

# Questions about how something works belong to the handbook, unless all arguments are there.
_ABOUT = re.compile(
    r"^\W*(?:how (?:do|does|can|could|should|to|is|are)|why|explain|what (?:does|is an?|are)"
    r"|where|which|who|when (?:do|does|is))\b",
    re.IGNORECASE,
)
_FREE_TEXT = {"query", "q", "text", "message", "question", "term", "search"}
_BEHIND = re.compile(r"^\s*(?:for|about|on|the word|:)\s+", re.IGNORECASE)
_OPERATION_NAMES = {
    "+": {"add", "plus", "sum"},
    "-": {"subtract", "minus"},
    "*": {"multiply", "times", "product"},
    "/": {"divide"},
    "**": {"power", "pow", "exponent"},
}


@dataclass(frozen=True, slots=True)
class Tool:
    """A bound tool, as its schema tells."""

    name: str
    description: str
    parameters: Mapping[str, Any]

    @property
    def properties(self) -> Mapping[str, Any]:
        return self.parameters.get("properties") or {}


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
    found = []
    for schema in schemas:
        function = schema.get("function")
        if isinstance(function, Mapping) and function.get("name"):
            parameters = function.get("parameters")
            found.append(
                Tool(
                    str(function["name"]),
                    str(function.get("description") or ""),
                    parameters if isinstance(parameters, Mapping) else {},
                )
            )
    return found


def match_tool(tools: Sequence[Tool], sentence: Sentence) -> Match | None:
    """The tool that fits, perhaps with arguments missing; None when no tool is asked for."""
    if len(sentence.text) > LONGEST_REQUEST:
        return None
    added = read_sum(sentence.text, sentence.previous)
    if added is not None:
        return _for_sum(tools, added)
    matches = [match for tool in tools if (match := _scored(tool, sentence)) is not None]
    complete = [match for match in matches if not match.missing]
    return max(complete or matches, key=lambda m: (round(m.coverage, 2), m.strength), default=None)


def _for_sum(tools: Sequence[Tool], added: Arithmetic) -> Match | None:
    for tool in tools:
        for name, schema in tool.properties.items():
            if isinstance(schema, Mapping) and kind(name, schema) == "expression":
                return Match(tool, {name: added.expression})
    if added.binary is None:
        return None
    operator, left, right = added.binary
    for tool in tools:
        numbers = [
            n for n, s in tool.properties.items() if isinstance(s, Mapping) and s.get("type") in _NUMERIC
        ]
        named = set(name_parts(tool.name)) & _OPERATION_NAMES.get(operator, set())
        if named and len(numbers) == 2:
            return Match(tool, {numbers[0]: _plain(left), numbers[1]: _plain(right)})
    return None


_NUMERIC = ("number", "integer")


def _plain(value: float) -> int | float:
    return int(value) if value.is_integer() else value


def _scored(tool: Tool, sentence: Sentence) -> Match | None:
    # A sum was ruled out before; a tool that wants one has nothing to work on.
    if any(kind(name, s) == "expression" for name, s in tool.properties.items() if isinstance(s, Mapping)):
        return None
    reading = read_arguments(tool.parameters, sentence)
    if reading.missing and _is_search(tool, reading):
        _read_rest(reading, sentence, tool)
    content = content_words(sentence.text)
    if not content:
        return None
    weights = [_weight(word, tool, reading) for word in content]
    coverage = sum(weight > 0 for weight in weights) / len(content)
    named = sum(weight for weight in weights if weight < _SPAN)
    strength = named + 2.0 * len(reading.values)
    match = Match(tool, reading.values, tuple(reading.missing), coverage, strength)
    return match if _asked_for(match, named, sentence) else None


_SPAN = 100.0
"""Weight of a word that an argument explains: counted as covered, not as named."""


def _weight(word: Word, tool: Tool, reading: Reading) -> float:
    if any(start <= word.start and word.end <= end for start, end in reading.spans):
        # A word may be both: `total` names the tool and is the function.
        return _named_weight(word, tool) or _SPAN
    return _named_weight(word, tool)


def _named_weight(word: Word, tool: Tool) -> float:
    said = meaning(word.text)
    if said in {meaning(part) for part in name_parts(tool.name)}:
        return 3.0
    for name, schema in tool.properties.items():
        parts = [
            *name_parts(name),
            *map(str, (schema.get("enum") or []) if isinstance(schema, Mapping) else []),
        ]
        if said in {meaning(part) for part in parts}:
            return 2.0
    return 1.0 if said in {meaning(w.text) for w in words(tool.description)} else 0.0


def _asked_for(match: Match, named: float, sentence: Sentence) -> bool:
    if named <= 0 or match.coverage < COVERED:
        return False
    about = bool(_ABOUT.match(sentence.text))
    if match.missing:
        enough = match.coverage >= COVERED_WITHOUT_ARGUMENTS and match.strength >= STRENGTH
        return bool(match.arguments) and not about and enough
    if match.arguments:
        return match.strength >= STRENGTH - 1 or match.coverage == 1.0
    return not about and _plainly_named(match.coverage, named)


def _plainly_named(coverage: float, named: float) -> bool:
    """For a call without arguments: the sentence speaks of little else than the tool."""
    return (coverage >= COVERED_WITHOUT_ARGUMENTS and named >= 3.0) or (coverage == 1.0 and named >= 2.0)


def _is_search(tool: Tool, reading: Reading) -> bool:
    """A tool whose one missing argument is free text, like `search(query)` or `echo(text)`."""
    name, *others = reading.missing
    schema = tool.properties.get(name)
    free = isinstance(schema, Mapping) and kind(name, schema) == "text"
    return not others and free and bool(_FREE_TEXT & set(name_parts(name)))


def _read_rest(reading: Reading, sentence: Sentence, tool: Tool) -> None:
    """What stands behind the word that names the tool: `search for cats` asks for `cats`."""
    named = {meaning(part) for part in name_parts(tool.name)}
    for word in words(sentence.text):
        rest = _BEHIND.sub("", sentence.text[word.end :]).strip().strip("?.!").strip()
        if meaning(word.text) in named and rest:
            reading.values[reading.missing[0]] = rest
            reading.spans.append((word.end, len(sentence.text)))
            reading.missing = []
            return
