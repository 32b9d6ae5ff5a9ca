"""What a reply lists stands in the order of the model's calls, whichever ended first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_core.messages.tool import tool_call_chunk
from langgraph.types import Command

from core.access import Principal
from graph import Agent
from graph.flow.state import calls_of, in_order
from nodes.llm.fake import ScriptedModel
from nodes.mcp_tools.fake import Elicit, FakeServer
from nodes.mcp_tools.models import CallResult, Content, ToolInfo
from tests.kit.patience import A_BUSY_MACHINE_S
from waystation.testing.agents import open_agent
from waystation.testing.container import Fakes

LOCAL = Principal("local")
NIGHTS = {"type": "object", "properties": {"nights": {"type": "integer"}}, "required": ["nights"]}


class Caller(ScriptedModel):
    """Calls these tools at once, and answers when their results are there."""

    def __init__(self, *names: str) -> None:
        super().__init__("All done.")
        self._names = names
        self.asked = 0

    async def stream(self, messages: Any, **more: Any) -> AsyncIterator[AIMessageChunk]:
        self.asked += 1
        if isinstance(messages[-1], ToolMessage):
            async for chunk in super().stream(messages, **more):
                yield chunk
            return
        parts = [
            tool_call_chunk(name=f"harbour_{name}", args="{}", id=f"a-long-enough-id-{place}", index=place)
            for place, name in enumerate(self._names)
        ]
        yield AIMessageChunk(content="", tool_call_chunks=parts)
        yield AIMessageChunk(content="", response_metadata={"finish_reason": "tool_calls"})


def picture(name: str) -> CallResult:
    return CallResult((Content("image", b64="aGVsbG8=", media_type="image/png", name=name),))


def harbour() -> FakeServer:
    """`slow` ends behind `fast`, and `asks` waits for a person."""
    ended = asyncio.Event()

    async def fast(_: Mapping[str, Any], __: object) -> CallResult:
        ended.set()
        return picture("fast.png")

    async def slow(_: Mapping[str, Any], __: object) -> CallResult:
        await ended.wait()
        return picture("slow.png")

    async def asks(_: Mapping[str, Any], elicit: Elicit) -> str:
        answer = await elicit("How many nights?", NIGHTS)
        return f"{answer.action} {answer.content}"

    server = FakeServer()
    for name, work in (("fast", fast), ("slow", slow)):
        server.add(ToolInfo(name, read_only=True), work)
    server.add_asking(ToolInfo("asks", read_only=True), asks)
    return server


def opened(folder: Path, *names: str) -> Any:
    return open_agent(folder, providers=[Fakes(model=Caller(*names), servers={"harbour": harbour()})])


def tools(calls: list[Any]) -> list[str]:
    return [call["tool"] for call in calls]


async def test_st5_calls_stand_in_the_order_in_which_they_were_made(tmp_path: Path) -> None:
    async with opened(tmp_path, "slow", "fast") as agent:
        reply = await agent.ask("Do it", thread="t")
        assert tools(reply["tool_calls"]) == ["slow", "fast"]
        assert [file["name"] for file in reply["files"]] == ["slow.png", "fast.png"]
        page = await agent.threads.transcript(LOCAL, "t")
        state = await agent.threads.state(LOCAL, "t")
        assert [m["id"] for m in page["messages"]] == [m["id"] for m in state["messages"]]


async def test_results_stand_in_the_state_in_the_order_of_their_calls(tmp_path: Path) -> None:
    names = ["fast", *["slow"] * 7]  # their order by chance once in forty thousand
    async with opened(tmp_path, *names) as agent:
        await agent.ask("Do it", thread="t")
        results = [m for m in (await agent.threads.state(LOCAL, "t"))["messages"] if m["role"] == "tool"]
    assert [m["tool_call_id"][-1] for m in results] == [str(place) for place in range(8)]


async def test_st5_calls_stand_in_their_order_over_a_pause(tmp_path: Path) -> None:
    async with opened(tmp_path, "slow", "asks", "fast", "asks") as agent:
        paused = await agent.ask("Do it", thread="t")
        assert tools(paused["tool_calls"]) == ["slow", "fast"]
        waiting = [asked["call"]["id"] for asked in paused["interrupts"]]
        assert waiting == ["a-long-enough-id-1", "a-long-enough-id-3"]
        row = await agent.threads.state(LOCAL, "t")
        assert [asked["call"]["id"] for asked in row["interrupts"]] == waiting

        answer = {"action": "accept", "content": {"nights": 3}}
        second, first = (paused["interrupts"][place]["id"] for place in (1, 0))
        half = await agent.ask(thread="t", resume={second: answer})
        assert tools(half["tool_calls"]) == ["slow", "fast", "asks"]
        reply = await agent.ask(thread="t", resume={first: {"action": "decline"}})
        assert tools(reply["tool_calls"]) == ["slow", "asks", "fast", "asks"]
        assert [call["id"][-1] for call in reply["tool_calls"]] == ["0", "1", "2", "3"]


async def test_a_call_of_one_turn_waits_for_none_of_another_turn(tmp_path: Path) -> None:
    both = asyncio.Barrier(2)

    async def meets(_: Mapping[str, Any], __: object) -> str:
        async with asyncio.timeout(A_BUSY_MACHINE_S):
            await both.wait()
        return "met"

    server = FakeServer()
    server.add(ToolInfo("meets"), meets)
    fakes = Fakes(model=Caller("meets"), servers={"harbour": server})
    async with open_agent(tmp_path, providers=[fakes]) as agent:
        replies = await asyncio.gather(*(agent.ask("Do it", thread=f"t{n}") for n in range(2)))
    assert [call["status"] for reply in replies for call in reply["tool_calls"]] == ["ok", "ok"]


async def test_a_call_that_waited_beside_another_asks_the_model_once_more_and_not_twice(
    tmp_path: Path,
) -> None:
    model = Caller("asks", "fast")
    fakes = Fakes(model=model, servers={"harbour": harbour()})
    async with open_agent(tmp_path, providers=[fakes]) as agent:
        (asked,) = (await agent.ask("Do it", thread="t"))["interrupts"]
        await agent.ask(thread="t", resume={asked["id"]: {"action": "decline"}})
    assert model.asked == 2


async def test_st1_every_checkpoint_of_a_turn_that_a_server_stopped_asks_again_and_goes_on(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, "asks", "fast") as agent:
        await agent.ask("Do it", thread="t")
        config: Any = {"configurable": {"thread_id": "t"}}
        history = [snapshot async for snapshot in agent.graph.aget_state_history(config)]
        for snapshot in history:
            said = await gone_on(agent, snapshot)
            assert said[-2:] == ["[image: fast.png]", "All done."] or said[-1] == "All done."
            assert any("accept" in text for text in said)


async def gone_on(agent: Agent, snapshot: Any) -> list[str]:
    """On again from the checkpoint, and on with a person's answer."""
    async with agent.holding("t"):
        await agent.graph.ainvoke(None, snapshot.config)
        now = await agent.graph.aget_state({"configurable": {"thread_id": "t"}})
        (asked,) = now.interrupts
        answer = {asked.id: {"action": "accept", "content": {"nights": 2}}}
        ended = await agent.graph.ainvoke(Command(resume=answer), {"configurable": {"thread_id": "t"}})
    return [str(message.content) for message in ended["messages"]]


@pytest.mark.parametrize("asked", [["a", "b", "c"], ["c", "b", "a"], []])
def test_results_are_put_behind_one_another_as_they_were_asked_for(asked: list[str]) -> None:
    calls = [{"id": key, "name": "x", "args": {}} for key in asked]
    results: list[BaseMessage] = [ToolMessage(key, tool_call_id=key) for key in ("b", "x", "c", "a")]
    messages = [HumanMessage("?"), AIMessage("", tool_calls=calls), *results, AIMessage("done")]
    found = [message.content for message in in_order(messages, calls_of(messages))]
    known = [key for key in asked if key in "abc"]
    assert found == ["?", "", *known, *(k for k in ("b", "x", "c", "a") if k not in known), "done"]
