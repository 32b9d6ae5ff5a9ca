"""An MCP server of the official SDK over HTTP: `python mcp_http_peer.py PORT streamable-http|sse`."""

from __future__ import annotations

import os
import sys
from typing import Literal, cast

from mcp.server.fastmcp import Context, FastMCP
from pydantic import BaseModel


class Stay(BaseModel):
    nights: int


def main(port: int, transport: Literal["streamable-http", "sse"]) -> None:
    server = FastMCP("http peer", host="127.0.0.1", port=port, log_level="WARNING")

    @server.tool()
    def echo(text: str) -> str:
        """Say it again."""
        return text

    @server.tool()
    def pid() -> str:
        """The process."""
        return str(os.getpid())

    @server.tool()
    def fail() -> str:
        """Always fails."""
        raise ValueError("that went wrong")

    @server.tool()
    def trace(ctx: Context) -> str:  # type: ignore[type-arg]  # FastMCP fills it in
        """The trace that this call belongs to: by its message, and by its request."""
        request = ctx.request_context
        meta = (request.meta.model_extra if request.meta else None) or {}
        header = request.request.headers.get("traceparent") if request.request else None
        return f"{meta.get('traceparent')} {header}"

    @server.tool()
    async def progress(steps: int, ctx: Context) -> str:  # type: ignore[type-arg]  # FastMCP fills it in
        """Report each step."""
        for step in range(1, steps + 1):
            await ctx.report_progress(step, steps, f"step {step}")
        return "finished"

    add_asking(server)
    server.run(transport=transport)


def add_asking(server: FastMCP) -> None:
    """Tools that ask a person in the middle of a call."""

    @server.tool()
    async def book(place: str, ctx: Context) -> str:  # type: ignore[type-arg]  # FastMCP fills it in
        """Ask for a number of nights."""
        asked = await ctx.elicit(f"How many nights in {place}?", Stay)
        if asked.action != "accept":
            return f"not booked: {asked.action}"
        return f"{place}: {asked.data.nights} nights"

    @server.tool()
    async def book_apart(place: str, ctx: Context) -> str:  # type: ignore[type-arg]  # FastMCP fills it in
        """As `book`, with a question that does not say which call it belongs to."""
        asked = await ctx.session.elicit_form(f"How many nights in {place}?", Stay.model_json_schema())
        return f"{place}: {(asked.content or {}).get('nights')} nights" if asked.content else asked.action


if __name__ == "__main__":
    main(int(sys.argv[1]), cast(Literal["streamable-http", "sse"], sys.argv[2]))
