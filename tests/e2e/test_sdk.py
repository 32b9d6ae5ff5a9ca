"""Everything that Studio does, done with the `langgraph-sdk` against a real `langgraph dev`.

Assistants, graph and schemas; threads, runs and streams; state, edit, history and fork;
interrupts in the standard shape and their answers; double texting; delete.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import ConflictError, NotFoundError

from tests.kit.studio import studio
from waystation.testing.service import ROOT

ASSISTANT = "waystation"
STEPS = {"lookup_config", "retrieve", "call_model", "execute_tools", "store_files"}
APPROVAL = '{"calculator": {"require_approval": ["*"]}}'


def asks(text: str) -> dict[str, Any]:
    return {"messages": [{"type": "human", "content": text}]}


SUM = asks("What is 5 + 3?")
FORM: dict[str, Any] = {"approval": "auto", "user": "ada", "tools": ["calculator"]}
WHO = asks("Who are you?")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("sdk")
    # As it ships, but that the calculator asks.
    config = Path(shutil.copytree(ROOT / "config", folder / "config"))
    (config / "mcp.json").write_text(APPROVAL)
    # Most tests here want the tool to run; those about approval ask.
    lowered = {"WAYSTATION_MCP__CALLERS_MAY_LOWER_APPROVAL": "true"}
    with studio(folder, env={"WAYSTATION_CONFIG_DIR": str(config), **lowered}) as client:
        yield str(client.base_url)


@pytest.fixture
async def sdk(address: str) -> AsyncIterator[LangGraphClient]:
    async with get_client(url=address) as client:
        yield client


@pytest.fixture
async def thread(sdk: LangGraphClient) -> str:
    return str((await sdk.threads.create())["thread_id"])


def last(state: Any) -> str:
    return str(state["messages"][-1]["content"])


async def paused(sdk: LangGraphClient, thread: str) -> dict[str, Any]:
    """Bring the thread to where it asks a person; the question."""
    ended: Any = await sdk.runs.wait(thread, ASSISTANT, input=SUM)
    (question,) = ended["__interrupt__"]
    assert (await sdk.threads.get(thread))["status"] == "interrupted"
    return dict(question)


async def test_the_assistant_has_the_graph_and_the_schemas_of_its_forms(sdk: LangGraphClient) -> None:
    (found,) = await sdk.assistants.search(graph_id=ASSISTANT)
    graph = await sdk.assistants.get_graph(found["assistant_id"])
    assert {str(node["id"]) for node in graph["nodes"]} >= STEPS
    edges = {(edge["source"], edge["target"]) for edge in graph["edges"]}
    assert {("call_model", "execute_tools"), ("execute_tools", "call_model")} <= edges
    schemas: Any = await sdk.assistants.get_schemas(found["assistant_id"])
    assert "messages" in schemas["input_schema"]["properties"]
    assert {"messages", "files"} <= schemas["state_schema"]["properties"].keys()
    context = {"user", "model", "tools", "sources", "approval"}
    assert context <= schemas["context_schema"]["properties"].keys()


async def test_an_assistant_of_ones_own_keeps_its_context(sdk: LangGraphClient) -> None:
    made = await sdk.assistants.create(ASSISTANT, context={"approval": "auto"}, name="trusting")
    try:
        ended = await sdk.runs.wait(None, made["assistant_id"], input=SUM)
        assert "8" in last(ended)
    finally:
        await sdk.assistants.delete(made["assistant_id"])
    with pytest.raises(NotFoundError):
        await sdk.assistants.get(made["assistant_id"])


async def test_a_run_is_waited_for_and_its_state_read(sdk: LangGraphClient, thread: str) -> None:
    ended = await sdk.runs.wait(thread, ASSISTANT, input=WHO)
    assert "offline model" in last(ended)
    state: Any = await sdk.threads.get_state(thread)
    assert state["next"] == []
    assert [message["type"] for message in state["values"]["messages"]] == ["human", "ai"]
    assert (await sdk.threads.get(thread))["status"] == "idle"


async def test_every_stream_mode_tells_of_the_turn(sdk: LangGraphClient, thread: str) -> None:
    found: dict[str, list[Any]] = {}
    async for part in sdk.runs.stream(
        thread, ASSISTANT, input=SUM,
        context=FORM,
        stream_mode=["values", "updates", "messages-tuple", "custom"],
    ):  # fmt: skip
        found.setdefault(part.event, []).append(part.data)
    assert "8" in last(found["values"][-1])
    assert len(found["values"][-1]["messages"]) == 4
    assert {name for update in found["updates"] for name in update} >= {"call_model", "execute_tools"}
    kinds = [event["type"] for event in found["custom"]]
    assert {"config", "tool_call", "tool_result", "token"} <= set(kinds)
    assert any("8" in str(message[0]["content"]) for message in found["messages"])
    assert "error" not in found


async def test_a_background_run_is_joined(sdk: LangGraphClient, thread: str) -> None:
    run = await sdk.runs.create(thread, ASSISTANT, input=WHO)
    assert "offline model" in last(await sdk.runs.join(thread, run["run_id"]))
    assert (await sdk.runs.get(thread, run["run_id"]))["status"] == "success"
    assert run["run_id"] in [found["run_id"] for found in await sdk.runs.list(thread)]


async def test_the_state_is_edited_and_the_next_turn_knows_it(sdk: LangGraphClient, thread: str) -> None:
    await sdk.runs.wait(thread, ASSISTANT, input=WHO)
    before: Any = await sdk.threads.get_state(thread)
    answer = before["values"]["messages"][-1]
    edited = {"messages": [{"type": "ai", "id": answer["id"], "content": "I am somebody else."}]}
    await sdk.threads.update_state(thread, edited, as_node="store_files")
    after: Any = await sdk.threads.get_state(thread)
    assert last(after["values"]) == "I am somebody else."
    assert len(after["values"]["messages"]) == 2
    ended: Any = await sdk.runs.wait(thread, ASSISTANT, input=SUM, context={"approval": "auto"})
    assert [message["content"] for message in ended["messages"][:2]] == [
        "Who are you?",
        "I am somebody else.",
    ]
    assert "8" in last(ended)


async def test_the_history_is_paged_and_a_checkpoint_of_it_read(sdk: LangGraphClient, thread: str) -> None:
    await sdk.runs.wait(thread, ASSISTANT, input=WHO)
    first = await sdk.threads.get_history(thread, limit=2)
    # The development server takes a config here, where the SDK speaks of a checkpoint (langgraph-api 0.16.7).
    before: Any = {"configurable": first[-1]["checkpoint"]}
    more = await sdk.threads.get_history(thread, limit=100, before=before)
    ids = [str(state["checkpoint"]["checkpoint_id"]) for state in [*first, *more]]
    assert len(ids) == len(set(ids)) > 4
    old: Any = await sdk.threads.get_state(thread, checkpoint=more[-1]["checkpoint"])
    assert old["checkpoint"]["checkpoint_id"] == ids[-1]


async def test_a_thread_is_forked_from_a_checkpoint(sdk: LangGraphClient, thread: str) -> None:
    await sdk.runs.wait(thread, ASSISTANT, input=WHO)
    middle = (await sdk.threads.get_state(thread))["checkpoint"]
    await sdk.runs.wait(thread, ASSISTANT, input=SUM, context={"approval": "auto"})
    # It gives the new thread back, whatever its type says.
    copied: Any = await sdk.threads.copy(thread)  # type: ignore[func-returns-value]
    fork = str(copied["thread_id"])
    ended: Any = await sdk.runs.wait(
        fork, ASSISTANT, input=asks("What is 7 * 6?"), context={"approval": "auto"}, checkpoint=middle
    )
    assert [m["content"] for m in ended["messages"] if m["type"] == "human"] == [
        "Who are you?",
        "What is 7 * 6?",
    ]
    assert "42" in last(ended)
    untouched: Any = await sdk.threads.get_state(thread)
    assert "8" in last(untouched["values"])


async def test_a_run_goes_again_from_a_checkpoint_of_its_own_thread(
    sdk: LangGraphClient, thread: str
) -> None:
    await sdk.runs.wait(thread, ASSISTANT, input=WHO)
    states = await sdk.threads.get_history(thread, limit=100)
    before_model = next(state for state in states if state["next"] == ["lookup_config"])
    checkpoint_id = str(before_model["checkpoint"]["checkpoint_id"])
    ended = await sdk.runs.wait(thread, ASSISTANT, input=None, checkpoint_id=checkpoint_id)
    assert "offline model" in last(ended)


async def test_a_question_has_the_standard_shape(sdk: LangGraphClient, thread: str) -> None:
    question = await paused(sdk, thread)
    value = question["value"]
    assert value["kind"] == "approval"
    (request,) = value["action_requests"]
    assert request["name"].startswith("calculator_")
    assert request["args"] == value["call"]["arguments"]
    assert request["description"]
    (review,) = value["review_configs"]
    assert review["action_name"] == request["name"]
    assert review["allowed_decisions"] == ["approve", "edit", "reject", "respond"]
    state: Any = await sdk.threads.get_state(thread)
    assert state["next"] == ["execute_tools"]
    assert state["interrupts"][0]["id"] == question["id"]
    assert state["tasks"][0]["interrupts"][0]["value"] == value
    found: Any = await sdk.threads.get(thread)
    assert [one["id"] for waiting in found["interrupts"].values() for one in waiting] == [question["id"]]


@pytest.mark.parametrize(
    "answer",
    [True, {"approve": True}, {"decisions": [{"type": "approve"}]}, [{"type": "accept", "args": None}]],
    ids=["plain", "ours", "standard", "older standard"],
)
@pytest.mark.always
async def test_an_approved_call_is_made(sdk: LangGraphClient, thread: str, answer: Any) -> None:
    await paused(sdk, thread)
    ended = await sdk.runs.wait(thread, ASSISTANT, command={"resume": answer})
    assert "8" in last(ended)
    assert (await sdk.threads.get(thread))["status"] == "idle"


@pytest.mark.parametrize(
    "answer",
    [
        {"approve": False, "reason": "not today"},
        {"decisions": [{"type": "reject", "message": "not today"}]},
    ],
    ids=["ours", "standard"],
)
async def test_a_refused_call_is_told_to_the_model(sdk: LangGraphClient, thread: str, answer: Any) -> None:
    question = await paused(sdk, thread)
    ended: Any = await sdk.runs.wait(thread, ASSISTANT, command={"resume": {question["id"]: answer}})
    (result,) = [message for message in ended["messages"] if message["type"] == "tool"]
    assert "not today" in result["content"]
    assert "= 8" not in last(ended)


async def test_a_second_run_on_a_busy_thread_is_refused(sdk: LangGraphClient, thread: str) -> None:
    # The first begins in an hour: it cannot be over before the second is asked for.
    first = await sdk.runs.create(thread, ASSISTANT, input=WHO, after_seconds=3600)
    with pytest.raises(ConflictError) as refused:
        await sdk.runs.create(thread, ASSISTANT, input=WHO, multitask_strategy="reject")
    assert refused.value.status_code == 409
    (left,) = await sdk.runs.list(thread)
    assert left["run_id"] == first["run_id"]
    await sdk.runs.cancel(thread, first["run_id"])
    ended: Any = await sdk.runs.wait(thread, ASSISTANT, input=WHO)
    assert len(ended["messages"]) == 2


async def test_a_second_run_may_wait_its_turn(sdk: LangGraphClient, thread: str) -> None:
    first = await sdk.runs.create(thread, ASSISTANT, input=WHO)
    second = await sdk.runs.create(
        thread, ASSISTANT, input=SUM, context={"approval": "auto"}, multitask_strategy="enqueue"
    )
    await sdk.runs.join(thread, first["run_id"])
    ended: Any = await sdk.runs.join(thread, second["run_id"])
    said = [message["content"] for message in ended["messages"] if message["type"] == "human"]
    assert said == ["Who are you?", "What is 5 + 3?"]


async def test_threads_are_found_and_deleted(sdk: LangGraphClient) -> None:
    made = await sdk.threads.create(metadata={"topic": "berths"})
    found = await sdk.threads.search(metadata={"topic": "berths"})
    assert [one["thread_id"] for one in found] == [made["thread_id"]]
    await sdk.threads.delete(made["thread_id"])
    with pytest.raises(NotFoundError):
        await sdk.threads.get(made["thread_id"])


async def test_waiting_threads_can_be_searched_for(sdk: LangGraphClient, thread: str) -> None:
    await paused(sdk, thread)
    waiting = await sdk.threads.search(status="interrupted", limit=100)
    assert thread in [one["thread_id"] for one in waiting]
