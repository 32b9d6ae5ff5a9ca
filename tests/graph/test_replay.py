"""A recorded turn runs again with what model and tools answered then, and says where it goes another way."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.runtime import Runtime
from langgraph.types import interrupt
from typing_extensions import TypedDict

from core.access import RunContext
from core.errors import InvalidInput, Unavailable
from graph.replay.as_pytest import as_pytest
from graph.replay.recording import Recording
from graph.replay.replay import replay
from tests.kit.recordings import a_sum, asks, asks_for, outcome, recording, says

PASSAGE = {
    "n": 1,
    "source": "harbour",
    "document": "handbook.md",
    "title": "Berths",
    "text": "Fourteen days.",
    "score": 0.5,
    "uri": "",
    "start": 0,
    "end": 14,
}


class Reads(TypedDict, total=False):
    messages: list[Any]
    documents: list[dict[str, Any]]


class Doubter:
    """A model that believes no tool."""

    async def __call__(self, state: Reads, runtime: Runtime[RunContext]) -> dict[str, Any]:
        runtime.stream_writer({"type": "token", "delta": "I doubt it"})
        return {"messages": [AIMessage("I doubt it", id="doubt")]}


class Needy:
    def __init__(self, answer: str) -> None:
        self.answer = answer


async def counting_model(state: Any, runtime: Runtime[RunContext]) -> dict[str, Any]:
    return {"messages": [AIMessage(f"{len(state['messages'])} messages for {runtime.context.user}")]}


def asking_for(*calls: tuple[str, dict[str, Any]]) -> Any:
    """A model that makes these calls first and then says what came back."""

    async def model(state: Any, runtime: Runtime[RunContext]) -> dict[str, Any]:
        results = [message.text for message in state["messages"] if isinstance(message, ToolMessage)]
        return {"messages": [says(", ".join(results)) if results else asks_for(*calls)]}

    return model


async def test_a_replay_does_what_was_recorded() -> None:
    replayed = await replay(a_sum())
    assert replayed.same
    assert replayed.difference is None
    assert (replayed.status, replayed.answer, replayed.error) == ("done", "5 + 3 = 8", None)
    assert [(c["server"], c["tool"], c["arguments"]) for c in replayed.tool_calls] == [
        ("calculator", "add", {"a": 5, "b": 3})
    ]
    assert [step.node for step in replayed.steps] == [
        *("lookup_config", "retrieve", "call_model", "execute_tools", "call_model", "store_files", "end")
    ]
    assert [e["type"] for e in replayed.events] == ["config", "tool_call", "tool_result", "token"]
    assert [e["seq"] for e in replayed.events] == [1, 2, 3, 4]


async def test_a_replay_can_be_repeated() -> None:
    kept = a_sum()
    assert (await replay(kept)).as_json() == (await replay(kept)).as_json()


async def test_calls_of_one_answer_have_no_order() -> None:
    sums = [("c2", {"a": 9, "b": 9}), ("c1", {"a": 1, "b": 1})]
    outcomes = [outcome("c1", "2", a=1, b=1), outcome("c2", "18", a=9, b=9)]
    kept = recording(asks_for(*sums), says("2 and 18"), outcomes=outcomes)
    assert (await replay(kept)).same


async def test_a_swapped_node_sees_the_thread_as_the_turn_found_it() -> None:
    kept = recording(says("hello"), before=[HumanMessage("Hi", id="h"), AIMessage("Hi!", id="a")])
    replayed = await replay(kept, swap={"call_model": counting_model})
    assert replayed.answer == "3 messages for replay"
    assert str(replayed.difference) == (
        'step 3, call_model: text: recorded "hello", replayed "3 messages for replay"'
    )


async def test_a_swapped_node_runs_for_real_and_the_first_difference_is_told() -> None:
    replayed = await replay(a_sum(), swap={"call_model": Doubter()})
    assert not replayed.same
    assert replayed.answer == "I doubt it"
    first = replayed.difference
    assert first is not None
    assert (first.step, str(first).split(":")[0]) == (3, "step 3, call_model")
    shown = replayed.as_json()["differences"]
    assert shown[0]["replayed"] == {"node": "call_model", "text": "I doubt it", "tool_calls": []}
    # From the fourth step on the turns have nothing in common: that is told once.
    assert [d["step"] for d in shown] == [3, 4]
    assert "recorded execute_tools" in str(replayed.differences[-1])


@pytest.mark.parametrize("node", [Doubter, Doubter(), "tests.graph.test_replay:Doubter"])
async def test_a_node_may_be_an_object_a_class_or_a_name(node: Any) -> None:
    assert (await replay(a_sum(), swap={"call_model": node})).answer == "I doubt it"


@pytest.mark.parametrize(
    ("swap", "told"),
    [
        ({"call_modell": Doubter}, "no step 'call_modell'; steps: lookup_config"),
        ({"call_model": "nowhere:Doubter"}, "'nowhere:Doubter' cannot be imported"),
        ({"call_model": "tests.graph.test_replay:Doubt"}, "cannot be imported"),
        ({"call_model": "Doubter"}, "write module:attribute"),
        ({"call_model": "tests.graph.test_replay:PASSAGE"}, "cannot be called"),
        ({"call_model": Needy}, "missing 1 required positional argument"),
    ],
)
async def test_a_node_that_cannot_be_used_is_refused(swap: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInput, match=told.replace("(", r"\(")):
        await replay(a_sum(), swap=swap)


async def test_a_call_with_another_id_gets_the_answer_of_its_arguments() -> None:
    replayed = await replay(a_sum(), swap={"call_model": asking_for(("other", {"a": 5, "b": 3}))})
    assert replayed.answer == "8"
    assert [call["id"] for call in replayed.tool_calls] == ["other"]
    assert [str(d).split(":")[0] for d in replayed.differences] == ["step 5, call_model", "step 7, end"]


async def test_a_call_that_was_never_made_is_told_with_those_that_were() -> None:
    replayed = await replay(a_sum(), swap={"call_model": asking_for(("c1", {"a": 1, "b": 2}))})
    assert replayed.status == "failed"
    assert replayed.error == {
        "code": "no_recorded_answer",
        "detail": "no recorded answer for calculator_add(a=1, b=2); recorded: calculator_add(a=5, b=3)",
    }


async def test_a_recorded_answer_is_given_once() -> None:
    same = asking_for(("x", {"a": 5, "b": 3}), ("y", {"a": 5, "b": 3}))
    replayed = await replay(a_sum(), swap={"call_model": same})
    assert replayed.error is not None
    assert replayed.error["code"] == "no_recorded_answer"


async def test_a_model_that_is_asked_once_more_than_recorded_has_no_answer() -> None:
    kept = recording(asks("c1", a=5, b=3), outcomes=[outcome("c1", "8", a=5, b=3)])
    replayed = await replay(kept)
    assert replayed.error is not None
    assert replayed.error["detail"] == "no recorded answer for model call 2; recorded: 1"


async def test_passages_are_those_of_the_turn() -> None:
    seen: list[Any] = []

    async def model(state: Any, runtime: Runtime[RunContext]) -> dict[str, Any]:
        seen.extend(state["documents"])
        return {"messages": [says("Fourteen days [1].")]}

    kept = recording(says("Fourteen days [1]."), documents=[PASSAGE])
    replayed = await replay(kept, swap={"call_model": model})
    assert replayed.same
    assert seen == [PASSAGE]
    (told,) = [event for event in replayed.events if event["type"] == "documents"]
    assert told["items"] == [{k: PASSAGE[k] for k in ("n", "source", "document", "title", "score")}]


async def test_other_passages_are_a_difference() -> None:
    async def nothing(state: Any, runtime: Runtime[RunContext]) -> dict[str, Any]:
        return {"documents": []}

    replayed = await replay(recording(says("ok"), documents=[PASSAGE]), swap={"retrieve": nothing})
    assert "step 2, retrieve: documents" in str(replayed.difference)
    assert replayed.answer == "ok"


async def test_a_failed_turn_fails_again_where_it_failed() -> None:
    error = {"code": "model_refused", "detail": "no"}
    kept = recording(
        asks("c1", a=5, b=3), outcomes=[outcome("c1", "8", a=5, b=3)], status="failed", error=error
    )
    replayed = await replay(kept)
    assert (replayed.status, replayed.error, replayed.same) == ("failed", error, True)


async def test_a_cancelled_turn_ends_with_what_had_been_said() -> None:
    replayed = await replay(recording(status="cancelled", partial="one two"))
    assert (replayed.status, replayed.answer, replayed.same) == ("cancelled", "one two", True)


async def test_a_turn_that_was_cut_behind_its_answer_ends_there_again() -> None:
    replayed = await replay(recording(says("all of it"), status="cancelled"))
    assert (replayed.status, replayed.answer, replayed.same) == ("cancelled", "all of it", True)


async def test_a_turn_that_was_cut_among_its_tools_ends_there_again() -> None:
    sums = [("c1", {"a": 1, "b": 1}), ("c2", {"a": 9, "b": 9})]
    kept = recording(asks_for(*sums), outcomes=[outcome("c1", "2", a=1, b=1)], status="cancelled")
    replayed = await replay(kept)
    assert (replayed.status, replayed.same) == ("cancelled", True)
    assert [call["id"] for call in replayed.tool_calls] == ["c1"]


async def test_an_error_of_ours_in_a_swapped_node_fails_the_turn() -> None:
    async def away(state: Any, runtime: Runtime[RunContext]) -> dict[str, Any]:
        raise Unavailable("nobody there")

    replayed = await replay(a_sum(), swap={"execute_tools": away})
    assert (replayed.status, replayed.error) == ("failed", {"code": "unavailable", "detail": "nobody there"})


async def test_a_swapped_node_may_wait_for_a_person() -> None:
    async def asks_first(state: Any, runtime: Runtime[RunContext]) -> dict[str, Any]:
        return {"messages": [says(interrupt("Shall I?"))]}

    replayed = await replay(a_sum(), swap={"call_model": asks_first})
    assert replayed.status == "interrupted"
    assert [question["value"] for question in replayed.interrupts] == ["Shall I?"]


async def test_any_other_fault_of_a_swapped_node_comes_through_for_the_debugger() -> None:
    async def broken(state: Any, runtime: Runtime[RunContext]) -> dict[str, Any]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await replay(a_sum(), swap={"call_model": broken})


async def test_a_swapped_tool_step_gets_the_call() -> None:
    async def always_nine(state: Any, runtime: Runtime[RunContext]) -> dict[str, Any]:
        call = state["call"]
        return {"messages": [ToolMessage("9", tool_call_id=call["id"], name=call["name"])]}

    replayed = await replay(a_sum(), swap={"execute_tools": always_nine})
    assert 'execute_tools: text: recorded "8", replayed "9"' in str(replayed.difference)


async def test_a_written_test_passes_and_reads_like_one(tmp_path: Path) -> None:
    kept = recording(
        asks("c1", a=5, b=3),
        says('It\'s "8"\n\\o/'),
        outcomes=[outcome("c1", "8", a=5, b=3)],
        question='What """ is\n5 + 3?\\',
    )
    path = as_pytest(kept, tmp_path / "test_a_sum.py")
    assert len(path.read_text().splitlines()) < 30
    assert Recording.load(tmp_path / "test_a_sum.json") == kept
    assert await run_pytest(path) == 0


async def test_a_written_test_fails_when_the_turn_changes(tmp_path: Path) -> None:
    path = as_pytest(a_sum(), tmp_path / "test_a_sum.py")
    a_sum().model_copy(update={"answers": recording(says("9")).answers}).save(path.with_suffix(".json"))
    assert await run_pytest(path) == 1


async def test_a_written_test_can_swap_a_node(tmp_path: Path) -> None:
    swap = {"call_model": "doubt_for_a_test:Doubter"}
    (tmp_path / "doubt_for_a_test.py").write_text(
        "from langchain_core.messages import AIMessage\n"
        "class Doubter:\n"
        "    async def __call__(self, state, runtime):\n"
        "        return {'messages': [AIMessage('I doubt it')]}\n"
    )
    replayed = await replay(a_sum(), swap={"call_model": Doubter})
    path = as_pytest(a_sum(), tmp_path / "test_doubt.py", swap=swap, replayed=replayed)
    assert 'swap={"call_model": "doubt_for_a_test:Doubter"}' in path.read_text().replace("'", '"')
    assert await run_pytest(path) == 0


async def test_a_written_test_of_a_failed_turn_expects_the_failure(tmp_path: Path) -> None:
    error = {"code": "model_refused", "detail": "no"}
    path = as_pytest(recording(status="failed", error=error), tmp_path / "test_failure.py")
    assert "model_refused" in path.read_text()
    assert await run_pytest(path) == 0


def test_a_name_that_pytest_does_not_find_is_refused(tmp_path: Path) -> None:
    for name in ("sum.py", "test_sum.txt", "test_a-sum.py"):
        with pytest.raises(InvalidInput, match="test_"):
            as_pytest(a_sum(), tmp_path / name)


def test_a_node_without_a_name_cannot_stand_in_a_test(tmp_path: Path) -> None:
    swap: Any = {"call_model": Doubter()}
    with pytest.raises(InvalidInput, match="module:attribute"):
        as_pytest(a_sum(), tmp_path / "test_sum.py", swap=swap)


async def run_pytest(path: Path) -> int:
    """The exit code of pytest on this file, in a process that has no configuration of ours."""
    root = Path(__file__).resolve().parents[2]
    words = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={path.parent}")
    process = await asyncio.create_subprocess_exec(
        *words, str(path), cwd=path.parent, env={"PYTHONPATH": str(root)}, stdout=asyncio.subprocess.DEVNULL
    )
    return await process.wait()
