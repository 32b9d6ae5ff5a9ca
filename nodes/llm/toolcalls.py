"""Parts of tool calls become calls, whatever compatible servers do with index, id and name."""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from core.foreign import clean_text, read_json
from nodes.llm.models import MALFORMED
from nodes.llm.pieces import CALL_FIELDS

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
