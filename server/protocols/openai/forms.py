"""What a request wants of the answer's form and of its calls, as choices of the turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.choices import CHOICES
from core.errors import InvalidInput
from core.foreign import as_json
from core.forms import response_format_in
from server.errors import InvalidRequest, UnsupportedParameter

_WORDS = ("auto", "none", "required")
_FLAT = ("name", "schema", "strict", "description")


def form_wanted(given: Any, where: str) -> str | None:
    """`response_format`, or `text.format` of responses, for the turn's choices; None for any text.

    Raises:
        InvalidRequest: It is none, or its schema cannot be used.
        UnsupportedParameter: It is longer than a choice may be.
    """
    if given is None or given == {}:
        return None
    if not isinstance(given, Mapping):
        raise InvalidRequest(f"{where}: must be an object with a type", field=where)
    text = as_json(given)
    if len(text) > CHOICES["response_format"].high:
        raise UnsupportedParameter(where, f"is {len(text)} letters of JSON; send a shorter schema")
    try:
        found = response_format_in({"response_format": text})
    except InvalidInput as error:
        detail = error.detail.replace("response_format", where, 1)
        raise InvalidRequest(detail, field=where) from None
    return text if found is not None else None


def nested(given: Any) -> Any:
    """`text.format` as chat completions write it: what a schema has stands below `json_schema`."""
    if not isinstance(given, Mapping) or given.get("type") != "json_schema" or "json_schema" in given:
        return given
    return {"type": "json_schema", "json_schema": {name: given[name] for name in _FLAT if name in given}}


def call_wanted(choice: Any) -> tuple[str | None, frozenset[str] | None]:
    """What `tool_choice` means: the choice of the turn, and the names that alone are offered; None for all.

    Raises:
        UnsupportedParameter: It names a tool of a kind that this service does not have.
    """
    if choice is None or isinstance(choice, str):
        if choice in (None, *_WORDS):
            return choice, None
        raise UnsupportedParameter(
            "tool_choice", f"one of {', '.join(_WORDS)}, or an object that names a function"
        )
    if not isinstance(choice, Mapping):
        raise UnsupportedParameter("tool_choice", "must be a text or an object")
    kind = choice.get("type")
    if kind == "allowed_tools":
        held = choice.get("allowed_tools", choice)
        return _allowed(held if isinstance(held, Mapping) else {})
    if kind != "function":
        raise UnsupportedParameter(
            "tool_choice", f"there are no tools of type '{str(kind)[:40]}'; name a function"
        )
    return _name_in(choice), None


def _allowed(held: Mapping[str, Any]) -> tuple[str | None, frozenset[str]]:
    mode, tools = held.get("mode"), held.get("tools")
    if mode not in ("auto", "required") or not isinstance(tools, Sequence) or isinstance(tools, str):
        raise UnsupportedParameter(
            "tool_choice", "allowed_tools has a mode, auto or required, and a list of tools"
        )
    return str(mode), frozenset(_name_in(tool) for tool in tools)


def _name_in(tool: Any) -> str:
    held = tool.get("function", tool) if isinstance(tool, Mapping) else {}
    name = held.get("name") if isinstance(held, Mapping) else None
    if not isinstance(name, str) or not 0 < len(name) <= CHOICES["tool_choice"].high:
        raise UnsupportedParameter("tool_choice", "names no function")
    return name
