"""Single rules that an endpoint holds its requests to. Each says what is wrong, or None."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Body = dict[str, Any]
_NINE = re.compile(r"[A-Za-z0-9]{9}")
_REASONER = re.compile(r"(?:.*/)?(?:o\d|gpt-5)")
_TEXT_MESSAGES = {"system", "user", "assistant", "tool"}
# What a schema of Gemini may say; anything else is an unknown name to it.
_GEMINI_KEYS = {
    *("type", "format", "title", "description", "nullable", "enum", "items", "properties", "required"),
    *("minItems", "maxItems", "minimum", "maximum", "minLength", "maxLength", "pattern", "anyOf"),
    *("minProperties", "maxProperties", "propertyOrdering", "default", "example"),
}


@dataclass(frozen=True)
class Problem:
    """Why a request is refused."""

    text: str
    code: str | None = None
    kind: str = "invalid_request_error"
    param: str | None = None
    status: int = 400


@dataclass
class Asked:
    """A request, and what the endpoint said before.

    Args:
        body: The request.
        headers: Its headers, in lower case.
        given: What the endpoint answered so far, see `Chat.answer`.
        limit: Most characters of messages that it takes; 0 for no limit.
    """

    body: Body
    headers: Mapping[str, str] = field(default_factory=dict)
    given: Sequence[Body] = ()
    limit: int = 0

    @property
    def messages(self) -> list[Body]:
        found: list[Body] = self.body.get("messages") or []
        return found

    @property
    def tools(self) -> list[Body]:
        return [tool["function"] for tool in self.body.get("tools") or []]

    def calls(self) -> Iterator[Body]:
        """Every tool call of the conversation."""
        for message in self.messages:
            yield from message.get("tool_calls") or []

    def answers(self) -> Iterator[tuple[int, Body]]:
        """The assistant's messages with their places."""
        for index, message in enumerate(self.messages):
            if message.get("role") == "assistant":
                yield index, message


Check = Callable[[Asked], Problem | None]


def unanswered(messages: list[Body]) -> list[str]:
    """Ids of tool calls that are not answered right after their message."""
    missing: list[str] = []
    for index, message in enumerate(messages):
        wanted = [call["id"] for call in message.get("tool_calls") or []]
        following = []
        for later in messages[index + 1 :]:
            if later.get("role") != "tool":
                break
            following.append(later.get("tool_call_id"))
        missing += [name for name in wanted if name not in following]
    return missing


def unasked(messages: list[Body]) -> bool:
    """True when a tool message does not follow a tool call."""
    open_ids: set[str] = set()
    for message in messages:
        if message.get("role") == "tool":
            if message.get("tool_call_id") not in open_ids:
                return True
            continue
        open_ids = {call["id"] for call in message.get("tool_calls") or []}
    return False


def calls_are_answered(asked: Asked) -> Problem | None:
    """Each call is answered right after its message, and each answer belongs to a call."""
    if missing := unanswered(asked.messages):
        text = f"tool_call_ids did not have response messages: {missing}"
        return Problem(text, "unanswered_tool_call")
    if unasked(asked.messages):
        return Problem("a tool message must follow the calls it answers", "unasked_tool_message")
    return None


def only_fields(body: set[str], message: set[str], text: str, *, status: int = 400) -> Check:
    """No other field in a request, in a message, or in a tool call."""

    def check(asked: Asked) -> Problem | None:
        unknown = [*(asked.body.keys() - body)]
        for one in asked.messages:
            unknown += [*(one.keys() - message)]
        for call in asked.calls():
            unknown += [*(call.keys() - {"id", "type", "function", "index"})]
            unknown += [*(call["function"].keys() - {"name", "arguments"})]
        if not unknown:
            return None
        kind = "extra_forbidden" if status == 422 else "invalid_request_error"
        return Problem(text.format(unknown[0]), None, kind, unknown[0], status)

    return check


def not_max_tokens(asked: Asked) -> Problem | None:
    """The limit of an answer has its newer name."""
    if "max_tokens" not in asked.body:
        return None
    text = "Unsupported parameter: 'max_tokens' is not supported with this model."
    return Problem(text, "unsupported_parameter", param="max_tokens")


def no_temperature_for_reasoners(asked: Asked) -> Problem | None:
    """Models that reason have the temperature that they have."""
    if asked.body.get("temperature", 1) == 1 or not _REASONER.match(str(asked.body.get("model"))):
        return None
    text = "Unsupported value: 'temperature' does not support this value with this model."
    return Problem(text, "unsupported_value", param="temperature")


def key_in_header(asked: Asked) -> Problem | None:
    """The key is in a header of its own."""
    if asked.headers.get("api-key"):
        return None
    return Problem("Access denied due to missing subscription key", "401", status=401)


def _ids(asked: Asked) -> Iterator[str]:
    for call in asked.calls():
        yield call.get("id", "")
    for message in asked.messages:
        if message.get("role") == "tool":
            yield message.get("tool_call_id", "")


def ids_at_most(limit: int) -> Check:
    """No tool-call id is longer."""

    def check(asked: Asked) -> Problem | None:
        if all(0 < len(one) <= limit for one in _ids(asked)):
            return None
        text = f"Invalid 'messages.tool_calls.id': string too long. Expected a maximum length of {limit}."
        return Problem(text, "string_above_max_length")

    return check


def ids_are_nine(asked: Asked) -> Problem | None:
    """Tool-call ids are nine letters or digits."""
    for one in _ids(asked):
        if not _NINE.fullmatch(one):
            text = f"Tool call id was {one} but must be a-z, A-Z, 0-9, with a length of 9."
            return Problem(text, "3280", "invalid_function_call")
    return None


def ids_come_back(asked: Asked) -> Problem | None:
    """Ids are those that were given: something is written in them."""
    known = {call["id"] for answer in asked.given for call in answer["calls"]}
    if all(one in known for one in _ids(asked)):
        return None
    text = "Function call is missing a thought_signature in functionCall parts."
    return Problem(text, "400", "BadRequestError")


def answers_say_something(asked: Asked) -> Problem | None:
    """No answer has neither text nor calls."""
    for index, message in asked.answers():
        if not message.get("content") and not message.get("tool_calls"):
            text = f"messages[{index}]: an assistant message must have either content or tool_calls"
            return Problem(text, "3240", "invalid_request_message_order")
    return None


def contents_are_text(asked: Asked) -> Problem | None:
    """Every message has a text, be it empty."""
    for message in asked.messages:
        if not isinstance(message.get("content"), str):
            return Problem("Invalid 'messages': 'content' must be a string")
    return None


def no_developer(asked: Asked) -> Problem | None:
    """No role that is not known here."""
    if any(message.get("role") not in _TEXT_MESSAGES for message in asked.messages):
        return Problem("Unexpected message role.", "invalid_role")
    return None


def system_comes_first(asked: Asked) -> Problem | None:
    """One system message at most, before all others."""
    if any(message.get("role") == "system" for message in asked.messages[1:]):
        return Problem("System message must be at the beginning.")
    return None


def turns_alternate(asked: Asked) -> Problem | None:
    """User and assistant take turns; after tools the assistant speaks."""
    last = ""
    for message in asked.messages:
        role = message.get("role", "")
        follows = {"user": {"", "system", "assistant"}, "assistant": {"user", "tool"}}
        if last not in follows.get(role, {last}):
            return Problem(f"Unexpected role '{role}' after role '{last}'", "3230")
        last = role
    return None if last in {"user", "tool"} else Problem("Expected last role User or Tool", "3230")


def arguments_are_objects(asked: Asked) -> Problem | None:
    """The arguments of a call are a JSON object."""
    for call in asked.calls():
        try:
            found = json.loads(call["function"]["arguments"])
        except ValueError:
            found = None
        if not isinstance(found, dict):
            return Problem("invalid tool call arguments")
    return None


def reasoning_comes_back(asked: Asked) -> Problem | None:
    """With tools in the request, every answer carries its reasoning, be it empty."""
    said = {call["id"]: answer.get("reasoning", "") for answer in asked.given for call in answer["calls"]}
    text = "The `reasoning_content` in the thinking mode must be passed back to the API."
    for _, message in asked.answers():
        if asked.tools and not isinstance(message.get("reasoning_content"), str):
            return Problem(text, "invalid_request_error")
        for call in message.get("tool_calls") or []:
            if call["id"] in said and message.get("reasoning_content") != said[call["id"]]:
                return Problem(text, "invalid_request_error")
    return None


def field_comes_back(name: str) -> Check:
    """An answer with calls carries the field as it was given."""

    def check(asked: Asked) -> Problem | None:
        given = {call["id"]: answer.get(name) for answer in asked.given for call in answer["calls"]}
        for _, message in asked.answers():
            for call in message.get("tool_calls") or []:
                if given.get(call["id"]) and joined(message.get(name)) != given[call["id"]]:
                    return Problem(f"Expected `{name}` of the previous answer, but found none")
        return None

    return check


def joined(parts: Any) -> list[Body]:
    """Parts as they were before they were streamed: neighbours with the same index are one text."""
    found: list[Body] = []
    for part in parts or []:
        last = found[-1] if found else {}
        if "text" in part and "text" in last and part.get("index") == last.get("index"):
            found[-1] = last | {"text": last["text"] + part["text"]}
        else:
            found.append(part)
    return found


def signatures_come_back(asked: Asked) -> Problem | None:
    """The first call of each answer carries the signature that it came with."""
    known = [call["extra_content"] for answer in asked.given for call in answer["calls"][:1]]
    for _, message in asked.answers():
        for call in (message.get("tool_calls") or [])[:1]:
            if call.get("extra_content") not in known:
                name = call["function"]["name"]
                return Problem(f"function call `{name}` is missing a thought_signature")
    return None


def tools_are_some(asked: Asked) -> Problem | None:
    """No empty list of tools."""
    if asked.body.get("tools") == []:
        return Problem("Extra inputs are not permitted", None, "extra_forbidden", "tools", 422)
    return None


def at_most_tools(limit: int) -> Check:
    """No more tools than so many."""

    def check(asked: Asked) -> Problem | None:
        count = len(asked.tools)
        if count <= limit:
            return None
        text = f"Invalid 'tools': array too long. Expected an array with maximum length {limit}, got {count}."
        return Problem(text, "array_above_max_length", param="tools")

    return check


def names(pattern: str) -> Check:
    """A tool's name has a form."""

    def check(asked: Asked) -> Problem | None:
        for place, tool in enumerate(asked.tools):
            if not re.fullmatch(pattern, tool["name"]):
                text = f"Invalid 'tools[{place}].function.name': string does not match pattern {pattern}"
                return Problem(text, "invalid_value")
        return None

    return check


def schemas(node: Any) -> Iterator[Body]:
    """A schema and all that stand in it."""
    if not isinstance(node, dict):
        return
    yield node
    below = [*(node.get("properties") or {}).values(), node.get("items"), *(node.get("anyOf") or [])]
    for one in below:
        yield from schemas(one)


def _bad_schema(place: int, name: str, what: str) -> Problem:
    text = f"Invalid schema for function '{name}': {what}"
    return Problem(text, "invalid_function_parameters", param=f"tools[{place}].function.parameters")


def arrays_have_items(asked: Asked) -> Problem | None:
    """An array says what is in it."""
    for place, tool in enumerate(asked.tools):
        for schema in schemas(tool.get("parameters")):
            if schema.get("type") == "array" and "items" not in schema:
                return _bad_schema(place, tool["name"], "array schema missing items.")
    return None


def plain_top(asked: Asked) -> Problem | None:
    """The top of a schema is an object, and no choice between several."""
    for place, tool in enumerate(asked.tools):
        top = tool.get("parameters") or {"type": "object"}
        if top.get("type") != "object" or top.keys() & {"oneOf", "anyOf", "allOf", "enum", "not"}:
            what = (
                "schema must have type 'object' and not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top"
            )
            return _bad_schema(place, tool["name"], what)
    return None


def schema_keys_are_known(asked: Asked) -> Problem | None:
    """A schema says nothing but what Gemini knows; types are single, values of an enum are texts."""
    for place, tool in enumerate(asked.tools):
        for schema in schemas(tool.get("parameters")):
            where = f"'tools[0].function_declarations[{place}].parameters'"
            if unknown := schema.keys() - _GEMINI_KEYS:
                return Problem(f'Invalid JSON payload received. Unknown name "{min(unknown)}" at {where}')
            if isinstance(schema.get("type"), list):
                return Problem(f"Invalid JSON payload received. Proto field is not repeating at {where}")
            if not all(isinstance(one, str) for one in schema.get("enum") or []):
                return Problem(f"Invalid value at {where}.enum (TYPE_STRING)")
            if schema.get("type") == "array" and not schema.get("items"):
                return Problem(f"{where}.items: missing field.")
    return None


def context(code: str | None, text: str, *, kind: str = "invalid_request_error") -> Check:
    """The conversation is not longer than the model takes, where the test sets a limit."""

    def check(asked: Asked) -> Problem | None:
        size = len(json.dumps(asked.messages))
        if not asked.limit or size <= asked.limit:
            return None
        return Problem(text.format(limit=asked.limit, asked=size), code, kind)

    return check
