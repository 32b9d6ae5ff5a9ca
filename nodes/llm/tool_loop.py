"""A model and real tools by turns, outside of the graph: for the command line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, cast

from langchain_core.messages import ToolMessage

from core.errors import InvalidInput
from core.tool_bench import ToolAnswer, ToolBench
from nodes.llm.caller import LLMCaller
from nodes.llm.models import LLMChunk, LLMRequest, LLMResponse


def _tool(name: str, description: str, properties: dict[str, Any]) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": parameters},
    }


EXAMPLE_TOOLS: Mapping[str, Mapping[str, Any]] = {
    "add": _tool("add", "Add two numbers.", {"a": {"type": "number"}, "b": {"type": "number"}}),
    "now": _tool(
        "now",
        "The current date and time in a time zone.",
        {"zone": {"type": "string", "description": "IANA time zone, such as Europe/Berlin"}},
    ),
}


@dataclass(frozen=True, slots=True)
class Made:
    """A call of the model, and what the tool answered."""

    call: Mapping[str, Any]
    answer: ToolAnswer


Allow = Callable[[Mapping[str, Any]], str]
"""Says of a call that needs a person's word why it is refused; "" lets it run."""


async def talk_with_tools(
    llm: LLMCaller, bench: ToolBench, request: LLMRequest, allow: Allow, *, rounds: int
) -> AsyncIterator[LLMChunk | Made | LLMResponse]:
    """Let the model answer, make the calls that it wants, and so on until it wants none.

    The last item is its last LLMResponse; each before it had calls.

    Raises:
        InvalidInput: It still wants tools after so many rounds.
    """
    for _ in range(rounds):
        response: LLMResponse | None = None
        async with aclosing(cast(Any, llm.stream(request))) as items:
            async for item in items:
                response = item if isinstance(item, LLMResponse) else None
                yield item
        if response is None or not response.tool_calls:
            return
        results: list[ToolMessage] = []
        for call in response.tool_calls:
            made = Made(dict(call), await _made(bench, dict(call), allow))
            results.append(_message(made))
            yield made
        request = replace(request, messages=[*request.messages, response.message, *results])
    raise InvalidInput(f"the model still wants tools after {rounds} rounds; say --rounds for more")


async def _made(bench: ToolBench, call: Mapping[str, Any], allow: Allow) -> ToolAnswer:
    refused = allow(call) if await bench.needs_approval(str(call["name"])) else ""
    return await bench.call(call, refused=refused)


def _message(made: Made) -> ToolMessage:
    return ToolMessage(
        content=made.answer.text,
        tool_call_id=str(made.call["id"]),
        name=str(made.call["name"]),
        status="success" if made.answer.status == "ok" else "error",
    )


def calls_of(items: Sequence[Made]) -> list[dict[str, Any]]:
    """The calls that were made, for machines."""
    return [
        {
            "id": made.call["id"],
            "name": made.call["name"],
            "server": made.answer.server,
            "tool": made.answer.tool,
            "arguments": made.call["args"],
            "status": made.answer.status,
            "content": made.answer.text,
        }
        for made in items
    ]
