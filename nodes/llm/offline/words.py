"""What stands in a text: words and what they mean, places, days, times of day, and sums to be worked out."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from datetime import date
from functools import cache, partial
from typing import Any
from zoneinfo import available_timezones


def listed(text: str) -> tuple[str, ...]:
    """The words of a block of text, in their order."""
    return tuple(text.split())


STOP = frozenset(
    listed("""
    a about after all also am an and any are as at be been but by can could did do does doing for from get
    give had has have having he her here him his how i if in into is it its just let like make may me might
    my of on one or our out over please put s say shall she should show so some tell than that the their
    them then there these they this those to too up us use used using very want was we were what when where
    which while who whom whose why will with would you your e.g i.e thanks thank ok okay hey hi hello
""")
)
SMALL_TALK = frozenset(
    listed("""
    what is the of and s how much are does do equal equals make makes result answer to me tell give please
    calculate compute evaluate work out by a an in now then so about for value solve can you could i would
    like know want sum total calculator using use with it that this math if get gives come will be let ok
    okay many
""")
)
"""What may stand around a sum without making the sentence about something else."""
# Each line means one thing; its first word stands for all of them.
_SAME = """
sum total plus add addition altogether summed
mean average avg
max maximum highest largest biggest most greatest
min minimum lowest smallest least fewest
count number many
time clock hour oclock
date day today
now current currently
convert conversion change
difference between elapsed duration apart
head first top beginning
describe overview summary summarise summarize columns structure
filter where only rows
aggregate group grouped per
file table csv spreadsheet
delete remove
find search lookup
multiply product
subtract minus
divide divided quotient
"""
# Cities and countries that have no zone of their own name.
_PLACES = """
America/Los_Angeles: San Francisco, Seattle, California, Silicon Valley, LA, Las Vegas
America/New_York: Boston, Washington, Miami, Atlanta, NYC, Philadelphia
America/Chicago: Austin, Dallas, Houston, Texas
America/Toronto: Montreal, Ottawa
America/Sao_Paulo: Rio de Janeiro
Asia/Shanghai: Beijing, China, Shenzhen
Asia/Kolkata: India, Mumbai, Delhi, New Delhi, Bangalore, Bengaluru, Chennai
Asia/Tokyo: Osaka, Kyoto, Japan
Asia/Seoul: Korea, South Korea
Asia/Dubai: Abu Dhabi
Asia/Jerusalem: Tel Aviv
Asia/Bangkok: Hanoi
Europe/Berlin: Germany, Munich, Hamburg, Frankfurt, Cologne
Europe/Paris: France, Lyon
Europe/Rome: Italy, Milan
Europe/Madrid: Spain, Barcelona
Europe/Zurich: Switzerland, Geneva, Basel, Bern
Europe/Vienna: Austria
Europe/London: England, Scotland, UK, Manchester, Edinburgh
Europe/Amsterdam: Netherlands, Rotterdam
Europe/Stockholm: Sweden
Europe/Oslo: Norway
Europe/Copenhagen: Denmark
Europe/Helsinki: Finland
Europe/Athens: Greece
Australia/Sydney: Canberra
"""
_MONTHS = listed("january february march april may june july august september october november december")
_NUMBERS = listed("zero one two three four five six seven eight nine ten eleven twelve")

_WORD = re.compile(r"[^\W_]+(?:['’.-][^\W_]+)*")
_NAME_PART = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_]+")
_ENDINGS = ("ations", "ation", "ings", "ing", "edly", "ies", "ed", "es", "ly", "s")


@dataclass(frozen=True, slots=True)
class Found:
    """What was read, and between which characters it stands."""

    value: Any
    start: int
    end: int

    def apart(self, other: Found) -> bool:
        return self.end <= other.start or self.start >= other.end


def words(text: str) -> list[Found]:
    """The words of a text, in order."""
    return [Found(m.group(), m.start(), m.end()) for m in _WORD.finditer(text)]


def content_words(text: str) -> list[Found]:
    """The words that carry meaning."""
    return [word for word in words(text) if word.value.lower() not in STOP]


def name_parts(name: str) -> list[str]:
    """`group_by` and `groupBy` as words."""
    return [part.lower() for part in _NAME_PART.findall(name)]


def stem(word: str) -> str:
    """A light stem: plural and verb endings go, doubled consonants become one."""
    word = word.lower().replace("’", "'").removesuffix("'s")
    if len(word) < 4 or not word.isalpha():
        return word
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            base = word[: -len(ending)]
            return _rounded(base + "y" if ending == "ies" else base)
    return _rounded(word)


def _rounded(base: str) -> str:
    if len(base) > 3 and base[-1] == base[-2] and base[-1] not in "aeiouls":
        base = base[:-1]
    return base[:-1] if len(base) > 3 and base.endswith("e") else base


_MEANT = {stem(w): stem(line.split()[0]) for line in _SAME.strip().splitlines() for w in line.split()}


def meaning(word: str) -> str:
    """The stem that stands for the word and for those that mean the same."""
    found = stem(word)
    return _MEANT.get(found, found)


_PLACE = re.compile(r"[^\W\d_]+(?:[/_'+-][^\W\d_]+)*")
_AREAS = ("Etc", "US", "Brazil", "Canada", "Chile", "Mexico")


@cache
def _zones() -> dict[str, str]:
    """IANA zone by lower-case name: the whole name, and the city alone."""
    found: dict[str, str] = {}
    for zone in sorted(available_timezones() - {"localtime", "Factory"}):
        area, _, city = zone.rpartition("/")
        found[zone.lower()] = zone
        if area and not area.startswith(_AREAS):
            found.setdefault(city.replace("_", " ").lower(), zone)
    lines = (line.split(": ") for line in _PLACES.strip().splitlines())
    return found | {name.lower(): zone for zone, names in lines for name in names.split(", ")}


def zones_in(text: str) -> list[Found]:
    """The time zones that the text names, by IANA name, city or country, longest names first, in order."""
    found: list[Found] = []
    places = list(_PLACE.finditer(text))
    for at, first in enumerate(places):
        for last in reversed(places[at : at + 4]):
            name = text[first.start() : last.end()]
            if _names_zone(name) and (not found or first.start() >= found[-1].end):
                found.append(Found(_zones()[name.lower()], first.start(), last.end()))
    return found


def _names_zone(name: str) -> bool:
    """Short words are zones only in capitals: `MET` and `LA` are, `met` and `la` are not."""
    written = name.isupper() if len(name) <= 3 else len(name) > 4 or name[0].isupper()
    return written and name.lower() in _zones()


_MONTH = "(?P<month>" + "|".join(f"{m[:3]}(?:{m[3:]})?" if len(m) > 3 else m for m in _MONTHS) + r")\.?"
_DAYS = (
    re.compile(
        r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})"
        r"(?P<clock>T\d{2}:\d{2}(?::\d{2})?(?:Z|[+-]\d{2}:?\d{2})?| \d{2}:\d{2}(?::\d{2})?)?"
    ),
    re.compile(rf"(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\.? (?:of )?{_MONTH},? (?P<year>\d{{4}})", re.IGNORECASE),
    re.compile(rf"{_MONTH} (?P<day>\d{{1,2}})(?:st|nd|rd|th)?,? (?P<year>\d{{4}})", re.IGNORECASE),
)
_CLOCK = re.compile(
    r"\b(?:(\d{1,2}):(\d{2})(?::\d{2})?\s*(am|pm)?|(\d{1,2})\s*(am|pm|o'clock|h))\b|\b(noon|midnight)\b",
    re.IGNORECASE,
)


def dates_in(text: str) -> list[Found]:
    """The days of the text as ISO dates (with their time where one stands behind), in order."""
    found = [_day(match) for pattern in _DAYS for match in pattern.finditer(text)]
    return sorted((day for day in found if day), key=lambda day: day.start)


def _day(match: re.Match[str]) -> Found | None:
    said = match["month"].lower()[:3]
    month = int(said) if said.isdigit() else [m[:3] for m in _MONTHS].index(said) + 1
    try:
        day = date(int(match["year"]), month, int(match["day"])).isoformat()
    except ValueError:
        return None
    return Found(day + (match.groupdict().get("clock") or ""), match.start(), match.end())


def clocks_in(text: str) -> list[Found]:
    """The times of day of the text as HH:MM, in order."""
    return [clock for match in _CLOCK.finditer(text) if (clock := _clock(match))]


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


def moments_in(text: str) -> list[Found]:
    """The days and times of day of the text, in order."""
    dates = dates_in(text)
    clocks = [clock for clock in clocks_in(text) if all(map(clock.apart, dates))]
    return sorted([*dates, *clocks], key=lambda found: found.start)


LONGEST_SUM = 500
"""Characters of a text in which a sum is looked for."""
NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][+-]?\d+)?|\.\d+"
_NUMBER = re.compile(rf"(?<![\w.])-?(?:{NUMBER})(?![\w]|\.\d)")
_ISO_DAY = re.compile(r"\b\d{4}-\d{1,2}-\d{1,2}\b")
_N = rf"(\((?:-(?:{NUMBER}))\)|-?(?:{NUMBER}))"
_LIST = rf"({_N}(?:\s*(?:,|and|with|to|,\s*and)\s*-?(?:{NUMBER}))+)"
_NO_NUMBERS = re.compile(
    r"\b\d{4}-\d{1,2}-\d{1,2}\b|\b\d{1,2}:\d{2}\b|\b\d+(?:\.\d+){2,}\b|\b\d{1,2}/\d{1,2}/\d{2,4}\b"
)
_CHANGES = {"doubled": "* 2", "tripled": "* 3", "halved": "/ 2", "squared": "** 2", "cubed": "** 3"}
_CHANGED = "|".join(_CHANGES)
_LISTS = {
    rf"\b(?:add(?:ing)?|(?:the )?(?:sum|total) of|sum(?: up)?) {_LIST}": (" + ", ""),
    rf"\b(?:the )?product of {_LIST}": (" * ", ""),
    rf"\b(?:the )?(?:average|mean) of {_LIST}": (" + ", " / {count}"),
}
_PHRASES = {
    rf"{_N}\s*(?:%|percent|per cent) of {_N}": r"(\2 * \1 / 100)",
    rf"(?:the )?square root of {_N}": r"(\1 ** 0.5)",
    rf"(?:the )?(?:double|twice)(?: of)? {_N}": r"(\1 * 2)",
    rf"(?:the )?(?:triple|thrice)(?: of)? {_N}": r"(\1 * 3)",
    rf"(?:a |the )?half of {_N}": r"(\1 / 2)",
    rf"{_N},? twice\b": r"(\1 * 2)",
    **{rf"{_N},? (?:and )?{word}\b": rf"(\1 {change})" for word, change in _CHANGES.items()},
    rf"\bsquare(?: of)? {_N}": r"(\1 ** 2)",
    rf"\bsubtract {_N} from {_N}": r"(\2 - \1)",
    rf"\b(?:subtract|(?:the )?difference (?:between|of)) {_N}(?: and|,) {_N}": r"(\1 - \2)",
    rf"\b(?:divide|(?:the )?quotient of) {_N} (?:by|and|with) {_N}": r"(\1 / \2)",
    rf"\bmultiply {_N} (?:by|and|with) {_N}": r"(\1 * \2)",
    r"\bto the power of\b|\braised to(?: the)?\b|\*\*|\^": " ** ",
    r"\bmultiplied by\b|\btimes\b|[×·]|(?<=\d)\s*x\s*(?=\d)": " * ",
    r"\bdivided by\b|÷": " / ",
    r"\bplus\b": " + ",
    r"\bminus\b|−": " - ",
    r"\bmod(?:ulo)?\b": " % ",
}
_THEN = re.compile(rf"^(.*?),?\s+(?:and|then|and then) ({_CHANGED})\W*$", re.IGNORECASE)
_PREVIOUS = re.compile(r"\b(?:that|it|this|the (?:result|answer|previous one)|those)\b", re.IGNORECASE)
_LEADING = re.compile(
    r"^\W*(?:(?:and|now|then|what about|what is|what's|so|okay|ok|please) )*", re.IGNORECASE
)
_OF_IT = re.compile(r"(?:double|twice|triple|half)\W*$", re.IGNORECASE)
_GOES_ON = re.compile(
    rf"(?!-\d)(?:{_CHANGED}|plus|minus|times|divided by|multiplied by|to the power of|[-+*/^×÷])"
    r"(?:\W*$|\s+(?:by\s+)?-?[\d(])",
    re.IGNORECASE,
)
_SUM = re.compile(rf"(?:[-+]\s*)?[(\s]*-?(?:{NUMBER})(?:[\s()]|{NUMBER}|\*\*|[-+*/%](?!\*))*", re.IGNORECASE)
_PIECE = re.compile(rf"{NUMBER}|\*\*|[-+*/%()]")
_SIGN = re.compile(r"(?<=[\d.)])(\*\*|[-+*/%])")
_OF_TWO = re.compile(rf"^{_N} (\*\*|[-+*/%]) {_N}$")
_NUMBER_WORD = re.compile(rf"\b(?:{'|'.join(_NUMBERS)})\b", re.IGNORECASE)
_IN_A_NUMBER = re.compile(rf"[$€£]\s*(?={NUMBER})|(?<=\d),(?=\d{{3}}\b)")


def numbers_in(text: str) -> list[Found]:
    """The numbers of the text that are no part of a moment, in order."""
    # A day that does not exist is no date, and no three numbers either.
    moments = [*moments_in(text), *(Found("", m.start(), m.end()) for m in _ISO_DAY.finditer(text))]
    found = [Found(_value(m.group()), m.start(), m.end()) for m in _NUMBER.finditer(text)]
    return [number for number in found if all(map(number.apart, moments))]


def _value(written: str) -> int | float:
    value = float(written.replace(",", ""))
    return int(value) if value.is_integer() else value


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """A sum that was read from a sentence."""

    expression: str

    @property
    def binary(self) -> tuple[str, int | float, int | float] | None:
        """(operator, left, right) when there are just two numbers."""
        found = _OF_TWO.match(self.expression)
        return (found[2], _value(found[1].strip("()")), _value(found[3].strip("()"))) if found else None


def read_sum(text: str, previous: str | None = None) -> Arithmetic | None:
    """The sum that the sentence asks for, or None when it asks for something else.

    Args:
        previous: The number that "that", "doubled" and the like refer to.
    """
    if len(text) > LONGEST_SUM:
        return None
    text = " ".join(text.split())
    then = _THEN.match(text)
    if then and (first := read_sum(then[1], previous)):
        return Arithmetic(f"({first.expression}) {_CHANGES[then[2].lower()]}")
    line = _NUMBER_WORD.sub(lambda m: str(_NUMBERS.index(m.group().lower())), _NO_NUMBERS.sub(" date ", text))
    line = _IN_A_NUMBER.sub("", line)
    return _only_sum(_phrases(line if previous is None else _with_previous(line, previous)))


def _with_previous(line: str, previous: str) -> str:
    number = f"({previous})" if previous.startswith("-") else previous
    rest = _LEADING.sub("", line, count=1)
    if _OF_IT.match(rest):
        return f"{rest.rstrip('?.! ')} of {number}"
    return f"{number} {rest}" if _GOES_ON.match(rest) else _PREVIOUS.sub(f" {number} ", line)


def _phrases(line: str) -> str:
    """The line with its words for an operation written as signs."""
    line = " ".join(line.split())
    for pattern, (sign, after) in _LISTS.items():
        line = re.sub(pattern, partial(_joined, sign=sign, after=after), line, flags=re.IGNORECASE)
    for pattern, written in _PHRASES.items():
        line = re.sub(pattern, partial(_filled, written=written), line, flags=re.IGNORECASE)
    return line


def _joined(match: re.Match[str], *, sign: str, after: str) -> str:
    numbers = re.findall(rf"-?(?:{NUMBER})", match[1])
    return f"(({sign.join(numbers)}){after.format(count=len(numbers))})"


def _filled(match: re.Match[str], *, written: str) -> str:
    """The phrase's expression; negative numbers in brackets, so that a power takes their sign along."""
    for place, number in enumerate(match.groups(), 1):
        written = written.replace(f"\\{place}", f"({number})" if number.startswith("-") else number)
    return written


def _only_sum(line: str) -> Arithmetic | None:
    """The longest sum of the line, if nothing but small talk stands around it."""
    for match in sorted(_SUM.finditer(line), key=lambda m: -len(m.group())):
        expression = _written(match.group())
        if expression is not None:
            rest = re.findall(r"[^\W_]+", f"{line[: match.start()]} {line[match.end() :]}".lower())
            return Arithmetic(expression) if SMALL_TALK.issuperset(rest) else None
    return None


def _written(text: str) -> str | None:
    """The text as a well-formed expression with at least one operation, or None."""
    pieces = _PIECE.findall(text.rstrip("-+*/% "))
    try:
        whole = ast.parse(
            " ".join("n" if piece[-1].isdigit() else piece for piece in pieces), mode="eval"
        ).body
    except SyntaxError:
        return None
    nodes = list(ast.walk(whole))
    if not all(map(_of_a_sum, nodes)) or not any(isinstance(node, ast.BinOp) for node in nodes):
        return None
    around = whole.col_offset // 2  # brackets around the whole
    return _SIGN.sub(r" \1 ", "".join(pieces[around : len(pieces) - around]))


def _of_a_sum(node: ast.AST) -> bool:
    """Numbers, operations, and one minus before a number or a bracket."""
    if isinstance(node, ast.UnaryOp):
        return not (isinstance(node.operand, ast.UnaryOp) and node.operand.col_offset == node.col_offset + 2)
    return isinstance(node, (ast.BinOp, ast.operator, ast.USub, ast.Name, ast.Load))
