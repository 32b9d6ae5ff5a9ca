"""The clock: zones, conversion, differences."""

from __future__ import annotations

import pytest
from mcp.server.fastmcp.exceptions import ToolError

from tools.clock import server as clock


@pytest.mark.parametrize(
    ("zone", "offset"), [("Asia/Tokyo", "+09:00"), ("tokyo", "+09:00"), ("UTC", "+00:00"), ("z", "+00:00")]
)
def test_now_names_the_offset_of_the_zone(zone: str, offset: str) -> None:
    assert f"(UTC{offset})" in clock.now(zone)


def test_convert_knows_summer_time_and_cities() -> None:
    answer = clock.convert("2026-07-01 14:30", "Europe/Berlin", "New York")
    expected = (
        "2026-07-01 14:30:00 CEST (UTC+02:00), Wednesday is 2026-07-01 08:30:00 EDT (UTC-04:00), Wednesday"
    )
    assert answer == expected


def test_a_time_alone_is_today_and_an_offset_is_kept() -> None:
    assert " 14:30:00 UTC" in clock.convert("14:30", "UTC", "UTC")
    assert clock.convert("2026-01-01T00:00:00+02:00", "UTC", "UTC").endswith(
        "2025-12-31 22:00:00 UTC (UTC+00:00), Wednesday"
    )
    assert "UTC" in clock.convert("now", "UTC", "Asia/Tokyo")


@pytest.mark.parametrize(
    ("start", "end", "zone", "expected"),
    [
        ("2026-03-29", "2026-12-24", "UTC", "270 days"),
        ("2026-12-24", "2026-03-29", "UTC", "minus 270 days"),
        ("2026-01-01 10:00", "2026-01-02 11:30:05", "UTC", "1 day, 1 hour, 30 minutes, 5 seconds"),
        ("2026-03-29 00:00", "2026-03-29 12:00", "Europe/Berlin", "11 hours"),
        ("2026-03-28", "2026-03-30", "Europe/Berlin", "2 days"),
        ("2026-01-01", "2026-01-01", "UTC", "0 seconds"),
    ],
)
def test_a_difference_is_real_time_and_whole_days_between_dates(
    start: str, end: str, zone: str, expected: str
) -> None:
    assert clock.difference(start, end, zone) == expected


@pytest.mark.parametrize(
    ("zone", "complaint"),
    [
        ("Europe/Berln", "did you mean Europe/Berlin"),
        ("Tokio", "did you mean Asia/Tokyo"),
        ("xyzzy-nowhere", "write it like Europe/Berlin"),
        ("../../etc/passwd", "there is no time zone"),
    ],
)
def test_an_unknown_zone_comes_with_a_suggestion(zone: str, complaint: str) -> None:
    with pytest.raises(ToolError, match=complaint):
        clock.now(zone)


def test_times_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ToolError, match="the clocks go forward over it"):
        clock.convert("2026-03-29 02:30", "Europe/Berlin", "UTC")
    with pytest.raises(ToolError, match="'soon' is not a time"):
        clock.convert("soon", "UTC", "UTC")
    with pytest.raises(ToolError, match="outside the calendar"):
        clock.convert("0001-01-01 00:00", "UTC", "New York")
    with pytest.raises(ToolError, match="outside the calendar"):
        clock.convert("0001-01-01 00:00", "Tokyo", "UTC")
