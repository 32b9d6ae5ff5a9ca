"""A step of one's own is recorded, replayed and compared visit by visit; a wrong one stops the start."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, cast

import pytest
from langchain_core.messages import AIMessage
from langgraph.channels import UntrackedValue

from core.access import Principal
from core.errors import ConfigInvalid, Internal
from core.registry import Module, discover
from core.steps import Part, Step
from graph.flow.steps import check_places
from graph.replay.recorder import record
from graph.replay.recording import Recording
from graph.replay.replay import Replayed, replay
from graph.wiring.nodes import node_provider
from nodes.llm.errors import ModelRefused
from server.cli.main import app, mount_modules
from waystation.testing.agents import open_agent
from waystation.testing.model_server import ModelServer, call, refuse

LOCAL = Principal("local")


async def replayed(folder: Path, step: Step, *, swap: Any = None) -> tuple[Recording, Replayed]:
    async with open_agent(folder, steps=[step]) as agent:
        reply = await agent.ask("What is 5 + 3?", thread="t")
        kept = await record(agent, LOCAL, reply["run_id"])
    kept = Recording.model_validate_json(kept.model_dump_json())
    return kept, await replay(kept, steps=[step], swap=swap)


def guard(state: Any) -> dict[str, Any] | None:
    answer = state["messages"][-1]
    return None if answer.tool_calls else {"messages": [answer.model_copy(update={"content": "eight"})]}


def other_guard(state: Any) -> dict[str, Any] | None:
    answer = state["messages"][-1]
    return None if answer.tool_calls else {"messages": [answer.model_copy(update={"content": "8"})]}


async def test_a_guard_that_changes_the_second_answer_alone_is_replayed_there(tmp_path: Path) -> None:
    step = Step("guard", guard, after="call_model")
    kept, again = await replayed(tmp_path, step)
    assert [bool(made.writes) for made in kept.further if made.step == "guard"] == [False, True]
    assert (again.same, again.answer, len(again.tool_calls)) == (True, "eight", 1)
    swapped = await replay(kept, steps=[step], swap={"guard": other_guard})
    changed = [found.replayed.node for found in swapped.differences if found.replayed]
    assert (changed, swapped.answer) == (["guard", "end"], "8")


def keeps_it_to_itself(state: Any) -> dict[str, Any] | None:
    answer = state["messages"][-1]
    hidden = answer.model_copy(update={"content": "I do not say that.", "tool_calls": []})
    return {"messages": [hidden]} if answer.tool_calls or "8" in answer.text else None


async def test_a_guard_gets_the_answer_as_the_model_gave_it_in_a_replay_too(tmp_path: Path) -> None:
    def only_words(state: Any) -> dict[str, Any] | None:
        return None if state["messages"][-1].tool_calls else keeps_it_to_itself(state)

    step = Step("guard", only_words, after="call_model")
    kept, again = await replayed(tmp_path, step, swap={"guard": only_words})
    assert (again.same, again.answer) == (True, "I do not say that.")
    assert "8" in kept.answers[-1].message["data"]["content"]


async def test_calls_that_a_guard_took_out_of_an_answer_are_not_made_in_a_replay(tmp_path: Path) -> None:
    step = Step("guard", keeps_it_to_itself, after="call_model")
    kept, again = await replayed(tmp_path, step, swap={"guard": keeps_it_to_itself})
    assert (again.same, again.answer, kept.outcomes) == (True, "I do not say that.", [])
    assert kept.answers[0].message["data"]["tool_calls"]


async def test_a_step_that_writes_nothing_after_a_while_leaves_nothing_behind(tmp_path: Path) -> None:
    def first(state: Any) -> AIMessage | None:
        return AIMessage("a remark") if len(state["messages"]) == 1 else None

    kept, again = await replayed(tmp_path, Step("first", first, before="call_model"))
    assert [made.step for made in kept.further].count("first") == 1
    assert again.same


async def test_what_came_to_its_end_ahead_of_a_call_that_failed_is_compared(
    tmp_path: Path, model_server: ModelServer
) -> None:
    step = Step(
        "count", lambda state: {"n": len(state["messages"])}, before="call_model", channels={"n": int}
    )
    model_server.script(call("calculator_add", {"a": 5, "b": 3}), refuse(400))
    async with open_agent(tmp_path, model_url=model_server.url, steps=[step]) as agent:
        with pytest.raises(ModelRefused):
            await agent.ask("Add them", thread="t")
        (run,) = await agent.runs.list(LOCAL)
        kept = await record(agent, LOCAL, run.id)
    assert [made.writes for made in kept.further] == [{"n": 1}, {"n": 3}]
    again = await replay(kept, steps=[step])
    assert (again.status, again.differences) == ("failed", ())


async def test_what_lives_within_a_turn_is_not_compared(tmp_path: Path) -> None:
    channels = {"mood": Annotated[dict[str, Any], UntrackedValue(dict)]}
    step = Step("feel", lambda _: {"mood": {"calm": 1}}, before="call_model", channels=channels, makes="mood")
    kept, again = await replayed(tmp_path, step)
    assert "feel" not in [made.step for made in kept.further]
    assert again.differences == ()


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (Step("s", guard, part=cast(Part, "answers")), "no turn has a part 'answers'; possible: config"),
        (Step("s", guard, after="retrieve", channels={"seen": "Nothing"}), "its channels cannot be read"),
        (Step("s", guard, after="retrieve", channels={"n": Annotated[int, abs]}), "cannot be read"),
    ],
)
def test_a_part_or_a_channel_that_there_is_not_is_told_before_the_start(step: Step, said: str) -> None:
    with pytest.raises(ConfigInvalid, match="step 's': ") as refused:
        check_places(discover(), [step])
    assert said in refused.value.detail


async def test_what_cannot_run_is_told_with_the_name_of_its_step(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"step 's': 'no\.such:Thing' cannot be imported"):
        async with open_agent(tmp_path, steps=[Step("s", "no.such:Thing", after="retrieve")]):
            pass


def test_a_class_of_a_module_may_be_a_step_with_the_name_of_a_keyword() -> None:
    class Node:
        async def __call__(self, state: Any) -> None:
            return None

    modules = discover()
    last = replace(modules[-1], steps=(Step("class", Node, after="retrieve"),))
    assert node_provider([*modules[:-1], last]).factories


async def test_a_module_that_brings_a_step_and_nothing_else_needs_no_commands_and_no_services(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = Module("mine", "Guards answers.", step=Step("guard", guard, after="call_model"))
    monkeypatch.setattr("graph.wiring.services.discover", lambda: [*discover(), mine])
    before = len(app.registered_groups)
    with monkeypatch.context() as alone:
        alone.setattr("core.registry.declared", lambda: [mine])
        mount_modules()
    assert len(app.registered_groups) == before
    async with open_agent(tmp_path) as agent:
        assert (await agent.ask("What is 5 + 3?"))["answer"] == "eight"


async def test_a_write_that_a_steps_own_channel_refuses_ends_its_turn_and_not_its_thread(
    tmp_path: Path,
) -> None:
    marks = [9, 1]

    def up_to_five(now: int, more: int) -> int:
        if more > 5:
            raise ValueError("marks go to 5")
        return more

    step = Step(
        "marks",
        lambda state: {"mark": marks.pop(0)},
        after="retrieve",
        channels={"mark": Annotated[int, up_to_five]},
    )
    async with open_agent(tmp_path, steps=[step]) as agent:
        with pytest.raises(Internal):
            await agent.ask("What is 5 + 3?", thread="t")
        seen = await agent.threads.state(LOCAL, "t")
        reply = await agent.ask("What is 7 * 6?", thread="t")
        state = await agent.threads.state(LOCAL, "t")
    assert [message["text"] for message in seen["messages"]] == ["What is 5 + 3?"]
    assert (reply["status"], "42" in reply["answer"]) == ("done", True)
    assert [m["text"] for m in state["messages"] if m["role"] == "user"] == [
        "What is 5 + 3?",
        "What is 7 * 6?",
    ]
