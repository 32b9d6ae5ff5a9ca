"""A server written with fastmcp 4: `python fastmcp_server.py stdio | http PORT`."""

import os
import sys
from dataclasses import dataclass

from fastmcp import Context, FastMCP
from fastmcp.utilities.types import Image

server = FastMCP("written with fastmcp")
PIXEL = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de")


@dataclass
class Stay:
    nights: int


@server.tool
def pid() -> str:
    """The process."""
    return str(os.getpid())


@server.tool
def totals(places: list[str]) -> dict[str, int]:
    """How long each name is."""
    return {place: len(place) for place in places}


@server.tool
def pixel() -> Image:
    """An image."""
    return Image(data=PIXEL, format="png")


@server.tool
def fail() -> str:
    """Always fails."""
    raise ValueError("that went wrong")


@server.tool
async def count(steps: int, ctx: Context) -> str:
    """Report each step."""
    for step in range(1, steps + 1):
        await ctx.report_progress(step, steps, f"step {step}")
    return "counted"


@server.tool
async def book(place: str, ctx: Context) -> str:
    """Book a room; asks for how many nights."""
    asked = await ctx.elicit(f"How many nights in {place}?", response_type=Stay)
    return (
        f"{place}: {asked.data.nights} nights" if asked.action == "accept" else f"not booked: {asked.action}"
    )


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run(show_banner=False, log_level="ERROR")
    else:
        server.run(
            transport="http", host="127.0.0.1", port=int(sys.argv[2]), show_banner=False, log_level="ERROR"
        )
