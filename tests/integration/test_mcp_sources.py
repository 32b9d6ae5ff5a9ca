"""A source behind an MCP server, in turns of a service and on the command line."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from core.access import Principal
from nodes.rag import RAGClient
from waystation.testing.agents import open_agent
from waystation.testing.mcp_servers import RAG_SERVER
from waystation.testing.service import run

pytestmark = pytest.mark.slow

PATIENCE_S = 60
QUESTION = "How many days of annual leave does an employee have?"


def source(folder: Path, mode: str = "normal", **more: object) -> str:
    command = [sys.executable, "-P", str(RAG_SERVER), mode, str(folder / "calls")]
    return json.dumps({"far": {"type": "mcp", "command": command, **more}})


def calls(folder: Path) -> list[str]:
    lines = (folder / "calls").read_text().splitlines()
    return [json.loads(line)["user"] for line in lines if json.loads(line)["tool"] != "discover"]


async def test_a_turn_is_answered_from_it_in_the_users_name(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.mkdir()
    (config / "sources.yaml").write_text(source(tmp_path))
    async with open_agent(tmp_path, tools=()) as agent:
        reply = await agent.ask(QUESTION, user="ada@example.com")
        health = (await agent.health.report())["rag"]
    assert "thirty days of annual leave" in reply["answer"]
    assert (reply["citations"][0]["source"], reply["citations"][0]["document"]) == ("far", "leave.md")
    assert calls(tmp_path) == ["ada@example.com"]
    assert health.details["sources"]["far"]["state"] == "healthy"


async def test_one_that_fails_is_named_and_the_turn_goes_on(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.mkdir()
    (config / "sources.yaml").write_text(source(tmp_path, "fail"))
    async with open_agent(tmp_path, tools=()) as agent:
        events = [event async for event in agent.stream(QUESTION, user="ada")]
        health = (await agent.health.report())["rag"]
    (documents,) = [event for event in events if event["type"] == "documents"]
    (failed,) = documents["failed"]
    assert (failed["source"], "the index is being moved" in failed["reason"]) == ("far", True)
    assert events[-1]["status"] == "done"
    assert "the index is being moved" in health.reason


async def test_a_changed_entry_is_another_server_and_the_old_one_ends(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.mkdir()
    (config / "sources.yaml").write_text(source(tmp_path, "fail"))
    ada = Principal("ada")
    async with open_agent(tmp_path, tools=()) as agent:
        rag = await agent.container.get(RAGClient)
        assert (await rag.query(QUESTION, sources=["far"], principal=ada)).failed
        (before,) = rag._opened.values()
        (config / "sources.yaml").write_text(source(tmp_path, description="mended"))
        async with asyncio.timeout(PATIENCE_S):
            while rag.entries()["far"].description != "mended":  # noqa: ASYNC110 - another task reads it
                await asyncio.sleep(0.05)
            found = await rag.query(QUESTION, sources=["far"], principal=ada)
            while before in rag._opened.values():  # noqa: ASYNC110 - the edition is let go of by a task
                await asyncio.sleep(0.05)
    assert found.passages[0].document == "leave.md"


def test_the_command_line_searches_it_with_this_module_alone(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.mkdir()
    (config / "sources.yaml").write_text(source(tmp_path))
    words = ["rag", "query", "boss", "far", "When are salaries paid?", "--group", "staff"]
    said = run(*words, home=tmp_path / "home", config_dir=config)
    assert said.returncode == 0, said.stderr
    assert "last working day of the month" in said.stdout
    listed = run("rag", "discover-sources", "ada", home=tmp_path / "home", config_dir=config)
    assert "handbook" in listed.stdout
    assert "payroll" not in listed.stdout
