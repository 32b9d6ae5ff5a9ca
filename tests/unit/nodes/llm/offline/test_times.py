"""Zones, dates and clocks in sentences."""

from __future__ import annotations

import pytest

from nodes.llm.offline.words import clocks_in, dates_in, zones_in


@pytest.mark.parametrize(
    ("text", "zones"),
    [
        ("what time is it in Tokyo?", ["Asia/Tokyo"]),
        ("New York and Buenos Aires", ["America/New_York", "America/Argentina/Buenos_Aires"]),
        ("in Europe/Berlin", ["Europe/Berlin"]),
        ("in San Francisco", ["America/Los_Angeles"]),
        ("tokyo", ["Asia/Tokyo"]),
        ("UTC please", ["UTC"]),
        ("I met la belle", []),
        ("nowhere", []),
    ],
)
def test_zones_are_found_by_city_country_or_name(text: str, zones: list[str]) -> None:
    assert [found.value for found in zones_in(text)] == zones


@pytest.mark.parametrize(
    ("text", "dates"),
    [
        ("2026-01-05 and 2026-1-6", ["2026-01-05", "2026-01-06"]),
        ("5 March 2026, Mar. 6, 2026, the 7th of may 2026", ["2026-03-05", "2026-03-06", "2026-05-07"]),
        ("2026-01-05T10:30:00Z", ["2026-01-05T10:30:00Z"]),
        ("2026-13-40 or 31 June 2026", []),
    ],
)
def test_dates_become_iso(text: str, dates: list[str]) -> None:
    assert [found.value for found in dates_in(text)] == dates


def test_clocks_become_hours_and_minutes() -> None:
    found = clocks_in("9:05, 3pm, 12 am, 12:30 pm, noon, midnight, 25:00, 9:70, 17 h")
    assert [f.value for f in found] == ["09:05", "15:00", "00:00", "12:30", "12:00", "00:00", "17:00"]
