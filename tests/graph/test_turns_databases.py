"""Whole turns on each database that `storage.url` may name."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from sqlalchemy.engine import URL

from core.access import Principal
from core.errors import InvalidInput
from core.steps import Step
from graph import Agent, TurnRequest
from graph.errors import ThreadBusy
from waystation.testing.agents import open_agent
from waystation.testing.model_server import ModelServer, calls, say
from waystation.testing.postgres import PostgresServer

LOCAL = Principal("local")


@pytest.fixture(params=["sqlite", "postgresql"])
def storage_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """As a person writes it into waystation.yaml."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'elsewhere.db'}"
    url = request.getfixturevalue("postgres_url")
    return str(url.set(drivername="postgresql").render_as_string())


async def test_a_thread_goes_on_after_a_restart_of_the_service(storage_url: str, tmp_path: Path) -> None:
    storage = {"url": storage_url}
    async with open_agent(tmp_path, storage=storage) as agent:
        assert "8" in (await agent.ask("What is 5 + 3?", thread="t"))["answer"]
    async with open_agent(tmp_path, storage=storage) as agent:
        assert "16" in (await agent.ask("And doubled?", thread="t"))["answer"]

        (thread,) = await agent.threads.list(LOCAL, q="5 + 3")
        assert (thread["id"], thread["turns"], thread["status"]) == ("t", 2, "idle")
        page = await agent.threads.transcript(LOCAL, "t")
        assert [m["role"] for m in page["messages"]][:2] == ["user", "assistant"]
        assert (await agent.threads.history(LOCAL, "t", limit=3))["checkpoints"]

        await agent.threads.create(LOCAL, thread_id="u", title="Another")
        (newest,) = await agent.threads.list(LOCAL, limit=1)
        (older,) = await agent.threads.list(LOCAL, after=newest["id"])
        assert (newest["id"], older["id"]) == ("u", "t")
        await agent.threads.delete(LOCAL, "t")
        assert [each["id"] for each in await agent.threads.list(LOCAL)] == ["u"]


async def test_of_messages_sent_at_once_to_one_thread_one_is_taken(storage_url: str, tmp_path: Path) -> None:
    others = asyncio.Event()

    async def wait(state: Any) -> None:
        await others.wait()

    steps = [Step("wait", wait, after="retrieve")]
    async with open_agent(tmp_path, storage={"url": storage_url}, steps=steps) as agent:
        asked = [asyncio.create_task(agent.ask(f"What is {n} + 1?", thread="t")) for n in range(10)]
        async with asyncio.timeout(60):
            # However slow the machine is: the one that is taken ends when the others have been refused.
            for _, refused in zip(range(9), asyncio.as_completed(asked), strict=False):
                with pytest.raises(ThreadBusy):
                    await refused
            others.set()
            results = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(result, ThreadBusy) for result in results) == 9
        page = await agent.threads.transcript(LOCAL, "t")
        assert [m["role"] for m in page["messages"]].count("user") == 1


async def test_a_turn_after_the_connections_were_cut_is_answered(
    postgres_server: PostgresServer, postgres_url: URL, tmp_path: Path
) -> None:
    storage = {"url": postgres_url.set(drivername="postgresql").render_as_string()}
    async with open_agent(tmp_path, storage=storage) as agent:
        await agent.ask("What is 5 + 3?", thread="t")
        postgres_server.cut_connections(postgres_url)
        assert "16" in (await agent.ask("And doubled?", thread="t"))["answer"]


async def test_titles_that_not_every_database_can_hold_are_refused(storage_url: str, tmp_path: Path) -> None:
    async with open_agent(tmp_path, storage={"url": storage_url}) as agent:
        await agent.threads.create(LOCAL, thread_id="t", title="Fine")
        for odd in ("a\x00b", "half a pair \ud800"):
            with pytest.raises(InvalidInput, match="title"):
                await agent.threads.create(LOCAL, title=odd)
            with pytest.raises(InvalidInput, match="title"):
                await agent.threads.change(LOCAL, "t", title=odd)
            with pytest.raises(InvalidInput, match="q has"):
                await agent.threads.list(LOCAL, q=odd)
            with pytest.raises(InvalidInput, match="message"):
                await agent.ask(odd, thread="t")
        assert [each["title"] for each in await agent.threads.list(LOCAL)] == ["Fine"]


async def test_calls_of_a_turn_that_was_stopped_before_their_checkpoint_was_stored_are_answered(
    storage_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ModelServer() as model:
        async with open_agent(tmp_path, model_url=model.url, storage={"url": storage_url}) as agent:
            await agent.ask("warm up", thread="t")
            model.reset()
            model.script(calls(*[("calculator_add", {"a": n, "b": 1}) for n in range(2)]))
            with monkeypatch.context() as patched:
                stuck = _hold_back_calls(agent, patched)
                run = await agent.begin(TurnRequest(LOCAL, "add", thread_id="t"))
                await asyncio.wait_for(stuck.wait(), 20)
                await run.cancel()
                assert (await run.result())["status"] == "cancelled"
            model.script(say("whole again"))
            assert (await agent.ask("next", thread="t"))["answer"] == "whole again"
            messages = (await agent.threads.transcript(LOCAL, "t"))["messages"]
    told = [(m["role"], m["text"] or len(m["tool_calls"])) for m in messages[-5:]]
    assert told == [
        ("assistant", 2),
        ("tool", "interrupted, result unknown"),
        ("tool", "interrupted, result unknown"),
        ("user", "next"),
        ("assistant", "whole again"),
    ]


async def test_an_imported_thread_whose_calls_lack_what_may_be_left_out_takes_the_next_message(
    storage_url: str, tmp_path: Path
) -> None:
    async with open_agent(tmp_path, storage={"url": storage_url}) as agent:
        await agent.ask("What is 5 + 3?", thread="t")
        pieces = await agent.threads.export(LOCAL, "t", form="jsonl")
        lines = [json.loads(line) for line in b"".join([piece async for piece in pieces]).splitlines()]
        for line in lines:
            if line["type"] == "message" and "tool_calls" in line["extra"]:
                line["extra"]["tool_calls"] = [{"name": "x"}, {"id": "c", "name": "x"}]
            if line["type"] == "state":
                line["unfinished"] = True

        async def sent() -> AsyncIterator[bytes]:
            for line in lines:
                yield json.dumps(line).encode() + b"\n"

        made = (await agent.threads.import_lines(LOCAL, sent()))["id"]
        assert (await agent.ask("What is 2 + 2?", thread=made))["answer"] == "2 + 2 = 4"
        messages = (await agent.threads.transcript(LOCAL, made))["messages"]
        assert [m["tool_call_id"] for m in messages if m.get("status") == "unknown"] == ["c"]


def _hold_back_calls(agent: Agent, patched: pytest.MonkeyPatch) -> asyncio.Event:
    """From a message with tool calls on nothing is stored; set when the step that made it is to be."""
    saver: Any = agent.graph.checkpointer
    put, put_writes = saver.aput, saver.aput_writes
    held: list[str] = []
    stuck = asyncio.Event()

    async def slow_put(*args: Any) -> Any:
        if not held:
            return await put(*args)
        stuck.set()
        return await asyncio.Event().wait()

    async def slow_writes(config: Any, writes: Sequence[tuple[str, Any]], *args: Any) -> None:
        said = [m for _, value in writes for m in (value if isinstance(value, list) else [])]
        held.extend("calls" for m in said if isinstance(m, AIMessage) and m.tool_calls)
        if not held:
            await put_writes(config, writes, *args)

    patched.setattr(saver, "aput", slow_put)
    patched.setattr(saver, "aput_writes", slow_writes)
    return stuck
