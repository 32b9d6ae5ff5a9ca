"""A run that has ended becomes a recording: whole, without secrets, and only for its owner."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.types import interrupt
from sqlalchemy import text, update
from sqlalchemy.engine import URL

from core.access import Principal, RunContext
from core.choices import Choices
from core.errors import Conflict, InvalidInput, NotFound, WaystationError
from core.observability.redaction import never_log
from graph import Agent
from graph.db.tables import runs
from graph.errors import RunNotFound
from graph.flow.steps import Steps
from graph.replay.alone import run_node
from graph.replay.recorder import record
from graph.replay.recording import Recording, message_of, without_secrets
from graph.replay.replay import replay
from nodes.file_storage import FileManager
from tests.kit.recordings import a_sum
from waystation.testing.agents import BUNDLED, open_agent
from waystation.testing.model_server import ModelServer, call, calls, refuse, say

LOCAL = Principal("local")
SALES = "region,amount\nnorth,10.5\nsouth,4\nnorth,2\n"


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
def model(server: ModelServer) -> ModelServer:
    server.reset()
    return server


@pytest.fixture(scope="module")
async def agent(server: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Agent]:
    async with open_agent(tmp_path_factory.mktemp("agent"), model_url=server.url) as agent:
        yield agent


@pytest.fixture(scope="module")
async def offline(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Agent]:
    async with open_agent(tmp_path_factory.mktemp("offline"), tools=BUNDLED) as agent:
        yield agent


async def ran(agent: Agent, message: str, **options: Any) -> str:
    """The id of the run of this message, which has ended."""
    last: dict[str, Any] = {}
    async for event in agent.stream(message, **options):
        last = event
    assert last["type"] in {"done", "error"}
    return str(last["run_id"])


async def test_a_recording_has_what_went_in_what_was_answered_and_what_came_out(
    agent: Agent, model: ModelServer
) -> None:
    model.script(
        calls(("calculator_add", {"a": 5, "b": 3}), ("calculator_add", {"a": 1, "b": 1})), say("8 and 2")
    )
    run_id = await ran(agent, "Add them", thread="whole", sources=(), tools=("calculator",), temperature=0.5)
    kept = await record(agent, LOCAL, run_id)
    assert (kept.run.id, kept.run.thread_id, kept.question) == (run_id, "whole", "Add them")
    assert kept.wished == Choices(sources=(), tools=["calculator"], temperature=0.5)
    assert kept.model_dump()["wished"] == {
        "model": "",
        "sources": [],
        "tools": ["calculator"],
        "temperature": 0.5,
        "max_steps": None,
        "approval": "ask",
    }
    assert (kept.config["servers"], kept.config["temperature"]) == (["calculator"], 0.5)
    assert kept.config["tools"] is None  # every tool of that server
    assert [len(getattr(message_of(a.message), "tool_calls", [])) for a in kept.answers] == [2, 0]
    assert all(answer.usage["input_tokens"] > 0 for answer in kept.answers)
    assert sorted((o.name, o.arguments["a"]) for o in kept.outcomes) == [
        ("calculator_add", 1),
        ("calculator_add", 5),
    ]
    assert (kept.expected.status, kept.expected.answer) == ("done", "8 and 2")
    assert [c["status"] for c in kept.expected.tool_calls] == ["ok", "ok"]
    assert (await replay(kept)).same


async def test_a_recording_is_of_its_turn_also_when_the_thread_went_on(offline: Agent) -> None:
    first = await ran(offline, "What is 5 + 3?", thread="on")
    second = await ran(offline, "And doubled?", thread="on")
    await ran(offline, "What is 1 + 1?", thread="on")
    kept = await record(offline, LOCAL, second)
    assert [message_of(m).text for m in kept.before.messages if m["type"] == "human"] == ["What is 5 + 3?"]
    assert kept.expected.answer == "8 * 2 = 16"
    assert (await replay(kept)).same
    assert (await record(offline, LOCAL, first)).before.messages == []


async def test_the_model_of_now_can_answer_a_recorded_turn(offline: Agent) -> None:
    await ran(offline, "What is 5 + 3?", thread="live")
    kept = await record(offline, LOCAL, await ran(offline, "And doubled?", thread="live"))
    nodes = (await offline.container.get(Steps)).nodes
    # It sees the thread of then, so that "doubled" means something, and calls no tool of now.
    replayed = await replay(kept, swap={"call_model": nodes["call_model"]}, principal=LOCAL)
    assert (replayed.answer, replayed.same) == ("8 * 2 = 16", True)


async def test_passages_are_looked_up_again_and_marked_so(offline: Agent) -> None:
    run_id = await ran(offline, "For how long is a berth reserved at most?", thread="berth")
    kept = await record(offline, LOCAL, run_id)
    assert (kept.retrieval.origin, kept.retrieval.missing) == ("searched_again", [])
    assert "fourteen days" in kept.retrieval.documents[0]["text"]
    replayed = await replay(kept)
    assert replayed.same
    assert "fourteen days" in replayed.answer


async def test_a_passage_that_is_gone_is_named_and_left_empty(tmp_path: Path) -> None:
    async with open_agent(tmp_path) as agent:
        run_id = await ran(agent, "For how long is a berth reserved at most?", sources=("harbour",))
    (tmp_path / "config" / "sources.yaml").unlink()
    async with open_agent(tmp_path) as agent:
        kept = await record(agent, LOCAL, run_id)
    assert kept.retrieval.missing == [1]
    assert kept.retrieval.documents[0]["text"] == ""
    assert kept.retrieval.documents[0]["document"] == "handbook.md"
    assert (kept.config["sources"], kept.config["approval"]) == (["harbour"], "ask")
    assert (await replay(kept)).same


async def test_files_are_named_and_not_copied(offline: Agent) -> None:
    manager = await offline.container.get(FileManager)
    upload = await manager.put(LOCAL, "sales.csv", SALES.encode())
    run_id = await ran(
        offline, "What is the total of amount by region in sales.csv?", thread="csv", files=[upload.key]
    )
    kept = await record(offline, LOCAL, run_id)
    assert [file["key"] for file in kept.files] == [upload.key]
    assert [file["name"] for file in kept.stored] == kept.outcomes[0].files
    assert kept.stored
    replayed = await replay(kept)
    assert replayed.same
    assert [e["name"] for e in replayed.events if e["type"] == "file"] == kept.outcomes[0].files


async def test_no_secret_gets_into_a_recording(agent: Agent, model: ModelServer) -> None:
    never_log("correct-horse-battery")
    arguments = {"a": 1, "b": 2, "api_key": "k-3141592653"}
    model.script(
        call("calculator_add", arguments), say("With token=hunter2hunter2 and correct-horse-battery, fine.")
    )
    run_id = await ran(
        agent, "My password: sesame-open, and Authorization: Bearer abcdef123456", thread="secrets"
    )
    kept = await record(agent, LOCAL, run_id)
    written = kept.model_dump_json()
    for secret in ("sesame-open", "abcdef123456", "k-3141592653", "hunter2hunter2", "correct-horse-battery"):
        assert secret not in written
    assert "***" in kept.question
    # What is hidden is hidden alike everywhere, so the turn still fits together.
    assert (await replay(kept)).same


def test_a_secret_is_told_by_its_key_wherever_it_stands() -> None:
    found = without_secrets({"a": [{"client_secret": "x1", "n": 1}], "tokens": 3, "token": None, "ok": True})
    assert found == {"a": [{"client_secret": "***", "n": 1}], "tokens": 3, "token": None, "ok": True}


async def test_who_asked_is_not_in_a_recording(agent: Agent, model: ModelServer) -> None:
    run_id = await ran(agent, "Hello", user="ada@example.com", groups=("crew-of-the-ark",))
    written = (await record(agent, Principal("ada@example.com"), run_id)).model_dump_json()
    assert "ada@example.com" not in written
    assert "crew-of-the-ark" not in written


async def test_somebody_elses_run_does_not_exist(agent: Agent, model: ModelServer) -> None:
    run_id = await ran(agent, "Hello", user="ada")
    for who, wanted in ((LOCAL, run_id), (LOCAL, "r_unknown")):
        with pytest.raises(RunNotFound):
            await record(agent, who, wanted)


async def test_a_run_that_goes_on_cannot_be_recorded(agent: Agent, model: ModelServer) -> None:
    run_id = await ran(agent, "Hello")
    async with agent.engine.begin() as db:
        await db.execute(update(runs).where(runs.c.id == run_id).values(status="interrupted"))
    with pytest.raises(Conflict, match="is interrupted; only a run that has ended"):
        await record(agent, LOCAL, run_id)


async def test_a_run_without_its_checkpoints_cannot_be_recorded(agent: Agent, model: ModelServer) -> None:
    run_id = await ran(agent, "Hello", thread="gone")
    async with agent.engine.begin() as db:
        for table in ("checkpoints", "writes"):
            await db.execute(text(f"DELETE FROM {table} WHERE thread_id = 'gone'"))  # noqa: S608 - two words of ours
    with pytest.raises(NotFound, match="no checkpoint that is kept has the message"):
        await record(agent, LOCAL, run_id)


async def test_a_failed_run_is_recorded_with_its_error(agent: Agent, model: ModelServer) -> None:
    model.script(call("calculator_add", {"a": 5, "b": 3}), refuse(400))
    kept = await record(agent, LOCAL, await ran(agent, "Add them", thread="failed"))
    assert kept.expected.status == "failed"
    assert (kept.expected.error or {})["code"] == "model_refused"
    assert [o.name for o in kept.outcomes] == ["calculator_add"]
    replayed = await replay(kept)
    assert (replayed.same, (replayed.error or {})["code"]) == (True, "model_refused")


async def test_what_a_cut_model_had_said_is_kept(agent: Agent, model: ModelServer) -> None:
    model.script(say("one two three four", cut_after=2))
    kept = await record(agent, LOCAL, await ran(agent, "Count", thread="cut"))
    assert (kept.expected.status, kept.expected.partial.strip()) == ("failed", "one two")
    assert kept.answers == []
    replayed = await replay(kept)
    assert "".join(e["delta"] for e in replayed.events if e["type"] == "token").strip() == "one two"
    assert replayed.same


async def test_what_a_later_message_repaired_is_no_part_of_the_turn(agent: Agent, model: ModelServer) -> None:
    model.script(*[call("calculator_add", {"a": n, "b": n}) for n in range(3)])
    run_id = await ran(agent, "Loop", thread="repaired", max_steps=2)
    model.reset()
    await ran(agent, "Go on", thread="repaired")
    kept = await record(agent, LOCAL, run_id)
    assert (kept.expected.error or {})["code"] == "step_limit"
    assert [o.arguments for o in kept.outcomes] == [{"a": 0, "b": 0}]
    assert (await replay(kept)).same


async def test_a_cancelled_run_is_recorded_with_what_had_come(agent: Agent, model: ModelServer) -> None:
    model.script(say("one two three", hang_after=2))
    run_id = ""
    async for event in agent.stream("Count", thread="cancelled"):
        run_id = event["run_id"]
        if event["type"] == "token" and event["delta"].strip() == "two":
            break
    assert (await agent.runs.wait(LOCAL, run_id, timeout=20)).status == "cancelled"
    kept = await record(agent, LOCAL, run_id)
    assert (kept.expected.status, kept.expected.answer.strip()) == ("cancelled", "one two")
    assert (await replay(kept)).same


async def test_what_a_turn_found_is_recorded_also_when_its_end_let_it_go(tmp_path: Path) -> None:
    async with open_agent(tmp_path, threads={"window": 1}) as agent:
        ids = [await ran(agent, f"What is {n} + 1?", thread="long") for n in range(4)]
        kept = await record(agent, LOCAL, ids[-1])
        first = await record(agent, LOCAL, ids[0])
        nodes = (await agent.container.get(Steps)).nodes
        replayed = await replay(kept, swap={"call_model": nodes["call_model"]}, principal=LOCAL)
    asked = [message_of(m).text for m in kept.before.messages if m["type"] == "human"]
    assert asked[-1] == "What is 2 + 1?"
    assert "What is 0 + 1?" in kept.before.summary
    assert replayed.same
    assert (first.question, first.before.messages, first.expected.answer) == (
        "What is 0 + 1?",
        [],
        "0 + 1 = 1",
    )


async def test_an_approved_call_is_replayed_without_asking_again(tmp_path: Path) -> None:
    plugin = tmp_path / "home" / "plugins" / "sums"
    plugin.mkdir(parents=True)
    (plugin / "plugin.json").write_text(
        '{"name": "sums", "version": "1", "description": "Adds numbers.", "server": "server.py",'
        ' "require_approval": ["add"]}'
    )
    (plugin / "server.py").write_text(
        "from mcp.server.fastmcp import FastMCP\n"
        "app = FastMCP('sums')\n"
        "@app.tool(description='Add two numbers: the sum of a plus b.')\n"
        "def add(a: float, b: float) -> str:\n"
        "    return f'{a + b:g}'\n"
        "app.run()\n"
    )
    async with open_agent(tmp_path, mcp={"bundled": False}) as agent:
        run_id = await ran(agent, "What is 5 plus 3?", thread="approval")
        with pytest.raises(Conflict, match="is interrupted"):
            await record(agent, LOCAL, run_id)
        assert (await agent.ask(thread="approval", resume={"approve": True}))["run_id"] == run_id
        kept = await record(agent, LOCAL, run_id)
        state = {"call": {"id": "c", "name": "sums_add", "args": {"a": 1, "b": 1}}}
        (waiting,) = (await run_node(agent, "execute_tools", state)).interrupts
    assert waiting["kind"] == "approval"
    assert [c["status"] for c in kept.expected.tool_calls] == ["ok"]
    replayed = await replay(kept)
    assert (replayed.same, replayed.interrupts) == (True, [])


async def test_a_recording_from_postgresql_is_the_same(postgres_url: URL, tmp_path: Path) -> None:
    storage = {"url": postgres_url.set(drivername="postgresql").render_as_string()}
    async with open_agent(tmp_path, storage=storage) as agent:
        await ran(agent, "What is 5 + 3?", thread="pg")
        kept = await record(agent, LOCAL, await ran(agent, "And doubled?", thread="pg"))
    assert [message_of(m).text for m in kept.before.messages if m["type"] == "human"] == ["What is 5 + 3?"]
    assert (await replay(kept)).answer == "8 * 2 = 16"


def test_a_recording_comes_back_from_its_file(tmp_path: Path) -> None:
    a_sum().save(tmp_path / "sum.json")
    assert Recording.load(tmp_path / "sum.json") == a_sum()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("{", "is no recording: line 1"),
        ("[]", "is no recording; `waystation runs record RUN` makes one"),
        ({"format": "other"}, "is no recording"),
        ({"version": 2}, "of version 2; this reads 1"),
        ({"surprise": 1}, "is not whole: surprise: Extra inputs"),
        ({"expected": {"status": "running"}}, "expected.status"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_recording_says_why(tmp_path: Path, change: Any, told: str) -> None:
    path = tmp_path / "sum.json"
    if isinstance(change, str):
        path.write_text(change)
    elif change is not None:
        path.write_text(json.dumps({**a_sum().model_dump(), **change}))
    with pytest.raises(WaystationError) as caught:
        Recording.load(path)
    assert told in caught.value.detail


def test_a_message_that_cannot_be_read_says_so() -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        message_of({"type": "ai"})


async def test_a_node_runs_alone_on_the_state_that_a_thread_was_in(offline: Agent) -> None:
    await ran(offline, "What is 5 + 3?", thread="alone")
    snapshot = await offline.graph.aget_state({"configurable": {"thread_id": "alone"}})
    question, asked, *_ = snapshot.values["messages"]
    config = await run_node(offline, "lookup_config", snapshot.values)
    assert [event["type"] for event in config.events] == ["config"]
    state = {**snapshot.values, **config.writes, "messages": [question]}
    answer = await run_node(offline, "call_model", state)
    (message,) = answer.writes["messages"]
    assert isinstance(message, AIMessage)
    assert message.tool_calls[0]["args"] == {"expression": "5 + 3"}
    result = await run_node(offline, "execute_tools", {**state, "call": asked.tool_calls[0]})
    assert result.writes["messages"][0].text == "8"
    assert [event["type"] for event in result.events] == ["tool_call", "tool_result"]
    after = await offline.graph.aget_state({"configurable": {"thread_id": "alone"}})
    assert after.config == snapshot.config


async def test_a_node_alone_gets_the_context_that_is_given(offline: Agent) -> None:
    steps = await offline.container.get(Steps)
    found = await run_node(steps, "lookup_config", {}, RunContext(tools=["clock"], sources=[]))
    assert (found.writes["config"]["servers"], found.writes["config"]["sources"]) == (["clock"], [])


async def test_a_node_that_asks_a_person_says_what_it_waits_for(offline: Agent) -> None:
    async def asks_first(state: Any, runtime: Any) -> dict[str, Any]:
        return {"documents": [interrupt({"kind": "approval", "detail": "May I?"})]}

    steps = await offline.container.get(Steps)
    asking = steps.running({"retrieve": asks_first})
    (waiting,) = (await run_node(asking, "retrieve", {})).interrupts
    assert (waiting["kind"], waiting["detail"]) == ("approval", "May I?")


async def test_a_node_that_there_is_not_is_named_with_those_that_there_are(offline: Agent) -> None:
    with pytest.raises(InvalidInput, match=r"no node 'guess'; nodes: .*call_model"):
        await run_node(offline, "guess", {})
