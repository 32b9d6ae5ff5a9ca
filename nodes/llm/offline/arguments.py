"""Read a tool's arguments from a sentence, by the tool's JSON schema. What is not there is not made up."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nodes.llm.offline.arithmetic import NUMBER, read_sum
from nodes.llm.offline.times import Found, clocks_in, dates_in, zones_in
from nodes.llm.offline.words import STOP, meaning, name_parts, words

_QUOTED = re.compile(r"\"([^\"\n]+)\"|“([^“”\n]+)”|(?<!\w)'([^'\n]+)'(?!\w)|`([^`\n]+)`")
_FILE = re.compile(r"(?<![\w/])[\w-][\w .-]{0,120}?\.[A-Za-z]{2,5}(?!\w)")
_NUMBERS = re.compile(rf"(?<![\w.])-?(?:{NUMBER})(?![\w]|\.\d)")
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


Reader = Callable[[str, Mapping[str, Any], Sentence, Reading], tuple[Any, Found] | None]


def read_arguments(parameters: Mapping[str, Any], sentence: Sentence) -> Reading:
    """The arguments of a tool with the schema `parameters`."""
    properties: Mapping[str, Any] = parameters.get("properties") or {}
    required = [name for name in parameters.get("required") or [] if isinstance(name, str)]
    reading = Reading()
    # What can be recognised for certain is read first, so that free words are taken last.
    for name in sorted(properties, key=lambda n: (_certainty(n, _plain(properties[n])), n not in required)):
        schema = _plain(properties[name])
        found = _reader(name, schema)(name, schema, sentence, reading)
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
        if parts & names or (said and re.search(said, text)):
            return wanted
    return str(schema.get("format")) if schema.get("format") in {"date", "date-time", "time"} else "text"


_STRING_KINDS: list[tuple[str, set[str], str]] = [
    ("file", {"filename", "file", "files", "attachment"}, r"\bname of (?:a|the) (?:csv )?file"),
    ("expression", {"expression", "expr", "formula"}, r"\barithmetic expression"),
    ("zone", {"zone", "timezone", "tz", "city"}, r"\biana\b|\btime zone\b"),
    ("operator", {"op", "operator", "comparison"}, ""),
    ("function", {"function", "func", "aggregation", "statistic"}, r"\bsum, |\bmean, "),
    ("by", {"by", "groupby", "group", "sort"}, ""),
    ("column", {"column", "columns", "field"}, r"\bcolumn\b(?! to group)"),
    ("date", {"date", "day", "start", "end", "since", "until", "begin"}, r"\biso (?:8601 )?date"),
    ("time", {"time", "datetime", "when", "moment"}, ""),
    ("value", {"value"}, ""),
]
_ORDER = [
    "file",
    "expression",
    "operator",
    "choice",
    "function",
    "zone",
    "date",
    "date-time",
    "time",
    "by",
    "column",
]


def _certainty(name: str, schema: Mapping[str, Any]) -> int:
    wanted = kind(name, schema)
    return _ORDER.index(wanted) if wanted in _ORDER else len(_ORDER)


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


def _file(
    name: str, schema: Mapping[str, Any], sentence: Sentence, reading: Reading
) -> tuple[Any, Found] | None:
    for known in sorted(sentence.files, key=len, reverse=True):
        at = sentence.text.lower().find(known.lower())
        if at >= 0:
            return known, Found(known, at, at + len(known))
    if _FILE.search(sentence.text):
        return None  # another file is named, and it is not in the thread
    for known in sentence.files:
        match = re.search(rf"\b{re.escape(known.rsplit('.', 1)[0])}\b", sentence.text, re.IGNORECASE)
        if match:
            return known, Found(known, match.start(), match.end())
    hint = re.search(
        r"\b(?:the|this|my|that) (?:file|csv|spreadsheet|uploaded file)\b", sentence.text, re.IGNORECASE
    )
    if len(sentence.files) == 1 and hint:
        return sentence.files[0], Found("", hint.start(), hint.end())
    return None


def _expression(
    name: str, schema: Mapping[str, Any], sentence: Sentence, reading: Reading
) -> tuple[Any, Found] | None:
    found = read_sum(sentence.text, sentence.previous)
    return (found.expression, Found("", 0, len(sentence.text))) if found else None


def _choice(
    name: str, schema: Mapping[str, Any], sentence: Sentence, reading: Reading
) -> tuple[Any, Found] | None:
    options = {meaning(str(option)): option for option in schema.get("enum") or _listed(schema)}
    for word in words(sentence.text):
        if meaning(word.text) in options:
            return options[meaning(word.text)], Found("", word.start, word.end)
    return None


def _listed(schema: Mapping[str, Any]) -> list[str]:
    """Choices that only the description lists: `sum, mean or max`."""
    text = str(schema.get("description") or "")
    return [
        w
        for w in re.findall(r"\w+", text)
        if meaning(w) in {meaning(k) for k in ["sum", "mean", "min", "max", "count", "median"]}
    ]


def _is_operators(options: Sequence[Any]) -> bool:
    known = {name for names in _OPERATOR_NAMES.values() for name in names}
    return sum(str(option) in known for option in options) >= 2


def _operator(
    name: str, schema: Mapping[str, Any], sentence: Sentence, reading: Reading
) -> tuple[Any, Found] | None:
    options = [str(option) for option in schema.get("enum") or []]
    for sign, pattern in _OPERATORS.items():
        match = re.search(pattern, sentence.text, re.IGNORECASE)
        spelled = next((n for n in _OPERATOR_NAMES[sign] if n in options), None if options else sign)
        if match and spelled is not None:
            return spelled, Found("", match.start(), match.end())
    return None


def _sided(name: str, found: Sequence[Found], sentence: Sentence, reading: Reading) -> Found | None:
    """The first that is free; for `from_…` and `to_…` the one behind that word."""
    free = [f for f in found if reading.free(f)]
    parts = set(name_parts(name))
    before = {f: sentence.text[: f.start].rstrip().rpartition(" ")[2].lower() for f in free}
    if parts & {"to", "target", "end", "until", "destination"}:
        behind = [f for f in free if before[f] in {"to", "in", "until", "into", "for"}]
        return next(iter(reversed(behind)), free[-1] if len(found) > 1 and free else None)
    if parts & {"from", "source", "start", "since"}:
        behind = [f for f in free if before[f] in {"from", "since"}]
        return next(iter(behind), free[0] if free else None)
    return free[0] if free else None


def _scanner(scan: Callable[[str], list[Found]]) -> Reader:
    def reader(
        name: str, schema: Mapping[str, Any], sentence: Sentence, reading: Reading
    ) -> tuple[Any, Found] | None:
        found = _sided(name, scan(sentence.text), sentence, reading)
        return (found.value, found) if found else None

    return reader


def _moments_in(text: str) -> list[Found]:
    dates = dates_in(text)
    inside = [c for c in clocks_in(text) if all(c.end <= d.start or c.start >= d.end for d in dates)]
    return sorted([*dates, *inside], key=lambda f: f.start)


def _number(
    name: str, schema: Mapping[str, Any], sentence: Sentence, reading: Reading
) -> tuple[Any, Found] | None:
    for found in _numbers_in(sentence.text):
        value = float(found.value.replace(",", ""))
        if reading.free(found) and (schema.get("type") != "integer" or value.is_integer()):
            return (int(value) if value.is_integer() else value), found
    return None


def _numbers_in(text: str) -> list[Found]:
    # A day that does not exist is no date, and no three numbers either.
    days = [Found("", m.start(), m.end()) for m in re.finditer(r"\b\d{4}-\d{1,2}-\d{1,2}\b", text)]
    taken = [*_moments_in(text), *days]
    found = [Found(m.group(), m.start(), m.end()) for m in _NUMBERS.finditer(text)]
    return [f for f in found if all(f.end <= t.start or f.start >= t.end for t in taken)]


def _array(
    name: str, schema: Mapping[str, Any], sentence: Sentence, reading: Reading
) -> tuple[Any, Found] | None:
    items = _plain(schema.get("items")).get("type")
    if items in {"number", "integer"}:
        numbers = [f for f in _numbers_in(sentence.text) if reading.free(f)]
        values = [float(f.value.replace(",", "")) for f in numbers]
        whole = Found("", numbers[0].start, numbers[-1].end) if numbers else None
        return ([int(v) if v.is_integer() else v for v in values], whole) if whole else None
    one = (_column if kind(name, {"type": "string"}) == "column" else _text)(name, schema, sentence, reading)
    return ([one[0]], one[1]) if one else None


def _flag(
    name: str, schema: Mapping[str, Any], sentence: Sentence, reading: Reading
) -> tuple[Any, Found] | None:
    wanted = {meaning(part) for part in name_parts(name)} - {meaning("as"), meaning("with")}
    for word in words(sentence.text):
        if meaning(word.text) in wanted:
            return True, Found("", word.start, word.end)
    return None


def _by(
    name: str, schema: Mapping[str, Any], sentence: Sentence, reading: Reading
) -> tuple[Any, Found] | None:
    return _after(
        r"\b(?:by|per|for each|for every|grouped by|sorted by)(?: the)?(?: column)?", sentence, reading
    )


def _column(
    name: str, schema: Mapping[str, Any], sentence: Sentence, reading: Reading
) -> tuple[Any, Found] | None:
    lead = r"\b(?:column|field)"
    lead_of = rf"\b(?:{_STATISTICS})(?: up)?(?: of)?(?: all)?(?: the)?"
    where = r"\b(?:where|with|whose|have|has|having)(?: the| an?)?"
    for pattern in (lead, lead_of, where):
        found = _after(pattern, sentence, reading)
        if found:
            return found
    return None


def _after(lead: str, sentence: Sentence, reading: Reading) -> tuple[Any, Found] | None:
    """The quoted text or the word right behind `lead`."""
    for match in re.finditer(lead + r"\s+", sentence.text, re.IGNORECASE):
        rest = sentence.text[match.end() :]
        quoted = _QUOTED.match(rest)
        word = re.match(r"[^\W\d][\w-]*", rest)
        if quoted:
            value = next(g for g in quoted.groups() if g)
        elif (
            word
            and word.group().lower() not in STOP
            and word.group().lower() not in {"column", "row", "rows"}
        ):
            value = word.group()
        else:
            continue
        end = match.end() + (quoted or word).end()  # type: ignore[union-attr]  # one of the two matched
        found = Found(value, match.end(), end)
        if reading.free(found):
            return value, found
    return None


def _text(
    name: str, schema: Mapping[str, Any], sentence: Sentence, reading: Reading
) -> tuple[Any, Found] | None:
    for match in _QUOTED.finditer(sentence.text):
        found = Found(next(g for g in match.groups() if g), match.start(), match.end())
        if reading.free(found):
            return found.value, found
    return None


def _value(
    name: str, schema: Mapping[str, Any], sentence: Sentence, reading: Reading
) -> tuple[Any, Found] | None:
    """A quoted text, a number, or the word behind a comparison."""
    quoted = _text(name, schema, sentence, reading) or _number(name, schema, sentence, reading)
    if quoted:
        return str(quoted[0]), quoted[1]
    signs = "|".join(f"(?:{p})" for p in _OPERATORS.values())
    return _after(rf"(?:{signs})", sentence, Reading(spans=list(reading.spans)))


def _nothing(name: str, schema: Mapping[str, Any], sentence: Sentence, reading: Reading) -> None:
    return None


_READERS: dict[str, Reader] = {
    "file": _file, "expression": _expression, "choice": _choice, "function": _choice, "operator": _operator,
    "zone": _scanner(zones_in), "date": _scanner(_moments_in), "date-time": _scanner(_moments_in),
    "time": _scanner(_moments_in), "number": _number, "integer": _number, "boolean": _flag, "array": _array,
    "by": _by, "column": _column, "value": _value, "text": _text, "other": _nothing,
}  # fmt: skip


def _reader(name: str, schema: Mapping[str, Any]) -> Reader:
    return _READERS[kind(name, schema)]
