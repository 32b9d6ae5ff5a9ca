"""Tools of the client on OpenAI's wire: offered to the model, called by the client, answered with results.

A call of one is a pause of the run (`client_tools` of the choices), so the answer ends with `tool_calls`, the
thread keeps its place, and results are the answer to the pause: nothing is called twice, and nothing is lost
where the client never comes back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from core.foreign import as_json
from server.conversations import client_questions
from server.errors import UnsupportedParameter
from server.requests import tools_offered

Call = tuple[str, str, str]
"""Id, name, and arguments as JSON."""


def offered(tools: Sequence[Any] | None, *, only: Collection[str] | None = None) -> str | None:
    """The client's functions for the turn's choices; None where it offers none.

    Args:
        tools: As chat completions write them, or flat, as responses do.
        only: Names of those that are offered; None for all.

    Raises:
        UnsupportedParameter: Something else than a function is offered.
    """
    if not tools:
        return None
    given = [_function(tool, f"tools.{place}") for place, tool in enumerate(tools)]
    if only is not None:
        given = [tool for tool in given if _name(tool) in only]
    return tools_offered(given)


def _name(tool: Mapping[str, Any]) -> Any:
    function = tool["function"]
    return function.get("name") if isinstance(function, Mapping) else None


def _function(tool: Any, where: str) -> dict[str, Any]:
    kind = tool.get("type", "function") if isinstance(tool, Mapping) else None
    if kind != "function":
        raise UnsupportedParameter(
            where, "is no function; the service's own tools need not be named, see waystation.tools"
        )
    function = tool.get("function", tool)
    known = ("name", "description", "parameters")
    shown = {name: function.get(name) for name in known} if isinstance(function, Mapping) else function
    return {"type": "function", "function": shown}


def calls_of(reply: Mapping[str, Any]) -> list[Call]:
    """The calls that the client has to make now."""
    calls = [question["call"] for question in client_questions(reply)]
    return [(str(c["id"]), str(c["tool"]), as_json(c.get("arguments") or {})) for c in calls]


def as_tool_calls(reply: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The same as chat completions write them."""
    return [
        {"id": key, "type": "function", "function": {"name": name, "arguments": arguments}}
        for key, name, arguments in calls_of(reply)
    ]


def as_items(reply: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The same as items of a response."""
    return [
        {
            "id": f"fc_{key}",
            "type": "function_call",
            "call_id": key,
            "name": name,
            "arguments": arguments,
            "status": "completed",
        }
        for key, name, arguments in calls_of(reply)
    ]


def is_clients(call: Mapping[str, Any]) -> bool:
    """Whether a call that was made was the client's: it knows of it, and must not make it again."""
    decided = call.get("decision") or {}
    return not call.get("server") and decided.get("type") == "respond"
