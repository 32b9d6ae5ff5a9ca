"""What the offline model answers: a tool call, a tool's result, quotes, or what it can do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from nodes.llm.notices import HOW_TO_CONFIGURE
from nodes.llm.offline.arguments import Sentence
from nodes.llm.offline.matching import Match, Tool, match_tool, tools_of
from nodes.llm.offline.quoting import best_quotes
from nodes.llm.offline.results import corrected, number_in, state
from nodes.llm.offline.words import content_words
from nodes.llm.prompt import Prompt, parse

LISTED_TOOLS = 12
LONGEST_QUESTION = 1500
"""Characters of a message that are read: reading a whole book would hold up everyone."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A text, or a call of one tool."""

    text: str = ""
    tool: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)


def reply(
    messages: Sequence[BaseMessage], schemas: Sequence[Mapping[str, Any]] = (), *, max_quote: int = 400
) -> Reply:
    """The answer to the last human message. The same input gives the same answer."""
    prompt = parse("\n".join(str(m.text) for m in messages if isinstance(m, SystemMessage)))
    asked = next((i for i in range(len(messages) - 1, -1, -1) if isinstance(messages[i], HumanMessage)), None)
    if asked is None:
        return Reply(_abilities(tools_of(schemas), prompt))
    done = [m for m in messages[asked + 1 :] if not isinstance(m, SystemMessage)]
    if any(isinstance(message, ToolMessage) for message in done):
        return _after_tools(done)
    text = str(messages[asked].text)[:LONGEST_QUESTION]
    sentence = Sentence(text, prompt.files, _previous_number(messages[:asked]))
    return _to(sentence, tools_of(schemas), prompt, max_quote)


def _to(sentence: Sentence, tools: Sequence[Tool], prompt: Prompt, max_quote: int) -> Reply:
    match = match_tool(tools, sentence)
    if match is not None and not match.missing:
        return Reply(tool=match.tool.name, arguments=match.arguments)
    quotes = best_quotes(sentence.text, prompt.passages, longest=max_quote)
    if quotes:
        return Reply("\n\n".join(f"“{quote.text}” [{quote.n}]" for quote in quotes))
    if match is not None:
        return Reply(_wanting(match, sentence))
    return Reply(_nothing(sentence, tools, prompt))


def _previous_number(messages: Sequence[BaseMessage]) -> str | None:
    """The number that the last tool result before this question was."""
    for message in reversed(messages):
        if isinstance(message, ToolMessage) and message.status != "error":
            return number_in(str(message.text))
    return None


def _after_tools(done: Sequence[BaseMessage]) -> Reply:
    calls = {c["id"]: c for m in done if isinstance(m, AIMessage) for c in m.tool_calls}
    last = max(i for i, m in enumerate(done) if isinstance(m, ToolMessage))
    first = last
    while first > 0 and isinstance(done[first - 1], ToolMessage):
        first -= 1
    results = [m for m in done[first : last + 1] if isinstance(m, ToolMessage)]
    again = _second_try(results, calls) if len(calls) == 1 else None
    return again or Reply("\n\n".join(_stated(message, calls) for message in results))


def _second_try(results: Sequence[ToolMessage], calls: Mapping[str | None, Any]) -> Reply | None:
    """One more call where an error says which name would have been right."""
    message = results[-1]
    call = calls.get(message.tool_call_id)
    if message.status != "error" or call is None:
        return None
    arguments = corrected(call["args"], str(message.text))
    return Reply(tool=call["name"], arguments=arguments) if arguments else None


def _stated(message: ToolMessage, calls: Mapping[str | None, Any]) -> str:
    call = calls.get(message.tool_call_id)
    name = call["name"] if call else (message.name or "")
    return state(name, call["args"] if call else {}, str(message.text), failed=message.status == "error")


def _wanting(match: Match, sentence: Sentence) -> str:
    wants = [f"- {name}{_described(match.tool, name)}" for name in match.missing]
    files = f"\nFiles of this thread: {', '.join(sentence.files) or 'none'}." if _needs_file(match) else ""
    read = f" I read {json.dumps(match.arguments, ensure_ascii=False)}." if match.arguments else ""
    listed = "\n".join(wants)
    lead = f"The tool {match.tool.name} may fit, but your message does not tell:"
    return f"{lead}\n{listed}{files}\n{read.strip()}".strip()


def _described(tool: Tool, name: str) -> str:
    schema = tool.properties.get(name)
    text = str(schema.get("description") or "") if isinstance(schema, Mapping) else ""
    return f": {' '.join(text.split())}" if text else ""


def _needs_file(match: Match) -> bool:
    return any("file" in name.lower() for name in match.missing)


def _nothing(sentence: Sentence, tools: Sequence[Tool], prompt: Prompt) -> str:
    if not content_words(sentence.text):
        return _abilities(tools, prompt)
    if prompt.passages:
        found = "I found no sentence in the passages that answers this, and no tool fits."
    else:
        found = "I have no passage on this, and no tool fits."
    return f"{found}\n\n{_abilities(tools, prompt)}"


def _abilities(tools: Sequence[Tool], prompt: Prompt) -> str:
    lines = [
        "I am the offline model. I invent nothing: I call tools and quote what the searched sources say."
    ]
    if tools:
        names = [tool.name for tool in tools[:LISTED_TOOLS]]
        more = f" and {len(tools) - LISTED_TOOLS} more" if len(tools) > LISTED_TOOLS else ""
        lines.append(f"Tools I can call: {', '.join(names)}{more}.")
    if prompt.passages:
        titles = dict.fromkeys(passage.title for passage in prompt.passages if passage.title)
        lines.append(f"Nearest documents: {', '.join(titles)}.")
    if prompt.files:
        lines.append(f"Files of this thread: {', '.join(prompt.files)}.")
    return "\n".join([*lines, HOW_TO_CONFIGURE])
