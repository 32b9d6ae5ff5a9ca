"""What a request to /v1/responses says: a text, or items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from server.attachments import Sent
from server.conversations import SentMessage
from server.errors import InvalidRequest, UnsupportedParameter
from server.protocols.openai.chat import Message, conversation, instructions_of

# What our own output holds beside messages: a client that sends it back says nothing with it.
_OURS = frozenset({"mcp_call", "mcp_approval_request", "mcp_list_tools", "reasoning"})
_ANSWER = "mcp_approval_response"
_ROLES = frozenset({"system", "developer", "user", "assistant"})


@dataclass(frozen=True, slots=True)
class RequestInput:
    """What a request says.

    Args:
        answers: Decisions on what waits, by the ids of the questions.
        results: What the client's tools gave, by the ids of their calls.
    """

    said: Sequence[SentMessage] = ()
    instructions: str = ""
    attached: tuple[Sent, ...] = ()
    answers: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, str] = field(default_factory=dict)


def asked_in(given: str | Sequence[Mapping[str, Any]]) -> RequestInput:
    """The conversation, or the answers, that an `input` holds.

    Raises:
        InvalidRequest, UnsupportedParameter: It holds neither, or both, or something that is not taken.
    """
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    answers: dict[str, Any] = {}
    messages: list[Message] = []
    for place, item in enumerate(items):
        kind = str(item.get("type") or "message")
        if kind == _ANSWER:
            answers |= _answer(item, place)
        elif kind == "message":
            messages.append(_message(item, place))
        elif kind in _CALLS:
            messages.append(_CALLS[kind](item, place))
        elif kind not in _OURS:
            raise UnsupportedParameter(f"input.{place}", f"items of type '{kind[:40]}' are not taken")
    instructions = instructions_of(messages)
    if answers:
        if any(one.role == "user" for one in messages):
            raise InvalidRequest("input: send answers or a message, not both")
        return RequestInput(instructions=instructions, answers=answers)
    said, attached, results = conversation(messages)
    return RequestInput(said, instructions, attached, results=results)


def _called(item: Mapping[str, Any], place: int) -> Message:
    """A call of the client's tool, as it was told."""
    function = {"name": item.get("name"), "arguments": item.get("arguments")}
    call = {"id": _text(item, "call_id", place), "type": "function", "function": function}
    given: dict[str, Any] = {"role": "assistant", "content": "", "tool_calls": [call]}
    return Message.model_construct(**{**_EMPTY, **given})


def _result(item: Mapping[str, Any], place: int) -> Message:
    output = item.get("output")
    if not isinstance(output, str) and not _are_parts(output):
        raise InvalidRequest(f"input.{place}.output: must be a text, or a list of parts")
    given: dict[str, Any] = {"role": "tool", "content": output, "tool_call_id": _text(item, "call_id", place)}
    return Message.model_construct(**{**_EMPTY, **given})


def _text(item: Mapping[str, Any], name: str, place: int) -> str:
    value = item.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidRequest(f"input.{place}.{name}: must be a text")
    return value


def _are_parts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(part, Mapping) for part in value)


_CALLS = {"function_call": _called, "function_call_output": _result}
_EMPTY: Mapping[str, Any] = dict.fromkeys(("content", "refusal", "tool_calls", "tool_call_id"))


def _answer(item: Mapping[str, Any], place: int) -> dict[str, Any]:
    key, approved, reason = (item.get(name) for name in ("approval_request_id", "approve", "reason"))
    if not isinstance(key, str) or not isinstance(approved, bool):
        raise InvalidRequest(f"input.{place}: an answer has approval_request_id and approve (true or false)")
    why = {"reason": reason} if isinstance(reason, str) and reason and not approved else {}
    return {key: {"approve": approved, **why}}


def _message(item: Mapping[str, Any], place: int) -> Message:
    role, content = item.get("role"), item.get("content")
    if not isinstance(role, str) or role not in _ROLES:
        raise InvalidRequest(f"input.{place}.role: one of {', '.join(sorted(_ROLES))}")
    if not isinstance(content, str) and not _are_parts(content):
        raise InvalidRequest(f"input.{place}.content: must be a text, or a list of parts")
    return Message.model_construct(**{**_EMPTY, "role": role, "content": content})
