"""An MCP server for time: now, conversion between zones, and the time between two moments."""

from __future__ import annotations

import difflib
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import cache
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from mcp.server.fastmcp import FastMCP
from mcp.server.fastmcp.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

server = FastMCP("clock", log_level="WARNING")
# What is asked of them changes nothing.
READS = ToolAnnotations(readOnlyHint=True)

Zone = Annotated[
    str, Field(description="A time zone such as Europe/Berlin, or a city such as Tokyo", max_length=64)
]


@cache
def _zones() -> dict[str, str]:
    """Full zone names by their lower-case names, and by their cities where these are unique enough."""
    found: dict[str, str] = {}
    for name in sorted(available_timezones(), key=lambda n: ("/" not in n, n.startswith("Etc/"), n)):
        found[name.lower()] = name
        if "/" in name and not name.startswith("Etc/"):
            found.setdefault(name.rpartition("/")[2].replace("_", " ").lower(), name)
    return found


def zone_of(name: str) -> tzinfo:
    """The zone of a name or a city, in any case.

    Raises:
        ToolError: There is none; the message suggests the nearest.
    """
    wanted = name.strip().lower()
    if wanted in ("utc", "z", "gmt"):
        return UTC
    zones = _zones()
    found = zones.get(wanted) or zones.get(wanted.replace(" ", "_")) or zones.get(wanted.replace("_", " "))
    if found:
        return ZoneInfo(found)
    near = difflib.get_close_matches(wanted, list(zones), n=3, cutoff=0.6)
    names = list(dict.fromkeys(zones[key] for key in near))
    hint = f"did you mean {' or '.join(names)}?" if names else "write it like Europe/Berlin"
    raise ToolError(f"there is no time zone '{name[:64]}'; {hint}")


def moment(text: str, zone: tzinfo) -> datetime:
    """A date, a time of today, or both, in ISO form; without an offset it is in `zone`."""
    text = text.strip()
    if text.lower() == "now":
        return datetime.now(zone)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = _today_at(text, zone)
    return found if found.tzinfo else _existing(found, zone)


def _today_at(text: str, zone: tzinfo) -> datetime:
    try:
        return datetime.combine(datetime.now(zone).date(), time.fromisoformat(text))
    except ValueError:
        message = f"'{text[:64]}' is not a time; write 2026-03-29 14:30, 2026-03-29 or 14:30"
        raise ToolError(message) from None


def _existing(local: datetime, zone: tzinfo) -> datetime:
    """`local` in `zone`; a time that the clocks jump over is refused."""
    found = local.replace(tzinfo=zone)
    try:
        real = found.astimezone(UTC).astimezone(zone)
    except OverflowError:
        raise ToolError("this date is outside the calendar") from None
    if real.replace(tzinfo=None) != local:
        raise ToolError(f"{local:%Y-%m-%d %H:%M} does not exist there: the clocks go forward over it")
    return found


def shown(at: datetime) -> str:
    """A moment for people and machines: 2026-03-29 14:30:00 CEST (UTC+02:00), Sunday."""
    offset = at.strftime("%z")
    return f"{at:%Y-%m-%d %H:%M:%S} {at.tzname()} (UTC{offset[:3]}:{offset[3:5]}), {at:%A}"


def length(span: timedelta) -> str:
    """A span in words: 2 days, 3 hours, 5 minutes."""
    seconds = round(abs(span).total_seconds())
    parts = []
    for name, size in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {name}{'s' if count > 1 else ''}")
    return ", ".join(parts) or "0 seconds"


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text.strip())
    except ValueError:
        return False
    return True


@server.tool(annotations=READS, structured_output=False)
def now(zone: Zone = "UTC") -> str:
    """What time is it: the current date, time and day of the week in a time zone or city."""
    return shown(datetime.now(zone_of(zone)))


@server.tool(annotations=READS, structured_output=False)
def convert(
    time: Annotated[
        str, Field(description="The time to convert, such as 14:30 or 2026-03-29 14:30", max_length=40)
    ],
    from_zone: Annotated[str, Field(description="The time zone or city that the time is in", max_length=64)],
    to_zone: Annotated[str, Field(description="The time zone or city to convert to", max_length=64)],
) -> str:
    """Convert a time from one time zone to another."""
    start = moment(time, zone_of(from_zone))
    try:
        there = start.astimezone(zone_of(to_zone))
    except OverflowError:
        raise ToolError("this date is outside the calendar") from None
    return f"{shown(start)} is {shown(there)}"


@server.tool(annotations=READS, structured_output=False)
def difference(
    start: Annotated[str, Field(description="The first date or time, such as 2026-03-29", max_length=40)],
    end: Annotated[str, Field(description="The second date or time, such as 2026-12-24", max_length=40)],
    zone: Annotated[str, Field(description="The time zone of times without offset", max_length=64)] = "UTC",
) -> str:
    """How long it is between two dates or times: the number of days, hours and minutes from start to end."""
    where = zone_of(zone)
    if _is_date(start) and _is_date(end):  # calendar days, whatever the clocks do between them
        span = date.fromisoformat(end.strip()) - date.fromisoformat(start.strip())
    else:
        span = moment(end, where).astimezone(UTC) - moment(start, where).astimezone(UTC)
    return f"minus {length(span)}" if span < timedelta() else length(span)


if __name__ == "__main__":
    server.run()
