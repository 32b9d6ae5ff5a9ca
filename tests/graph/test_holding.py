"""From Python: every checkpoint of a held thread goes on to the right answer, and what is stored agrees."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage
from langgraph.types import Command

from core.access import Principal, RunContext
from core.errors import InvalidInput
from graph import Agent
from graph.checkpoints.compaction import Compaction
from graph.errors import LeaseLost, ThreadBusy, ThreadNotFound
from graph.runs.lease import Leases
from waystation.testing.agents import context_at

LOCAL = Principal("local")
AUTO = RunContext(approval="auto")
SUM, PRODUCT, BERTH = "What is 5 + 3?", "What is 7 * 6?", "How long is a berth reserved?"
STEPS = ("lookup_config", "retrieve", "call_model", "execute_tools", "store_files")
APPROVAL = '{"calculator": {"require_approval": ["*"]}}'


@pytest.fixture(params=["sqlite", "postgresql"])
def storage_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'threads.db'}"
    url = request.getfixturevalue("postgres_url")
    return str(url.set(drivername="postgresql").render_as_string())


@pytest.fixture
async def agent(storage_url: str, tmp_path: Path) -> AsyncIterator[Agent]:
    """An agent that keeps two turns in the state and the checkpoints of three."""
    context = context_at(
        tmp_path,
        files={"mcp.json": APPROVAL},
        storage={"url": storage_url},
        mcp={"callers_may_lower_approval": True},
        threads={"window": 2, "checkpoint_turns": 3},
    )
    async with Agent.open(context) as agent:
        yield agent


async def checkpoints(agent: Agent, thread: str) -> list[Any]:
    config: Any = {"configurable": {"thread_id": thread}}
    return [snapshot async for snapshot in agent.graph.aget_state_history(config)]


async def agrees(agent: Agent, thread: str) -> list[tuple[str, str]]:
    """The transcript, which ends with what the state has, and whose turns are counted."""
    state = await agent.threads.state(LOCAL, thread)
    page = await agent.threads.transcript(LOCAL, thread, limit=100)
    told = [(m["id"], m["role"], m["text"]) for m in page["messages"]]
    known = [(m["id"], m["role"], m["text"]) for m in state["messages"]]
    assert sorted(told[-len(known) :]) == sorted(known)
    row = await agent.threads.get(LOCAL, thread)
    assert row["turns"] >= sum(role == "user" for _, role, _ in told)
    assert row["status"] == ("interrupted" if state["interrupts"] else "idle")
    assert await agent.threads.history(LOCAL, thread, limit=5)
    return [(role, text) for _, role, text in told]


async def long_thread(agent: Agent) -> None:
    """More turns than the window and the kept checkpoints hold, compacted."""
    for question in ("Who are you?", BERTH, "Who are you?", SUM, BERTH, SUM):
        await agent.ask(question, thread="t", approval="auto")
    assert await (await agent.container.get(Compaction)).run(quiet_s=-1)


async def test_st1_every_checkpoint_behind_a_window_and_a_compaction_goes_on_rightly(
    agent: Agent, storage_url: str
) -> None:
    await long_thread(agent)
    every = 1 if storage_url.startswith("sqlite") else 5  # a sample: the same code reads both
    answer = (await agent.threads.state(LOCAL, "t"))["messages"][-1]["text"]
    for snapshot in (await checkpoints(agent, "t"))[::every]:
        checkpoint_id = str(snapshot.config["configurable"]["checkpoint_id"])
        thread = (await agent.threads.fork(LOCAL, "t", checkpoint_id=checkpoint_id))["id"]
        questions = [m for m in snapshot.values["messages"] if isinstance(m, HumanMessage)]
        async with agent.holding(thread) as config:
            ended = await agent.graph.ainvoke(None, config, context=AUTO)
        said = ended["messages"]
        if questions and questions[-1].content == SUM and said[-1].type == "ai":
            assert said[-1].content == answer
        if questions and questions[-1].content == BERTH and said[-1].type == "ai":
            assert "fourteen days" in said[-1].content
        await agrees(agent, thread)
        reply = await agent.ask(PRODUCT, thread=thread, approval="auto")
        assert "42" in reply["answer"]


async def test_st1_going_on_from_an_older_checkpoint_of_a_held_thread_takes_back_what_came_after(
    agent: Agent,
) -> None:
    for question in (BERTH, SUM):
        await agent.ask(question, thread="t", approval="auto")
    history = await checkpoints(agent, "t")
    begun = [s for s in history if s.metadata["source"] == "input"]
    first_turn = [s for s in history if s.metadata["step"] < begun[0].metadata["step"] and s.next]
    for snapshot in first_turn[:-1]:  # the last is the input on its way in
        async with agent.holding("t"):
            await agent.graph.ainvoke(None, snapshot.config, context=AUTO)
        told = await agrees(agent, "t")
        assert [role for role, _ in told] == ["user", "assistant"]
        assert "fourteen days" in told[-1][1]
    assert "8" in (await agent.ask(SUM, thread="t", approval="auto"))["answer"]


async def test_st1_an_edit_in_a_held_thread_is_answered_and_stands_in_the_transcript(agent: Agent) -> None:
    await agent.ask(SUM, thread="t", approval="auto")
    asked = (await agent.threads.state(LOCAL, "t"))["messages"][0]["id"]
    for number, snapshot in enumerate([s for s in await checkpoints(agent, "t") if s.values["messages"]]):
        question = f"What is {number + 2} * 6?"
        async with agent.holding("t"):
            edited = {"messages": [HumanMessage(question, id=asked)]}
            config = await agent.graph.aupdate_state(snapshot.config, edited)
            ended = await agent.graph.ainvoke(None, config, context=AUTO)
        assert str((number + 2) * 6) in ended["messages"][-1].content
        told = await agrees(agent, "t")
        assert told[0] == ("user", question)
        assert [role for role, _ in told] == ["user", "assistant", "tool", "assistant"]


@pytest.mark.parametrize("how", ["interrupt_before", "interrupt_after"])
async def test_st1_a_stop_at_any_step_of_a_held_thread_changes_no_answer(agent: Agent, how: str) -> None:
    for step in STEPS:
        stop: Any = {how: [step], "context": AUTO}
        async with agent.holding(f"t-{step}") as config:
            await agent.graph.ainvoke({"messages": [HumanMessage(SUM)]}, config, **stop)
            for _ in range(6):
                if not (await agent.graph.aget_state(config)).next:
                    break
                await agent.graph.ainvoke(None, config, **stop)
        told = await agrees(agent, f"t-{step}")
        assert [role for role, _ in told] == ["user", "assistant", "tool", "assistant"]
        assert told[-1][1] == "5 + 3 = 8"


async def test_a_question_that_a_run_left_is_answered_in_a_held_thread_and_the_call_made_once(
    agent: Agent,
) -> None:
    paused = await agent.ask(SUM, thread="t")
    assert paused["status"] == "interrupted"
    async with agent.holding("t") as config:
        await agent.graph.ainvoke(Command(resume={"approve": True}), config)
    told = await agrees(agent, "t")
    assert [role for role, _ in told] == ["user", "assistant", "tool", "assistant"]
    assert "42" in (await agent.ask(PRODUCT, thread="t", approval="auto"))["answer"]
    assert len(await agrees(agent, "t")) == 8


async def test_a_question_that_a_held_thread_left_is_answered_through_the_agent(agent: Agent) -> None:
    async with agent.holding("t") as config:
        await agent.graph.ainvoke({"messages": [HumanMessage(SUM)]}, config)
    assert (await agent.threads.get(LOCAL, "t"))["status"] == "interrupted"
    assert "8" in (await agent.ask(thread="t", resume={"approve": True}))["answer"]
    await agrees(agent, "t")


async def test_a_turn_that_was_left_in_the_middle_does_not_stop_the_next_message(agent: Agent) -> None:
    async with agent.holding("t") as config:
        stop: Any = {"interrupt_before": ["call_model"], "context": AUTO}
        await agent.graph.ainvoke({"messages": [HumanMessage(SUM)]}, config, **stop)
    assert "42" in (await agent.ask(PRODUCT, thread="t", approval="auto"))["answer"]
    assert [role for role, _ in await agrees(agent, "t")][:2] == ["user", "user"]


async def test_a_message_that_is_removed_or_changed_in_a_held_thread_is_so_in_the_transcript(
    agent: Agent,
) -> None:
    await agent.ask("Who are you?", thread="t")
    await agent.ask(SUM, thread="t", approval="auto")
    messages = (await agent.graph.aget_state({"configurable": {"thread_id": "t"}})).values["messages"]
    async with agent.holding("t") as config:
        edit = [RemoveMessage(id=messages[-1].id), AIMessage("It is me.", id=messages[1].id)]
        await agent.graph.aupdate_state(config, {"messages": edit}, as_node="store_files")
    told = await agrees(agent, "t")
    assert told[:2] == [("user", "Who are you?"), ("assistant", "It is me.")]
    assert [role for role, _ in told] == ["user", "assistant", "user", "assistant", "tool"]


async def test_a_write_without_holding_the_thread_says_how_to_hold_it(agent: Agent) -> None:
    await agent.ask("Who are you?", thread="t")
    config: Any = {"configurable": {"thread_id": "t"}}
    with pytest.raises(LeaseLost, match=r"async with agent\.holding\('t'\)"):
        await agent.graph.ainvoke({"messages": [HumanMessage(SUM)]}, config)
    assert len(await agrees(agent, "t")) == 2


@pytest.mark.always
async def test_a_thread_is_held_by_its_owner_only_and_not_while_a_run_goes(agent: Agent) -> None:
    await agent.ask("Who are you?", thread="t", user="ada")
    with pytest.raises(ThreadNotFound):
        async with agent.holding("t", user="bob"):
            raise AssertionError
    leases = await agent.container.get(Leases)
    async with leases.borrow("t"):
        with pytest.raises(ThreadBusy):
            async with agent.holding("t", user="ada"):
                raise AssertionError
    async with agent.holding("t", user="ada"):
        with pytest.raises(ThreadBusy):
            await agent.ask("Hello?", thread="t", user="ada")


@pytest.mark.parametrize(
    "given",
    [{"messages": [{"foo": 1}]}, {"messages": [None]}, {"files": [{"foo": 1}]}, {"messages": []}, {"x": 1}],
)
async def test_st1_what_is_refused_leaves_a_held_thread_readable(agent: Agent, given: Any) -> None:
    await agent.ask("Who are you?", thread="t")
    async with agent.holding("t") as config:
        with pytest.raises(InvalidInput):
            await agent.graph.ainvoke(given, config)
        if given != {"messages": []} and "x" not in given:
            with pytest.raises(InvalidInput):
                await agent.graph.aupdate_state(config, given, as_node="store_files")
    await agrees(agent, "t")
    assert "8" in (await agent.ask(SUM, thread="t", approval="auto"))["answer"]
