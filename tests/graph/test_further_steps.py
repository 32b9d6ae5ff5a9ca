"""A step of a further module may write, tell and ask in any form that LangGraph takes; the turn holds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dishka import Provider, Scope
from langchain_core.messages import AnyMessage, HumanMessage, RemoveMessage, SystemMessage
from langgraph.runtime import Runtime
from langgraph.types import Command, Overwrite, interrupt
from typing_extensions import TypedDict

from core.access import Principal, RunContext
from core.errors import Internal
from core.registry import Module, discover
from core.steps import Step as Declared
from graph import Agent
from graph.errors import StepInvalid
from waystation.testing.agents import open_agent

LOCAL = Principal("local")
SUM, PRODUCT = "What is 5 + 3?", "What is 7 * 6?"
NOTE = "Be kind."


class Reads(TypedDict, total=False):
    messages: Sequence[AnyMessage]


Does = Callable[[Any, Runtime[RunContext]], Any]


class Step:
    """Does whatever the test says."""

    def __init__(self, does: Does) -> None:
        self._does = does

    async def __call__(self, state: Reads, runtime: Runtime[RunContext]) -> Any:
        return self._does(state, runtime)


def module(after: str, does: Does) -> Module:
    def provider() -> Provider:
        made = Provider(scope=Scope.APP)
        made.provide(lambda: Step(does), provides=Step)
        return made

    (llm,) = [found for found in discover() if found.name == "llm"]
    step = Declared("mine", f"{__name__}:Step", after=after)
    own = replace(llm, name="mine", command="mine", step=step, provider=provider, required=False)
    return replace(own, sections=(), files=(), needs=(), tasks=(), routes=None, start=None, bench=None)


@asynccontextmanager
async def with_step(
    folder: Path, after: str, does: Does, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Agent]:
    monkeypatch.setattr("graph.wiring.services.discover", lambda: [*discover(), module(after, does)])
    async with open_agent(folder) as agent:
        yield agent


async def agrees(agent: Agent) -> list[str]:
    """The texts of the transcript, which has the messages of the state under their ids."""
    state = await agent.threads.state(LOCAL, "t")
    page = await agent.threads.transcript(LOCAL, "t")
    told = {(m["id"], m["role"], m["text"]) for m in page["messages"]}
    assert told == {(m["id"], m["role"], m["text"]) for m in state["messages"]}
    return [m["text"] for m in page["messages"]]


@pytest.mark.parametrize("after", ["retrieve", "call_model", "store_files"])
@pytest.mark.parametrize(
    "writes",
    [
        {"messages": SystemMessage(NOTE)},
        {"messages": ("system", NOTE)},
        {"messages": [("system", NOTE)]},
        {"messages": {"role": "system", "content": NOTE}},
        Command(update={"messages": ("system", NOTE)}),
        [Command(update={"messages": [("system", NOTE)]}), Command(update={"messages": []})],
        {"messages": None, "documents": None},
    ],
    ids=["alone", "pair", "pairs", "object", "command", "commands", "nothing"],
)
async def test_st7_a_step_writes_messages_in_any_form_of_langgraph(
    after: str, writes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with with_step(tmp_path, after, lambda *_: writes, monkeypatch) as agent:
        for question, result in ((SUM, "8"), (PRODUCT, "42")):
            reply = await agent.ask(question, thread="t", approval="auto")
            assert (reply["status"], result in reply["answer"]) == ("done", True)
        texts = await agrees(agent)
        assert (NOTE in texts) == (not isinstance(writes, dict) or writes["messages"] is not None)


@pytest.mark.parametrize("after", ["retrieve", "call_model", "execute_tools"])
async def test_st7_what_a_step_says_as_the_assistant_takes_no_answer_and_no_call_away(
    after: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def says(*_: Any) -> dict[str, Any]:
        return {"messages": [("assistant", NOTE)]}

    async with with_step(tmp_path, after, says, monkeypatch) as agent:
        for question, result in ((SUM, "8"), (PRODUCT, "42")):
            reply = await agent.ask(question, thread="t", approval="auto")
            assert (reply["status"], len(reply["tool_calls"])) == ("done", 1)
            texts = await agrees(agent)
            assert NOTE in texts
            assert any(text.endswith(f"= {result}") for text in texts)


async def test_st7_a_step_that_takes_all_messages_in_hand_ends_no_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def same(state: Any, _: Any) -> dict[str, Any]:
        return {"messages": Overwrite(list(state["messages"]))}

    async with with_step(tmp_path, "call_model", same, monkeypatch) as agent:
        assert "8" in (await agent.ask(SUM, thread="t", approval="auto"))["answer"]
        await agrees(agent)


@pytest.mark.parametrize("asks_anew", [False, True])
async def test_an_answer_that_a_step_has_asked_for_once_more_is_another_one(
    tmp_path: Path, asks_anew: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = list[AnyMessage]()

    def guard(state: Reads, runtime: Runtime[RunContext]) -> Any:
        answer = state["messages"][-1]
        answers.append(answer)
        again = HumanMessage("Who are you?", id="anew") if asks_anew else RemoveMessage(id=str(answer.id))
        return Command(goto="call_model", update={"messages": [again]}) if len(answers) == 1 else None

    async with with_step(tmp_path, "call_model", guard, monkeypatch) as agent:
        reply = await agent.ask("Hello.", thread="t")
        texts = await agrees(agent)
    assert (len(answers), len({answer.id for answer in answers})) == (2, 2)
    assert reply["answer"] == texts[-1] == answers[-1].content
    assert len(texts) == (4 if asks_anew else 2)


@pytest.mark.parametrize(
    "told",
    [
        "working",
        {"progress": 1},
        {"type": 3},
        {"type": "token"},
        {"type": "usage", "model": "x"},
        {"type": "done"},
        {"type": "mine", "seq": 1},
        None,
    ],
    ids=str,
)
async def test_st7_what_a_step_tells_and_is_no_event_is_left_out(
    told: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tells(_: Any, runtime: Runtime[RunContext]) -> dict[str, Any]:
        runtime.stream_writer(told)
        runtime.stream_writer({"type": "notice", "code": "mine", "detail": "Hello!"})
        return {}

    async with with_step(tmp_path, "retrieve", tells, monkeypatch) as agent:
        events = [event async for event in agent.stream(SUM, thread="t", approval="auto")]
    assert events[-1]["type"] == "done"
    assert "8" in events[-1]["answer"]
    assert "mine" in [event["code"] for event in events if event["type"] == "notice"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))


@pytest.mark.parametrize("after", ["retrieve", "call_model"])
@pytest.mark.parametrize(
    "asked", ["Sure?", ["a", "b"], {"question": "Sure?"}], ids=["text", "list", "object"]
)
async def test_st7_a_step_may_ask_a_question_in_any_form(
    after: str, asked: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Any] = []

    def asks(*_: Any) -> dict[str, Any]:
        heard.append(interrupt(asked))
        return {}

    async with with_step(tmp_path, after, asks, monkeypatch) as agent:
        reply = await agent.ask("Who are you?", thread="t")
        (waits,) = reply["interrupts"]
        told = asked if isinstance(asked, dict) else {"value": asked}
        assert waits == {"id": waits["id"], "kind": "question", **told}
        assert (await agent.threads.state(LOCAL, "t"))["interrupts"] == [waits]
        reply = await agent.ask(thread="t", resume={waits["id"]: {"ok": True}})
        assert reply["status"] == "done"
        assert reply["answer"].endswith("restart.")
        assert heard == [{"ok": True}]
        await agrees(agent)


@pytest.mark.parametrize(
    ("writes", "sentence"),
    [
        ({"zzz": 1}, "step 'mine' wrote to 'zzz', which is no channel; bring it with channels="),
        ({1: 2}, "step 'mine' wrote to '1', which is no channel"),
        (5, "step 'mine' returned int; return channels, messages or nothing"),
        ("hi", "step 'mine' returned str"),
        ([5], "step 'mine' returned int"),
        ({"messages": 5}, "step 'mine': this is no message: 5"),
    ],
    ids=str,
)
async def test_what_a_step_returns_and_no_state_can_take_is_told_with_its_name(
    writes: Any, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with with_step(tmp_path, "retrieve", lambda *_: writes, monkeypatch) as agent:
        with pytest.raises(StepInvalid) as told:
            await agent.ask(SUM, thread="t")
        assert told.value.detail.startswith(sentence)


async def test_a_turn_whose_end_cannot_be_written_by_a_fault_of_ours_leaves_its_thread_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_agent(tmp_path) as agent:
        with monkeypatch.context() as broken:
            broken.setattr("graph.runs.ledger.unit_of", _fails)
            with pytest.raises(Internal):
                await agent.ask(SUM, thread="t")
        assert "42" in (await agent.ask(PRODUCT, thread="t", approval="auto"))["answer"]


def _fails(*_: Any, **__: Any) -> None:
    raise ZeroDivisionError
