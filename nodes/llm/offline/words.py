"""What stands in a text: words and what they mean, places, days and times of day."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from functools import cache
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
