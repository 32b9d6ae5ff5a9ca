"""Time zones, dates and times of day that stand in a sentence."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from functools import cache
from zoneinfo import available_timezones

from nodes.llm.offline.words import MONTHS, PLACES

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
