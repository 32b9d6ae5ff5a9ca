"""The arguments of a tool that a sentence tells, by their schema. What is not said is not made up."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from nodes.llm.offline.sums import numbers_in
from nodes.llm.offline.words import STOP, Found, meaning, moments_in, name_parts, words, zones_in

_QUOTED = re.compile(r"\"([^\"\n]+)\"|“([^“”\n]+)”|(?<!\w)'([^'\n]+)'(?!\w)|`([^`\n]+)`")
_FILE = re.compile(r"(?<![\w/])[\w-][\w .-]{0,120}?\.[A-Za-z]{2,5}(?!\w)")
_WORD = re.compile(r"([^\W\d][\w-]*)")
_NO_COLUMN = STOP | {"column", "row", "rows"}
_THE_FILE = re.compile(r"\b(?:the|this|my|that) (?:file|csv|spreadsheet|uploaded file)\b", re.IGNORECASE)
_FUNCTIONS = {meaning(word) for word in ("sum", "mean", "min", "max", "count", "median")}
_STATISTICS = "total|sum|average|mean|median|maximum|minimum|max|min|(?:high|low|larg|small)est|count|number"
# A comparison: how a schema may spell it, and how people say it.
_OPERATORS = {
    (">=", "ge", "gte"): r"at least|>=|≥|no less than|not less than|or more",
    ("<=", "le", "lte"): r"at most|<=|≤|no more than|not more than|or less",
    ("!=", "ne", "neq", "<>"): r"is not|isn't|not equal(?: to)?|!=|≠|other than|except",
    (">", "gt"): r"greater than|more than|larger than|bigger than|higher than|above|over|>|exceeds",
    ("<", "lt"): r"less than|smaller than|fewer than|lower than|below|under|<",
    ("contains",): r"contains?|containing|includes?|including",
    ("==", "eq", "=", "equals"): r"equals?(?: to)?|==?|\bis\b",
}
_FREE_TEXT = {"query", "q", "text", "message", "question", "term", "search"}
_BEHIND = re.compile(r"^\s*(?:for|about|on|the word|:)\s+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sentence:
    """What is read: the text, the thread's file names, and the number spoken of before."""

    text: str
    files: Sequence[str] = ()
    previous: str | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    """A bound tool, as its schema tells: `properties` without the `null` of optional ones."""

    name: str
    description: str
    properties: Mapping[str, Mapping[str, Any]]
    required: Sequence[str] = ()

    def wanting(self, wanted: str) -> str | None:
        """The first parameter of that kind."""
        return next((name for name, schema in self.properties.items() if kind(name, schema) == wanted), None)

    def vocabulary(self) -> dict[str, float]:
        """What each word weighs that speaks of the tool: of its description, its parameters, its name."""
        said = {meaning(word.value): 1.0 for word in words(self.description)}
        for name, schema in self.properties.items():
            said |= {meaning(part): 2.0 for part in [*name_parts(name), *map(str, schema.get("enum", ()))]}
        return said | {meaning(part): 3.0 for part in name_parts(self.name)}


@dataclass(slots=True)
class Reading:
    """The arguments that were read, where in the text they stand, and required ones that are missing."""

    sentence: Sentence
    values: dict[str, Any] = field(default_factory=dict)
    taken: list[Found] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def free(self, found: Iterable[Found]) -> list[Found]:
        """Those that no argument stands in yet."""
        return [one for one in found if all(one.apart(taken) for taken in self.taken)]

    def take(self, name: str, found: Found) -> None:
        self.values[name] = found.value
        self.taken.append(found)


def plain(schema: Any) -> Mapping[str, Any]:
    """The schema without the ways in which one may be written: one type, and a list of choices or none."""
    if not isinstance(schema, Mapping):
        return {}
    options = [o for o in schema.get("anyOf") or [] if isinstance(o, Mapping) and o.get("type") != "null"]
    found = {**schema, **options[0]} if len(options) == 1 else dict(schema)
    given = found.get("type")
    if isinstance(given, list):
        found["type"] = next((t for t in given if t != "null"), "string")
    if not isinstance(found.get("enum"), list):
        found.pop("enum", None)
    return found


def read_arguments(tool: Tool, sentence: Sentence) -> Reading:
    """The arguments of `tool` that the sentence tells."""
    reading = Reading(sentence)
    kinds = {name: kind(name, schema) for name, schema in tool.properties.items()}
    # What can be recognised for certain is read first, so that free words are taken last.
    for name in sorted(kinds, key=lambda n: (_CERTAIN.get(kinds[n], len(_CERTAIN)), n not in tool.required)):
        reader = _READERS.get(kinds[name])
        if reader and (found := reader(_Asked(name, tool.properties[name], reading))):
            reading.take(name, found)
    reading.missing = [name for name in tool.required if name not in reading.values]
    if len(reading.missing) == 1 and kinds.get(reading.missing[0]) == "text":
        _read_rest(reading, tool)
    return reading


def _read_rest(reading: Reading, tool: Tool) -> None:
    """Free text stands behind the word that names the tool: `search for cats` asks for `cats`."""
    (name,) = reading.missing
    named = {meaning(part) for part in name_parts(tool.name)}
    text = reading.sentence.text
    for word in words(text) if _FREE_TEXT & set(name_parts(name)) else []:
        rest = _BEHIND.sub("", text[word.end :]).strip().strip("?.!").strip()
        if meaning(word.value) in named and rest:
            reading.take(name, Found(rest, word.end, len(text)))
            reading.missing = []
            return


def kind(name: str, schema: Mapping[str, Any]) -> str:
    """What a parameter wants, from its type, format, name and description."""
    parts, text = set(name_parts(name)), f"{schema.get('description') or ''}".lower()
    given = schema.get("type")
    if options := schema.get("enum"):
        return "operator" if len(set(map(str, options)) & set().union(*_OPERATORS)) >= 2 else "choice"
    if given in {"number", "integer", "boolean", "array"}:
        return str(given)
    if given not in {None, "string"}:
        return "other"
    for wanted, names, said in _STRING_KINDS:
        if parts & set(names.split()) or (said and re.search(said, text)):
            return wanted
    return str(schema.get("format")) if schema.get("format") in {"date", "date-time", "time"} else "text"


_STRING_KINDS = (
    ("file", "filename file files attachment", r"\bname of (?:a|the) (?:csv )?file"),
    ("expression", "expression expr formula", r"\barithmetic expression"),
    ("zone", "zone timezone tz city", r"\biana\b|\btime zone\b"),
    ("operator", "op operator comparison", ""),
    ("choice", "function func aggregation statistic", r"\bsum, |\bmean, "),
    ("by", "by groupby group sort", ""),
    ("column", "column columns field", r"\bcolumn\b(?! to group)"),
    ("date", "date day start end since until begin", r"\biso (?:8601 )?date"),
    ("time", "time datetime when moment", ""),
    ("value", "value", ""),
)


@dataclass(frozen=True, slots=True)
class _Asked:
    """One parameter that is looked for."""

    name: str
    schema: Mapping[str, Any]
    reading: Reading

    @property
    def text(self) -> str:
        return self.reading.sentence.text

    @property
    def parts(self) -> set[str]:
        return set(name_parts(self.name))


def _file(asked: _Asked) -> Found | None:
    text, files = asked.text, asked.reading.sentence.files
    for known in sorted(files, key=len, reverse=True):
        if (at := text.lower().find(known.lower())) >= 0:
            return Found(known, at, at + len(known))
    if _FILE.search(text):
        return None  # another file is named, and it is not in the thread
    for known in files:
        match = re.search(rf"\b{re.escape(known.rsplit('.', 1)[0])}\b", text, re.IGNORECASE)
        if match:
            return Found(known, match.start(), match.end())
    hint = _THE_FILE.search(text)
    return Found(files[0], hint.start(), hint.end()) if len(files) == 1 and hint else None


def _choice(asked: _Asked) -> Found | None:
    # Choices that only the description lists: `sum, mean or max`.
    told = re.findall(r"\w+", str(asked.schema.get("description") or ""))
    listed = [word for word in told if meaning(word) in _FUNCTIONS]
    options = asked.schema.get("enum") or listed
    return _word_of(asked, {meaning(str(option)): option for option in options})


def _flag(asked: _Asked) -> Found | None:
    return _word_of(asked, dict.fromkeys({meaning(p) for p in asked.parts - {"as", "with"}}, True))


def _word_of(asked: _Asked, options: Mapping[str, Any]) -> Found | None:
    said = ((meaning(word.value), word) for word in words(asked.text))
    return next((Found(options[meant], w.start, w.end) for meant, w in said if meant in options), None)


def _operator(asked: _Asked) -> Found | None:
    options = [str(option) for option in asked.schema.get("enum", ())]
    for spellings, pattern in _OPERATORS.items():
        match = re.search(pattern, asked.text, re.IGNORECASE)
        spelled = next((s for s in spellings if not options or s in options), None)
        if match and spelled is not None:
            return Found(spelled, match.start(), match.end())
    return None


def _scanner(scan: Callable[[str], list[Found]]) -> Callable[[_Asked], Found | None]:
    """Reads the first that is free; for `from_…` and `to_…` the one behind that word."""

    def reader(asked: _Asked) -> Found | None:
        found = scan(asked.text)
        free = asked.reading.free(found)
        before = {one: asked.text[: one.start].rstrip().rpartition(" ")[2].lower() for one in free}
        if asked.parts & {"to", "target", "end", "until", "destination"}:
            behind = [one for one in free if before[one] in {"to", "in", "until", "into", "for"}]
            free = (behind or (free if len(found) > 1 else []))[-1:]
        elif asked.parts & {"from", "source", "start", "since"}:
            free = [one for one in free if before[one] in {"from", "since"}] or free
        return free[0] if free else None

    return reader


def _number(asked: _Asked) -> Found | None:
    whole = asked.schema.get("type") == "integer"
    return next(
        (
            one
            for one in asked.reading.free(numbers_in(asked.text))
            if not whole or isinstance(one.value, int)
        ),
        None,
    )


def _array(asked: _Asked) -> Found | None:
    if plain(asked.schema.get("items")).get("type") in {"number", "integer"}:
        found = asked.reading.free(numbers_in(asked.text))
        return Found([one.value for one in found], found[0].start, found[-1].end) if found else None
    one = (_column if kind(asked.name, {"type": "string"}) == "column" else _text)(asked)
    return Found([one.value], one.start, one.end) if one else None


def _column(asked: _Asked) -> Found | None:
    leads = (
        r"\b(?:column|field)",
        rf"\b(?:{_STATISTICS})(?: up)?(?: of)?(?: all)?(?: the)?",
        r"\b(?:where|with|whose|have|has|having)(?: the| an?)?",
    )
    return next((found for lead in leads if (found := _after(lead, asked))), None)


def _after(lead: str, asked: _Asked) -> Found | None:
    """The quoted text or the word right behind `lead`."""
    for match in re.finditer(lead + r"\s+", asked.text, re.IGNORECASE):
        quoted = _QUOTED.match(asked.text, match.end())
        behind = quoted or _WORD.match(asked.text, match.end())
        if behind and (quoted or behind.group().lower() not in _NO_COLUMN):
            found = _said(behind)
            if asked.reading.free([found]):
                return found
    return None


def _said(match: re.Match[str]) -> Found:
    return Found(next(group for group in match.groups() if group), match.start(), match.end())


def _text(asked: _Asked) -> Found | None:
    return next(iter(asked.reading.free(map(_said, _QUOTED.finditer(asked.text)))), None)


def _value(asked: _Asked) -> Found | None:
    """A quoted text, a number, or the word behind a comparison."""
    if found := _text(asked) or _number(asked):
        return Found(str(found.value), found.start, found.end)
    return _after(rf"(?:{'|'.join(f'(?:{said})' for said in _OPERATORS.values())})", asked)


_BY = r"\b(?:by|per|for each|for every|grouped by|sorted by)(?: the)?(?: column)?"
_moment = _scanner(moments_in)
# Up to `column` in the order in which they are looked for; there is none among the others.
_READERS: dict[str, Callable[[_Asked], Found | None]] = {
    "file": _file, "operator": _operator, "choice": _choice, "zone": _scanner(zones_in), "date": _moment,
    "date-time": _moment, "time": _moment, "by": partial(_after, _BY), "column": _column,
    "number": _number, "integer": _number, "boolean": _flag, "array": _array, "value": _value, "text": _text,
}  # fmt: skip
_CERTAIN = {name: place for place, name in enumerate(_READERS) if place <= list(_READERS).index("column")}
