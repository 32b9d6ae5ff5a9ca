"""Whole turns against a scripted OpenAI-compatible server: what models do, and what they do wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from core.access import Principal
from core.errors import InvalidInput, Unavailable, WaystationError
from graph import Agent, TurnRequest
from graph.errors import StepLimit, ThreadBusy
from graph.turn.driver import TurnDriver
from graph.turn.slots import TurnSlots
from tests.kit.events import check_stream, kinds
from tests.kit.patience import A_BUSY_MACHINE_S
from waystation.testing.agents import open_agent
from waystation.testing.model_server import ModelServer, call, calls, hang, refuse, say

LOCAL = Principal("local")


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
def model(server: ModelServer) -> ModelServer:
    server.reset()
    return server


@pytest.fixture(scope="module")
async def agent(server: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Agent]:
    async with open_agent(tmp_path_factory.mktemp("agent"), model_url=server.url) as agent:
        yield agent


async def events_of(agent: Agent, message: str, **options: Any) -> list[dict[str, Any]]:
    found = [event async for event in agent.stream(message, **options)]
    check_stream(found)
    return found


async def test_tokens_stream_as_the_model_says_them(agent: Agent, model: ModelServer) -> None:
    model.script(say("one two three"))
    events = await events_of(agent, "count")
    assert [e["delta"] for e in events if e["type"] == "token"] == ["one ", "two ", "three"]
    assert events[-1]["answer"] == "one two three"
    assert events[-1]["usage"]["input_tokens"] > 0


async def test_what_a_caller_chooses_reaches_the_endpoint(agent: Agent, model: ModelServer) -> None:
    await agent.ask("hi", top_p=0.25, temperature=0.5)
    sent = model.requests()[-1]
    assert (sent["top_p"], sent["temperature"]) == (0.25, 0.5)
    with pytest.raises(InvalidInput, match="top_p must be 0 to 1, not 7"):
        await agent.ask("hi", top_p=7)


async def test_a_tool_is_called_and_its_result_goes_back(agent: Agent, model: ModelServer) -> None:
    model.script(call("calculator_add", {"a": 5, "b": 3}), say("It is 8."))
    events = await events_of(agent, "add them")
    assert [k for k in kinds(events) if k.startswith("tool")] == ["tool_call", "tool_result"]
    assert model.requests()[-1]["messages"][-1]["role"] == "tool"
    assert "8" in model.requests()[-1]["messages"][-1]["content"]
    (used,) = events[-1]["tool_calls"]
    assert (used["server"], used["tool"], used["arguments"]) == ("calculator", "add", {"a": 5, "b": 3})


async def test_several_calls_in_one_message_all_run_and_are_all_answered(
    agent: Agent, model: ModelServer
) -> None:
    wanted = [("calculator_add", {"a": n, "b": 1}) for n in range(5)]
    model.script(calls(*wanted), say("done"))
    reply = await agent.ask("add")
    assert [c["status"] for c in reply["tool_calls"]] == ["ok"] * 5
    assert len({c["id"] for c in reply["tool_calls"]}) == 5


async def test_a_loop_of_tools_goes_on_until_the_model_answers(agent: Agent, model: ModelServer) -> None:
    rounds = [call("calculator_add", {"a": n, "b": n}) for n in range(4)]
    model.script(*rounds, say("enough"))
    reply = await agent.ask("loop")
    assert len(reply["tool_calls"]) == 4
    assert reply["answer"] == "enough"


async def test_a_loop_without_end_stops_at_the_limit_and_the_thread_goes_on(
    agent: Agent, model: ModelServer
) -> None:
    model.script(*[call("calculator_add", {"a": n, "b": n}) for n in range(9)])
    with pytest.raises(StepLimit, match="3 steps"):
        await agent.ask("loop", thread="loop", max_steps=3)
    model.reset()
    model.script(say("fine"))
    assert (await agent.ask("again", thread="loop"))["answer"] == "fine"


async def test_a_tool_that_does_not_exist_is_told_to_the_model(agent: Agent, model: ModelServer) -> None:
    model.script(call("wizard_summon", {}), say("sorry"))
    reply = await agent.ask("magic")
    assert reply["answer"] == "sorry"
    assert [c["status"] for c in reply["tool_calls"]] == ["error"]
    assert "wizard_summon" in model.requests()[-1]["messages"][-1]["content"]


async def test_malformed_arguments_are_told_to_the_model(agent: Agent, model: ModelServer) -> None:
    model.script(call("calculator_add", '{"a": 5, "b"'), say("sorry"))
    reply = await agent.ask("broken")
    assert reply["answer"] == "sorry"
    assert [c["status"] for c in reply["tool_calls"]] == ["error"]


async def test_arguments_of_the_wrong_type_are_told_to_the_model(agent: Agent, model: ModelServer) -> None:
    model.script(call("calculator_add", {"a": [], "c": 1}), say("sorry"))
    assert [c["status"] for c in (await agent.ask("broken"))["tool_calls"]] == ["error"]


@pytest.mark.parametrize("status", [429, 500])
async def test_a_failure_before_the_first_token_is_tried_again(
    agent: Agent, model: ModelServer, status: int
) -> None:
    model.script(refuse(status, retry_after=0), say("here I am"))
    assert (await agent.ask("hello"))["answer"] == "here I am"


async def test_a_model_that_keeps_failing_ends_the_turn_with_an_error_event(
    agent: Agent, model: ModelServer
) -> None:
    model.script(*[refuse(500) for _ in range(5)])
    events = await events_of(agent, "hello", thread="failing")
    assert events[-1]["type"] == "error"
    assert events[-1]["retryable"] is True
    model.reset()
    assert (await agent.ask("hello again", thread="failing"))["status"] == "done"


async def test_a_cut_stream_ends_with_an_error_and_keeps_what_was_said(
    agent: Agent, model: ModelServer
) -> None:
    model.script(say("one two three four", cut_after=2))
    events = await events_of(agent, "count", thread="cut")
    assert events[-1]["type"] == "error"
    page = await agent.threads.transcript(LOCAL, "cut")
    assert page["messages"][-1]["partial"] is True
    assert page["messages"][-1]["text"].startswith("one two")
    model.reset()
    assert (await agent.ask("again", thread="cut"))["status"] == "done"


async def test_the_error_of_a_model_leaks_nothing(agent: Agent, model: ModelServer) -> None:
    model.script(refuse(400, code="context_length_exceeded"))
    with pytest.raises(WaystationError, match="longer than the model") as caught:
        await agent.ask("hello")
    assert "127.0.0.1" not in caught.value.detail
    assert "Traceback" not in caught.value.detail


async def test_a_second_message_while_a_run_is_going_is_refused(agent: Agent, model: ModelServer) -> None:
    model.script(hang())
    run = await agent.begin(TurnRequest(LOCAL, "first", thread_id="busy"))
    await asyncio.to_thread(model.wait_for_active, 1)
    with pytest.raises(ThreadBusy):
        await agent.ask("second", thread="busy")
    with pytest.raises(ThreadBusy):
        await agent.threads.delete(LOCAL, "busy")
    await run.cancel()
    assert (await run.result())["status"] == "cancelled"
    model.reset()
    assert (await agent.ask("third", thread="busy"))["status"] == "done"
    texts = [
        m["text"] for m in (await agent.threads.transcript(LOCAL, "busy"))["messages"] if m["role"] == "user"
    ]
    assert texts == ["first", "third"]


async def test_a_turn_that_waits_for_its_model_lets_the_next_one_in(
    agent: Agent, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_at_a_time = TurnSlots(at_once=1, longest_s=3600)
    monkeypatch.setattr(await agent.container.get(TurnDriver), "_slots", one_at_a_time)
    model.script(hang(), match="first")
    first = await agent.begin(TurnRequest(LOCAL, "first", thread_id="inside"))
    await asyncio.to_thread(model.wait_for_active, 1)
    model.script(say("the next"), match="second")
    async with asyncio.timeout(30):
        assert (await agent.ask("second", thread="behind"))["answer"] == "the next"
    await first.cancel()
    assert (await first.result())["status"] == "cancelled"


async def test_a_turn_cancelled_between_tool_call_and_result_does_not_break_the_thread(
    agent: Agent, model: ModelServer
) -> None:
    model.script(call("calculator_add", {"a": 1, "b": 1}), hang())
    run = await agent.begin(TurnRequest(LOCAL, "first", thread_id="torn"))
    async for event in run.events():
        if event["type"] == "tool_call":
            await run.cancel()
    model.reset()
    model.script(say("whole again"))
    assert (await agent.ask("second", thread="torn"))["answer"] == "whole again"
    assert [m["role"] for m in model.requests()[-1]["messages"]].count("user") == 2


async def test_leaving_a_stream_cancels_the_turn_unless_it_shall_go_on(
    agent: Agent, model: ModelServer
) -> None:
    model.script(hang(), match="stop")
    async for event in agent.stream("stop", thread="left"):
        if event["type"] == "config":
            break
    await asyncio.to_thread(model.wait_for_active, 0)
    model.script(say("one two three"), match="stay")
    run = await agent.begin(TurnRequest(LOCAL, "stay", thread_id="stayed", on_disconnect="continue"))
    run.leave()
    assert (await run.result())["answer"] == "one two three"


async def test_the_models_answer_cites_what_it_was_given(agent: Agent, model: ModelServer) -> None:
    model.script(say("Twelve euros a night [1]."))
    reply = await agent.ask("What do boats under eight metres pay a night?")
    assert [c["quote"] for c in reply["citations"]] == ["Boats under eight metres pay twelve euros a night."]
    sent = model.requests()[-1]["messages"][0]
    assert sent["role"] == "system"
    assert "twelve euros" in sent["content"]


async def test_more_turns_at_once_than_the_limit_are_refused(server: ModelServer, tmp_path: Any) -> None:
    server.reset()
    server.script(hang(), hang())
    async with open_agent(tmp_path, model_url=server.url, limits={"streams_per_user": 1}) as agent:
        await agent.begin(TurnRequest(LOCAL, "one"))
        with pytest.raises(WaystationError) as caught:
            await agent.begin(TurnRequest(LOCAL, "two"))
        assert caught.value.code == "too_many_runs"
        other = await agent.begin(TurnRequest(Principal("bob"), "three"))
        await other.cancel()


async def test_of_turns_that_come_together_no_more_are_let_in_than_the_limit(
    server: ModelServer, tmp_path: Any
) -> None:
    server.reset()
    server.script(hang(), hang())
    async with open_agent(tmp_path, model_url=server.url, limits={"streams_per_user": 2}) as agent:
        asked = [agent.begin(TurnRequest(LOCAL, f"message {number}")) for number in range(6)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        refused = [one for one in found if isinstance(one, WaystationError)]
        assert [one.code for one in refused] == ["too_many_runs"] * 4
        server.release()


@pytest.mark.parametrize(("mode", "let_in"), [("none", 22), ("keys", 20)])
async def test_everybody_together_may_have_more_turns_than_one_user(
    server: ModelServer, tmp_path: Any, mode: str, let_in: int
) -> None:
    server.reset()
    server.script(*[hang()] * 22)
    async with open_agent(tmp_path, model_url=server.url, auth={"mode": mode}) as agent:
        asked = [agent.begin(TurnRequest(LOCAL, f"message {number}")) for number in range(22)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(not isinstance(one, BaseException) for one in found) == let_in
        server.release()


async def test_a_turn_that_takes_too_long_ends_with_an_error(server: ModelServer, tmp_path: Any) -> None:
    server.reset()
    server.script(hang())
    async with open_agent(tmp_path, model_url=server.url, limits={"turn_seconds": 1.5}) as agent:
        with pytest.raises(Unavailable) as caught:
            await agent.ask("wait", thread="slow")
        assert caught.value.code == "turn_timed_out"
        assert (await agent.threads.get(LOCAL, "slow"))["status"] == "failed"


@pytest.mark.always
async def test_a_service_that_shuts_down_takes_no_new_turns_and_ends_the_running_ones(
    server: ModelServer, tmp_path: Any
) -> None:
    server.reset()
    server.script(hang())
    async with open_agent(tmp_path, model_url=server.url) as agent:
        run = await agent.begin(TurnRequest(LOCAL, "wait", thread_id="t"))
        await asyncio.to_thread(server.wait_for_active, 1)
        await agent.drain(seconds=0)
        assert (await run.result())["status"] == "interrupted"
        with pytest.raises(Unavailable, match="shutting down"):
            await agent.ask("more")


async def test_a_cancel_and_its_reader_wait_for_nobody_who_reads(agent: Agent, model: ModelServer) -> None:
    """In a burst, hundreds stand in line for the connections that read."""
    model.script(hang(), match="hold on")
    run = await agent.begin(TurnRequest(LOCAL, "hold on", thread_id="held", background=True))
    await asyncio.to_thread(model.wait_for_active, 1)
    async with AsyncExitStack() as taken:
        for _ in range(agent.engine.pool.size() + agent.engine.pool._max_overflow):  # type: ignore[attr-defined]  # of the queue that it is
            await taken.enter_async_context(agent.engine.connect())
        reader = await agent.runs.handle(LOCAL, run.id)
        async with asyncio.timeout(A_BUSY_MACHINE_S):
            assert (await agent.runs.cancel(LOCAL, run.id)).id == run.id
            last = [event async for event in reader.events()][-1]
    assert (last["type"], last["status"]) == ("done", "cancelled")
