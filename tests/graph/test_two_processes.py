"""Two processes on one database: each follows, waits for, cancels and goes on with the runs of the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from core.access import Principal
from graph import Agent
from graph.errors import RunNotFound, ThreadBusy
from graph.runs.record import TurnRequest
from waystation.testing.agents import open_agent
from waystation.testing.model_server import ModelServer, hang, say

LOCAL = Principal("local")
WAIT_S = 30.0
# A signal, not the beat that makes up for one that got lost.
SOON_S = 30.0
BEAT_S = 120.0


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'shared.db'}"
    found = request.getfixturevalue("postgres_url")
    return str(found.set(drivername="postgresql").render_as_string())


@pytest.fixture
async def two(
    tmp_path: Path, model: ModelServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Agent, Agent]]:
    model.reset()
    monkeypatch.setattr("graph.service.run_service.BEAT_SECONDS", BEAT_S)
    async with AsyncExitStack() as stack:
        agents = [
            await stack.enter_async_context(
                open_agent(tmp_path, model_url=model.url, storage={"url": url}, mcp={"bundled": False})
            )
            for _ in range(2)
        ]
        yield agents[0], agents[1]
        model.release()


async def active(model: ModelServer, count: int) -> None:
    await asyncio.to_thread(model.wait_for_active, count)


async def test_a_run_is_followed_word_by_word_from_another_process(
    two: tuple[Agent, Agent], model: ModelServer
) -> None:
    here, there = two
    model.script(say("one two three four", hang_after=2))
    run = await here.begin(TurnRequest(LOCAL, "count", thread_id="t", background=True))
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(WAIT_S):
        async for event in there.runs.events(LOCAL, run.id):
            found.append(event)
            if event["type"] == "token" and not any(e["type"] == "usage" for e in found):
                model.release()
    assert "".join(e["delta"] for e in found if e["type"] == "token") == "one two three four"
    assert (found[0]["type"], found[-1]["type"]) == ("run_started", "done")
    seqs = [event["seq"] for event in found]
    assert seqs == sorted(set(seqs))
    mine = [event async for event in here.runs.events(LOCAL, run.id)]
    assert mine[-1] == found[-1]


async def test_a_run_is_cancelled_from_another_process_at_once(
    two: tuple[Agent, Agent], model: ModelServer
) -> None:
    here, there = two
    model.script(hang())
    run = await here.begin(TurnRequest(LOCAL, "wait", thread_id="t", background=True))
    await active(model, 1)
    began = time.monotonic()
    with pytest.raises(RunNotFound):
        await there.runs.cancel(Principal("eve"), run.id)
    assert (await there.runs.cancel(LOCAL, run.id)).status == "running"
    record = await there.runs.wait(LOCAL, run.id, timeout=WAIT_S)
    assert (record.status, record.reason) == ("cancelled", "asked")
    assert time.monotonic() - began < SOON_S
    assert (await run.result())["status"] == "cancelled"


async def test_a_message_waits_in_one_process_for_a_run_of_the_other(
    two: tuple[Agent, Agent], model: ModelServer
) -> None:
    here, there = two
    model.script(hang())
    first = await here.begin(TurnRequest(LOCAL, "one", thread_id="t"))
    await active(model, 1)
    with pytest.raises(ThreadBusy):
        await there.ask("refused", thread="t")
    asking = asyncio.create_task(there.ask("two", thread="t", on_busy="enqueue"))
    async with asyncio.timeout(WAIT_S):
        while not await here.runs.list(LOCAL, status="queued"):  # noqa: ASYNC110 - the other side tells nobody here
            await asyncio.sleep(0.01)
        began = time.monotonic()
        model.release()
        assert (await first.result())["status"] == "done"
        assert (await asking)["status"] == "done"
    assert time.monotonic() - began < SOON_S
    page = await here.threads.transcript(LOCAL, "t")
    assert [m["text"] for m in page["messages"] if m["role"] == "user"] == ["one", "two"]


async def test_a_message_in_one_process_takes_the_place_of_a_run_in_the_other(
    two: tuple[Agent, Agent], model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graph.service.stops.GRACE_SECONDS", 0.2)
    here, there = two
    model.script(hang())
    first = await here.begin(TurnRequest(LOCAL, "one", thread_id="t"))
    await active(model, 1)
    began = time.monotonic()
    async with asyncio.timeout(WAIT_S):
        assert (await there.ask("two", thread="t", on_busy="interrupt"))["status"] == "done"
        assert (await first.result())["status"] == "cancelled"
    assert time.monotonic() - began < SOON_S
    assert (await there.runs.get(LOCAL, first.id)).reason == "superseded"


async def test_ten_messages_at_once_from_both_stand_in_some_order_or_are_refused(
    two: tuple[Agent, Agent],
) -> None:
    for lap in range(3):
        thread = f"t{lap}"
        asking = [two[n % 2].ask(str(n), thread=thread) for n in range(10)]
        results = await asyncio.gather(*asking, return_exceptions=True)
        done = [result for result in results if isinstance(result, dict)]
        assert done
        assert all(isinstance(result, dict | ThreadBusy) for result in results)
        page = await two[0].threads.transcript(LOCAL, thread)
        assert [m["role"] for m in page["messages"]] == ["user", "assistant"] * len(done)
