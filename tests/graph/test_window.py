"""The working window: a long thread's state stays small, its turns whole, and its transcript complete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, RemoveMessage, ToolMessage
from sqlalchemy.ext.asyncio import AsyncEngine

from core.access import Principal
from core.sections import SECTIONS
from core.settings import Context, Places, read_book
from core.settings.platform import ThreadSettings
from graph import Agent
from graph.flow.routing import Window, trimmed
from graph.flow.state import merge_messages
from graph.threads.sizes import measure
from nodes.llm.errors import ModelUnavailable
from nodes.llm.fake import Reply, ScriptedModel
from nodes.llm.prompt import answered
from nodes.mcp_tools.fake import FakeServer
from nodes.mcp_tools.models import ToolInfo
from waystation.testing.agents import open_agent
from waystation.testing.container import Fakes

LOCAL = Principal("local")
KB = "word " * 200


def adding() -> FakeServer:
    """A server with one tool."""

    async def add(_: object, __: object) -> str:
        return "8"

    server = FakeServer()
    server.add(ToolInfo("add", "Adds."), add)
    return server


def opened(folder: Path, *replies: Reply, **threads: Any) -> Any:
    fakes = Fakes(model=ScriptedModel(*replies), servers={"sums": adding()})
    return open_agent(folder, providers=[fakes], threads=threads)


async def state(agent: Agent) -> dict[str, Any]:
    found: dict[str, Any] = (await agent.graph.aget_state({"configurable": {"thread_id": "t"}})).values
    return found


async def checkpoints(agent: Agent) -> int:
    config: Any = {"configurable": {"thread_id": "t"}}
    return len([snapshot async for snapshot in agent.graph.aget_state_history(config)])


def questions(messages: list[BaseMessage]) -> list[str]:
    return [str(message.content) for message in messages if isinstance(message, HumanMessage)]


async def test_a_state_keeps_the_newest_turns_whole_and_the_transcript_all(tmp_path: Path) -> None:
    replies: list[Reply] = []
    for number in range(20):
        replies += [("sums_add", "{}")] if number % 3 == 1 else []
        replies += [f"Answer {number}."]
    async with opened(tmp_path, *replies, window=4) as agent:
        for number in range(20):
            assert (await agent.ask(f"Question {number}?", thread="t"))["answer"] == f"Answer {number}."
            messages = (await state(agent))["messages"]
            asked = questions(messages)
            assert asked == [f"Question {n}?" for n in range(number + 1)][-len(asked) :]
            assert min(number + 1, 4) <= len(asked) <= 5
            assert isinstance(messages[0], HumanMessage)
            assert answered(messages) == (messages, [])
        page = await agent.threads.transcript(LOCAL, "t", limit=200)
    roles = [message["role"] for message in page["messages"]]
    assert (roles.count("user"), roles.count("tool"), len(roles)) == (20, 7, 20 + 20 + 14)
    assert [m["text"] for m in page["messages"] if m["role"] == "user"] == [
        f"Question {n}?" for n in range(20)
    ]


async def test_what_a_new_process_reads_is_what_was_there(tmp_path: Path) -> None:
    async with opened(tmp_path, "Yes.", window=2) as agent:
        for number in range(60):
            await agent.ask(f"Question {number}?", thread="t")
        before = await state(agent)
    async with opened(tmp_path, "Yes.", window=2) as agent:
        after = await state(agent)
    assert questions(after["messages"]) == ["Question 58?", "Question 59?"]
    assert [m.id for m in after["messages"]] == [m.id for m in before["messages"]]
    assert after["summary"] == before["summary"]
    assert after["summary"].endswith("Asked: Question 57?\nAnswered: Yes.")


async def test_leaving_the_window_costs_no_checkpoint(tmp_path: Path) -> None:
    async with opened(tmp_path, "Yes.", window=2) as agent:
        counts = []
        for number in range(6):
            before = await checkpoints(agent)
            await agent.ask(f"Question {number}?", thread="t")
            counts.append(await checkpoints(agent) - before)
    assert len(set(counts[1:])) == 1


@pytest.fixture(params=["sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    if request.param == "sqlite":
        return {"url": f"sqlite:///{tmp_path / 'threads.db'}"}
    url = request.getfixturevalue("postgres_url")
    return {"url": url.set(drivername="postgresql").render_as_string()}


async def test_bytes_written_per_turn_do_not_grow_with_the_thread(
    tmp_path: Path, storage: dict[str, str]
) -> None:
    fakes = Fakes(model=ScriptedModel(KB))
    async with open_agent(tmp_path, providers=[fakes], storage=storage, threads={"window": 8}) as agent:
        engine = await agent.container.get(AsyncEngine)
        written = []
        for number in range(60):
            await agent.ask(f"{number} {KB}", thread="t")
            if number % 20 == 19:
                written.append((await measure(engine)).totals()["bytes"]["total"])
    at_10, at_60 = written[0] / 20, (written[2] - written[1]) / 20
    assert at_60 < 1.5 * at_10


async def test_all_keeps_everything(tmp_path: Path) -> None:
    async with opened(tmp_path, "Yes.", window="all") as agent:
        for number in range(30):
            await agent.ask(f"Question {number}?", thread="t")
        found = await state(agent)
    assert len(found["messages"]) == 60
    assert found["summary"] == ""


@pytest.mark.parametrize(("summary", "told"), [("digest", True), ("off", False)])
async def test_the_model_is_told_what_was_said_before_the_window(
    tmp_path: Path, summary: str, *, told: bool
) -> None:
    model = ScriptedModel("A berth is kept for fourteen days. Then it is free.", "Yes.")
    fakes = Fakes(model=model)
    async with open_agent(tmp_path, providers=[fakes], threads={"window": 2, "summary": summary}) as agent:
        for text in ("How long is a berth kept?", "Really?", "Sure?", "What did I ask first?"):
            await agent.ask(text, thread="t")
        found = await state(agent)
    (system, *sent) = model.seen[-1]
    assert questions(sent) == ["Really?", "Sure?", "What did I ask first?"][-len(questions(sent)) :]
    assert ("Asked: How long is a berth kept?" in system.content) is told
    assert ("Answered: A berth is kept for fourteen days." in system.content) is told
    assert bool(found.get("summary")) is told


async def test_messages_that_left_the_window_do_not_come_back_as_lost_ones(tmp_path: Path) -> None:
    broken = ModelUnavailable("it is down")
    replies: list[Reply] = [*(["Yes."] * 8), broken, "Here I am."]
    async with opened(tmp_path, *replies, window=2) as agent:
        for number in range(8):
            await agent.ask(f"Question {number}?", thread="t")
        with pytest.raises(ModelUnavailable):
            await agent.ask("Are you there?", thread="t")
        assert (await agent.ask("And now?", thread="t"))["answer"] == "Here I am."
        asked = questions((await state(agent))["messages"])
    assert asked == ["Are you there?", "And now?"]


def called(*ids: str) -> AIMessage:
    calls = [{"name": "t", "args": {}, "id": i, "type": "tool_call"} for i in ids]
    return AIMessage("", tool_calls=calls, id=f"ai-{'-'.join(ids)}")


def result(call_id: str) -> ToolMessage:
    return ToolMessage("ok", tool_call_id=call_id, id=f"result-{call_id}")


def test_a_result_leaves_with_its_call_wherever_it_stands() -> None:
    messages = [HumanMessage("1", id="1"), called("a", "b"), HumanMessage("2", id="2"), result("a")]
    writes = {"messages": [result("b"), AIMessage("Yes.", id="y")]}
    found = trimmed(Window(1), {"messages": messages}, writes)
    assert merge_messages(messages, [found["messages"]]) == [messages[2], writes["messages"][1]]


def test_while_there_is_room_nothing_leaves() -> None:
    messages = [HumanMessage(str(n), id=str(n)) for n in range(5)]
    writes = {"messages": [AIMessage("Yes.", id="y")]}
    assert trimmed(Window(4), {"messages": messages}, writes) == writes
    assert Window(4).most == 5


kinds = st.sampled_from(["human", "answer", "calling"])


@given(st.lists(kinds, max_size=40), st.integers(1, 6))
def test_what_stays_is_the_end_of_the_thread_from_a_question_on(said: list[str], turns: int) -> None:
    messages: list[BaseMessage] = []
    for place, kind in enumerate(said):
        if kind == "human":
            messages.append(HumanMessage(f"{place}?", id=f"h{place}"))
        elif kind == "answer":
            messages.append(AIMessage("Yes.", id=f"a{place}"))
        else:
            messages += [called(f"c{place}"), result(f"c{place}")]
    answer = AIMessage("The end.", id="end")
    found = trimmed(Window(turns), {"messages": messages}, {"messages": [answer]})
    kept = merge_messages(messages, [found["messages"]])
    assert kept == [*messages, answer][-len(kept) :]
    asked = [message for message in messages if isinstance(message, HumanMessage)]
    if len(kept) <= len(messages):
        assert kept[0] == asked[-turns]
    else:
        assert len(asked) <= Window(turns).most
    assert not any(isinstance(message, RemoveMessage) for message in kept)


@pytest.mark.parametrize(("written", "meant"), [("off", "off"), ("'off'", "off"), ("digest", "digest")])
def test_the_notes_are_switched_off_as_people_write_it_in_yaml(
    tmp_path: Path, written: str, meant: str
) -> None:
    (tmp_path / "waystation.yaml").write_text(f"threads:\n  summary: {written}\n  window: all\n")
    settings = read_book(SECTIONS, (), Context(Places(tmp_path, tmp_path), {}, {}))[ThreadSettings]
    assert settings.summary == meant
    assert Window.of(settings) is None
