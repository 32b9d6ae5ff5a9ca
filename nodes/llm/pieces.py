"""What a model's client hands on as it comes, and the calls of tools that its parts make.

No object of an SDK's or of LangChain's for each token; and whatever compatible
servers do with index, id and name of a call, no call gets lost.
"""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from langchain_core.messages.ai import UsageMetadata

from core.foreign import clean_text, read_json
from nodes.llm.models import MALFORMED

_WORDS = {
    "stop": ("end_turn", "eos", "eos_token", "stop_sequence", "complete", "completed", "finished", "done"),
    "length": ("max_tokens", "max_output_tokens", "max_completion_tokens", "model_length", "token_limit"),
    "tool_calls": ("function_call", "tool_call", "tool_use", "tool_calls"),
    "content_filter": (
        "safety",
        "recitation",
        "blocklist",
        "prohibited_content",
        "spii",
        "blocked",
        "refusal",
        "sensitive",
        "guardrail_intervened",
    ),
}
_SAME = {other: word for word, others in _WORDS.items() for other in others}

BROKEN = frozenset(
    {
        "error",
        "abort",
        "aborted",
        "cancelled",
        "canceled",
        "failed",
        "timeout",
        "network_error",
        "internal_error",
        "server_error",
        "insufficient_system_resource",
        "malformed_function_call",
    }
)
"""Reasons that mean: there should be more, and none will come."""

KNOWN = frozenset(_WORDS)


def finish_of(reason: object) -> str:
    """The reason in the words of OpenAI where it is one of them in another spelling; "" for none."""
    word = clean_text(str(reason)[:60]).strip().lower() if reason else ""
    return _SAME.get(word, word)


_NOTHING: Mapping[str, Any] = {}

REASONING = "reasoning_content"
"""Under this key of `additional_kwargs` stands reasoning for a reader."""
FIELDS = "answer_fields"
"""Under this key of `additional_kwargs` stand fields that the endpoint wants back as they came."""
CALL_FIELDS = "call_fields"
"""The same within a part of a tool call."""
ENDPOINT = "endpoint"
"""Under this key of a whole message's `additional_kwargs` stands what its endpoint may want back."""


class Chunk(Protocol):
    """What is read of a piece, whoever made it: ours, or an AIMessageChunk of LangChain's."""

    @property
    def content(self) -> Any: ...
    @property
    def tool_call_chunks(self) -> Sequence[Any]: ...
    @property
    def additional_kwargs(self) -> Mapping[str, Any]: ...
    @property
    def response_metadata(self) -> Mapping[str, Any]: ...
    @property
    def usage_metadata(self) -> UsageMetadata | None: ...


class Piece:
    """A piece of an answer, with the names that LangChain's AIMessageChunk has for the same things."""

    __slots__ = ("additional_kwargs", "content", "response_metadata", "tool_call_chunks", "usage_metadata")

    def __init__(
        self,
        content: str = "",
        *,
        calls: Sequence[Mapping[str, Any]] = (),
        more: Mapping[str, Any] = _NOTHING,
        metadata: Mapping[str, Any] = _NOTHING,
        usage: UsageMetadata | None = None,
    ) -> None:
        self.content = content
        self.tool_call_chunks = calls
        self.additional_kwargs = more
        self.response_metadata = metadata
        self.usage_metadata = usage


ALIVE = Piece()
"""Nothing to read, but a sign of life."""


NAME_LETTERS = 64
_MARKS = re.compile(r'\\.|[{}\[\]"]', re.DOTALL)
_NOT_A_NAME = re.compile(r"[^A-Za-z0-9_-]")
LETTERS = string.ascii_letters + string.digits
_USABLE = re.compile(r"[\x21-\x7e]{1,64}")
# Counters, or too little to be random: another answer of the thread may say the same.
_COUNTER = re.compile(r"[:.#]\d{1,5}$|^.{0,15}[^A-Za-z0-9]\d{1,5}$")
_MIXED = re.compile(r"\d[A-Za-z]|^.{16}")
_RANDOM_LETTERS = 9
_MALFORMED_LETTERS = 16_384


class Brackets:
    """Follows a JSON text as it comes, in time of its length: where its outermost bracket closes."""

    __slots__ = ("_deep", "_escape", "_quoted", "closed")

    def __init__(self) -> None:
        self._deep = 0
        self._quoted = False
        self._escape = False
        self.closed = False

    def feed(self, text: str) -> None:
        if self._escape and text:
            text, self._escape = text[1:], False
        tail = len(text) - len(text.rstrip("\\"))
        if tail % 2:
            text, self._escape = text[:-1], True
        for mark in _MARKS.findall(text):
            if mark == '"':
                self._quoted = not self._quoted
            elif not self._quoted and mark in "{[":
                self._deep += 1
            elif not self._quoted and mark in "}]":
                self._deep -= 1
                self.closed = self.closed or self._deep <= 0


@dataclass(slots=True)
class Call:
    """A call as it comes: its parts so far."""

    index: int | None
    id: str = ""
    name: str = ""
    args: list[str] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)
    brackets: Brackets = field(default_factory=Brackets)

    @property
    def said(self) -> bool:
        """Whether anything was said of it: an empty entry is no call."""
        return bool(self.name or self.id or self.args)

    def take(self, part: Mapping[str, Any], offered: Collection[str]) -> None:
        self.id = self.id or part.get("id") or ""
        self.name = _joined(self.name, part.get("name") or "", offered)
        if args := part.get("args"):
            self.args.append(args)
            self.brackets.feed(args)
        self.fields.update(part.get(CALL_FIELDS) or {})


class Calls:
    """Collects the calls of one answer.

    Args:
        offered: Names of the tools that the model may call: they tell a name that comes in
            pieces from one that is repeated.
    """

    def __init__(self, offered: Collection[str] = ()) -> None:
        self._offered = frozenset(offered)
        self.found: list[Call] = []
        self._at: dict[int, Call] = {}

    def add(self, parts: list[Mapping[str, Any]]) -> None:
        """The parts of one chunk."""
        here: set[int] = set()
        for part in parts:
            call = self._open(part, here)
            call.take(part, self._offered)
            here.add(id(call))

    def _open(self, part: Mapping[str, Any], here: set[int]) -> Call:
        """The call that the part goes on with, or a new one."""
        index = part.get("index")
        bare = not (part.get("name") or part.get("id"))
        last = self.found[-1] if self.found else None
        known = last if index is None else (self._at.get(index) or (last if bare else None))
        if known is None or self._is_other(known, part, again=id(known) in here):
            known = Call(index)
            self.found.append(known)
            if index is not None:
                self._at[index] = known
        return known

    def _is_other(self, known: Call, part: Mapping[str, Any], *, again: bool) -> bool:
        """Several servers send whole calls that all have index 0, or none, and no id."""
        call_id, name = part.get("id") or "", part.get("name") or ""
        if not name:
            return False
        if again or (call_id and known.id and call_id != known.id):
            return True
        if known.brackets.closed:  # nothing can be added to it
            return bool((part.get("args") or "").strip()) or (name != known.name and name in self._offered)
        both = known.name in self._offered and name in self._offered
        return both and name != known.name and not name.startswith(known.name)


def _joined(known: str, name: str, offered: Collection[str]) -> str:
    """A name that may come whole, in pieces, once more, or longer each time."""
    if not known or not name:
        return known or name
    both = known + name
    if both in offered or (name != known and any(one.startswith(both) for one in offered)):
        return both
    if name in offered and name.startswith(known):
        return name
    return known if known in offered or name == known else both


def arguments(raw: str) -> dict[str, Any]:
    """The arguments; what is no JSON object, or cannot be kept, stands whole under MALFORMED."""
    if raw.strip() in ("", "null"):
        return {}
    for text in _readings(raw):
        found, fault = read_json(text, "arguments")
        if isinstance(found, str) and found.strip()[:1] == "{":
            found, fault = read_json(found, "arguments")  # an object, written as JSON twice
        if isinstance(found, dict) and not fault:
            return found
    return {MALFORMED: clean_text(raw[:_MALFORMED_LETTERS])}


def _readings(raw: str) -> list[str]:
    # Some begin with an empty object, and stream the real one behind it.
    rest = raw.lstrip().removeprefix("{}").lstrip()
    return [raw, rest] if rest[:1] == "{" and rest != raw.lstrip() else [raw]


def as_name(raw: str) -> str:
    """A name that every endpoint takes back."""
    return _NOT_A_NAME.sub("_", raw)[:NAME_LETTERS] or "unknown"


def new_id() -> str:
    """Nine letters and digits: the one form that every endpoint known to us takes."""
    return "".join(secrets.choice(LETTERS) for _ in range(_RANDOM_LETTERS))


def looks_unique(call_id: str) -> bool:
    """Whether an id can stand for a call in a whole thread: it is short text, and no counter."""
    random = len(call_id) >= _RANDOM_LETTERS and _MIXED.search(call_id) and not _COUNTER.search(call_id)
    return bool(random) and _USABLE.fullmatch(call_id) is not None
