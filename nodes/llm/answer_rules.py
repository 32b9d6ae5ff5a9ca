"""What an answer has to be: told to the model, sent to its endpoint where that takes it, and judged."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.forms import ResponseFormat
from nodes.llm.profiles import FORMATS
from nodes.llm.settings import ModelEntry

REQUIRED = "required"
_FENCE = "```"
_OPENING = re.compile(r"```[A-Za-z0-9_-]*[ \t]*")
_OBJECT = "Your answer is one JSON object and nothing else: no word before or behind it, no code fence."
_SCHEMA = (
    "Your answer is JSON and nothing else: no word before or behind it, no code fence. "
    "It has to fit this JSON schema:\n{schema}"
)


@dataclass(frozen=True, slots=True)
class AnswerRules:
    """What the answer of a model call has to be.

    Args:
        form: Of an answer that calls no tool; None for any text.
        call: `required` where it has to call a tool, or the name of the tool; "" where it need not.
    """

    form: ResponseFormat | None = None
    call: str = ""

    @property
    def instruction(self) -> str:
        """The form in words for the model; "" where there is none."""
        if self.form is None:
            return ""
        if self.form.schema is None:
            return _OBJECT
        return _SCHEMA.format(schema=json.dumps(self.form.schema, ensure_ascii=False))

    def parameters(self, entry: ModelEntry | None, *, tools: bool) -> dict[str, Any]:
        """What the endpoint of a model is sent of it, by name; the offline model has no entry."""
        found: dict[str, Any] = {}
        if self.call and tools:
            named = {"type": "function", "function": {"name": self.call}}
            found["tool_choice"] = REQUIRED if self.call == REQUIRED else named
        if self.form is not None and (entry is None or entry.kind.formats_with_tools or not tools):
            known = entry.formats if entry else FORMATS
            if self.form.kind in known:
                found["response_format"] = self.form.as_sent()
            elif "json_object" in known:
                found["response_format"] = ResponseFormat().as_sent()
        return found

    def problem(self, text: str, names: Sequence[str]) -> str:
        """What is wrong with an answer, in words for the model and for people; "" when nothing is.

        Args:
            names: Of the tools that it calls.
        """
        if self.call:
            wanted = "a tool" if self.call == REQUIRED else f"the tool {self.call}"
            right = bool(names) if self.call == REQUIRED else self.call in names
            return "" if right else f"it had to call {wanted}"
        return "" if names or self.form is None else _problem(plain(text), self.form)


def plain(text: str) -> str:
    """The answer itself: models like to put JSON into a fence."""
    whole = text.strip()
    opening, _, rest = whole.partition("\n")
    return (
        rest.removesuffix(_FENCE).strip() if rest.endswith(_FENCE) and _OPENING.fullmatch(opening) else whole
    )


def _problem(text: str, form: ResponseFormat) -> str:
    from core.shapes import Unjudged, judged, short  # noqa: PLC0415 - slow, and this file is read by every command

    try:
        value = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return f"it is no JSON ({short(text, 80) or 'nothing was said'})"
    if form.schema is None:
        return "" if isinstance(value, dict) else "it is JSON, but no object"
    try:
        place, why = judged(value, form.schema)
    except Unjudged as problem:
        return f"it cannot be held to the schema: {problem}"
    return f"{f'{place}: ' if place else ''}{why}" if why else ""


def _no_number(word: str) -> Any:
    raise ValueError(word)
