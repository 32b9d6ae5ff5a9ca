"""What happens around turns while nobody looks: titles, retention, webhooks, subscribers that misbehave."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from core.access import Principal
from core.events import EventBus, SubscriptionStatus, record
from core.health import HealthState
from core.task_queue import TaskQueue, TaskRecord
from graph import Agent
from graph.db.tables import threads
from graph.errors import ThreadNotFound
from graph.runs.announcements import TurnFinished, TurnStarted
from tests.kit.webhook_server import SECRET, WebhookServer
from waystation.testing.agents import context_at
from waystation.testing.mcp_servers import until
from waystation.testing.model_server import ModelServer, say

LOCAL = Principal("local")
DAY = 86_400.0
WAIT = 30.0


@asynccontextmanager
async def working(folder: Path, *, model_url: str = "", **overrides: Any) -> AsyncIterator[Agent]:
    """An agent that runs tasks too; without tool servers, which nothing here needs."""
    environ = {"OPENAI_BASE_URL": model_url, "OPENAI_API_KEY": "test"} if model_url else {}
    overrides.setdefault("mcp", {"bundled": False})
    context = context_at(folder, environ=environ, **overrides)
    async with Agent.open(context, worker=True) as agent:
        yield agent


async def task_of(agent: Agent, name: str) -> TaskRecord:
    """The first task of that name, when it has ended."""
    queue = await agent.container.get(TaskQueue)
    async with asyncio.timeout(WAIT):
        while not (found := await queue.list(name=name)):  # noqa: ASYNC110 - the ledger tells nobody
            await asyncio.sleep(0.02)
    return await queue.wait(found[0].id, WAIT)


async def test_a_turn_tells_the_bus_when_it_begins_and_how_it_ended(tmp_path: Path) -> None:
    async with working(tmp_path) as agent:
        with record(await agent.container.get(EventBus), TurnStarted, TurnFinished) as seen:
            reply = await agent.ask("Hello", thread="t1", user="ada")
            (ended,) = await seen.wait_for(TurnFinished)
    assert [event.what for event in seen] == ["TurnStarted", "TurnFinished"]
    assert (ended.by.user, ended.by.thread_id, ended.by.run_id) == ("ada", "t1", reply["run_id"])
    assert (ended.status, ended.code, ended.model) == ("done", "", "offline")


async def test_the_audit_log_names_who_did_what_and_never_what_was_said(tmp_path: Path) -> None:
    async with working(tmp_path) as agent:
        await agent.ask("a very private sentence", thread="t1", user="ada")
    audit = (tmp_path / "home" / "logs" / "audit.jsonl").read_text()
    assert '"TurnFinished"' in audit
    assert '"ada"' in audit
    assert "private" not in audit


async def test_the_model_that_answered_gives_a_new_thread_its_title(tmp_path: Path) -> None:
    with ModelServer() as model:
        model.script(say("Fees for boats"), match="Write a title")
        async with working(tmp_path, model_url=model.url, threads={"titles": "model"}) as agent:
            await agent.ask("What does a berth cost?", thread="t1")
            assert (await task_of(agent, "title_thread")).status == "done"
            thread = await agent.threads.get(LOCAL, "t1")
            assert thread["title"] == "Fees for boats"
            await agent.threads.change(LOCAL, "t1", title="Mine")
            await agent.ask("And two berths?", thread="t1")
            queue = await agent.container.get(TaskQueue)
            assert len(await queue.list(name="title_thread")) == 1
            assert (await agent.threads.get(LOCAL, "t1"))["title"] == "Mine"


async def test_threads_that_nobody_used_are_deleted_and_the_others_stay(tmp_path: Path) -> None:
    async with working(tmp_path, threads={"keep_days": 30}) as agent:
        for thread in ("old", "new"):
            await agent.ask("Hello", thread=thread)
        long_ago = update(threads).where(threads.c.id == "old").values(updated_at=time.time() - 31 * DAY)
        async with agent.engine.begin() as db:
            await db.execute(long_ago)
        queue = await agent.container.get(TaskQueue)
        added = await queue.add("clean_threads", {}, owner=queue.system)
        assert (await queue.wait(added.id, WAIT)).status == "done"
        with pytest.raises(ThreadNotFound):
            await agent.threads.get(LOCAL, "old")
        assert (await agent.threads.get(LOCAL, "new"))["turns"] == 1
        snapshot = await agent.graph.aget_state({"configurable": {"thread_id": "old"}})
        assert not snapshot.values


async def test_without_a_retention_nothing_is_deleted(tmp_path: Path) -> None:
    async with working(tmp_path) as agent:
        await agent.ask("Hello", thread="old")
        async with agent.engine.begin() as db:
            await db.execute(update(threads).values(updated_at=1.0))
        queue = await agent.container.get(TaskQueue)
        added = await queue.add("clean_threads", {}, owner=queue.system)
        assert (await queue.wait(added.id, WAIT)).status == "done"
        assert (await agent.threads.get(LOCAL, "old"))["turns"] == 1


async def test_a_webhook_hears_of_a_turn_signed(tmp_path: Path) -> None:
    async with WebhookServer(SECRET) as receiver:
        hook = {"name": "ops", "url": receiver.url, "secret": SECRET, "events": ["TurnFinished"]}
        settings = {"hooks": [hook], "allowed_hosts": ["127.0.0.1"], "allow_private_addresses": True}
        async with working(tmp_path, webhooks=settings) as agent:
            reply = await agent.ask("Hello", thread="t1")
            (message,) = await receiver.received(1)
            assert (await agent.health.report())["webhooks"].state is HealthState.HEALTHY
    assert message.signed
    assert message.json["type"] == "TurnFinished"
    assert message.json["data"]["by"]["run_id"] == reply["run_id"]
    assert "Hello" not in message.body.decode()


async def test_a_subscriber_that_raises_and_one_that_blocks_cost_a_turn_nothing(tmp_path: Path) -> None:
    stuck = threading.Event()

    def block(_: TurnStarted) -> None:
        stuck.wait()

    def fail(_: TurnStarted) -> None:
        raise RuntimeError("a handler's own fault")

    async with working(tmp_path, events={"drain_seconds": 0.1}) as agent:
        bus = await agent.container.get(EventBus)
        bus.subscribe(TurnStarted, block, name="blocks", queue=2)
        bus.subscribe(TurnStarted, fail, name="fails")
        for number in range(6):
            reply = await agent.ask("What is 5 + 3?", thread=f"t{number}")
            assert reply["status"] == "done"

        def report() -> dict[str, SubscriptionStatus]:
            return {status.name: status for status in bus.status()}

        # A turn waits for no subscriber: its last event may still be in their queues.
        await until(lambda: report()["fails"].failed == 6)
        health = (await agent.health.report())["events"]
        stuck.set()
        assert report()["blocks"].dropped == 3
    assert health.state is HealthState.DEGRADED
    assert "blocks" in health.reason
