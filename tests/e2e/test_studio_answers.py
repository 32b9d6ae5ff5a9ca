"""Under `langgraph dev` people answer as everywhere: edits are edits, wrong answers leave questions open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.kit.counted_tools import CountedTools
from tests.kit.studio import studio
from waystation.testing.agents import write_config
from waystation.testing.model_server import ModelServer, call, calls, say


@dataclass(frozen=True)
class Desk:
    """The development server, the model behind it, and the tools that ask first."""

    client: httpx.Client
    model: ModelServer
    tools: CountedTools

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self.client.post(path, json=body).raise_for_status().json()

    def thread(self) -> str:
        return str(self.post("/threads", {})["thread_id"])

    def run(self, thread: str, **body: Any) -> Any:
        return self.post(f"/threads/{thread}/runs/wait", {"assistant_id": "waystation", **body})

    def asks(self, *wanted: tuple[str, dict[str, Any]], **body: Any) -> tuple[str, list[dict[str, Any]]]:
        """A turn up to its questions."""
        self.model.reset()
        self.model.script(calls(*wanted) if len(wanted) > 1 else call(*wanted[0]), say("All done."))
        thread = self.thread()
        begin = {"messages": [{"role": "user", "content": "5 and 3?"}]}
        return thread, self.run(thread, input=begin, **body)["__interrupt__"]

    def answers(self, thread: str, answer: Any) -> Any:
        return self.run(thread, command={"resume": answer})


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder: Path = tmp_path_factory.mktemp("studio")
    tools = CountedTools(folder / "home")
    config = write_config(folder, sources=False)
    with ModelServer() as model:
        env = {
            "WAYSTATION_CONFIG_DIR": str(config),
            "WAYSTATION_MCP__BUNDLED": "false",
            "WAYSTATION_MCP__START_TIMEOUT_S": "60",
            "OPENAI_BASE_URL": model.url,
            "OPENAI_API_KEY": "test",
        }
        with studio(folder, env=env) as client:
            yield Desk(client, model, tools)


@pytest.mark.timeout(180)
def test_st2_in_studio_an_edit_is_an_edit(desk: Desk) -> None:
    thread, _ = desk.asks(("counted_add", {"a": 5, "b": 3}))
    before = len(desk.tools.made)
    edit = {"type": "edit", "edited_action": {"name": "counted_add", "args": {"a": 20, "b": 1}}}
    values = desk.answers(thread, {"decisions": [edit]})
    result = values["messages"][-2]
    assert desk.tools.made[before:] == ["add 20 1"]
    assert result["content"].endswith("21")
    assert "A person changed this call" in result["content"]
    record = result["additional_kwargs"]["waystation"]
    assert record["decision"] == {
        "type": "edit",
        "by": "local",
        "before": {"a": 5, "b": 3},
        "after": {"a": 20, "b": 1},
    }
    assert values["messages"][-1]["content"] == "All done."


@pytest.mark.timeout(180)
def test_st2_in_studio_a_wrong_answer_leaves_the_question_open_and_says_why(desk: Desk) -> None:
    thread, _ = desk.asks(("counted_add", {"a": 5, "b": 3}))
    before = len(desk.tools.made)
    wrong: list[tuple[Any, str]] = [
        ({"decisions": [{"type": "dance"}]}, "'dance' is no decision here"),
        ({"decisions": [{"type": "approve"}] * 2}, "2 decisions for one action"),
        ({"approve": True, "arguments": {"a": "x", "b": 1}}, "'a': 'x' is not of type 'number'"),
        (
            {"decisions": [{"type": "edit", "edited_action": {"name": "counted_rm", "args": {}}}]},
            "'counted_rm' is another tool",
        ),
    ]
    for answer, says in wrong:
        (again,) = desk.answers(thread, answer)["__interrupt__"]
        assert says in again["value"]["problem"]
        assert desk.client.get(f"/threads/{thread}").json()["status"] == "interrupted"
    assert len(desk.tools.made) == before
    values = desk.answers(thread, {"decisions": [{"type": "respond", "message": "eight"}]})
    assert [message["content"] for message in values["messages"][-2:]] == ["eight", "All done."]


@pytest.mark.timeout(180)
def test_st2_in_studio_several_questions_are_answered_by_id_in_any_form(desk: Desk) -> None:
    thread, questions = desk.asks(("counted_add", {"a": 1, "b": 1}), ("counted_times", {"a": 2, "b": 2}))
    before = len(desk.tools.made)
    ids = {question["value"]["call"]["tool"]: question["id"] for question in questions}
    (rest,) = desk.answers(thread, {ids["times"]: {"type": "approve"}})["__interrupt__"]
    assert rest["value"]["call"]["tool"] == "add"
    desk.answers(thread, {ids["add"]: {"decisions": [{"type": "reject", "message": "no"}]}})
    assert desk.tools.made[before:] == ["times 2 2"]


@pytest.mark.timeout(180)
def test_g6_in_studio_the_form_of_a_run_does_not_switch_approval_off(desk: Desk) -> None:
    _, (question,) = desk.asks(("counted_add", {"a": 7, "b": 7}), context={"approval": "auto"})
    assert "approval: auto does not count here" in question["value"]["detail"]
    assert "add 7 7" not in desk.tools.made
