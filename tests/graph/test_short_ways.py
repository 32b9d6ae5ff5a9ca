"""A turn of the service makes its look-ups within the model's step, and ends there without files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from core.access import Principal, RunContext
from graph import Agent
from graph.flow.builder import last_step
from graph.runs.lookup import LiveRuns
from graph.runs.record import TurnRequest
from nodes.file_storage import FileManager
from tests.kit.patience import A_BUSY_MACHINE_S
from waystation.testing.agents import BUNDLED, open_agent

LOCAL = Principal("local")
CALLED = ["call_model", "execute_tools", "call_model"]
LOOKED_UP = ["lookup_config", "retrieve"]


@pytest.fixture(scope="module")
async def agent(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Agent]:
    async with open_agent(tmp_path_factory.mktemp("agent"), tools=BUNDLED) as agent:
        yield agent


async def visited(agent: Agent, thread: str) -> list[str]:
    """The steps that had a checkpoint of their own before them, in order."""
    found = await agent.threads.history(LOCAL, thread, limit=100)
    return [name for point in reversed(found["checkpoints"]) for name in point["next"]]


async def worked(agent: Agent, run_id: str) -> list[str]:
    """The steps of a run, as their times are told."""
    return [step["name"] for step in (await agent.runs.get(LOCAL, run_id)).steps]


async def test_look_ups_are_told_as_steps_and_have_no_checkpoints(agent: Agent) -> None:
    reply = await agent.ask("What is 5 + 3?", thread="sum")
    assert "8" in reply["answer"]
    assert await visited(agent, "sum") == ["__start__", *CALLED]
    assert await worked(agent, reply["run_id"]) == [*LOOKED_UP, *CALLED]


async def test_passages_are_cited_as_where_they_have_a_step_of_their_own(agent: Agent) -> None:
    events = [event async for event in agent.stream("For how long is a berth reserved at most?")]
    told = [event["type"] for event in events]
    assert told.index("config") < told.index("documents") < told.index("token")
    assert [(c["source"], c["document"]) for c in events[-1]["citations"]] == [("harbour", "handbook.md")]


async def test_what_a_turn_made_is_stored_before_it_ends(agent: Agent) -> None:
    files = await agent.container.get(FileManager)
    upload = await files.put(LOCAL, "sales.csv", b"region,amount\nnorth,10.5\nsouth,4\nnorth,2\n")
    question = "What is the total of amount by region in sales.csv?"
    reply = await agent.ask(question, thread="csv", files=[upload.key])
    assert (await visited(agent, "csv"))[-1] == "store_files"
    assert {file.name for file in await files.list(LOCAL, thread="csv")} >= {reply["files"][0]["name"]}


async def test_whoever_runs_the_graph_without_the_service_sees_each_step(agent: Agent) -> None:
    steps: list[str] = []
    graph = agent.graph.copy(update={"checkpointer": None})
    given: Any = {"messages": [HumanMessage("What is 5 + 3?", id="m1")]}
    async for update in graph.astream(given, context=RunContext(), stream_mode="updates"):
        steps += update
    assert steps == [*LOOKED_UP, *CALLED, "store_files"]


async def test_what_is_written_behind_a_turn_is_written_behind_its_last_step(agent: Agent) -> None:
    assert last_step(agent.graph) == "store_files"


@pytest.mark.parametrize("step", [None, "call_model", "store_files"])
async def test_what_is_changed_behind_a_turn_that_ended_leaves_it_ended(
    agent: Agent, step: str | None
) -> None:
    thread = f"changed-{step}"
    await agent.ask("What is 5 + 3?", thread=thread)
    await agent.change(LOCAL, thread, {"messages": [AIMessage("better", id="m2")]}, as_node=step)
    assert (await agent.threads.state(LOCAL, thread))["next"] == []
    assert (await agent.ask("And doubled?", thread=thread))["status"] == "done"


async def test_a_turn_that_makes_room_while_it_looks_up_asks_no_model(tmp_path: Path) -> None:
    searching, searched = asyncio.Event(), asyncio.Event()

    async def search(_: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        searching.set()
        await searched.wait()
        answer.close()

    async with await asyncio.start_server(search, "127.0.0.1", 0) as source:
        url = f"http://127.0.0.1:{source.sockets[0].getsockname()[1]}"
        files = {"sources.yaml": f"wiki:\n  type: http\n  url: {url}\n"}
        async with open_agent(tmp_path, files=files, tools=()) as agent:
            first = await agent.begin(TurnRequest(LOCAL, "What is a berth?", thread_id="t1"))
            async with asyncio.timeout(A_BUSY_MACHINE_S):
                await searching.wait()
                (await agent.container.get(LiveRuns))[first.id].stop("supersede", grace_s=A_BUSY_MACHINE_S)
                searched.set()
                assert (await first.result())["status"] == "cancelled"
            assert await worked(agent, first.id) == LOOKED_UP
