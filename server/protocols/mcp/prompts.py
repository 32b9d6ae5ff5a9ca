"""Prompts: how a person begins what this service is good at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from core.errors import InvalidInput, NotFound
from server.protocols.mcp import resources, results, rpc
from server.protocols.mcp.exchange import Exchange

_LONGEST = 65_536

PROMPTS: list[dict[str, Any]] = [
    {
        "name": "ask_sources",
        "title": "Answer from the sources",
        "description": "Search the sources of this service and answer from what they say, with citations.",
        "arguments": [
            {"name": "question", "description": "What is asked.", "required": True},
            {
                "name": "sources",
                "description": "Names of sources, by comma; left out: all.",
                "required": False,
            },
        ],
    },
    {
        "name": "summarise_thread",
        "title": "Sum up a conversation",
        "description": "What a conversation has come to, and what is still open.",
        "arguments": [{"name": "thread_id", "description": "Which one.", "required": True}],
    },
]


async def listing(_: Exchange) -> rpc.Result:
    """`prompts/list`."""
    return {"prompts": PROMPTS}


async def get(x: Exchange) -> rpc.Result:
    """`prompts/get`.

    Raises:
        Refusal: There is no such prompt, or an argument is missing.
    """
    name = x.params.get("name")
    known = next((prompt for prompt in PROMPTS if prompt["name"] == name), None)
    if known is None:
        raise rpc.Refusal(
            rpc.INVALID_PARAMS, "there is no such prompt; prompts/list has those that there are"
        )
    given = _checked(known, x.params.get("arguments"))
    try:
        messages = await _MAKERS[known["name"]](x, given)
    except (NotFound, InvalidInput) as error:
        raise rpc.refusal_of(error) from None
    return {"description": known["description"], "messages": messages}


def _checked(prompt: Mapping[str, Any], given: object) -> dict[str, str]:
    found = given if isinstance(given, dict) else {}
    names = [each["name"] for each in prompt["arguments"]]
    for name, value in found.items():
        if name not in names:
            known = ", ".join(names)
            raise rpc.Refusal(rpc.INVALID_PARAMS, f"'{name[:80]}' is no argument of it; arguments: {known}")
        if not isinstance(value, str) or len(value) > _LONGEST:
            raise rpc.Refusal(rpc.INVALID_PARAMS, f"{name} must be text of at most {_LONGEST} characters")
    for each in prompt["arguments"]:
        if each["required"] and not found.get(each["name"], "").strip():
            raise rpc.Refusal(rpc.INVALID_PARAMS, f"{each['name']} is missing: {each['description']}")
    return found


async def _ask_sources(_: Exchange, given: Mapping[str, str]) -> list[dict[str, Any]]:
    names = [name.strip() for name in given.get("sources", "").split(",") if name.strip()]
    only = f" with sources {names}" if names else ""
    text = (
        f"Call the tool search{only} for what this question needs, more than once where that helps. Answer "
        "from the passages alone, cite each by its document and source, and say so where they do not "
        "answer it.\n\n"
        f"{given['question']}"
    )
    return [_said(results.text(text))]


async def _summarise_thread(x: Exchange, given: Mapping[str, str]) -> list[dict[str, Any]]:
    thread = await resources.content(x, results.thread_uri(given["thread_id"].strip()))
    text = "Sum up this conversation: what was asked, what was found or decided, and what is still open."
    return [_said({"type": "resource", "resource": thread}), _said(results.text(text))]


def _said(content: Mapping[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": content}


_MAKERS: Mapping[str, Callable[[Exchange, Mapping[str, str]], Awaitable[list[dict[str, Any]]]]] = {
    "ask_sources": _ask_sources,
    "summarise_thread": _summarise_thread,
}
