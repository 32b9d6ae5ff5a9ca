"""Indexing as a task of the service: by command, and when the configuration changes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from core.access import Principal
from core.task_queue import TaskQueue, TaskRecord, TaskStatus
from graph.agent import Agent
from nodes.rag import RAGClient
from tests.kit.task_queues import eventually
from waystation.testing.agents import HANDBOOK, context_at
from waystation.testing.service import run

QUICK = {"quiet_s": 0.05, "every_s": 1}


async def done(queue: TaskQueue, name: str) -> list[TaskRecord]:
    return list(await queue.list(name=name, status=TaskStatus.DONE))


async def test_a_source_is_indexed_by_command_in_the_service_that_runs(tmp_path: Path) -> None:
    rag_settings = {"refresh": False, "search": "words"}  # vectors would be told last: how many there are
    context = context_at(tmp_path, tasks={"poll_s": 0.2}, rag=rag_settings)
    async with Agent.open(context, worker=True) as agent:
        (tmp_path / "harbour" / "tides.md").write_text("# Tides\n\nThe ebb begins at noon.\n")
        words = ("tasks", "run", "index_source", '{"source": "harbour"}', "--wait", "20", "--json")
        home, config = tmp_path / "home", tmp_path / "config"
        ended = await asyncio.to_thread(run, *words, home=home, config_dir=config)
        assert ended.returncode == 0, ended.stderr
        task = json.loads(ended.stdout)
        assert (task["status"], task["progress"], task["total"]) == ("done", 1, 1)
        assert task["message"] == "files"
        rag = await agent.container.get(RAGClient)
        found = await rag.query("the ebb", sources=["harbour"], principal=Principal("ada"))
        assert [passage.document for passage in found.passages] == ["tides.md"]


async def test_a_new_source_is_indexed_by_a_task_where_tasks_run(tmp_path: Path) -> None:
    async with Agent.open(context_at(tmp_path, reload=QUICK), worker=True) as agent:
        queue = await agent.container.get(TaskQueue)
        (tmp_path / "quay").mkdir()
        (tmp_path / "quay" / "quay.md").write_text(HANDBOOK)
        sources = {"harbour": {"path": "../harbour"}, "quay": {"path": "../quay"}}
        (tmp_path / "config" / "sources.yaml").write_text(json.dumps(sources))

        async def indexed() -> bool:
            return any(task.key == "quay" for task in await done(queue, "index_source"))

        await eventually(indexed)
        rag = await agent.container.get(RAGClient)
        found = await rag.query("berth reserved", sources=["quay"], principal=Principal("ada"))
        assert found.passages


async def test_where_no_tasks_run_a_new_source_is_indexed_all_the_same(tmp_path: Path) -> None:
    async with Agent.open(context_at(tmp_path, reload=QUICK)) as agent:
        (tmp_path / "quay").mkdir()
        (tmp_path / "quay" / "quay.md").write_text(HANDBOOK)
        sources = {"harbour": {"path": "../harbour"}, "quay": {"path": "../quay"}}
        (tmp_path / "config" / "sources.yaml").write_text(json.dumps(sources))
        rag = await agent.container.get(RAGClient)

        async def found() -> bool:
            return "quay" in {one.source for one in await rag.stats() if one.files}

        await eventually(found)
        queue = await agent.container.get(TaskQueue)
        assert not await queue.list(name="index_source")
