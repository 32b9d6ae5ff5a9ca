"""What a chat-completions endpoint is sent: messages as its profile wants them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from core.choices import SAMPLED
from core.foreign import storable
from nodes.llm.pieces import ENDPOINT, LETTERS
from nodes.llm.profiles import NINE, Profile
from nodes.llm.settings import ModelEntry

# What models that always reason refuse, each for the same reason.
_OF_SAMPLING = frozenset({"temperature", "top_p", "presence_penalty", "frequency_penalty", "seed", "stop"})
_WITH_TOOLS = ("tool_choice", "parallel_tool_calls")
_READABLE = frozenset({"reasoning_content", "reasoning"})
BARE: Mapping[str, Mapping[str, Any]] = {
    "null": {"content": None},
    "empty": {"content": ""},
    "absent": {},
}
"""What stands for the text of an answer that has calls and no text, by `bare_calls` of a profile."""


class Bodies:
    """Makes the bodies of requests for one model.

    Args:
        entry: Its settings.
    """

    def __init__(self, entry: ModelEntry) -> None:
        self._entry = entry
        self._profile = entry.kind
        # What the endpoint turned out not to take.
        self._left_out = set(self._profile.omit)
        self._limit = self._profile.max_tokens_key

    def made(
        self,
        messages: Sequence[BaseMessage],
        *,
        model: str,
        tools: Any = None,
        sampling: Mapping[str, Any] = {},
        user: str = "",
    ) -> dict[str, Any]:
        """A body. `tools` stand in it as they are given, unless there are none."""
        entry, profile = self._entry, self._profile
        own = {name: getattr(entry, name) for name in SAMPLED}
        chosen = {name: value for name, value in {**own, **sampling}.items() if name != "max_tokens"}
        wanted: dict[str, Any] = {
            "model": model,
            "messages": messages_for(messages, profile, of=entry.of),
            "stream": True,
            "stream_options": {"include_usage": True} if profile.stream_usage == "ask" else None,
            "tools": tools or None,
            **chosen,
            "user": user or None,
            self._limit: least(entry.max_tokens, sampling.get("max_tokens")),
        }
        out = self._left_out | (_OF_SAMPLING if profile.refuses_temperature(model) else set())
        out = out if tools else out.union(_WITH_TOOLS)
        return {key: value for key, value in wanted.items() if value is not None and key not in out}

    def leave_out(self, name: str) -> None:
        """Send this parameter no more."""
        self._left_out.add(name)

    def do_without(self, name: str) -> None:
        """The same; the limit of an answer is tried under its other name first."""
        if name == self._profile.max_tokens_key and self._limit == name:
            self._limit = "max_completion_tokens" if name == "max_tokens" else "max_tokens"
        else:
            self.leave_out(name)


def least(*limits: float | None) -> int | None:
    """The lowest limit that is set."""
    return min((int(limit) for limit in limits if limit is not None), default=None)


def messages_for(messages: Sequence[BaseMessage], profile: Profile, *, of: str) -> list[dict[str, Any]]:
    """The conversation as JSON.

    Args:
        of: The endpoint and model that it goes to: what only another could read stays here.
    """
    ids = ids_for(messages, profile, of=of)
    return [_message(message, profile, of, ids) for message in messages]


def encoded(body: Mapping[str, Any]) -> bytes:
    """The body of a request; what cannot be encoded in an old message is mended, and costs no turn."""
    try:
        found = orjson.dumps(body)
    except TypeError:
        found = orjson.dumps(storable(dict(body), weight=None, depth=200))
    # A copy of its own length: it stays until the answer's end, and the encoder's buffer is larger.
    return b"%b" % found


def ids_for(messages: Sequence[BaseMessage], profile: Profile, *, of: str) -> dict[str, str]:
    """What each tool call is called at the endpoint, by its id here.

    Ids that the endpoint gave go back as they came. Those of another one are
    given the form that this one takes; the same form each time.
    """
    found: dict[str, str] = {}
    for message in messages:
        if not isinstance(message, AIMessage):
            continue
        kept = kept_of(message)
        theirs = kept.get("ids", {}) if kept.get("of") == of else {}
        for call in message.tool_calls:
            call_id = call["id"] or ""
            found[call_id] = theirs.get(call_id) or _fitting(call_id, profile)
    return found


def _fitting(call_id: str, profile: Profile) -> str:
    fits = profile.call_ids == "any" or NINE.fullmatch(call_id)
    if fits and len(call_id) <= (profile.call_id_limit or len(call_id)):
        return call_id
    number = int.from_bytes(hashlib.sha256(call_id.encode("utf-8", "replace")).digest()[:8])
    letters = []
    for _ in range(9):
        number, place = divmod(number, len(LETTERS))
        letters.append(LETTERS[place])
    return "".join(letters)


def _message(message: BaseMessage, profile: Profile, of: str, ids: Mapping[str, str]) -> dict[str, Any]:
    if isinstance(message, AIMessage):
        return _answer(message, profile, of, ids)
    if isinstance(message, ToolMessage):
        call_id = message.tool_call_id
        return {"role": "tool", "tool_call_id": ids.get(call_id, call_id), "content": text_of(message)}
    if isinstance(message, SystemMessage):
        return {"role": profile.system_role, "content": text_of(message)}
    content = message.content
    parts = isinstance(message, HumanMessage) and isinstance(content, list) and not _only_text(content)
    return {"role": "user", "content": [_part(part) for part in content] if parts else text_of(message)}


def _part(part: Any) -> Any:
    """A content part of chat completions; LangChain's own blocks of images and files become such.

    A chat model of LangChain makes these of the parts that it is given, files at least.
    """
    if not isinstance(part, Mapping) or not isinstance(part.get("base64"), str):
        return part
    url = f"data:{part.get('mime_type') or 'application/octet-stream'};base64,{part['base64']}"
    if part.get("type") == "image":
        return {"type": "image_url", "image_url": {"url": url}}
    if part.get("type") != "file":
        return part
    name = part.get("filename") or (part.get("extras") or {}).get("filename") or "file"
    return {"type": "file", "file": {"filename": name, "file_data": url}}


def _answer(message: AIMessage, profile: Profile, of: str, ids: Mapping[str, str]) -> dict[str, Any]:
    text, kept = text_of(message), kept_of(message)
    sent: dict[str, Any] = {"role": "assistant"}
    if text or not message.tool_calls:
        sent["content"] = text
    else:
        sent |= BARE[profile.bare_calls]
    sent |= _fields(kept, profile, calls=bool(message.tool_calls), same=kept.get("of") == of)
    if message.tool_calls:
        more = kept.get("calls", {}) if kept.get("of") == of else {}
        sent["tool_calls"] = [
            _call(call, ids, more.get(call["id"], {}), profile) for call in message.tool_calls
        ]
    return sent


def _fields(kept: Mapping[str, Any], profile: Profile, *, calls: bool, same: bool) -> dict[str, Any]:
    back = profile.answer_fields_back
    if back == "never" or (back == "with_calls" and not calls):
        return {}
    fields = kept.get("fields", {})
    found = {
        name: fields[name] for name in profile.answer_fields if name in fields and (same or name in _READABLE)
    }
    return {profile.padded_field: "", **found} if profile.padded_field else found


def _call(
    call: Mapping[str, Any], ids: Mapping[str, str], more: Mapping[str, Any], profile: Profile
) -> dict[str, Any]:
    arguments = orjson.dumps(storable(call["args"])).decode()
    function = {"name": call["name"], "arguments": arguments}
    fields = {name: more[name] for name in profile.call_fields if name in more}
    return {"id": ids[call["id"] or ""], "type": "function", "function": function, **fields}


def kept_of(message: AIMessage) -> Mapping[str, Any]:
    """What an endpoint may want back of an answer of its own."""
    kept = message.additional_kwargs.get(ENDPOINT)
    return kept if isinstance(kept, Mapping) else {}


def text_of(message: BaseMessage) -> str:
    """The text of a message."""
    return message.content if isinstance(message.content, str) else str(message.text)


def _only_text(content: Sequence[Any]) -> bool:
    return all(isinstance(part, str) or part.get("type") == "text" for part in content)
