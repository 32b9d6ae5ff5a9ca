"""`waystation mcp`: servers, plugins and tools from the command line."""

# No `from __future__ import annotations`: typer reads the annotations at run time.

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from core.cli import JsonFlag, command, make_app, print_table, show
from core.container import opened_service
from core.errors import InvalidInput, WaystationError
from core.settings import Places
from nodes.mcp_tools.allowed_plugins import AllowedPlugins, PluginNotFound
from nodes.mcp_tools.checking import FileCheck, check_file
from nodes.mcp_tools.errors import ServerDown, UnknownTool
from nodes.mcp_tools.health import remarks_of
from nodes.mcp_tools.manager import MCPToolManager
from nodes.mcp_tools.models import ServerState
from nodes.mcp_tools.module import MODULE
from nodes.mcp_tools.results import read_result

_EXAMPLE = '{"a": 5, "b": 3}'

_OFF: dict[str, Any] = {"state": "off", "tools": 0, "last_error": "", "left_out": []}

app = make_app("mcp", "Tool servers: list them, list and call their tools.")


class ToolFailed(WaystationError):
    """The tool answered with an error."""

    code = "tool_failed"
    title = "The tool failed"


@asynccontextmanager
async def _manager() -> AsyncIterator[MCPToolManager]:
    async with opened_service(MODULE, MCPToolManager) as (manager, _):
        yield manager


@app.command("list-servers")
@command
async def list_servers(as_json: JsonFlag = False) -> None:
    """Start every enabled server and say how it is doing."""
    async with _manager() as manager:
        await asyncio.gather(*(_reach(manager, name) for name in manager.status()))
        status, remarks = manager.status(), remarks_of(manager.inventory)
        rows: list[dict[str, Any]] = []
        for name, entry in manager.entries().items():
            state = status[name].as_json() if name in status else _OFF
            about = entry.short_description or entry.description or ""
            rows.append(_server(name, about, entry.groups, enabled=entry.enabled) | state)
        for name, reason in manager.inventory.unusable.items():
            state = {**_OFF, "state": "left out", "last_error": reason}
            rows.append(_server(name, "", [], enabled=False) | state)
    rows = [{**row, "remarks": remarks.get(row["name"], [])} for row in rows]
    columns = ("name", "state", "tools", "description", "last_error")
    show(rows, as_json=as_json, table=columns, empty="no server is configured")
    for row in () if as_json else rows:
        for what in row["left_out"]:
            print(f"server '{row['name']}': {what}")


def _server(name: str, description: str, groups: Sequence[str], *, enabled: bool) -> dict[str, Any]:
    return {"name": name, "enabled": enabled, "description": description, "groups": groups}


@app.command("list-tools")
@command
async def list_tools(
    server: Annotated[str, typer.Option(help="Only this server's tools.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """The tools of every server, or of one."""
    rows: list[dict[str, Any]] = []
    async with _manager() as manager:
        names = [server] if server else list(manager.status())
        found = await asyncio.gather(*(_reach(manager, name, strict=bool(server)) for name in names))
        for name in [name for name, up in zip(names, found, strict=True) if up]:
            entry = manager.entries()[name]
            rows += [
                {
                    "name": listed.full,
                    "server": name,
                    "tool": listed.tool.name,
                    "description": listed.tool.description,
                    "parameters": listed.schema["function"]["parameters"],
                    "approval": entry.needs_approval(listed.tool.name),
                }
                for listed in manager.known([name])
            ]
    shown = [
        (r["name"], ", ".join(r["parameters"]["properties"]), r["description"].partition("\n")[0])
        for r in rows
    ]
    columns = ("name", "parameters", "description")
    show(rows, as_json=as_json, table=columns, rows=shown, empty="no tool is available")


@app.command("call-tool")
@command
async def call_tool(
    server: Annotated[str, typer.Argument(help="The server's name.")],
    tool: Annotated[str, typer.Argument(help="The tool's own name, without the server's.")],
    arguments: Annotated[str, typer.Argument(help='A JSON object, as in \'{"a": 5, "b": 3}\'.')] = "{}",
    as_json: JsonFlag = False,
) -> None:
    """Call one tool; only its server is started."""
    given = _object(arguments)
    async with _manager() as manager:
        known = [info.name for info in await manager.tools(server)]
        if tool not in known:
            raise UnknownTool(f"the server '{server}' has no tool '{tool}'; tools: {', '.join(known)}")
        answer = await manager.call(server, tool, given)
        limit = manager.limits(server).result_bytes
    reading = read_result(answer, call_id="cli", tool=tool, max_bytes=limit)
    if answer.is_error:
        raise ToolFailed(f"{server} {tool}: {reading.text}")
    files = [{"name": a.name, "media_type": a.media_type, "size": len(a.data)} for a in reading.artifacts]
    show({"status": "ok", "text": reading.text, "files": files}, as_json=as_json, text=reading.text)


@app.command("plugins")
@command
async def plugins(as_json: JsonFlag = False) -> None:
    """The plugins that were found, also broken ones."""
    async with _manager() as manager:
        found = manager.inventory.plugins
    rows = [
        {
            "name": plugin.name,
            "version": plugin.version,
            "origin": plugin.origin,
            "description": plugin.entry.description or "",
            "problem": plugin.problem,
            "waiting": plugin.waiting,
        }
        for plugin in found
    ]
    columns = ("name", "version", "origin", "description", "problem")
    show(rows, as_json=as_json, table=columns, empty="no plugin was found")


@app.command("allow")
@command
async def allow(
    plugin: Annotated[str, typer.Argument(help="The plugin's name.")], as_json: JsonFlag = False
) -> None:
    """Let a plugin run as its folder is now, where people log in; a running service takes it up by itself."""
    async with _manager() as manager:
        found = {found.name: found for found in manager.inventory.plugins}
    wanted = found.get(plugin)
    if wanted is None or wanted.folder is None:
        raise PluginNotFound(f"there is no plugin '{plugin}'; plugins: {', '.join(found) or 'none'}")
    if wanted.problem and not wanted.waiting:
        raise InvalidInput(f"the plugin '{plugin}' cannot be used: {wanted.problem}")
    digest = AllowedPlugins(Places.from_environ()).allow(plugin, wanted.folder)
    text = f"The plugin '{plugin}' may run until its folder changes."
    show({"plugin": plugin, "allowed": True, "digest": digest}, as_json=as_json, text=text)


@app.command("revoke")
@command
async def revoke(
    plugin: Annotated[str, typer.Argument(help="The plugin's name.")], as_json: JsonFlag = False
) -> None:
    """Take the word back that let a plugin run."""
    AllowedPlugins(Places.from_environ()).revoke(plugin)
    text = f"The plugin '{plugin}' waits again where people log in."
    show({"plugin": plugin, "allowed": False}, as_json=as_json, text=text)


@app.command("check")
@command
async def check(
    file: Annotated[Path, typer.Argument(help="A file with MCP servers, of Waystation or another program.")],
    as_json: JsonFlag = False,
) -> None:
    """Say what would be taken over from a file of servers; nothing is started. Exit 1: nothing is usable."""
    found = check_file(file, os.environ)
    show(found.as_json(), as_json=as_json, people=lambda: _tell_check(found))
    if not found.usable:
        raise typer.Exit(1)


def _tell_check(found: FileCheck) -> None:
    print(f"Read as {found.program}.")
    columns = ("server", "state", "transport", "runs", "env, headers")
    rows = [(s.name, s.state, s.transport, s.runs, ", ".join([*s.env, *s.headers])) for s in found.servers]
    print_table(columns, rows)
    for server in found.servers:
        if server.reason:
            print(f"{server.name}: {server.state}: {server.reason}")
        for key, message in server.mistakes.items():
            print(f"{server.name}: {key} {message}")
        for key, message in server.ignored.items():
            print(f"{server.name}: {key}: {message}")
    if found.beside:
        print(f"Beside the servers, without a meaning here: {', '.join(found.beside)}")


@app.command("restart")
@command
async def restart(
    server: Annotated[str, typer.Argument(help="The server's name.")], as_json: JsonFlag = False
) -> None:
    """Check that a server starts afresh, in this process; a running service keeps its own session."""
    async with _manager() as manager:
        await manager.tools(server)
        await manager.restart(server)
        status = manager.status()[server]
        report = {
            "server": server,
            "state": status.state.value,
            "tools": status.tools,
            "note": "started twice in this process; a running service keeps its own session",
        }
    show(report, as_json=as_json)


async def _reach(manager: MCPToolManager, server: str, *, strict: bool = False) -> bool:
    try:
        await manager.tools(server)
    except ServerDown:
        if strict:
            raise
    return manager.status()[server].state is ServerState.UP


def _object(text: str) -> dict[str, Any]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(
            f"the arguments are not JSON: {error}; write an object like '{{\"a\": 5}}'"
        ) from None
    if not isinstance(found, dict):
        raise InvalidInput('the arguments must be a JSON object, like \'{"a": 5, "b": 3}\'')
    return found


if __name__ == "__main__":
    app()
