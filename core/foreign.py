"""The gate for what others say: every foreign value passes it before it is stored or handed on.

Models, tool servers, sources and imported files send text and JSON that one
encoder takes and the next one refuses: NaN, integers without end, halves of
surrogate pairs, NUL, brackets ten thousand deep. What has passed here can be
held by every store and encoder that this service uses.

`clean_text` mends a text. `fault_in` judges a JSON value and says what is wrong
with it, for values that must not be changed (the arguments of a call).
`storable` mends a JSON value, for what is kept as a record (the result of one).
All are linear in what they are given, and none recurses.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Mapping
from typing import Any

import orjson

MAX_DEPTH = 64
MAX_WEIGHT = 1024 * 1024
"""Characters and values that a foreign JSON value may have, together."""

_SMALLEST, _BEYOND = -(2**63), 2**64
_CUT = "…"
_PATH_LETTERS = 120
# Longer ones cannot be spelt in decimal: Python refuses, since that takes time in the square of their length.
_SPELT_BITS = 8_000


# An absolute path up to its last part: between quotes or brackets with blanks in it, elsewhere without. What
# stands behind the host of an address is none.
_FOLDERS = re.compile(
    r"""(?<=['"(])(?:[A-Za-z]:)?[/\\](?:[^'"()\n/\\]*[/\\])*(?=[^'"()\n/\\]*['")])"""
    r"""|(?<![\w:/.~-])(?:[A-Za-z]:)?/(?:[^\s'"()/]+/)*(?=[^\s'"()/])"""
)


_QUESTION_MARK = "waystation.question_mark"


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "?", error.end


codecs.register_error(_QUESTION_MARK, _replaced)


class _Place:
    """Where a value stands, as a chain: a path is only spelt where something is wrong."""

    __slots__ = ("above", "depth", "key")

    def __init__(self, above: _Place | None, key: object) -> None:
        self.above = above
        self.key = key
        self.depth: int = above.depth + 1 if above else 0

    def __str__(self) -> str:
        parts: list[str] = []
        place: _Place | None = self
        while place is not None:
            key = place.key
            parts.append(f"[{key}]" if isinstance(key, int) else f".{clean_text(str(key)[:_PATH_LETTERS])}")
            place = place.above
        path = "".join(reversed(parts))[1:]
        return path if len(path) <= _PATH_LETTERS else path[: _PATH_LETTERS - 1] + _CUT


def clean_text(text: str) -> str:
    """`text` that every store holds: without NUL, and without halves of surrogate pairs."""
    text = _whole(text)
    return text.replace("\x00", "\ufffd") if "\x00" in text else text


def without_folders(text: str) -> str:
    """`text` whose absolute paths are their last parts: where a file is on this machine is told to nobody."""
    return _FOLDERS.sub("", text)


def _whole(text: str) -> str:
    """Halves of pairs are joined where they stand side by side, and else replaced by a question mark."""
    if _encodes(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", _QUESTION_MARK)


def fault_in(
    value: Any, name: str = "value", *, depth: int = MAX_DEPTH, weight: int | None = MAX_WEIGHT
) -> str:
    """What keeps a JSON value from being stored, such as "arguments.a.b is NaN"; "" for nothing.

    Args:
        name: What the value is called in the phrase.
        depth: Levels that objects and lists may nest.
        weight: Most characters and values together; None for no bound.
    """
    todo: list[tuple[Any, _Place]] = [(value, _Place(None, name))]
    left = math.inf if weight is None else weight
    while todo:
        item, place = todo.pop()
        left -= 1 + (len(item) if isinstance(item, str) else 0)
        if fault := _fault(item):
            return f"{place} {fault}"
        if not isinstance(item, (dict, list)):
            continue
        if place.depth >= depth:
            return f"{name} nests deeper than {depth} levels"
        for key in item if isinstance(item, dict) else ():
            left -= len(key) if isinstance(key, str) else 0
            if fault := _key_fault(key):
                return f"{place} {fault}"
        if left < len(item):
            return f"{name} is larger than {weight} characters and values"
        pairs = item.items() if isinstance(item, dict) else enumerate(item)
        todo += reversed([(inner, _Place(place, key)) for key, inner in pairs])
    return f"{name} is larger than {weight} characters and values" if left < 0 else ""


def _fault(item: Any) -> str:
    if item is None or isinstance(item, (bool, dict, list)):
        return ""
    if isinstance(item, str):
        return "" if _encodes(item) else "has half of a surrogate pair"
    if isinstance(item, int):
        return "" if _SMALLEST <= item < _BEYOND else "is an integer of more than 64 bits"
    if isinstance(item, float):
        return "" if math.isfinite(item) else f"is {_spelt(item)}"
    return f"is of the type {type(item).__name__}, which JSON does not have"


def _key_fault(key: object) -> str:
    if not isinstance(key, str):
        return "has a key that is no text"
    return "" if _encodes(key) else "has a key with half of a surrogate pair"


def _encodes(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _spelt(number: float) -> str:
    return "NaN" if math.isnan(number) else ("Infinity" if number > 0 else "-Infinity")


def storable(value: Any, *, depth: int = MAX_DEPTH, weight: int | None = MAX_WEIGHT) -> Any:
    """`value` as JSON that every store holds; the value itself where nothing is wrong with it.

    Numbers that are not finite or have more than 64 bits become text, which
    keeps their digits, and so do keys and values that JSON does not have.
    Halves of surrogate pairs are replaced. What nests deeper than `depth`,
    or comes behind `weight`, is cut and says so.
    """
    if not fault_in(value, depth=depth, weight=weight):
        return value
    top: list[Any] = [None]
    todo: list[tuple[Any, Any, Any, int]] = [(value, top, 0, 0)]
    left = math.inf if weight is None else weight
    while todo:
        item, target, key, level = todo.pop()
        if not isinstance(item, (Mapping, list, tuple, set, frozenset)):
            plain = _plain(item)
            left -= 1 + (len(plain) if isinstance(plain, str) else 0)
            target[key] = plain if left >= 0 else _shortened(plain, left)
            continue
        left -= 1
        if level >= depth or left < len(item):
            target[key] = _CUT
            continue
        made, pairs = _opened(item)
        left -= sum(map(len, made)) if isinstance(made, dict) else 0
        target[key] = made
        todo += reversed([(inner, made, inner_key, level + 1) for inner_key, inner in pairs])
    return top[0]


def _opened(item: Any) -> tuple[Any, list[tuple[Any, Any]]]:
    """An empty object or list for what `item` holds, and the places of that."""
    if isinstance(item, Mapping):
        pairs = [(_whole(key) if isinstance(key, str) else _text(key), inner) for key, inner in item.items()]
        return dict.fromkeys(key for key, _ in pairs), pairs
    return [None] * len(item), list(enumerate(item))


def _plain(item: Any) -> Any:
    if item is None or isinstance(item, bool):
        return item
    if isinstance(item, str):
        return _whole(item)
    if isinstance(item, int):
        return item if _SMALLEST <= item < _BEYOND else _text(item)
    if isinstance(item, float):
        return item if math.isfinite(item) else _spelt(item)
    return _text(item)


def _shortened(plain: Any, left: float) -> str:
    """As much of a text as there is room for; `left` is by how much it is too long, below zero."""
    kept = len(plain) + int(left) if isinstance(plain, str) else 0
    return plain[: max(kept, 0)] + _CUT if kept > 0 else _CUT


def _text(item: object) -> str:
    if isinstance(item, int) and item.bit_length() > _SPELT_BITS:
        return f"an integer of {item.bit_length()} bits"
    try:
        return clean_text(str(item))
    except Exception:  # noqa: BLE001  # a foreign object may break its own text in any way
        return type(item).__name__


def read_json(raw: str | bytes, name: str = "value") -> tuple[Any, str]:
    """The value of a JSON text, and what is wrong with it: one of both is empty."""
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError) as error:
        return None, f"{name} is no JSON ({_said(error)})"
    fault = fault_in(found, name)
    return (None, fault) if fault else (found, "")


def _said(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos}"
    return "it nests too deep" if isinstance(error, RecursionError) else "it cannot be read"


def as_bytes(value: Any) -> bytes:
    """JSON of any value, for whoever reads it next: what cannot be written is replaced as `storable` does."""
    try:
        return orjson.dumps(value, default=_text)
    except TypeError:
        return orjson.dumps(storable(value, weight=None))


def from_json(line: str | bytes) -> Any:
    """What a column holds, also where it was written before this gate stood: it can be handed on."""
    try:
        return orjson.loads(line)
    except ValueError:
        return storable(json.loads(line), weight=None)


def as_json(value: Any) -> str:
    """A JSON text of any value, for columns of a database: what cannot be kept is replaced.

    It is pure ASCII, so that one value always has one spelling to search for.
    """
    try:
        line = orjson.dumps(value)  # refuses all that is wrong but NaN and Infinity, which it writes as null
    except TypeError:
        line = orjson.dumps(storable(value, weight=None))
    return line.decode() if line.isascii() else json.dumps(orjson.loads(line))


def is_answer(resume: object) -> bool:
    """Whether anything is said at all: forms send an empty object for a field that was left alone."""
    return resume is not None and resume not in ({}, [], "")
