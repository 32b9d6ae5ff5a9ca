"""Forks, imports and deletions with whole turns, on each database; the model refuses unanswered calls."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text, update

from core.access import Principal
from core.settings.platform import ThreadSettings
from core.task_queue import TaskQueue
from graph import Agent
from graph.db.tables import new_run_id, runs, threads
from graph.errors import RunNotFound, ThreadNotFound
from graph.threads.history.checkpoints import tables_of
from graph.threads.history.erase import BELONGING
from nodes.file_storage import FileManager, FileNotFound
from waystation.testing.agents import context_at
from waystation.testing.model_server import ModelServer, call, say

LOCAL = Principal("local")
HOUR = 3600.0
PLUGIN = """{"name": "sums", "version": "1", "description": "Adds numbers.", "server": "server.py",
"require_approval": ["add"]}"""
SERVER = """
import base64, json
from mcp.server.fastmcp import FastMCP
app = FastMCP('sums')

@app.tool(description='Add two numbers.')
def add(a: float, b: float) -> str:
    return f'{a + b:g}'

@app.tool(description='Draw.')
def draw(name: str) -> str:
    content = base64.b64encode(b'drawn').decode()
    made = {'name': name, 'b64': content, 'mime': 'text/plain'}
    return json.dumps({'results': 'drawn', 'artifacts': [made]})

app.run()
"""


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
async def agent(request: pytest.FixtureRequest, model: ModelServer, tmp_path: Path) -> AsyncIterator[Agent]:
    plugin = tmp_path / "home" / "plugins" / "sums"
    plugin.mkdir(parents=True)
    (plugin / "plugin.json").write_text(PLUGIN)
    (plugin / "server.py").write_text(SERVER)
    url = f"sqlite:///{tmp_path / 'w.db'}"
    if request.param == "postgresql":
        found = request.getfixturevalue("postgres_url")
        url = found.set(drivername="postgresql").render_as_string()
    environ = {"OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "test"}
    context = context_at(tmp_path, environ=environ, storage={"url": url}, mcp={"bundled": False})
    async with Agent.open(context, worker=True) as agent:
        yield agent


async def asked_and_answered(agent: Agent, model: ModelServer, thread: str = "t") -> None:
    """Two turns; the second calls a tool that asked a person first."""
    model.script(say("Hello!"), call("sums_add", {"a": 5, "b": 3}), say("It is 8."))
    await agent.ask("Hello", thread=thread)
    await agent.ask("What is 5 + 3?", thread=thread)
    await agent.ask(thread=thread, resume={"approve": True})


def said_to(model: ModelServer) -> list[tuple[str, Any]]:
    """What the model was sent last, without the instructions."""
    sent = model.requests()[-1]["messages"]
    return [(m["role"], m.get("content")) for m in sent if m["role"] != "system"]


async def rows_of(agent: Agent, thread: str) -> dict[str, int]:
    async with agent.engine.connect() as db:
        names = [*tables_of(db), *(table.name for table in BELONGING)]
        counts = {
            name: (
                await db.execute(
                    text(f"SELECT count(*) FROM {name} WHERE thread_id = :id"),  # noqa: S608 - names of ours
                    {"id": thread},
                )
            ).scalar()
            or 0
            for name in names
        }
    return {name: count for name, count in counts.items() if count}


async def test_a_fork_from_any_checkpoint_takes_the_next_message(agent: Agent, model: ModelServer) -> None:
    await asked_and_answered(agent, model)
    checkpoints = (await agent.threads.history(LOCAL, "t", limit=100))["checkpoints"]
    assert len(checkpoints) > 6
    for checkpoint in checkpoints:
        point = checkpoint["checkpoint_id"]
        made = await agent.threads.fork(LOCAL, "t", checkpoint_id=point)
        model.script(say("Yes."), match="Are you there")
        reply = await agent.ask("Are you there?", thread=made["id"], on_busy="interrupt")
        assert (reply["status"], reply["answer"]) == ("done", "Yes."), checkpoint
        page = await agent.threads.transcript(LOCAL, made["id"])
        assert page["messages"][-1]["text"] == "Yes."
        assert not await _is_dirty(agent, made["id"])


async def _is_dirty(agent: Agent, thread: str) -> bool:
    async with agent.engine.connect() as db:
        query = threads.select().where(threads.c.id == thread)
        return bool((await db.execute(query)).mappings().one()["dirty"])


async def test_a_question_is_answered_otherwise_in_a_fork(agent: Agent, model: ModelServer) -> None:
    model.script(call("sums_add", {"a": 5, "b": 3}))
    await agent.ask("What is 5 + 3?", thread="t")
    fork = await agent.threads.fork(LOCAL, "t")
    assert [question["kind"] for question in fork["waiting"]] == ["approval"]

    model.script(say("It is 8."))
    assert (await agent.ask(thread="t", resume={"approve": True}))["answer"] == "It is 8."
    model.script(say("Then not."))
    reply = await agent.ask(thread=fork["id"], resume={"approve": False})
    assert (reply["status"], reply["answer"]) == ("done", "Then not.")
    assert [c["status"] for c in reply["tool_calls"]] == ["denied"]
    assert (await agent.threads.get(LOCAL, fork["id"]))["status"] == "idle"


async def test_a_cancelled_question_is_not_asked_again_in_a_fork(agent: Agent, model: ModelServer) -> None:
    model.script(call("sums_add", {"a": 1, "b": 2}))
    asked = await agent.ask("add", thread="withdrawn")
    assert asked["status"] == "interrupted"
    await agent.runs.cancel(LOCAL, asked["run_id"])
    fork = await agent.threads.fork(LOCAL, "withdrawn")
    assert (fork["status"], fork["waiting"]) == ("idle", [])
    model.script(say("on"))
    assert (await agent.ask("go on", thread=fork["id"]))["answer"] == "on"


async def test_a_message_is_said_differently(agent: Agent, model: ModelServer) -> None:
    await asked_and_answered(agent, model)
    page = await agent.threads.transcript(LOCAL, "t")
    second = [m["id"] for m in page["messages"] if m["role"] == "user"][1]
    made = await agent.threads.fork_before(LOCAL, "t", second)
    model.script(say("Fine."))
    await agent.ask("How are you?", thread=made["id"])
    assert said_to(model) == [("user", "Hello"), ("assistant", "Hello!"), ("user", "How are you?")]
    assert len((await agent.threads.transcript(LOCAL, "t"))["messages"]) == 6


async def test_what_went_out_and_came_in_shows_the_model_the_same(agent: Agent, model: ModelServer) -> None:
    await asked_and_answered(agent, model)
    made = await agent.threads.import_lines(LOCAL, await agent.threads.export(LOCAL, "t"))
    seen = []
    for thread in ("t", made["id"]):
        model.script(say("Bye."))
        await agent.ask("Goodbye", thread=thread)
        seen.append(model.requests()[-1]["messages"])
    assert seen[0] == seen[1]
    texts = [
        [(m["role"], m["text"]) for m in (await agent.threads.transcript(LOCAL, thread))["messages"]]
        for thread in ("t", made["id"])
    ]
    assert texts[0] == texts[1]


async def test_a_tools_file_goes_with_the_last_thread_that_needs_it(agent: Agent, model: ModelServer) -> None:
    model.script(call("sums_draw", {"name": "chart.txt"}), say("Drawn."))
    reply = await agent.ask("Draw", thread="t")
    (file,) = reply["files"]
    fork = (await agent.threads.fork(LOCAL, "t"))["id"]
    model.script(say("On."))
    await agent.ask("Go on", thread=fork)
    files = await agent.container.get(FileManager)

    await agent.threads.delete(LOCAL, "t")
    assert await rows_of(agent, "t") == {}
    assert (await files.info(LOCAL, file["key"])).thread == fork
    model.script(say("Still."))
    assert (await agent.ask("Still there?", thread=fork))["status"] == "done"

    await agent.threads.delete(LOCAL, fork)
    assert await rows_of(agent, fork) == {}
    with pytest.raises(FileNotFound):
        await files.info(LOCAL, file["key"])


async def _done(agent: Agent, task: str) -> None:
    queue = await agent.container.get(TaskQueue)
    added = await queue.add(task, {}, owner=queue.system)
    assert (await queue.wait(added.id, 30.0)).status == "done"


async def test_the_clean_up_finishes_what_was_cut_short(agent: Agent, model: ModelServer) -> None:
    await asked_and_answered(agent, model)
    async with agent.engine.begin() as db:
        # What a kill leaves between the first and the last step of a deletion.
        gone = {"owner": "hidden/local", "updated_at": time.time() - 2 * HOUR}
        await db.execute(update(threads).where(threads.c.id == "t").values(**gone))
    with pytest.raises(ThreadNotFound):
        await agent.ask("Hello?", thread="t")
    await _done(agent, "clean_threads")
    assert await rows_of(agent, "t") == {}
    model.script(say("New."))
    assert (await agent.ask("Hello?", thread="t"))["answer"] == "New."


async def test_a_thread_that_was_to_be_kept_for_a_time_is_deleted_behind_it(
    agent: Agent, model: ModelServer
) -> None:
    for key, minutes in (("t", 5), ("longer", 60), ("for-ever", None)):
        await agent.threads.create(LOCAL, thread_id=key)
        if minutes:
            await agent.threads.keep(LOCAL, key, minutes)
    async with agent.engine.begin() as db:
        await db.execute(update(threads).values(updated_at=time.time() - 600))
    await _done(agent, "clean_expired")
    assert {row["id"] for row in await agent.threads.list(LOCAL)} == {"longer", "for-ever"}


async def test_runs_are_kept_unless_the_setting_says_for_how_long(
    agent: Agent, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.script(say("One."), say("Two."))
    old = await agent.ask("one", thread="t")
    await agent.ask("two", thread="t")
    async with agent.engine.begin() as db:
        await db.execute(update(runs).values(ended_at=time.time() - 48 * HOUR))
    await _done(agent, "forget_run_rows")
    assert (await agent.runs.get(LOCAL, old["run_id"])).id == old["run_id"]
    settings = await agent.container.get(ThreadSettings)
    monkeypatch.setitem(vars(settings), "keep_runs_days", 1.0)
    await _done(agent, "forget_run_rows")
    with pytest.raises(RunNotFound):
        await agent.runs.get(LOCAL, old["run_id"])
    said = (await agent.threads.transcript(LOCAL, "t"))["messages"]
    assert [message["text"] for message in said] == ["one", "One.", "two", "Two."]


async def test_what_runs_told_long_ago_is_forgotten_and_their_replies_stay(
    agent: Agent, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.script(say("One."), say("Two."))
    with monkeypatch.context() as then:
        # On PostgreSQL a run's id says in which partition its events stand.
        then.setattr("graph.service.reception.new_run_id", lambda at: new_run_id(at - 48 * HOUR))
        old = await agent.ask("one", thread="t")
    await agent.ask("two", thread="t")
    async with agent.engine.begin() as db:
        ended = {"ended_at": time.time() - 48 * HOUR}
        await db.execute(update(runs).where(runs.c.id == old["run_id"]).values(**ended))
    before = await rows_of(agent, "t")
    await _done(agent, "forget_runs")
    after = await rows_of(agent, "t")
    assert 0 < after["run_events"] < before["run_events"]
    assert after["runs"] == before["runs"]
    assert ((await agent.runs.get(LOCAL, old["run_id"])).output or {})["answer"] == "One."
