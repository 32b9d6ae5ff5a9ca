"""`waystation mcp`: the commands of the module for tool servers, and the service as a server of that kind."""

# ruff: noqa: PLC0415 - the module's own commands do not wait for the agent
from __future__ import annotations

from typing import Annotated

import typer

from core.cli import command, make_app
from nodes.mcp_tools.cli import app as of_the_module
from server.cli.sessions import UserOption

app = make_app("mcp", "Tool servers: list them, list and call their tools; serve the agent as one.")
app.registered_commands = [*of_the_module.registered_commands]


@app.command("serve")
@command
async def serve_command(
    *,
    user: UserOption = "",
    group: Annotated[
        list[str] | None, typer.Option("--group", help="A group of that user; may be repeated.")
    ] = None,
    gateway: Annotated[
        bool, typer.Option("--gateway", help="Offer the tools of all tool servers too.")
    ] = False,
    here: Annotated[
        bool,
        typer.Option("--here", "--no-service", help="In this process, also where a service runs."),
    ] = False,
) -> None:
    """The agent as an MCP server on stdin and stdout: the running service of this home, else this process."""
    from server.cli.stdio import serve

    await serve(user, tuple(group or ()), gateway=gateway, here=here)
