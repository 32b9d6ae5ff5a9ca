"""Choices that are JSON: the tools that a caller runs itself, and the form that an answer has to have.

Both are written as OpenAI writes them: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from core.errors import InvalidInput

MOST_CLIENT_TOOLS = 128
_FUNCTION_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def client_tools_in(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The functions that the caller runs itself, as models are offered them.

    Raises:
        InvalidInput: They are no list of functions.
    """
    if not (text := config.get("client_tools")):
        return []
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidInput("client_tools must be JSON, a list of functions") from None
    if not isinstance(found, list) or len(found) > MOST_CLIENT_TOOLS:
        raise InvalidInput(f"client_tools must be a list of at most {MOST_CLIENT_TOOLS} functions")
    tools = [_client_tool(each, f"client_tools.{place}") for place, each in enumerate(found)]
    names = [tool["function"]["name"] for tool in tools]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InvalidInput(f"client_tools: two functions are called '{twice}'")
    return tools


def _client_tool(given: Any, where: str) -> dict[str, Any]:
    function = given.get("function") if isinstance(given, Mapping) else None
    if not isinstance(function, Mapping) or given.get("type", "function") != "function":
        raise InvalidInput(f'{where} must be {{"type": "function", "function": {{"name": ...}}}}')
    name, about, schema = (function.get(key) for key in ("name", "description", "parameters"))
    if not isinstance(name, str) or not _FUNCTION_NAME.fullmatch(name):
        raise InvalidInput(f"{where}: its name must be 1 to 64 of A-Z, a-z, 0-9, _ and -")
    if not isinstance(about, str | None) or not isinstance(schema, Mapping | None):
        raise InvalidInput(f"{where}: description is a text, and parameters a JSON schema")
    shown = {"name": name, "description": about or "", "parameters": schema or _NO_PARAMETERS}
    return {"type": "function", "function": shown}


_NO_PARAMETERS: Mapping[str, Any] = {"type": "object", "properties": {}}


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """The form that an answer has to have.

    Args:
        name: Of the schema, for the endpoint.
        schema: A JSON schema; None where any object will do.
        strict: The endpoint may be asked to hold to it token by token; the answer is judged in any case.
    """

    name: str = ""
    schema: Mapping[str, Any] | None = None
    strict: bool | None = None
    description: str = ""

    @property
    def kind(self) -> str:
        """json_object or json_schema."""
        return "json_object" if self.schema is None else "json_schema"

    def as_sent(self) -> dict[str, Any]:
        """As chat completions write it."""
        if self.schema is None:
            return {"type": "json_object"}
        told = {
            "name": self.name,
            "description": self.description,
            "schema": self.schema,
            "strict": self.strict,
        }
        shown = {key: value for key, value in told.items() if value not in (None, "")}
        return {"type": "json_schema", "json_schema": shown}


def response_format_in(config: Mapping[str, Any]) -> ResponseFormat | None:
    """The form that the answer of a turn has to have; None where any text will do.

    Raises:
        InvalidInput: It is none, or its schema cannot be used.
    """
    text = config.get("response_format")
    return _format_of(text) if text else None


# Read where the request comes in, at execution, and for each call of the model.
@lru_cache(maxsize=64)
def _format_of(text: str) -> ResponseFormat | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidInput(f"response_format must be JSON, such as {_EXAMPLE}") from None
    kind = found.get("type") if isinstance(found, Mapping) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return ResponseFormat()
    if kind != "json_schema":
        raise InvalidInput("response_format.type must be one of text, json_object, json_schema")
    return _schema_format(found.get("json_schema"), "response_format.json_schema")


def _schema_format(given: Any, where: str) -> ResponseFormat:
    if not isinstance(given, Mapping):
        raise InvalidInput(f"{where} must be an object with name and schema")
    name, schema, strict, about = (given.get(key) for key in ("name", "schema", "strict", "description"))
    if not isinstance(name, str) or not _FUNCTION_NAME.fullmatch(name):
        raise InvalidInput(f"{where}.name must be 1 to 64 of A-Z, a-z, 0-9, _ and -")
    if not isinstance(strict, bool | None) or not isinstance(about, str | None):
        raise InvalidInput(f"{where}: strict is true or false, and description a text")
    if schema is None:
        return ResponseFormat()
    if not isinstance(schema, Mapping):
        raise InvalidInput(f"{where}.schema must be a JSON schema, an object")
    from core.shapes import fault_of  # noqa: PLC0415 - slow, and seldom wanted

    if fault := fault_of(schema):
        raise InvalidInput(f"{where}.schema cannot be used: {fault}")
    return ResponseFormat(name, schema, strict, about or "")


_EXAMPLE = '{"type": "json_object"}'
