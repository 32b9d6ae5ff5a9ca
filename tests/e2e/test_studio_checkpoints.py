"""From every checkpoint a turn goes on to the answer that the service gives, under a real `langgraph dev`.

Each way is tried on a copy of a finished or a waiting thread, several at once: on again from the
checkpoint, with an edited question, with a stop before or behind a step. However it ends, the thread
and a copy of it can be read.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.settings import Context, Places
from graph import Agent
from tests.kit.studio import studio
from waystation.testing.agents import write_config

pytestmark = pytest.mark.timeout(180)

STEPS = ("lookup_config", "retrieve", "call_model", "execute_tools", "store_files")
AT_ONCE = 8
APPROVAL = '{"calculator": {"require_approval": ["*"]}}'
FORM = {"approval": "auto"}
# Whether there are questions is each run's own business here.
FREE = {"WAYSTATION_MCP__CALLERS_MAY_LOWER_APPROVAL": "true"}
SUM, PRODUCT = "What is 5 + 3?", "What is 7 * 6?"
BERTH, FEE = "How long is a berth reserved?", "What do boats under eight metres pay?"
# What is asked, one turn after the other, and what is asked instead of the last.
TALKS = {"tool": ([SUM], PRODUCT), "documents": ([BERTH], FEE), "two turns": ([BERTH, SUM], FEE)}


@dataclass(frozen=True)
class Opened:
    """A client, and what the service said to the same questions."""

    client: httpx.Client
    said: dict[tuple[str, ...], list[tuple[str, str]]]

    def post(self, path: str, body: Any = None) -> Any:
        return self.client.post(path, json=body or {}).raise_for_status().json()

    def thread(self) -> str:
        return str(self.post("/threads")["thread_id"])

    def copy(self, thread: str) -> str:
        return str(self.post(f"/threads/{thread}/copy")["thread_id"])

    def wait(self, thread: str, **run: Any) -> Any:
        body = {"assistant_id": "waystation", "context": FORM, "input": None, **run}
        return self.post(f"/threads/{thread}/runs/wait", body)

    def state(self, thread: str) -> Any:
        return self.client.get(f"/threads/{thread}/state").raise_for_status().json()

    def checkpoints(self, thread: str) -> list[Any]:
        found: list[Any] = self.post(f"/threads/{thread}/history", {"limit": 100})
        return found

    def ends(self, thread: str, *questions: str) -> None:
        """The thread says what the service said, and it and its copy can be read."""
        for readable in (thread, self.copy(thread)):
            state = self.state(readable)
            self.checkpoints(readable)
            assert state["next"] == []
            assert said_in(state["values"]["messages"]) == self.said[questions]


def asks(text: str) -> dict[str, Any]:
    return {"messages": [{"type": "human", "content": text}]}


def said_in(messages: list[Any]) -> list[tuple[str, str]]:
    return [({"human": "user", "ai": "assistant"}.get(m["type"], m["type"]), m["content"]) for m in messages]


async def answers(folder: Path) -> dict[tuple[str, ...], list[tuple[str, str]]]:
    """What the service says to each conversation."""
    talks = [
        tuple(told) for questions, other in TALKS.values() for told in (questions, [*questions[:-1], other])
    ]
    found = {}
    context = Context(Places(folder / "config", folder / "service"), FREE, {})
    async with Agent.open(context) as agent:
        for number, questions in enumerate(dict.fromkeys(talks)):
            for question in questions:
                await agent.ask(question, thread=f"t{number}", approval="auto")
            state = await agent.graph.aget_state({"configurable": {"thread_id": f"t{number}"}})
            messages = [message.model_dump() for message in state.values["messages"]]
            found[questions] = said_in(messages)
    return found


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    folder = tmp_path_factory.mktemp("checkpoints")
    config = write_config(folder, files={"mcp.json": APPROVAL})
    said = asyncio.run(answers(folder))
    with studio(folder, env={"WAYSTATION_CONFIG_DIR": str(config), **FREE}, jobs=AT_ONCE) as client:
        yield Opened(client, said)


@pytest.fixture(scope="module")
def threads(opened: Opened) -> dict[str, str]:
    """A finished thread for each of the conversations."""
    made = {}
    for name, (questions, _) in TALKS.items():
        made[name] = opened.thread()
        for question in questions:
            opened.wait(made[name], input=asks(question))
        opened.ends(made[name], *questions)
    return made


def each(ways: Sequence[Callable[[], None]]) -> None:
    """All of these, several at once."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done in [pool.submit(way) for way in ways]:
            done.result()


def at(thread: str, checkpoint: Any) -> dict[str, Any]:
    return {**checkpoint["checkpoint"], "thread_id": thread}


@pytest.mark.parametrize("name", TALKS)
def test_st1_a_turn_goes_on_from_every_checkpoint_to_the_same_answer(
    opened: Opened, threads: dict[str, str], name: str
) -> None:
    questions, _ = TALKS[name]

    def again(checkpoint: Any, depth: int) -> None:
        thread = opened.copy(threads[name])
        opened.wait(thread, checkpoint=at(thread, checkpoint))
        opened.ends(thread, *questions[:depth])

    found = opened.checkpoints(threads[name])
    each([partial(again, c, turn_of(found, c, len(questions))) for c in found])


@pytest.mark.parametrize("name", TALKS)
def test_st1_an_edited_question_is_answered_from_every_checkpoint(
    opened: Opened, threads: dict[str, str], name: str
) -> None:
    questions, other = TALKS[name]

    def edited(checkpoint: Any) -> None:
        thread = opened.copy(threads[name])
        last = [m for m in checkpoint["values"].get("messages", []) if m["type"] == "human"]
        new = {"type": "human", "content": other, **({"id": last[-1]["id"]} if last else {})}
        body = {"values": {"messages": [new]}, "checkpoint": at(thread, checkpoint)}
        made = opened.post(f"/threads/{thread}/state", body)
        opened.wait(thread, checkpoint=made["checkpoint"])
        opened.ends(thread, *questions[:-1], other)

    found = opened.checkpoints(threads[name])
    of_turn = [c for c in found if turn_of(found, c, len(questions)) == len(questions)]
    each([partial(edited, c) for c in of_turn if c["next"] != ["__start__"]])


@pytest.mark.parametrize("name", ["tool", "documents"])
def test_st1_a_stop_before_or_behind_any_step_changes_no_answer(opened: Opened, name: str) -> None:
    questions, _ = TALKS[name]

    def stopped(how: str, step: str) -> None:
        thread = opened.thread()
        opened.wait(thread, input=asks(questions[0]), **{how: [step]})
        for _ in range(6):
            if not opened.state(thread)["next"]:
                break
            opened.wait(thread, **{how: [step]})
        opened.ends(thread, *questions)

    ways = [(how, step) for how in ("interrupt_before", "interrupt_after") for step in STEPS]
    each([partial(stopped, *way) for way in ways])


def test_st1_a_turn_with_a_question_goes_on_from_every_checkpoint(opened: Opened) -> None:
    form = {"approval": "ask"}
    waiting = opened.thread()
    opened.wait(waiting, input=asks(SUM), context=form)

    def again(checkpoint: Any) -> None:
        thread = opened.copy(waiting)
        opened.wait(thread, checkpoint=at(thread, checkpoint), context=form)
        state = opened.state(thread)
        assert state["next"] == ["execute_tools"]
        (asked,) = state["interrupts"]
        opened.wait(thread, command={"resume": {asked["id"]: {"approve": True}}}, context=form)
        opened.ends(thread, SUM)

    each([partial(again, c) for c in opened.checkpoints(waiting)])


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"approval": "maybe"}, "InvalidInput: approval must be one of ask, auto, deny, not 'maybe'"),
    ({"model": "gpt-99"}, "UnknownModel: no model 'gpt-99'; you may use: offline"),
    ({"max_steps": "many"}, "InvalidInput: max_steps must be a number, or null, not 'many'"),
    ({"tools": "calculator"}, "InvalidInput: tools must be a list of names, or null, not 'calculator'"),
    ({"approval": "auto", "max_steps": 1}, "StepLimit: the model still asks for tools after 1 steps"),
]


def test_st3_a_refusal_is_told_in_our_own_sentence(opened: Opened) -> None:
    def refused(form: dict[str, Any], sentence: str) -> None:
        thread = opened.thread()
        error = opened.wait(thread, input=asks(SUM), context=form)["__error__"]
        assert f"{error['error']}: {error['message']}".startswith(sentence)
        assert opened.client.get(f"/threads/{thread}").json()["status"] == "error"
        opened.wait(thread, input=asks(SUM))
        assert said_in(opened.state(thread)["values"]["messages"])[-1] == opened.said[SUM,][-1]

    # The development server looks for work twice a second only.
    each([partial(refused, *row) for row in REFUSED])


NO_INPUTS: list[dict[str, Any]] = [
    {"messages": [{"foo": 1}]},
    {"messages": [{"type": "nobody", "content": "x"}]},
    {"messages": [None]},
    {"files": [{"foo": 1}]},
    {"question": SUM},
    {"messages": []},
]


def test_st3_an_input_that_is_none_is_refused_and_leaves_the_thread_readable(opened: Opened) -> None:
    def refused(given: dict[str, Any]) -> None:
        thread = opened.thread()
        error = opened.wait(thread, input=given)["__error__"]
        assert error["error"] == "InvalidInput", given
        assert any(word in error["message"] for word in ("message", "files")), given
        opened.checkpoints(opened.copy(thread))
        opened.wait(thread, input=asks(SUM))
        opened.ends(thread, SUM)

    each([partial(refused, given) for given in NO_INPUTS])


@pytest.mark.parametrize("values", [{"messages": [{"foo": 1}]}, {"files": [{"foo": 1}]}])
def test_st3_an_edit_that_is_none_is_refused_in_a_sentence(
    opened: Opened, threads: dict[str, str], values: dict[str, Any]
) -> None:
    thread = opened.copy(threads["tool"])
    refused = opened.client.post(f"/threads/{thread}/state", json={"values": values})
    assert refused.status_code == 422
    assert "message" in refused.json()["detail"] or "files" in refused.json()["detail"]
    opened.ends(thread, SUM)


def test_st3_a_jump_to_the_tools_without_a_call_is_refused_in_a_sentence(
    opened: Opened, threads: dict[str, str]
) -> None:
    thread = opened.copy(threads["tool"])
    error = opened.wait(thread, command={"goto": "execute_tools"})["__error__"]
    assert error["error"] == "InvalidInput"
    assert error["message"].startswith("'execute_tools' makes a call that the model asked for")
    opened.checkpoints(opened.copy(thread))
    opened.wait(thread, input=asks(SUM))
    assert said_in(opened.state(thread)["values"]["messages"])[-1] == opened.said[SUM,][-1]


def test_messages_that_take_the_place_of_all_are_answered(opened: Opened, threads: dict[str, str]) -> None:
    thread = opened.copy(threads["documents"])
    anew = {"messages": {"__overwrite__": [{"type": "human", "content": SUM}]}}
    made = opened.post(f"/threads/{thread}/state", {"values": anew, "as_node": "__start__"})
    opened.wait(thread, checkpoint=made["checkpoint"])
    opened.ends(thread, SUM)


def test_an_answer_is_streamed_and_stored_under_one_id(opened: Opened) -> None:
    thread = opened.thread()
    body = {"assistant_id": "waystation", "input": asks(SUM), "context": FORM}
    streamed: dict[str, str] = {}
    pieces = 0
    with opened.client.stream(
        "POST", f"/threads/{thread}/runs/stream", json={**body, "stream_mode": ["messages-tuple"]}
    ) as answer:
        for chunk in messages_of(answer.read().decode()):
            if chunk["type"] in {"ai", "AIMessageChunk"}:
                pieces += 1
                streamed[chunk["id"]] = streamed.get(chunk["id"], "") + str(chunk["content"])
    stored = opened.state(thread)["values"]["messages"]
    assert streamed == {m["id"]: m["content"] for m in stored if m["type"] == "ai"}
    assert pieces > len(streamed)


def messages_of(text: str) -> list[Any]:

    blocks = [block.splitlines() for block in text.replace("\r\n", "\n").split("\n\n") if block]
    data = [
        next(line[6:] for line in lines if line.startswith("data: "))
        for lines in blocks
        if lines and lines[0] == "event: messages"
    ]
    return [json.loads(line)[0] for line in data]


def turn_of(found: list[Any], checkpoint: Any, turns: int) -> int:
    """Which turn a checkpoint belongs to, counted from 1; `found` is newest first."""
    starts: list[int] = [c["metadata"]["step"] for c in found[::-1] if c["metadata"]["source"] == "input"]
    began: int = sum(step <= checkpoint["metadata"]["step"] for step in starts)
    assert 1 <= began <= turns
    return began
