"""Read a tool's arguments from a sentence, by the tool's JSON schema. What is not there is not made up."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nodes.llm.offline.values import NUMBER, Found, clocks_in, dates_in, read_sum, zones_in
from nodes.llm.offline.words import STOP, meaning, name_parts, words

_QUOTED = re.compile(r"\"([^\"\n]+)\"|“([^“”\n]+)”|(?<!\w)'([^'\n]+)'(?!\w)|`([^`\n]+)`")
_FILE = re.compile(r"(?<![\w/])[\w-][\w .-]{0,120}?\.[A-Za-z]{2,5}(?!\w)")
_NUMBERS = re.compile(rf"(?<![\w.])-?(?:{NUMBER})(?![\w]|\.\d)")
_WORD = re.compile(r"([^\W\d][\w-]*)")
_NO_COLUMN = STOP | {"column", "row", "rows"}
_THE_FILE = re.compile(r"\b(?:the|this|my|that) (?:file|csv|spreadsheet|uploaded file)\b", re.IGNORECASE)
_FUNCTIONS = {meaning(word) for word in ("sum", "mean", "min", "max", "count", "median")}
_STATISTICS = (
    "total|sum|average|mean|median|maximum|minimum|max|min|highest|lowest|largest|smallest|count|number"
)
_OPERATORS = {
    ">=": r"at least|>=|≥|no less than|not less than|or more",
    "<=": r"at most|<=|≤|no more than|not more than|or less",
    "!=": r"is not|isn't|not equal(?: to)?|!=|≠|other than|except",
    ">": r"greater than|more than|larger than|bigger than|higher than|above|over|>|exceeds",
    "<": r"less than|smaller than|fewer than|lower than|below|under|<",
    "contains": r"contains?|containing|includes?|including",
    "==": r"equals?(?: to)?|==?|\bis\b",
}
_OPERATOR_NAMES = {
    ">=": ("ge", "gte", ">="), "<=": ("le", "lte", "<="), "!=": ("ne", "neq", "!=", "<>"),
    ">": ("gt", ">"), "<": ("lt", "<"), "contains": ("contains",), "==": ("eq", "==", "=", "equals"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sentence:
    """What is read: the text, the thread's file names, and the number spoken of before."""

    text: str
    files: Sequence[str] = ()
    previous: str | None = None


@dataclass(slots=True)
class Reading:
    """The arguments that were read, the spans of text they stand in, and required ones that are missing."""

    values: dict[str, Any] = field(default_factory=dict)
    spans: list[tuple[int, int]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def free(self, found: Found) -> bool:
        return all(found.end <= start or found.start >= end for start, end in self.spans)

    def take(self, name: str, value: Any, found: Found) -> None:
        self.values[name] = value
        self.spans.append((found.start, found.end))


Taken = tuple[Any, Found] | None


@dataclass(frozen=True, slots=True)
class Asked:
    """One parameter that is looked for."""

    name: str
    schema: Mapping[str, Any]
    sentence: Sentence
    reading: Reading

    @property
    def text(self) -> str:
        return self.sentence.text

    @property
    def parts(self) -> set[str]:
        return set(name_parts(self.name))

    def first(self, found: Iterable[Found]) -> Found | None:
        """The first that no other argument stands in."""
        return next((one for one in found if self.reading.free(one)), None)


Reader = Callable[[Asked], Taken]


def read_arguments(parameters: Mapping[str, Any], sentence: Sentence) -> Reading:
    """The arguments of a tool with the schema `parameters`."""
    properties: Mapping[str, Any] = parameters.get("properties") or {}
    required = [name for name in parameters.get("required") or [] if isinstance(name, str)]
    plain = {name: _plain(schema) for name, schema in properties.items()}
    order = list(_READERS)
    reading = Reading()
    # What can be recognised for certain is read first, so that free words are taken last.
    for name in sorted(plain, key=lambda n: (min(order.index(kind(n, plain[n])), _FREE), n not in required)):
        asked = Asked(name, plain[name], sentence, reading)
        found = _READERS[kind(name, plain[name])](asked)
        if found is not None:
            reading.take(name, *found)
    reading.missing = [name for name in required if name not in reading.values]
    return reading


def kind(name: str, schema: Mapping[str, Any]) -> str:
    """What a parameter wants, from its type, format, name and description."""
    parts, text = set(name_parts(name)), f"{schema.get('description') or ''}".lower()
    given = schema.get("type")
    if schema.get("enum"):
        return "operator" if _is_operators(schema["enum"]) else "choice"
    if given in {"number", "integer", "boolean", "array"}:
        return str(given)
    if given not in {None, "string"}:
        return "other"
    for wanted, names, said in _STRING_KINDS:
        if parts & set(names.split()) or (said and re.search(said, text)):
            return wanted
    return str(schema.get("format")) if schema.get("format") in {"date", "date-time", "time"} else "text"


_STRING_KINDS = [
    ("file", "filename file files attachment", r"\bname of (?:a|the) (?:csv )?file"),
    ("expression", "expression expr formula", r"\barithmetic expression"),
    ("zone", "zone timezone tz city", r"\biana\b|\btime zone\b"),
    ("operator", "op operator comparison", ""),
    ("function", "function func aggregation statistic", r"\bsum, |\bmean, "),
    ("by", "by groupby group sort", ""),
    ("column", "column columns field", r"\bcolumn\b(?! to group)"),
    ("date", "date day start end since until begin", r"\biso (?:8601 )?date"),
    ("time", "time datetime when moment", ""),
    ("value", "value", ""),
]


def _plain(schema: Any) -> Mapping[str, Any]:
    """Without the `null` of an optional parameter."""
    if not isinstance(schema, Mapping):
        return {}
    options = [o for o in schema.get("anyOf") or [] if isinstance(o, Mapping) and o.get("type") != "null"]
    plain = {**schema, **options[0]} if len(options) == 1 else dict(schema)
    given = plain.get("type")
    if isinstance(given, list):
        plain["type"] = next((t for t in given if t != "null"), "string")
    return plain


def _file(asked: Asked) -> Taken:
    text, files = asked.text, asked.sentence.files
    for known in sorted(files, key=len, reverse=True):
        at = text.lower().find(known.lower())
        if at >= 0:
            return known, Found(known, at, at + len(known))
    if _FILE.search(text):
        return None  # another file is named, and it is not in the thread
    for known in files:
        match = re.search(rf"\b{re.escape(known.rsplit('.', 1)[0])}\b", text, re.IGNORECASE)
        if match:
            return known, Found(known, match.start(), match.end())
    hint = _THE_FILE.search(text)
    return (files[0], Found("", hint.start(), hint.end())) if len(files) == 1 and hint else None


def _expression(asked: Asked) -> Taken:
    found = read_sum(asked.text, asked.sentence.previous)
    return (found.expression, Found("", 0, len(asked.text))) if found else None


def _choice(asked: Asked) -> Taken:
    # Choices that only the description lists: `sum, mean or max`.
    told = re.findall(r"\w+", str(asked.schema.get("description") or ""))
    listed = [word for word in told if meaning(word) in _FUNCTIONS]
    return _word_of(asked, {meaning(str(option)): option for option in asked.schema.get("enum") or listed})


def _word_of(asked: Asked, options: Mapping[str, Any]) -> Taken:
    for word in words(asked.text):
        if meaning(word.text) in options:
            return options[meaning(word.text)], Found("", word.start, word.end)
    return None


def _is_operators(options: Sequence[Any]) -> bool:
    known = {name for names in _OPERATOR_NAMES.values() for name in names}
    return sum(str(option) in known for option in options) >= 2


def _operator(asked: Asked) -> Taken:
    options = [str(option) for option in asked.schema.get("enum") or []]
    for sign, pattern in _OPERATORS.items():
        match = re.search(pattern, asked.text, re.IGNORECASE)
        spelled = next((n for n in _OPERATOR_NAMES[sign] if n in options), None if options else sign)
        if match and spelled is not None:
            return spelled, Found("", match.start(), match.end())
    return None


def _sided(asked: Asked, found: Sequence[Found]) -> Found | None:
    """The first that is free; for `from_…` and `to_…` the one behind that word."""
    free = [f for f in found if asked.reading.free(f)]
    before = {f: asked.text[: f.start].rstrip().rpartition(" ")[2].lower() for f in free}
    if asked.parts & {"to", "target", "end", "until", "destination"}:
        behind = [f for f in free if before[f] in {"to", "in", "until", "into", "for"}]
        return next(iter(reversed(behind)), free[-1] if len(found) > 1 and free else None)
    if asked.parts & {"from", "source", "start", "since"}:
        return next((f for f in free if before[f] in {"from", "since"}), free[0] if free else None)
    return free[0] if free else None


def _scanner(scan: Callable[[str], list[Found]]) -> Reader:
    def reader(asked: Asked) -> Taken:
        found = _sided(asked, scan(asked.text))
        return (found.value, found) if found else None

    return reader


def _moments_in(text: str) -> list[Found]:
    dates = dates_in(text)
    return sorted([*dates, *_outside(clocks_in(text), dates)], key=lambda f: f.start)


def _outside(found: Iterable[Found], taken: Sequence[Found]) -> list[Found]:
    return [f for f in found if all(f.end <= t.start or f.start >= t.end for t in taken)]


def _number(asked: Asked) -> Taken:
    for found, value in _numbers_in(asked):
        if asked.schema.get("type") != "integer" or isinstance(value, int):
            return value, found
    return None


def _numbers_in(asked: Asked) -> list[tuple[Found, int | float]]:
    """The numbers that no other argument stands in."""
    # A day that does not exist is no date, and no three numbers either.
    days = [Found("", m.start(), m.end()) for m in re.finditer(r"\b\d{4}-\d{1,2}-\d{1,2}\b", asked.text)]
    found = [Found(m.group(), m.start(), m.end()) for m in _NUMBERS.finditer(asked.text)]
    free = [f for f in _outside(found, [*_moments_in(asked.text), *days]) if asked.reading.free(f)]
    values = [float(f.value.replace(",", "")) for f in free]
    return [(f, int(v) if v.is_integer() else v) for f, v in zip(free, values, strict=True)]


def _array(asked: Asked) -> Taken:
    items = _plain(asked.schema.get("items")).get("type")
    if items in {"number", "integer"}:
        found = _numbers_in(asked)
        return ([v for _, v in found], Found("", found[0][0].start, found[-1][0].end)) if found else None
    one = (_column if kind(asked.name, {"type": "string"}) == "column" else _text)(asked)
    return ([one[0]], one[1]) if one else None


def _flag(asked: Asked) -> Taken:
    wanted = {meaning(part) for part in asked.parts} - {meaning("as"), meaning("with")}
    return _word_of(asked, dict.fromkeys(wanted, True))


def _by(asked: Asked) -> Taken:
    return _after(r"\b(?:by|per|for each|for every|grouped by|sorted by)(?: the)?(?: column)?", asked)


def _column(asked: Asked) -> Taken:
    leads = (
        r"\b(?:column|field)",
        rf"\b(?:{_STATISTICS})(?: up)?(?: of)?(?: all)?(?: the)?",
        r"\b(?:where|with|whose|have|has|having)(?: the| an?)?",
    )
    return next((found for lead in leads if (found := _after(lead, asked))), None)


def _after(lead: str, asked: Asked) -> Taken:
    """The quoted text or the word right behind `lead`."""
    for match in re.finditer(lead + r"\s+", asked.text, re.IGNORECASE):
        behind = _QUOTED.match(asked.text, match.end()) or _WORD.match(asked.text, match.end())
        value = next((group for group in behind.groups() if group), "") if behind else ""
        if not behind or (not behind.re.groups > 1 and value.lower() in _NO_COLUMN):
            continue
        found = Found(value, match.end(), behind.end())
        if asked.reading.free(found):
            return value, found
    return None


def _text(asked: Asked) -> Taken:
    quoted = (
        Found(next(g for g in m.groups() if g), m.start(), m.end()) for m in _QUOTED.finditer(asked.text)
    )
    found = asked.first(quoted)
    return (found.value, found) if found else None


def _value(asked: Asked) -> Taken:
    """A quoted text, a number, or the word behind a comparison."""
    quoted = _text(asked) or _number(asked)
    if quoted:
        return str(quoted[0]), quoted[1]
    return _after(rf"(?:{'|'.join(f'(?:{p})' for p in _OPERATORS.values())})", asked)


# In the order in which they are looked for; those from `number` on have no order among them.
_READERS: dict[str, Reader] = {
    "file": _file, "expression": _expression, "operator": _operator, "choice": _choice, "function": _choice,
    "zone": _scanner(zones_in), "date": _scanner(_moments_in), "date-time": _scanner(_moments_in),
    "time": _scanner(_moments_in), "by": _by, "column": _column, "number": _number, "integer": _number,
    "boolean": _flag, "array": _array, "value": _value, "text": _text, "other": lambda _: None,
}  # fmt: skip
_FREE = list(_READERS).index("number")
