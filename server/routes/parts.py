"""The parts behind a turn, looked at and tried: documents and chunks, tool servers, a call of a tool."""

from __future__ import annotations

import asyncio
import time
import uuid
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from core.access import ScopeMissing, has_scope, may_use, require
from core.errors import Conflict
from core.observability import clean
from core.settings import Places
from graph.agent import Agent
from nodes.mcp_tools import ExecutionContext, MCPToolManager, ServerEntry, ToolExecutor
from nodes.mcp_tools.calls import file_stem
from nodes.mcp_tools.errors import ServerDown, UnknownServer, UnknownTool
from nodes.rag import RAGClient
from nodes.rag.errors import SourceNotFound
from server.errors import InvalidRequest
from server.middleware.auth import Caller
from server.routes.common import OpenAgent, problems
from server.shapes.catalogue import (
    ChunkShown,
    DocumentsShown,
    PassagesShown,
    ServerLog,
    ServerRestarted,
    ServerShown,
    ToolTried,
)
from server.shapes.form import Json, Shape

router = APIRouter(tags=["catalogue"], responses=problems(InvalidRequest))

TAIL_BYTES = 64 * 1024
Name = Annotated[str, Field(max_length=200)]


class ApprovalNeeded(Conflict):
    """The tool asks a person before it runs, and the request does not say that one was asked."""

    code = "approval_needed"
    title = "This tool asks first"


class Question(BaseModel, extra="forbid", strict=True):
    """What to look for in one source."""

    query: str = Field(min_length=1, max_length=4000)
    limit: int = Field(8, ge=1, le=50, description="Passages at most.")


class ToolTrial(BaseModel, extra="forbid", strict=True):
    """A call of a tool outside of a turn."""

    arguments: dict[str, Any] = Field(default_factory=dict, description="As `parameters` of /tools says.")
    approve: bool = Field(False, description="You have looked at it: for tools that ask first.")


@router.get("/sources/{source}/documents", responses=problems(SourceNotFound))
async def documents(
    *,
    source: Name,
    agent: OpenAgent,
    who: Caller,
    q: Annotated[str | None, Query(max_length=200, description="Only names that contain this.")] = None,
    skipped: Annotated[bool, Query(description="Only what was left out, or read in part.")] = False,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    offset: Annotated[int, Query(ge=0, le=10**7)] = 0,
) -> Annotated[Json, Shape(DocumentsShown)]:
    """What the index of a source has, by name, and what was left out and why.

    A remote source is searched where it is: of it there is nothing here.
    """
    found = await (await _rag(agent)).documents(source, principal=who)
    wanted = q.casefold() if q else ""
    shown = [
        each
        for each in found
        if wanted in each.name.casefold() and (not skipped or each.problem or each.notes)
    ]
    page = [each.as_json() for each in shown[offset : offset + limit]]
    return {"total": len(shown), "documents": page}


@router.get("/sources/{source}/chunks", responses=problems(SourceNotFound))
async def chunks(
    *,
    source: Name,
    agent: OpenAgent,
    who: Caller,
    document: Annotated[str, Query(max_length=1000, description="Name of the document.")],
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Annotated[list[Json], Shape(list[ChunkShown])]:
    """The pieces of a document as the index has them; `start` and `end` count characters of its text."""
    found = await (await _rag(agent)).chunks(source, document, principal=who, limit=limit)
    names = ("title", "text", "start", "end", "uri")
    return [{name: getattr(chunk, name) for name in names} for chunk in found]


@router.post("/sources/{source}/query", responses=problems(SourceNotFound))
async def query(
    source: Name, agent: OpenAgent, who: Caller, asked: Question
) -> Annotated[Json, Shape(PassagesShown)]:
    """The passages that a turn would be given for this question, with scores; `failed` says why none."""
    began = time.perf_counter()
    found = await (await _rag(agent)).query(asked.query, sources=[source], principal=who, limit=asked.limit)
    return {
        "passages": [passage.as_state(n) for n, passage in enumerate(found.passages, start=1)],
        "failed": [{"source": name, "reason": reason} for name, reason in found.failed],
        "duration_ms": round((time.perf_counter() - began) * 1000, 1),
    }


@router.get("/servers/{server}", responses=problems(UnknownServer))
async def show_server(server: Name, agent: OpenAgent, who: Caller) -> Annotated[Json, Shape(ServerShown)]:
    """How a tool server does and since when, and its tools; for operators also its last error."""
    mcp = await _mcp(agent)
    entry = _usable(mcp, who, server)
    status = mcp.status().get(server)
    known = [
        {
            **listed.schema["function"],
            "tool": listed.tool.name,
            "approval": entry.needs_approval(listed.tool.name),
        }
        for listed in mcp.known([server])
    ]
    state = status.as_json() if status else {"state": "off", "since": None}
    if not has_scope(who, "operate"):
        state.pop("last_error", None)
    about = entry.description or entry.short_description or ""
    return {"name": server, "description": about, **state, "tools": known}


@router.get("/servers/{server}/log", responses=problems(UnknownServer, ScopeMissing))
async def server_log(
    server: Name, agent: OpenAgent, who: Caller, lines: Annotated[int, Query(ge=1, le=1000)] = 200
) -> Annotated[Json, Shape(ServerLog)]:
    """The last lines that a server wrote to its log, for operators; none of one that is elsewhere."""
    require(who, "operate")
    _usable(await _mcp(agent), who, server)
    folder = (await agent.container.get(Places)).home / "logs"
    found = await asyncio.to_thread(_tail, folder / f"mcp-{file_stem(server)}.log", lines)
    return {"server": server, "lines": found}


@router.post("/servers/{server}/restart", responses=problems(UnknownServer, ScopeMissing, ServerDown))
async def restart_server(
    server: Name, agent: OpenAgent, who: Caller
) -> Annotated[Json, Shape(ServerRestarted)]:
    """Leave the session of this process with a server and open a new one, for operators."""
    require(who, "operate")
    mcp = await _mcp(agent)
    _usable(mcp, who, server)
    await mcp.restart(server)
    return {"server": server, **mcp.status()[server].as_json()}


@router.post("/tools/{tool}/call", responses=problems(UnknownTool, ApprovalNeeded))
async def call_tool(
    tool: Name, agent: OpenAgent, who: Caller, trial: ToolTrial
) -> Annotated[Json, Shape(ToolTried)]:
    """Call a tool as a turn of yours would, with the same rights, checks and limits; nothing is kept."""
    if not agent.has("mcp_tools"):
        raise UnknownTool(f"there is no tool '{tool[:100]}': no tools are configured here")
    executor = await agent.container.get(ToolExecutor)
    call_id = f"try-{uuid.uuid4().hex}"
    context = ExecutionContext(who, call_id=call_id)
    target = await executor.find(tool, context)
    if target.tool is None:
        raise UnknownTool(f"there is no tool '{tool[:100]}' for you; GET /tools lists them")
    if target.approval and not trial.approve:
        raise ApprovalNeeded(f"'{tool}' asks a person first; look at the arguments and send approve: true")
    outcome = await executor.execute({"id": call_id, "name": tool, "args": trial.arguments}, context)
    files = [{"name": a.name, "media_type": a.media_type, "size": len(a.data)} for a in outcome.artifacts]
    told = {name: getattr(outcome, name) for name in ("server", "tool", "status", "duration_ms")}
    return {**told, "content": outcome.text, "files": files}


async def _rag(agent: Agent) -> RAGClient:
    if not agent.has("rag"):
        raise SourceNotFound("no sources: the module is not there, or switched off")
    return await agent.container.get(RAGClient)


async def _mcp(agent: Agent) -> MCPToolManager:
    if not agent.has("mcp_tools"):
        raise UnknownServer("no tool servers: the module is not there, or switched off")
    return await agent.container.get(MCPToolManager)


def _usable(mcp: MCPToolManager, who: Caller, server: str) -> ServerEntry:
    """One that the caller may not use is reported like one that does not exist."""
    entry = mcp.entries().get(server)
    if entry is None or not may_use(who, entry):
        raise UnknownServer(f"the tool server '{server[:100]}' is not known; GET /servers lists them")
    return entry


def _tail(path: Path, lines: int) -> list[str]:
    """The last lines of a file, without what looks like a secret; none where it is not there."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(file.tell() - TAIL_BYTES, 0))
            read = file.read()
    except OSError:
        return []
    return [clean(line) for line in read.decode(errors="replace").splitlines()[-lines:]]
