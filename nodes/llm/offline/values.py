"""Values that stand in a sentence: time zones, dates, times of day, and sums, which are not computed here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from functools import cache, partial
from zoneinfo import available_timezones

from nodes.llm.offline.words import MONTHS, NUMBERS, PLACES, SMALL_TALK

_ZONE_WORD = re.compile(r"[^\W\d_]+(?:[/_' +-][^\W\d_]+)*", re.UNICODE)

_MONTH = "(" + "|".join(f"{m[:3]}(?:{m[3:]})?" if len(m) > 3 else m for m in MONTHS) + r")\.?"
_ISO = r"(\d{4})-(\d{1,2})-(\d{1,2})(T\d{2}:\d{2}(?::\d{2})?(?:Z|[+-]\d{2}:?\d{2})?| \d{2}:\d{2}(?::\d{2})?)?"
_DAY_FIRST = rf"(\d{{1,2}})(?:st|nd|rd|th)?\.? (?:of )?{_MONTH},? (\d{{4}})"
_MONTH_FIRST = rf"{_MONTH} (\d{{1,2}})(?:st|nd|rd|th)?,? (\d{{4}})"
_CLOCK = r"\b(?:(\d{1,2}):(\d{2})(?::\d{2})?\s*(am|pm)?|(\d{1,2})\s*(am|pm|o'clock|h))\b|\b(noon|midnight)\b"


@dataclass(frozen=True, slots=True)
class Found:
    """A value that was read, and where it stands."""

    value: str
    start: int
    end: int


@cache
def _zones() -> dict[str, str]:
    """IANA zone by lower-case name: the whole name, and the city alone."""
    found: dict[str, str] = {}
    for zone in sorted(available_timezones()):
        if zone.startswith(("posix", "right", "SystemV")) or zone in {"localtime", "Factory"}:
            continue
        found[zone.lower()] = zone
        area, _, city = zone.rpartition("/")
        if area and not area.startswith(("Etc", "US", "Brazil", "Canada", "Chile", "Mexico")):
            found.setdefault(city.replace("_", " ").lower(), zone)
    return found | {name.lower(): zone for name, zone in _places()}


def _places() -> list[tuple[str, str]]:
    lines = [line.split(": ") for line in PLACES.strip().splitlines()]
    return [(name, zone) for zone, names in lines for name in names.split(", ")]


def zones_in(text: str) -> list[Found]:
    """The time zones that the text names, by IANA name, city or country, in order."""
    found: list[Found] = []
    known = _zones()
    for run in _ZONE_WORD.finditer(text):
        found += _zones_in_run(run.group(), run.start(), known)
    return found


def _zones_in_run(run: str, offset: int, known: dict[str, str]) -> list[Found]:
    """Longest names first, up to four words."""
    tokens = [(m.group(), m.start(), m.end()) for m in re.finditer(r"[^\s]+", run)]
    found: list[Found] = []
    place = 0
    while place < len(tokens):
        for length in range(min(4, len(tokens) - place), 0, -1):
            start, end = tokens[place][1], tokens[place + length - 1][2]
            name = run[start:end]
            if _names_zone(name, known):
                found.append(Found(known[name.lower()], offset + start, offset + end))
                place += length
                break
        else:
            place += 1
    return found


def _names_zone(name: str, known: dict[str, str]) -> bool:
    """Short words are zones only in capitals: `MET` and `LA` are, `met` and `la` are not."""
    return (
        name.lower() in known and (len(name) > 4 or name[:1].isupper()) and (len(name) > 3 or name.isupper())
    )


def dates_in(text: str) -> list[Found]:
    """The days of the text as ISO dates (with their time where one stands behind), in order."""
    found = [_iso(m) for m in re.finditer(_ISO, text)]
    for pattern, month_at in ((_DAY_FIRST, 2), (_MONTH_FIRST, 1)):
        found += [_named(m, month_at) for m in re.finditer(pattern, text, re.IGNORECASE)]
    return sorted((f for f in found if f is not None), key=lambda f: f.start)


def _iso(match: re.Match[str]) -> Found | None:
    day = _day(*map(int, match.groups()[:3]))
    return Found(day + (match.group(4) or ""), match.start(), match.end()) if day else None


def _named(match: re.Match[str], month_at: int) -> Found | None:
    month = next(i for i, m in enumerate(MONTHS, 1) if m.startswith(match.group(month_at).lower()[:3]))
    day = _day(int(match.group(3)), month, int(match.group(3 - month_at)))
    return Found(day, match.start(), match.end()) if day else None


def _day(year: int, month: int, day: int) -> str:
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return ""


def clocks_in(text: str) -> list[Found]:
    """The times of day of the text as HH:MM, in order."""
    found = [_clock(m) for m in re.finditer(_CLOCK, text, re.IGNORECASE)]
    return [f for f in found if f is not None]


def _clock(match: re.Match[str]) -> Found | None:
    hour_a, minute, half_a, hour_b, half_b, word = match.groups()
    if word:
        return Found("12:00" if word.lower() == "noon" else "00:00", match.start(), match.end())
    hour, half = int(hour_a or hour_b), (half_a or half_b or "").lower()
    if half in {"am", "pm"}:
        hour = hour % 12 + (12 if half == "pm" else 0)
    if hour > 23 or int(minute or 0) > 59:
        return None
    return Found(f"{hour:02d}:{int(minute or 0):02d}", match.start(), match.end())


NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][+-]?\d+)?|\.\d+"
_DATE = re.compile(
    r"\b\d{4}-\d{1,2}-\d{1,2}\b|\b\d{1,2}:\d{2}\b|\b\d+(?:\.\d+){2,}\b|\b\d{1,2}/\d{1,2}/\d{2,4}\b"
)
_N = rf"(\((?:-(?:{NUMBER}))\)|-?(?:{NUMBER}))"
_LIST = rf"({_N}(?:\s*(?:,|and|with|to|,\s*and)\s*-?(?:{NUMBER}))+)"

_LONGEST = 500
_OPERATORS = [
    (r"\bto the power of\b|\braised to(?: the)?\b|\*\*|\^", "**"),
    (r"\bmultiplied by\b|\btimes\b|[×·]|(?<=\d)\s*x\s*(?=\d)", "*"),
    (r"\bdivided by\b|÷", "/"),
    (r"\bplus\b", "+"),
    (r"\bminus\b|−", "-"),
    (r"\bmod(?:ulo)?\b", "%"),
]
_PHRASES = [
    (rf"{_N}\s*(?:%|percent|per cent) of {_N}", r"(\2 * \1 / 100)"),
    (rf"(?:the )?square root of {_N}", r"(\1 ** 0.5)"),
    (rf"(?:the )?(?:double|twice)(?: of)? {_N}", r"(\1 * 2)"),
    (rf"(?:the )?(?:triple|thrice)(?: of)? {_N}", r"(\1 * 3)"),
    (rf"(?:a |the )?half of {_N}", r"(\1 / 2)"),
    (rf"{_N},? (?:and )?(?:doubled|twice)\b", r"(\1 * 2)"),
    (rf"{_N},? (?:and )?tripled\b", r"(\1 * 3)"),
    (rf"{_N},? (?:and )?halved\b", r"(\1 / 2)"),
    (rf"{_N},? (?:and )?squared\b", r"(\1 ** 2)"),
    (rf"{_N},? (?:and )?cubed\b", r"(\1 ** 3)"),
    (rf"\bsquare(?: of)? {_N}", r"(\1 ** 2)"),
    (rf"\bsubtract {_N} from {_N}", r"(\2 - \1)"),
    (rf"\bsubtract {_N}(?: and|,) {_N}", r"(\1 - \2)"),
    (rf"\bdivide {_N} (?:by|and|with) {_N}", r"(\1 / \2)"),
    (rf"\b(?:the )?difference (?:between|of) {_N} and {_N}", r"(\1 - \2)"),
    (rf"\b(?:the )?quotient of {_N} and {_N}", r"(\1 / \2)"),
    (rf"\bmultiply {_N} (?:by|and|with) {_N}", r"(\1 * \2)"),
]
_LISTS = [
    (rf"\b(?:add(?:ing)?|(?:the )?(?:sum|total) of|sum(?: up)?) {_LIST}", " + ", ""),
    (rf"\b(?:the )?product of {_LIST}", " * ", ""),
    (rf"\b(?:the )?(?:average|mean) of {_LIST}", " + ", " / {count}"),
]
_PREVIOUS = re.compile(r"\b(?:that|it|this|the (?:result|answer|previous one)|those)\b", re.IGNORECASE)
_SUM = re.compile(rf"(?:[-+]\s*)?[(\s]*-?(?:{NUMBER})(?:[\s()]|{NUMBER}|\*\*|[-+*/%](?!\*))*", re.IGNORECASE)
_TOKEN = re.compile(rf"{NUMBER}|\*\*|[-+*/%()]")
_SIGNS = frozenset({"+", "-", "*", "/", "%", "**"})
_BINARY_SIGN = re.compile(r"(?<=[\d.)])(\*\*|[-+*/%])")
# `n` is a number, `o` a sign other than minus; a number may have one minus of its own.
_GROUP = re.compile(r"\(-?n(?:[-o]-?n)*\)")
_WHOLE = re.compile(r"-?n(?:[-o]-?n)*")
_THEN = re.compile(
    r"^(.*?),?\s+(?:and|then|and then) (doubled|tripled|halved|squared|cubed)\W*$", re.IGNORECASE
)
_AFTER = {"doubled": "* 2", "tripled": "* 3", "halved": "/ 2", "squared": "** 2", "cubed": "** 3"}
_BINARY = re.compile(rf"^\(?\s*{_N}\s*(\*\*|[-+*/%])\s*{_N}\s*\)?$")
_LEADING = re.compile(
    r"^\W*(?:and |now |then |what about |what is |what's |so |ok |okay |please )*", re.IGNORECASE
)
_STARTS = (
    r"(?:doubled|double|twice|tripled|triple|halved|half|squared|cubed|plus|minus|times|divided by"
    r"|multiplied by|to the power of|[-+*/^×÷])"
)


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """A sum that was read from a sentence."""

    expression: str

    @property
    def binary(self) -> tuple[str, float, float] | None:
        """(operator, left, right) when there are just two numbers."""
        found = _BINARY.match(self.expression)
        if not found:
            return None
        left, operator, right = found.groups()
        return operator, float(left.strip("()")), float(right.strip("()"))


def read_sum(text: str, previous: str | None = None) -> Arithmetic | None:
    """The sum that the sentence asks for, or None when it asks for something else.

    Args:
        previous: The number that "that", "doubled" and the like refer to.
    """
    if len(text) > _LONGEST:
        return None
    then = _THEN.match(" ".join(text.split()))
    inner = read_sum(then.group(1), previous) if then else None
    if then and inner:
        return Arithmetic(f"({inner.expression}) {_AFTER[then.group(2).lower()]}")
    line = _numbers(_DATE.sub(" date ", " ".join(text.split())))
    if previous is not None:
        line = _with_previous(line, previous)
    return _only_sum(_phrases(line))


def _only_sum(line: str) -> Arithmetic | None:
    """The longest sum of the line, if nothing but small talk stands around it."""
    found = sorted(_SUM.finditer(line), key=lambda m: -len(m.group()))
    for match in found:
        expression = _written(match.group())
        if expression is None:
            continue
        rest = re.findall(r"[^\W_]+", f"{line[: match.start()]} {line[match.end() :]}".lower())
        return Arithmetic(expression) if SMALL_TALK.issuperset(rest) else None
    return None


def _with_previous(line: str, previous: str) -> str:
    number = f" {previous} " if not previous.startswith("-") else f" ({previous}) "
    start = _LEADING.match(line)
    tail = line[start.end() :] if start else line
    if re.match(rf"{_STARTS}(?:\W*$|\s+(?:by\s+)?-?[\d(])", tail, re.IGNORECASE) and not re.match(
        r"-\d", tail
    ):
        word = re.match(r"double|twice|triple|half", tail, re.IGNORECASE)
        bare = word and not re.match(r"doubled|tripled|halved", tail, re.IGNORECASE)
        return f"{tail.rstrip('?.! ')} of {number}" if bare else f"{number}{tail}"
    return _PREVIOUS.sub(number, line)


def _numbers(line: str) -> str:
    for value, word in enumerate(NUMBERS):
        line = re.sub(rf"\b{word}\b", str(value), line, flags=re.IGNORECASE)
    line = re.sub(rf"[$€£]\s*(?={NUMBER})", "", line)
    return re.sub(r"(?<=\d),(?=\d{3}\b)", "", line)


def _phrases(line: str) -> str:
    line = " ".join(line.split())
    for pattern, joined, after in _LISTS:
        line = re.sub(pattern, partial(_joined, sign=joined, after=after), line, flags=re.IGNORECASE)
    for pattern, written in _PHRASES:
        line = re.sub(pattern, partial(_filled, written=written), line, flags=re.IGNORECASE)
    for pattern, sign in _OPERATORS:
        line = re.sub(pattern, f" {sign} ", line, flags=re.IGNORECASE)
    return line


def _filled(match: re.Match[str], *, written: str) -> str:
    """The phrase's expression; negative numbers in brackets, so that a power takes their sign along."""

    def number(place: re.Match[str]) -> str:
        found = match.group(int(place.group(1)))
        return f"({found})" if found.startswith("-") else found

    return re.sub(r"\\(\d)", number, written)


def _joined(match: re.Match[str], *, sign: str, after: str) -> str:
    numbers = re.findall(rf"-?(?:{NUMBER})", match.group(1))
    whole = f"({sign.join(numbers)})"
    return f"({whole}{after.format(count=len(numbers))})" if after else whole


def _written(text: str) -> str | None:
    """The text as a well-formed expression with at least one operation, or None."""
    pieces = _TOKEN.findall(text)
    while pieces and pieces[-1] in _SIGNS:
        pieces.pop()
    shape = "".join(
        "o-"[piece == "-"] if piece in _SIGNS else piece if piece in "()" else "n" for piece in pieces
    )
    # From the innermost brackets out: what is well formed is as good as a number.
    while (outer := _GROUP.sub("n", shape)) != shape:
        shape = outer
    if not _WHOLE.fullmatch(shape) or not _BINARY_SIGN.search("".join(pieces)):
        return None
    return _bare(_BINARY_SIGN.sub(r" \1 ", "".join(pieces)))


def _bare(text: str) -> str:
    """Without a pair of brackets around the whole."""
    if not (text.startswith("(") and text.endswith(")")):
        return text
    depth = 0
    for sign in text[1:-1]:
        depth += {"(": 1, ")": -1}.get(sign, 0)
        if depth < 0:
            return text
    return text[1:-1]
