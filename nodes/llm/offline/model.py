"""The offline model behind our port: calls a tool, states its result, quotes, or says what it can do."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.ai import UsageMetadata

from core.cache import Cache
from nodes.llm.models import HOW_TO_CONFIGURE, OFFLINE, Model
from nodes.llm.offline.arguments import Sentence, Tool
from nodes.llm.offline.quoting import best_quotes
from nodes.llm.offline.request import Match, match_tool, tools_of
from nodes.llm.offline.shaped import shaped
from nodes.llm.offline.words import content_words
from nodes.llm.pieces import Piece
from nodes.llm.prompt import Prompt, parse
from nodes.llm.settings import LLMSettings

LONGEST = 4000
ROWS = 20
_NUMBER = re.compile(r"^-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?$")
_VALUE_KEYS = ("result", "results", "value", "answer", "output")
_FILES_MADE = re.compile(r"\nFiles made: [^\n]*\s*$")
_ASIDE = {"meta_data", "artifacts", "display", "structured_content"}
_PIECE = re.compile(r"\s*\S+|\s+$")
LISTED_TOOLS = 12
LONGEST_QUESTION = 1500
"""Characters of a message that are read: reading a whole book would hold up everyone."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A text, or a call of one tool."""

    text: str = ""
    tool: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)


class OfflineModel:
    """Calls a tool when the request matches one, states results, quotes passages, or says what it can do.

    Args:
        max_quote: Longest sentence, in characters, that it quotes.
    """

    def __init__(self, *, max_quote: int = 400) -> None:
        self._max_quote = max_quote

    async def stream(
        self,
        messages: Sequence[BaseMessage],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        sampling: Mapping[str, Any] = {},
        user: str = "",
    ) -> AsyncIterator[Piece]:
        """The answer word by word; its tokens are counted words."""
        answer = reply(messages, tools, max_quote=self._max_quote)
        if not answer.tool and (form := sampling.get("response_format")):
            answer = Reply(shaped(answer.text, _given(messages), form))
        if answer.tool:
            arguments = json.dumps(dict(answer.arguments), ensure_ascii=False)
            call_id = _call_id(messages, answer)
            yield Piece(calls=[{"name": answer.tool, "args": arguments, "id": call_id, "index": 0}])
        for piece in _PIECE.findall(answer.text):
            yield Piece(piece)
        read = sum(len(str(message.text).split()) for message in messages)
        written = len(answer.text.split()) or 1
        finish = "tool_calls" if answer.tool else "stop"
        yield Piece(
            metadata={"finish_reason": finish, "model_name": OFFLINE},
            usage=UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written),
        )

    async def ping(self) -> list[str]:
        return [OFFLINE]

    async def aclose(self) -> None:
        return


def connected(_: Model, settings: LLMSettings, __: Cache | None) -> OfflineModel:
    """The offline model, quoting as the settings say."""
    return OfflineModel(max_quote=settings.max_quote)


def _call_id(messages: Sequence[BaseMessage], answer: Reply) -> str:
    """The same conversation gives the same id, another one another."""
    told = [f"{message.type}:{message.id}:{message.text}" for message in messages]
    whole = json.dumps([*told, answer.tool, dict(answer.arguments)], default=str)
    return f"offline-{hashlib.sha256(whole.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}"


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
    quotes = best_quotes(sentence.text, prompt.passages, longest=max_quote) if prompt.passages else ()
    if quotes:
        return Reply("\n\n".join(f"“{quote.text}” [{quote.n}]" for quote in quotes))
    quotes = best_quotes(sentence.text, prompt.texts, longest=max_quote) if prompt.texts else ()
    if quotes:
        titles = {text.n: text.title for text in prompt.texts}
        return Reply("\n\n".join(f"“{quote.text}” ({titles[quote.n]})" for quote in quotes))
    if match is not None:
        return Reply(_wanting(match, sentence))
    return Reply(_nothing(sentence, tools, prompt))


def _given(messages: Sequence[BaseMessage]) -> str | None:
    """The number that the last tool of this turn gave."""
    last = messages[-1] if messages else None
    return number_in(str(last.text)) if isinstance(last, ToolMessage) and last.status != "error" else None


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
    lines = [f"The tool {match.tool.name} may fit, but your message does not tell:"]
    lines += [f"- {name}{_described(match.tool, name)}" for name in match.missing]
    if any("file" in name.lower() for name in match.missing):
        lines.append(f"Files of this thread: {', '.join(sentence.files) or 'none'}.")
    if match.arguments:
        lines.append(f"I read {json.dumps(match.arguments, ensure_ascii=False)}.")
    return "\n".join(lines)


def _described(tool: Tool, name: str) -> str:
    text = str(tool.properties.get(name, {}).get("description") or "")
    return f": {' '.join(text.split())}" if text else ""


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


def state(name: str, arguments: Mapping[str, Any], text: str, *, failed: bool) -> str:
    """One result as a sentence or a short list."""
    value = parsed(text)
    if failed:
        return f"The tool {name} reports an error: {shown(value) or 'no reason given'}"
    value = inner(value)
    told = [f"{key} {_scalar(one)}" for key, one in arguments.items()]
    lead = f"{name} ({', '.join(told)})" if told else name
    if isinstance(value, (dict, list)):
        body = shown(value)
        made = _FILES_MADE.search(text)
        files = f"\n\n{made.group().strip()}" if made else ""
        return (f"{lead}:\n{body}" if "\n" in body else f"{lead}: {body}") + files
    found = shown(value)
    if not found:
        return f"The tool {name} is done; it returned nothing."
    expression = arguments.get("expression")
    if isinstance(expression, str) and _NUMBER.match(found):
        return f"{expression} = {found}"
    # A text speaks for itself; a bare number needs to be told what it is.
    return f"{lead}: {found}" if len(found.split()) < 2 else f"{found} ({', '.join([name, *told])})"


def parsed(text: str) -> Any:
    """JSON where it is JSON, else the text. A last line that names the files made is left out of it."""
    try:
        return json.loads(_FILES_MADE.sub("", text))
    except (ValueError, RecursionError):
        return text.strip()


def inner(value: Any) -> Any:
    """The result itself, without the envelope some tools put around it."""
    while isinstance(value, Mapping):
        told = {key: v for key, v in value.items() if key not in _ASIDE}
        if len(told) == 1 and next(iter(told)) in _VALUE_KEYS:
            value = next(iter(told.values()))
            continue
        return told or dict(value)
    return value


def number_in(text: str) -> str | None:
    """The number that a result is, if it is just one."""
    value = inner(parsed(text))
    if isinstance(value, Mapping):
        numbers = [value[key] for key in _VALUE_KEYS if _is_number(value.get(key))]
        numbers = numbers or [v for v in value.values() if _is_number(v)]
        value = numbers[0] if len(numbers) == 1 else None
    if isinstance(value, list) and len(value) == 1:
        return number_in(json.dumps(value[0], default=str))
    return _digits(value) if value is not None else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _digits(value: Any) -> str | None:
    text = f"{value:.15g}" if isinstance(value, float) else str(value).strip()
    return text if _NUMBER.match(text) and not isinstance(value, bool) else None


def shown(value: Any) -> str:
    """A value for people: fields as lines, equal rows as a table, long text cut."""
    if isinstance(value, Mapping):
        text = _fields(value)
    elif isinstance(value, list):
        text = _list(value)
    else:
        text = _scalar(value)
    return text if len(text) <= LONGEST else text[:LONGEST].rsplit(" ", 1)[0] + " … (cut)"


def _scalar(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _fields(value: Mapping[str, Any]) -> str:
    lines = [f"- {key}:{_nested(one)}" for key, one in value.items()]
    return lines[0].removeprefix("- ") if len(lines) == 1 else "\n".join(lines)


def _nested(value: Any) -> str:
    """A field's value: rows as a table, groups as indented lines, all else on the line."""
    if isinstance(value, list) and value and all(isinstance(row, Mapping) and row for row in value):
        return f"\n{_list(value)}"
    if isinstance(value, Mapping) and value:
        lines = [f"\n  - {key}: {_scalar(one)}" for key, one in list(value.items())[:ROWS]]
        more = f"\n  … and {len(value) - ROWS} more" if len(value) > ROWS else ""
        return "".join(lines) + more
    return f" {_scalar(value)}"


def _list(rows: Sequence[Any]) -> str:
    if not rows:
        return "nothing"
    head = list(rows[:ROWS])
    more = f"\n… and {len(rows) - ROWS} more" if len(rows) > ROWS else ""
    if all(isinstance(row, Mapping) and row for row in head):
        return _table(head) + more
    return "\n".join(f"- {_scalar(row)}" for row in head) + more


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [columns, ["---"] * len(columns), *([_cell(row.get(c)) for c in columns] for row in rows)]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _cell(value: Any) -> str:
    return _scalar(value).replace("|", "\\|").replace("\n", " ")


def corrected(arguments: Mapping[str, Any], error: str) -> dict[str, Any] | None:
    """The arguments with one word replaced by a name that the error offers, or None.

    An error such as "no column 'amounts'; columns: region, amount" says what would be right.
    """
    offered = [w for w in re.findall(r"[\w.-]+", error) if len(w) > 1]
    for key, value in arguments.items():
        if not isinstance(value, str) or not re.search(rf"(?<!\w){re.escape(value)}(?!\w)", error):
            continue
        rest = {w.lower(): w for w in offered if w.lower() != value.lower()}
        exact = next((w for w in offered if w != value and w.lower() == value.lower()), None)
        near = difflib.get_close_matches(value.lower(), rest, n=1, cutoff=0.75)
        if exact or near:
            return {**arguments, key: exact or rest[near[0]]}
    return None
