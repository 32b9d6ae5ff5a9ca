"""The receiver that a run's caller names is told of its end, signed, once; and only where it may be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.access import Principal
from core.database.engine import insert_new, now_of
from core.events.deliveries import delivery_row
from core.events.tables import webhook_deliveries
from core.events.targets import WebhookNotAllowed
from core.events.webhooks import TASK, Webhooks
from core.task_queue import TaskContext, TaskQueue
from core.task_queue.task import NoArguments
from graph import Agent, TurnRequest
from graph.wiring.background import resume_webhooks
from tests.kit.webhook_server import SECRET, WebhookServer
from waystation.testing.agents import context_at

ADA = Principal("ada")
LOCAL: dict[str, Any] = {"allowed_hosts": ["127.0.0.1"], "allow_private_addresses": True}


def asking(url: str) -> TurnRequest:
    return TurnRequest(ADA, "What is 5 + 3?", thread_id="t1", webhook=url, background=True)


@pytest.mark.parametrize("by", ["url", "name"])
async def test_a_receiver_is_told_of_the_end_with_the_output(tmp_path: Path, by: str) -> None:
    async with WebhookServer(SECRET) as server:
        hook = {"name": "mine", "url": server.url, "secret": SECRET, "events": ["FileDeleted"]}
        settings = {**LOCAL, "run_secret": SECRET, "hooks": [hook] if by == "name" else []}
        context = context_at(tmp_path, webhooks=settings)
        async with Agent.open(context, worker=True) as agent:
            run = await agent.begin(asking(server.url if by == "url" else "mine"))
            await run.result()
            [message] = await server.received(1)
    assert message.signed
    body = message.json
    assert (body["type"], body["data"]["run_id"], body["data"]["status"]) == ("run.ended", run.id, "done")
    assert body["data"]["output"]["answer"] == "5 + 3 = 8"


@pytest.mark.parametrize(
    ("settings", "named", "why"),
    [
        (LOCAL, "https://127.0.0.1/x", "run_secret"),
        ({**LOCAL, "run_secret": SECRET}, "https://elsewhere.example/x", "allowed_hosts"),
        ({"allowed_hosts": ["a.example"], "run_secret": SECRET}, "http://a.example/x", "https"),
        (LOCAL, "nobody", "webhooks: none"),
    ],
)
async def test_a_receiver_that_may_not_be_told_is_refused_before_anything_is_stored(
    tmp_path: Path, settings: dict[str, Any], named: str, why: str
) -> None:
    async with Agent.open(context_at(tmp_path, webhooks=settings)) as agent:
        with pytest.raises(WebhookNotAllowed, match=why):
            await agent.begin(asking(named))
        assert not await agent.threads.list(ADA)


async def queued(agent: Agent) -> list[str]:
    """Ids of the deliveries that have a task."""
    queue = await agent.container.get(TaskQueue)
    return [str(task.arguments["delivery_id"]) for task in await queue.list(name=TASK)]


async def unheard(done: float, total: float | None, message: str) -> None:
    """Nobody looks at the progress."""


async def left_behind(agent: Agent) -> str:
    """A delivery whose process died before it had queued it."""
    row = delivery_row("run", "run.ended", b"{}", now=now_of(agent.engine), url="https://127.0.0.1/x")
    async with agent.engine.begin() as db:
        await insert_new(db, webhook_deliveries, row)
    return str(row["id"])


async def test_the_end_of_a_run_queues_its_own_delivery_and_no_other(tmp_path: Path) -> None:
    context = context_at(tmp_path, webhooks={**LOCAL, "run_secret": SECRET})
    async with Agent.open(context) as agent:
        left = await left_behind(agent)
        run = await agent.begin(asking("https://127.0.0.1/x"))
        await run.result()
        while not await queued(agent):
            pass
        assert await queued(agent) == [f"msg_{run.id}_1_done"]
        context_of_task = TaskContext(agent.container, ADA, "t", 1, unheard)
        await resume_webhooks(NoArguments(), context_of_task)
        assert sorted(await queued(agent)) == sorted([left, f"msg_{run.id}_1_done"])


async def test_a_run_that_ends_while_it_waits_or_pauses_has_a_delivery_for_each_end(tmp_path: Path) -> None:
    context = context_at(tmp_path, webhooks={**LOCAL, "run_secret": SECRET})
    async with Agent.open(context) as agent, agent.holding("t1", user="ada"):
        handle = await agent.begin(replace(asking("https://127.0.0.1/x"), on_busy="enqueue"))
        await agent.runs.cancel(ADA, handle.id)
        assert await queued(agent) == [f"msg_{handle.id}_0_cancelled"]
        webhooks = await agent.container.get(Webhooks)
        assert await webhooks.resume() == 1, "what is queued is what the database keeps"
