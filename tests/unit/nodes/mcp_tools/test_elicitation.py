"""A tool that asks a person in the middle of its call, in a small real graph over real servers."""

from __future__ import annotations

import operator
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain_core.messages import AnyMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph, add_messages
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, Interrupt, Send
from typing_extensions import TypedDict

from core.access import RunContext
from core.events import Event
from nodes.mcp_tools.events import ToolExecuted
from nodes.mcp_tools.executor import ToolExecutor
from nodes.mcp_tools.fake import FakeLinks
from nodes.mcp_tools.models import ExecutionContext, Receipt, ToolOutcome
from nodes.mcp_tools.node import ExecuteTools
from nodes.mcp_tools.settings import ServerEntry
from waystation.testing.mcp_servers import http_peer, managed, peer

pytestmark = pytest.mark.slow

THREAD: RunnableConfig = {"configurable": {"thread_id": "t1"}}
ACCEPT = {"action": "accept", "content": {"nights": 3}}


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]
    artifacts: Annotated[list[dict[str, Any]], operator.add]
    calls: list[dict[str, Any]]
    approval: str


class Kept:
    """Receipts in memory, and every word that was said to them."""

    def __init__(self) -> None:
        self.known: dict[str, Receipt] = {}
        self.words: list[str] = []

    async def begin(self, context: ExecutionContext) -> Receipt:
        self.words.append("begin")
        before = self.known.get(context.call_id, Receipt())
        self.known.setdefault(context.call_id, Receipt(begun=True))
        return before

    async def end(self, context: ExecutionContext, outcome: ToolOutcome) -> None:
        self.words.append("end")
        self.known[context.call_id] = Receipt(begun=True, outcome=outcome)

    async def forget(self, context: ExecutionContext) -> None:
        self.words.append("forget")
        del self.known[context.call_id]


class Desk:
    """The graph, and what came of it."""

    def __init__(self, executor: ToolExecutor, events: list[Event]) -> None:
        self.receipts = Kept()
        self.happened = events
        builder = StateGraph(State, context_schema=RunContext)
        builder.add_node("execute_tools", ExecuteTools(executor, self.receipts))
        builder.add_conditional_edges(START, _spread, ["execute_tools"])
        builder.add_edge("execute_tools", END)
        self._graph: CompiledStateGraph[Any, RunContext, Any, Any] = builder.compile(
            checkpointer=InMemorySaver()
        )

    async def run(self, *calls: tuple[str, dict[str, Any]], approval: str = "ask") -> list[str]:
        wanted = [{"id": f"c{n}", "name": name, "args": args} for n, (name, args) in enumerate(calls)]
        return await self._go({"messages": [], "artifacts": [], "calls": wanted, "approval": approval})

    async def answer(self, *answers: Any) -> list[str]:
        """Answer what waits, in its order; gives the kinds of the events that followed."""
        waiting = await self.waiting()
        return await self.resume({w.id: a for w, a in zip(waiting, answers, strict=False)})

    async def resume(self, answers: dict[str, Any]) -> list[str]:
        return await self._go(Command(resume=answers))

    async def waiting(self) -> list[Interrupt]:
        return list((await self._graph.aget_state(THREAD)).interrupts)

    async def texts(self) -> list[str]:
        return [message.content for message in (await self._graph.aget_state(THREAD)).values["messages"]]

    async def _go(self, given: Any) -> list[str]:
        stream = self._graph.astream(given, THREAD, stream_mode="custom", context=RunContext())
        return [event["type"] async for event in stream]


def _spread(state: State) -> list[Send]:
    config = {"servers": None, "tools": None, "approval": state["approval"]}
    return [Send("execute_tools", {"call": call, "config": config}) for call in state["calls"]]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async for found in desk_over({"peer": peer(), "careful": peer(require_approval=["book"])}, tmp_path):
        yield found


async def desk_over(servers: Mapping[str, ServerEntry], home: Path) -> AsyncIterator[Desk]:
    events: list[Event] = []
    async with managed(servers, home) as manager:
        yield Desk(ToolExecutor(manager, FakeLinks(), publish=events.append), events)


def read(log: Path) -> list[str]:
    return log.read_text().splitlines()


async def test_a_question_pauses_the_run_and_its_answer_makes_the_call_again(
    desk: Desk, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    arguments = {"place": "Rome", "log": str(log)}
    assert await desk.run(("peer_book", arguments)) == ["tool_call"]
    (question,) = await desk.waiting()
    assert question.value["kind"] == "elicitation"
    assert question.value["call"] == {
        "id": "c0",
        "server": "peer",
        "tool": "book",
        "arguments": arguments,
    }
    assert question.value["detail"] == "How many nights in Rome?"
    assert question.value["schema"]["properties"] == {"nights": {"type": "integer"}}

    assert await desk.answer(ACCEPT) == ["tool_call", "tool_result"]
    assert await desk.texts() == ["Rome: 3 nights"]
    assert read(log) == ["began Rome", "began Rome", "booked Rome"]
    assert desk.receipts.words == ["begin", "forget", "begin", "end"]
    told = [event.status for event in desk.happened if isinstance(event, ToolExecuted)]
    assert told == ["asked", "ok"]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"action": "decline"}, "not booked: decline"),
        ({"action": "cancel"}, "not booked: cancel"),
    ],
)
async def test_what_is_no_consent_to_the_form_books_nothing(desk: Desk, answer: Any, says: str) -> None:
    await desk.run(("peer_book", {"place": "Rome"}))
    await desk.answer(answer)
    assert await desk.texts() == [says]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"action": "accept", "content": {"nights": "many"}}, "'nights': 'many' is not of type 'integer'"),
        ({"action": "accept", "content": {"nights": {"from": 1}}}, "'nights' must be text, a number"),
        ({"action": "accept"}, "'nights' is a required property"),
        ({"action": "perhaps"}, "action must be one of accept, decline, cancel"),
        ({"decisions": [{"type": "approve"}]}, "'nights' is a required property"),
        ({"type": "respond", "message": "3"}, "'respond' is no decision here"),
        ("yes", "an answer is"),
    ],
)
async def test_what_does_not_fit_the_form_is_asked_again_with_the_reason(
    desk: Desk, answer: Any, says: str
) -> None:
    await desk.run(("peer_book", {"place": "Rome"}))
    await desk.answer(answer)
    (again,) = await desk.waiting()
    assert says in again.value["problem"]
    assert again.value["detail"].endswith("How many nights in Rome?")
    await desk.answer(ACCEPT)
    assert await desk.texts() == ["Rome: 3 nights"]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (
            {"decisions": [{"type": "edit", "edited_action": {"name": "x", "args": {"nights": 3}}}]},
            "Rome: 3 nights",
        ),
        ([{"type": "edit", "args": {"action": "x", "args": {"nights": 3}}}], "Rome: 3 nights"),
        ({"decisions": [{"type": "reject", "message": "no"}]}, "not booked: decline"),
        ({"type": "ignore", "args": None}, "not booked: cancel"),
    ],
)
async def test_an_answer_may_come_in_the_standard_form(desk: Desk, answer: Any, says: str) -> None:
    await desk.run(("peer_book", {"place": "Rome"}))
    (question,) = await desk.waiting()
    assert question.value["action_requests"] == [
        {"name": "peer_book", "args": {}, "description": "How many nights in Rome?"}
    ]
    assert question.value["review_configs"][0]["args_schema"] == question.value["schema"]
    await desk.answer(answer)
    assert await desk.texts() == [says]


async def test_an_approval_and_two_questions_of_one_call_are_asked_one_after_another(
    desk: Desk, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    await desk.run(("careful_book", {"place": "Oslo", "confirm": True, "log": str(log)}))
    seen: list[tuple[str, str]] = []
    ids: set[str] = set()
    for answer in ({"approve": True}, ACCEPT, {"action": "accept", "content": {"sure": True}}):
        (question,) = await desk.waiting()
        seen.append((question.value["kind"], question.value["detail"]))
        ids.add(question.id)
        await desk.answer(answer)
    assert seen == [
        ("approval", "May careful run 'book'?"),
        ("elicitation", "How many nights in Oslo?"),
        ("elicitation", "Really 3 nights?"),
    ]
    assert len(ids) == 3, "an answer to one question would be taken for the next"
    assert await desk.texts() == ["Oslo: 3 nights"]
    assert read(log) == [*["began Oslo"] * 3, "booked Oslo"]


async def test_two_calls_that_ask_at_once_wait_together_and_get_their_own_answers(
    desk: Desk, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    wanted = [("peer_book", {"place": place, "log": str(log)}) for place in ("Rome", "Bern")]
    await desk.run(*wanted)
    waiting = await desk.waiting()
    assert [w.value["detail"] for w in waiting] == [f"How many nights in {p}?" for p in ("Rome", "Bern")]
    await desk.answer(ACCEPT, {"action": "accept", "content": {"nights": 5}})
    assert await desk.texts() == ["Rome: 3 nights", "Bern: 5 nights"]
    assert sorted(line for line in read(log) if "booked" in line) == ["booked Bern", "booked Rome"]


@pytest.mark.parametrize("first", [0, 1])
async def test_two_questions_may_be_answered_in_any_order(desk: Desk, first: int) -> None:
    await desk.run(("peer_book", {"place": "Rome"}), ("peer_book", {"place": "Bern"}))
    waiting = await desk.waiting()
    await desk.resume({waiting[first].id: ACCEPT})
    (rest,) = await desk.waiting()
    assert rest.value["detail"] == waiting[1 - first].value["detail"]
    await desk.answer({"action": "decline"})
    done = ["Rome: 3 nights", "Bern: 3 nights"]
    done[1 - first] = "not booked: decline"
    assert await desk.texts() == done


async def test_an_answer_to_one_question_never_answers_another(desk: Desk) -> None:
    await desk.run(("peer_book", {"place": "Rome"}))
    (question,) = await desk.waiting()
    await desk.answer({**ACCEPT, "asked": "something else"})
    (again,) = await desk.waiting()
    assert again.value == question.value
    await desk.answer({**ACCEPT, "asked": again.value["asked"]})
    assert await desk.texts() == ["Rome: 3 nights"]


async def test_an_answer_that_is_sent_twice_does_not_answer_what_follows(desk: Desk) -> None:
    await desk.run(("careful_book", {"place": "Oslo", "confirm": True}))
    for answer in ({"approve": True}, ACCEPT):
        (question,) = await desk.waiting()
        given = {**answer, "asked": question.value["asked"]} if "action" in answer else answer
        for _ in range(2):  # LangGraph gives the second one to the next question
            await desk.resume({question.id: given})
    (waiting,) = await desk.waiting()
    assert waiting.value["detail"] == "Really 3 nights?"
    assert await desk.texts() == []
    await desk.answer({"action": "accept", "content": {"sure": True}})
    assert await desk.texts() == ["Oslo: 3 nights"]


@pytest.mark.parametrize(("approval", "waits"), [("ask", 1), ("auto", 1), ("deny", 0)])
async def test_where_nobody_can_be_asked_the_question_is_declined(
    desk: Desk, approval: str, waits: int
) -> None:
    await desk.run(("peer_book", {"place": "Rome"}), approval=approval)
    assert len(await desk.waiting()) == waits
    if not waits:
        assert await desk.texts() == ["not booked: decline"]


@pytest.mark.parametrize("tool", ["book", "book_apart"])
async def test_questions_over_http_find_their_calls(tmp_path: Path, tool: str) -> None:
    with http_peer() as (url, _):
        entry = ServerEntry.model_validate({"url": url})
        async for desk in desk_over({"far": entry}, tmp_path):
            await desk.run(*((f"far_{tool}", {"place": place}) for place in ("Rome", "Oslo", "Bern")))
            waiting = await desk.waiting()
            assert [w.value["detail"] for w in waiting] == [
                f"How many nights in {place}?" for place in ("Rome", "Oslo", "Bern")
            ]
            await desk.answer(*({"action": "accept", "content": {"nights": n}} for n in (1, 2, 3)))
            assert await desk.texts() == ["Rome: 1 nights", "Oslo: 2 nights", "Bern: 3 nights"]
