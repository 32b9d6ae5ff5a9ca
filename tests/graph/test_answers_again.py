"""A person's answer counts once, also when the process dies behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.types import Command
from sqlalchemy import update

from core.access import Principal, context_for
from core.holder import new_holder
from graph import Agent
from graph.db.tables import runs
from graph.runs.lease import fenced, locked, take
from waystation.testing.agents import context_at
from waystation.testing.model_server import ModelServer, call, say

LOCAL = Principal("local")
PLUGIN = """{"name": "sums", "version": "1", "description": "Adds numbers.", "server": "server.py",
"require_approval": ["add"]}"""
SERVER = """
from mcp.server.fastmcp import FastMCP
app = FastMCP('sums')

@app.tool(description='Add two numbers.')
def add(a: float, b: float) -> str:
    return f'{a + b:g}'

app.run()
"""


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.mark.always
async def test_an_answer_that_was_stored_before_a_crash_is_not_given_twice(
    model: ModelServer, tmp_path: Path
) -> None:
    plugin = tmp_path / "home" / "plugins" / "sums"
    plugin.mkdir(parents=True)
    (plugin / "plugin.json").write_text(PLUGIN)
    (plugin / "server.py").write_text(SERVER)
    environ = {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "test"}
    context = context_at(tmp_path, environ=environ, threads={"orphans": "resume"})
    model.script(call("sums_add", {"a": 5, "b": 3}))
    async with Agent.open(context) as agent:
        asked = await agent.ask("add", thread="t")
        assert asked["status"] == "interrupted"
        await _die_behind_the_answer(agent, asked)
    model.script(say("It is 8."))
    async with Agent.open(context, worker=True) as agent:
        record = await agent.runs.wait(LOCAL, asked["run_id"], timeout=60)
    assert record.output is not None
    assert (record.status, record.output["answer"]) == ("done", "It is 8.")
    assert [c["status"] for c in record.output["tool_calls"]] == ["ok"]


async def _die_behind_the_answer(agent: Agent, asked: dict[str, Any]) -> None:
    """What stands in the database when a process is killed just after LangGraph has stored the answer."""
    (question,) = asked["interrupts"]
    answers = {question["id"]: {"approve": True}}
    dead = new_holder()
    async with agent.engine.begin() as db:
        row = await locked(db, "t")
        assert row is not None
        turn = await take(db, row, asked["run_id"], dead)
        kept = runs.c.id == asked["run_id"]
        record = await agent.runs.get(LOCAL, asked["run_id"])
        request = {**record.request.as_json(), "answers": answers, "earlier": 1}
        await db.execute(
            update(runs)
            .where(kept)
            .values(status="running", attempts=2, fence=turn.fence, holder=dead, request=request)
        )
    config: Any = {"configurable": {"thread_id": "t"}}
    with fenced("t", turn.fence, run_id=asked["run_id"]):
        stream: Any = agent.graph.astream(
            Command(resume=answers),
            config,
            context=context_for(record.request.choices, record.request.principal),
            stream_mode="tasks",
        )
        async for _ in stream:
            break
        await stream.aclose()
