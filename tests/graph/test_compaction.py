"""Checkpoints of old turns go; every one that stays loads as before, and the thread goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from sqlalchemy import ColumnElement, Select, column, func, select, table
from sqlalchemy.ext.asyncio import AsyncEngine

from core.access import Principal
from core.database.engine import is_sqlite
from core.task_queue import TaskQueue, TaskStatus
from graph import Agent
from graph.checkpoints.compaction import CheckpointLine, Compaction
from graph.runs.lease import Leases
from tests.fixtures.make_threads import install_tools
from waystation.testing.agents import context_at
from waystation.testing.model_server import ModelServer, call, calls, say

LOCAL = Principal("local")
KEPT = 4
TWO = calls(("sums_multiply", {"a": 2, "b": 3}), ("sums_multiply", {"a": 4, "b": 5}))


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer(default="As you say.") as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def storage_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'threads.db'}"
    url = request.getfixturevalue("postgres_url")
    return str(url.set(drivername="postgresql").render_as_string())


@pytest.fixture
async def agent(model: ModelServer, storage_url: str, tmp_path: Path) -> AsyncIterator[Agent]:
    """An agent that keeps the checkpoints of four turns, and three turns in the state."""
    model.reset()
    install_tools(tmp_path / "home")
    context = context_at(
        tmp_path,
        environ={"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "test"},
        storage={"url": storage_url},
        threads={"window": 3, "checkpoint_turns": KEPT},
        mcp={"bundled": False},
    )
    async with Agent.open(context, worker=True) as agent:
        yield agent


async def talk(agent: Agent, model: ModelServer, thread: str, turns: int) -> None:
    """Turns, every third with two tool calls."""
    for number in range(turns):
        if number % 3 == 1:
            model.script(TWO)
        await agent.ask(f"Question {number}?", thread=thread)


async def checkpoints(agent: Agent, thread: str) -> dict[str, tuple[Any, ...]]:
    """Each checkpoint that is there: what it holds, and what would come next."""
    config: Any = {"configurable": {"thread_id": thread}}
    found = [snapshot async for snapshot in agent.graph.aget_state_history(config)]
    return {
        snapshot.config["configurable"]["checkpoint_id"]: (
            [(m.id, m.type, m.content) for m in snapshot.values.get("messages", [])],
            snapshot.values.get("summary"),
            snapshot.next,
            (snapshot.metadata or {}).get("source"),
        )
        for snapshot in found
    }


async def rows(agent: Agent, name: str, *where: ColumnElement[bool]) -> int:
    engine = await agent.container.get(AsyncEngine)
    query = select(func.count()).select_from(table(name)).where(*where)
    async with engine.connect() as db:
        return int((await db.execute(query)).scalar_one())


async def test_what_stays_loads_as_before_and_the_thread_goes_on(agent: Agent, model: ModelServer) -> None:
    await talk(agent, model, "long", 12)
    await talk(agent, model, "short", KEPT)
    before = {name: await checkpoints(agent, name) for name in ("long", "short")}
    told = await agent.threads.transcript(LOCAL, "long", limit=200)
    compaction = await agent.container.get(Compaction)

    gone = await compaction.run(quiet_s=0)
    after = await checkpoints(agent, "long")
    assert gone == len(before["long"]) - len(after) > 0
    assert after == {key: before["long"][key] for key in after}
    assert [source for *_, source in after.values()].count("input") == KEPT
    assert await checkpoints(agent, "short") == before["short"]
    assert await agent.threads.transcript(LOCAL, "long", limit=200) == told

    assert await compaction.compact("long") == 0
    await talk(agent, model, "long", 2)
    (system, *sent) = model.requests()[-1]["messages"]
    assert [m["content"] for m in sent if m["role"] == "user"][-3:] == [
        "Question 11?",
        "Question 0?",
        "Question 1?",
    ]
    assert "Asked: Question 3?" in system["content"]
    assert await compaction.run(quiet_s=0) > 0


async def test_nothing_is_left_of_what_was_deleted(agent: Agent, model: ModelServer) -> None:
    await talk(agent, model, "t", 12)
    sqlite = is_sqlite(await agent.container.get(AsyncEngine))
    tables = ("writes",) if sqlite else ("checkpoint_writes", "checkpoint_blobs")
    before = {name: await rows(agent, name) for name in tables}
    await (await agent.container.get(Compaction)).compact("t")
    kept = await checkpoints(agent, "t")
    assert await rows(agent, "checkpoints") == len(kept)
    for name in tables:
        assert 0 < await rows(agent, name) < before[name] * 0.6
    there: Select[Any] = select(column("checkpoint_id")).select_from(table("checkpoints"))
    assert await rows(agent, tables[0], column("checkpoint_id").not_in(there)) == 0


async def test_a_thread_that_waits_for_a_person_still_does(agent: Agent, model: ModelServer) -> None:
    await talk(agent, model, "t", 8)
    model.script(call("sums_add", {"a": 5, "b": 3}), say("It is 8."))
    (interrupt,) = (await agent.ask("What is 5 plus 3?", thread="t"))["interrupts"]
    assert await (await agent.container.get(Compaction)).compact("t") > 0
    assert (await agent.threads.state(LOCAL, "t"))["interrupts"][0]["id"] == interrupt["id"]
    assert (await agent.threads.get(LOCAL, "t"))["status"] == "interrupted"
    reply = await agent.ask(thread="t", resume={interrupt["id"]: {"approve": True}})
    assert (reply["status"], reply["answer"]) == ("done", "It is 8.")


async def test_a_branch_from_an_old_checkpoint_keeps_what_it_stands_on(
    agent: Agent, model: ModelServer
) -> None:
    await talk(agent, model, "t", 10)
    old = [key for key, (*_, source) in (await checkpoints(agent, "t")).items() if source == "input"][-3]
    leases = await agent.container.get(Leases)
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": "", "checkpoint_id": old}}
    async with leases.borrow("t"):
        update = {"messages": [HumanMessage("Another way", id="other")]}
        await agent.graph.aupdate_state(config, update, as_node="store_files")
    before = await checkpoints(agent, "t")
    # The line of the branch has three turns: all of it is needed, and what was left beside it is new.
    assert await (await agent.container.get(Compaction)).compact("t") == 0
    assert await checkpoints(agent, "t") == before


async def test_a_busy_thread_is_left_alone_until_the_next_time(agent: Agent, model: ModelServer) -> None:
    await talk(agent, model, "t", KEPT + 2)
    compaction = await agent.container.get(Compaction)
    leases = await agent.container.get(Leases)
    async with leases.borrow("t"):
        assert await compaction.run(quiet_s=0) == 0
    assert await compaction.run(quiet_s=3600) > 0


async def test_a_thread_that_was_used_a_moment_ago_is_not_made_busy(agent: Agent, model: ModelServer) -> None:
    await talk(agent, model, "t", KEPT + 2)
    compaction = await agent.container.get(Compaction)
    assert await compaction.run() == 0
    assert await compaction.run(quiet_s=0) > 0


async def test_it_is_a_task_of_the_queue(agent: Agent) -> None:
    queue = await agent.container.get(TaskQueue)
    task = await queue.add("compact_threads", {}, owner=queue.system)
    assert (await queue.wait(task.id, 30)).status == TaskStatus.DONE


def test_a_line_follows_the_parents_and_not_the_order_of_ids() -> None:
    # c began at a, beside b; d goes on from c.
    line = CheckpointLine(
        [("d", "c", "input"), ("c", "a", "fork"), ("b", "a", "input"), ("a", None, "input")]
    )
    assert line.first_kept(1) == "d"
    assert line.first_kept(2) is None
    assert line.outside("d") == ["c", "b", "a"]
    assert line.outside("a") == []
    assert CheckpointLine([]).first_kept(1) is None
